//! What a request asks for: one study of one site.

use std::borrow::Cow;
use std::fmt;

use lambda_http::{Request, RequestExt};
use percent_encoding::percent_decode_str;
use thiserror::Error;

/// The study that a request names, out of the path `/site/{siteId}/fhir/imaging-study/{id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The site that owns the study; the table's partition key.
    pub site: SiteId,
    /// The study's logical id; the table's sort key.
    pub study: StudyId,
}

impl Target {
    /// Reads the target from the event's path parameters, or from its raw path where it has none
    /// (function URLs, local servers). Parameters come decoded from the gateway; the raw path is percent-decoded
    /// here, once.
    pub fn from_request(request: &Request) -> Result<Self, TargetError> {
        if let Some(parameters) = request.path_parameters_ref()
            && let (Some(site), Some(study)) = (parameters.first("siteId"), parameters.first("id"))
        {
            return Self::new(site, study);
        }
        let raw = match request.raw_http_path() {
            "" => request.uri().path(),
            path => path,
        };
        let mut segments = raw.trim_start_matches('/').split('/');
        let named = [(); 5].map(|()| segments.next());
        let ([Some("site"), Some(site), Some("fhir"), Some("imaging-study"), Some(study)], None) =
            (named, segments.next())
        else {
            return Err(TargetError::Route);
        };
        Self::new(&decoded(site), &decoded(study))
    }

    fn new(site: &str, study: &str) -> Result<Self, TargetError> {
        Ok(Self { site: SiteId::parse(site)?, study: StudyId::parse(study)? })
    }
}

/// A byte that is no UTF-8 becomes U+FFFD, which no id may contain.
fn decoded(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

/// A site's identifier: 1 to 128 of `A-Z a-z 0-9 . _ ~ -`, compared exactly.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SiteId(String);

impl SiteId {
    /// Takes `text` if it is a site identifier.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TargetError::SiteId)
        }
    }

    /// The identifier as it stands in the path and in the table.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The logical id of a resource: 1 to 64 of `A-Z a-z 0-9 . -` (FHIR R4 datatypes.html#id).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StudyId(String);

impl StudyId {
    /// Takes `text` if it is a FHIR id.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-".contains(&b);
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TargetError::StudyId)
        }
    }

    /// The id as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as the keys that we write have it: in lower case.
    #[must_use]
    pub fn key(&self) -> Self {
        Self(self.0.to_ascii_lowercase())
    }

    /// [`StudyId::key`] where that is another one; `None` if the id has no upper-case letter.
    #[must_use]
    pub fn lower_case(&self) -> Option<Self> {
        self.0.bytes().any(|b| b.is_ascii_uppercase()).then(|| self.key())
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StudyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a path names no study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// The path is not the one that this service answers.
    #[error("no such route")]
    Route,
    /// `siteId` holds a character that no site identifier has, or too many of them.
    #[error("siteId must be 1 to 128 letters, digits, '.', '_', '~' or '-'")]
    SiteId,
    /// `id` is no FHIR id.
    #[error("id must be 1 to 64 letters, digits, '.' or '-'")]
    StudyId,
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use lambda_http::Body;
    use lambda_http::http;

    use super::*;

    fn at(path: &str) -> Result<Target, TargetError> {
        let request = http::Request::get(path).body(Body::Empty).unwrap();
        Target::from_request(&request)
    }

    fn target(site: &str, study: &str) -> Target {
        Target::new(site, study).unwrap()
    }

    #[test]
    fn the_raw_path_names_site_and_study() {
        assert_eq!(at("/site/4/fhir/imaging-study/a.B-1"), Ok(target("4", "a.B-1")));
    }

    #[test]
    fn the_raw_path_is_percent_decoded_once() {
        assert_eq!(at("/site/a%7Eb/fhir/imaging-study/%41"), Ok(target("a~b", "A")));
        assert_eq!(at("/site/4/fhir/imaging-study/%2541"), Err(TargetError::StudyId));
    }

    #[test]
    fn a_slash_hidden_by_percent_encoding_does_not_make_a_segment() {
        assert_eq!(at("/site/4%2Ffhir/fhir/imaging-study/a"), Err(TargetError::SiteId));
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_no_id() {
        assert_eq!(at("/site/4/fhir/imaging-study/%FF"), Err(TargetError::StudyId));
    }

    #[test]
    fn path_parameters_of_the_event_win_over_its_path() {
        let request = http::Request::get("/prod/site/5/fhir/imaging-study/b")
            .body(Body::Empty)
            .unwrap()
            .with_path_parameters(HashMap::from([
                ("siteId".to_owned(), vec!["4".to_owned()]),
                ("id".to_owned(), vec!["a".to_owned()]),
            ]));
        assert_eq!(Target::from_request(&request), Ok(target("4", "a")));
    }

    #[test]
    fn another_path_is_no_route() {
        for path in [
            "/",
            "/site/4/fhir/imaging-study",
            "/site/4/fhir/imaging-study/a/b",
            "/site/4/fhir/ImagingStudy/a",
            "/sites/4/fhir/imaging-study/a",
        ] {
            assert_eq!(at(path), Err(TargetError::Route), "{path}");
        }
    }

    #[test]
    fn an_id_is_refused_beyond_64_characters_and_a_site_beyond_128() {
        assert!(StudyId::parse(&"a".repeat(64)).is_ok());
        assert!(StudyId::parse(&"a".repeat(65)).is_err());
        assert!(SiteId::parse(&"a".repeat(128)).is_ok());
        assert!(SiteId::parse(&"a".repeat(129)).is_err());
    }

    #[test]
    fn ids_with_any_other_character_are_refused() {
        for text in ["", "a b", "a_b", "a#b", "ä", "a/b", "a\0", "a%41", "../a~"] {
            assert!(StudyId::parse(text).is_err(), "{text:?}");
        }
        for text in ["", "a b", "a#b", "ä", "a/b", "a\n", "a*"] {
            assert!(SiteId::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_an_id_with_a_capital_has_a_lower_case_form() {
        assert_eq!(StudyId::parse("aB").unwrap().lower_case(), StudyId::parse("ab").ok());
        assert_eq!(StudyId::parse("ab-1").unwrap().lower_case(), None);
    }
}
