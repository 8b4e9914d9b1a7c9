//! How an error is told in the log.

use std::error::Error;

/// An error and its sources on one line. What they print, never their `Debug`: an SDK's error carries the raw answer.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
