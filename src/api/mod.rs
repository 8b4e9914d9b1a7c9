//! The API: events in, responses out.

mod conditional;
mod error;
mod event;
mod metadata;
mod negotiation;
mod payload;
mod reply;
mod route;
mod smart_configuration;
mod study;
mod subset;

pub use self::error::ApiError;
pub use self::event::{Event, MalformedEvent};
pub(crate) use self::metadata::metadata;
pub use self::negotiation::Media;
pub(crate) use self::payload::{Payload, PayloadFormat};
pub(crate) use self::reply::{body_len, options, without_body};
pub(crate) use self::route::{RequestPath, Route};
pub use self::smart_configuration::SmartConfiguration;
pub(crate) use self::study::{ResponseOptions, response_to_head, response_to_study};
