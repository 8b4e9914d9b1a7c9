//! What a stored study is: the forms in which a document stands in the table, reading each, and writing the one
//! that we write.
//!
//! | form | how it stands in the item |
//! |---|---|
//! | gzip | `document`: B, gzip of the JSON bytes; or `parts`, the sort keys of the items that hold it |
//! | text | `document`: S, JSON |
//! | map  | `document`: M, native attributes |
//! | flat | no `document`; the item itself is the resource, beside `siteId` |
//!
//! Beside `document` an item may carry `etag`, `lastUpdated` and `subject`. Whoever writes `etag` has written all of
//! them; without it they are read from the document, by a parse that skips over the rest.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Read as _};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::date_time::{DateTime, Format};
use flate2::bufread::GzDecoder;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::attribute;
use crate::ids::FhirId;

/// An item of the table, by attribute name.
pub type Item = std::collections::HashMap<String, aws_sdk_dynamodb::types::AttributeValue>;

/// The most bytes of JSON that one document may have: 32 MiB, some 190,000 instances. More is not inflated
/// (a gzip bomb would take the function's memory), and not written either.
pub const MAX_JSON_BYTES: usize = 32 << 20;

/// The most bytes of gzip data that a document may become: what one answer of a Lambda function can carry.
pub const MAX_GZIP_BYTES: usize = 4_717_131;

/// The form in which a document stands in the table.
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
    /// The form's name, as it stands in the audit line.
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

/// A document as it was found, with what its headers and the patient check need.
#[derive(Debug)]
pub struct StoredStudy {
    /// The document itself.
    pub json: Json,
    /// How it stands in the table.
    pub form: StorageFormat,
    /// What is known about it without opening it again.
    pub properties: Properties,
}

/// The bytes of a document.
pub enum Json {
    /// Compressed, as stored.
    Gzip(Vec<u8>),
    /// As text: an `ImagingStudy` whose syntax was checked when it was read.
    Text(String),
}

/// What headers and the patient check need of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    /// The `ETag` header's value: weak, of the version or of the bytes.
    pub etag: String,
    /// `meta.lastUpdated`, in whole seconds since 1970-01-01T00:00:00Z.
    pub last_updated: Option<i64>,
    /// `subject.reference`.
    pub subject: Option<String>,
}

/// What a study's own item says.
#[derive(Debug)]
pub enum StoredItem {
    /// All of the document.
    Whole(StoredStudy),
    /// Where the document's parts are, in order; their bytes, put together, are its gzip form.
    Split {
        /// The parts' sort keys.
        parts: Vec<String>,
        /// What is known of the document as a whole.
        properties: Properties,
    },
}

/// Why an item cannot be served. Says nothing of what the document holds.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// `document` or an attribute beside it has a type that no form has.
    #[error("attribute {0} has a type that no stored form has")]
    AttributeType(&'static str),
    /// Native attributes hold what JSON cannot say: a binary, a set, or a number that JSON spells otherwise.
    #[error("a native attribute has no JSON form")]
    NotJson,
    /// The gzip data is damaged or ends early.
    #[error("the gzip data is damaged")]
    Gzip(#[source] io::Error),
    /// The document is larger than any that is served.
    #[error("the document is larger than {MAX_JSON_BYTES} bytes")]
    TooLarge,
    /// The text is no UTF-8.
    #[error("the document is not UTF-8")]
    Utf8,
    /// The text is no JSON, or its `resourceType`, `meta` or `subject` have the wrong shape.
    #[error("the document is not JSON of an ImagingStudy (line {line}, column {column})")]
    Json {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
    },
    /// The document is a resource of another type.
    #[error("the document is not an ImagingStudy")]
    ResourceType,
    /// A part that the head names is not there.
    #[error("a part of the document is missing")]
    PartMissing,
}

/// Reads a study's own item, whichever form it has.
pub fn read(mut item: Item) -> Result<StoredItem, DocumentError> {
    let document = item.remove(attribute::DOCUMENT);
    let parts = if document.is_none() { item.remove(attribute::PARTS) } else { None };
    let (form, json) = match (document, parts) {
        (Some(AttributeValue::B(gzip)), _) => (StorageFormat::Gzip, Json::Gzip(gzip.into_inner())),
        (Some(AttributeValue::S(text)), _) => (StorageFormat::Text, Json::Text(text)),
        (Some(AttributeValue::M(map)), _) => (StorageFormat::Map, Json::Text(to_json(&map)?)),
        (Some(_), _) => return Err(DocumentError::AttributeType(attribute::DOCUMENT)),
        (None, Some(AttributeValue::L(keys))) => {
            let parts = keys
                .into_iter()
                .map(|key| match key {
                    AttributeValue::S(key) => Ok(key),
                    _ => Err(DocumentError::AttributeType(attribute::PARTS)),
                })
                .collect::<Result<_, _>>()?;
            let properties = stored_properties(&item).ok_or(DocumentError::AttributeType(attribute::ETAG))?;
            return Ok(StoredItem::Split { parts, properties });
        }
        (None, Some(_)) => return Err(DocumentError::AttributeType(attribute::PARTS)),
        (None, None) => {
            item.remove(attribute::SITE);
            (StorageFormat::Flat, Json::Text(to_json(&item)?))
        }
    };
    let beside = if form == StorageFormat::Flat { None } else { stored_properties(&item) };
    let properties = match (&json, beside) {
        // What we wrote was checked when it was written, and goes out as it is.
        (Json::Gzip(gzip), Some(properties)) if looks_like_gzip(gzip) => properties,
        (Json::Gzip(gzip), beside) => checked(&inflate(gzip)?, beside)?,
        (Json::Text(text), beside) => checked(text, beside)?,
    };
    Ok(StoredItem::Whole(StoredStudy { json, form, properties }))
}

/// The properties of a document that is opened: those beside it, or else its own. It is checked either way.
fn checked(json: &str, beside: Option<Properties>) -> Result<Properties, DocumentError> {
    let outline = StudyHeader::of(json)?;
    Ok(beside.unwrap_or_else(|| outline.properties(json)))
}

/// Inflates gzip data to the JSON text that it holds, at most [`MAX_JSON_BYTES`] of it.
pub fn inflate(gzip: &[u8]) -> Result<String, DocumentError> {
    // The trailer's size is only a hint: whoever wrote the item wrote it too.
    let hint = claimed_len(gzip).min(gzip.len().saturating_mul(16)).min(MAX_JSON_BYTES);
    let mut bytes = Vec::with_capacity(hint + 1);
    let mut limited = GzDecoder::new(gzip).take(MAX_JSON_BYTES as u64 + 1);
    limited.read_to_end(&mut bytes).map_err(DocumentError::Gzip)?;
    if bytes.len() > MAX_JSON_BYTES {
        return Err(DocumentError::TooLarge);
    }
    if !limited.into_inner().into_inner().is_empty() {
        let message = "data after the end of the gzip member";
        return Err(DocumentError::Gzip(io::Error::new(io::ErrorKind::InvalidData, message)));
    }
    String::from_utf8(bytes).map_err(|_| DocumentError::Utf8)
}

/// The number of bytes that gzip data says it inflates to (RFC 1952 §2.3.1, ISIZE): exact below 4 GiB for what we
/// wrote, a claim for what others wrote.
pub(crate) fn claimed_len(gzip: &[u8]) -> usize {
    gzip.last_chunk().map_or(0, |trailer| u32::from_le_bytes(*trailer) as usize)
}

/// The header of a gzip member with deflate data, and room for its trailer (RFC 1952 §2.3).
fn looks_like_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b, 8]) && bytes.len() >= 18
}

