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

mod read;
mod write;

pub(crate) use read::inflated_len;
pub use read::{DocumentError, Head, Json, Properties, StoredStudy, inflate, read};
pub(crate) use write::compress;
pub use write::{EncodeError, Encoded, encode, part_keys};

/// An item of the table, by attribute name.
pub type Item = std::collections::HashMap<String, aws_sdk_dynamodb::types::AttributeValue>;

/// The most bytes of JSON that one document may have: 32 MiB, some 190,000 instances. More is not inflated
/// (a gzip bomb would take the function's memory), and not written either.
pub const MAX_JSON_BYTES: usize = 32 << 20;

/// The most bytes of gzip data that a document may become: what one answer of a Lambda function can carry.
pub const MAX_GZIP_BYTES: usize = 4_717_131;

/// The names of the attributes, as the table's readers and writers agree on them.
pub mod attribute {
    /// Partition key: the site.
    pub const SITE: &str = "siteId";
    /// Sort key: the study's id, or the key of a part.
    pub const ID: &str = "id";
    /// A sort key that no study has, since `#` is in no FHIR id: reading it costs little and finds nothing.
    pub(crate) const NO_STUDY: &str = "#";
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
}

/// The form in which a document stands in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// gzip of the JSON bytes.
    Gzip,
    /// JSON as a string.
    Text,
    /// Native attributes under `document`.
    Map,
    /// Native attributes of the item itself.
    Flat,
}

impl Form {
    /// The form's name, as it stands in the audit line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Text => "text",
            Self::Map => "map",
            Self::Flat => "flat",
        }
    }
}
