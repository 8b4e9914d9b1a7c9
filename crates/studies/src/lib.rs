//! The operator's tool `studies`, without its command line.
//!
//! - [`input`]: which files are read.
//! - `text`: the decompressed text of an input.
//! - [`reader`]: splits it into documents.
//! - [`resource`]: what a document is, and what a Bundle holds.
//! - `empty`: leaves out empty values.
//! - [`fhir_r4`]: checks a document against FHIR R4.
//! - `admission`: valid documents that are not loaded.
//! - `seen`: the ids of the input.
//! - [`load`]: reads, checks and writes, in bounded memory.
//! - [`protocol`]: writes, deletes, reads and sweeps studies.
//! - [`table`]: the calls to DynamoDB.
//! - [`site`]: goes through the items of a site.
//! - [`pace`]: how fast DynamoDB is called.

mod admission;
mod empty;
pub mod input;
pub mod load;
pub mod pace;
pub mod protocol;
pub mod reader;
pub mod resource;
mod seen;
pub mod site;
pub mod table;
mod text;
#[path = "../../fhir-r4/src/work.rs"]
mod work;
