//! What goes out: status, headers and body of every answer.

use std::time::{Duration, UNIX_EPOCH};

use flate2::Compression;
use lambda_http::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use lambda_http::http::{HeaderMap, HeaderValue, StatusCode};
use lambda_http::{Body, IntoResponse, Request, RequestExt, Response};

use super::conditional::{self, Precondition};
use super::error::ApiError;
use super::negotiation::{Coding, Media};
use super::subset::{self, Subset};
use crate::store::{
    DocumentError, Json, MAX_GZIP_BYTES, StoredStudy, attribute, claimed_len, compress, inflate,
};

/// The most bytes that Lambda takes as the answer to one invocation, counted on the JSON that carries the body.
pub const MAX_PAYLOAD_BYTES: usize = 6_291_556;
/// Room for what that JSON holds beside the body: status and headers, all of them bounded.
const ENVELOPE_BYTES: usize = 2_048;
// base64 makes four characters of three bytes.
const _: () = assert!(MAX_GZIP_BYTES == (MAX_PAYLOAD_BYTES - ENVELOPE_BYTES) / 4 * 3);
/// Text below this size goes out as it is: compressing it costs more than sending it.
const COMPRESS_FROM_BYTES: usize = 16 << 10;

/// An answer. It goes to the gateway as it stands: `lambda_http`'s own conversion of a response would copy the body.
#[derive(Debug)]
pub struct Answer(pub Response<Body>);

impl IntoResponse for Answer {
    fn into_response(self) -> std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        Box::pin(std::future::ready(self.0))
    }
}

/// How a client wants the document: what its headers and query say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseOptions {
    pub(super) media: Media,
    pub(super) coding: Coding,
    pub(super) subset: Subset,
    pub(super) pretty: bool,
}

impl ResponseOptions {
    /// Reads the options of a request; [`ApiError::NotAcceptable`] if it accepts no JSON. `default` is the route's media type.
    pub fn of(request: &Request, default: Media) -> Result<Self, ApiError> {
        let query = |name| request.query_string_parameters_ref().and_then(|query| query.first(name));
        let media = Media::wanted(request, default).ok_or(ApiError::NotAcceptable)?;
        Ok(Self {
            media,
            coding: Coding::of(request.headers()),
            subset: Subset::of(query("_summary"), query("_elements")),
            pretty: query("_pretty") == Some("true"),
        })
    }

    fn changes_the_text(&self) -> bool {
        self.pretty || self.subset != Subset::Whole
    }
}

/// The answer to a request whose study was found: 200, or 304 if the client has it.
pub fn found(
    request: &Request,
    study: StoredStudy,
    wish: &ResponseOptions,
) -> Result<Response<Body>, ApiError> {
    let mut headers = HeaderMap::with_capacity(8);
    let etag = HeaderValue::from_str(&study.properties.etag);
    let etag = etag.map_err(|_| DocumentError::AttributeType(attribute::ETAG))?;
    headers.insert(ETAG, etag);
    if let Some(date) = study.properties.last_updated.and_then(http_date) {
        headers.insert(LAST_MODIFIED, date);
    }
    headers.insert(VARY, VARY_BY);
    match conditional::evaluate(request.headers(), &study.properties) {
        Precondition::Met => {}
        Precondition::NotModified => return Ok(assembled(StatusCode::NOT_MODIFIED, headers, Body::Empty)),
        Precondition::Failed => return Err(ApiError::PreconditionFailed),
    }
    let body = represented(study.json, wish)?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(wish.media.name()));
    if matches!(body, Body::Binary(_)) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(assembled(StatusCode::OK, headers, body))
}

/// `Accept-Encoding` chooses between the stored bytes and the text, `Accept` between two names for the same JSON.
pub(super) const VARY_BY: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding");

pub(super) fn assembled(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    let headers = response.headers_mut();
    // Health data: no cache keeps it (RFC 9111 §5.2.2.5).
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Turns the answer to GET into the one to HEAD (RFC 9110 §9.3.2): the same headers, with the length that the body has.
pub(crate) fn strip_body(response: &mut Response<Body>) {
    if response.status() != StatusCode::NOT_MODIFIED {
        let length = body_len(response.body());
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    *response.body_mut() = Body::Empty;
}

/// The body's bytes as the client gets them, before base64.
pub(crate) fn body_len(body: &Body) -> usize {
    match body {
        Body::Text(text) => text.len(),
        Body::Binary(bytes) => bytes.len(),
        _ => 0,
    }
}

/// The body in the representation that the client wants, if one exists that fits an answer.
pub(super) fn represented(json: Json, wish: &ResponseOptions) -> Result<Body, ApiError> {
    let text = match json {
        Json::Gzip(gzip) if !wish.changes_the_text() => {
            if wish.coding.gzip {
                return compressed(gzip);
            }
            // Known before inflating, for documents that we wrote.
            if claimed_len(&gzip) > MAX_PAYLOAD_BYTES {
                return Err(ApiError::CompressionRequired);
            }
            inflate(&gzip)?
        }
        Json::Gzip(gzip) => shaped(inflate(&gzip)?, wish)?,
        Json::Text(text) => shaped(text, wish)?,
    };
    if wish.coding.gzip && (text.len() >= COMPRESS_FROM_BYTES || !wish.coding.identity) {
        return compressed(compress(text.as_bytes(), Compression::fast()));
    }
    if !wish.coding.identity {
        return Err(ApiError::NotAcceptable);
    }
    if payload_len(&text) > MAX_PAYLOAD_BYTES - ENVELOPE_BYTES {
        return Err(ApiError::CompressionRequired);
    }
    Ok(Body::Text(text))
}

/// gzip data as a body, if an answer can carry it.
fn compressed(gzip: Vec<u8>) -> Result<Body, ApiError> {
    if gzip.len() <= MAX_GZIP_BYTES { Ok(Body::Binary(gzip)) } else { Err(DocumentError::TooLarge.into()) }
}

fn shaped(text: String, wish: &ResponseOptions) -> Result<String, ApiError> {
    let text = match wish.subset.applied_to(&text)? {
        Some(subset) => subset,
        None => text,
    };
    Ok(if wish.pretty { subset::pretty(&text) } else { text })
}

/// The length of `text` as a JSON string: quotes, backslashes and control characters are escaped (RFC 8259 §7).
fn payload_len(text: &str) -> usize {
    if text.len() <= MAX_PAYLOAD_BYTES / 8 {
        // Cannot come near the limit, whatever is in it.
        return text.len();
    }
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..=31 => 6,
        _ => 1,
    });
    escaped.sum::<usize>() + 2
}

/// RFC 9110 §5.6.7; `None` before 1970 and after 9999.
fn http_date(seconds: i64) -> Option<HeaderValue> {
    let seconds = u64::try_from(seconds).ok().filter(|&seconds| seconds < 253_402_300_800)?;
    HeaderValue::from_str(&httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))).ok()
}
