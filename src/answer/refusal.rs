//! Every way in which a request can end without its document, and the one mapping of these to answers.

use std::borrow::Cow;

use lambda_http::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use lambda_http::http::{HeaderMap, HeaderValue, Method, StatusCode};
use lambda_http::{Body, Response};
use serde_json::json;

use super::{Media, VARY_BY, assembled};
use crate::auth::{Denial, Reason, Refusal as AuthRefusal};
use crate::causes::causes;
use crate::document::DocumentError;
use crate::store::StoreError;
use crate::target::TargetError;

/// Why a request is not answered with its document.
#[derive(Debug)]
pub enum Refusal {
    /// The method is neither GET nor HEAD.
    MethodNotAllowed,
    /// There is no token, or it is not accepted.
    Token(Reason),
    /// No key set could be had, so no token can be judged.
    KeysUnavailable,
    /// The path names no study.
    Target(TargetError),
    /// The token's SMART scopes do not grant this read.
    ScopeInsufficient,
    /// The token's `patient/` scope is for another patient than the study's.
    PatientNotGranted,
    /// The token does not grant the site.
    SiteNotGranted,
    /// There is no such study.
    StudyNotFound,
    /// The client accepts no representation that exists.
    NotAcceptable,
    /// The document only fits compressed, and the client does not take gzip.
    CompressionRequired,
    /// `If-Match` or `If-Unmodified-Since` does not hold.
    PreconditionFailed,
    /// The store failed.
    Store(StoreError),
    /// What is stored cannot be served.
    Document(DocumentError),
    /// The handler panicked.
    Panicked,
}

impl Refusal {
    /// The status that the refusal is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Target(TargetError::SiteId | TargetError::StudyId) => StatusCode::BAD_REQUEST,
            Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::ScopeInsufficient | Self::PatientNotGranted => StatusCode::FORBIDDEN,
            // RFC 9110 §15.5.4 lets a server hide that it forbids.
            Self::Target(TargetError::Route) | Self::SiteNotGranted | Self::StudyNotFound => {
                StatusCode::NOT_FOUND
            }
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable | Self::CompressionRequired => StatusCode::NOT_ACCEPTABLE,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::Store(StoreError::Refused(_) | StoreError::Document(_))
            | Self::Document(_)
            | Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            Self::KeysUnavailable | Self::Store(StoreError::Throttled(_) | StoreError::Unreachable(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Store(StoreError::Timeout) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The stable word for the reason in the audit line.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Token(reason) => reason.word(),
            Self::KeysUnavailable => "keys_unavailable",
            Self::Target(TargetError::Route) => "route_unknown",
            Self::Target(TargetError::SiteId) => "site_id_malformed",
            Self::Target(TargetError::StudyId) => "study_id_malformed",
            Self::ScopeInsufficient => "scope_insufficient",
            Self::PatientNotGranted => "patient_not_granted",
            Self::SiteNotGranted => "site_not_granted",
            Self::StudyNotFound => "study_not_found",
            Self::NotAcceptable => "not_acceptable",
            Self::CompressionRequired => "compression_required",
            Self::PreconditionFailed => "precondition_failed",
            Self::Store(StoreError::Throttled(_)) => "store_throttled",
            Self::Store(StoreError::Unreachable(_)) => "store_unreachable",
            Self::Store(StoreError::Timeout) => "store_timeout",
            Self::Store(StoreError::Refused(_)) => "store_refused",
            Self::Store(StoreError::Document(_)) | Self::Document(_) => "document_broken",
            Self::Panicked => "panicked",
        }
    }

