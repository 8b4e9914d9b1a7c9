//! The protocol of parts: writing, deleting, reading and sweeping studies while others do the same.
//! `docs/architecture.md` draws it, [`table::parts`] says what belongs to whom.
//!
//! - A head is put or deleted only in the place of the one that was read.
//! - Parts are written before their head, under keys that no other attempt uses.
//! - At once, only parts are deleted that the replaced or deleted head named as its own. All others wait for the sweep.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use table::attribute::{self, Item};
use table::document::Document;
use table::error::DocumentError;
use table::gzip::{inflate, join};
use table::id::{FhirId, SiteId};
use table::json::Object;
use table::parts::{PartKey, WriteId, is_part, own_part_keys, part_keys};
use table::read::{Head, StoredForm, StoredStudy, read};
use table::write::{Encoded, Prepared};
use tokio::time::{Instant, sleep};

use crate::pace::pauses;
use crate::table::{Table, TableError, Written, sort_key};

/// How often a read starts over because a part is missing.
const READS_AGAIN: usize = 2;
/// Items deleted at once, at most.
const DELETES: usize = 64;

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

/// Outcome of one attempt to write a study.
enum Attempt {
    /// What is stored stays.
    Kept(Change),
    Stored {
        change: Change,
        /// The function looks up an id as given before it looks it up in lower case: it would find this.
        hiding: Option<Item>,
    },
    /// The head may have been put; only itself can tell. It would have changed so much.
    Unknown(WriteId, TableError, Change),
}

/// What a site holds beside studies and the parts that their heads name.
#[derive(Debug, Default)]
pub struct Unnamed {
    /// Parts of ours, older than a day: their heads were never put, or have been replaced.
    pub abandoned: Vec<String>,
    /// Parts of ours whose heads may still be put.
    pub recent: Vec<String>,
    /// What other programs wrote.
    pub foreign: Vec<String>,
}

impl Table {
    /// Writes a study, unless the table has it or must keep what it has. A reader gets the old document or the new one at
    /// any moment, also after an interruption.
    pub async fn put(&self, study: &Prepared) -> Result<Change, TableError> {
        let (mut tried, mut changed, mut retry) = (Vec::new(), Change::Unchanged, Retry::new(self));
        loop {
            let outcome = self.attempt(study, &tried).await?;
            self.learn(matches!(outcome, Attempt::Stored { change: Change::Added, .. }));
            let hiding = match outcome {
                Attempt::Kept(reason) => return Ok(reason),
                Attempt::Stored { change, hiding } => {
                    changed = if change == Change::Unchanged { changed } else { change };
                    hiding
                }
                // A new attempt, with new parts: the request may still arrive.
                Attempt::Unknown(write, error, change) => {
                    tried.push((write, change));
                    retry.pause(error).await?;
                    continue;
                }
            };
            let Some(hiding) = hiding else { return Ok(changed) };
            changed = Change::Replaced;
            match self.delete_head(study.site(), study.id().as_str(), &hiding).await? {
                Written::Done(deleted) => {
                    self.delete_parts(study.site(), deleted.iter().flat_map(own_part_keys)).await?;
                    return Ok(changed);
                }
                Written::Changed => retry.pause(TableError::Contended(study.id().to_string())).await?,
                Written::Unknown(error) => retry.pause(error).await?,
            }
        }
    }

    /// One attempt to write a study, by a write id of its own. `tried`: attempts of unknown outcome.
    async fn attempt(&self, study: &Prepared, tried: &[(WriteId, Change)]) -> Result<Attempt, TableError> {
        let (site, key) = (study.site(), study.id().key());
        let (mut begun, mut retry) = (None, Retry::new(self));
        // Parts would be written in vain.
        let mut guessing = self.expects_new() && tried.is_empty() && !study.has_parts();
        loop {
            let guess = std::mem::take(&mut guessing);
            let stored = if guess { None } else { self.item(site, key.as_str()).await? };
            let hiding = match study.id().lower_case() {
                Some(_) => self.item(site, study.id().as_str()).await?,
                None => None,
            };
            if let Some(stored) = &stored {
                let earlier =
                    WriteId::of(stored).and_then(|put| tried.iter().find(|(write, _)| *write == put));
                if let Some((_, change)) = earlier {
                    return Ok(Attempt::Stored { change: change.clone(), hiding });
                }
            }
            for stored in hiding.iter().chain(&stored) {
                if let Some(kept) = self.reason_to_keep(study, stored).await? {
                    return Ok(Attempt::Kept(kept));
                }
            }
            if let Some(stored) = &stored
                && study.is_stored_in(stored)
                && self.exist(site, &part_keys(stored)).await?
            {
                return Ok(Attempt::Stored { change: Change::Unchanged, hiding });
            }
            let is_new = begun.is_none();
            let write = *begun.get_or_insert_with(|| WriteId::new((self.clock)()));
            let Encoded { head, parts } = study.items(write);
            let within = study.has_parts().then_some(write);
            if is_new {
                try_join_all(parts.into_iter().map(|part| self.put_part(part))).await?;
            }
            let change = if stored.is_some() { Change::Replaced } else { Change::Added };
            match self.put_head(head, stored.as_ref(), within).await? {
                Written::Done(replaced) => {
                    self.delete_parts(site, replaced.iter().flat_map(own_part_keys)).await?;
                    return Ok(Attempt::Stored { change, hiding });
                }
                // Now it is read.
                Written::Changed if guess => {}
                // The parts can be used again: no request that names them is under way.
                Written::Changed => retry.pause(TableError::Contended(key.to_string())).await?,
                Written::Unknown(error) => return Ok(Attempt::Unknown(write, error, change)),
            }
        }
    }

