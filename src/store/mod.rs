//! The table, and the one call that is made to it: `GetItem`.

pub mod attribute;
mod encode;
mod item;

use std::sync::OnceLock;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::endpoint::{
    DefaultResolver, Endpoint, EndpointFuture, Params, ResolveEndpoint,
};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use futures_util::future::try_join_all;
use thiserror::Error;

pub(crate) use encode::compress;
pub use encode::{EncodeError, Encoded, encode, part_keys};
pub use item::{
    DocumentError, Item, Json, MAX_GZIP_BYTES, MAX_JSON_BYTES, Properties, StorageFormat, StoredItem,
    StoredStudy, inflate, read,
};
pub(crate) use item::{claimed_len, digest};

use crate::ids::{SiteId, StudyRef};

/// All calls that one read may need take this long at most, together.
pub const READ: Duration = Duration::from_secs(5);

/// The table of studies. It can read and nothing else.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    table: String,
    consistent: bool,
}

/// What a read found, and what it cost.
#[derive(Debug)]
pub struct ReadResult {
    /// The study, or `None` where there is none.
    pub study: Result<Option<StoredStudy>, StoreError>,
    /// Read capacity units consumed, as DynamoDB counts them.
    pub read_units: f64,
}

/// Why a study could not be read.
#[derive(Debug, Error)]
pub enum StoreError {
    /// DynamoDB refuses more calls for now.
    #[error("DynamoDB throttles")]
    Throttled(#[source] Box<SdkError<GetItemError>>),
    /// DynamoDB is out of reach, or fails on its side.
    #[error("DynamoDB is unreachable")]
    Unreachable(#[source] Box<SdkError<GetItemError>>),
    /// DynamoDB did not answer in time.
    #[error("DynamoDB did not answer in time")]
    Timeout,
    /// DynamoDB refuses the call: no permission, no such table, no credentials.
    #[error("DynamoDB refuses the call")]
    Refused(#[source] Box<SdkError<GetItemError>>),
    /// The item is there and cannot be served.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl Store {
    /// A store that reads `table`, at `endpoint` if one is given, strongly consistent if `consistent`.
    #[must_use]
    pub fn new(aws: &SdkConfig, endpoint: Option<&str>, table: String, consistent: bool) -> Self {
        let resolver = ResolvedOnce { rules: DefaultResolver::new(), endpoint: OnceLock::new() };
        let mut config = aws_sdk_dynamodb::config::Builder::from(aws).endpoint_resolver(resolver);
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        Self { client: Client::from_conf(config.build()), table, consistent }
    }

    /// Opens the connection, by reading an item that cannot exist, so that the first request finds it open and a
    /// wrong table or permission shows at the start.
    pub async fn connect(&self) -> Result<(), StoreError> {
        self.item(attribute::NO_STUDY, attribute::NO_STUDY, false, &mut 0.0).await.map(drop)
    }

    /// Reads a study: by its id as given and, where there is none, by the id in lower case.
    pub async fn study(&self, target: &StudyRef) -> ReadResult {
        let mut read_units = 0.0;
        let study = tokio::time::timeout(READ, self.find(target, &mut read_units))
            .await
            .unwrap_or(Err(StoreError::Timeout));
        ReadResult { study, read_units }
    }

    async fn find(&self, target: &StudyRef, units: &mut f64) -> Result<Option<StoredStudy>, StoreError> {
        if let Some(study) = self.at(&target.site, target.study.as_str(), units).await? {
            return Ok(Some(study));
        }
        match target.study.lower_case() {
            Some(lower) => self.at(&target.site, lower.as_str(), units).await,
            None => Ok(None),
        }
    }

    async fn at(&self, site: &SiteId, key: &str, units: &mut f64) -> Result<Option<StoredStudy>, StoreError> {
        match self.assembled(site, key, self.consistent, units).await {
            // The document was replaced between its head and its parts, or a part is not yet to be seen by an
            // eventually consistent read: one more look, at what is there for certain.
            Err(StoreError::Document(DocumentError::PartMissing)) => {
                self.assembled(site, key, true, units).await
            }
            outcome => outcome,
        }
    }

    async fn assembled(
        &self,
        site: &SiteId,
        key: &str,
        consistent: bool,
        units: &mut f64,
    ) -> Result<Option<StoredStudy>, StoreError> {
        let Some(item) = self.item(site.as_str(), key, consistent, units).await? else {
            return Ok(None);
        };
        match read(item)? {
            StoredItem::Whole(study) => Ok(Some(study)),
            StoredItem::Split { parts, properties } => {
                let parts = try_join_all(parts.iter().map(|part| self.part(site, part, consistent))).await?;
                *units += parts.iter().map(|(_, units)| units).sum::<f64>();
                let gzip = parts.into_iter().map(|(bytes, _)| bytes).collect::<Vec<_>>().concat();
                Ok(Some(StoredStudy { json: Json::Gzip(gzip), form: StorageFormat::Gzip, properties }))
            }
        }
    }

    async fn part(&self, site: &SiteId, key: &str, consistent: bool) -> Result<(Vec<u8>, f64), StoreError> {
        let mut units = 0.0;
        let mut item = self
            .item(site.as_str(), key, consistent, &mut units)
            .await?
            .ok_or(StoreError::Document(DocumentError::PartMissing))?;
        match item.remove(attribute::DOCUMENT) {
            Some(AttributeValue::B(bytes)) => Ok((bytes.into_inner(), units)),
            _ => Err(DocumentError::AttributeType(attribute::DOCUMENT).into()),
        }
    }

    async fn item(
        &self,
        site: &str,
        key: &str,
        consistent: bool,
        units: &mut f64,
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
        *units += output.consumed_capacity.and_then(|consumed| consumed.capacity_units).unwrap_or(0.0);
        Ok(output.item)
    }
}

/// Works out the endpoint at the first call and keeps it: table and region do not change, and the SDK would go through its
/// rules anew for each call.
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

impl From<SdkError<GetItemError>> for StoreError {
    fn from(error: SdkError<GetItemError>) -> Self {
        let boxed = Box::new(error);
        match boxed.as_ref() {
            SdkError::TimeoutError(_) => Self::Timeout,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Self::Timeout,
            // What cannot even be sent: no credentials, for one.
            SdkError::ConstructionFailure(_) => Self::Refused(boxed),
            SdkError::DispatchFailure(failure) if failure.is_user() => Self::Refused(boxed),
            SdkError::ServiceError(service) => match service.err().code() {
                code if throttles(code) => Self::Throttled(boxed),
                _ if service.raw().status().is_server_error() => Self::Unreachable(boxed),
                _ => Self::Refused(boxed),
            },
            _ => Self::Unreachable(boxed),
        }
    }
}

/// Whether an error of this code says that DynamoDB refuses more calls for now.
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
