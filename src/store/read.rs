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
use table::id::{FhirId, StudyRef};
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
        let units = ReadUnits::default();
        let reading = Reading { store: self, site: attribute::NO_STUDY, consistent: false, units: &units };
        reading.item(attribute::NO_STUDY).await.map(drop)
    }

    /// Reads a study: by its id as given and, if there is none, by the id in lower case.
    ///
    /// Calls `decide` with the head item. `Some` ends the read without fetching parts.
    pub async fn study<T>(
        &self,
        StudyRef { site, study }: &StudyRef,
        decide: impl Fn(&Head) -> Option<T>,
    ) -> ReadResult<T> {
        let units = ReadUnits::default();
        let reading =
            Reading { store: self, site: site.as_str(), consistent: self.consistent, units: &units };
        let found = tokio::time::timeout(READ, reading.find(study, &decide)).await;
        ReadResult { found: found.unwrap_or(Err(StoreError::Timeout)), read_units: units.total() }
    }
}

/// A read in progress, of a study of one site.
#[derive(Clone, Copy)]
struct Reading<'a> {
    store: &'a Store,
    site: &'a str,
    consistent: bool,
    units: &'a ReadUnits,
}

impl Reading<'_> {
    async fn find<T>(
        self,
        study: &FhirId,
        decide: &impl Fn(&Head) -> Option<T>,
    ) -> Result<Option<Found<T>>, StoreError> {
        let found = self.at(study.as_str(), decide).await?;
        match study.lower_case() {
            Some(lower) if found.is_none() => self.at(lower.as_str(), decide).await,
            _ => Ok(found),
        }
    }

    async fn at<T>(
        mut self,
        key: &str,
        decide: &impl Fn(&Head) -> Option<T>,
    ) -> Result<Option<Found<T>>, StoreError> {
        for _ in 0..READS_AGAIN {
            match self.once(key, decide).await {
                // Either the document was replaced after its head was read, or an eventually consistent read does not
                // see a part yet. A strongly consistent read sees the newest version as a whole.
                Err(StoreError::Document(DocumentError::PartMissing)) => self.consistent = true,
                outcome => return outcome,
            }
        }
        self.once(key, decide).await
    }

    async fn once<T>(
        self,
        key: &str,
        decide: &impl Fn(&Head) -> Option<T>,
    ) -> Result<Option<Found<T>>, StoreError> {
        let Some(item) = self.item(key).await? else { return Ok(None) };
        let head = read(item)?;
        if let Some(decision) = decide(&head) {
            return Ok(Some(Found::Decided(head.form(), decision)));
        }
        Ok(Some(Found::Document(match head {
            Head::Document(study) => study,
            Head::Parts { keys, properties } => {
                // At most [`MAX_PARTS`] items, whose size DynamoDB bounds.
                let parts = iter(keys).map(async |key| self.part(&key).await).buffered(PARTS_AT_ONCE);
                let document = Document::Gzip(join(&parts.try_collect::<Vec<_>>().await?)?);
                StoredStudy { document, form: StoredForm::Parts, properties }
            }
        })))
    }

    async fn part(self, key: &str) -> Result<Vec<u8>, StoreError> {
        match self.item(key).await?.ok_or(DocumentError::PartMissing)?.remove(attribute::DOCUMENT) {
            Some(AttributeValue::B(bytes)) => Ok(bytes.into_inner()),
            _ => Err(DocumentError::AttributeType(attribute::DOCUMENT).into()),
        }
    }

    async fn item(self, key: &str) -> Result<Option<Item>, StoreError> {
        let Self { store: Store { client, table, .. }, site, consistent, units } = self;
        let output = client
            .get_item()
            .table_name(table)
            .key(attribute::SITE, AttributeValue::S(site.to_owned()))
            .key(attribute::ID, AttributeValue::S(key.to_owned()))
            .consistent_read(consistent)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await?;
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
