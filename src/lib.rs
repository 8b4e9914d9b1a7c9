//! Serves FHIR R4 `ImagingStudy` resources out of DynamoDB: one AWS Lambda function behind API Gateway that answers
//! `GET /site/{siteId}/fhir/imaging-study/{id}`.
//!
//! The way of a request, each step taking the type of the step before and ending either in the next or in one
//! [`Refusal`]:
//!
//! - [`config`]: environment variables become a [`Config`], at the start, or the function does not start.
//! - [`event`]: events that `lambda_http` would stumble over are set right.
//! - [`auth`]: the `Authorization` header becomes a [`auth::Principal`], or 401.
//! - [`target`]: the path becomes a [`target::Target`], or 400.
//! - [`auth`] again: may this principal read this site? Else 403 or 404.
//! - [`store`]: the target becomes a [`document::StoredStudy`]; nothing reaches the table before this.
//! - [`document`]: the forms in which a study stands in the table.
//! - [`answer`]: status, headers and the representation that the client asked for.
//! - [`audit`]: the one line that the request leaves in the log.
//!
//! [`aws`] says how AWS is reached, `causes` how an error is told in the log. With the feature `cli`, `source`, `r4`, `load` and `table` are what the operator's
//! tool `studies` is made of: documents are read, checked, and written.

pub mod answer;
pub mod audit;
pub mod auth;
pub mod aws;
mod causes;
pub mod config;
pub mod document;
pub mod event;
#[cfg(feature = "cli")]
pub mod load;
#[cfg(feature = "cli")]
pub mod r4;
#[cfg(feature = "cli")]
pub mod source;
pub mod store;
#[cfg(feature = "cli")]
pub mod table;
pub mod target;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::FutureExt as _;
use lambda_http::http::{HeaderName, HeaderValue, Method, StatusCode};
use lambda_http::{Body, Request, Response};
use thiserror::Error;

use answer::{Answer, Media, Refusal, Wish};
use audit::Audit;
use auth::{BrokenCryptography, Verifier};
use causes::causes;
use config::Config;
use store::Store;
use target::Target;

/// The service: what a request needs, made once.
pub struct Service {
    verifier: Verifier,
    store: Store,
    cold: AtomicBool,
}

impl Service {
    /// A service that accepts what `verifier` accepts and reads from `store`.
    #[must_use]
    pub fn new(verifier: Verifier, store: Store) -> Self {
        Self { verifier, store, cold: AtomicBool::new(true) }
    }

    /// Makes the clients that `config` asks for.
    pub async fn from_config(config: Config) -> Result<Self, StartError> {
        let roots = config.ca_bundle.as_deref().map(aws::ca_bundle).transpose()?;
        let aws = aws::sdk_config(roots).await;
        let verifier = Verifier::new(config.auth, &aws)?;
        let endpoint = config.dynamodb_endpoint.as_deref();
        let store = Store::new(&aws, endpoint, config.table_name, config.consistent_read);
        Ok(Self::new(verifier, store))
    }

    /// Loads the keys and opens the store's connection, side by side, so that the first request waits for neither.
    /// What fails is logged and tried again by the request that needs it.
    pub async fn warm_up(&self) {
        let (keys, connection) = tokio::join!(self.verifier.load_keys(), self.store.connect());
        if let Err(error) = keys {
            tracing::warn!(cause = causes(&error), "no keys at the start");
        }
        if let Err(error) = connection {
            tracing::warn!(cause = causes(&error), "no table at the start");
        }
    }

    /// Answers a request. Whatever happens, there is an answer and one line in the log.
    pub async fn handle(&self, request: Request) -> Answer {
        let mut audit = Audit::begin(self.cold.swap(false, Ordering::Relaxed));
        let outcome = AssertUnwindSafe(self.study(&request, &mut audit)).catch_unwind().await;
        let outcome = outcome.unwrap_or(Err(Refusal::Panicked));
        let (mut response, reason, cause) = match outcome {
            Ok(response) if response.status() == StatusCode::NOT_MODIFIED => (response, "not_modified", None),
            Ok(response) => (response, "ok", None),
            Err(refusal) => {
                let media = Media::wanted(&request).unwrap_or_default();
                (refusal.response(media), refusal.word(), refusal.cause())
            }
        };
        if request.method() == Method::HEAD {
            answer::strip_body(&mut response);
        }
        if let Some(id) = audit::request_id(&request).and_then(|id| HeaderValue::from_str(id).ok()) {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        audit.end(&request, &response, reason, cause.as_deref());
        Answer(response)
    }

    async fn study(&self, request: &Request, audit: &mut Audit) -> Result<Response<Body>, Refusal> {
        if !answer::is_read(request.method()) {
            return Err(Refusal::MethodNotAllowed);
        }
        let since = Instant::now();
        let principal = self.verifier.authenticate(request.headers()).await;
        audit.judged(since);
        let principal = principal?;
        audit.principal(&principal);
        let target = Target::from_request(request)?;
        audit.target(&target);
        let reach = principal.authorize(&target.site)?;
        let wish = Wish::of(request)?;

        let since = Instant::now();
        let reading = self.store.study(&target).await;
        audit.read(since, reading.read_units);
        let study = reading.study?.ok_or(Refusal::StudyNotFound)?;
        audit.form(study.form);
        if !reach.covers(study.properties.subject.as_deref()) {
            return Err(Refusal::PatientNotGranted);
        }
        answer::found(request, study, &wish)
    }
}

/// Why the service does not start, beside its configuration.
#[derive(Debug, Error)]
pub enum StartError {
    /// The roots for private endpoints cannot be had.
    #[error(transparent)]
    CaBundle(#[from] aws::CaBundleError),
    /// The build is not fit to run.
    #[error(transparent)]
    Cryptography(#[from] BrokenCryptography),
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