    /// What lies behind the refusal, for the log and never for the client; `None` where the word says it all.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Store(error) => Some(causes(error)),
            Self::Document(error) => Some(causes(error)),
            _ => None,
        }
    }

    /// The refusal as an answer, in the media type that the client prefers.
    #[must_use]
    pub fn response(&self, media: Media) -> Response<Body> {
        let status = self.status();
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media.name()));
        headers.insert(VARY, VARY_BY);
        match self {
            Self::Token(reason) => {
                headers.insert(WWW_AUTHENTICATE, challenge(*reason));
            }
            Self::ScopeInsufficient | Self::PatientNotGranted => {
                headers.insert(WWW_AUTHENTICATE, INSUFFICIENT_SCOPE);
            }
            Self::MethodNotAllowed => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            _ if status == StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        let body = match media {
            Media::Json => json!({ "message": self.message(), "statusCode": status.as_u16() }),
            Media::FhirJson => json!({
                "resourceType": "OperationOutcome",
                "issue": [{
                    "severity": "error",
                    "code": self.issue_type(),
                    "diagnostics": self.message(),
                }],
            }),
        };
        assembled(status, headers, Body::Text(body.to_string()))
    }

    fn message(&self) -> Cow<'static, str> {
        let message = match self {
            Self::Target(error @ (TargetError::SiteId | TargetError::StudyId)) => {
                return error.to_string().into();
            }
            Self::Token(_) => "Unauthorized",
            Self::ScopeInsufficient | Self::PatientNotGranted => "The token's scopes do not grant this read",
            Self::Target(TargetError::Route) | Self::SiteNotGranted | Self::StudyNotFound => "Not Found",
            Self::MethodNotAllowed => "Only GET and HEAD are answered",
            Self::NotAcceptable => "Only application/json and application/fhir+json can be sent",
            Self::CompressionRequired => {
                "The study is too large to be sent uncompressed: send Accept-Encoding: gzip"
            }
            Self::PreconditionFailed => "The study is not in the state that the request's conditions name",
            Self::Store(StoreError::Refused(_) | StoreError::Document(_))
            | Self::Document(_)
            | Self::Panicked => "Internal Server Error",
            Self::KeysUnavailable | Self::Store(StoreError::Throttled(_) | StoreError::Unreachable(_)) => {
                "Service Unavailable"
            }
            Self::Store(StoreError::Timeout) => "Gateway Timeout",
        };
        message.into()
    }

    /// A code of FHIR R4's value set issue-type.
    fn issue_type(&self) -> &'static str {
        match self.status() {
            StatusCode::BAD_REQUEST => "value",
            StatusCode::UNAUTHORIZED => "login",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::NOT_FOUND => "not-found",
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_ACCEPTABLE => "not-supported",
            StatusCode::PRECONDITION_FAILED => "conflict",
            StatusCode::SERVICE_UNAVAILABLE => match self {
                Self::Store(StoreError::Throttled(_)) => "throttled",
                _ => "transient",
            },
            StatusCode::GATEWAY_TIMEOUT => "timeout",
            _ => "exception",
        }
    }
}

/// Whether a method is one that is answered.
pub(crate) fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

const INSUFFICIENT_SCOPE: HeaderValue = HeaderValue::from_static("Bearer error=\"insufficient_scope\"");

/// RFC 6750 §3: no error code where no credentials came, `invalid_token` otherwise.
fn challenge(reason: Reason) -> HeaderValue {
    let plain = HeaderValue::from_static("Bearer realm=\"imaging-study\"");
    match reason.description() {
        None => plain,
        Some(text) => {
            let value = format!("Bearer error=\"invalid_token\", error_description=\"{text}\"");
            HeaderValue::try_from(value).unwrap_or(plain)
        }
    }
}

impl From<AuthRefusal> for Refusal {
    fn from(refusal: AuthRefusal) -> Self {
        match refusal {
            AuthRefusal::Token(reason) => Self::Token(reason),
            AuthRefusal::KeysUnavailable(_) => Self::KeysUnavailable,
        }
    }
}

impl From<TargetError> for Refusal {
    fn from(error: TargetError) -> Self {
        Self::Target(error)
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Scope => Self::ScopeInsufficient,
            Denial::Site => Self::SiteNotGranted,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Document(error) => Self::Document(error),
            error => Self::Store(error),
        }
    }
}

impl From<DocumentError> for Refusal {
    fn from(error: DocumentError) -> Self {
        Self::Document(error)
    }
}
