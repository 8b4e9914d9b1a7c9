//! Parts of a document: `_summary` and `_elements` (FHIR R4 search.html#summary, #elements), and `_pretty`.
//!
//! Members are dropped and none is written anew but `meta`, which gains the tag SUBSETTED: values keep their bytes and
//! members their order.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::store::DocumentError;

/// Which elements of the document the client wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Subset {
    /// All of them.
    #[default]
    Whole,
    /// `_summary=true`: what the R4 definition marks as summary.
    Summary,
    /// `_summary=text`: the narrative, `id`, `meta` and what is mandatory.
    Text,
    /// `_summary=data`: all but the narrative.
    Data,
    /// `_elements`: these, and what is mandatory or modifies the meaning.
    Elements(Vec<String>),
}

/// What stays in an answer whatever is asked for: identity, the mandatory and the modifier elements.
const ALWAYS: [&str; 7] =
    ["resourceType", "id", "meta", "implicitRules", "modifierExtension", "status", "subject"];

/// The elements of the resource that the `StructureDefinition` of R4 4.0.1 marks `isSummary`, beside [`ALWAYS`].
const SUMMARY: [&str; 18] = [
    "identifier",
    "modality",
    "encounter",
    "started",
    "basedOn",
    "referrer",
    "interpreter",
    "endpoint",
    "numberOfSeries",
    "numberOfInstances",
    "procedureReference",
    "procedureCode",
    "location",
    "reasonCode",
    "reasonReference",
    "note",
    "description",
    "series",
];

/// The same of a series: `instance`, and with it most of a large study, falls away.
const SERIES_SUMMARY: [&str; 12] = [
    "modifierExtension",
    "uid",
    "number",
    "modality",
    "description",
    "numberOfInstances",
    "endpoint",
    "bodySite",
    "laterality",
    "specimen",
    "started",
    "performer",
];

impl Subset {
    /// Reads the two parameters; `_summary` wins over `_elements`. Values that mean nothing for a read (`count`, say)
    /// ask for the whole.
    pub(super) fn of(summary: Option<&str>, elements: Option<&str>) -> Self {
        match (summary, elements) {
            (Some("true"), _) => Self::Summary,
            (Some("text"), _) => Self::Text,
            (Some("data"), _) => Self::Data,
            (_, Some(elements)) => {
                let names: Vec<_> = elements
                    .split(',')
                    .map(|name| name.trim().trim_start_matches("ImagingStudy."))
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect();
                if names.is_empty() { Self::Whole } else { Self::Elements(names) }
            }
            _ => Self::Whole,
        }
    }

    /// The document cut to the subset; `None` if that is all of it.
    pub(super) fn applied_to(&self, json: &str) -> Result<Option<String>, DocumentError> {
        if *self == Self::Whole {
            return Ok(None);
        }
        let fault =
            |error: serde_json::Error| DocumentError::Json { line: error.line(), column: error.column() };
        let resource: Members<'_> = serde_json::from_str(json).map_err(fault)?;
        let mut kept = Object::with_capacity(json.len().min(64 << 10));
        let mut tagged = false;
        for (name, value) in &resource.0 {
            // A primitive's extensions stand under its name with an underscore and go where it goes.
            if !self.keeps(name.strip_prefix('_').unwrap_or(name)) {
                continue;
            }
            match name.as_ref() {
                "meta" => {
                    tagged = true;
                    kept.member(name, &subsetted(value.get()).map_err(fault)?);
                }
                "series" if *self == Self::Summary => {
                    kept.member(name, &summarized_series(value.get()).map_err(fault)?);
                }
                _ => kept.member(name, value.get()),
            }
        }
        if !tagged {
            kept.member("meta", &format!("{{\"tag\":[{SUBSETTED}]}}"));
        }
        Ok(Some(kept.finish()))
    }

    fn keeps(&self, name: &str) -> bool {
        match self {
            Self::Whole => true,
            Self::Summary => ALWAYS.contains(&name) || SUMMARY.contains(&name),
            Self::Text => ["resourceType", "id", "meta", "text", "status", "subject"].contains(&name),
            Self::Data => name != "text",
            Self::Elements(names) => ALWAYS.contains(&name) || names.iter().any(|wanted| wanted == name),
        }
    }
}

const SUBSETTED: &str =
    r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}"#;

/// `meta` with the tag SUBSETTED added.
fn subsetted(meta: &str) -> serde_json::Result<String> {
    let members: Members<'_> = serde_json::from_str(meta)?;
    let mut object = Object::with_capacity(meta.len() + SUBSETTED.len() + 10);
    let mut tagged = false;
    for (name, value) in &members.0 {
        if name == "tag" {
            tagged = true;
            let mut tags: Vec<&RawValue> = serde_json::from_str(value.get())?;
            let added = RawValue::from_string(SUBSETTED.to_owned())?;
            tags.push(&added);
            object.member(name, &serde_json::to_string(&tags)?);
        } else {
            object.member(name, value.get());
        }
    }
    if !tagged {
        object.member("tag", &format!("[{SUBSETTED}]"));
    }
    Ok(object.finish())
}

