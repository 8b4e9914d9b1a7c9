//! Whose studies may be read.

use std::sync::Arc;

use http::Uri;
use table::id::FhirId;

/// Whose studies a principal may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatientFilter {
    /// Everyone's.
    AnySubject,
    /// Those of one patient.
    Patient {
        /// The patient's id.
        id: FhirId,
        /// The servers whose patients are this service's patients.
        base_urls: Arc<[BaseUrl]>,
    },
}

impl PatientFilter {
    /// Whether a study with this `subject.reference` may be read. With a patient, the reference must be `Patient/{id}`,
    /// relative or below a base URL, with or without a version (`/_history/{version}`). Another server's patient of the
    /// same id is another patient, and a study without the reference is nobody's.
    #[must_use]
    pub fn permits(&self, reference: Option<&str>) -> bool {
        let Self::Patient { id, base_urls } = self else { return true };
        let Some(reference) = reference else { return false };
        let unversioned = match reference.split_once("/_history/") {
            Some((unversioned, version)) if FhirId::parse(version).is_ok() => unversioned,
            Some(_) => return false,
            None => reference,
        };
        let Some(prefix) =
            unversioned.strip_suffix(id.as_str()).and_then(|rest| rest.strip_suffix("Patient/"))
        else {
            return false;
        };
        match prefix.strip_suffix('/') {
            None => prefix.is_empty(),
            Some(base_url) if base_url.ends_with('/') => false,
            Some(base_url) => BaseUrl::parse(base_url).is_some_and(|base_url| base_urls.contains(&base_url)),
        }
    }
}

/// The base URL of a FHIR server, normalized for comparison (RFC 3986 §6.2.2, §6.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    is_https: bool,
    host: String,
    port: u16,
    path: String,
}

impl BaseUrl {
    /// Parses an `http` or `https` URL without user name, query and fragment. A slash at the end is ignored.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let (is_https, default_port) = match uri.scheme_str()? {
            "https" => (true, 443),
            "http" => (false, 80),
            _ => return None,
        };
        let authority = uri.authority()?;
        // Not `authority.port_u16()`, which ignores an invalid port. A user name fails here too.
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" => default_port,
            port => {
                let digits = port.strip_prefix(':').filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
                digits?.parse().ok()?
            }
        };
        if authority.host().is_empty() || uri.query().is_some() || url.contains('#') {
            return None;
        }
        Some(Self {
            is_https,
            host: authority.host().to_ascii_lowercase(),
            port,
            path: uri.path().strip_suffix('/').unwrap_or(uri.path()).to_owned(),
        })
    }
}
