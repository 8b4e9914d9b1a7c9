//! Leaves out what converters write and FHIR forbids: `[]`, `{}`, `""` and null, and what has nothing else in it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::work::count;

/// Levels in which empty values are looked for. The check rejects documents that have more.
const MAX_DEPTH: usize = 100;

/// The members of an object, names and values as they were written.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

/// The document without empty values, and how many there were. Everything else stays as it was written, unless there
/// were any: then the space between the values goes, too.
pub(crate) fn drop_empty(json: &str) -> (Cow<'_, str>, u64) {
    let mut dropped = 0;
    let rest = serde_json::from_str(json).ok().map(|document| full(document, 0, &mut dropped));
    match rest {
        Some(rest) if dropped > 0 => (rest.unwrap_or_else(|| "{}".to_owned()).into(), dropped),
        _ => (json.into(), 0),
    }
}

/// What a value is without the empty ones in it; `None` if that is nothing.
fn full(value: &RawValue, depth: usize, dropped: &mut u64) -> Option<String> {
    let text = value.get();
    count(text.len());
    let rest = match text.as_bytes() {
        _ if depth > MAX_DEPTH => text.to_owned(),
        [b'{', ..] => match serde_json::from_str(text) {
            // A member that occurs twice is not for this to choose.
            Ok(Members(members)) if are_unique(&members) => return object(&members, depth, dropped),
            _ => text.to_owned(),
        },
        [b'[', ..] => match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(items) => {
                let is_empty = items.is_empty();
                let items: Vec<_> =
                    items.into_iter().filter_map(|item| full(item, depth + 1, dropped)).collect();
                *dropped += u64::from(is_empty);
                return array(&items);
            }
            Err(_) => text.to_owned(),
        },
        b"\"\"" | b"null" => {
            *dropped += 1;
            return None;
        }
        _ => text.to_owned(),
    };
    Some(rest)
}

fn are_unique(members: &[(&RawValue, &RawValue)]) -> bool {
    let mut names = HashSet::new();
    members.iter().all(|(name, _)| names.insert(bare(name)))
}

fn object(members: &[(&RawValue, &RawValue)], depth: usize, dropped: &mut u64) -> Option<String> {
    *dropped += u64::from(members.is_empty());
    // Null holds a place in an array of primitives if there is another for their ids and extensions, and there.
    let arrays = members.iter().filter(|(_, value)| value.get().starts_with('['));
    let mut arrays: HashMap<&str, Option<Vec<String>>> = arrays.map(|(name, _)| (bare(name), None)).collect();
    let mut single = HashMap::new();
    for (index, (name, value)) in members.iter().enumerate() {
        if arrays.contains_key(bare(name)) && arrays.contains_key(&*partner(bare(name))) {
            arrays.insert(bare(name), places(value, depth + 1, dropped));
        } else {
            single.insert(index, full(value, depth + 1, dropped));
        }
    }
    let with_items = arrays.iter().filter(|(_, items)| items.is_some());
    let has_items: HashSet<&str> = with_items.map(|(name, _)| *name).collect();
    let rest = members.iter().enumerate().filter_map(|(index, (name, _))| {
        let full = single.remove(&index).unwrap_or_else(|| {
            let mut items = arrays.get_mut(bare(name))?.take()?;
            if !has_items.contains(&*partner(bare(name))) {
                let all = items.len();
                items.retain(|item| item != "null");
                *dropped += (all - items.len()) as u64;
            }
            array(&items)
        })?;
        Some(format!("{}:{full}", name.get()))
    });
    let rest: Vec<_> = rest.collect();
    (!rest.is_empty()).then(|| format!("{{{}}}", rest.join(",")))
}

/// A member's name without quotes.
fn bare(name: &RawValue) -> &str {
    name.get().trim_matches('"')
}

/// `_name` for `name`, and the reverse.
fn partner(name: &str) -> String {
    name.strip_prefix('_').map_or_else(|| format!("_{name}"), str::to_owned)
}

