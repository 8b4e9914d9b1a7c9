//! Why an item cannot be read, and what is common to all errors of the table.

use std::error::Error as StdError;
use std::io;

use thiserror::Error;

use crate::limit::{MAX_GZIP_BYTES, MAX_JSON_BYTES, MAX_PARTS};

/// Why an item cannot be served. Contains nothing of the document.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// An attribute has a type that no stored form has.
    #[error("attribute {0} has a type that no stored form has")]
    AttributeType(&'static str),
    /// A native attribute is a binary, a set, or a number that JSON writes differently.
    #[error("a native attribute has no JSON form")]
    NotJson,
    /// The gzip data is damaged, truncated, or followed by other data.
    #[error("damaged gzip data")]
    Gzip(#[source] io::Error),
    /// The document exceeds [`MAX_JSON_BYTES`], or [`MAX_GZIP_BYTES`] compressed.
    #[error("the document is too large: at most {MAX_JSON_BYTES} bytes, {MAX_GZIP_BYTES} compressed")]
    TooLarge,
    /// The text is not UTF-8.
    #[error("the document is not UTF-8")]
    Utf8,
    /// The text is not JSON, or `resourceType`, `meta` or `subject` has the wrong type.
    #[error("invalid ImagingStudy JSON (line {line}, column {column})")]
    Json {
        /// Line of the error, from 1.
        line: usize,
        /// Column of the error, from 1.
        column: usize,
    },
    /// The document is a resource of another type.
    #[error("the document is not an ImagingStudy")]
    ResourceType,
    /// The attribute `subject` names another subject than the document.
    #[error("attribute subject names another subject than the document")]
    Subject,
    /// The item has neither a document nor the elements of one.
    #[error("the item has no document")]
    Missing,
    /// The item names no part, or more than [`MAX_PARTS`].
    #[error("the item names {0} parts: must be 1 to {MAX_PARTS}")]
    PartCount(usize),
    /// A part that the item names does not exist.
    #[error("a part of the document is missing")]
    PartMissing,
}

impl From<serde_json::Error> for DocumentError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json { line: error.line(), column: error.column() }
    }
}

/// An error and its sources, outermost first, in one line. A source whose text its outer error repeats is left out.
///
/// Uses `Display`, never `Debug`: the `Debug` form of an SDK error contains the raw response.
#[must_use]
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in std::iter::successors(Some(error), |&error| error.source()) {
        let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if !texts.iter().any(|outer| outer.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

/// Whether an error code of DynamoDB means that it throttled the request.
#[must_use]
pub fn throttles(code: Option<&str>) -> bool {
    matches!(
        code,
        Some(
            "ProvisionedThroughputExceededException"
                | "RequestLimitExceeded"
                | "ThrottlingException"
                | "Throttling"
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn an_error_chain_is_one_line_without_repetitions() {
        let texts =
            ["no connection: refused\n  (os error 111)", "refused (os error 111)", "refused", "port 1"];
        let error = texts.into_iter().rev().fold(None, |source, text| Some(Box::new(Layer { text, source })));
        assert_eq!(chain(&*error.unwrap()), "no connection: refused (os error 111): port 1");
    }
}
