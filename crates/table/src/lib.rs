//! What an item of the table is.
//!
//! - [`id`]: the identifiers of sites and studies.
//! - [`attribute`]: the names of attributes.
//! - [`document`]: a document, and its properties.
//! - [`read`]: items in any stored form become documents.
//! - [`write`]: documents become items.
//! - [`parts`]: which attempt wrote an item, and which parts belong to it.
//! - [`gzip`]: how documents are compressed.
//! - [`subject`]: who a study is about.
//! - [`json`]: JSON objects that are not arrays.
//! - [`limit`]: how large a document may be.
//! - [`error`]: why an item cannot be read.

pub mod attribute;
pub mod document;
pub mod error;
pub mod gzip;
pub mod id;
pub mod json;
pub mod limit;
mod native;
pub mod parts;
pub mod read;
pub mod subject;
pub mod write;
