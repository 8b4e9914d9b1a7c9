//! Successful responses: status, headers and body.

use std::time::{Duration, UNIX_EPOCH};

use flate2::Compression;
use lambda_http::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use lambda_http::http::{HeaderMap, HeaderValue, Method, StatusCode};
use lambda_http::{Body, Request, RequestExt, Response};

use super::conditional::{self, Precondition};
use super::error::ApiError;
use super::negotiation::{Coding, Media};
use super::subset::{self, Subset};
use crate::store::{
    DocumentError, Json, MAX_GZIP_BYTES, Properties, StoredItem, StoredStudy, attribute, check_gzip,
    claimed_len, compress, fits_response, inflate,
};

/// Lambda's limit on the response to one invocation, counted on the JSON that carries the body.
const MAX_PAYLOAD_BYTES: usize = 6_291_556;
/// Reserved for the rest of that JSON: status and headers, all of them bounded.
const ENVELOPE_BYTES: usize = 2_048;
/// Maximum size of a text body, as a JSON string.
pub(super) const MAX_TEXT_BYTES: usize = MAX_PAYLOAD_BYTES - ENVELOPE_BYTES;
// base64 encodes three bytes in four characters.
const _: () = assert!(MAX_GZIP_BYTES == MAX_TEXT_BYTES / 4 * 3);
/// Smaller text is sent uncompressed: compressing it costs more than sending it.
const COMPRESS_FROM_BYTES: usize = 16 << 10;
/// Maximum size of indented text. A larger document is sent as stored: indentation is for people.
const MAX_PRETTY_BYTES: usize = 1 << 20;

/// How the client wants the document, by its headers and query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResponseOptions {
    pub(super) media: Media,
    pub(super) coding: Coding,
    pub(super) subset: Subset,
    pub(super) pretty: bool,
}

impl ResponseOptions {
    /// Reads the options of a request; `default` is the media type of its route. Fails if the request accepts neither
    /// media type, or no content coding.
    pub(crate) fn of(request: &Request, default: Media) -> Result<Self, ApiError> {
        let query = |name| request.query_string_parameters_ref().and_then(|query| query.first(name));
        Ok(Self {
            media: Media::requested(request, default).ok_or(ApiError::MediaNotAcceptable)?,
            coding: Coding::of(request.headers()).ok_or(ApiError::CodingNotAcceptable)?,
            subset: Subset::of(query("_summary"), query("_elements")),
            pretty: query("_pretty") == Some("true"),
        })
    }

    /// The properties of the response: those of the document, but each subset has an entity tag of its own.
    fn properties(&self, document: &Properties) -> Properties {
        let mut properties = document.clone();
        if let Some(suffix) = self.subset.tag_suffix() {
            properties.etag = format!("{}~{suffix}\"", properties.etag.trim_end_matches('"'));
        }
        properties
    }

    /// Whether gzip data is sent as stored, neither inflated nor parsed.
    fn passes_through(&self, gzip: &[u8]) -> bool {
        let indents = self.pretty && claimed_len(gzip) <= MAX_PRETTY_BYTES;
        self.subset == Subset::Whole
            && !indents
            && (self.coding.prefers_gzip || self.coding.gzip && may_exceed_text(gzip))
    }
}

/// The response that a study's own item is enough for: 304, 412, or 200 to HEAD where the document is in parts.
pub(crate) fn response_to_item(
    request: &Request,
    item: &StoredItem,
    options: &ResponseOptions,
) -> Option<Result<Response<Body>, ApiError>> {
    if let StoredItem::Whole(StoredStudy { json: Json::Gzip(gzip), .. }) = item
        && !options.coding.gzip
        && may_exceed_text(gzip)
    {
        // Preconditions apply only where the response would be 200 (RFC 9110 §13.2.1), and this may be 406.
        return None;
    }
    let properties = options.properties(item.properties());
    unmet_precondition(request, &properties).or_else(|| match item {
        StoredItem::Split { .. } if request.method() == Method::HEAD => {
            // RFC 9110 §9.3.2 lets `Content-Length` be left out: only the parts would tell it.
            let body = if options.coding.prefers_gzip { Body::Binary(Vec::new()) } else { Body::Empty };
            Some(ok(&properties, options.media, body))
        }
        _ => None,
    })
}

/// The response to a request whose study was found: 200, 304 or 412.
pub(crate) fn response_to_study(
    request: &Request,
    study: StoredStudy,
    options: &ResponseOptions,
) -> Result<Response<Body>, ApiError> {
    respond(request, study.json, &options.properties(&study.properties), options)
}

/// The response to a request for `json`: 200, 304 or 412.
pub(super) fn respond(
    request: &Request,
    json: Json,
    properties: &Properties,
    options: &ResponseOptions,
) -> Result<Response<Body>, ApiError> {
    let body = body(json, options)?;
    unmet_precondition(request, properties).unwrap_or_else(|| ok(properties, options.media, body))
}

