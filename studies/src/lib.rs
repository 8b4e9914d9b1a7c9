//! What the operator's tool `studies` is made of.
//!
//! - [`input`]: finds `ImagingStudy` resources in files, Bundles and NDJSON.
//! - [`r4`]: checks them against FHIR R4.
//! - [`load`]: writes them, in bounded memory.
//! - [`table`]: the calls to DynamoDB.

pub mod input;
pub mod load;
pub mod r4;
pub mod table;
