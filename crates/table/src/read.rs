//! Reading a study's head item.
//!
//! | form | the item |
//! |---|---|
//! | gzip  | `document`: B, gzip of the JSON bytes |
//! | parts | `parts`: L, the sort keys of the items that hold those bytes |
//! | text  | `document`: S, JSON |
//! | map   | `document`: M, native attributes |
//! | flat  | no `document`; the item itself is the resource, beside `siteId` and the attributes below |
//!
//! Items with a `document` or `parts` may also have `etag`, `lastUpdated` and `subject`. A writer that sets `etag` sets
//! all three that apply. Without `etag`, all are read from the document. Null attributes count as absent.

use aws_sdk_dynamodb::types::AttributeValue;

use crate::attribute::{self, Item};
use crate::document::{Document, Properties, StudyHeader, seconds, weak_tag};
use crate::error::DocumentError;
use crate::gzip::{inflate, looks_like_gzip};
use crate::limit::MAX_PARTS;
use crate::native::to_json;

/// The form in which a document is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredForm {
    /// gzip of the JSON bytes.
    Gzip,
    /// The same in several items.
    Parts,
    /// JSON as a string.
    Text,
    /// Native attributes under `document`.
    Map,
    /// Native attributes of the item itself.
    Flat,
}

impl StoredForm {
    /// The form's name in the audit line and in the tool's lists.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Parts => "parts",
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
    pub document: Document,
    /// How it is stored.
    pub form: StoredForm,
    /// What is known without opening it again.
    pub properties: Properties,
}

/// A study's head item, the one under its id.
#[derive(Debug)]
pub enum Head {
    /// It holds the document.
    Document(StoredStudy),
    /// It names the document's parts.
    Parts {
        /// The sort keys of the parts, in order, 1 to [`MAX_PARTS`]. Their bytes together are one gzip member.
        keys: Vec<String>,
        /// The properties of the whole document.
        properties: Properties,
    },
}

impl Head {
    /// The document's properties.
    #[must_use]
    pub fn properties(&self) -> &Properties {
        match self {
            Self::Document(study) => &study.properties,
            Self::Parts { properties, .. } => properties,
        }
    }

    /// How the document is stored.
    #[must_use]
    pub fn form(&self) -> StoredForm {
        match self {
            Self::Document(study) => study.form,
            Self::Parts { .. } => StoredForm::Parts,
        }
    }
}

/// Reads a study's head item in any form.
pub fn read(mut item: Item) -> Result<Head, DocumentError> {
    let mut take = |name| item.remove(name).filter(|value| !value.is_null());
    let (document, parts) = (take(attribute::DOCUMENT), take(attribute::PARTS));
    let (form, document) = match (document, parts) {
        (Some(AttributeValue::B(gzip)), _) => (StoredForm::Gzip, Document::Gzip(gzip.into_inner())),
        (Some(AttributeValue::S(text)), _) => (StoredForm::Text, Document::Text(text)),
        (Some(AttributeValue::M(map)), _) => (StoredForm::Map, Document::Text(to_json(&map)?)),
        (Some(_), _) => return Err(DocumentError::AttributeType(attribute::DOCUMENT)),
        (None, Some(AttributeValue::L(keys))) => return in_parts(keys, &item),
        (None, Some(_)) => return Err(DocumentError::AttributeType(attribute::PARTS)),
        (None, None) if !item.contains_key("resourceType") => return Err(DocumentError::Missing),
        (None, None) => {
            for own in [attribute::SITE, attribute::PARTS, attribute::ETAG, attribute::LAST_UPDATED] {
                item.remove(own);
            }
            (StoredForm::Flat, Document::Text(to_json(&item)?))
        }
    };
    let stored = if form == StoredForm::Flat { None } else { stored_properties(&item) };
    let properties = match (&document, stored) {
        // Not opened: the writer that set `etag` has checked the document.
        (Document::Gzip(gzip), Some(properties)) if looks_like_gzip(gzip) => properties,
        (Document::Gzip(gzip), stored) => checked(&inflate(gzip)?, stored)?,
        (Document::Text(text), stored) => checked(text, stored)?,
    };
    Ok(Head::Document(StoredStudy { document, form, properties }))
}

fn in_parts(keys: Vec<AttributeValue>, item: &Item) -> Result<Head, DocumentError> {
    if !(1..=MAX_PARTS).contains(&keys.len()) {
        return Err(DocumentError::PartCount(keys.len()));
    }
    let key = |key| match key {
        AttributeValue::S(key) => Ok(key),
        _ => Err(DocumentError::AttributeType(attribute::PARTS)),
    };
    let keys = keys.into_iter().map(key).collect::<Result<_, _>>()?;
    let properties = stored_properties(item).ok_or(DocumentError::AttributeType(attribute::ETAG))?;
    Ok(Head::Parts { keys, properties })
}

