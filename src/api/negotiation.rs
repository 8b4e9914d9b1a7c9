//! Content negotiation: `Accept`, `_format` and `Accept-Encoding` (RFC 9110 §12.5, FHIR R4 http.html#mime-type).

use std::cmp::Ordering;

use lambda_http::http::header::{ACCEPT, ACCEPT_ENCODING};
use lambda_http::http::{HeaderMap, HeaderName};
use lambda_http::{Request, RequestExt};

/// The media types of the one representation, JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    /// `application/json`, the media type of the published contract.
    #[default]
    Json,
    /// `application/fhir+json`. Errors are an `OperationOutcome`.
    FhirJson,
}

impl Media {
    /// The media type that the client prefers; `None` if it accepts neither. `_format` overrides `Accept`. `default` is for
    /// clients that send neither, or accept both equally without naming one.
    pub(crate) fn requested(request: &Request, default: Self) -> Option<Self> {
        match request.query_string_parameters_ref().and_then(|query| query.first("_format")) {
            Some(format) => Self::of_format(format),
            None => Self::of_accept(request.headers(), default),
        }
    }

    /// The media type's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::FhirJson => "application/fhir+json",
        }
    }

    fn of_format(format: &str) -> Option<Self> {
        let (name, parameters) = split_parameters(format);
        // A plus sign that was not percent-encoded arrives as a space.
        match name.to_ascii_lowercase().replace(' ', "+").as_str() {
            "application/json" | "text/json" => Some(Self::Json),
            "json" | "application/fhir+json" => Some(Self::FhirJson),
            _ => None,
        }
        .filter(|_| is_r4(parameters))
    }

    fn of_accept(headers: &HeaderMap, default: Self) -> Option<Self> {
        if !headers.contains_key(ACCEPT) {
            return Some(default);
        }
        let quality = |media: Self| {
            // The most specific media range takes precedence (RFC 9110 §12.5.1).
            members(headers, &ACCEPT)
                .filter_map(|range| {
                    let (name, parameters) = split_parameters(range);
                    let specific = match name.to_ascii_lowercase().as_str() {
                        _ if !is_r4(parameters) => return None,
                        "*/*" => 0,
                        "application/*" => 1,
                        name if name == media.name() => 2,
                        _ => return None,
                    };
                    Some((specific, quality(parameters)))
                })
                .max_by_key(|&(specific, _)| specific)
                .unwrap_or((0, 0))
        };
        let (json_specific, json) = quality(Self::Json);
        let (fhir_specific, fhir) = quality(Self::FhirJson);
        // At equal quality the more specific range wins, and FHIR's media type where both are named.
        match (fhir, fhir_specific).cmp(&(json, json_specific)) {
            _ if (json, fhir) == (0, 0) => None,
            Ordering::Greater => Some(Self::FhirJson),
            Ordering::Less => Some(Self::Json),
            Ordering::Equal if fhir_specific == 2 => Some(Self::FhirJson),
            Ordering::Equal => Some(default),
        }
    }
}

/// The content codings that a client accepts, at least one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coding {
    /// gzip is acceptable.
    pub(super) gzip: bool,
    /// gzip is acceptable and no less preferred than uncompressed text.
    pub(super) prefers_gzip: bool,
    /// Uncompressed text is acceptable.
    pub(super) identity: bool,
}

impl Coding {
    /// Reads `Accept-Encoding` (RFC 9110 §12.5.3), but gzip must be asked for: a client without the header gets
    /// uncompressed text. `None` if neither coding is acceptable.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let of = |names: &[&str]| {
            members(headers, &ACCEPT_ENCODING).find_map(|member| {
                let (name, parameters) = split_parameters(member);
                names.iter().any(|known| name.eq_ignore_ascii_case(known)).then(|| quality(parameters))
            })
        };
        let any = of(&["*"]);
        let gzip = of(&["gzip", "x-gzip"]).or(any).unwrap_or(0);
        let identity = of(&["identity"]);
        let coding = Self {
            gzip: gzip > 0,
            prefers_gzip: gzip > 0 && gzip >= identity.unwrap_or(0),
            // Only `identity;q=0`, or `*;q=0` where identity is not listed, excludes uncompressed text.
            identity: identity.or(any).is_none_or(|quality| quality > 0),
        };
        (coding.gzip || coding.identity).then_some(coding)
    }
}

/// The members of a list header, from all its lines.
fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|member| !member.is_empty())
}

fn split_parameters(member: &str) -> (&str, &str) {
    let (name, parameters) = member.split_once(';').unwrap_or((member, ""));
    (name.trim(), parameters)
}

fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Whether `fhirVersion`, the FHIR release that the client reads, is absent or R4.
fn is_r4(parameters: &str) -> bool {
    parameter(parameters, "fhirVersion")
        .is_none_or(|version| matches!(version.trim_matches('"'), "4.0" | "4.0.0" | "4.0.1"))
}

