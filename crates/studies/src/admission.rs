//! What is odd about a study that is loaded all the same.

use fhir_r4::{Problem, Study, Warnings};
use table::attribute::{self, Item};
use table::subject::Reference;

/// What DICOM does not allow in a study, and a subject by which no patient's token can read it.
pub(crate) fn warnings(study: &Study<'_>, attributes: &Item) -> Warnings {
    let mut warnings = Warnings::of(study);
    let subject = attributes.get(attribute::SUBJECT).and_then(|subject| subject.as_s().ok());
    if subject.is_none_or(|subject| Reference::parse(subject, &[]).is_none()) {
        let reason = "does not name Patient/{id}: no token that is bound to a patient can read this study";
        warnings.problems.push(Problem { path: "ImagingStudy.subject".to_owned(), reason: reason.into() });
    }
    warnings
}
