//! Who a study is about: `subject.reference`, normalized.

use http::Uri;

use crate::id::FhirId;

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

/// A reference to a resource, in its parts (FHIR R4 references.html#literal).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// The base URL of another server; `None` for a relative reference, and for one below a base URL of this service.
    pub server: Option<BaseUrl>,
    /// The resource type.
    pub resource_type: &'a str,
    /// The logical id.
    pub id: &'a str,
    /// Whether a version is named (`/_history/{version}`).
    pub has_version: bool,
}

impl<'a> Reference<'a> {
    /// Parses a literal reference, relative or absolute. `None` for anything else, such as a URN, a fragment or a search.
    #[must_use]
    pub fn parse(text: &'a str, base_urls: &[BaseUrl]) -> Option<Self> {
        let (unversioned, version) = text
            .split_once("/_history/")
            .map_or((text, None), |(reference, version)| (reference, Some(version)));
        if version.is_some_and(|version| FhirId::parse(version).is_err()) {
            return None;
        }
        let (rest, id) = unversioned.rsplit_once('/')?;
        let (base_url, resource_type) =
            rest.rsplit_once('/').map_or((None, rest), |(url, name)| (Some(url), name));
        FhirId::parse(id).ok()?;
        if resource_type.is_empty() || !resource_type.bytes().all(|b| b.is_ascii_alphabetic()) {
            return None;
        }
        let server = match base_url {
            None => None,
            Some(url) if url.ends_with('/') => return None,
            Some(url) => Some(BaseUrl::parse(url)?).filter(|server| !base_urls.contains(server)),
        };
        Some(Self { server, resource_type, id, has_version: version.is_some() })
    }

    /// The patient of this service that is named, if it is one.
    #[must_use]
    pub fn patient(&self) -> Option<&'a str> {
        (self.server.is_none() && self.resource_type == "Patient").then_some(self.id)
    }
}

/// Whether two values of `subject.reference` name the same subject: equal, or equal but for versions and for the
/// `base_urls` of this service.
#[must_use]
pub fn same_subject(one: &str, other: &str, base_urls: &[BaseUrl]) -> bool {
    let parsed = |text| {
        Reference::parse(text, base_urls).map(|reference| Reference { has_version: false, ..reference })
    };
    one == other || parsed(one).is_some_and(|one| Some(one) == parsed(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_absolute_and_plain() {
        for url in [
            "", "/fhir", "fhir.example", "https://:443/fhir", "ftp://fhir.example", "https://", "https:///x",
            "https://u@fhir.example", "https://fhir.example/?a", "https://fhir.example/#a",
            "https://fhir.example:x/", "https://a b/",
        ] {
            assert_eq!(BaseUrl::parse(url), None, "{url}");
        }
    }

    #[test]
    fn references_name_the_same_subject_whatever_their_version_and_whichever_of_our_servers_they_name() {
        let ours = [BaseUrl::parse("https://fhir.example/r4").unwrap()];
        for (one, other, same) in [
            ("Patient/1", "Patient/1", true),
            ("Patient/1", "Patient/1/_history/2", true),
            ("Patient/1", "https://fhir.example/r4/Patient/1", true),
            ("https://other.example/Patient/1", "HTTPS://OTHER.example:443/Patient/1", true),
            ("http://other.example/Patient/1", "http://other.example:80/Patient/1", true),
            ("urn:uuid:1", "urn:uuid:1", true),
            ("Patient/1", "Patient/2", false),
            ("Patient/1", "Group/1", false),
            ("Patient/1", "https://other.example/Patient/1", false),
            ("Patient/1", "https://fhir.example/r4//Patient/1", false),
            ("http://other.example/Patient/1", "https://other.example/Patient/1", false),
            ("urn:uuid:1", "urn:uuid:2", false),
            ("Patient-1/1", "Patient-1/1/_history/2", false),
            ("/1", "/1/_history/2", false),
            ("Patient/1", "", false),
        ] {
            assert_eq!(same_subject(one, other, &ours), same, "{one:?} {other:?}");
            assert_eq!(same_subject(other, one, &ours), same, "{other:?} {one:?}");
        }
    }
}
