//! Reading a study's item.
//!
//! | format | the item |
//! |---|---|
//! | gzip | `document`: B, gzip of the JSON bytes; or `parts`: L, the sort keys of the items that hold those bytes |
//! | text | `document`: S, JSON |
//! | map  | `document`: M, native attributes |
//! | flat | no `document`; the item itself is the resource, with `siteId` added |
//!
//! Items with a `document` or `parts` may also have `etag`, `lastUpdated` and `subject`. A writer that sets `etag` sets
//! all three that apply. Without `etag`, all are read from the document. Null attributes count as absent.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::date_time::{DateTime, Format};
use flate2::write::GzDecoder;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::attribute;
use crate::ids::FhirId;

/// An item of the table, by attribute name.
pub type Item = std::collections::HashMap<String, AttributeValue>;

/// Maximum size of a document: 32 MiB of JSON, about 190,000 instances. Neither written nor inflated beyond it, so that
/// a gzip bomb cannot exhaust the function's memory.
pub const MAX_JSON_BYTES: usize = 32 << 20;

/// Maximum size of a compressed document: what one response of a Lambda function can carry.
pub const MAX_GZIP_BYTES: usize = 4_717_131;

/// Maximum number of parts of a document. Twelve of ours hold [`MAX_GZIP_BYTES`].
pub const MAX_PARTS: usize = 16;

/// The format in which a document is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFormat {
    /// gzip of the JSON bytes.
    Gzip,
    /// JSON as a string.
    Text,
    /// Native attributes under `document`.
    Map,
    /// Native attributes of the item itself.
    Flat,
}

impl StorageFormat {
    /// The format's name in the audit line.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Text => "text",
            Self::Map => "map",
            Self::Flat => "flat",
        }
    }
}

/// A stored document with its properties.
#[derive(Debug)]
pub struct StoredStudy {
    /// The document.
    pub json: Json,
    /// The format it is stored in.
    pub format: StorageFormat,
    /// What is known without opening it again.
    pub properties: Properties,
}

/// A document's bytes.
pub enum Json {
    /// Compressed, as stored.
    Gzip(Vec<u8>),
    /// The text of an `ImagingStudy`, valid JSON.
    Text(String),
}

/// The properties of a document that response headers and the patient check need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    /// The entity tag, always weak: a document has several representations (RFC 9110 §8.8.3).
    pub etag: String,
    /// `meta.lastUpdated`, in whole seconds since 1970-01-01T00:00:00Z.
    pub last_updated: Option<i64>,
    /// `subject.reference`.
    pub subject: Option<String>,
}

/// A study's own item.
#[derive(Debug)]
pub enum StoredItem {
    /// It holds the whole document.
    Whole(StoredStudy),
    /// It names the document's parts.
    Split {
        /// The sort keys of the parts, in order, 1 to [`MAX_PARTS`]. Their bytes together are the gzip format.
        parts: Vec<String>,
        /// The properties of the whole document.
        properties: Properties,
    },
}

impl StoredItem {
    /// The document's properties.
    #[must_use]
    pub fn properties(&self) -> &Properties {
        match self {
            Self::Whole(study) => &study.properties,
            Self::Split { properties, .. } => properties,
        }
    }

    /// The format that the document is stored in.
    #[must_use]
    pub fn format(&self) -> StorageFormat {
        match self {
            Self::Whole(study) => study.format,
            Self::Split { .. } => StorageFormat::Gzip,
        }
    }
}

