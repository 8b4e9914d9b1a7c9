//! Writing a document: as text where that fits one read unit, else as gzip, in parts where that exceeds one item.

use std::time::SystemTime;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use thiserror::Error;

use crate::attribute::{self, Item};
use crate::document::{StudyHeader, digest};
use crate::error::DocumentError;
use crate::gzip::{compress, fits_response};
use crate::id::{FhirId, SiteId};
use crate::limit::{MAX_GZIP_BYTES, MAX_JSON_BYTES};
use crate::parts::{PartKey, WriteId};

/// DynamoDB's limit on the size of an item, names and values together.
const MAX_ITEM_BYTES: usize = 409_600;

/// Sizes that decide how a document is stored, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// The largest item that holds a document as text.
    pub text: usize,
    /// The largest item.
    pub item: usize,
    /// The compressed document in one part.
    pub part: usize,
}

impl Sizes {
    /// An eventually consistent read of up to 4 KB costs half a read unit, and an item has at most 400 KB with its keys
    /// and names.
    pub const DYNAMODB: Self = Self { text: 4096, item: MAX_ITEM_BYTES, part: 400_000 };
}

/// The items of a document, as one attempt to write it puts them.
#[derive(Debug)]
pub struct Encoded {
    /// The study's own item, to be written after the parts.
    pub head: Item,
    /// The parts of a document that exceeds one item; usually none.
    pub parts: Vec<Item>,
}

/// A document that is ready to be written. The sort key is the id in lower case; the document's bytes do not change.
#[derive(Clone, Debug)]
pub struct Prepared {
    site: SiteId,
    id: FhirId,
    /// The head without what names the attempt.
    head: Item,
    /// The compressed document in pieces, if it exceeds one item.
    pieces: Vec<Blob>,
}

/// Why a document cannot be written.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// It could not be served.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Its `id` is missing, or differs from the id that it is to be stored under.
    #[error("the document's id is not the id that it is stored under")]
    Id,
    /// `meta.lastUpdated` and `subject.reference`, which its own item repeats, do not fit one item.
    #[error("meta.lastUpdated and subject.reference have too many bytes for one item ({MAX_ITEM_BYTES})")]
    HeadTooLarge,
    /// It exceeds [`MAX_GZIP_BYTES`] when compressed.
    #[error("the document has {0} bytes compressed; a response carries {MAX_GZIP_BYTES}")]
    TooLarge(usize),
}

/// Encodes a document as the items of a new attempt.
pub fn encode(site: &SiteId, id: &FhirId, json: &str) -> Result<Encoded, EncodeError> {
    Ok(Prepared::new(site, id, json, Sizes::DYNAMODB)?.items(WriteId::new(SystemTime::now())))
}

impl Prepared {
    /// Prepares a document with this id. Tests choose small `sizes`, so that they need no large documents.
    pub fn new(site: &SiteId, id: &FhirId, json: &str, sizes: Sizes) -> Result<Self, EncodeError> {
        let header = StudyHeader::of(json)?;
        if header.id.as_deref() != Some(id.as_str()) {
            return Err(EncodeError::Id);
        }
        if json.len() > MAX_JSON_BYTES {
            return Err(DocumentError::TooLarge.into());
        }
        let key = id.key();
        let mut head = keyed(site, key.as_str());
        let mut set = |name: &str, text: String| head.insert(name.to_owned(), AttributeValue::S(text));
        let digest = digest(json.as_bytes());
        set(attribute::ETAG, header.etag(|| digest.clone()));
        set(attribute::DIGEST, digest);
        if *id != key {
            set(attribute::DOCUMENT_ID, id.to_string());
        }
        if let Some(instant) = header.meta.last_updated {
            set(attribute::LAST_UPDATED, instant.into_owned());
        }
        if let Some(subject) = header.subject.reference {
            set(attribute::SUBJECT, subject.into_owned());
        }

        let frame =
            item_size(&head) + attribute::WRITE_ID.len() + WriteId::LENGTH + attribute::DOCUMENT.len();
        let mut whole = |document| head.insert(attribute::DOCUMENT.to_owned(), document);
        let mut pieces = Vec::new();
        if frame + json.len() <= sizes.text {
            whole(AttributeValue::S(json.to_owned()));
        } else {
            let gzip = compress(json.as_bytes(), Compression::best());
            if !fits_response(gzip.len()) {
                return Err(EncodeError::TooLarge(gzip.len()));
            }
            if frame + gzip.len() <= sizes.item {
                whole(AttributeValue::B(Blob::new(gzip)));
            } else {
                pieces.extend(gzip.chunks(sizes.part).map(Blob::new));
            }
        }
        let prepared = Self { site: site.clone(), id: id.clone(), head, pieces };
        if prepared.head_size() > sizes.item {
            return Err(EncodeError::HeadTooLarge);
        }
        Ok(prepared)
    }

