//! API errors and the responses they map to.

use lambda_http::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use lambda_http::http::{HeaderMap, HeaderValue, StatusCode};
use lambda_http::{Body, Response};
use serde_json::json;
use table::error::{DocumentError, chain};
use table::id::IdError;
use thiserror::Error;

use super::negotiation::Media;
use super::reply::{METHODS, VARY_BY, response};
use crate::auth::{AuthError, Forbidden, KeysUnavailable, TokenError};
use crate::store::StoreError;

/// Why a request does not get its document, as the client reads it.
#[derive(Debug, Error)]
pub enum ApiError {
    /// The method is neither GET, HEAD nor OPTIONS.
    #[error("Method not allowed")]
    MethodNotAllowed,
    /// The token is missing or not accepted.
    #[error("Unauthorized")]
    Token(#[from] TokenError),
    /// No key set could be loaded, so no token can be verified.
    #[error("Service Unavailable")]
    KeysUnavailable(KeysUnavailable),
    /// The key set lacks the token's key, and a newer one could not be fetched.
    #[error("Service Unavailable")]
    KeyUnconfirmed(KeysUnavailable),
    /// The path is not a route of this service.
    #[error("{NOT_FOUND}")]
    RouteNotFound,
    /// The path names a FHIR resource or interaction other than reading an ImagingStudy.
    #[error("Only ImagingStudy/{{id}} and metadata are supported")]
    InteractionNotSupported,
    /// The path's `siteId` or `id` is malformed.
    #[error(transparent)]
    InvalidId(#[from] IdError),
    /// The token does not grant this read.
    #[error("{}", if .0.is_about_sites() { NOT_FOUND } else { "The token does not grant this read" })]
    Forbidden(#[from] Forbidden),
    /// There is no such study.
    #[error("{NOT_FOUND}")]
    StudyNotFound,
    /// The client accepts neither JSON media type.
    #[error("Only application/json and application/fhir+json can be sent")]
    MediaNotAcceptable,
    /// The client accepts neither gzip nor uncompressed text.
    #[error("Only the content codings gzip and identity can be sent")]
    CodingNotAcceptable,
    /// The document is too large to be sent uncompressed, and the client does not accept gzip.
    #[error("The study is too large to be sent uncompressed: send Accept-Encoding: gzip")]
    CompressionRequired,
    /// `If-Match` or `If-Unmodified-Since` is false.
    #[error("The study is not in the state that the request's preconditions name")]
    PreconditionFailed,
    /// The study could not be read, or cannot be served.
    #[error("{}", reason_phrase(.0))]
    Store(#[from] StoreError),
    /// The handler panicked.
    #[error("Internal Server Error")]
    Panicked,
}

impl ApiError {
    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::InvalidId(_) => StatusCode::BAD_REQUEST,
            Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(forbidden) if !forbidden.is_about_sites() => StatusCode::FORBIDDEN,
            // RFC 9110 §15.5.4: a server may hide that access is forbidden.
            Self::RouteNotFound
            | Self::InteractionNotSupported
            | Self::Forbidden(_)
            | Self::StudyNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaNotAcceptable | Self::CodingNotAcceptable | Self::CompressionRequired => {
                StatusCode::NOT_ACCEPTABLE
            }
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::Store(StoreError::Refused(_) | StoreError::Document(_)) | Self::Panicked => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::KeysUnavailable(_)
            | Self::KeyUnconfirmed(_)
            | Self::Store(StoreError::Throttled(_) | StoreError::Unreachable(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Store(StoreError::Timeout) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The `reason` of the audit line: stable, dashboards depend on it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Token(reason) => reason.code(),
            Self::KeysUnavailable(_) => "keys_unavailable",
            Self::KeyUnconfirmed(_) => "key_unconfirmed",
            Self::RouteNotFound => "route_unknown",
            Self::InteractionNotSupported => "interaction_not_supported",
            Self::InvalidId(IdError::SiteId) => "site_id_malformed",
            Self::InvalidId(IdError::FhirId) => "study_id_malformed",
            Self::Forbidden(forbidden) => forbidden.code(),
            Self::StudyNotFound => "study_not_found",
            Self::MediaNotAcceptable | Self::CodingNotAcceptable => "not_acceptable",
            Self::CompressionRequired => "compression_required",
            Self::PreconditionFailed => "precondition_failed",
            Self::Store(StoreError::Throttled(_)) => "store_throttled",
            Self::Store(StoreError::Unreachable(_)) => "store_unreachable",
            Self::Store(StoreError::Timeout) => "store_timeout",
            Self::Store(StoreError::Refused(_)) => "store_refused",
            Self::Store(StoreError::Document(_)) => "document_broken",
            Self::Panicked => "panicked",
        }
    }

    /// The causes, for the log and never for the client; `None` if [`ApiError::code`] is all there is to say.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Store(error) => Some(chain(error)),
            _ => None,
        }
    }

    /// The error as a response in this media type.
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
            Self::Forbidden(_) if status == StatusCode::FORBIDDEN => {
                headers.insert(WWW_AUTHENTICATE, INSUFFICIENT_SCOPE);
            }
            Self::MethodNotAllowed => {
                headers.insert(ALLOW, METHODS);
            }
            _ if status == StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, self.retry_after().into());
            }
            _ => {}
        }
        let body = match media {
            Media::Json => json!({ "message": self.to_string(), "statusCode": status.as_u16() }),
            Media::FhirJson => json!({
                "resourceType": "OperationOutcome",
                "issue": [{
                    "severity": "error",
                    "code": self.issue_type(),
                    "diagnostics": self.to_string(),
                }],
            }),
        };
        response(status, headers, Body::Text(body.to_string()))
    }

    /// The delay of `Retry-After`, in whole seconds. DynamoDB's throttling passes within a second.
    fn retry_after(&self) -> u64 {
        match self {
            Self::KeysUnavailable(KeysUnavailable { retry_after })
            | Self::KeyUnconfirmed(KeysUnavailable { retry_after }) => {
                let part = u64::from(retry_after.subsec_nanos() > 0);
                (retry_after.as_secs() + part).max(1)
            }
            _ => 1,
        }
    }

    /// A code of the value set `issue-type` (FHIR R4).
    fn issue_type(&self) -> &'static str {
        match (self.status(), self) {
            (_, Self::InteractionNotSupported) => "not-supported",
            (_, Self::Store(StoreError::Throttled(_))) => "throttled",
            (StatusCode::BAD_REQUEST, _) => "value",
            (StatusCode::UNAUTHORIZED, _) => "login",
            (StatusCode::FORBIDDEN, _) => "forbidden",
            (StatusCode::NOT_FOUND, _) => "not-found",
            (StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_ACCEPTABLE, _) => "not-supported",
            (StatusCode::PRECONDITION_FAILED, _) => "conflict",
            (StatusCode::SERVICE_UNAVAILABLE, _) => "transient",
            (StatusCode::GATEWAY_TIMEOUT, _) => "timeout",
            _ => "exception",
        }
    }
}

