//! The service in this process: the handler, its tokens and their keys, and what it depends on misbehaving.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod api;
mod auth;
mod faults;
