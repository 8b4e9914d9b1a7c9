//! Content negotiation: `Accept`, `_format` and `Accept-Encoding` (RFC 9110 §12.5, FHIR R4 http.html#mime-type).

use std::cmp::Ordering;

use lambda_http::http::header::{ACCEPT, ACCEPT_ENCODING};
use lambda_http::http::{HeaderMap, HeaderName};
use lambda_http::{Request, RequestExt};

/// The two names under which the one representation, JSON, goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    /// `application/json`, as the published contract says.
    #[default]
    Json,
    /// `application/fhir+json`; errors are an `OperationOutcome` then.
    FhirJson,
}

impl Media {
    /// The media type that the client prefers; `None` if it accepts neither. `_format` overrides `Accept`. `default` is for
    /// clients that send neither or accept both equally without naming one.
    #[must_use]
    pub fn wanted(request: &Request, default: Self) -> Option<Self> {
        match request.query_string_parameters_ref().and_then(|query| query.first("_format")) {
            Some(format) => Self::of_format(format),
            None => Self::of_accept(request.headers(), default),
        }
    }

    /// The media type's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::FhirJson => "application/fhir+json",
        }
    }

    fn of_format(format: &str) -> Option<Self> {
        let (name, parameters) = split_parameters(format);
        // A plus that was not percent-encoded arrives as a space.
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
            // The most specific range that matches decides (RFC 9110 §12.5.1).
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
        // At the same quality the more specific range wins, and FHIR's own name if the client names both.
        match (fhir, fhir_specific).cmp(&(json, json_specific)) {
            _ if (json, fhir) == (0, 0) => None,
            Ordering::Greater => Some(Self::FhirJson),
            Ordering::Less => Some(Self::Json),
            Ordering::Equal if fhir_specific == 2 => Some(Self::FhirJson),
            Ordering::Equal => Some(default),
        }
    }
}

/// Which content codings a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coding {
    /// gzip is taken, and not liked less than the plain text.
    pub gzip: bool,
    /// The plain text is taken.
    pub identity: bool,
}

impl Coding {
    /// RFC 9110 §12.5.3. gzip must be asked for: a client that says nothing gets the plain text.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let of = |names: &[&str]| {
            members(headers, &ACCEPT_ENCODING).find_map(|member| {
                let (name, parameters) = split_parameters(member);
                names.iter().any(|known| name.eq_ignore_ascii_case(known)).then(|| quality(parameters))
            })
        };
        let any = of(&["*"]);
        let gzip = of(&["gzip", "x-gzip"]).or(any).unwrap_or(0);
        let identity = of(&["identity"]);
        Self {
            gzip: gzip > 0 && gzip >= identity.unwrap_or(0),
            // Only `identity;q=0`, or `*;q=0` without a word on identity, refuses the plain text.
            identity: identity.or(any).is_none_or(|quality| quality > 0),
        }
    }
}

/// The members of a header that is a list, over all its lines.
pub(super) fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
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

/// `fhirVersion` names the FHIR release that the client can read; 4.0 is what is stored.
fn is_r4(parameters: &str) -> bool {
    parameter(parameters, "fhirVersion")
        .is_none_or(|version| matches!(version.trim_matches('"'), "4.0" | "4.0.0" | "4.0.1"))
}

/// A quality in thousandths (RFC 9110 §12.4.2): 1000 without one, 0 for one that is malformed.
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
        Media::wanted(&request.body(Body::Empty).unwrap(), Media::Json)
    }

    fn formatted(format: &str, accept: &str) -> Option<Media> {
        let request = http::Request::get("/").header(ACCEPT, accept).body(Body::Empty).unwrap();
        let query = HashMap::from([("_format".to_owned(), vec![format.to_owned()])]);
        Media::wanted(&request.with_query_string_parameters(query), Media::Json)
    }

    fn coding(line: &str) -> (bool, bool) {
        let request = http::Request::get("/").header(ACCEPT_ENCODING, line).body(Body::Empty).unwrap();
        let coding = Coding::of(request.headers());
        (coding.gzip, coding.identity)
    }

    #[test]
    fn accept_chooses_between_the_two_names_of_json() {
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
            ("application/json", Some(Media::Json)),
            ("application/fhir+json", Some(Media::FhirJson)),
            ("application/fhir json", Some(Media::FhirJson)),
            ("application/fhir+json; fhirVersion=4.0", Some(Media::FhirJson)),
            ("xml", None),
            ("", None),
        ] {
            assert_eq!(formatted(format, "text/html"), media, "{format}");
        }
    }

    #[test]
    fn accept_encoding_says_whether_gzip_and_plain_text_are_taken() {
        for (line, taken) in [
            ("gzip", (true, true)),
            ("GZip, deflate, br", (true, true)),
            ("x-gzip", (true, true)),
            ("*", (true, true)),
            ("br", (false, true)),
            ("identity", (false, true)),
            ("", (false, true)),
            ("gzip;q=0", (false, true)),
            ("gzip;q=0.000, *", (false, true)),
            ("gzip;q=0.001", (true, true)),
            ("gzip;q=0.5, identity;q=0.8", (false, true)),
            ("gzip;q=0.8, identity;q=0.5", (true, true)),
            ("gzip, identity;q=0", (true, false)),
            ("gzip, *;q=0", (true, false)),
            ("identity;q=0", (false, false)),
            ("*;q=0", (false, false)),
        ] {
            assert_eq!(coding(line), taken, "{line}");
        }
    }
}
