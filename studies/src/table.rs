//! The table from the operator's side: writing a study, removing it, going through a site. The function never does
//! any of these, and its role does not allow it.

use std::collections::HashMap;
use std::error::Error;

use aws_config::retry::RetryConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use futures_util::future::try_join_all;
use thiserror::Error;

use imaging_study::ids::{FhirId, SiteId};
use imaging_study::store::{
    self, DocumentError, Encoded, Item, Json, Properties, StoredItem, attribute, part_keys,
};
use imaging_study::store::{StoreError, throttles};

/// The table of studies, open for writing.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    name: String,
}

/// What writing a study changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// There was none under its id.
    Added,
    /// Another document stood there.
    Replaced,
    /// The same document stood there; nothing was written.
    Unchanged,
}

impl Table {
    /// The table of this name.
    #[must_use]
    pub fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// Fails soon if the table is not there, not allowed or out of reach. Later calls are tried more often.
    pub async fn probe(&self, site: &SiteId) -> Result<(), TableError> {
        let soon = aws_sdk_dynamodb::config::Builder::new()
            .retry_config(RetryConfig::standard().with_max_attempts(2));
        let call = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key_of(site, attribute::NO_STUDY.to_owned())));
        call.customize().config_override(soon).send().await.map(drop).map_err(|error| self.error(&error))
    }

    /// Writes a study, unless it stands there already. Whoever reads meanwhile, or after this stopped half-way, gets the
    /// old document or the new one: parts go first, the head last, and what the old head named after that.
    pub async fn put(&self, site: &SiteId, id: &FhirId, encoded: Encoded) -> Result<Change, TableError> {
        let key = id.key();
        let stored = self.item(site, key.as_str()).await?;
        // A head names its parts by their content, so that equal heads have equal parts; but those may have been lost.
        if stored.as_ref() == Some(&encoded.head) && self.all_there(site, &part_keys(&encoded.head)).await? {
            return Ok(Change::Unchanged);
        }
        let parts = part_keys(&encoded.head);
        try_join_all(encoded.parts.into_iter().map(|part| self.write(part))).await?;
        let old = self.write(encoded.head).await?;
        let replaced = old.is_some();
        let unused = part_keys(&old.unwrap_or_default()).into_iter().filter(|part| !parts.contains(part));
        try_join_all(unused.map(|part| self.delete(site, part))).await?;
        // One that somebody else wrote under the id in its own case would be found first.
        let hidden = if *id == key { false } else { self.remove_item(site, id.as_str()).await? };
        Ok(if replaced || hidden { Change::Replaced } else { Change::Added })
    }

    /// Removes a study; false if there is none. The head goes first: a reader finds the study or finds none.
    pub async fn remove(&self, site: &SiteId, id: &FhirId) -> Result<bool, TableError> {
        let given = self.remove_item(site, id.as_str()).await?;
        match id.lower_case() {
            Some(lower) => Ok(self.remove_item(site, lower.as_str()).await? || given),
            None => Ok(given),
        }
    }

    async fn remove_item(&self, site: &SiteId, key: &str) -> Result<bool, TableError> {
        let Some(old) = self.delete(site, key.to_owned()).await? else { return Ok(false) };
        try_join_all(part_keys(&old).into_iter().map(|part| self.delete(site, part))).await?;
        Ok(true)
    }

    /// Removes a part that no head names; false if one does by now.
    pub async fn remove_orphan(&self, site: &SiteId, part: &str) -> Result<bool, TableError> {
        let head = self.item(site, study_of(part).unwrap_or(part)).await?.unwrap_or_default();
        if part_keys(&head).iter().any(|key| key == part) {
            return Ok(false);
        }
        self.delete(site, part.to_owned()).await?;
        Ok(true)
    }

    /// Goes through a site's items, in order, with strongly consistent reads, and hands on what it finds.
    pub async fn check(&self, site: &SiteId, mut found: impl FnMut(Finding)) -> Result<(), TableError> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("#site = :site")
            .expression_attribute_names("#site", attribute::SITE)
            .expression_attribute_values(":site", AttributeValue::S(site.as_str().to_owned()))
            .consistent_read(true)
            .into_paginator()
            .send();
        let mut current = Current::default();
        while let Some(page) = pages.next().await {
            for item in page.map_err(|error| self.error(&error))?.items.unwrap_or_default() {
                let Some(AttributeValue::S(key)) = item.get(attribute::ID).cloned() else { continue };
                if study_of(&key).is_some() {
                    if let Some(orphan) = current.part(key, item) {
                        found(Finding::Orphan(orphan));
                    }
                } else {
                    std::mem::replace(&mut current, Current::head(key, item)).finish(&mut found);
                }
            }
        }
        current.finish(&mut found);
        Ok(())
    }

    async fn all_there(&self, site: &SiteId, parts: &[String]) -> Result<bool, TableError> {
        let found = try_join_all(parts.iter().map(|part| self.exists(site, part))).await?;
        Ok(found.into_iter().all(|found| found))
    }

    async fn exists(&self, site: &SiteId, key: &str) -> Result<bool, TableError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key_of(site, key.to_owned())))
            .projection_expression("#id")
            .expression_attribute_names("#id", attribute::ID)
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| self.error(&error))?;
        Ok(output.item.is_some())
    }

    async fn item(&self, site: &SiteId, key: &str) -> Result<Option<Item>, TableError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key_of(site, key.to_owned())))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| self.error(&error))?;
        Ok(output.item)
    }

    /// Writes an item and returns the one that it replaced.
    async fn write(&self, item: Item) -> Result<Option<Item>, TableError> {
        let output = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| self.error(&error))?;
        Ok(output.attributes.filter(|old| !old.is_empty()))
    }

    async fn delete(&self, site: &SiteId, key: String) -> Result<Option<Item>, TableError> {
        let output = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(key_of(site, key)))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| self.error(&error))?;
        Ok(output.attributes.filter(|old| !old.is_empty()))
    }

    fn error<E>(&self, error: &SdkError<E>) -> TableError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        TableError::of(&self.name, error)
    }
}