    /// The site that it is stored in.
    #[must_use]
    pub fn site(&self) -> &SiteId {
        &self.site
    }

    /// The document's id, in its own case.
    #[must_use]
    pub fn id(&self) -> &FhirId {
        &self.id
    }

    /// The attributes of its head, but for those that name the attempt.
    #[must_use]
    pub fn attributes(&self) -> &Item {
        &self.head
    }

    /// Whether it exceeds one item.
    #[must_use]
    pub fn has_parts(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// The items of one attempt to write it.
    #[must_use]
    pub fn items(&self, write: WriteId) -> Encoded {
        let parts = self.part_keys(write).zip(&self.pieces).map(|(key, piece)| {
            let mut part = keyed(&self.site, &key);
            part.insert(attribute::DOCUMENT.to_owned(), AttributeValue::B(piece.clone()));
            part
        });
        Encoded { head: self.head(write), parts: parts.collect() }
    }

    /// Whether a head holds this very document, as far as its own item tells: its parts may be lost.
    #[must_use]
    pub fn is_stored_in(&self, head: &Item) -> bool {
        let of_attempt = |name: &&String| [attribute::WRITE_ID, attribute::PARTS].contains(&name.as_str());
        head.keys().filter(|name| !of_attempt(name)).count() == self.head.len()
            && self.head.iter().all(|(name, value)| head.get(name) == Some(value))
            && head.contains_key(attribute::PARTS) == self.has_parts()
    }

    /// The sizes of its items, in bytes.
    pub fn item_sizes(&self) -> impl Iterator<Item = usize> {
        let frame = |key: String| item_size(&keyed(&self.site, &key)) + attribute::DOCUMENT.len();
        let parts = self
            .part_keys(WriteId::ANY)
            .zip(&self.pieces)
            .map(move |(key, piece)| frame(key) + piece.as_ref().len());
        parts.chain([self.head_size()])
    }

    fn head_size(&self) -> usize {
        let keys: Vec<_> = self.part_keys(WriteId::ANY).map(AttributeValue::S).collect();
        let parts =
            if keys.is_empty() { 0 } else { attribute::PARTS.len() + value_size(&AttributeValue::L(keys)) };
        item_size(&self.head) + attribute::WRITE_ID.len() + WriteId::LENGTH + parts
    }

    fn head(&self, write: WriteId) -> Item {
        let mut head = self.head.clone();
        head.insert(attribute::WRITE_ID.to_owned(), AttributeValue::S(write.to_string()));
        if self.has_parts() {
            let keys = self.part_keys(write).map(AttributeValue::S).collect();
            head.insert(attribute::PARTS.to_owned(), AttributeValue::L(keys));
        }
        head
    }

    fn part_keys(&self, write: WriteId) -> impl Iterator<Item = String> {
        let head = self.id.key().to_string();
        (0..self.pieces.len()).map(move |index| PartKey { head: head.clone(), write, index }.to_string())
    }
}

fn keyed(site: &SiteId, key: &str) -> Item {
    Item::from([
        (attribute::SITE.to_owned(), AttributeValue::S(site.as_str().to_owned())),
        (attribute::ID.to_owned(), AttributeValue::S(key.to_owned())),
    ])
}

/// The size that DynamoDB counts for an item of strings, binaries and lists of strings, in bytes: names and values, and
/// for a list three bytes and one for each element.
#[must_use]
pub fn item_size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

fn value_size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::L(elements) => {
            3 + elements.iter().map(|element| 1 + value_size(element)).sum::<usize>()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, Properties};
    use crate::gzip::inflate;
    use crate::parts::part_keys;
    use crate::read::{Head, read};

