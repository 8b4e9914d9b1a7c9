//! What is odd about a study that is loaded all the same.

use table::attribute::{self, Item};

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
