//! Responses with a document, or about one: 200, 304 and 412.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::Compression;
use lambda_http::http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, LAST_MODIFIED, VARY};
use lambda_http::http::{HeaderMap, HeaderValue, Method, StatusCode};
use lambda_http::{Body, Request, RequestExt, Response};
use table::attribute;
use table::document::{Document, Properties};
use table::error::DocumentError;
use table::gzip::{check_gzip, claimed_len, compress, fits_response};
use table::read::{Head, StoredStudy};
use table::subject::BaseUrl;

use super::conditional::{self, Precondition};
use super::error::ApiError;
use super::negotiation::{Coding, Media};
use super::reply::{MAX_TEXT_BYTES, VARY_BY, response};
use super::subset::Subset;

/// Smaller text is sent uncompressed: compressing it costs more than sending it.
const COMPRESS_FROM_BYTES: usize = 16 << 10;

/// How the client wants the document, by its headers and query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResponseOptions {
    pub(super) media: Media,
    pub(super) coding: Coding,
    pub(super) subset: Subset,
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
        })
    }

    /// The properties of the response: those of the document, but each subset has an entity tag of its own.
    fn properties(&self, document: &Properties) -> Properties {
        let mut properties = document.clone();
        if let Some(suffix) = self.subset.tag_suffix() {
            let open = properties.etag.strip_suffix('"').unwrap_or(&properties.etag);
            properties.etag = format!("{open}~{suffix}\"");
        }
        properties
    }

    /// Whether gzip data is sent as stored, neither inflated nor parsed.
    fn passes_through(&self, gzip: &[u8]) -> bool {
        self.subset == Subset::Whole
            && (self.coding.prefers_gzip || self.coding.gzip && may_exceed_text(gzip))
    }
}