    fn of(json: &str) -> Result<Encoded, EncodeError> {
        let id = json.split('"').nth(7).expect("an id");
        encode(&SiteId::parse("4").unwrap(), &FhirId::parse(id).unwrap(), json)
    }

    /// A study with a description of these bytes.
    fn study(description: &str) -> String {
        format!(
            r#"{{"resourceType":"ImagingStudy","id":"A","meta":{{"versionId":"1","lastUpdated":"2024-05-04T12:00:00Z"}},"subject":{{"reference":"Patient/7"}},"description":"{description}"}}"#
        )
    }

    /// Digits that gzip can make little of.
    fn noise(bytes: usize) -> String {
        let mut random = fastrand::Rng::with_seed(1);
        (0..bytes).map(|_| random.digit(16)).collect()
    }

    fn s<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
        item.get(name)?.as_s().ok().map(String::as_str)
    }

    #[test]
    fn the_key_is_in_lower_case_and_the_document_as_it_was() {
        let json = study("");
        let head = of(&json).unwrap().head;
        assert_eq!((s(&head, "siteId"), s(&head, "id")), (Some("4"), Some("a")));
        assert_eq!(s(&head, "document"), Some(json.as_str()));
    }

    #[test]
    fn what_headers_and_the_patient_check_need_is_stored_next_to_the_document() {
        let head = of(&study("")).unwrap().head;
        assert_eq!(s(&head, "etag"), Some("W/\"1\""));
        assert_eq!(s(&head, "lastUpdated"), Some("2024-05-04T12:00:00Z"));
        assert_eq!(s(&head, "subject"), Some("Patient/7"));
        assert_eq!(s(&head, "documentId"), Some("A"));
    }

    #[test]
    fn text_is_written_up_to_one_read_unit_and_gzip_beyond() {
        let frame = item_size(&of(&study("")).unwrap().head);
        let fits = of(&study(&"x".repeat(Sizes::DYNAMODB.text - frame))).unwrap().head;
        assert_eq!((item_size(&fits), fits["document"].is_s()), (Sizes::DYNAMODB.text, true));
        let exceeds = of(&study(&"x".repeat(Sizes::DYNAMODB.text - frame + 1))).unwrap().head;
        assert!(exceeds["document"].is_b());
    }

    #[test]
    fn the_size_of_an_item_is_that_of_its_names_and_values() {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let item = Item::from([
            ("a".to_owned(), text("xy")),
            ("bc".to_owned(), AttributeValue::B(Blob::new("xyz"))),
            ("d".to_owned(), AttributeValue::L(vec![text("x"), text("yz")])),
        ]);
        assert_eq!(item_size(&item), (1 + 2) + (2 + 3) + (1 + 3 + (1 + 1) + (1 + 2)));
    }

    #[test]
    fn no_item_is_larger_than_dynamodb_takes() {
        for bytes in [700_000, 710_000, 720_000, 730_000, 2_000_000] {
            let Encoded { head, parts } = of(&study(&noise(bytes))).unwrap();
            for item in parts.iter().chain([&head]) {
                assert!(item_size(item) <= MAX_ITEM_BYTES, "{bytes}: {}", item_size(item));
            }
        }
    }

    #[test]
    fn parts_are_named_after_their_attempt_and_put_together_in_order() {
        let json = study(&noise(2_000_000));
        let Encoded { head, parts } = of(&json).unwrap();
        let keys: Vec<_> = parts.iter().map(|part| s(part, "id").unwrap().to_owned()).collect();
        let write = WriteId::of(&head).unwrap();
        let expected: Vec<_> = (0..keys.len()).map(|n| format!("a#{write}#{n}")).collect();
        assert!(keys.len() > 2 && keys == expected, "{keys:?}");
        assert_eq!(part_keys(&head), keys);
        let gzip: Vec<_> =
            parts.iter().flat_map(|part| part["document"].as_b().unwrap().as_ref().to_vec()).collect();
        assert_eq!(inflate(&gzip).unwrap(), json);
        let Head::Parts { keys: named, properties } = read(head).unwrap() else { panic!("not split") };
        assert_eq!((named, properties.etag.as_str()), (keys, "W/\"1\""));
    }

    #[test]
    fn two_attempts_share_no_part() {
        let json = study(&noise(2_000_000));
        let [one, other] = [(); 2].map(|()| part_keys(&of(&json).unwrap().head));
        assert!(one.iter().all(|key| !other.contains(key)));
    }

    #[test]
    fn a_head_is_known_by_all_that_does_not_name_its_attempt() {
        let (small, large) = (study(""), study(&noise(2_000_000)));
        let prepared = |json: &str| {
            let (site, id) = (SiteId::parse("4").unwrap(), FhirId::parse("A").unwrap());
            Prepared::new(&site, &id, json, Sizes::DYNAMODB).unwrap()
        };
        for json in [&small, &large] {
            let head = of(json).unwrap().head;
            assert!(prepared(json).is_stored_in(&head));
            assert!(!prepared(&study("other")).is_stored_in(&head));
            for name in head.keys().filter(|name| *name != "writeId") {
                let mut lacking = head.clone();
                lacking.remove(name);
                assert!(!prepared(json).is_stored_in(&lacking), "{name}");
            }
            let mut more = head.clone();
            more.insert("x".to_owned(), AttributeValue::Null(true));
            assert!(!prepared(json).is_stored_in(&more));
        }
    }

    #[test]
    fn sizes_are_those_of_the_items() {
        for json in [study(""), study(&noise(20_000)), study(&noise(2_000_000))] {
            let (site, id) = (SiteId::parse("4").unwrap(), FhirId::parse("A").unwrap());
            let prepared = Prepared::new(&site, &id, &json, Sizes::DYNAMODB).unwrap();
            let Encoded { head, parts } = prepared.items(WriteId::new(std::time::UNIX_EPOCH));
            let sizes: Vec<_> = parts.iter().chain([&head]).map(item_size).collect();
            assert_eq!(prepared.item_sizes().collect::<Vec<_>>(), sizes);
        }
    }

    #[test]
    fn a_document_that_no_response_can_carry_is_rejected() {
        assert!(matches!(of(&study(&noise(9_000_000))), Err(EncodeError::TooLarge(_))));
        let room = MAX_JSON_BYTES - study("").len();
        assert!(of(&study(&"x".repeat(room))).is_ok());
        let huge = study(&"x".repeat(room + 1));
        assert!(matches!(of(&huge), Err(EncodeError::Document(DocumentError::TooLarge))));
    }

    #[test]
    fn a_head_may_fill_its_item() {
        let noise = noise(800_000);
        let of_patient = |digits: usize| {
            let patient = format!("Patient/{}", "7".repeat(digits));
            of(&study(&noise).replace("Patient/7", &patient)).map(|Encoded { head, .. }| item_size(&head))
        };
        let fills = 1 + MAX_ITEM_BYTES - of_patient(1).unwrap();
        assert_eq!(of_patient(fills).unwrap(), MAX_ITEM_BYTES);
        assert!(matches!(of_patient(fills + 1), Err(EncodeError::HeadTooLarge)));
    }

    #[test]
    fn a_document_whose_head_does_not_fit_an_item_is_rejected() {
        let json = study("").replace("Patient/7", &format!("Patient/{}", "7".repeat(500_000)));
        assert!(matches!(of(&json), Err(EncodeError::HeadTooLarge)));
    }

    #[test]
    fn a_document_of_another_id_is_rejected() {
        let other = encode(&SiteId::parse("4").unwrap(), &FhirId::parse("B").unwrap(), &study(""));
        assert!(matches!(other, Err(EncodeError::Id)));
    }

    #[test]
    fn what_is_written_is_read_with_the_same_properties() {
        let json = study(&"x".repeat(10_000));
        let Head::Document(read) = read(of(&json).unwrap().head).unwrap() else { panic!("split") };
        assert_eq!(read.properties, Properties::of(&json).unwrap());
        assert!(matches!(read.document, Document::Gzip(_)));
    }
}