fn key_of(site: &SiteId, id: String) -> HashMap<String, AttributeValue> {
    HashMap::from([
        (attribute::SITE.to_owned(), AttributeValue::S(site.as_str().to_owned())),
        (attribute::ID.to_owned(), AttributeValue::S(id)),
    ])
}

/// The key of the study that a part belongs to; `None` for what is no part. `#` is in no study's id.
fn study_of(key: &str) -> Option<&str> {
    key.split_once('#').map(|(study, _)| study)
}

/// What going through a site finds.
#[derive(Debug)]
pub enum Finding {
    /// A study that can be served, by its key.
    Good(String),
    /// A study that the function could not serve, by its key, and why.
    Bad(String, DocumentError),
    /// The key of a part that no head names: left by a load that was cut off.
    Orphan(String),
}

/// The study that is being gone through. Its parts follow it: `#` sorts before every character of an id.
#[derive(Default)]
struct Current {
    key: String,
    head: Option<Item>,
    /// The parts that the head names, and their bytes as they come.
    parts: Vec<(String, Option<Vec<u8>>)>,
}

impl Current {
    fn head(key: String, item: Item) -> Self {
        let parts = part_keys(&item).into_iter().map(|part| (part, None)).collect();
        Self { key, head: Some(item), parts }
    }

    /// Takes a part, or gives back the key of one that is not among those that the head names.
    fn part(&mut self, key: String, mut item: Item) -> Option<String> {
        let Some((_, bytes)) = self.parts.iter_mut().find(|(name, _)| *name == key) else { return Some(key) };
        if let Some(AttributeValue::B(part)) = item.remove(attribute::DOCUMENT) {
            *bytes = Some(part.into_inner());
        }
        None
    }

    fn finish(self, found: &mut impl FnMut(Finding)) {
        let Some(head) = self.head else { return };
        match served(head, self.parts.into_iter().map(|(_, bytes)| bytes)) {
            Ok(()) => found(Finding::Good(self.key)),
            Err(error) => found(Finding::Bad(self.key, error)),
        }
    }
}

/// Whether the function could serve this, to clients that take gzip and to those that do not.
fn served(head: Item, parts: impl Iterator<Item = Option<Vec<u8>>>) -> Result<(), DocumentError> {
    let json = match store::read(head)? {
        StoredItem::Whole(study) => study.json,
        StoredItem::Split { .. } => {
            Json::Gzip(store::join(parts.collect::<Option<_>>().ok_or(DocumentError::PartMissing)?)?)
        }
    };
    match json {
        Json::Gzip(gzip) => Properties::of(&store::inflate(&gzip)?).map(drop),
        Json::Text(_) => Ok(()),
    }
}

/// Why the table cannot be worked with, in one line.
#[derive(Debug, Error)]
pub enum TableError {
    /// There is no such table where the client looks.
    #[error("there is no table {0} in this account and region")]
    Missing(String),
    /// The credentials are none, wrong, or not allowed to do this.
    #[error("AWS refuses: {0}")]
    ValidationError(String),
    /// The endpoint does not answer.
    #[error("DynamoDB cannot be reached: {0}")]
    Unreachable(String),
    /// DynamoDB went on refusing more calls.
    #[error("DynamoDB throttles: {0}")]
    Throttled(String),
    /// What stands there cannot be read.
    #[error("what is stored cannot be read: {0}")]
    Document(DocumentError),
}

impl TableError {
    fn of<E>(table: &str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let SdkError::ServiceError(service) = error else { return Self::Unreachable(error_chain(error)) };
        let error = service.err();
        let text = error.message().or(error.code()).unwrap_or("it does not say why").to_owned();
        match error.code() {
            Some("ResourceNotFoundException") => Self::Missing(table.to_owned()),
            code if throttles(code) => Self::Throttled(text),
            _ if service.raw().status().is_server_error() => Self::Unreachable(text),
            _ => Self::ValidationError(text),
        }
    }

    /// The same, of what the function's own reading met.
    #[must_use]
    pub fn of_store(table: &str, error: StoreError) -> Self {
        match error {
            StoreError::Throttled(error) | StoreError::Unreachable(error) | StoreError::Refused(error) => {
                Self::of(table, &error)
            }
            StoreError::Timeout => Self::Unreachable("it does not answer in time".to_owned()),
            StoreError::Document(error) => Self::Document(error),
        }
    }
}

/// The causes of an error, outermost first, on one line.
#[must_use]
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ");
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        cause = error.source();
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}
