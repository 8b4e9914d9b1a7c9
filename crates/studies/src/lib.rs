//! The operator's tool `studies`, without its command line.
//!
//! - [`input`]: which files are read.
//! - [`reader`]: finds the documents in them.
//! - [`fhir_r4`]: checks a document against FHIR R4.
//! - `admission`: valid documents that are not loaded.
//! - [`load`]: reads, checks and writes, in bounded memory.
//! - [`protocol`]: writes, deletes, reads and sweeps studies.
//! - [`table`]: the calls to DynamoDB.
//! - [`site`]: goes through the items of a site.
//! - [`pace`]: how fast DynamoDB is called.

mod admission;
pub mod input;
pub mod load;
pub mod pace;
pub mod protocol;
pub mod reader;
pub mod site;
pub mod table;
