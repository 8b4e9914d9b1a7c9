//! The table, and the one call that is made to it: `GetItem`.

pub mod attribute;
mod encode;
mod item;

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_runtime::user_agent::UserAgentInterceptor;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::endpoint::{
    DefaultResolver, Endpoint, EndpointFuture, Params, ResolveEndpoint,
};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, BeforeSerializationInterceptorContextRef,
    BeforeTransmitInterceptorContextMut,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, disable_interceptor, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};
use http::header::USER_AGENT;
use http_body_util::Limited;
use thiserror::Error;

pub(crate) use encode::compress;
pub use encode::{EncodeError, Encoded, encode, item_size, part_keys};
pub use item::{
    DocumentError, Item, Json, MAX_GZIP_BYTES, MAX_JSON_BYTES, MAX_PARTS, Properties, StorageFormat,
    StoredItem, StoredStudy, inflate, join, read,
};
pub(crate) use item::{check_gzip, claimed_len, digest, digest_tag, fits_response};

use crate::ids::{SiteId, StudyRef};

/// Time limit of one read with all its calls.
pub const READ: Duration = Duration::from_secs(5);
/// Maximum size of a response of DynamoDB: several times an item of 400 KB with every character escaped.
const MAX_RESPONSE_BYTES: usize = 8 << 20;
/// Parts of a document that are fetched at once.
const PARTS_AT_ONCE: usize = 4;

/// The table of studies, to read from only.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    table: String,
    consistent: bool,
}

/// What a read found, and what it cost.
#[derive(Debug)]
pub struct ReadResult<T> {
    /// What was found; `None` if there is no such study.
    pub found: Result<Option<Found<T>>, StoreError>,
    /// Read capacity units that DynamoDB reported, whether or not the read succeeded.
    pub read_units: f64,
}

/// A study that exists.
#[derive(Debug)]
pub enum Found<T> {
    /// Its item was enough to decide.
    Decided(StorageFormat, T),
    /// The whole document.
    Document(StoredStudy),
}