fn unmet_precondition(
    request: &Request,
    properties: &Properties,
) -> Option<Result<Response<Body>, ApiError>> {
    match conditional::evaluate(request.headers(), properties) {
        Precondition::Met => None,
        Precondition::NotModified => {
            Some(headers(properties).map(|headers| response(StatusCode::NOT_MODIFIED, headers, Body::Empty)))
        }
        Precondition::Failed => Some(Err(ApiError::PreconditionFailed)),
    }
}

fn ok(properties: &Properties, media: Media, body: Body) -> Result<Response<Body>, ApiError> {
    let mut headers = headers(properties)?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media.name()));
    if matches!(body, Body::Binary(_)) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response(StatusCode::OK, headers, body))
}

/// The headers that 200 and 304 share.
fn headers(properties: &Properties) -> Result<HeaderMap, ApiError> {
    let mut headers = HeaderMap::with_capacity(8);
    let etag = HeaderValue::from_str(&properties.etag);
    headers.insert(ETAG, etag.map_err(|_| DocumentError::AttributeType(attribute::ETAG))?);
    if let Some(date) = properties.last_updated.and_then(http_date) {
        headers.insert(LAST_MODIFIED, date);
    }
    headers.insert(VARY, VARY_BY);
    Ok(headers)
}

/// `Accept` chooses the name of the media type, `Accept-Encoding` the content coding.
pub(super) const VARY_BY: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding");

/// A response with the headers that all of them have.
pub(super) fn response(status: StatusCode, mut headers: HeaderMap, body: Body) -> Response<Body> {
    // Health data: no cache may store it (RFC 9111 §5.2.2.5).
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Turns the response to GET into the response to HEAD: the same headers, and the length of the body that GET would
/// have (RFC 9110 §9.3.2), where it is known.
pub(crate) fn without_body(response: &mut Response<Body>) {
    let length = body_len(response.body());
    if length > 0 {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    *response.body_mut() = Body::Empty;
}

/// The size of the body for the client, in bytes: without base64.
pub(crate) fn body_len(body: &Body) -> usize {
    match body {
        Body::Text(text) => text.len(),
        Body::Binary(bytes) => bytes.len(),
        _ => 0,
    }
}

/// The document in the representation that the client wants.
fn body(json: Json, options: &ResponseOptions) -> Result<Body, ApiError> {
    let text = match json {
        Json::Gzip(gzip) if options.passes_through(&gzip) => return gzip_body(gzip),
        Json::Gzip(gzip)
            if !options.coding.gzip
                && options.subset == Subset::Whole
                && claimed_len(&gzip) >= MAX_TEXT_BYTES =>
        {
            check_gzip(&[gzip])?;
            return Err(ApiError::CompressionRequired);
        }
        Json::Gzip(gzip) => inflate(&gzip)?,
        Json::Text(text) => text,
    };
    let text = match options.subset.of_document(text, options.coding.gzip)? {
        Json::Text(text) if options.pretty => subset::pretty(&text, MAX_PRETTY_BYTES).unwrap_or(text),
        Json::Text(text) => text,
        Json::Gzip(gzip) => return gzip_body(gzip),
    };
    let fits = || payload_len(&text) <= MAX_TEXT_BYTES;
    let compresses =
        options.coding.prefers_gzip && (text.len() >= COMPRESS_FROM_BYTES || !options.coding.identity);
    if compresses || options.coding.gzip && !fits() {
        return gzip_body(compress(text.as_bytes(), Compression::fast()));
    }
    if fits() { Ok(Body::Text(text)) } else { Err(ApiError::CompressionRequired) }
}

/// gzip data as a body, if a response can carry it.
fn gzip_body(gzip: Vec<u8>) -> Result<Body, ApiError> {
    if fits_response(gzip.len()) { Ok(Body::Binary(gzip)) } else { Err(DocumentError::TooLarge.into()) }
}

/// Whether the text of gzip data may be too large for a response: in JSON, each character needs at most two.
fn may_exceed_text(gzip: &[u8]) -> bool {
    claimed_len(gzip) > MAX_TEXT_BYTES / 2
}

/// The length of `text` as a JSON string, in bytes: quotes, backslashes and control characters are escaped
/// (RFC 8259 §7).
fn payload_len(text: &str) -> usize {
    let quoted = count(text, |byte| matches!(byte, b'"' | b'\\'));
    let control = count(text, |byte| byte < b' ');
    let short = count(text, |byte| matches!(byte, b'\n' | b'\r' | b'\t' | 8 | 12));
    // `\n` and its like are two bytes, `\u0001` and its like are six.
    text.len() + 2 + quoted + short + 5 * (control - short)
}

/// The bytes of `text` for which `predicate` holds. Sums that fit a byte let the compiler count 16 bytes at once, where
/// a `match` takes them one by one: a sixth of the CPU time of a large study sent as text.
fn count(text: &str, predicate: impl Fn(u8) -> bool) -> usize {
    let chunks = text.as_bytes().chunks(240);
    chunks.map(|chunk| usize::from(chunk.iter().map(|&byte| u8::from(predicate(byte))).sum::<u8>())).sum()
}

/// An HTTP-date (RFC 9110 §5.6.7); `None` before 1970 and after 9999.
fn http_date(seconds: i64) -> Option<HeaderValue> {
    let seconds = u64::try_from(seconds).ok().filter(|&seconds| seconds < 253_402_300_800)?;
    HeaderValue::from_str(&httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))).ok()
}

