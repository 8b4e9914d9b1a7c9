//! The service while what it depends on misbehaves.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod keys;
mod memory;
mod store;
mod thaw;

/// Tests that measure time take turns.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