/// Why a study could not be read.
#[derive(Debug, Error)]
pub enum StoreError {
    /// DynamoDB throttled the request.
    #[error("DynamoDB throttled the request")]
    Throttled(#[source] Box<SdkError<GetItemError>>),
    /// DynamoDB could not be reached, or failed on its side.
    #[error("DynamoDB is unavailable")]
    Unreachable(#[source] Box<SdkError<GetItemError>>),
    /// DynamoDB did not answer in time.
    #[error("DynamoDB did not answer in time")]
    Timeout,
    /// DynamoDB rejected the request: no permission, no such table, no credentials.
    #[error("DynamoDB rejected the request")]
    Refused(#[source] Box<SdkError<GetItemError>>),
    /// The item exists and cannot be served.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl Store {
    /// A store that reads `table`, at `endpoint` if one is given, strongly consistent if `consistent`.
    #[must_use]
    pub fn new(aws: &SdkConfig, endpoint: Option<&str>, table: String, consistent: bool) -> Self {
        let resolver = ResolvedOnce { rules: DefaultResolver::new(), endpoint: OnceLock::new() };
        let mut config = aws_sdk_dynamodb::config::Builder::from(aws)
            .endpoint_resolver(resolver)
            .interceptor(ConstantUserAgent)
            .interceptor(LimitedResponse);
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        Self { client: Client::from_conf(config.build()), table, consistent }
    }

    /// Opens the connection by reading an item that cannot exist: the first request finds the connection open, and a
    /// wrong table or a missing permission shows at start.
    pub async fn connect(&self) -> Result<(), StoreError> {
        self.item(attribute::NO_STUDY, attribute::NO_STUDY, false, &ReadUnits::default()).await.map(drop)
    }

    /// Reads a study: by its id as given and, if there is none, by the id in lower case.
    ///
    /// `decide` sees the study's own item. Where it returns a value, that is the result, and no parts are fetched.
    pub async fn study<T>(
        &self,
        study: &StudyRef,
        decide: impl Fn(&StoredItem) -> Option<T>,
    ) -> ReadResult<T> {
        let units = ReadUnits::default();
        let found = tokio::time::timeout(READ, self.find(study, &decide, &units))
            .await
            .unwrap_or(Err(StoreError::Timeout));
        ReadResult { found, read_units: units.total() }
    }

    async fn find<T>(
        &self,
        study: &StudyRef,
        decide: &impl Fn(&StoredItem) -> Option<T>,
        units: &ReadUnits,
    ) -> Result<Option<Found<T>>, StoreError> {
        let found = self.at(&study.site, study.study.as_str(), decide, units).await?;
        match study.study.lower_case() {
            Some(lower) if found.is_none() => self.at(&study.site, lower.as_str(), decide, units).await,
            _ => Ok(found),
        }
    }

    async fn at<T>(
        &self,
        site: &SiteId,
        key: &str,
        decide: &impl Fn(&StoredItem) -> Option<T>,
        units: &ReadUnits,
    ) -> Result<Option<Found<T>>, StoreError> {
        match self.once(site, key, self.consistent, decide, units).await {
            // Either the document was replaced after its head was read, or an eventually consistent read does not see
            // a part yet. A strongly consistent read sees the newest version as a whole.
            Err(StoreError::Document(DocumentError::PartMissing)) => {
                self.once(site, key, true, decide, units).await
            }
            outcome => outcome,
        }
    }

    async fn once<T>(
        &self,
        site: &SiteId,
        key: &str,
        consistent: bool,
        decide: &impl Fn(&StoredItem) -> Option<T>,
        units: &ReadUnits,
    ) -> Result<Option<Found<T>>, StoreError> {
        let Some(item) = self.item(site.as_str(), key, consistent, units).await? else {
            return Ok(None);
        };
        let item = read(item)?;
        if let Some(decision) = decide(&item) {
            return Ok(Some(Found::Decided(item.format(), decision)));
        }
        match item {
            StoredItem::Whole(study) => Ok(Some(Found::Document(study))),
            StoredItem::Split { parts, properties } => {
                let gzip = join(&self.parts(site, parts, consistent, units).await?)?;
                let study = StoredStudy { json: Json::Gzip(gzip), format: StorageFormat::Gzip, properties };
                Ok(Some(Found::Document(study)))
            }
        }
    }

    /// The parts under these keys, in order: at most [`MAX_PARTS`] items, whose size DynamoDB bounds.
    async fn parts(
        &self,
        site: &SiteId,
        keys: Vec<String>,
        consistent: bool,
        units: &ReadUnits,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        iter(keys)
            .map(|key| self.part(site, key, consistent, units))
            .buffered(PARTS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn part(
        &self,
        site: &SiteId,
        key: String,
        consistent: bool,
        units: &ReadUnits,
    ) -> Result<Vec<u8>, StoreError> {
        let item = self.item(site.as_str(), &key, consistent, units).await?;
        match item.ok_or(DocumentError::PartMissing)?.remove(attribute::DOCUMENT) {
            Some(AttributeValue::B(bytes)) => Ok(bytes.into_inner()),
            _ => Err(DocumentError::AttributeType(attribute::DOCUMENT).into()),
        }
    }

    async fn item(
        &self,
        site: &str,
        key: &str,
        consistent: bool,
        units: &ReadUnits,
    ) -> Result<Option<Item>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(attribute::SITE, AttributeValue::S(site.to_owned()))
            .key(attribute::ID, AttributeValue::S(key.to_owned()))
            .consistent_read(consistent)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(StoreError::from)?;
        units.add(output.consumed_capacity.and_then(|consumed| consumed.capacity_units).unwrap_or(0.0));
        Ok(output.item)
    }
}

/// The read capacity units of one read, counted as each response arrives: a read that fails or is cut off has cost
/// them too.
#[derive(Default)]
struct ReadUnits(Mutex<f64>);

impl ReadUnits {
    fn add(&self, units: f64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += units;
    }

    fn total(self) -> f64 {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves the endpoint at the first call and keeps it: table and region do not change, and the SDK would evaluate its
/// rules for each call.
#[derive(Debug)]
struct ResolvedOnce {
    rules: DefaultResolver,
    endpoint: OnceLock<Endpoint>,
}

impl ResolveEndpoint for ResolvedOnce {
    fn resolve_endpoint<'a>(&'a self, params: &'a Params) -> EndpointFuture<'a> {
        if let Some(endpoint) = self.endpoint.get() {
            return EndpointFuture::ready(Ok(endpoint.clone()));
        }
        EndpointFuture::new(async move {
            let endpoint = self.rules.resolve_endpoint(params).await?;
            Ok(self.endpoint.get_or_init(|| endpoint).clone())
        })
    }
}

/// Stops reading a response at [`MAX_RESPONSE_BYTES`]: the SDK would keep all of it in memory.
#[derive(Debug)]
struct LimitedResponse;

#[dyn_dispatch_hint]
impl Intercept for LimitedResponse {
    fn name(&self) -> &'static str {
        "LimitedResponse"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        let body = Limited::new(response.take_body(), MAX_RESPONSE_BYTES);
        *response.body_mut() = SdkBody::from_body_1_x(body);
        Ok(())
    }
}

/// Sends the function's own name. The SDK would put together, and sign, a description of itself and of its environment
/// for each call.
#[derive(Debug)]
struct ConstantUserAgent;

impl ConstantUserAgent {
    const NAME: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
}

#[dyn_dispatch_hint]
impl Intercept for ConstantUserAgent {
    fn name(&self) -> &'static str {
        "ConstantUserAgent"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let disabled = disable_interceptor::<UserAgentInterceptor>("the user agent is constant");
        config.interceptor_state().store_put(disabled);
        Ok(())
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().headers_mut().insert(USER_AGENT.as_str(), Self::NAME);
        Ok(())
    }
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

/// Whether an error code of DynamoDB means that it throttled the request.
#[must_use]
pub fn throttles(code: Option<&str>) -> bool {
    matches!(
        code,
        Some(
            "ProvisionedThroughputExceededException"
                | "RequestLimitExceeded"
                | "ThrottlingException"
                | "Throttling"
        )
    )
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::client::result::ConnectorError;

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
