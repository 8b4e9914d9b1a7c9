//! The verifier, from the `Authorization` header to the principal.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on fails right there")]

mod access;
mod api;
mod certificate;
mod issuers;
mod properties;
mod recipes;
mod renewal;
mod secrets;
mod sources;
mod support;
mod tls;
mod token;
mod vectors;
