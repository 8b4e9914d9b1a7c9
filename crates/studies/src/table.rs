//! The table as the operator's tool uses it: writing a study and removing one. The function never does either, and its
//! role does not allow it.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::time::SystemTime;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use futures_util::future::try_join_all;
use serde::Deserialize;
use thiserror::Error;

use crate::pace::{Kind, Obstacle, Pace, obstacle};
use table::attribute::{self, Item};
use table::document::Document;
use table::error::DocumentError;
use table::error::chain;
use table::gzip::{inflate, join};
use table::id::{FhirId, SiteId};
use table::json::Object;
use table::read::{Head, StoredStudy, read};
use table::write::{Encoded, part_keys};

/// The sort keys of parts that no head names any more and that are about to be deleted. The head that replaces theirs
/// carries them until they are gone, so that loading again after an interruption completes the deletion.
const OBSOLETE_PARTS: &str = "obsoleteParts";

/// The table of studies, open for writing.
#[derive(Debug)]
pub struct Table {
    pub(crate) client: Client,
    pub(crate) at: TableAddress,
    pub(crate) pace: Pace,
    allow_older: bool,
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

/// What writing a study changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The table had no study of this id.
    Added,
    /// The table had another document of this id.
    Replaced,
    /// The table had the same document, which was not written again.
    Unchanged,
    /// The table has a later version by `meta.lastUpdated`, which stays.
    Kept,
    /// The table has another study under this id in other case, which stays.
    OtherId(String),
}

/// What a stored document says of itself, as far as it can be read.
#[derive(Default, Deserialize)]
struct Identity {
    id: Option<String>,
    meta: Option<Object<Meta>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    last_updated: Option<String>,
}

impl Identity {
    fn last_updated(&self) -> Option<DateTime> {
        self.meta.as_ref().and_then(|Object(meta)| instant(meta.last_updated.as_deref()?))
    }
}

/// A FHIR instant; one in the future counts as absent.
fn instant(text: &str) -> Option<DateTime> {
    let instant = DateTime::from_str(text, DateTimeFormat::DateTimeWithOffset).ok()?;
    (instant <= DateTime::from(SystemTime::now())).then_some(instant)
}

impl Table {
    /// The table at this address. The client must not retry: `pace` does.
    #[must_use]
    pub fn new(client: Client, at: TableAddress, pace: Pace) -> Self {
        Self { client, at, pace, allow_older: false }
    }

