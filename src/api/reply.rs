//! What all responses share.

use lambda_http::http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, X_CONTENT_TYPE_OPTIONS};
use lambda_http::http::{HeaderMap, HeaderValue, StatusCode};
use lambda_http::{Body, Response};
use table::limit::MAX_GZIP_BYTES;

/// Lambda's limit on the response to one invocation, counted on the JSON that carries the body.
const MAX_PAYLOAD_BYTES: usize = 6_291_556;

/// Reserved for the rest of that JSON: status and headers, all of them bounded.
const ENVELOPE_BYTES: usize = 2_048;

/// Maximum size of a text body, as a JSON string.
pub(super) const MAX_TEXT_BYTES: usize = MAX_PAYLOAD_BYTES - ENVELOPE_BYTES;

const _: () = assert!(MAX_GZIP_BYTES == MAX_TEXT_BYTES / 4 * 3);

/// `Accept` chooses the name of the media type, `Accept-Encoding` the content coding.
pub(super) const VARY_BY: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding");

/// `Cache-Control` of what holds nothing about anybody and changes with a deployment only.
pub(super) const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The methods that every path has.
pub(super) const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// The response to OPTIONS (RFC 9110 §9.3.7): 204, so that a preflight does not fail because the gateway passed it on.
pub(crate) fn options() -> Response<Body> {
    response(StatusCode::NO_CONTENT, HeaderMap::from_iter([(ALLOW, METHODS)]), Body::Empty)
}

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

#[cfg(test)]
mod tests {
    use table::gzip::fits_response;

    use super::*;

    #[test]
    fn the_length_of_a_body_is_that_of_its_bytes() {
        assert_eq!(body_len(&Body::Text("ä".to_owned())), 2);
        assert_eq!(body_len(&Body::Binary(vec![0; 3])), 3);
        assert_eq!(body_len(&Body::Empty), 0);
    }

    #[test]
    fn base64_of_the_largest_gzip_fits_a_response_and_one_byte_more_does_not() {
        for (bytes, fits) in [(MAX_GZIP_BYTES, true), (MAX_GZIP_BYTES + 1, false)] {
            assert_eq!((fits_response(bytes), bytes.div_ceil(3) * 4 <= MAX_TEXT_BYTES), (fits, fits));
        }
    }
}