/// The values of an array in their places; `None` if there are none.
fn places(value: &RawValue, depth: usize, dropped: &mut u64) -> Option<Vec<String>> {
    let items = serde_json::from_str::<Vec<&RawValue>>(value.get()).unwrap_or_default();
    let mut is_empty = true;
    let mut place = |item: &RawValue| match item.get() {
        "null" => "null".to_owned(),
        _ => {
            full(item, depth + 1, dropped).inspect(|_| is_empty = false).unwrap_or_else(|| "null".to_owned())
        }
    };
    let items = items.into_iter().map(&mut place).collect();
    *dropped += u64::from(is_empty);
    (!is_empty).then_some(items)
}

fn array(items: &[String]) -> Option<String> {
    (!items.is_empty()).then(|| format!("[{}]", items.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::steps_of;

    #[test]
    fn empty_values_go_and_what_has_nothing_else_with_them() {
        for (json, rest, dropped) in [
            (r#"{"a":[],"b":{},"c":"","d":null,"e":1}"#, r#"{"e":1}"#, 4),
            (r#"{ "a" : [ {}, [[""]], null, 0 ] }"#, r#"{"a":[0]}"#, 3),
            (r#"{"a":{"b":[{"c":""}]},"e":false}"#, r#"{"e":false}"#, 1),
            (
                r#"{"a":[{"b":1.50,"c":1E+2,"d":12345678901234567890.10,"e":[]}]}"#,
                r#"{"a":[{"b":1.50,"c":1E+2,"d":12345678901234567890.10}]}"#,
                1,
            ),
            (r#"{"a":"\u0041 \"","\u0062":"{}","c":null}"#, r#"{"a":"\u0041 \"","\u0062":"{}"}"#, 1),
            (r#"{"a":"","b":{"a":1,"a":""}}"#, r#"{"b":{"a":1,"a":""}}"#, 1),
            (r#"{"a":null}"#, "{}", 1),
            ("{}", "{}", 1),
        ] {
            assert_eq!(drop_empty(json), (rest.into(), dropped), "{json}");
        }
    }

    #[test]
    fn a_document_without_empty_values_keeps_every_byte() {
        for json in [
            " { \"a\" : 1.0 ,\n\"b\" : [ true ] } ",
            r#"{"a":[null,"x"],"_a":[{"id":"y"},null]}"#,
            "not JSON",
        ] {
            assert_eq!(drop_empty(json), (json.into(), 0));
        }
    }

    #[test]
    fn null_holds_the_place_of_a_primitive_beside_its_extensions() {
        for (json, rest, dropped) in [
            (r#"{"a":["","x"],"_a":[{"id":"y"},{}]}"#, r#"{"a":[null,"x"],"_a":[{"id":"y"},null]}"#, 2),
            (r#"{"a":["w",null],"_a":[null,null]}"#, r#"{"a":["w"]}"#, 2),
            (r#"{"a":[null,"x"],"_a":{"id":"y"}}"#, r#"{"a":["x"],"_a":{"id":"y"}}"#, 1),
            (r#"{"a":null,"_a":{"id":"y"}}"#, r#"{"_a":{"id":"y"}}"#, 1),
            (r#"{"_a":[null,{"id":"y"}],"b":""}"#, r#"{"_a":[{"id":"y"}]}"#, 2),
        ] {
            assert_eq!(drop_empty(json), (rest.into(), dropped), "{json}");
        }
    }

    #[test]
    fn twice_the_document_is_at_most_twice_the_work() {
        let shapes: [&dyn Fn(usize) -> String; 4] = [
            &|n| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n)),
            &|n| format!("{}[]{}", "{\"a\":".repeat(n), "}".repeat(n)),
            &|n| format!("{{{}}}", vec![r#""a":[""],"_a":[{}]"#; n].join(",")),
            &|n| format!("{{\"a\":[{}]}}", vec!["null"; n].join(",")),
        ];
        for shape in shapes {
            let [once, twice] = [1000, 2000].map(|n| {
                let json = shape(n);
                steps_of(|| drop(drop_empty(&json)))
            });
            assert!(once > 0 && twice * 10 <= once * 22, "{once} steps, {twice} for twice as much");
        }
    }
}
