//! Checks whether a document is a FHIR R4 (4.0.1) `ImagingStudy`. One walk over its text, along the tables of
//! `elements`, reports every difference.
//!
//! It checks types, cardinalities, required codes, primitive formats (also that dates exist), choice types,
//! primitive extensions and their padding, duplicate and unknown members, narrative, the targets of references, and
//! the rules ele-1, ext-1, ref-1, txt-1, dom-2 to dom-5, att-1, cpt-2, exp-1, qty-3 and those like it. Contained
//! resources must have the elements of every resource and follow FHIR's JSON format. It does not check terminologies
//! beyond the required codes, profiles, txt-2 (a narrative must not be empty: real systems send empty ones), rules that
//! compare values (per-1, rng-2, rat-1) and rules of datatypes that only extensions use (tim-*, trd-*, drq-*, sqty-1).
//!
//! It also reports what R4 allows and nobody should store: conditional references, and documents that say that they are
//! incomplete (`SUBSETTED`) or deleted. [`Warnings`] are what R4 allows and DICOM does not.

mod dicom;
mod elements;
#[cfg(test)]
mod growth;
mod json;
mod primitive;
mod problem;
mod resources;
mod schema;
mod study;
mod walk;
mod work;
mod xhtml;

pub use dicom::Warnings;
pub use problem::{MAX_PROBLEMS, Problem};
pub use study::{Study, ValidationError, not_json};
