//! What can be wrong with a document.

use std::borrow::Cow;

use thiserror::Error;

/// Problems reported per document; the rest are counted.
pub const MAX_PROBLEMS: usize = 20;

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
