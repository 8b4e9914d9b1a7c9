//! How the work of a check grows with the document: at most as fast.

use super::work::steps_of;
use crate::{Study, Warnings};

fn study(members: &str) -> String {
    let required = r#""resourceType":"ImagingStudy","id":"a","status":"available""#;
    format!(r#"{{{required},"subject":{{"reference":"Patient/1"}},{members}}}"#)
}

fn narrative(inner: &str) -> String {
    let div = format!(r#"<div xmlns=\"http://www.w3.org/1999/xhtml\">{inner}</div>"#);
    study(&format!(r#""text":{{"status":"generated","div":"{div}"}}"#))
}

fn extension(value: &str) -> String {
    study(&format!(r#""extension":[{{"url":"http://example.org/e",{value}}}]"#))
}

fn contained(members: &str) -> String {
    study(&format!(
        r##""contained":[{{"resourceType":"Encounter",{members}}}],"encounter":{{"reference":"#e"}}"##
    ))
}

/// `what` of 0, 1, 2 …, with commas between.
fn list(count: usize, what: impl Fn(usize) -> String) -> String {
    (0..count).map(what).collect::<Vec<_>>().join(",")
}

fn nested(levels: usize, open: &str, inner: &str, close: &str) -> String {
    format!("{}{inner}{}", open.repeat(levels), close.repeat(levels))
}

fn each(count: usize, what: impl Fn(usize) -> String) -> String {
    (0..count).map(what).collect::<Vec<_>>().concat()
}

/// A kind of document that grows with a number.
type Shape = (&'static str, fn(usize) -> String);

const SHAPES: [Shape; 46] = [
    ("a member repeated", |n| study(&list(n, |_| r#""description":"x""#.into()))),
    ("an array repeated", |n| study(&list(n, |_| r#""note":[{"text":"x"}]"#.into()))),
    ("a primitive and its extensions repeated", |n| {
        study(&list(n, |_| r#""_description":{"id":"x"},"description":"x""#.into()))
    }),
    ("extensions of a primitive repeated", |n| study(&list(n, |_| r#""_description":{"id":"x"}"#.into()))),
    ("a member repeated in a contained resource", |n| contained(&list(n, |_| r#""id":"e""#.into()))),
    ("choices repeated", |n| extension(&list(n, |_| r#""valueString":"x","valueCode":"y""#.into()))),
    ("unknown members", |n| study(&list(n, |n| format!(r#""x{n}":1"#)))),
    ("unknown members of an open type", |n| contained(&list(n, |n| format!(r#""x{n}":1"#)))),
    ("long names", |n| study(&format!(r#""{}":1"#, "x".repeat(n)))),
    ("escaped names", |n| study(&format!(r#""{}":1"#, "\\u0000".repeat(n)))),
    ("many long names", |n| study(&list(n, |n| format!(r#""{}{n}":1"#, "x".repeat(100))))),
    ("empty objects", |n| study(&format!(r#""note":[{}]"#, list(n, |_| "{}".into())))),
    ("empty arrays", |n| study(&format!(r#""note":[{}]"#, list(n, |_| "[]".into())))),
    ("nulls in place of values", |n| study(&list(n, |n| format!(r#""x{n}":null"#)))),
    ("nulls in an array of primitives", |n| {
        contained(&format!(r#""implicitRules":[{}]"#, list(n, |_| "null".into())))
    }),
    ("a long string", |n| study(&format!(r#""description":"{}""#, "x".repeat(10 * n)))),
    ("a string too long", |n| study(&format!(r#""description":"{}""#, "x".repeat(1000 * n)))),
    ("a string of escapes", |n| study(&format!(r#""description":"{}""#, "\\u00e4".repeat(n)))),
    ("a long id", |n| study(&format!(r#""identifier":[{{"value":"x","id":"{}"}}]"#, "x".repeat(n)))),
    ("a long number", |n| extension(&format!(r#""valueDecimal":1{}"#, "0".repeat(n)))),
    ("a long date", |n| study(&format!(r#""started":"2024-01-01T00:00:00.{}Z""#, "0".repeat(n)))),
    ("long base64", |n| extension(&format!(r#""valueBase64Binary":"{}""#, "AAAA".repeat(n)))),
    ("a long OID", |n| extension(&format!(r#""valueOid":"urn:oid:1{}""#, ".1".repeat(n)))),
    ("a long reference", |n| study(&format!(r#""encounter":{{"reference":"{}x"}}"#, "Encounter/".repeat(n)))),
    ("many series", |n| study(&format!(r#""series":[{}]"#, list(n, |n| format!(r#"{{"uid":"1.{n}"}}"#))))),
    ("many instances", |n| {
        let instances = list(n, |n| {
            format!(r#"{{"uid":"1.{n}","sopClass":{{"system":"urn:ietf:rfc:3986","code":"urn:oid:1.2"}}}}"#)
        });
        let modality = r#""modality":{"code":"CT"}"#;
        study(&format!(r#""series":[{{"uid":"1",{modality},"instance":[{instances}]}}]"#))
    }),
    ("instances with one UID", |n| {
        let instances = list(n, |_| r#"{"uid":"1.2","sopClass":{"code":"x"}}"#.into());
        study(&format!(r#""series":[{{"uid":"1","modality":{{"code":"x"}},"instance":[{instances}]}}]"#))
    }),
    ("modalities of no series", |n| {
        let modalities = list(n, |_| r#"{"code":"CT"}"#.into());
        study(&format!(r#""modality":[{modalities}],"series":[{{"uid":"1","modality":{{"code":"MR"}}}}]"#))
    }),
    ("series without what they need", |n| {
        study(&format!(r#""series":[{}]"#, list(n, |_| r#"{"number":1}"#.into())))
    }),
    ("tags", |n| study(&format!(r#""meta":{{"tag":[{}]}}"#, list(n, |_| r#"{"code":"SUBSETTED"}"#.into())))),
    ("deleted states", |n| {
        study(&format!(r#""extension":[{}]"#, list(n, |_| r#"{"url":"x/deleted-state"}"#.into())))
    }),
    ("contained resources", |n| {
        let resources = list(n, |n| format!(r#"{{"resourceType":"Encounter","id":"e{n}"}}"#));
        study(&format!(r#""contained":[{resources}]"#))
    }),
    ("contained resources with one id", |n| {
        study(&format!(r#""contained":[{}]"#, list(n, |_| r#"{"resourceType":"Encounter","id":"e"}"#.into())))
    }),
    ("fragments that lead nowhere", |n| {
        study(&format!(
            r#""note":[{}]"#,
            list(n, |n| format!(r##"{{"text":"x","authorReference":{{"reference":"#p{n}"}}}}"##))
        ))
    }),
    ("fragments and what they refer to", |n| {
        let resources = list(n, |n| format!(r#"{{"resourceType":"Practitioner","id":"p{n}"}}"#));
        let notes = list(n, |n| format!(r##"{{"text":"x","authorReference":{{"reference":"#p{n}"}}}}"##));
        study(&format!(r#""contained":[{resources}],"note":[{notes}]"#))
    }),
    ("arrays in arrays", |n| study(&format!(r#""note":{}"#, nested(n, "[", "", "]")))),
    ("objects in objects", |n| contained(&format!(r#""x":{}"#, nested(n, r#"{"x":"#, "1", "}")))),
    ("references in references", |n| {
        contained(&format!(r#""reference":{}"#, nested(n, r#"{"reference":"#, "1", "}")))
    }),
    ("extensions in extensions", |n| {
        extension(&format!(r#""extension":{}"#, nested(n, r#"[{"url":"x","extension":"#, "[]", "}]")))
    }),
    ("many values a hundred levels deep", |n| {
        let values = format!("[{}]", list(n, |_| "1".into()));
        contained(&format!(r#""x":{}"#, nested(90, r#"{"x":"#, &values, "}")))
    }),
    ("elements of a narrative", |n| narrative(&"<p>x</p>".repeat(n))),
    ("elements in elements", |n| narrative(&nested(n, "<b>", "x", "</b>"))),
    ("attributes of an element", |n| narrative(&format!("<p{}/>", each(n, |n| format!(" a{n}='x'"))))),
    ("elements with attributes", |n| narrative(&"<p class='x' title='y' id='z'/>".repeat(n))),
    ("namespaces in namespaces", |n| {
        let opened = each(n, |n| format!("<p xmlns:a{n}='x'>"));
        narrative(&format!("{opened}{}", "</p>".repeat(n)))
    }),
    ("a namespace of each element", |n| narrative(&each(n, |n| format!("<p xmlns='x{n}'/>")))),
];

#[test]
fn twice_the_document_is_at_most_twice_the_work() {
    let mut worse = Vec::new();
    for (name, shape) in SHAPES {
        let [once, twice] = [1000, 2000].map(|n| {
            let document = shape(n);
            steps_of(|| drop(Study::parse(&document).map(|study| Warnings::of(&study))))
        });
        println!("{name}\t{once}\t{twice}");
        if once == 0 || twice * 10 > once * 22 {
            worse.push(format!("{name}: {once} steps, {twice} for twice as much"));
        }
    }
    assert!(worse.is_empty(), "{worse:#?}");
}
