//! Whose studies may be read.

use std::sync::Arc;

use table::id::FhirId;
use table::subject::{BaseUrl, Reference};

/// Whose studies a principal may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatientFilter {
    /// The patients' ids, at least one; `None` for everyone.
    pub ids: Option<Vec<FhirId>>,
    /// The servers whose patients are this service's patients.
    pub base_urls: Arc<[BaseUrl]>,
}

impl PatientFilter {
    /// Whether a study with this `subject.reference` may be read. For patients, the reference must be `Patient/{id}`,
    /// relative or below a base URL, with or without a version (`/_history/{version}`). Another server's patient of the
    /// same id is another patient, and a study without the reference is nobody's.
    #[must_use]
    pub fn permits(&self, reference: Option<&str>) -> bool {
        let Some(ids) = &self.ids else { return true };
        let reference = reference.and_then(|reference| Reference::parse(reference, &self.base_urls));
        let patient = reference.and_then(|reference| reference.patient());
        patient.is_some_and(|patient| ids.iter().any(|id| id.as_str() == patient))
    }
}