/// The cause stays in the log.
fn reason_phrase(error: &StoreError) -> &'static str {
    match error {
        StoreError::Refused(_) | StoreError::Document(_) => "Internal Server Error",
        StoreError::Throttled(_) | StoreError::Unreachable(_) => "Service Unavailable",
        StoreError::Timeout => "Gateway Timeout",
    }
}

/// Whether there is no such study or the token does not grant its site: the client cannot tell (RFC 9110 §15.5.4).
const NOT_FOUND: &str = "Not Found";

const INSUFFICIENT_SCOPE: HeaderValue = HeaderValue::from_static("Bearer error=\"insufficient_scope\"");

/// A challenge (RFC 6750 §3): without an error code if the request has no credentials, else `invalid_token`.
fn challenge(reason: TokenError) -> HeaderValue {
    let plain = HeaderValue::from_static("Bearer realm=\"imaging-study\"");
    match reason.description() {
        None => plain,
        Some(text) => {
            let value = format!("Bearer error=\"invalid_token\", error_description=\"{text}\"");
            HeaderValue::try_from(value).unwrap_or(plain)
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Token(reason) => Self::Token(reason),
            AuthError::KeysUnavailable(unavailable) => Self::KeysUnavailable(unavailable),
            AuthError::KeyUnconfirmed(unavailable) => Self::KeyUnconfirmed(unavailable),
        }
    }
}

impl From<DocumentError> for ApiError {
    fn from(error: DocumentError) -> Self {
        Self::Store(error.into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_sdk_dynamodb::error::SdkError;

    use super::*;

    #[test]
    fn every_failure_of_keys_and_store_has_its_status_issue_type_and_delay() {
        let failure = || Box::new(SdkError::timeout_error("the cause"));
        let keys = |millis| {
            ApiError::KeysUnavailable(KeysUnavailable { retry_after: Duration::from_millis(millis) })
        };
        for (error, status, issue_type, retry_after) in [
            (keys(0), 503, "transient", Some("1")),
            (keys(1_000), 503, "transient", Some("1")),
            (keys(29_001), 503, "transient", Some("30")),
            (StoreError::Throttled(failure()).into(), 503, "throttled", Some("1")),
            (StoreError::Unreachable(failure()).into(), 503, "transient", Some("1")),
            (StoreError::Timeout.into(), 504, "timeout", None),
            (StoreError::Refused(failure()).into(), 500, "exception", None),
            (DocumentError::Missing.into(), 500, "exception", None),
            (ApiError::PreconditionFailed, 412, "conflict", None),
            (ApiError::StudyNotFound, 404, "not-found", None),
        ] {
            let response = error.response(Media::FhirJson);
            assert_eq!(response.status().as_u16(), status, "{error:?}");
            let found = response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!((error.issue_type(), found), (issue_type, retry_after), "{error:?}");
        }
    }
}
