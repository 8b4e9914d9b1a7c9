//! The service while what it depends on misbehaves.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod keys;
