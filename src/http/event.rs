//! API Gateway events, made safe for `lambda_http`.
//!
//! Left alone it parses every event as each format in turn, builds a URI from an event's host, path and query and
//! panics where that is none, and of a REST event's repeated headers it keeps the last value only, though a second
//! `Authorization` must not go unseen.

use std::borrow::Cow;

use lambda_http::http::header::HOST;
use lambda_http::http::{HeaderMap, HeaderName};
use lambda_http::lambda_runtime::LambdaEvent;
use lambda_http::request::LambdaRequest;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// An event of API Gateway, in either payload format, with nothing in it that would make a panic or hide a header.
#[derive(Debug)]
pub struct Event(LambdaRequest);

impl Event {
    /// Hands an invocation on to `lambda_http`.
    #[must_use]
    pub fn into_request(invocation: LambdaEvent<Self>) -> LambdaEvent<LambdaRequest> {
        LambdaEvent { payload: invocation.payload.0, context: invocation.context }
    }
}

impl<'de> Deserialize<'de> for Event {
    /// By its `version`: an HTTP API says 2.0, a REST API nothing or 1.0.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Version<'a> {
            #[serde(borrow)]
            version: Option<Cow<'a, str>>,
        }
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let version = serde_json::from_str::<Version<'_>>(raw.get()).map_err(D::Error::custom)?.version;
        let request = match version.as_deref() {
            Some("2.0") => serde_json::from_str(raw.get()).map(LambdaRequest::ApiGatewayV2),
            _ => serde_json::from_str(raw.get()).map(LambdaRequest::ApiGatewayV1),
        };
        request.map(|request| Self(sanitized(request))).map_err(D::Error::custom)
    }
}

/// Where the host that the client named is kept: `lambda_http` panics on some values of `Host`.
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

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

fn sanitized(mut request: LambdaRequest) -> LambdaRequest {
    match &mut request {
        LambdaRequest::ApiGatewayV1(request) => {
            encode(&mut request.path, NOT_IN_PATH);
            request.request_context.domain_name = None;
            move_host(&mut request.headers);
            move_host(&mut request.multi_value_headers);
            keep_repeated(&mut request.headers, &request.multi_value_headers);
        }
        LambdaRequest::ApiGatewayV2(request) => {
            encode(&mut request.raw_path, NOT_IN_PATH);
            encode(&mut request.raw_query_string, NOT_IN_QUERY);
            request.request_context.domain_name = None;
            move_host(&mut request.headers);
        }
        _ => {}
    }
    request
}

/// Replaces an `X-Forwarded-Host` that the client may have sent.
fn move_host(headers: &mut HeaderMap) {
    headers.remove(X_FORWARDED_HOST);
    if let Some(host) = headers.remove(HOST) {
        headers.insert(X_FORWARDED_HOST, host);
    }
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

/// The request of an event, as the handler gets it.
#[cfg(test)]
pub(super) fn request(json: &str) -> lambda_http::Request {
    serde_json::from_str::<Event>(json).expect("an event").0.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<LambdaRequest, serde_json::Error> {
        serde_json::from_str::<Event>(json).map(|event| event.0)
    }

    #[test]
    fn what_is_no_event_of_api_gateway_is_refused_without_its_content() {
        for json in
            ["{}", "[]", "1", r#"{"version":"2.0"}"#, r#"{"secret":"x"}"#, r#"{"Records":[{"secret":1}]}"#]
        {
            let message = parsed(json).expect_err(json).to_string();
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn an_http_api_may_be_told_to_send_the_first_format() {
        let event = include_str!("../../events/found-rest-v1.json").replacen('{', "{\"version\":\"1.0\",", 1);
        assert!(matches!(parsed(&event), Ok(LambdaRequest::ApiGatewayV1(_))));
    }
}
