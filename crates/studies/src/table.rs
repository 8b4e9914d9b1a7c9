//! The calls to DynamoDB, and why they fail.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use table::attribute::{self, Item};
use table::error::{DocumentError, chain};
use table::id::SiteId;
use table::parts::WriteId;
use thiserror::Error;

use crate::pace::{Kind, Obstacle, Pace, obstacle};

/// After so many studies that the table did not have, it is expected to lack the next one.
const ADDED_IN_A_ROW: usize = 64;

/// The table of studies, open for writing.
#[derive(Debug)]
pub struct Table {
    pub(crate) client: Client,
    pub(crate) at: TableAddress,
    pub(crate) pace: Pace,
    pub(crate) clock: fn() -> SystemTime,
    pub(crate) allow_older: bool,
    /// Studies that were added since one was not.
    added: AtomicUsize,
}

/// Where a table is.
#[derive(Clone, Debug)]
pub struct TableAddress {
    /// The table's name.
    pub table: String,
    /// The region in which the client looks for it.
    pub region: String,
    /// The URL that the client calls.
    pub endpoint: String,
}

impl fmt::Display for TableAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in region {} ({})", self.table, self.region, self.endpoint)
    }
}

impl Table {
    /// The table at this address. The client must not retry: `pace` does.
    #[must_use]
    pub fn new(client: Client, at: TableAddress, pace: Pace) -> Self {
        Self { client, at, pace, clock: SystemTime::now, allow_older: false, added: AtomicUsize::new(0) }
    }

    /// Lets [`Table::put`] replace a study by an older version.
    #[must_use]
    pub fn allowing_older(self, allow_older: bool) -> Self {
        Self { allow_older, ..self }
    }

    /// The same table, which is expected to lack the studies to be written, until it has one of them.
    #[must_use]
    pub fn expecting_new(self) -> Self {
        Self { added: AtomicUsize::new(ADDED_IN_A_ROW), ..self }
    }