/// Why an item cannot be served. Contains nothing of the document.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// An attribute has a type that no storage format has.
    #[error("attribute {0} has a type that no storage format has")]
    AttributeType(&'static str),
    /// A native attribute is a binary, a set, or a number that JSON writes differently.
    #[error("a native attribute has no JSON form")]
    NotJson,
    /// The gzip data is damaged, truncated, or followed by other data.
    #[error("damaged gzip data")]
    Gzip(#[source] io::Error),
    /// The document exceeds [`MAX_JSON_BYTES`], or [`MAX_GZIP_BYTES`] compressed.
    #[error("the document is too large: at most {MAX_JSON_BYTES} bytes, {MAX_GZIP_BYTES} compressed")]
    TooLarge,
    /// The text is not UTF-8.
    #[error("the document is not UTF-8")]
    Utf8,
    /// The text is not JSON, or `resourceType`, `meta` or `subject` has the wrong type.
    #[error("invalid ImagingStudy JSON (line {line}, column {column})")]
    Json {
        /// Line of the error, from 1.
        line: usize,
        /// Column of the error, from 1.
        column: usize,
    },
    /// The document is a resource of another type.
    #[error("the document is not an ImagingStudy")]
    ResourceType,
    /// The item has neither a document nor the elements of one.
    #[error("the item has no document")]
    Missing,
    /// The item names no part, or more than [`MAX_PARTS`].
    #[error("the item names {0} parts: must be 1 to {MAX_PARTS}")]
    PartCount(usize),
    /// A part that the item names does not exist.
    #[error("a part of the document is missing")]
    PartMissing,
}

impl From<serde_json::Error> for DocumentError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json { line: error.line(), column: error.column() }
    }
}

/// Reads a study's own item in any storage format.
pub fn read(mut item: Item) -> Result<StoredItem, DocumentError> {
    let mut take = |name| item.remove(name).filter(|value| !value.is_null());
    let (document, parts) = (take(attribute::DOCUMENT), take(attribute::PARTS));
    let (format, json) = match (document, parts) {
        (Some(AttributeValue::B(gzip)), _) => (StorageFormat::Gzip, Json::Gzip(gzip.into_inner())),
        (Some(AttributeValue::S(text)), _) => (StorageFormat::Text, Json::Text(text)),
        (Some(AttributeValue::M(map)), _) => (StorageFormat::Map, Json::Text(to_json(&map)?)),
        (Some(_), _) => return Err(DocumentError::AttributeType(attribute::DOCUMENT)),
        (None, Some(AttributeValue::L(keys))) => return split(keys, &item),
        (None, Some(_)) => return Err(DocumentError::AttributeType(attribute::PARTS)),
        (None, None) if !item.contains_key("resourceType") => return Err(DocumentError::Missing),
        (None, None) => {
            item.remove(attribute::SITE);
            (StorageFormat::Flat, Json::Text(to_json(&item)?))
        }
    };
    let stored = if format == StorageFormat::Flat { None } else { stored_properties(&item) };
    let properties = match (&json, stored) {
        // Not opened: the writer that set `etag` has checked the document.
        (Json::Gzip(gzip), Some(properties)) if looks_like_gzip(gzip) => properties,
        (Json::Gzip(gzip), stored) => checked(&inflate(gzip)?, stored)?,
        (Json::Text(text), stored) => checked(text, stored)?,
    };
    Ok(StoredItem::Whole(StoredStudy { json, format, properties }))
}

fn split(keys: Vec<AttributeValue>, item: &Item) -> Result<StoredItem, DocumentError> {
    if !(1..=MAX_PARTS).contains(&keys.len()) {
        return Err(DocumentError::PartCount(keys.len()));
    }
    let key = |key| match key {
        AttributeValue::S(key) => Ok(key),
        _ => Err(DocumentError::AttributeType(attribute::PARTS)),
    };
    let parts = keys.into_iter().map(key).collect::<Result<_, _>>()?;
    let properties = stored_properties(item).ok_or(DocumentError::AttributeType(attribute::ETAG))?;
    Ok(StoredItem::Split { parts, properties })
}

/// Checks a document that is open. Its properties are the stored ones, or else its own.
fn checked(json: &str, stored: Option<Properties>) -> Result<Properties, DocumentError> {
    let header = StudyHeader::of(json)?;
    Ok(stored.unwrap_or_else(|| header.properties(json)))
}

