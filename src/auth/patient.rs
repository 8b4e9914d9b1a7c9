//! Whose studies may be read.

use std::sync::Arc;

use table::id::FhirId;
use table::subject::{BaseUrl, Reference};

/// Whose studies a principal may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatientFilter {
    /// Everyone's.
    AnySubject,
    /// Those of these patients.
    Patients {
        /// The patients' ids, at least one.
        ids: Vec<FhirId>,
        /// The servers whose patients are this service's patients.
        base_urls: Arc<[BaseUrl]>,
    },
}

impl PatientFilter {
    /// Whether a study with this `subject.reference` may be read. For patients, the reference must be `Patient/{id}`,
    /// relative or below a base URL, with or without a version (`/_history/{version}`). Another server's patient of the
    /// same id is another patient, and a study without the reference is nobody's.
    #[must_use]
    pub fn permits(&self, reference: Option<&str>) -> bool {
        let Self::Patients { ids, base_urls } = self else { return true };
        let reference = reference.and_then(|reference| Reference::parse(reference, base_urls));
        let patient = reference.and_then(|reference| reference.patient());
        patient.is_some_and(|patient| ids.iter().any(|id| id.as_str() == patient))
    }
}