    /// The same table, under another clock than the system's.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> SystemTime) -> Self {
        Self { clock, ..self }
    }

    /// Where the table is.
    #[must_use]
    pub fn address(&self) -> &TableAddress {
        &self.at
    }

    /// What keeps calls from succeeding, for now.
    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        self.pace.obstacle()
    }

    /// Whether the table is expected to lack the next study. A wrong guess costs the write units of a put, a right one saves
    /// a read.
    pub(crate) fn expects_new(&self) -> bool {
        self.added.load(Ordering::Relaxed) >= ADDED_IN_A_ROW
    }

    /// Learns whether a study was added.
    pub(crate) fn learn(&self, is_added: bool) {
        if is_added {
            self.added.fetch_add(1, Ordering::Relaxed);
        } else {
            self.added.store(0, Ordering::Relaxed);
        }
    }

    /// Fails if the table does not exist, does not respond or may not be read. `site` may be any.
    pub async fn probe(&self, site: &SiteId) -> Result<(), TableError> {
        let call = self.client.get_item().table_name(&self.at.table);
        let call = call.set_key(Some(key_of(site, attribute::NO_STUDY.to_owned())));
        self.pace.call(Kind::Read, || call.clone().send()).await.map(drop).map_err(|error| self.error(&error))
    }

    pub(crate) async fn exists(&self, site: &SiteId, key: &str) -> Result<bool, TableError> {
        let call = self
            .client
            .get_item()
            .table_name(&self.at.table)
            .set_key(Some(key_of(site, key.to_owned())))
            .projection_expression("#id")
            .expression_attribute_names("#id", attribute::ID)
            .consistent_read(true);
        let output = self.pace.call(Kind::Read, || call.clone().send()).await;
        Ok(output.map_err(|error| self.error(&error))?.item.is_some())
    }

    /// The item under a key, by a consistent read.
    pub(crate) async fn item(&self, site: &SiteId, key: &str) -> Result<Option<Item>, TableError> {
        let call = self
            .client
            .get_item()
            .table_name(&self.at.table)
            .set_key(Some(key_of(site, key.to_owned())))
            .consistent_read(true);
        let output = self.pace.call(Kind::Read, || call.clone().send()).await;
        Ok(output.map_err(|error| self.error(&error))?.item)
    }

    /// Writes a part.
    pub(crate) async fn put_part(&self, part: Item) -> Result<(), TableError> {
        let call = self.client.put_item().table_name(&self.at.table).set_item(Some(part));
        let output = self.pace.call(Kind::Write, || call.clone().send()).await;
        output.map(drop).map_err(|error| self.error(&error))
    }

    /// Deletes a part.
    pub(crate) async fn delete_part(&self, site: &SiteId, key: String) -> Result<(), TableError> {
        let call = self.client.delete_item().table_name(&self.at.table).set_key(Some(key_of(site, key)));
        let output = self.pace.call(Kind::Write, || call.clone().send()).await;
        output.map(drop).map_err(|error| self.error(&error))
    }

    /// Puts a head in the place of `stored`, if that is still there. With parts, `within` is their attempt, whose time
    /// may be over.
    pub(crate) async fn put_head(
        &self,
        head: Item,
        stored: Option<&Item>,
        within: Option<WriteId>,
    ) -> Result<Written, TableError> {
        let Condition { expression, names, values } = Condition::still(stored);
        let call = self
            .client
            .put_item()
            .table_name(&self.at.table)
            .set_item(Some(head))
            .condition_expression(expression)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(values)
            .return_values(ReturnValue::AllOld);
        let send = || async {
            match within {
                None => call.clone().send().await,
                Some(write) => {
                    call.clone().customize().interceptor(InTime { write, clock: self.clock }).send().await
                }
            }
        };
        let output = self.pace.call(Kind::ConditionalWrite, send).await;
        self.written(output.map(|output| output.attributes))
    }

    /// Deletes the head `stored`, if that is still there.
    pub(crate) async fn delete_head(
        &self,
        site: &SiteId,
        key: &str,
        stored: &Item,
    ) -> Result<Written, TableError> {
        let Condition { expression, names, values } = Condition::still(Some(stored));
        let call = self
            .client
            .delete_item()
            .table_name(&self.at.table)
            .set_key(Some(key_of(site, key.to_owned())))
            .condition_expression(expression)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(values)
            .return_values(ReturnValue::AllOld);
        let output = self.pace.call(Kind::ConditionalWrite, || call.clone().send()).await;
        self.written(output.map(|output| output.attributes))
    }

    fn written<E>(&self, outcome: Result<Option<Item>, SdkError<E>>) -> Result<Written, TableError>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let error = match outcome {
            Ok(old) => return Ok(Written::Done(old)),
            Err(error) => error,
        };
        let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
        if error.code() == Some("ConditionalCheckFailedException") {
            Ok(Written::Changed)
        } else if causes.any(<dyn Error>::is::<TooLate>) {
            Ok(Written::Unknown(TableError::TooLate))
        } else if matches!(obstacle(&error), Some(Obstacle::Timeout | Obstacle::Unavailable)) {
            Ok(Written::Unknown(self.error(&error)))
        } else {
            Err(self.error(&error))
        }
    }

    /// The items of a site with these attributes, or with all.
    pub(crate) fn pages(&self, site: &SiteId, attributes: &'static [&'static str]) -> Pages<'_> {
        Pages { table: self, site: site.clone(), attributes, next: Next::First }
    }

    pub(crate) fn error<E>(&self, error: &SdkError<E>) -> TableError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        TableError::of(&self.at, error)
    }
}

/// Reads the items of a site in pages, in the order of their keys, strongly consistent.
#[derive(Debug)]
pub(crate) struct Pages<'t> {
    table: &'t Table,
    site: SiteId,
    /// The attributes that are read; all if there is none.
    attributes: &'static [&'static str],
    next: Next,
}

#[derive(Debug)]
enum Next {
    First,
    After(Item),
    Nothing,
}

impl Pages<'_> {
    /// The items of the next page; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Item>>, TableError> {
        let start = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::First => None,
            Next::After(key) => Some(key),
            Next::Nothing => return Ok(None),
        };
        let Self { table, site, attributes, .. } = self;
        let mut call = table
            .client
            .query()
            .table_name(&table.at.table)
            .key_condition_expression("#site = :site")
            .expression_attribute_names("#site", attribute::SITE)
            .expression_attribute_values(":site", AttributeValue::S(site.as_str().to_owned()))
            .set_exclusive_start_key(start)
            .consistent_read(true);
        if !attributes.is_empty() {
            let names: Vec<_> = attributes.iter().map(|name| format!("#{name}")).collect();
            call = call.projection_expression(names.join(", "));
            for (placeholder, name) in names.into_iter().zip(*attributes) {
                call = call.expression_attribute_names(placeholder, *name);
            }
        }
        let page = table.pace.call(Kind::Read, || call.clone().send()).await;
        let page = page.map_err(|error| table.error(&error))?;
        if let Some(key) = page.last_evaluated_key {
            self.next = Next::After(key);
        }
        Ok(Some(page.items.unwrap_or_default()))
    }
}

