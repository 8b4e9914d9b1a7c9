//! A document that has been checked, and what is wrong with others.

use table::id::FhirId;
use thiserror::Error;

use super::problem::Problem;
use super::walk::Walk;
use super::work::count;

/// A valid FHIR R4 `ImagingStudy`, in its original bytes.
#[derive(Clone)]
pub struct Study<'a> {
    id: FhirId,
    json: &'a str,
}

impl<'a> Study<'a> {
    /// Fails unless `json` is a FHIR R4 `ImagingStudy` with an `id`.
    pub fn parse(json: &'a str) -> Result<Self, ValidationError> {
        let invalid =
            |reason: String| ValidationError { id: None, problems: vec![Problem::whole(reason)], omitted: 0 };
        let mut walk = Walk::default();
        count(json.len());
        let id = if let Ok(members) = serde_json::from_str(json) {
            walk.study(members)
        } else {
            walk.no_object(serde_json::from_str(json).map_err(|error| invalid(not_json(&error)))?);
            None
        };
        match id {
            Some(id) if walk.problems.is_empty() => Ok(Self { id, json: json.trim_ascii() }),
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
    pub fn json(&self) -> &'a str {
        self.json
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
    /// What is wrong, in the order of the document: 1 to [`MAX_PROBLEMS`](crate::MAX_PROBLEMS) problems.
    pub problems: Vec<Problem>,
    /// How many more problems there are.
    pub omitted: usize,
}
