//! The attributes of an item, and their names.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

/// An item of the table, by attribute name.
pub type Item = HashMap<String, AttributeValue>;

/// Partition key: the site.
pub const SITE: &str = "siteId";
/// Sort key: the study's id, or the key of a part.
pub const ID: &str = "id";
/// A sort key that no study has: `#` is in no FHIR id.
pub const NO_STUDY: &str = "#";
/// The document, or a part of it.
pub const DOCUMENT: &str = "document";
/// The sort keys of the parts of a document that exceeds one item, in order.
pub const PARTS: &str = "parts";
/// The entity tag: `W/"…"`.
pub const ETAG: &str = "etag";
/// `meta.lastUpdated`, a FHIR instant.
pub const LAST_UPDATED: &str = "lastUpdated";
/// `subject.reference`.
pub const SUBJECT: &str = "subject";
/// The document's id, if that is not the sort key: it has capitals.
pub const DOCUMENT_ID: &str = "documentId";
/// 128 bits of the document's SHA-256, in hexadecimal.
pub const DIGEST: &str = "digest";
/// The attempt that put the head.
pub const WRITE_ID: &str = "writeId";
