//! Going through the items of a site, and through the sites of a table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use table::attribute::{self, Item};
use table::document::{Document, Properties};
use table::error::DocumentError;
use table::gzip::join;
use table::id::{FhirId, SiteId};
use table::read::{Head, read};
use table::write::part_keys;

use crate::pace::Kind;
use crate::table::{Table, TableError, study_of};

/// The byte after `#`: all parts of a study sort between its key with `#` and its key with this.
const AFTER_PARTS: char = '$';

/// No sort key is greater: 1,024 bytes, the most that a sort key may have, of the last character.
const LAST_SORT_KEY: &[char] = &[char::MAX; 256];

/// Items deleted at once, at most.
const DELETES: usize = 64;

/// What a site holds under one key, or, for a study in parts, under several.
#[derive(Debug)]
pub enum SiteEntry {
    /// A study.
    Study(StudyItems),
    /// The key of a part that no head names: an interrupted load left it.
    Orphan(String),
}

/// The items of a study.
#[derive(Debug)]
pub struct StudyItems {
    /// The sort key of the study's own item.
    pub key: String,
    head: Item,
    /// The parts that the head names, and their bytes as far as they exist.
    parts: Vec<(String, Option<Vec<u8>>)>,
}

/// A study in a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedStudy {
    /// The sort key of the study's own item.
    pub id: String,
    /// How the document is stored: `gzip`, `text`, `map`, `flat`, `parts`, or `unreadable`.
    pub form: &'static str,
    /// Bytes of the document as stored; of JSON for `map` and `flat`.
    pub bytes: usize,
    /// The `ETag` header's value.
    pub etag: Option<String>,
    /// `meta.lastUpdated`.
    pub last_updated: Option<String>,
}

/// Reads the items of a site in pages, in the order of their keys.
#[derive(Debug)]
pub struct SiteReader<'t> {
    table: &'t Table,
    site: SiteId,
    /// Items read so far.
    pub items: u64,
    current: Option<StudyItems>,
    next: Next,
}

#[derive(Debug)]
enum Next {
    First,
    After(HashMap<String, AttributeValue>),
    Nothing,
}

impl SiteReader<'_> {
    /// The next entries; `None` after the last one. Reads are strongly consistent.
    pub async fn next(&mut self) -> Result<Option<Vec<SiteEntry>>, TableError> {
        let start = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::First => None,
            Next::After(key) => Some(key),
            Next::Nothing => return Ok(None),
        };
        let table = self.table;
        let call = table
            .client
            .query()
            .table_name(&table.at.table)
            .key_condition_expression("#site = :site")
            .expression_attribute_names("#site", attribute::SITE)
            .expression_attribute_values(":site", AttributeValue::S(self.site.as_str().to_owned()))
            .set_exclusive_start_key(start)
            .consistent_read(true);
        let page = table.pace.call(Kind::Read, || call.clone().send()).await;
        let page = page.map_err(|error| table.error(&error))?;
        let mut entries = Vec::new();
        for mut item in page.items.unwrap_or_default() {
            self.items += 1;
            let Some(AttributeValue::S(key)) = item.get(attribute::ID).cloned() else { continue };
            if study_of(&key).is_some() {
                let named = self.current.iter_mut().flat_map(|study| &mut study.parts);
                match { named }.find(|(part, _)| *part == key) {
                    Some((_, bytes)) => {
                        *bytes = match item.remove(attribute::DOCUMENT) {
                            Some(AttributeValue::B(part)) => Some(part.into_inner()),
                            _ => None,
                        };
                    }
                    None => entries.push(SiteEntry::Orphan(key)),
                }
            } else {
                let parts = part_keys(&item).into_iter().map(|part| (part, None)).collect();
                let study = StudyItems { key, head: item, parts };
                entries.extend(self.current.replace(study).map(SiteEntry::Study));
            }
        }
        match page.last_evaluated_key {
            Some(key) => self.next = Next::After(key),
            None => entries.extend(self.current.take().map(SiteEntry::Study)),
        }
        Ok(Some(entries))
    }
}

impl StudyItems {
    /// The parts that the head names under another key than its own, as other writers may.
    pub fn parts_elsewhere(&self) -> impl Iterator<Item = &str> {
        let parts = self.parts.iter().map(|(part, _)| part.as_str());
        parts.filter(|part| study_of(part) != Some(&self.key))
    }

    /// Whether the function can serve this, to clients that accept gzip and to those that do not. A subject beside the
    /// document must be the document's own.
    pub fn check(self) -> Result<(), DocumentError> {
        let (document, properties) = match read(self.head)? {
            Head::Document(study) => (study.document, study.properties),
            Head::Parts { properties, .. } => {
                let parts: Option<Vec<_>> = self.parts.into_iter().map(|(_, bytes)| bytes).collect();
                (Document::Gzip(join(&parts.ok_or(DocumentError::PartMissing)?)?), properties)
            }
        };
        match document {
            Document::Gzip(gzip) => Properties::of(&properties.inflate(&gzip, &[])?).map(drop),
            Document::Text(_) => properties.check_subject(&[]),
        }
    }

