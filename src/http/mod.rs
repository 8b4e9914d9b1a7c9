//! HTTP: events in, responses out.

mod capability;
mod conditional;
mod error;
pub mod event;
mod negotiation;
mod payload;
mod response;
mod route;
mod subset;

pub(crate) use capability::Capabilities;
pub use error::ApiError;
pub(crate) use error::is_read;
pub use negotiation::Media;
pub(crate) use payload::{Payload, PayloadFormat};
pub(crate) use response::{ResponseOptions, body_len, response_to_item, response_to_study, without_body};
pub(crate) use route::{RequestPath, Route};
