//! A document, and what is known about it without opening it again.

use std::borrow::Cow;
use std::fmt;

use aws_smithy_types::date_time::{DateTime, Format};
use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};

use crate::error::DocumentError;
use crate::gzip::inflate;
use crate::id::FhirId;
use crate::json::Object;
use crate::subject::{BaseUrl, same_subject};

/// A document's bytes.
pub enum Document {
    /// Compressed, as stored.
    Gzip(Vec<u8>),
    /// The text of an `ImagingStudy`, valid JSON.
    Text(String),
}

/// Shows the size only: documents are health data.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gzip(bytes) => write!(f, "Gzip({} bytes)", bytes.len()),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
        }
    }
}

/// The properties of a document that response headers and the patient check need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    /// The entity tag, always weak: a document has several representations (RFC 9110 §8.8.3).
    pub etag: String,
    /// `meta.lastUpdated`, in whole seconds since 1970-01-01T00:00:00Z.
    pub last_updated: Option<i64>,
    /// `subject.reference`, of the attribute beside the document or else of the document.
    pub subject: Option<String>,
    /// `subject.reference` of the document, where the attribute beside it has another text; empty if there is none.
    pub(crate) other_subject: Option<String>,
}

impl Properties {
    /// The properties of a document that has none but this entity tag.
    #[must_use]
    pub fn of_tag(etag: String) -> Self {
        Self { etag, last_updated: None, subject: None, other_subject: None }
    }

    /// Reads the properties from the document, which must be the JSON of an `ImagingStudy`.
    pub fn of(json: &str) -> Result<Self, DocumentError> {
        Ok(StudyHeader::of(json)?.properties(json))
    }

    /// These properties, of attributes, beside a document that is open.
    pub(crate) fn beside(self, document: &StudyHeader<'_>) -> Self {
        let subject = document.subject.reference.as_deref().unwrap_or_default();
        let differs = self.subject.as_ref().is_some_and(|attribute| attribute != subject);
        Self { other_subject: differs.then(|| subject.to_owned()), ..self }
    }

    /// Fails if the attribute beside a document names another subject than the document, as far as it has been opened.
    /// `base_urls` are those of this service.
    pub fn check_subject(&self, base_urls: &[BaseUrl]) -> Result<(), DocumentError> {
        let subjects = self.subject.as_deref().zip(self.other_subject.as_deref());
        if subjects.is_none_or(|(one, other)| same_subject(one, other, base_urls)) {
            Ok(())
        } else {
            Err(DocumentError::Subject)
        }
    }

    /// Inflates the document of these properties, and fails as [`Properties::check_subject`] does.
    pub fn inflate(self, gzip: &[u8], base_urls: &[BaseUrl]) -> Result<String, DocumentError> {
        let text = inflate(gzip)?;
        if self.subject.is_some() {
            self.beside(&StudyHeader::of(&text)?).check_subject(base_urls)?;
        }
        Ok(text)
    }
}

/// The members of an `ImagingStudy` that are read. serde skips the others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StudyHeader<'a> {
    #[serde(borrow)]
    resource_type: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) id: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "object")]
    pub(crate) meta: MetaHeader<'a>,
    #[serde(borrow, default, deserialize_with = "object")]
    pub(crate) subject: SubjectHeader<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MetaHeader<'a> {
    #[serde(borrow)]
    version_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) last_updated: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
pub(crate) struct SubjectHeader<'a> {
    #[serde(borrow)]
    pub(crate) reference: Option<Cow<'a, str>>,
}

/// A JSON object; null counts as absent.
fn object<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    let object: Option<Object<T>> = Option::deserialize(deserializer)?;
    Ok(object.map(|Object(members)| members).unwrap_or_default())
}

impl<'a> StudyHeader<'a> {
    pub(crate) fn of(json: &'a str) -> Result<Self, DocumentError> {
        let Object(header): Object<Self> = serde_json::from_str(json)?;
        if header.resource_type == "ImagingStudy" { Ok(header) } else { Err(DocumentError::ResourceType) }
    }

    pub(crate) fn properties(self, json: &str) -> Properties {
        Properties {
            etag: self.etag(|| digest(json.as_bytes())),
            last_updated: self.meta.last_updated.as_deref().and_then(seconds),
            subject: self.subject.reference.map(Cow::into_owned),
            other_subject: None,
        }
    }

    /// A weak entity tag of `meta.versionId` (FHIR R4 http.html#versioning), or else of the document's digest.
    pub(crate) fn etag(&self, digest: impl FnOnce() -> String) -> String {
        match &self.meta.version_id {
            Some(version) if FhirId::parse(version).is_ok() => format!("W/\"{version}\""),
            _ => tag_of(&digest()),
        }
    }
}

/// An entity tag (RFC 9110 §8.8.3) made weak; `None` if `text` is none, or too long for a header.
pub(crate) fn weak_tag(text: &str) -> Option<String> {
    let opaque = text.strip_prefix("W/").unwrap_or(text);
    let inner = opaque.strip_prefix('"')?.strip_suffix('"')?;
    let valid = inner.len() <= 128 && inner.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    valid.then(|| format!("W/{opaque}"))
}

pub(crate) fn seconds(instant: &str) -> Option<i64> {
    DateTime::from_str(instant, Format::DateTimeWithOffset).ok().map(|time| time.secs())
}

/// The weak entity tag of a text without a version.
#[must_use]
pub fn digest_tag(text: &str) -> String {
    tag_of(&digest(text.as_bytes()))
}

fn tag_of(digest: &str) -> String {
    format!("W/\"{digest}\"")
}

/// 128 bits of the SHA-256 digest, in hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_array_is_not_an_object() {
        for json in [
            r#"["ImagingStudy","x",null,["Patient/1"]]"#,
            r#"{"resourceType":"ImagingStudy","subject":["Patient/1"]}"#,
            r#"{"resourceType":"ImagingStudy","meta":["1","2024-05-04T12:00:00Z"]}"#,
        ] {
            assert!(matches!(Properties::of(json), Err(DocumentError::Json { .. })), "{json}");
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
}