/// An item's sort key, which every item of the table has.
pub(crate) fn sort_key(item: &Item) -> Option<&str> {
    item.get(attribute::ID)?.as_s().ok().map(String::as_str)
}

pub(crate) fn key_of(site: &SiteId, id: String) -> HashMap<String, AttributeValue> {
    HashMap::from([
        (attribute::SITE.to_owned(), AttributeValue::S(site.as_str().to_owned())),
        (attribute::ID.to_owned(), AttributeValue::S(id)),
    ])
}

/// Outcome of a conditional write.
#[derive(Debug)]
pub(crate) enum Written {
    /// It is done; this was there before.
    Done(Option<Item>),
    /// Something else is there.
    Changed,
    /// Nobody knows whether it is done: only the head tells. Or it was too late, and is not.
    Unknown(TableError),
}

/// The condition that a head is still the one that was read. Ours differ in their write ids, those of other writers in
/// what they hold.
struct Condition {
    expression: String,
    names: HashMap<String, String>,
    values: Option<HashMap<String, AttributeValue>>,
}

impl Condition {
    fn still(stored: Option<&Item>) -> Self {
        let compared: &[&str] = match stored {
            None => &[attribute::ID],
            Some(head) if WriteId::of(head).is_some() => &[attribute::WRITE_ID],
            Some(_) => &[attribute::WRITE_ID, attribute::DOCUMENT, attribute::PARTS, attribute::ETAG],
        };
        let (mut terms, mut values) = (Vec::new(), HashMap::new());
        if stored.is_some() {
            terms.push(format!("attribute_exists(#{})", attribute::ID));
        }
        for name in compared {
            match stored.and_then(|head| head.get(*name)) {
                None => terms.push(format!("attribute_not_exists(#{name})")),
                Some(value) => {
                    terms.push(format!("#{name} = :{name}"));
                    values.insert(format!(":{name}"), value.clone());
                }
            }
        }
        let named = compared.iter().chain(&[attribute::ID]);
        Self {
            expression: terms.join(" AND "),
            names: named.map(|name| (format!("#{name}"), (*name).to_owned())).collect(),
            values: Some(values).filter(|values| !values.is_empty()),
        }
    }
}

/// Sends no head whose attempt is too old. It looks at the clock after the request is signed, and DynamoDB rejects
/// requests that were signed more than minutes ago, so that a process that stops in between changes nothing.
#[derive(Debug)]
struct InTime {
    write: WriteId,
    clock: fn() -> SystemTime,
}

#[derive(Debug, Error)]
#[error("the attempt is too old")]
struct TooLate;

#[dyn_dispatch_hint]
impl Intercept for InTime {
    fn name(&self) -> &'static str {
        "InTime"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.write.permits_head((self.clock)()) { Ok(()) } else { Err(TooLate.into()) }
    }
}

/// Why the table cannot be used.
#[derive(Debug, Error)]
pub enum TableError {
    /// The table does not exist there.
    #[error("there is no table {0}")]
    Missing(TableAddress),
    /// The credentials are wrong, or do not allow this.
    #[error("DynamoDB rejected the request: {0}")]
    Rejected(String),
    /// The endpoint cannot be reached, or fails.
    #[error("DynamoDB cannot be reached at {0}: {1}")]
    Unreachable(String, String),
    /// The endpoint does not respond.
    #[error("DynamoDB did not respond in time at {0}")]
    Timeout(String),
    /// DynamoDB throttled every request for a while.
    #[error("DynamoDB throttled every request for too long: {0}")]
    Throttled(String),
    /// The parts of a study were not written in the time that their head allows.
    #[error("the parts of a study took more than 30 minutes to write")]
    TooLate,
    /// Others replace the same study again and again.
    #[error("the study {0} is being written by too many at once")]
    Contended(String),
    /// An item cannot be read.
    #[error("the study cannot be read: {0}")]
    Document(DocumentError),
}

impl TableError {
    fn of<E>(at: &TableAddress, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let text = match error {
            SdkError::ServiceError(service) => {
                let error = service.err();
                if error.code() == Some("ResourceNotFoundException") {
                    return Self::Missing(at.clone());
                }
                error.message().or(error.code()).unwrap_or("it gave no reason").to_owned()
            }
            error => error.source().map_or_else(|| error.to_string(), chain),
        };
        match obstacle(error) {
            Some(Obstacle::Throttling) => Self::Throttled(text),
            Some(Obstacle::Timeout) => Self::Timeout(at.endpoint.clone()),
            Some(Obstacle::Unavailable) => Self::Unreachable(at.endpoint.clone(), text),
            None => Self::Rejected(text),
        }
    }
}
