//! Why a study could not be read.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use table::error::{DocumentError, throttles};
use thiserror::Error;

/// Why a study could not be read.
#[derive(Debug, Error)]
pub enum StoreError {
    /// DynamoDB throttled the request.
    #[error("DynamoDB throttled the request")]
    Throttled(#[source] Box<SdkError<GetItemError>>),
    /// DynamoDB could not be reached, or failed on its side.
    #[error("DynamoDB is unavailable")]
    Unreachable(#[source] Box<SdkError<GetItemError>>),
    /// DynamoDB did not respond in time.
    #[error("DynamoDB did not respond in time")]
    Timeout,
    /// DynamoDB rejected the request: no permission, no such table, no credentials.
    #[error("DynamoDB rejected the request")]
    Refused(#[source] Box<SdkError<GetItemError>>),
    /// The item exists and cannot be served.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl From<SdkError<GetItemError>> for StoreError {
    fn from(error: SdkError<GetItemError>) -> Self {
        let boxed = Box::new(error);
        match boxed.as_ref() {
            SdkError::TimeoutError(_) => Self::Timeout,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Self::Timeout,
            // Nothing was sent: no credentials, for example.
            SdkError::ConstructionFailure(_) => Self::Refused(boxed),
            SdkError::DispatchFailure(failure) if failure.is_user() => Self::Refused(boxed),
            SdkError::ServiceError(service) => match service.err().code() {
                code if throttles(code) || service.raw().status().as_u16() == 429 => Self::Throttled(boxed),
                // A response that is no error, and cannot be read either, is damaged.
                _ if service.raw().status().is_server_error() || service.raw().status().is_success() => {
                    Self::Unreachable(boxed)
                }
                _ => Self::Refused(boxed),
            },
            _ => Self::Unreachable(boxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::box_error::BoxError;
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn code(error: SdkError<GetItemError>) -> &'static str {
        match StoreError::from(error) {
            StoreError::Throttled(_) => "throttled",
            StoreError::Unreachable(_) => "unreachable",
            StoreError::Timeout => "timeout",
            StoreError::Refused(_) => "refused",
            StoreError::Document(_) => "document",
        }
    }

    #[test]
    fn a_failed_call_is_told_apart_by_what_failed() {
        let connector =
            |error: fn(BoxError) -> ConnectorError| SdkError::dispatch_failure(error("cause".into()));
        let service = |status: u16| {
            let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
            SdkError::service_error(GetItemError::unhandled("cause"), response)
        };
        for (error, expected) in [
            (SdkError::timeout_error("cause"), "timeout"),
            (SdkError::construction_failure("cause"), "refused"),
            (connector(ConnectorError::timeout), "timeout"),
            (connector(ConnectorError::user), "refused"),
            (connector(ConnectorError::io), "unreachable"),
            (service(429), "throttled"),
            (service(500), "unreachable"),
            (service(200), "unreachable"),
            (service(400), "refused"),
        ] {
            let name = format!("{error:?}");
            assert_eq!(code(error), expected, "{name}");
        }
    }
}