/// Returns a response if the head item alone decides it: 304, 412, or 200 to HEAD.
pub(crate) fn response_to_head(
    request: &Request,
    head: &Head,
    options: &ResponseOptions,
) -> Option<Result<Response<Body>, ApiError>> {
    if let Head::Document(StoredStudy { document: Document::Gzip(gzip), .. }) = head
        && !options.coding.gzip
        && may_exceed_text(gzip)
    {
        // Preconditions apply only where the response would be 200 (RFC 9110 §13.2.1), and this may be 406.
        return None;
    }
    let properties = options.properties(head.properties());
    unmet_precondition(request, &properties).or_else(|| match head {
        Head::Parts { .. } if request.method() == Method::HEAD => {
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
    base_urls: &[BaseUrl],
) -> Result<Response<Body>, ApiError> {
    let properties = options.properties(&study.properties);
    let document = match study.document {
        Document::Gzip(gzip) if options.passes_through(&gzip) => Document::Gzip(gzip),
        Document::Gzip(gzip)
            if !options.coding.gzip
                && options.subset == Subset::Whole
                && claimed_len(&gzip) >= MAX_TEXT_BYTES =>
        {
            check_gzip(&[gzip])?;
            return Err(ApiError::CompressionRequired);
        }
        Document::Gzip(gzip) => Document::Text(study.properties.inflate(&gzip, base_urls)?),
        Document::Text(text) => Document::Text(text),
    };
    respond(request, document, &properties, options)
}

/// The response to a request for `document`: 200, 304 or 412.
pub(super) fn respond(
    request: &Request,
    document: Document,
    properties: &Properties,
    options: &ResponseOptions,
) -> Result<Response<Body>, ApiError> {
    let body = body(document, options)?;
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
    // Never later than now (RFC 9110 §8.8.2.1).
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    if let Some(date) = properties.last_updated.and_then(|seconds| http_date(seconds, now)) {
        headers.insert(LAST_MODIFIED, date);
    }
    headers.insert(VARY, VARY_BY);
    Ok(headers)
}

/// The document in the representation that the client wants.
fn body(document: Document, options: &ResponseOptions) -> Result<Body, ApiError> {
    let text = match document {
        Document::Gzip(gzip) => return gzip_body(gzip),
        Document::Text(text) => text,
    };
    let text = match options.subset.of_document(text, options.coding.gzip)? {
        Document::Text(text) => text,
        Document::Gzip(gzip) => return gzip_body(gzip),
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

/// An HTTP-date (RFC 9110 §5.6.7), at the latest `now`; `None` before 1970.
fn http_date(seconds: i64, now: u64) -> Option<HeaderValue> {
    let seconds = u64::try_from(seconds).ok()?.min(now);
    HeaderValue::from_str(&httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))).ok()
}

#[cfg(test)]
mod tests {
    use lambda_http::http::header::ACCEPT_ENCODING;

    use super::*;

    #[test]
    fn the_payload_length_is_that_of_the_json_string() {
        let all: String = (0..=255).map(char::from).collect();
        for part in [&all, "\"", "\\", "\n\r\t\u{8}\u{c}", "\0\u{1f}", "ä\u{1f9b7}", "a"] {
            let text = part.repeat(1_000);
            assert_eq!(payload_len(&text), serde_json::to_string(&text).unwrap().len(), "{part:?}");
        }
    }

    /// What a client with this `Accept-Encoding` asks for.
    fn accepting(coding: &'static str) -> ResponseOptions {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(coding))]);
        let coding = Coding::of(&headers).unwrap();
        ResponseOptions { media: Media::Json, coding, subset: Subset::Whole }
    }

    /// Whether the body is gzip.
    fn is_gzip(document: Document, options: &ResponseOptions) -> bool {
        matches!(body(document, options).unwrap(), Body::Binary(_))
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
            let json = Document::Text(" ".repeat(bytes));
            assert_eq!(is_gzip(json, &accepting(coding)), compressed, "{bytes} bytes, {coding}");
        }
    }

    #[test]
    fn gzip_is_sent_as_stored_unless_the_client_would_rather_have_text() {
        let stored = |json_bytes: usize| compress(&b" ".repeat(json_bytes), Compression::fast());
        for (json_bytes, coding, as_stored) in [
            (300, "gzip", true),
            (300, "identity", false),
            (MAX_TEXT_BYTES / 2, "identity, gzip;q=0.5", false),
            (MAX_TEXT_BYTES / 2 + 1, "identity, gzip;q=0.5", true),
        ] {
            let found = accepting(coding).passes_through(&stored(json_bytes));
            assert_eq!(found, as_stored, "{json_bytes} bytes, {coding}");
        }
    }

    #[test]
    fn text_that_fits_no_response_is_compressed_or_rejected() {
        // Escaped, and between quotes.
        let most = MAX_TEXT_BYTES / 2 - 1;
        let quotes = |count: usize| Document::Text("\"".repeat(count));
        assert!(!is_gzip(quotes(most), &accepting("identity, gzip;q=0.5")));
        assert!(is_gzip(quotes(most + 1), &accepting("identity, gzip;q=0.5")));
        assert!(!is_gzip(quotes(most), &accepting("identity")));
        let rejected = body(quotes(most + 1), &accepting("identity"));
        assert!(matches!(rejected, Err(ApiError::CompressionRequired)));
    }

    #[test]
    fn a_date_is_neither_before_1970_nor_in_the_future() {
        let date = |seconds| http_date(seconds, 100).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(date(-1), None);
        assert_eq!(date(0).as_deref(), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
        assert_eq!(date(101), date(100));
        assert_eq!(date(i64::MAX).as_deref(), Some("Thu, 01 Jan 1970 00:01:40 GMT"));
    }

    #[test]
    fn text_that_is_too_large_even_compressed_is_an_error() {
        // Repeated farther apart than gzip looks back (RFC 1951 §2).
        let noise = testkit::noise_text(1, 64 << 10).repeat(160);
        let Err(ApiError::Store(error)) = body(Document::Text(noise), &accepting("gzip")) else {
            panic!("no error")
        };
        assert!(error.to_string().contains("too large"), "{error}");
    }
}