    /// Why a stored study stays. One that cannot be read does not.
    async fn reason_to_keep(&self, study: &Prepared, stored: &Item) -> Result<Option<Change>, TableError> {
        if study.is_stored_in(stored) {
            return Ok(None);
        }
        let identity = if WriteId::of(stored).is_some() {
            Identity::of_ours(stored)
        } else {
            match self.study_of(study.site(), stored.clone()).await.map(text) {
                Ok(Ok(json)) => {
                    serde_json::from_str(&json).map(|Object(identity)| identity).unwrap_or_default()
                }
                Ok(Err(_)) | Err(TableError::Document(_)) => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        let id = study.id().as_str();
        if let Some(other) =
            identity.id.as_deref().filter(|other| *other != id && other.eq_ignore_ascii_case(id))
        {
            return Ok(Some(Change::OtherId(other.to_owned())));
        }
        let now = (self.clock)();
        let stamps = Identity::of_ours(study.attributes()).last_updated(now).zip(identity.last_updated(now));
        let is_older = stamps.is_some_and(|(ours, theirs)| ours < theirs);
        Ok((is_older && !self.allow_older).then_some(Change::Kept))
    }

    /// Deletes a study; false if there is none. The head goes first: a reader finds the study or does not.
    pub async fn remove(&self, site: &SiteId, id: &FhirId) -> Result<bool, TableError> {
        let mut removed = false;
        for key in [Some(id.clone()), id.lower_case()].into_iter().flatten() {
            removed |= self.remove_head(site, key.as_str()).await?;
        }
        Ok(removed)
    }

    /// Deletes every study of a site, and tells `progress` the number deleted so far.
    pub async fn remove_site(&self, site: &SiteId, mut progress: impl FnMut(u64)) -> Result<u64, TableError> {
        let mut studies = 0;
        let mut pages = self.pages(site, &[attribute::ID]);
        while let Some(items) = pages.next().await? {
            let heads = items.iter().filter_map(sort_key).filter(|key| !is_part(key));
            let mut removed = stream::iter(heads)
                .map(|key| async move { self.remove_head(site, key).await })
                .buffer_unordered(DELETES);
            while let Some(removed) = removed.try_next().await? {
                studies += u64::from(removed);
                progress(studies);
            }
        }
        Ok(studies)
    }

    /// The number of items of a site, studies or not.
    pub async fn count_items(&self, site: &SiteId) -> Result<u64, TableError> {
        let (mut count, mut pages) = (0, self.pages(site, &[attribute::ID]));
        while let Some(items) = pages.next().await? {
            count += items.len() as u64;
        }
        Ok(count)
    }

    async fn remove_head(&self, site: &SiteId, key: &str) -> Result<bool, TableError> {
        let (mut removed, mut retry) = (false, Retry::new(self));
        while let Some(stored) = self.item(site, key).await? {
            match self.delete_head(site, key, &stored).await? {
                Written::Done(deleted) => {
                    self.delete_parts(site, deleted.iter().flat_map(own_part_keys)).await?;
                    return Ok(true);
                }
                Written::Changed => retry.pause(TableError::Contended(key.to_owned())).await?,
                Written::Unknown(error) => {
                    removed = true;
                    retry.pause(error).await?;
                }
            }
        }
        Ok(removed)
    }

    async fn delete_parts(
        &self,
        site: &SiteId,
        keys: impl Iterator<Item = String>,
    ) -> Result<(), TableError> {
        try_join_all(keys.map(|key| self.delete_part(site, key))).await.map(drop)
    }

    /// The document that the function would serve: by its id as given or else in lower case.
    pub async fn document(&self, site: &SiteId, id: &FhirId) -> Result<Option<String>, TableError> {
        for key in [Some(id.clone()), id.lower_case()].into_iter().flatten() {
            if let Some(study) = self.study_at(site, key.as_str()).await? {
                return text(study).map(Some).map_err(TableError::Document);
            }
        }
        Ok(None)
    }

    /// The study under a key. A missing part was deleted after the head was read: another head is there.
    pub(crate) async fn study_at(&self, site: &SiteId, key: &str) -> Result<Option<StoredStudy>, TableError> {
        let mut again = READS_AGAIN;
        loop {
            let Some(head) = self.item(site, key).await? else { return Ok(None) };
            match self.study_of(site, head).await {
                Err(TableError::Document(DocumentError::PartMissing)) if again > 0 => again -= 1,
                study => return study.map(Some),
            }
        }
    }

    /// The study of a head.
    async fn study_of(&self, site: &SiteId, head: Item) -> Result<StoredStudy, TableError> {
        match read(head).map_err(TableError::Document)? {
            Head::Document(study) => Ok(study),
            Head::Parts { keys, properties } => {
                let parts = try_join_all(keys.iter().map(|key| self.part(site, key))).await?;
                let gzip = join(&parts).map_err(TableError::Document)?;
                Ok(StoredStudy { document: Document::Gzip(gzip), form: StoredForm::Parts, properties })
            }
        }
    }

    async fn part(&self, site: &SiteId, key: &str) -> Result<Vec<u8>, TableError> {
        let item = self.item(site, key).await?;
        match item.ok_or(TableError::Document(DocumentError::PartMissing))?.remove(attribute::DOCUMENT) {
            Some(AttributeValue::B(bytes)) => Ok(bytes.into_inner()),
            _ => Err(TableError::Document(DocumentError::AttributeType(attribute::DOCUMENT))),
        }
    }

    /// Tells apart the items with these keys, which were found under no study, after their heads may have been put.
    /// `listed`: sort key, and whether the item has a binary document.
    pub async fn unnamed(&self, site: &SiteId, listed: Vec<(String, bool)>) -> Result<Unnamed, TableError> {
        let mut unnamed = Unnamed::default();
        if listed.is_empty() {
            return Ok(unnamed);
        }
        // Before the heads are read: reading may take so long that a part ages meanwhile, and its head may be put.
        let now = (self.clock)();
        let mut named = HashSet::new();
        let mut pages = self.pages(site, &[attribute::ID, attribute::PARTS]);
        while let Some(items) = pages.next().await? {
            named.extend(items.iter().flat_map(part_keys));
        }
        for (key, is_binary) in listed.into_iter().filter(|(key, _)| !named.contains(key)) {
            match PartKey::parse(&key).filter(|_| is_binary) {
                Some(part) if part.write.is_abandoned(now) => unnamed.abandoned.push(key),
                Some(_) => unnamed.recent.push(key),
                None => unnamed.foreign.push(key),
            }
        }
        Ok(unnamed)
    }

    /// Deletes the abandoned parts, and tells `progress` the number deleted so far.
    pub async fn sweep(
        &self,
        site: &SiteId,
        unnamed: &Unnamed,
        mut progress: impl FnMut(u64),
    ) -> Result<u64, TableError> {
        let parts = unnamed.abandoned.iter().cloned();
        let mut deleted =
            stream::iter(parts).map(|key| self.delete_part(site, key)).buffer_unordered(DELETES);
        let mut count = 0;
        while deleted.try_next().await?.is_some() {
            count += 1;
            progress(count);
        }
        Ok(count)
    }

    async fn exist(&self, site: &SiteId, parts: &[String]) -> Result<bool, TableError> {
        let found = try_join_all(parts.iter().map(|part| self.exists(site, part))).await?;
        Ok(found.into_iter().all(|found| found))
    }
}

/// The pauses before a study is written or deleted once more.
struct Retry {
    patience: Duration,
    /// When it was tried again first, and the pauses that are left.
    begun: Option<(Instant, Pauses)>,
}

type Pauses = Box<dyn Iterator<Item = Duration> + Send>;

impl Retry {
    fn new(table: &Table) -> Self {
        Self { patience: table.pace.patience(), begun: None }
    }

    /// Waits, or fails with the reason for trying again if that has been tried for too long.
    async fn pause(&mut self, reason: TableError) -> Result<(), TableError> {
        let (since, pauses) = self.begun.get_or_insert_with(|| (Instant::now(), Box::new(pauses())));
        if since.elapsed() >= self.patience {
            return Err(reason);
        }
        sleep(pauses.next().unwrap_or_default()).await;
        Ok(())
    }
}

fn text(study: StoredStudy) -> Result<String, DocumentError> {
    match study.document {
        Document::Text(text) => Ok(text),
        Document::Gzip(gzip) => inflate(&gzip),
    }
}

/// What tells whether a study may replace another one, as far as it can be read.
#[derive(Default, Deserialize)]
struct Identity {
    id: Option<String>,
    #[serde(default)]
    meta: Option<Object<Meta>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    last_updated: Option<String>,
}

impl Identity {
    /// Of a head that this tool put, whose attributes tell.
    fn of_ours(head: &Item) -> Self {
        let text = |name| head.get(name).and_then(|value| value.as_s().ok()).cloned();
        Self {
            id: text(attribute::DOCUMENT_ID).or(text(attribute::ID)),
            meta: Some(Object(Meta { last_updated: text(attribute::LAST_UPDATED) })),
        }
    }

    /// `meta.lastUpdated`, if it is an instant that has passed.
    fn last_updated(&self, now: SystemTime) -> Option<DateTime> {
        let text = self.meta.as_ref()?.0.last_updated.as_deref()?;
        let instant = DateTime::from_str(text, DateTimeFormat::DateTimeWithOffset).ok()?;
        (instant <= DateTime::from(now)).then_some(instant)
    }
}
