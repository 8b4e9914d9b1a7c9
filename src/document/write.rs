//! Writing the form that we write: text where it fits the same read unit, else gzip, in parts where one item is too
//! small for it.

use std::io::Write as _;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::read::{Outline, Properties, hex};
use super::{DocumentError, Item, MAX_JSON_BYTES, attribute};
use crate::answer::MAX_GZIP_BYTES;
use crate::target::{SiteId, StudyId};

/// One read unit: an item of up to this many bytes costs half a unit, eventually consistent.
const READ_UNIT_BYTES: usize = 4096;
/// The most that DynamoDB keeps in one item, names and values together.
const MAX_ITEM_BYTES: usize = 409_600;
/// The bytes of a document that one part holds: an item's limit less its keys and names, rounded down.
const PART_BYTES: usize = 400_000;

/// The items that a document becomes.
#[derive(Debug)]
pub struct Encoded {
    /// The study's own item; written after the parts.
    pub head: Item,
    /// The parts of a document that is too large for one item; mostly none.
    pub parts: Vec<Item>,
}

/// Why a document cannot be written.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// It could not be served.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// It has no `id`, or another one than the key that it is to be stored under.
    #[error("the document's id is not the id that it is stored under")]
    Id,
    /// Even compressed it is more than one answer of a Lambda function can carry.
    #[error("the document has {0} bytes compressed; an answer carries {MAX_GZIP_BYTES}")]
    TooLarge(usize),
}

/// Turns a document into the items that hold it. The key is the id in lower case; the document keeps its bytes.
pub fn encode(site: &SiteId, id: &StudyId, json: &str) -> Result<Encoded, EncodeError> {
    let outline = Outline::of(json)?;
    if outline.id.as_deref() != Some(id.as_str()) {
        return Err(EncodeError::Id);
    }
    if json.len() > MAX_JSON_BYTES {
        return Err(DocumentError::TooLarge.into());
    }
    let key = id.lower_case().unwrap_or_else(|| id.clone());
    let mut head = keyed(site, key.as_str());
    let properties = Properties::of(json)?;
    head.insert(attribute::ETAG.to_owned(), AttributeValue::S(properties.etag));
    if let Some(instant) = outline.meta.and_then(|meta| meta.last_updated) {
        head.insert(attribute::LAST_UPDATED.to_owned(), AttributeValue::S(instant.into_owned()));
    }
    if let Some(subject) = properties.subject {
        head.insert(attribute::SUBJECT.to_owned(), AttributeValue::S(subject));
    }

    let room = |limit: usize| limit.saturating_sub(size(&head) + attribute::DOCUMENT.len());
    if json.len() <= room(READ_UNIT_BYTES) {
        head.insert(attribute::DOCUMENT.to_owned(), AttributeValue::S(json.to_owned()));
        return Ok(Encoded { head, parts: Vec::new() });
    }
    let gzip = compress(json.as_bytes(), Compression::best());
    if gzip.len() > MAX_GZIP_BYTES {
        return Err(EncodeError::TooLarge(gzip.len()));
    }
    if gzip.len() <= room(MAX_ITEM_BYTES) {
        head.insert(attribute::DOCUMENT.to_owned(), AttributeValue::B(Blob::new(gzip)));
        return Ok(Encoded { head, parts: Vec::new() });
    }
    // The content's name is in the parts' keys, so parts of two versions never mix; `#` is in no FHIR id.
    let content = hex(&Sha256::digest(&gzip)[..16]);
    let mut keys = Vec::new();
    let mut parts = Vec::new();
    for (index, chunk) in gzip.chunks(PART_BYTES).enumerate() {
        let part_key = format!("{key}#{content}#{index}");
        let mut part = keyed(site, &part_key);
        part.insert(attribute::DOCUMENT.to_owned(), AttributeValue::B(Blob::new(chunk)));
        parts.push(part);
        keys.push(AttributeValue::S(part_key));
    }
    head.insert(attribute::PARTS.to_owned(), AttributeValue::L(keys));
    Ok(Encoded { head, parts })
}

/// The sort keys of the parts that a head item names; none for a document that stands in one item.
#[must_use]
pub fn part_keys(head: &Item) -> Vec<String> {
    let keys = head.get(attribute::PARTS).and_then(|keys| keys.as_l().ok());
    keys.into_iter().flatten().filter_map(|key| key.as_s().ok().cloned()).collect()
}

/// gzip of `bytes`.
pub(crate) fn compress(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8 + 64), level);
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    #[expect(clippy::expect_used, reason = "writing to a Vec does not fail, and nothing else does")]
    written.expect("a Vec takes every byte")
}

fn keyed(site: &SiteId, key: &str) -> Item {
    Item::from([
        (attribute::SITE.to_owned(), AttributeValue::S(site.as_str().to_owned())),
        (attribute::ID.to_owned(), AttributeValue::S(key.to_owned())),
    ])
}

/// The bytes that DynamoDB counts for an item of strings and binaries: names and values.
fn size(item: &Item) -> usize {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        _ => 0,
    };
    item.iter().map(|(name, attribute)| name.len() + value(attribute)).sum()
}
