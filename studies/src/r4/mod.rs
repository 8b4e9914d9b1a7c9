//! Is a document a FHIR R4 (4.0.1) `ImagingStudy`? One walk over its text, along the tables of `elements`, reports
//! everything that is not.
//!
//! Checked are types, cardinalities, required codes, primitive formats (real calendar dates among them), choice types,
//! primitive extensions and their padding, duplicate and unknown members, narrative, the targets of references, and
//! the rules ele-1, ext-1, ref-1, txt-1, dom-2 to dom-5, att-1, cpt-2, exp-1, qty-3 and its kin. Contained resources
//! are held to what every resource has and to FHIR's JSON format. Not checked are terminologies beyond the required
//! codes, profiles, txt-2 (a narrative must say something: real systems send empty ones), rules that compare values
//! (per-1, rng-2, rat-1) and the rules of datatypes that only extensions use (tim-*, trd-*, drq-*, sqty-1).

mod elements;
mod json;
mod primitive;
mod schema;
mod walk;
mod xhtml;

use std::borrow::Cow;

use serde_json::value::RawValue;
use thiserror::Error;

use imaging_study::ids::FhirId;
use walk::Walk;

/// Problems reported per document; the rest are counted.
pub const MOST_PROBLEMS: usize = 20;

/// A document that is a FHIR R4 `ImagingStudy`, in the bytes it came in.
#[derive(Clone)]
pub struct Study {
    id: FhirId,
    json: Box<str>,
}

impl Study {
    /// Takes `json` if it is a FHIR R4 `ImagingStudy` with an `id`.
    pub fn parse(json: &[u8]) -> Result<Self, ValidationError> {
        let refused =
            |reason: String| ValidationError { id: None, problems: vec![Problem::whole(reason)], omitted: 0 };
        let document: &RawValue = serde_json::from_slice(json).map_err(|error| refused(not_json(&error)))?;
        let mut walk = Walk::default();
        let id = walk.study(document);
        match id {
            Some(id) if walk.problems.is_empty() => Ok(Self { id, json: document.get().into() }),
            id => Err(ValidationError {
                id: id.map(|id| id.to_string()),
                problems: walk.problems,
                omitted: walk.omitted,
            }),
        }
    }

    /// The document's own `id`, in its own case.
    #[must_use]
    pub fn id(&self) -> &FhirId {
        &self.id
    }

    /// The document, byte for byte as it came, but for white space around it.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }
}

/// Where in the text JSON ends to be JSON, and why.
#[must_use]
pub fn not_json(error: &serde_json::Error) -> String {
    format!("is not JSON: {error}")
}

/// A document that is no FHIR R4 `ImagingStudy`.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{}", problems.first().map_or_else(|| "refused".to_owned(), ToString::to_string))]
pub struct ValidationError {
    /// Its `id`, if it has one that is well formed.
    pub id: Option<String>,
    /// What is wrong with it, in the order of the document: at least one, at most [`MOST_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// How many more problems there are.
    pub omitted: usize,
}

/// One thing that is wrong with a document. Neither part holds a value of the document.
#[derive(Clone, Debug, PartialEq, Eq, Error, serde::Serialize)]
#[error("{path}{}{reason}", if path.is_empty() { "" } else { " " })]
pub struct Problem {
    /// The element, as in `ImagingStudy.series[2].uid`; empty if it is about the whole text.
    pub path: String,
    /// What is wrong, as the rest of a sentence that begins with the path.
    pub reason: Cow<'static, str>,
}

impl Problem {
    /// A problem of the whole text.
    #[must_use]
    pub fn whole(reason: String) -> Self {
        Self { path: String::new(), reason: reason.into() }
    }
}
