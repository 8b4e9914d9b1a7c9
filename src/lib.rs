//! Serves FHIR R4 `ImagingStudy` resources from DynamoDB: one AWS Lambda function behind API Gateway that answers
//! `GET /site/{siteId}/fhir/imaging-study/{id}`, the same study at `…/fhir/ImagingStudy/{id}`, and `…/fhir/metadata`.
//!
//! [`Service`] walks a request through these modules, each of which yields the next one's input or an error:
//!
//! - `api`: the event becomes a request, its path a [`table::id::StudyRef`], its headers the options of the response.
//! - [`auth`]: the `Authorization` header becomes a [`auth::Principal`], who may or may not read the site.
//! - [`store`]: the `StudyRef` becomes a [`table::read::StoredStudy`].
//! - `api` again: the study, or the error, becomes a response.
//! - [`audit`]: each request leaves one line in the log.
//!
//! [`config`] alone reads the environment, at start; [`aws`] configures the AWS clients.

mod api;
pub mod audit;
pub mod auth;
pub mod aws;
pub mod config;
mod service;
pub mod store;

pub use api::{ApiError, Event, MalformedEvent, Media, SmartConfiguration};
pub use config::Config;
pub use service::Service;
