//! Events as `lambda_http` can take them.
//!
//! It builds a URI from an event's host, path and query and panics where that is none, and of a REST (v1) event's
//! repeated headers it keeps the last value only, though a second `Authorization` must not go unseen.

use lambda_http::http::HeaderMap;
use lambda_http::http::header::HOST;
use lambda_http::lambda_runtime::LambdaEvent;
use lambda_http::request::LambdaRequest;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What may not stand in a path or query as it is (RFC 3986 §3.3, §3.4); `%` stays, since it may be an escape already.
const NOT_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
const NOT_IN_QUERY: &AsciiSet = &NOT_IN_PATH.remove(b'?');

/// The same event, with nothing in it that would make a panic or hide a header.
#[must_use]
pub fn tidied(mut event: LambdaEvent<LambdaRequest>) -> LambdaEvent<LambdaRequest> {
    match &mut event.payload {
        LambdaRequest::ApiGatewayV1(request) => {
            encode(&mut request.path, NOT_IN_PATH);
            request.request_context.domain_name = None;
            request.multi_value_headers.remove(HOST);
            request.headers.remove(HOST);
            keep_repeated(&mut request.headers, &request.multi_value_headers);
        }
        LambdaRequest::ApiGatewayV2(request) => {
            encode(&mut request.raw_path, NOT_IN_PATH);
            encode(&mut request.raw_query_string, NOT_IN_QUERY);
            request.request_context.domain_name = None;
            request.headers.remove(HOST);
        }
        _ => {}
    }
    event
}

/// The single-valued headers would replace the multi-valued ones that they repeat.
fn keep_repeated(single: &mut HeaderMap, multi: &HeaderMap) {
    for name in multi.keys() {
        single.remove(name);
    }
}

fn encode(text: &mut Option<String>, set: &'static AsciiSet) {
    if let Some(text) = text
        && !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%=&".contains(&byte))
    {
        *text = utf8_percent_encode(text, set).to_string();
    }
}
