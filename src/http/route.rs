//! The study that a request names: `/site/{siteId}/fhir/imaging-study/{id}`.

use std::borrow::Cow;

use lambda_http::{Request, RequestExt};
use percent_encoding::percent_decode_str;

use super::error::ApiError;
use crate::ids::{FhirId, SiteId, StudyRef};

/// Reads the event's path parameters, or its raw path where it has none (function URLs, local servers). The gateway
/// delivers parameters decoded; the raw path is percent-decoded here, once.
pub(crate) fn study_ref(request: &Request) -> Result<StudyRef, ApiError> {
    if let Some(parameters) = request.path_parameters_ref()
        && let (Some(site), Some(study)) = (parameters.first("siteId"), parameters.first("id"))
    {
        return parse(site, study);
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
        return Err(ApiError::RouteNotFound);
    };
    parse(&decode(site), &decode(study))
}

fn parse(site: &str, study: &str) -> Result<StudyRef, ApiError> {
    Ok(StudyRef { site: SiteId::parse(site)?, study: FhirId::parse(study)? })
}

/// Invalid UTF-8 becomes U+FFFD, which no identifier may contain.
fn decode(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use lambda_http::Body;
    use lambda_http::http;

    use super::*;

    fn at(path: &str) -> Result<StudyRef, &'static str> {
        study_ref(&http::Request::get(path).body(Body::Empty).unwrap()).map_err(|error| error.code())
    }

    fn target(site: &str, study: &str) -> StudyRef {
        parse(site, study).unwrap()
    }

    #[test]
    fn the_raw_path_names_site_and_study() {
        assert_eq!(at("/site/4/fhir/imaging-study/a.B-1"), Ok(target("4", "a.B-1")));
    }

    #[test]
    fn the_raw_path_is_percent_decoded_once() {
        assert_eq!(at("/site/a%7Eb/fhir/imaging-study/%41"), Ok(target("a~b", "A")));
        assert_eq!(at("/site/4/fhir/imaging-study/%2541"), Err("study_id_malformed"));
    }

    #[test]
    fn a_slash_hidden_by_percent_encoding_does_not_make_a_segment() {
        assert_eq!(at("/site/4%2Ffhir/fhir/imaging-study/a"), Err("site_id_malformed"));
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_no_id() {
        assert_eq!(at("/site/4/fhir/imaging-study/%FF"), Err("study_id_malformed"));
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
        assert_eq!(study_ref(&request).ok(), Some(target("4", "a")));
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
            assert_eq!(at(path), Err("route_unknown"), "{path}");
        }
    }

    #[test]
    fn an_id_is_refused_beyond_64_characters_and_a_site_beyond_128() {
        assert!(FhirId::parse(&"a".repeat(64)).is_ok());
        assert!(FhirId::parse(&"a".repeat(65)).is_err());
        assert!(SiteId::parse(&"a".repeat(128)).is_ok());
        assert!(SiteId::parse(&"a".repeat(129)).is_err());
    }
}
