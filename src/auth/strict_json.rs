//! The JSON of tokens and keys: an object without duplicate members, at any depth.
//!
//! Two readers of `{"aud":"a","aud":"b"}` may see different values, so that one checks what the other does not use.
//! RFC 7515 §4 and RFC 7519 §4 allow a verifier to reject it; this one does, for nested members too.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Parses a JSON object. `None` if it is not UTF-8, not JSON, not an object or not all of `bytes`, if it has a duplicate
/// member, or if it is nested more than 128 levels deep.
pub(crate) fn object(bytes: &[u8]) -> Option<Value> {
    let Strict(value) = serde_json::from_slice(bytes).ok()?;
    value.is_object().then_some(value)
}

/// Parses a JSON array as [`object`] parses an object.
pub(crate) fn list(bytes: &[u8]) -> Option<Vec<Value>> {
    match serde_json::from_slice(bytes).ok()? {
        Strict(Value::Array(elements)) => Some(elements),
        Strict(_) => None,
    }
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
                return Err(A::Error::custom("duplicate member"));
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
    fn an_object_is_read_as_serde_json_reads_it() {
        let text = br#" {"a":[1,-2,3.5,true,null,"\u00e9",{}],"b":{"a":18446744073709551615}} "#;
        let value: Value = serde_json::from_slice(text).unwrap();
        assert_eq!(object(text), Some(value));
    }

    #[test]
    fn equal_names_in_different_objects_are_not_duplicates() {
        assert_eq!(object(br#"{"a":{"a":[{"a":1},{"a":1}]}}"#), Some(json!({"a":{"a":[{"a":1},{"a":1}]}})));
    }

    #[test]
    fn a_duplicate_member_is_rejected_at_any_depth_and_in_any_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[0,[{"b":1,"b":2}]]}"#, r#"{"a":null,"a":null}"#,
        ] {
            assert_eq!(object(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_one_object_is_rejected() {
        for text in
            ["", "null", "1", "\"a\"", "[]", "[{}]", "{", "{}{}", "{} x", "\u{feff}{}", "{a:1}", "{'a':1}"]
        {
            assert_eq!(object(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn invalid_strings_and_numbers_are_rejected() {
        assert_eq!(object(b"{\"a\":\"\xff\"}"), None);
        assert_eq!(object(br#"{"a":"\ud800"}"#), None);
        assert_eq!(object(br#"{"a":1e999}"#), None);
    }

    #[test]
    fn nesting_that_could_exhaust_the_stack_is_rejected() {
        let deep = format!("{}{}", "{\"a\":".repeat(100_000), "1");
        assert_eq!(object(deep.as_bytes()), None);
    }
}
