//! Checks whether a document is a FHIR R4 (4.0.1) `ImagingStudy`. One walk over its text, along the tables of
//! `elements`, reports every difference.
//!
//! It checks types, cardinalities, required codes, primitive formats (also that dates exist), choice types,
//! primitive extensions and their padding, duplicate and unknown members, narrative, the targets of references, and
//! the rules ele-1, ext-1, ref-1, txt-1, dom-2 to dom-5, att-1, cpt-2, exp-1, qty-3 and those like it. Contained
//! resources must have the elements of every resource and follow FHIR's JSON format. It does not check terminologies
//! beyond the required codes, profiles, txt-2 (a narrative must not be empty: real systems send empty ones), rules that
//! compare values (per-1, rng-2, rat-1) and rules of datatypes that only extensions use (tim-*, trd-*, drq-*, sqty-1).

mod elements;
mod json;
mod primitive;
mod schema;
mod walk;
mod xhtml;

use std::borrow::Cow;

use serde_json::value::RawValue;
use thiserror::Error;

use table::id::FhirId;
use walk::Walk;

/// Problems reported per document; the rest are counted.
pub const MAX_PROBLEMS: usize = 20;

/// A valid FHIR R4 `ImagingStudy`, in its original bytes.
#[derive(Clone)]
pub struct Study {
    id: FhirId,
    json: Box<str>,
}

impl Study {
    /// Fails unless `json` is a FHIR R4 `ImagingStudy` with an `id`.
    pub fn parse(json: &[u8]) -> Result<Self, ValidationError> {
        let invalid =
            |reason: String| ValidationError { id: None, problems: vec![Problem::whole(reason)], omitted: 0 };
        let document: &RawValue = serde_json::from_slice(json).map_err(|error| invalid(not_json(&error)))?;
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

    /// The original text, without white space around it.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }
}

/// The reason and position of a syntax error.
#[must_use]
pub fn not_json(error: &serde_json::Error) -> String {
    format!("is not JSON: {error}")
}

/// Why a document is not a FHIR R4 `ImagingStudy`.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{}", problems.first().map_or_else(|| "invalid".to_owned(), ToString::to_string))]
pub struct ValidationError {
    /// Its `id`, if it has one that is well formed.
    pub id: Option<String>,
    /// What is wrong, in the order of the document: 1 to [`MAX_PROBLEMS`] problems.
    pub problems: Vec<Problem>,
    /// How many more problems there are.
    pub omitted: usize,
}

/// One thing that is wrong with a document. Neither field holds a value of the document.
#[derive(Clone, Debug, PartialEq, Eq, Error, serde::Serialize)]
#[error("{path}{}{reason}", if path.is_empty() { "" } else { " " })]
pub struct Problem {
    /// The element, as in `ImagingStudy.series[2].uid`; empty for the whole text.
    pub path: String,
    /// What is wrong; completes a sentence that begins with the path.
    pub reason: Cow<'static, str>,
}

impl Problem {
    /// A problem of the whole text.
    #[must_use]
    pub fn whole(reason: String) -> Self {
        Self { path: String::new(), reason: reason.into() }
    }
}
