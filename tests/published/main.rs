//! What others rely on, `openapi.yaml`, `template.yaml` and the pages, against the code.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod openapi;
mod pages;
mod template;
mod yaml;
