//! The one call that is made to the table, `GetItem`, and what it takes to read a study by it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};
use table::attribute::{self, Item};
use table::document::Document;
use table::error::DocumentError;
use table::gzip::join;
use table::id::{SiteId, StudyRef};
use table::read::{Head, StoredForm, StoredStudy, read};

use super::client::client;
use super::error::StoreError;

/// Time limit of one read with all its calls.
pub const READ: Duration = Duration::from_secs(5);
/// How often a read starts over because a part is missing.
const READS_AGAIN: usize = 2;
/// Parts of a document that are fetched at once.
const PARTS_AT_ONCE: usize = 4;

/// The table of studies, to read from only.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    table: String,
    consistent: bool,
}

/// Result of a read, and what it cost.
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
    /// The head item was enough to decide.
    Decided(StoredForm, T),
    /// The whole document.
    Document(StoredStudy),
}

impl Store {
    /// A store that reads `table`, at `endpoint` if one is given, strongly consistent if `consistent`.
    #[must_use]
    pub fn new(aws: &SdkConfig, endpoint: Option<&str>, table: String, consistent: bool) -> Self {
        Self { client: client(aws, endpoint), table, consistent }
    }

    /// Opens the connection by reading an item that cannot exist: the first request finds the connection open, and a
    /// wrong table or a missing permission shows at start.
    pub async fn connect(&self) -> Result<(), StoreError> {
        self.item(attribute::NO_STUDY, attribute::NO_STUDY, false, &ReadUnits::default()).await.map(drop)
    }

    /// Reads a study: by its id as given and, if there is none, by the id in lower case.
    ///
    /// Calls `decide` with the head item. `Some` ends the read without fetching parts.
    pub async fn study<T>(&self, study: &StudyRef, decide: impl Fn(&Head) -> Option<T>) -> ReadResult<T> {
        let units = ReadUnits::default();
        let found = tokio::time::timeout(READ, self.find(study, &decide, &units))
            .await
            .unwrap_or(Err(StoreError::Timeout));
        ReadResult { found, read_units: units.total() }
    }

    async fn find<T>(
        &self,
        study: &StudyRef,
        decide: &impl Fn(&Head) -> Option<T>,
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
        decide: &impl Fn(&Head) -> Option<T>,
        units: &ReadUnits,
    ) -> Result<Option<Found<T>>, StoreError> {
        let mut consistent = self.consistent;
        for _ in 0..READS_AGAIN {
            match self.once(site, key, consistent, decide, units).await {
                // Either the document was replaced after its head was read, or an eventually consistent read does not
                // see a part yet. A strongly consistent read sees the newest version as a whole.
                Err(StoreError::Document(DocumentError::PartMissing)) => consistent = true,
                outcome => return outcome,
            }
        }
        self.once(site, key, consistent, decide, units).await
    }

    async fn once<T>(
        &self,
        site: &SiteId,
        key: &str,
        consistent: bool,
        decide: &impl Fn(&Head) -> Option<T>,
        units: &ReadUnits,
    ) -> Result<Option<Found<T>>, StoreError> {
        let Some(item) = self.item(site.as_str(), key, consistent, units).await? else {
            return Ok(None);
        };
        let head = read(item)?;
        if let Some(decision) = decide(&head) {
            return Ok(Some(Found::Decided(head.form(), decision)));
        }
        match head {
            Head::Document(study) => Ok(Some(Found::Document(study))),
            Head::Parts { keys, properties } => {
                let gzip = join(&self.parts(site, keys, consistent, units).await?)?;
                let study =
                    StoredStudy { document: Document::Gzip(gzip), form: StoredForm::Parts, properties };
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