fn summarized_series(series: &str) -> serde_json::Result<String> {
    let series: Vec<Members<'_>> = serde_json::from_str(series)?;
    let summarized = series.iter().map(|series| {
        let mut object = Object::with_capacity(512);
        for (name, value) in &series.0 {
            if SERIES_SUMMARY.contains(&name.strip_prefix('_').unwrap_or(name)) {
                object.member(name, value.get());
            }
        }
        object.finish()
    });
    Ok(format!("[{}]", summarized.collect::<Vec<_>>().join(",")))
}

/// The members of a JSON object, in their order, their values unread.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name.0, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(InOrder).map(Members)
    }
}

/// A name that is borrowed where it holds no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A JSON object in the making.
struct Object(String);

impl Object {
    fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self(text)
    }

    fn member(&mut self, name: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        // A name as Value writes itself, with what needs escaping escaped.
        self.0.push_str(&serde_json::Value::from(name).to_string());
        self.0.push(':');
        self.0.push_str(value);
    }

    fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// The same JSON with two spaces of indentation; tokens stay as they are.
pub(super) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut rest = json;
    let indent = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(token) = rest.chars().next() {
        let end = match token {
            '"' => string_len(rest),
            _ => token.len_utf8(),
        };
        let (text, after) = rest.split_at(end);
        rest = after;
        match token {
            '{' | '[' => {
                out.push(token);
                let inner = rest.trim_start();
                // An empty object or array stays on its line.
                if inner.starts_with(['}', ']']) {
                    out.push_str(&inner[..1]);
                    rest = &inner[1..];
                } else {
                    depth += 1;
                    indent(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                indent(&mut out, depth);
                out.push(token);
            }
            ',' => {
                out.push(token);
                indent(&mut out, depth);
            }
            ':' => out.push_str(": "),
            ' ' | '\n' | '\r' | '\t' => {}
            _ => out.push_str(text),
        }
    }
    out.push('\n');
    out
}

/// The length of the JSON string that `json` starts with, quotes included.
fn string_len(json: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDY: &str = r#"{"resourceType":"ImagingStudy","id":"a","text":{"status":"empty"},
        "extension":[{"url":"x","valueDecimal":1.10}],"status":"available","_status":{"id":"s"},
        "subject":{"reference":"Patient/1"},"numberOfSeries":1,
        "series":[{"id":"1","uid":"1.2","modality":{"code":"CT"},"instance":[{"uid":"1.2.3"}]}]}"#;

    fn cut(subset: &Subset, json: &str) -> String {
        subset.applied_to(json).unwrap().unwrap()
    }

    #[test]
    fn a_summary_keeps_the_series_without_their_instances() {
        assert_eq!(
            cut(&Subset::Summary, STUDY),
            concat!(
                r#"{"resourceType":"ImagingStudy","id":"a","status":"available","_status":{"id":"s"},"#,
                r#""subject":{"reference":"Patient/1"},"numberOfSeries":1,"#,
                r#""series":[{"uid":"1.2","modality":{"code":"CT"}}],"#,
                r#""meta":{"tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","#,
                r#""code":"SUBSETTED"}]}}"#
            )
        );
    }

    #[test]
    fn the_text_keeps_the_narrative_and_what_is_mandatory() {
        let text = cut(&Subset::Text, STUDY);
        let names: Vec<_> =
            serde_json::from_str::<Members<'_>>(&text).unwrap().0.iter().map(|m| m.0.to_string()).collect();
        assert_eq!(names, ["resourceType", "id", "text", "status", "_status", "subject", "meta"]);
    }

    #[test]
    fn the_data_lacks_the_narrative_only() {
        let data = cut(&Subset::Data, STUDY);
        assert!(!data.contains("\"text\"") && data.contains("1.10") && data.contains("instance"));
    }

    #[test]
    fn elements_bring_the_mandatory_and_modifier_ones_along() {
        let cut = cut(&Subset::of(None, Some("numberOfSeries,ImagingStudy.extension")), STUDY);
        assert!(cut.contains("numberOfSeries") && cut.contains("1.10") && cut.contains("_status"));
        assert!(!cut.contains("series\"") && !cut.contains("text"));
    }

    #[test]
    fn the_tag_joins_those_that_are_there() {
        let json = r#"{"resourceType":"ImagingStudy","meta":{"tag":[{"code":"x"}],"versionId":"1"}}"#;
        let cut = cut(&Subset::Data, json);
        assert!(cut.contains(r#""meta":{"tag":[{"code":"x"},{"system":"#), "{cut}");
        assert!(cut.ends_with(r#""code":"SUBSETTED"}],"versionId":"1"}}"#), "{cut}");
    }

    #[test]
    fn values_that_mean_nothing_for_a_read_ask_for_the_whole() {
        for (summary, elements) in
            [(None, None), (Some("false"), None), (Some("count"), None), (None, Some(" , "))]
        {
            assert_eq!(Subset::of(summary, elements), Subset::Whole);
        }
    }

    #[test]
    fn pretty_json_has_every_token_of_the_plain_one() {
        assert_eq!(
            pretty(r#"{"a" :[1.10,{ },[ ],"x, \"{y}\"\\"],"b":null}"#),
            "{\n  \"a\": [\n    1.10,\n    {},\n    [],\n    \"x, \\\"{y}\\\"\\\\\"\n  ],\n  \"b\": null\n}\n"
        );
    }
}
