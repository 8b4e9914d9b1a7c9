//! HTTP: events in, responses out.

mod conditional;
mod error;
pub mod event;
mod negotiation;
mod response;
mod route;
mod subset;

pub use error::ApiError;
pub(crate) use error::is_read;
pub use negotiation::{Coding, Media};
pub use response::*;
pub(crate) use route::study_ref;
pub use subset::Subset;