/// Puts the parts of a document together, once they are known to be one gzip member that a response can carry.
pub fn join(parts: &[Vec<u8>]) -> Result<Vec<u8>, DocumentError> {
    check_gzip(parts)?;
    Ok(parts.concat())
}

/// Inflates a gzip member to its JSON text, at most [`MAX_JSON_BYTES`].
pub fn inflate(gzip: &[u8]) -> Result<String, DocumentError> {
    // No more at once than compression can plausibly have saved: the claim may be false.
    let capacity = claimed_len(gzip).min(gzip.len().saturating_mul(16)).min(MAX_JSON_BYTES);
    let text = decode(&[gzip], Vec::with_capacity(capacity))?;
    String::from_utf8(text).map_err(|_| DocumentError::Utf8)
}

/// Whether a response can carry a compressed document of so many bytes.
pub(crate) fn fits_response(gzip_bytes: usize) -> bool {
    gzip_bytes <= MAX_GZIP_BYTES
}

/// Checks that the chunks are one gzip member within the limits, in constant memory.
pub(crate) fn check_gzip(chunks: &[impl AsRef<[u8]>]) -> Result<(), DocumentError> {
    decode(chunks, io::sink()).map(drop)
}

fn decode<W: Write>(chunks: &[impl AsRef<[u8]>], out: W) -> Result<W, DocumentError> {
    if !fits_response(chunks.iter().map(|chunk| chunk.as_ref().len()).sum()) {
        return Err(DocumentError::TooLarge);
    }
    let mut decoder = GzDecoder::new(Limited { out, left: MAX_JSON_BYTES });
    // Data after the end of the member is not accepted, and so an error too.
    let written = chunks.iter().try_for_each(|chunk| decoder.write_all(chunk.as_ref()));
    match written.and_then(|()| decoder.finish()) {
        Ok(limited) => Ok(limited.out),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(DocumentError::TooLarge),
        Err(error) => Err(DocumentError::Gzip(error)),
    }
}

/// A writer that fails with [`io::ErrorKind::FileTooLarge`] after `left` bytes.
struct Limited<W> {
    out: W,
    left: usize,
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The size that gzip data claims to inflate to (RFC 1952 §2.3.1, ISIZE). Only [`check_gzip`] or [`inflate`] can tell
/// whether the claim is true.
pub(crate) fn claimed_len(gzip: &[u8]) -> usize {
    gzip.last_chunk().map_or(0, |trailer| u32::from_le_bytes(*trailer) as usize)
}

/// The header of a gzip member with deflate data, and room for its trailer (RFC 1952 §2.3).
fn looks_like_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b, 8]) && bytes.len() >= 18
}

/// The properties that the item itself has, if its writer set `etag`.
fn stored_properties(item: &Item) -> Option<Properties> {
    let text = |name| item.get(name).and_then(|value| value.as_s().ok());
    Some(Properties {
        etag: text(attribute::ETAG).and_then(|etag| weak_tag(etag))?,
        last_updated: text(attribute::LAST_UPDATED).and_then(|instant| seconds(instant)),
        subject: text(attribute::SUBJECT).cloned(),
    })
}

/// An entity tag (RFC 9110 §8.8.3) made weak; `None` if `text` is none, or too long for a header.
fn weak_tag(text: &str) -> Option<String> {
    let opaque = text.strip_prefix("W/").unwrap_or(text);
    let inner = opaque.strip_prefix('"')?.strip_suffix('"')?;
    let valid = inner.len() <= 128 && inner.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    valid.then(|| format!("W/{opaque}"))
}

fn seconds(instant: &str) -> Option<i64> {
    DateTime::from_str(instant, Format::DateTimeWithOffset).ok().map(|time| time.secs())
}

impl Properties {
    /// Reads the properties from the document, which must be the JSON of an `ImagingStudy`.
    pub fn of(json: &str) -> Result<Self, DocumentError> {
        Ok(StudyHeader::of(json)?.properties(json))
    }
}