/// Checks a document that is open. Its properties are the stored ones, or else its own.
fn checked(json: &str, stored: Option<Properties>) -> Result<Properties, DocumentError> {
    let header = StudyHeader::of(json)?;
    Ok(match stored {
        Some(stored) => stored.beside(&header),
        None => header.properties(json),
    })
}

/// The properties that the item itself has, if its writer set `etag`.
fn stored_properties(item: &Item) -> Option<Properties> {
    let text = |name| item.get(name).and_then(|value| value.as_s().ok());
    Some(Properties {
        etag: text(attribute::ETAG).and_then(|etag| weak_tag(etag))?,
        last_updated: text(attribute::LAST_UPDATED).and_then(|instant| seconds(instant)),
        subject: text(attribute::SUBJECT).cloned(),
        other_subject: None,
    })
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::Blob;
    use flate2::Compression;

    use super::*;
    use crate::gzip::compress;

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

    /// A document as native attributes, among them this one.
    fn map(name: &str, value: AttributeValue) -> AttributeValue {
        AttributeValue::M(item([("resourceType", s("ImagingStudy")), (name, value)]))
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        compress(text, Compression::fast())
    }

    fn whole(item: Item) -> StoredStudy {
        match read(item) {
            Ok(Head::Document(study)) => study,
            other => panic!("{other:?}"),
        }
    }

    fn rejected(item: Item) -> DocumentError {
        read(item).expect_err("no reader can serve it")
    }

    fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
        attributes.map(|(name, value)| (name.to_owned(), value)).into()
    }

    #[test]
    fn each_stored_form_is_recognized_and_named() {
        let resource_type = ("resourceType", s("ImagingStudy"));
        for (stored, form, code) in [
            (item([("document", b(&gzip(STUDY.as_bytes())))]), StoredForm::Gzip, "gzip"),
            (item([("document", s(STUDY))]), StoredForm::Text, "text"),
            (item([("document", map("id", s("1")))]), StoredForm::Map, "map"),
            (item([resource_type, ("siteId", s("4"))]), StoredForm::Flat, "flat"),
        ] {
            let study = whole(stored);
            assert_eq!((study.form, study.form.code()), (form, code));
        }
    }

    #[test]
    fn an_item_without_a_document_is_rejected() {
        assert!(matches!(rejected(item([("siteId", s("4"))])), DocumentError::Missing));
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
            let error = rejected(item([("document", b(bytes)), etag()]));
            assert!(matches!(error, DocumentError::Gzip(_)), "{name}");
        }
        let error = rejected(item([("document", b(&header_and_trailer))]));
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
    fn json_has_the_resource_type_first_and_the_other_members_by_name() {
        let list =
            AttributeValue::L(vec![n("-1.50"), AttributeValue::Bool(true), AttributeValue::Bool(false)]);
        let members = AttributeValue::M(item([("b", list), ("a", s("1"))]));
        let Document::Text(text) = whole(item([("document", map("member", members))])).document else {
            panic!("native attributes are text");
        };
        let expected = r#"{"resourceType":"ImagingStudy","member":{"a":"1","b":[-1.50,true,false]}}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn null_attributes_are_left_out_but_in_a_list_they_stay() {
        let null = || AttributeValue::Null(true);
        let list = AttributeValue::L(vec![null(), AttributeValue::M(item([("c", null())]))]);
        let members = AttributeValue::M(item([("a", null()), ("b", list)]));
        let Document::Text(text) = whole(item([("document", map("member", members))])).document else {
            panic!("native attributes are text");
        };
        assert_eq!(text, r#"{"resourceType":"ImagingStudy","member":{"b":[null,{}]}}"#);
    }

    #[test]
    fn the_tables_own_attributes_are_no_members_of_a_flat_resource() {
        let own = [("siteId", s("4")), ("etag", s("\"1\"")), ("lastUpdated", s("2024-05-04T10:00:00Z"))];
        let mut flat = item(own);
        flat.extend(item([("parts", AttributeValue::Null(true)), ("resourceType", s("ImagingStudy"))]));
        let Document::Text(text) = whole(flat).document else { panic!("native attributes are text") };
        assert_eq!(text, r#"{"resourceType":"ImagingStudy"}"#);
    }

    #[test]
    fn a_value_that_is_not_json_is_rejected() {
        for value in [n("+1"), n("1."), n(" 1"), n("true"), n("NaN"), b(b"1"), AttributeValue::Ss(vec![])] {
            let error = rejected(item([("document", map("member", value.clone()))]));
            assert!(matches!(error, DocumentError::NotJson), "{value:?}");
        }
    }
}
