//! The files that others rely on, `openapi.yaml` and `template.yaml`, against the code.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod openapi;
mod template;
mod yaml;
