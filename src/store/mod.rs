//! The table, to read from only.

mod client;
mod error;
mod read;

pub use self::error::StoreError;
pub use self::read::{Found, READ, ReadResult, Store};
