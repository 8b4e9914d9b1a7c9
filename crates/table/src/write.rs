//! Writing a document: as text where that fits one read unit, else as gzip, in parts where that exceeds one item.

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

/// The item size, in bytes, up to which an eventually consistent read costs half a read unit.
const READ_UNIT_BYTES: usize = 4096;
/// DynamoDB's limit on the size of an item, names and values together.
const MAX_ITEM_BYTES: usize = 409_600;
/// The bytes of a document in one part: [`MAX_ITEM_BYTES`] less keys and names, rounded down.
const PART_BYTES: usize = 400_000;

/// The items of a document.
#[derive(Debug)]
pub struct Encoded {
    /// The study's own item, to be written after the parts.
    pub head: Item,
    /// The parts of a document that exceeds one item; usually none.
    pub parts: Vec<Item>,
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

/// Encodes a document as items. The sort key is the id in lower case; the document's bytes do not change.
pub fn encode(site: &SiteId, id: &FhirId, json: &str) -> Result<Encoded, EncodeError> {
    let header = StudyHeader::of(json)?;
    if header.id.as_deref() != Some(id.as_str()) {
        return Err(EncodeError::Id);
    }
    if json.len() > MAX_JSON_BYTES {
        return Err(DocumentError::TooLarge.into());
    }
    let key = id.key();
    let mut head = keyed(site, key.as_str());
    head.insert(attribute::ETAG.to_owned(), AttributeValue::S(header.etag(json)));
    if let Some(instant) = header.meta.last_updated {
        head.insert(attribute::LAST_UPDATED.to_owned(), AttributeValue::S(instant.into_owned()));
    }
    if let Some(subject) = header.subject.reference {
        head.insert(attribute::SUBJECT.to_owned(), AttributeValue::S(subject.into_owned()));
    }

    let room = |limit: usize| limit.saturating_sub(item_size(&head) + attribute::DOCUMENT.len());
    if json.len() <= room(READ_UNIT_BYTES) {
        head.insert(attribute::DOCUMENT.to_owned(), AttributeValue::S(json.to_owned()));
        return Ok(Encoded { head, parts: Vec::new() });
    }
    let gzip = compress(json.as_bytes(), Compression::best());
    if !fits_response(gzip.len()) {
        return Err(EncodeError::TooLarge(gzip.len()));
    }
    if gzip.len() <= room(MAX_ITEM_BYTES) {
        head.insert(attribute::DOCUMENT.to_owned(), AttributeValue::B(Blob::new(gzip)));
        return Ok(Encoded { head, parts: Vec::new() });
    }
    // The keys of parts name the content, so that the parts of two versions never mix; `#` is in no FHIR id.
    let content = digest(&gzip);
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
    if item_size(&head) > MAX_ITEM_BYTES {
        return Err(EncodeError::HeadTooLarge);
    }
    Ok(Encoded { head, parts })
}

/// The sort keys of the parts that a head item names; none for a document in one item.
#[must_use]
pub fn part_keys(head: &Item) -> Vec<String> {
    let keys = head.get(attribute::PARTS).and_then(|keys| keys.as_l().ok());
    keys.into_iter().flatten().filter_map(|key| key.as_s().ok().cloned()).collect()
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
    fn value(attribute: &AttributeValue) -> usize {
        match attribute {
            AttributeValue::S(text) => text.len(),
            AttributeValue::B(bytes) => bytes.as_ref().len(),
            AttributeValue::L(elements) => {
                3 + elements.iter().map(|element| 1 + value(element)).sum::<usize>()
            }
            _ => 0,
        }
    }
    item.iter().map(|(name, attribute)| name.len() + value(attribute)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, Properties};
    use crate::gzip::inflate;
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
    }

    #[test]
    fn text_is_written_up_to_one_read_unit_and_gzip_beyond() {
        let frame = item_size(&of(&study("")).unwrap().head);
        let fits = of(&study(&"x".repeat(READ_UNIT_BYTES - frame))).unwrap().head;
        assert_eq!((item_size(&fits), fits["document"].is_s()), (READ_UNIT_BYTES, true));
        let exceeds = of(&study(&"x".repeat(READ_UNIT_BYTES - frame + 1))).unwrap().head;
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
    fn parts_are_named_after_their_content_and_put_together_in_order() {
        let json = study(&noise(2_000_000));
        let Encoded { head, parts } = of(&json).unwrap();
        let keys: Vec<_> = parts.iter().map(|part| s(part, "id").unwrap().to_owned()).collect();
        assert!(keys.len() > 2 && keys[0].starts_with("a#") && keys[0].ends_with("#0"), "{keys:?}");
        assert_eq!(part_keys(&head), keys);
        let gzip: Vec<_> =
            parts.iter().flat_map(|part| part["document"].as_b().unwrap().as_ref().to_vec()).collect();
        assert_eq!(inflate(&gzip).unwrap(), json);
        let Head::Parts { keys: named, properties } = read(head).unwrap() else { panic!("not split") };
        assert_eq!((named, properties.etag.as_str()), (keys, "W/\"1\""));
    }

    #[test]
    fn another_content_has_parts_of_other_names() {
        let [one, other] =
            [2_000_000, 2_000_001].map(|bytes| part_keys(&of(&study(&noise(bytes))).unwrap().head));
        assert!(one.iter().all(|key| !other.contains(key)));
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
