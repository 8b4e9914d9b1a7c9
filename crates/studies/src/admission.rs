//! Valid FHIR that must not be loaded: a document that is not the whole study, or no longer one, or whose patient only the
//! server that it comes from could look up.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use table::attribute::{self, Item};
use table::json::Object;

const SUBSETTED: &str = "SUBSETTED";
/// The extension by which Microsoft's FHIR server marks a deleted resource that it keeps.
const DELETED: &str = "/deleted-state";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Document<'a> {
    #[serde(borrow)]
    meta: Object<Meta<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta<'a> {
    #[serde(borrow)]
    tag: Vec<Object<Tag<'a>>>,
    #[serde(borrow)]
    extension: Vec<Object<Extension<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tag<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Extension<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
}

/// Why a valid document is not loaded: the element and the reason. `None` if nothing speaks against it.
pub(crate) fn refusal(json: &str) -> Option<(String, &'static str)> {
    // Each is rare, and looking for its text costs less than parsing.
    if json.contains(SUBSETTED) || json.contains("deleted-state") {
        let Object(Document { meta: Object(meta) }) = serde_json::from_str(json).ok()?;
        if meta.tag.iter().any(|Object(tag)| tag.code == SUBSETTED) {
            return Some(("meta.tag".to_owned(), "says that the document is incomplete (SUBSETTED)"));
        }
        if meta.extension.iter().any(|Object(extension)| extension.url.ends_with(DELETED)) {
            return Some(("meta.extension".to_owned(), "says that the study has been deleted"));
        }
    }
    if json.contains('?') {
        let place = conditional_reference(&serde_json::from_str(json).ok()?, "")?;
        return Some((
            place,
            "is a conditional reference, which only the server that it was sent to can resolve",
        ));
    }
    None
}

/// What is wrong with the subject of a study that is loaded all the same.
pub(crate) fn subject_warning(attributes: &Item) -> Option<&'static str> {
    match attributes.get(attribute::SUBJECT).and_then(|subject| subject.as_s().ok()) {
        None => Some(
            "ImagingStudy.subject has no reference: no token that is bound to a patient can read this study",
        ),
        Some(subject) if subject.starts_with("urn:") => Some(
            "ImagingStudy.subject names no Patient/{id}: no token that is bound to a patient can read this study",
        ),
        Some(_) => None,
    }
}

/// Where a reference is a search, `Patient?identifier=…` (FHIR R4 http.html#trules).
fn conditional_reference(value: &Value, at: &str) -> Option<String> {
    let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match value {
        Value::Object(members) => members.iter().find_map(|(name, value)| match value {
            Value::String(text) if name == "reference" && is_search(text) => Some(below(name)),
            value => conditional_reference(value, &below(name)),
        }),
        Value::Array(elements) => (0..)
            .zip(elements)
            .find_map(|(index, element)| conditional_reference(element, &format!("{at}[{index}]"))),
        _ => None,
    }
}

fn is_search(reference: &str) -> bool {
    let kind = reference.split_once('?').map(|(kind, _)| kind);
    kind.is_some_and(|kind| !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(members: &str) -> Option<String> {
        refusal(&format!(r#"{{"resourceType":"ImagingStudy",{members}}}"#)).map(|(place, _)| place)
    }

    #[test]
    fn incomplete_and_deleted_studies_and_conditional_references_are_refused_with_their_place() {
        for (members, expected) in [
            (r#""meta":{"tag":[{"code":"x"},{"code":"SUBSETTED"}]}"#, Some("meta.tag")),
            (r#""meta":{"extension":[{"url":"http://x/deleted-state"}]}"#, Some("meta.extension")),
            (r#""subject":{"reference":"Patient?identifier=1"}"#, Some("subject.reference")),
            (
                r#""series":[{},{"performer":[{"actor":{"reference":"Practitioner?x=1"}}]}]"#,
                Some("series[1].performer[0].actor.reference"),
            ),
            (r#""description":"SUBSETTED","note":[{"text":"deleted-state"}]"#, None),
            (r#""description":"Patient?identifier=1""#, None),
            (r#""subject":{"reference":"https://x.example/a?b/Patient/1"}"#, None),
            (r#""subject":{"reference":"Patient/1"}"#, None),
        ] {
            assert_eq!(place(members).as_deref(), expected, "{members}");
        }
    }
}
