//! The verifier, from the `Authorization` header to the principal.

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