/// The members of an `ImagingStudy` that are read. serde skips the others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StudyHeader<'a> {
    #[serde(borrow)]
    resource_type: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) id: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) meta: MetaHeader<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) subject: SubjectHeader<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetaHeader<'a> {
    #[serde(borrow)]
    version_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) last_updated: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
pub(super) struct SubjectHeader<'a> {
    #[serde(borrow)]
    pub(super) reference: Option<Cow<'a, str>>,
}

fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl<'a> StudyHeader<'a> {
    pub(super) fn of(json: &'a str) -> Result<Self, DocumentError> {
        let header: Self = serde_json::from_str(json)?;
        if header.resource_type == "ImagingStudy" { Ok(header) } else { Err(DocumentError::ResourceType) }
    }

    fn properties(self, json: &str) -> Properties {
        Properties {
            etag: self.etag(json),
            last_updated: self.meta.last_updated.as_deref().and_then(seconds),
            subject: self.subject.reference.map(Cow::into_owned),
        }
    }

    /// A weak entity tag of `meta.versionId` (FHIR R4 http.html#versioning), or else of 128 bits of the document's
    /// SHA-256.
    pub(super) fn etag(&self, json: &str) -> String {
        match &self.meta.version_id {
            Some(version) if FhirId::parse(version).is_ok() => format!("W/\"{version}\""),
            _ => digest_tag(json),
        }
    }
}

/// The weak entity tag of a text without a version.
pub(crate) fn digest_tag(text: &str) -> String {
    format!("W/\"{}\"", digest(text.as_bytes()))
}

/// 128 bits of the SHA-256 digest, in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..16])
}

/// Native attributes as a JSON object: `resourceType` first, the others by name, so that equal items give equal bytes.
fn to_json(map: &Item) -> Result<String, DocumentError> {
    let mut json = Vec::with_capacity(4096);
    write_object(&mut json, map)?;
    String::from_utf8(json).map_err(|_| DocumentError::Utf8)
}

fn write_object(json: &mut Vec<u8>, map: &Item) -> Result<(), DocumentError> {
    let mut members: Vec<_> = map.iter().collect();
    members.sort_unstable_by_key(|&(name, _)| (name != "resourceType", name));
    json.push(b'{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write_string(json, name)?;
        json.push(b':');
        write_value(json, value)?;
    }
    json.push(b'}');
    Ok(())
}

/// The recursion is bounded: DynamoDB nests values at most 32 levels deep.
fn write_value(json: &mut Vec<u8>, value: &AttributeValue) -> Result<(), DocumentError> {
    match value {
        AttributeValue::S(text) => write_string(json, text)?,
        AttributeValue::N(digits) if is_json_number(digits) => json.extend_from_slice(digits.as_bytes()),
        AttributeValue::Bool(true) => json.extend_from_slice(b"true"),
        AttributeValue::Bool(false) => json.extend_from_slice(b"false"),
        AttributeValue::Null(_) => json.extend_from_slice(b"null"),
        AttributeValue::M(map) => write_object(json, map)?,
        AttributeValue::L(items) => {
            json.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                write_value(json, item)?;
            }
            json.push(b']');
        }
        _ => return Err(DocumentError::NotJson),
    }
    Ok(())
}

fn write_string(json: &mut Vec<u8>, text: &str) -> Result<(), DocumentError> {
    serde_json::to_writer(json, text).map_err(|_| DocumentError::NotJson)
}

