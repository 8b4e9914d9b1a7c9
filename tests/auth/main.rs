//! The verifier, from the `Authorization` header to the principal.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails right there")]

mod support;
mod token;
mod vectors;
