//! The check against R4: a verdict about a document is the verdict about its values, however they are written.
#![no_main]

use fhir_r4::{MAX_PROBLEMS, Study};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use serde_json::value::RawValue;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(data) = str::from_utf8(data) else { return Corpus::Reject };
    let checked = Study::parse(data);
    match &checked {
        Ok(study) => assert_eq!(study.json(), data.trim_ascii()),
        Err(rejected) => assert!((1..=MAX_PROBLEMS).contains(&rejected.problems.len())),
    }
    if serde_json::from_str::<&RawValue>(data).is_err() {
        return Corpus::Keep;
    }
    let spaced = spaced(data);
    let spaced = Study::parse(&spaced);
    assert_eq!(checked.as_ref().err(), spaced.as_ref().err(), "spaces change the verdict");
    // In another order, and without escapes. Not every number has a `Value`.
    if let (Ok(_), Ok(value)) = (checked, serde_json::from_str::<Value>(data))
        && let Err(rejected) = Study::parse(&value.to_string())
    {
        panic!("rejected once it is written again: {rejected}");
    }
    Corpus::Keep
});

/// The same JSON with a space beside every mark.
fn spaced(json: &str) -> String {
    let (mut out, mut in_string, mut is_escaped) = (String::with_capacity(json.len() * 2), false, false);
    for character in json.chars() {
        let is_mark = !in_string && "{}[]:,".contains(character);
        if is_mark {
            out.push(' ');
        }
        out.push(character);
        if is_mark {
            out.push(' ');
        }
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = in_string,
            '"' => in_string = !in_string,
            _ => {}
        }
    }
    out
}