    /// Lets [`Table::put`] replace a study by an older version.
    #[must_use]
    pub fn allowing_older(self, allow_older: bool) -> Self {
        Self { allow_older, ..self }
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

    /// Fails if the table does not exist, does not respond or may not be read. `site` may be any.
    pub async fn probe(&self, site: &SiteId) -> Result<(), TableError> {
        let call = self.client.get_item().table_name(&self.at.table);
        let call = call.set_key(Some(key_of(site, attribute::NO_STUDY.to_owned())));
        self.pace.call(Kind::Read, || call.clone().send()).await.map(drop).map_err(|error| self.error(&error))
    }

    /// The document that the function would serve: by its id as given or else in lower case.
    pub async fn document(&self, site: &SiteId, id: &FhirId) -> Result<Option<String>, TableError> {
        let mut head = self.item(site, id.as_str()).await?;
        if head.is_none()
            && let Some(lower) = id.lower_case()
        {
            head = self.item(site, lower.as_str()).await?;
        }
        match head {
            Some(head) => self.text(site, head).await.map(Some),
            None => Ok(None),
        }
    }

    /// The document of a head.
    async fn text(&self, site: &SiteId, head: Item) -> Result<String, TableError> {
        let gzip = match read(head).map_err(TableError::Document)? {
            Head::Document(StoredStudy { document: Document::Text(text), .. }) => return Ok(text),
            Head::Document(StoredStudy { document: Document::Gzip(gzip), .. }) => gzip,
            Head::Parts { keys, .. } => {
                let parts = try_join_all(keys.iter().map(|key| self.part(site, key))).await?;
                join(&parts).map_err(TableError::Document)?
            }
        };
        inflate(&gzip).map_err(TableError::Document)
    }

    /// Why a stored study stays. One that cannot be read does not.
    async fn reason_to_keep(
        &self,
        site: &SiteId,
        id: &FhirId,
        head: &Item,
        stored: Item,
    ) -> Result<Option<Change>, TableError> {
        let text = match self.text(site, stored).await {
            Ok(text) => text,
            Err(TableError::Document(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let identity: Identity = serde_json::from_str(&text).unwrap_or_default();
        let other = identity.id.as_deref().filter(|other| *other != id.as_str());
        if let Some(other) = other.filter(|other| other.eq_ignore_ascii_case(id.as_str())) {
            return Ok(Some(Change::OtherId(other.to_owned())));
        }
        let ours = head.get(attribute::LAST_UPDATED).and_then(|value| instant(value.as_s().ok()?));
        let older = ours.zip(identity.last_updated()).is_some_and(|(ours, theirs)| ours < theirs);
        Ok((older && !self.allow_older).then_some(Change::Kept))
    }

    async fn part(&self, site: &SiteId, key: &str) -> Result<Vec<u8>, TableError> {
        let item = self.item(site, key).await?.ok_or(TableError::Document(DocumentError::PartMissing))?;
        match item.get(attribute::DOCUMENT) {
            Some(AttributeValue::B(bytes)) => Ok(bytes.as_ref().to_vec()),
            _ => Err(TableError::Document(DocumentError::AttributeType(attribute::DOCUMENT))),
        }
    }

    /// Writes a study, unless the table has it as it is. A reader gets the old document or the new one at any moment,
    /// also after an interruption: parts are written first, then the head, and what it replaces is deleted last.
    pub async fn put(&self, site: &SiteId, id: &FhirId, encoded: Encoded) -> Result<Change, TableError> {
        let Encoded { mut head, parts } = encoded;
        let key = id.key();
        let mut stored = self.item(site, key.as_str()).await?;
        // The function looks up an id as given before it looks it up in lower case.
        let hiding = if *id == key { None } else { self.item(site, id.as_str()).await? };

        let wanted = part_keys(&head);
        // A part under another key is another writer's, or another study: it is not ours to delete.
        let is_own = |part: &str| study_of(part) == Some(key.as_str()) && is_our_part(part);
        let mut obsolete: Vec<String> = stored.iter().chain(&hiding).flat_map(all_part_keys).collect();
        obsolete.retain(|part| !wanted.contains(part) && is_own(part));
        obsolete.sort_unstable();
        obsolete.dedup();

        if let Some(stored) = &mut stored {
            stored.remove(OBSOLETE_PARTS);
        }
        // Parts are named after their content, so that equal heads have equal parts; but those may have been lost.
        let same = stored.as_ref() == Some(&head);
        let current = same && self.exist(site, &wanted).await?;
        if !same {
            for stored in hiding.iter().chain(&stored) {
                if let Some(kept) = self.reason_to_keep(site, id, &head, stored.clone()).await? {
                    return Ok(kept);
                }
            }
        }
        if current && obsolete.is_empty() && hiding.is_none() {
            return Ok(Change::Unchanged);
        }
        if !current {
            try_join_all(parts.into_iter().map(|part| self.write(part))).await?;
        }
        let record = strings(&obsolete);
        let mut replaced = None;
        if !current || !obsolete.is_empty() {
            if !obsolete.is_empty() {
                head.insert(OBSOLETE_PARTS.to_owned(), record.clone());
            }
            replaced = self.write(head).await?;
        }
        if hiding.is_some() {
            self.delete(site, id.as_str().to_owned()).await?;
        }
        // Another load may have replaced the head in between.
        let others = replaced.iter().flat_map(all_part_keys);
        let others = others.filter(|part| !wanted.contains(part) && !obsolete.contains(part) && is_own(part));
        let deleted: Vec<String> = obsolete.iter().cloned().chain(others).collect();
        try_join_all(deleted.into_iter().map(|part| self.delete(site, part))).await?;
        if !obsolete.is_empty() {
            self.forget_obsolete(site, &key, record).await?;
        }
        Ok(if hiding.is_some() || (!current && (stored.is_some() || replaced.is_some())) {
            Change::Replaced
        } else if current {
            Change::Unchanged
        } else {
            Change::Added
        })
    }

    /// Removes a study with all of its parts; false if there is nothing of it. The head goes first: a reader finds the
    /// study or does not.
    pub async fn remove(&self, site: &SiteId, id: &FhirId) -> Result<bool, TableError> {
        let mut removed = false;
        for key in [Some(id.clone()), id.lower_case()].into_iter().flatten() {
            let mut keys = self.study_keys(site, &key).await?;
            if let Some(head) = self.delete(site, key.to_string()).await? {
                removed = true;
                keys.extend(all_part_keys(&head));
            }
            // What a head names under another key is another writer's part, or another study.
            keys.retain(|part| study_of(part) == Some(key.as_str()) && is_our_part(part));
            keys.sort_unstable();
            keys.dedup();
            removed |= !keys.is_empty();
            try_join_all(keys.into_iter().map(|part| self.delete(site, part))).await?;
        }
        Ok(removed)
    }

    /// Removes a part that no head names; false if one names it by now, or if another writer made it.
    pub async fn remove_orphan(&self, site: &SiteId, part: &str) -> Result<bool, TableError> {
        let Some(study) = study_of(part).filter(|_| is_our_part(part)) else { return Ok(false) };
        let head = self.item(site, study).await?.unwrap_or_default();
        if part_keys(&head).iter().any(|key| key == part) {
            return Ok(false);
        }
        self.delete(site, part.to_owned()).await?;
        Ok(true)
    }

    async fn exist(&self, site: &SiteId, parts: &[String]) -> Result<bool, TableError> {
        let found = try_join_all(parts.iter().map(|part| self.exists(site, part))).await?;
        Ok(found.into_iter().all(|found| found))
    }

    async fn exists(&self, site: &SiteId, key: &str) -> Result<bool, TableError> {
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

    async fn item(&self, site: &SiteId, key: &str) -> Result<Option<Item>, TableError> {
        let call = self
            .client
            .get_item()
            .table_name(&self.at.table)
            .set_key(Some(key_of(site, key.to_owned())))
            .consistent_read(true);
        let output = self.pace.call(Kind::Read, || call.clone().send()).await;
        Ok(output.map_err(|error| self.error(&error))?.item)
    }

    /// Writes an item and returns the one that it replaced.
    async fn write(&self, item: Item) -> Result<Option<Item>, TableError> {
        let call = self
            .client
            .put_item()
            .table_name(&self.at.table)
            .set_item(Some(item))
            .return_values(ReturnValue::AllOld);
        let output = self.pace.call(Kind::Write, || call.clone().send()).await;
        Ok(output.map_err(|error| self.error(&error))?.attributes)
    }

    /// Deletes an item and returns it.
    pub(crate) async fn delete(&self, site: &SiteId, key: String) -> Result<Option<Item>, TableError> {
        let call = self
            .client
            .delete_item()
            .table_name(&self.at.table)
            .set_key(Some(key_of(site, key)))
            .return_values(ReturnValue::AllOld);
        let output = self.pace.call(Kind::Write, || call.clone().send()).await;
        Ok(output.map_err(|error| self.error(&error))?.attributes)
    }

    /// Takes the record of deleted parts out of a head, unless another load has replaced it.
    async fn forget_obsolete(
        &self,
        site: &SiteId,
        key: &FhirId,
        record: AttributeValue,
    ) -> Result<(), TableError> {
        let call = self
            .client
            .update_item()
            .table_name(&self.at.table)
            .set_key(Some(key_of(site, key.to_string())))
            .update_expression("REMOVE #obsolete")
            .condition_expression("#obsolete = :record")
            .expression_attribute_names("#obsolete", OBSOLETE_PARTS)
            .expression_attribute_values(":record", record);
        match self.pace.call(Kind::Write, || call.clone().send()).await {
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(())
            }
            outcome => outcome.map(drop).map_err(|error| self.error(&error)),
        }
    }

    pub(crate) fn error<E>(&self, error: &SdkError<E>) -> TableError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        TableError::of(&self.at, error)
    }
}

pub(crate) fn key_of(site: &SiteId, id: String) -> HashMap<String, AttributeValue> {
    HashMap::from([
        (attribute::SITE.to_owned(), AttributeValue::S(site.as_str().to_owned())),
        (attribute::ID.to_owned(), AttributeValue::S(id)),
    ])
}

/// The key of the study that a part belongs to; `None` for the key of a study. `#` is in no FHIR id.
pub(crate) fn study_of(key: &str) -> Option<&str> {
    key.split_once('#').map(|(study, _)| study)
}

/// Whether a part's key is as this tool writes it: the study's key, 128 bits of a digest, and a number.
fn is_our_part(key: &str) -> bool {
    let mut segments = key.split('#').skip(1);
    let digest = segments.next().is_some_and(|digest| {
        digest.len() == 32 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    let number = segments.next().is_some_and(|number| number.parse::<u8>().is_ok());
    digest && number && segments.next().is_none()
}

/// The parts that a head names, and those that it says are to be deleted.
fn all_part_keys(head: &Item) -> Vec<String> {
    let obsolete = head.get(OBSOLETE_PARTS).and_then(|keys| keys.as_l().ok()).into_iter().flatten();
    part_keys(head).into_iter().chain(obsolete.filter_map(|key| key.as_s().ok().cloned())).collect()
}

fn strings(keys: &[String]) -> AttributeValue {
    AttributeValue::L(keys.iter().cloned().map(AttributeValue::S).collect())
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