/// The properties that stand beside the document, if its writer left them there.
fn stored_properties(item: &Item) -> Option<Properties> {
    let text = |name| item.get(name).and_then(|value| value.as_s().ok());
    let etag = text(attribute::ETAG).filter(|etag| is_entity_tag(etag))?.clone();
    Some(Properties {
        etag,
        last_updated: text(attribute::LAST_UPDATED).and_then(|instant| seconds(instant)),
        subject: text(attribute::SUBJECT).cloned(),
    })
}

/// RFC 9110 §8.8.3, bounded, so that it can stand in a header.
fn is_entity_tag(text: &str) -> bool {
    let opaque = text.strip_prefix("W/").unwrap_or(text);
    let inner = opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.is_some_and(|inner| inner.len() <= 128 && inner.bytes().all(|b| b.is_ascii_graphic() && b != b'"'))
}

fn seconds(instant: &str) -> Option<i64> {
    DateTime::from_str(instant, Format::DateTimeWithOffset).ok().map(|time| time.secs())
}

impl Properties {
    /// Reads the properties out of the document, skipping over everything else, and so checks that it is JSON and an
    /// `ImagingStudy`.
    pub fn of(json: &str) -> Result<Self, DocumentError> {
        Ok(StudyHeader::of(json)?.properties(json))
    }
}

/// A weak entity tag of the bytes, for documents without a version: 128 bits of their SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("W/\"{}\"", hex(&Sha256::digest(bytes)[..16]))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The few members of an `ImagingStudy` that are looked at; serde skips the others without keeping them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StudyHeader<'a> {
    #[serde(borrow)]
    resource_type: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) id: Option<Cow<'a, str>>,
    /// No member, or null: others' tables may hold nulls where FHIR has nothing.
    #[serde(borrow, default, deserialize_with = "or_null")]
    pub(super) meta: StudyHeaderMeta<'a>,
    #[serde(borrow, default, deserialize_with = "or_null")]
    pub(super) subject: StudyHeaderSubject<'a>,
}

fn or_null<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StudyHeaderMeta<'a> {
    #[serde(borrow)]
    version_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) last_updated: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
pub(super) struct StudyHeaderSubject<'a> {
    #[serde(borrow)]
    pub(super) reference: Option<Cow<'a, str>>,
}

impl<'a> StudyHeader<'a> {
    pub(super) fn of(json: &'a str) -> Result<Self, DocumentError> {
        let outline: Self = serde_json::from_str(json)
            .map_err(|fault| DocumentError::Json { line: fault.line(), column: fault.column() })?;
        if outline.resource_type == "ImagingStudy" { Ok(outline) } else { Err(DocumentError::ResourceType) }
    }

    fn properties(self, json: &str) -> Properties {
        Properties {
            etag: self.etag(json),
            last_updated: self.meta.last_updated.as_deref().and_then(seconds),
            subject: self.subject.reference.map(Cow::into_owned),
        }
    }

    /// The version where there is one (FHIR R4 http.html#versioning), else a digest of the whole document.
    pub(super) fn etag(&self, json: &str) -> String {
        match &self.meta.version_id {
            Some(version) if FhirId::parse(version).is_ok() => format!("W/\"{version}\""),
            _ => digest(json.as_bytes()),
        }
    }
}

/// Writes native attributes out as a JSON object: `resourceType` first, then by name, so that the same item always
/// gives the same bytes.
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

/// Recursion is bounded: DynamoDB nests values 32 levels deep at most.
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

/// The digits go out untouched, so they must be a number as RFC 8259 §6 spells it; no float is ever made of them.
fn is_json_number(digits: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(digits).is_ok_and(|raw| raw.get() == digits)
        && digits.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// Never shows the document: it is health data.
impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gzip(bytes) => write!(f, "Gzip({} bytes)", bytes.len()),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
        }
    }
}