#[cfg(test)]
mod tests {
    use lambda_http::http::header::ACCEPT_ENCODING;

    use super::*;

    #[test]
    fn base64_of_the_largest_gzip_fits_a_response_and_one_byte_more_does_not() {
        for (bytes, fits) in [(MAX_GZIP_BYTES, true), (MAX_GZIP_BYTES + 1, false)] {
            assert_eq!((fits_response(bytes), bytes.div_ceil(3) * 4 <= MAX_TEXT_BYTES), (fits, fits));
        }
    }

    #[test]
    fn the_payload_length_is_that_of_the_json_string() {
        let all: String = (0..=255).map(char::from).collect();
        for part in [&all, "\"", "\\", "\n\r\t\u{8}\u{c}", "\0\u{1f}", "ä\u{1f9b7}", "a"] {
            let text = part.repeat(1_000);
            assert_eq!(payload_len(&text), serde_json::to_string(&text).unwrap().len(), "{part:?}");
        }
    }

    /// What a client with this `Accept-Encoding` asks for.
    fn accepting(coding: &'static str, pretty: bool) -> ResponseOptions {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(coding))]);
        let coding = Coding::of(&headers).unwrap();
        ResponseOptions { media: Media::Json, coding, subset: Subset::Whole, pretty }
    }

    /// Whether the body is gzip.
    fn is_gzip(json: Json, options: &ResponseOptions) -> bool {
        matches!(body(json, options).unwrap(), Body::Binary(_))
    }

    #[test]
    fn text_is_compressed_from_16_kib_on_or_if_the_client_accepts_nothing_else() {
        for (bytes, coding, compressed) in [
            (16_383, "gzip", false),
            (16_384, "gzip", true),
            (16_384, "identity, gzip;q=0.5", false),
            (16_384, "identity", false),
            (10, "gzip, identity;q=0", true),
        ] {
            let json = Json::Text(" ".repeat(bytes));
            assert_eq!(is_gzip(json, &accepting(coding, false)), compressed, "{bytes} bytes, {coding}");
        }
    }

    #[test]
    fn gzip_is_sent_as_stored_unless_it_is_to_be_indented_or_the_client_would_rather_have_text() {
        let stored = |json_bytes: usize| compress(&b" ".repeat(json_bytes), Compression::fast());
        for (json_bytes, coding, pretty, as_stored) in [
            (300, "gzip", false, true),
            (300, "gzip", true, false),
            (MAX_PRETTY_BYTES, "gzip", true, false),
            (MAX_PRETTY_BYTES + 1, "gzip", true, true),
            (300, "identity", false, false),
            (MAX_TEXT_BYTES / 2, "identity, gzip;q=0.5", false, false),
            (MAX_TEXT_BYTES / 2 + 1, "identity, gzip;q=0.5", false, true),
        ] {
            let found = accepting(coding, pretty).passes_through(&stored(json_bytes));
            assert_eq!(found, as_stored, "{json_bytes} bytes, {coding}, pretty: {pretty}");
        }
    }

    #[test]
    fn text_that_fits_no_response_is_compressed_or_refused() {
        // Escaped, and between quotes.
        let most = MAX_TEXT_BYTES / 2 - 1;
        let quotes = |count: usize| Json::Text("\"".repeat(count));
        assert!(!is_gzip(quotes(most), &accepting("identity, gzip;q=0.5", false)));
        assert!(is_gzip(quotes(most + 1), &accepting("identity, gzip;q=0.5", false)));
        assert!(!is_gzip(quotes(most), &accepting("identity", false)));
        let refused = body(quotes(most + 1), &accepting("identity", false));
        assert!(matches!(refused, Err(ApiError::CompressionRequired)));
    }

    #[test]
    fn the_length_of_a_body_is_that_of_its_bytes() {
        assert_eq!(body_len(&Body::Text("ä".to_owned())), 2);
        assert_eq!(body_len(&Body::Binary(vec![0; 3])), 3);
        assert_eq!(body_len(&Body::Empty), 0);
    }

    #[test]
    fn a_date_has_four_digits_for_the_year() {
        let date = |seconds| http_date(seconds).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(date(-1), None);
        assert_eq!(date(0).as_deref(), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
        assert_eq!(date(253_402_300_799).as_deref(), Some("Fri, 31 Dec 9999 23:59:59 GMT"));
        assert_eq!(date(253_402_300_800), None);
    }

    #[test]
    fn text_that_is_too_large_even_compressed_is_refused() {
        // Repeated farther apart than gzip looks back (RFC 1951 §2).
        let noise = local::noise_text(1, 64 << 10).repeat(160);
        let Err(ApiError::Store(error)) = body(Json::Text(noise), &accepting("gzip", false)) else {
            panic!("not refused")
        };
        assert!(error.to_string().contains("too large"), "{error}");
    }
}