    /// The study's line in a list. Documents that were stored by this tool are not opened.
    #[must_use]
    pub fn listed(self) -> ListedStudy {
        let last_updated =
            self.head.get(attribute::LAST_UPDATED).and_then(|value| value.as_s().ok()).cloned();
        let (id, part_bytes) = (self.key, self.parts.iter().flat_map(|(_, bytes)| bytes).map(Vec::len).sum());
        let (form, bytes, etag) = match read(self.head) {
            Err(_) => ("unreadable", part_bytes, None),
            Ok(Head::Parts { properties, .. }) => ("parts", part_bytes, Some(properties.etag)),
            Ok(Head::Document(study)) => {
                let bytes = match &study.document {
                    Document::Gzip(gzip) => gzip.len(),
                    Document::Text(text) => text.len(),
                };
                (study.form.code(), bytes, Some(study.properties.etag))
            }
        };
        ListedStudy { id, form, bytes, etag, last_updated }
    }
}

impl Table {
    /// The entries of a site.
    #[must_use]
    pub fn read_site(&self, site: &SiteId) -> SiteReader<'_> {
        SiteReader { table: self, site: site.clone(), items: 0, current: None, next: Next::First }
    }

    /// The next site in the table's own order, or the first one. Costs one small read: the scan starts behind every
    /// sort key that the last site can have.
    pub async fn site_after(&self, last: Option<&str>) -> Result<Option<String>, TableError> {
        let mut start = last.map(|site| {
            let last = LAST_SORT_KEY.iter().collect();
            HashMap::from([
                (attribute::SITE.to_owned(), AttributeValue::S(site.to_owned())),
                (attribute::ID.to_owned(), AttributeValue::S(last)),
            ])
        });
        loop {
            let call = self
                .client
                .scan()
                .table_name(&self.at.table)
                .projection_expression("#site")
                .expression_attribute_names("#site", attribute::SITE)
                .limit(1)
                .set_exclusive_start_key(start);
            let page = self.pace.call(Kind::Read, || call.clone().send()).await;
            let page = page.map_err(|error| self.error(&error))?;
            let item = page.items.unwrap_or_default().pop();
            if let Some(AttributeValue::S(site)) = item.and_then(|mut item| item.remove(attribute::SITE)) {
                return Ok(Some(site));
            }
            // A page may be empty before the end.
            start = Some(match page.last_evaluated_key {
                Some(key) => key,
                None => return Ok(None),
            });
        }
    }

    /// Deletes every item of a site, and tells `progress` the number of studies deleted so far. Heads go first: a reader
    /// finds a study or does not.
    pub async fn remove_site(&self, site: &SiteId, mut progress: impl FnMut(u64)) -> Result<u64, TableError> {
        let (mut studies, mut start) = (0, None);
        loop {
            let (keys, next) = self.keys(site, None, start).await?;
            let (parts, heads): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| study_of(key).is_some());
            for keys in [heads, parts] {
                let mut deleted = stream::iter(keys)
                    .map(|key| async move {
                        let is_study = study_of(&key).is_none();
                        self.delete(site, key).await.map(|_| is_study)
                    })
                    .buffer_unordered(DELETES);
                while let Some(is_study) = deleted.try_next().await? {
                    studies += u64::from(is_study);
                    progress(studies);
                }
            }
            match next {
                Some(key) => start = Some(key),
                None => return Ok(studies),
            }
        }
    }

    /// The keys of everything that is stored of a study: its own item and parts, also those that no head names.
    pub(crate) async fn study_keys(&self, site: &SiteId, id: &FhirId) -> Result<Vec<String>, TableError> {
        let (mut keys, mut start) = (Vec::new(), None);
        loop {
            let (page, next) = self.keys(site, Some(id), start).await?;
            keys.extend(page);
            match next {
                Some(key) => start = Some(key),
                None => return Ok(keys),
            }
        }
    }

    /// One page of sort keys: of the site, or of one of its studies.
    async fn keys(
        &self,
        site: &SiteId,
        study: Option<&FhirId>,
        start: Option<HashMap<String, AttributeValue>>,
    ) -> Result<(Vec<String>, Option<HashMap<String, AttributeValue>>), TableError> {
        let mut call = self
            .client
            .query()
            .table_name(&self.at.table)
            .key_condition_expression("#site = :site")
            .expression_attribute_names("#site", attribute::SITE)
            .expression_attribute_names("#id", attribute::ID)
            .expression_attribute_values(":site", AttributeValue::S(site.as_str().to_owned()))
            .projection_expression("#id")
            .set_exclusive_start_key(start)
            .consistent_read(true);
        if let Some(id) = study {
            call = call
                .key_condition_expression("#site = :site AND #id BETWEEN :first AND :last")
                .expression_attribute_values(":first", AttributeValue::S(id.to_string()))
                .expression_attribute_values(":last", AttributeValue::S(format!("{id}{AFTER_PARTS}")));
        }
        let page = self.pace.call(Kind::Read, || call.clone().send()).await;
        let page = page.map_err(|error| self.error(&error))?;
        let items = page.items.unwrap_or_default().into_iter();
        let keys = items.filter_map(|mut item| match item.remove(attribute::ID) {
            Some(AttributeValue::S(key)) => Some(key),
            _ => None,
        });
        Ok((keys.collect(), page.last_evaluated_key))
    }
}
