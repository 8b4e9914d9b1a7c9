//! Going through the items of a site, and through the sites of a table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use table::attribute::{self, Item};
use table::document::{Document, Properties};
use table::error::DocumentError;
use table::gzip::join;
use table::id::SiteId;
use table::parts::{is_part, part_keys};
use table::read::{Head, StoredForm, StoredStudy, read};

use crate::pace::Kind;
use crate::table::{Pages, Table, TableError, sort_key};

/// No sort key is greater: 1,024 bytes, the most that a sort key may have, of the last character.
const LAST_SORT_KEY: &[char] = &[char::MAX; 256];

/// What a site holds.
#[derive(Debug)]
pub enum SiteEntry {
    /// A study.
    Study(StudyItems),
    /// An item that is no study and that the head before it does not name.
    Unnamed {
        /// The sort key.
        key: String,
        /// Whether it has a binary document, as parts have.
        is_binary: bool,
    },
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

/// Reads what a site holds, in the order of the keys.
#[derive(Debug)]
pub struct SiteReader<'t> {
    pages: Pages<'t>,
    /// Items read so far.
    pub items: u64,
    current: Option<StudyItems>,
}

impl SiteReader<'_> {
    /// The next entries; `None` after the last one.
    pub async fn next(&mut self) -> Result<Option<Vec<SiteEntry>>, TableError> {
        let Some(items) = self.pages.next().await? else {
            return Ok(self.current.take().map(|study| vec![SiteEntry::Study(study)]));
        };
        let mut entries = Vec::new();
        for mut item in items {
            self.items += 1;
            let Some(key) = sort_key(&item).map(str::to_owned) else { continue };
            if !is_part(&key) {
                let parts = part_keys(&item).into_iter().map(|part| (part, None)).collect();
                let study = StudyItems { key, head: item, parts };
                entries.extend(self.current.replace(study).map(SiteEntry::Study));
                continue;
            }
            let document = match item.remove(attribute::DOCUMENT) {
                Some(AttributeValue::B(bytes)) => Some(bytes.into_inner()),
                _ => None,
            };
            // The parts of a study follow its head.
            let named = self.current.iter_mut().flat_map(|study| &mut study.parts);
            match { named }.find(|(part, _)| *part == key) {
                Some((_, bytes)) => *bytes = document,
                None => entries.push(SiteEntry::Unnamed { key, is_binary: document.is_some() }),
            }
        }
        Ok(Some(entries))
    }
}

impl StudyItems {
    /// The document with its parts, as far as they were read.
    fn document(self) -> Result<StoredStudy, DocumentError> {
        match read(self.head)? {
            Head::Document(study) => Ok(study),
            Head::Parts { properties, .. } => {
                let parts: Option<Vec<_>> = self.parts.into_iter().map(|(_, bytes)| bytes).collect();
                let gzip = join(&parts.ok_or(DocumentError::PartMissing)?)?;
                Ok(StoredStudy { document: Document::Gzip(gzip), form: StoredForm::Parts, properties })
            }
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
        SiteReader { pages: self.pages(site, &[]), items: 0, current: None }
    }

    /// Whether the function can serve a study; `None` if it was deleted meanwhile.
    pub async fn check(
        &self,
        site: &SiteId,
        study: StudyItems,
    ) -> Result<Option<Result<(), DocumentError>>, TableError> {
        let key = study.key.clone();
        match study.document() {
            Ok(study) => Ok(Some(servable(study))),
            // Perhaps they were deleted because another document was put in the place of this one.
            Err(DocumentError::PartMissing) => match self.study_at(site, &key).await {
                Ok(study) => Ok(study.map(servable)),
                Err(TableError::Document(error)) => Ok(Some(Err(error))),
                Err(error) => Err(error),
            },
            Err(error) => Ok(Some(Err(error))),
        }
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
}

/// Whether the function can serve a study to clients that accept gzip and to those that do not. A subject beside the
/// document must be the document's own.
fn servable(study: StoredStudy) -> Result<(), DocumentError> {
    match study.document {
        Document::Gzip(gzip) => Properties::of(&study.properties.inflate(&gzip, &[])?).map(drop),
        Document::Text(_) => study.properties.check_subject(&[]),
    }
}
