//! HTTP: events in, responses out.

mod capability;
mod conditional;
mod error;
pub mod event;
mod negotiation;
mod response;
mod route;
mod subset;

pub(crate) use capability::Capabilities;
pub use error::ApiError;
pub(crate) use error::is_read;
pub use negotiation::{Coding, Media};
pub use response::*;
pub(crate) use route::RequestPath;
pub use route::Route;
pub use subset::Subset;
