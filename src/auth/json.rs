//! JSON as tokens and keys need it: an object in which no member appears twice, at any depth.
//!
//! Two readers of `{"aud":"a","aud":"b"}` may each see another value, and what one of them checked the other
//! does not use. RFC 7515 §4 and RFC 7519 §4 let a verifier refuse it; this one does, for nested members too.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The JSON object that `bytes` hold. `None` for what is no UTF-8, no JSON or no object, has a member twice or more
/// than 128 levels, or goes on after its end.
pub(super) fn object(bytes: &[u8]) -> Option<Value> {
    let Strict(value) = serde_json::from_slice(bytes).ok()?;
    value.is_object().then_some(value)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member appears twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_reads_as_serde_json_reads_it() {
        let text = br#" {"a":[1,-2,3.5,true,null,"\u00e9",{}],"b":{"a":18446744073709551615}} "#;
        let value: Value = serde_json::from_slice(text).unwrap();
        assert_eq!(object(text), Some(value));
    }

    #[test]
    fn equal_names_in_different_objects_are_no_duplicates() {
        assert_eq!(object(br#"{"a":{"a":[{"a":1},{"a":1}]}}"#), Some(json!({"a":{"a":[{"a":1},{"a":1}]}})));
    }

    #[test]
    fn a_member_that_appears_twice_is_refused_at_any_depth_and_however_it_is_spelt() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[0,[{"b":1,"b":2}]]}"#,
            r#"{"a":null,"a":null}"#,
        ] {
            assert_eq!(object(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in
            ["", "null", "1", "\"a\"", "[]", "[{}]", "{", "{}{}", "{} x", "\u{feff}{}", "{a:1}", "{'a':1}"]
        {
            assert_eq!(object(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(object(b"{\"a\":\"\xff\"}"), None);
        assert_eq!(object(br#"{"a":"\ud800"}"#), None);
        assert_eq!(object(br#"{"a":1e999}"#), None);
    }

    #[test]
    fn nesting_deep_enough_to_exhaust_the_stack_is_refused() {
        let deep = format!("{}{}", "{\"a\":".repeat(100_000), "1");
        assert_eq!(object(deep.as_bytes()), None);
    }
}
