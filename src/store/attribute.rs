//! The names of the attributes, as the table's readers and writers agree on them.

/// Partition key: the site.
pub const SITE: &str = "siteId";
/// Sort key: the study's id, or the key of a part.
pub const ID: &str = "id";
/// A sort key that no study has, since `#` is in no FHIR id: reading it costs little and finds nothing.
pub const NO_STUDY: &str = "#";
/// The document, or a part of it.
pub const DOCUMENT: &str = "document";
/// The sort keys of the items that hold a document too large for one, in order.
pub const PARTS: &str = "parts";
/// The `ETag` header's value.
pub const ETAG: &str = "etag";
/// `meta.lastUpdated`, a FHIR instant.
pub const LAST_UPDATED: &str = "lastUpdated";
/// `subject.reference`.
pub const SUBJECT: &str = "subject";
