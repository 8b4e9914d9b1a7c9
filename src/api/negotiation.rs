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
        let query = request.query_string_parameters_ref();
        match query.and_then(|query| query.first("_format")).and_then(Format::read) {
            Some(format) => format.media,
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

    fn of_accept(headers: &HeaderMap, default: Self) -> Option<Self> {
        let mut ranges = members(headers, &ACCEPT).filter_map(MediaRange::read).peekable();
        if ranges.peek().is_none() {
            return Some(default);
        }
        // The most specific media range takes precedence (RFC 9110 §12.5.1).
        let [mut json, mut fhir] = [Preference::default(); 2];
        for range in ranges {
            json.heed(&range, Self::Json);
            fhir.heed(&range, Self::FhirJson);
        }
        // At equal weight the more specific range wins, and FHIR's media type where both are named.
        match fhir.weight.total_cmp(&json.weight).then(fhir.specific.cmp(&json.specific)) {
            _ if json.weight == 0.0 && fhir.weight == 0.0 => None,
            Ordering::Greater => Some(Self::FhirJson),
            Ordering::Less => Some(Self::Json),
            Ordering::Equal if fhir.specific == 2 => Some(Self::FhirJson),
            Ordering::Equal => Some(default),
        }
    }
}

/// A readable value of `_format` (FHIR R4 http.html#parameters), and what it asks for.
struct Format {
    media: Option<Media>,
}

impl Format {
    fn read(text: &str) -> Option<Self> {
        let (name, parameters) = split_parameters(text);
        weight_of(parameters)?;
        // A plus sign that was not percent-encoded arrives as a space.
        let name = name.to_ascii_lowercase().replace(' ', "+");
        let media = match name.as_str() {
            "application/json" | "text/json" => Some(Media::Json),
            "json" | "application/fhir+json" => Some(Media::FhirJson),
            other => {
                let (kind, subtype) = other.split_once('/').unwrap_or((other, "x"));
                (is_token(kind) && is_token(subtype)).then_some(None)?
            }
        };
        Some(Self { media: media.filter(|_| is_r4(parameters)) })
    }
}

/// A readable member of `Accept`.
struct MediaRange<'a> {
    kind: &'a str,
    subtype: &'a str,
    is_r4: bool,
    weight: f32,
}

impl<'a> MediaRange<'a> {
    fn read(member: &'a str) -> Option<Self> {
        let (name, parameters) = split_parameters(member);
        let (kind, subtype) =
            name.split_once('/').filter(|(kind, subtype)| is_token(kind) && is_token(subtype))?;
        Some(Self { kind, subtype, is_r4: is_r4(parameters), weight: weight_of(parameters)? })
    }

    /// How closely the range describes a media type; `None` if it does not.
    fn specific(&self, media: Media) -> Option<u8> {
        let (kind, subtype) = media.name().split_once('/')?;
        match (self.kind, self.subtype) {
            _ if !self.is_r4 => None,
            ("*", "*") => Some(0),
            (own, "*") if own.eq_ignore_ascii_case(kind) => Some(1),
            (own, other) if own.eq_ignore_ascii_case(kind) && other.eq_ignore_ascii_case(subtype) => Some(2),
            _ => None,
        }
    }
}

/// What the ranges so far say of one media type.
#[derive(Clone, Copy, Default)]
struct Preference {
    specific: u8,
    weight: f32,
}

impl Preference {
    fn heed(&mut self, range: &MediaRange<'_>, media: Media) {
        if let Some(specific) = range.specific(media)
            && specific >= self.specific
        {
            *self = Self { specific, weight: range.weight };
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
                names.iter().any(|known| name.eq_ignore_ascii_case(known)).then(|| weight_of(parameters))?
            })
        };
        let any = of(&["*"]);
        let gzip = of(&["gzip", "x-gzip"]).or(any).unwrap_or(0.0);
        let identity = of(&["identity"]);
        let coding = Self {
            gzip: gzip > 0.0,
            prefers_gzip: gzip > 0.0 && gzip >= identity.unwrap_or(0.0),
            // Only `identity;q=0`, or `*;q=0` where identity is not listed, excludes uncompressed text.
            identity: identity.or(any).is_none_or(|weight| weight > 0.0),
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
        .flat_map(|line| split_unquoted(line, b','))
        .map(str::trim)
        .filter(|member| !member.is_empty())
}

fn split_parameters(member: &str) -> (&str, &str) {
    let (name, parameters) = member.split_once(';').unwrap_or((member, ""));
    (name.trim(), parameters)
}

fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    split_unquoted(parameters, b';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Splits at each separator that is not in a quoted string (RFC 9110 §5.6.4).
fn split_unquoted(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        escaped = quoted && character == '\\';
        quoted ^= character == '"';
        !quoted && character == char::from(separator)
    })
}

/// Whether a text is a token (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether `fhirVersion`, the FHIR release that the client reads, is absent or R4.
fn is_r4(parameters: &str) -> bool {
    parameter(parameters, "fhirVersion")
        .is_none_or(|version| matches!(version.trim_matches('"'), "4.0" | "4.0.0" | "4.0.1"))
}

/// The weight among the parameters (RFC 9110 §12.4.2), 1 by default; `None` if it cannot be read.
fn weight_of(parameters: &str) -> Option<f32> {
    parameter(parameters, "q").map_or(Some(1.0), weight)
}

/// A weight from 0 to 1. More lenient than the grammar, as clients are: Java sends `.2`, others four digits and more.
fn weight(text: &str) -> Option<f32> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_decimal.then(|| text.parse::<f32>().ok())?.map(|weight| weight.min(1.0))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use lambda_http::Body;
    use lambda_http::http::{self, HeaderValue};

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
            // What Java sends without an Accept of the caller's own (JDK 8, 11 and 17).
            (&["text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"], Some(Media::Json)),
            (&["*/*;q=.2, application/fhir+json;q=0.1000"], Some(Media::Json)),
            (&["*/*;q=0.0"], None),
            (&["text/html, *"], None),
            (&["application/fhir+json;q=high, application/json;q=0.1"], Some(Media::Json)),
            (
                &["application/fhir+json; profile=\"a,b;q=0\"; q=0.5, application/json;q=0.6"],
                Some(Media::Json),
            ),
            (&["application/fhir+json;"], Some(Media::FhirJson)),
            (&["application/json;q=high"], Some(Media::Json)),
            (&["application/fhir+json;q=high"], Some(Media::Json)),
            (&["application/", "json", "/json", "a b/c"], Some(Media::Json)),
            (&[""], Some(Media::Json)),
            (&[", ,"], Some(Media::Json)),
        ] {
            assert_eq!(accepting(lines), media, "{lines:?}");
        }
    }

    #[test]
    fn an_accept_of_other_characters_counts_as_absent() {
        let unreadable = HeaderValue::from_bytes(b"text/html\xff").unwrap();
        let request = http::Request::get("/").header(ACCEPT, unreadable).body(Body::Empty).unwrap();
        assert_eq!(Media::requested(&request, Media::FhirJson), Some(Media::FhirJson));
    }

    #[test]
    fn a_format_that_is_empty_or_unreadable_leaves_the_choice_to_accept() {
        for format in
            ["", " ", ";", "; fhirVersion=4.0", "/", "application/", "a/b/c", "<json>", "json;q=high"]
        {
            assert_eq!(formatted(format, "application/fhir+json"), Some(Media::FhirJson), "{format}");
            assert_eq!(formatted(format, "text/html"), None, "{format}");
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
            ("application/fhir+xml", None),
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
            ("gzip;q=.5", gzip),
            ("gzip;q=1.0000", gzip),
            ("gzip;q=.0", identity),
            ("gzip;q=high", identity),
            ("gzip, identity;q=high", gzip),
            ("gzip, *;q=high", gzip),
            ("identity;q=high", identity),
            ("*;q=high, @, gzip@", identity),
            (", ,", identity),
        ] {
            assert_eq!(coding(line), accepted, "{line}");
        }
    }

    #[test]
    fn a_weight_is_any_decimal_and_at_most_one() {
        for (text, expected) in [
            ("0", Some(0.0)),
            ("0.", Some(0.0)),
            (".0", Some(0.0)),
            ("0.0000", Some(0.0)),
            ("0.5", Some(0.5)),
            (".5", Some(0.5)),
            ("0.50000", Some(0.5)),
            ("00.5", Some(0.5)),
            ("0.0001", Some(0.0001)),
            ("1", Some(1.0)),
            ("1.0000", Some(1.0)),
            ("1.001", Some(1.0)),
            ("2", Some(1.0)),
            ("", None),
            (".", None),
            ("0.5.5", None),
            ("0,5", None),
            ("-0.5", None),
            ("+0.5", None),
            ("5e-1", None),
            ("inf", None),
            ("NaN", None),
            ("high", None),
        ] {
            assert_eq!(weight(text), expected, "{text}");
        }
    }
}