/// The weight in thousandths (RFC 9110 §12.4.2): 1000 by default, 0 if malformed.
fn quality(parameters: &str) -> u16 {
    let Some(text) = parameter(parameters, "q") else { return 1000 };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return 0;
    }
    match (whole, format!("{fraction:0<3}").parse()) {
        ("0", Ok(thousandths)) => thousandths,
        ("1", Ok(0)) => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use lambda_http::Body;
    use lambda_http::http;

    use super::*;

    fn accepting(lines: &[&str]) -> Option<Media> {
        let mut request = http::Request::get("/");
        for line in lines {
            request = request.header(ACCEPT, *line);
        }
        Media::requested(&request.body(Body::Empty).unwrap(), Media::Json)
    }

    fn formatted(format: &str, accept: &str) -> Option<Media> {
        let request = http::Request::get("/").header(ACCEPT, accept).body(Body::Empty).unwrap();
        let query = HashMap::from([("_format".to_owned(), vec![format.to_owned()])]);
        Media::requested(&request.with_query_string_parameters(query), Media::Json)
    }

    /// Whether gzip and uncompressed text are acceptable, and whether gzip is preferred.
    fn coding(line: &str) -> Option<(bool, bool, bool)> {
        let request = http::Request::get("/").header(ACCEPT_ENCODING, line).body(Body::Empty).unwrap();
        Coding::of(request.headers()).map(|coding| (coding.gzip, coding.identity, coding.prefers_gzip))
    }

    #[test]
    fn accept_chooses_between_the_two_media_types() {
        for (lines, media) in [
            (&[][..], Some(Media::Json)),
            (&["*/*"], Some(Media::Json)),
            (&["application/*"], Some(Media::Json)),
            (&["application/json"], Some(Media::Json)),
            (&["application/fhir+json"], Some(Media::FhirJson)),
            (&["APPLICATION/FHIR+JSON"], Some(Media::FhirJson)),
            (&["application/fhir+json; fhirVersion=4.0"], Some(Media::FhirJson)),
            (&["application/fhir+json;fhirVersion=3.0"], None),
            (&["application/fhir+json;fhirVersion=3.0, application/json;q=0.1"], Some(Media::Json)),
            (&["application/json;q=0.5, application/fhir+json"], Some(Media::FhirJson)),
            (&["application/fhir+json;q=0.5, application/json"], Some(Media::Json)),
            (&["application/fhir+json, */*;q=0.1"], Some(Media::FhirJson)),
            (&["application/fhir+json, */*"], Some(Media::FhirJson)),
            (&["application/json, application/fhir+json"], Some(Media::FhirJson)),
            (&["text/html", "application/json"], Some(Media::Json)),
            (&["text/html, application/xhtml+xml, */*;q=0.8"], Some(Media::Json)),
            (&["*/*, application/json;q=0"], Some(Media::FhirJson)),
            (&["application/json; charset=utf-8"], Some(Media::Json)),
            (&["application/fhir+xml"], None),
            (&["application/json;q=0"], None),
            (&["application/json;q=high"], None),
            (&[""], None),
        ] {
            assert_eq!(accepting(lines), media, "{lines:?}");
        }
    }

    #[test]
    fn the_format_parameter_overrides_accept() {
        for (format, media) in [
            ("json", Some(Media::FhirJson)),
            ("JSON", Some(Media::FhirJson)),
            ("application/json", Some(Media::Json)),
            ("text/json", Some(Media::Json)),
            ("application/fhir+json", Some(Media::FhirJson)),
            ("application/fhir json", Some(Media::FhirJson)),
            ("application/fhir+json; fhirVersion=4.0", Some(Media::FhirJson)),
            ("application/fhir+json; fhirVersion=\"4.0.1\"", Some(Media::FhirJson)),
            ("application/fhir+json; fhirVersion=5.0", None),
            ("xml", None),
            ("", None),
        ] {
            assert_eq!(formatted(format, "text/html"), media, "{format}");
        }
    }

    #[test]
    fn accept_encoding_chooses_between_gzip_and_uncompressed_text() {
        let gzip = Some((true, true, true));
        let identity = Some((false, true, false));
        for (line, accepted) in [
            ("gzip", gzip),
            ("GZip, deflate, br", gzip),
            ("x-gzip", gzip),
            ("*", gzip),
            ("br", identity),
            ("identity", identity),
            ("", identity),
            ("gzip;q=0", identity),
            ("gzip;q=0.000, *", identity),
            ("gzip;q=0.001", gzip),
            ("gzip;q=0.5, identity;q=0.8", Some((true, true, false))),
            ("gzip;q=0.8, identity;q=0.5", gzip),
            ("gzip, identity;q=0", Some((true, false, true))),
            ("gzip, *;q=0", Some((true, false, true))),
            ("identity;q=0", None),
            ("br, identity;q=0", None),
            ("*;q=0", None),
        ] {
            assert_eq!(coding(line), accepted, "{line}");
        }
    }

    #[test]
    fn a_weight_has_at_most_three_digits_and_is_at_most_one() {
        for (parameters, thousandths) in [
            ("", 1000),
            ("charset=utf-8", 1000),
            ("q=0", 0),
            ("q=0.", 0),
            ("q=0.5", 500),
            ("q=0.05", 50),
            ("q=0.005", 5),
            ("q=1", 1000),
            ("q=1.000", 1000),
            ("charset=utf-8; Q = 0.25", 250),
            ("q=", 0),
            ("q=.5", 0),
            ("q=0.5000", 0),
            ("q=0.+12", 0),
            ("q=0,5", 0),
            ("q=-0.5", 0),
            ("q=1.001", 0),
            ("q=2", 0),
        ] {
            assert_eq!(quality(parameters), thousandths, "{parameters}");
        }
    }
}