/// Whether DynamoDB's digits are a number in JSON as well (RFC 8259 §6): they are copied, not converted.
fn is_json_number(digits: &str) -> bool {
    serde_json::from_str::<&RawValue>(digits).is_ok_and(|raw| raw.get() == digits)
        && digits.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// Shows the size only: documents are health data.
impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gzip(bytes) => write!(f, "Gzip({} bytes)", bytes.len()),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::Blob;
    use flate2::Compression;

    use super::super::compress;
    use super::*;

    const STUDY: &str = r#"{"resourceType":"ImagingStudy","meta":{"versionId":"7"}}"#;

    fn s(text: &str) -> AttributeValue {
        AttributeValue::S(text.to_owned())
    }

    fn n(digits: &str) -> AttributeValue {
        AttributeValue::N(digits.to_owned())
    }

    fn b(bytes: &[u8]) -> AttributeValue {
        AttributeValue::B(Blob::new(bytes))
    }

    fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
        attributes.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// A document as native attributes, among them this one.
    fn map(name: &str, value: AttributeValue) -> AttributeValue {
        AttributeValue::M(item([("resourceType", s("ImagingStudy")), (name, value)]))
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        compress(text, Compression::fast())
    }

    fn whole(item: Item) -> StoredStudy {
        match read(item) {
            Ok(StoredItem::Whole(study)) => study,
            other => panic!("{other:?}"),
        }
    }

    fn refused(item: Item) -> DocumentError {
        read(item).expect_err("no reader can serve it")
    }

    #[test]
    fn each_storage_format_is_recognized_and_named() {
        let resource_type = ("resourceType", s("ImagingStudy"));
        for (stored, format, code) in [
            (item([("document", b(&gzip(STUDY.as_bytes())))]), StorageFormat::Gzip, "gzip"),
            (item([("document", s(STUDY))]), StorageFormat::Text, "text"),
            (item([("document", map("id", s("1")))]), StorageFormat::Map, "map"),
            (item([resource_type, ("siteId", s("4"))]), StorageFormat::Flat, "flat"),
        ] {
            let study = whole(stored);
            assert_eq!((study.format, study.format.code()), (format, code));
        }
    }

    #[test]
    fn an_item_without_a_document_is_refused() {
        assert!(matches!(refused(item([("siteId", s("4"))])), DocumentError::Missing));
    }

    #[test]
    fn gzip_is_opened_only_where_its_item_has_no_etag_or_it_cannot_be_gzip() {
        let header_and_trailer = [&[0x1f, 0x8b, 8][..], &[0; 15]].concat();
        let etag = || ("etag", s("\"1\""));
        let study = whole(item([("document", b(&header_and_trailer)), etag()]));
        assert_eq!(study.properties.etag, "W/\"1\"");
        for (name, bytes) in [
            ("no gzip", &[0; 18][..]),
            ("another method", &[&[0x1f, 0x8b, 7][..], &[0; 15]].concat()),
            ("too short", &header_and_trailer[..17]),
        ] {
            let error = refused(item([("document", b(bytes)), etag()]));
            assert!(matches!(error, DocumentError::Gzip(_)), "{name}");
        }
        let error = refused(item([("document", b(&header_and_trailer))]));
        assert!(matches!(error, DocumentError::Gzip(_)), "no etag");
    }

    #[test]
    fn stored_properties_count_before_those_of_the_document() {
        let with = |etag| whole(item([("document", s(STUDY)), ("etag", etag)])).properties.etag;
        assert_eq!(with(s("W/\"stored\"")), "W/\"stored\"");
        assert_eq!(with(s("not a tag")), "W/\"7\"");
        assert_eq!(with(n("1")), "W/\"7\"");
    }

    #[test]
    fn an_entity_tag_is_made_weak_and_has_at_most_128_visible_characters_without_quotes() {
        let quoted = |inner: &str| format!("\"{inner}\"");
        for (text, tag) in [
            (quoted("a"), Some("W/\"a\"".to_owned())),
            ("W/\"a\"".to_owned(), Some("W/\"a\"".to_owned())),
            (quoted(""), Some("W/\"\"".to_owned())),
            (quoted(&"a".repeat(128)), Some(format!("W/\"{}\"", "a".repeat(128)))),
            (quoted(&"a".repeat(129)), None),
            (quoted("a b"), None),
            (quoted("a\"b"), None),
            (quoted("ä"), None),
            ("a".to_owned(), None),
            ("\"a".to_owned(), None),
            ("a\"".to_owned(), None),
        ] {
            assert_eq!(weak_tag(&text), tag, "{text}");
        }
    }

    #[test]
    fn json_has_the_resource_type_first_and_the_other_members_by_name() {
        let list =
            AttributeValue::L(vec![n("-1.50"), AttributeValue::Bool(true), AttributeValue::Bool(false)]);
        let members = AttributeValue::M(item([("b", list), ("a", AttributeValue::Null(true))]));
        let Json::Text(text) = whole(item([("document", map("member", members))])).json else {
            panic!("native attributes are text");
        };
        let expected = r#"{"resourceType":"ImagingStudy","member":{"a":null,"b":[-1.50,true,false]}}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn a_value_that_is_not_json_is_refused() {
        for value in [n("+1"), n("1."), n(" 1"), n("true"), n("NaN"), b(b"1"), AttributeValue::Ss(vec![])] {
            let error = refused(item([("document", map("member", value.clone()))]));
            assert!(matches!(error, DocumentError::NotJson), "{value:?}");
        }
    }

    #[test]
    fn gzip_is_inflated_up_to_32_mib() {
        let mut json = vec![b' '; MAX_JSON_BYTES];
        assert_eq!(inflate(&gzip(&json)).map(|text| text.len()).ok(), Some(MAX_JSON_BYTES));
        json.push(b' ');
        assert!(matches!(inflate(&gzip(&json)), Err(DocumentError::TooLarge)));
        assert!(matches!(inflate(&gzip(b"{}")[..10]), Err(DocumentError::Gzip(_))));
        assert!(matches!(inflate(&gzip(b"\xff")), Err(DocumentError::Utf8)));
    }

    #[test]
    fn more_gzip_than_a_response_carries_is_too_large() {
        assert!(matches!(inflate(&vec![0; MAX_GZIP_BYTES]), Err(DocumentError::Gzip(_))));
        assert!(matches!(inflate(&vec![0; MAX_GZIP_BYTES + 1]), Err(DocumentError::TooLarge)));
    }

    #[test]
    fn parts_are_put_together_only_if_they_are_one_gzip_member() {
        let gzip = gzip(STUDY.as_bytes());
        let parts = |at: usize| vec![gzip[..at].to_vec(), gzip[at..].to_vec()];
        assert_eq!(join(&parts(20)).ok(), Some(gzip.clone()));
        assert_eq!(join(std::slice::from_ref(&gzip)).ok(), Some(gzip.clone()));
        for damaged in [vec![], vec![gzip[..20].to_vec()], [parts(20), parts(20)].concat()] {
            assert!(matches!(join(&damaged), Err(DocumentError::Gzip(_))));
        }
    }

    #[test]
    fn a_document_tells_its_version_and_its_time() {
        let of = |version: &str| {
            let meta = format!(r#"{{"versionId":"{version}","lastUpdated":"1970-01-01T00:01:40+00:00"}}"#);
            Properties::of(&format!(r#"{{"resourceType":"ImagingStudy","meta":{meta}}}"#)).unwrap()
        };
        let found = of("7");
        assert_eq!((found.etag.as_str(), found.last_updated), ("W/\"7\"", Some(100)));
        let tag = of("no id").etag;
        let digits = tag.strip_prefix("W/\"").and_then(|rest| rest.strip_suffix('"')).unwrap();
        assert!(digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()), "{tag}");
        assert_ne!(tag, of("no id either").etag);
    }

    #[test]
    fn the_claimed_size_is_the_last_four_bytes() {
        assert_eq!(claimed_len(&gzip(&[b' '; 300])), 300);
        assert_eq!(claimed_len(&[0; 3]), 0);
    }
}
