//! API Gateway events, made safe for `lambda_http`.
//!
//! `lambda_http` tries each event format in turn, reads bodies that nobody needs, panics where the path, the query, the
//! host or the stage make no URI, repeats the values of an event that it cannot deserialize, and keeps only the last of
//! a REST event's repeated headers, where a second `Authorization` must not go unseen.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::http::header::HOST;
use lambda_http::http::{HeaderMap, HeaderName};
use lambda_http::lambda_runtime::Diagnostic;
use lambda_http::request::LambdaRequest;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, IgnoredAny, IntoDeserializer as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;
use table::json::Object;
use thiserror::Error;

use crate::auth::ClientCertificate;

/// Longest path and query, in bytes. API Gateway accepts 10,240 bytes of request line and headers together.
const MAX_URI_PART_BYTES: usize = 16 << 10;

/// An event of API Gateway in either payload format, or why it is none.
#[derive(Debug)]
pub struct Event(Result<(LambdaRequest, Option<ClientCertificate>), MalformedEvent>);

/// An event that cannot be deserialized. Contains nothing of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed event: {category} error at line {line}, column {column}")]
pub struct MalformedEvent {
    category: &'static str,
    line: usize,
    column: usize,
}

impl Event {
    /// The request, and the client certificate of mutual TLS.
    pub(crate) fn into_request(self) -> Result<(LambdaRequest, Option<ClientCertificate>), MalformedEvent> {
        self.0
    }
}

impl<'de> Deserialize<'de> for Event {
    /// Never fails for JSON: the caller would report the error with the values that caused it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let request = parse(json).map(|(request, certificate)| (sanitized(request), certificate));
        Ok(Self(request.map_err(MalformedEvent::from)))
    }
}

/// Reads the format that the event's `version` names: 2.0 from an HTTP API, 1.0 or none from a REST API.
fn parse(json: &str) -> serde_json::Result<(LambdaRequest, Option<ClientCertificate>)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Outline<'a> {
        #[serde(borrow)]
        version: Option<Cow<'a, str>>,
        #[serde(borrow)]
        request_context: Option<&'a RawValue>,
    }
    let Object(Outline { version, request_context }) = serde_json::from_str(json)?;
    let request = match version.as_deref() {
        Some("2.0") => {
            serde_json::from_str(json).map(|WithoutBody(request)| LambdaRequest::ApiGatewayV2(request))
        }
        _ => serde_json::from_str(json).map(|WithoutBody(request)| LambdaRequest::ApiGatewayV1(request)),
    };
    Ok((request?, request_context.and_then(client_certificate)))
}

/// The certificate of a client in the request context of a custom domain with mutual TLS. It is read here because
/// `lambda_http` knows the certificate of an HTTP API only, not that of a REST API.
fn client_certificate(request_context: &RawValue) -> Option<ClientCertificate> {
    /// `authentication` of an HTTP API, `identity` of a REST API.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Client {
        client_cert: Option<Object<ClientCert>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ClientCert {
        client_cert_pem: Option<String>,
    }
    #[derive(Deserialize)]
    struct Context {
        authentication: Option<Object<Client>>,
        identity: Option<Object<Client>>,
    }
    let Object(Context { authentication, identity }) = serde_json::from_str(request_context.get()).ok()?;
    let Object(Client { client_cert }) = authentication.or(identity)?;
    let Object(ClientCert { client_cert_pem }) = client_cert?;
    client_cert_pem.map(ClientCertificate::from_pem)
}

/// A `T` that is read from an object without its member `body`, which is skipped.
struct WithoutBody<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for WithoutBody<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(OtherMembers(map)))
            }
        }
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

struct OtherMembers<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for OtherMembers<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(name) = self.0.next_key::<Cow<'de, str>>()? {
            if name != "body" {
                return seed.deserialize(name.into_deserializer()).map(Some);
            }
            self.0.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

impl From<serde_json::Error> for MalformedEvent {
    fn from(error: serde_json::Error) -> Self {
        let category = match error.classify() {
            Category::Io => "io",
            Category::Syntax => "syntax",
            Category::Data => "data",
            Category::Eof => "eof",
        };
        Self { category, line: error.line(), column: error.column() }
    }
}

impl From<MalformedEvent> for Diagnostic {
    fn from(error: MalformedEvent) -> Self {
        Self { error_type: "MalformedEvent".to_owned(), error_message: error.to_string() }
    }
}

/// Keeps the host that the client named: `lambda_http` panics on some values of `Host`.
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The characters that must be percent-encoded in a path or query (RFC 3986 §3.3, §3.4). `%` is not among them, since it
/// may begin an escape already.
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
            sanitize_path(&mut request.path);
            sanitize_lists(&mut request.query_string_parameters);
            sanitize_lists(&mut request.multi_value_query_string_parameters);
            request.request_context.stage = None;
            request.request_context.domain_name = None;
            move_host(&mut request.headers);
            move_host(&mut request.multi_value_headers);
            keep_repeated(&mut request.headers, &request.multi_value_headers);
        }
        LambdaRequest::ApiGatewayV2(request) => {
            sanitize_path(&mut request.raw_path);
            match &mut request.raw_query_string {
                Some(query) => {
                    percent_encode(query, NOT_IN_QUERY);
                    if query.len() > MAX_URI_PART_BYTES {
                        query.clear();
                    }
                }
                None => sanitize_lists(&mut request.query_string_parameters),
            }
            request.request_context.stage = None;
            request.request_context.domain_name = None;
            move_host(&mut request.headers);
        }
        _ => {}
    }
    request
}

/// Makes a path start with a slash and drops one that is too long, which no route has.
fn sanitize_path(path: &mut Option<String>) {
    let Some(path) = path else { return };
    percent_encode(path, NOT_IN_PATH);
    if path.len() > MAX_URI_PART_BYTES {
        path.clear();
    }
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
}

fn percent_encode(text: &mut String, set: &'static AsciiSet) {
    // Not by the variant: a text that is one escaped character is borrowed too, as a constant.
    let encoded = Cow::from(utf8_percent_encode(text, set));
    if encoded != text.as_str() {
        *text = encoded.into_owned();
    }
}

/// Drops parameters with an empty list of values, and all of them if they are too long together.
fn sanitize_lists(parameters: &mut QueryMap) {
    if parameters.is_empty() {
        return;
    }
    // A QueryMap with an empty list panics when it is iterated.
    let lists = serde_json::to_value(&*parameters).and_then(serde_json::from_value);
    let mut lists: HashMap<String, Vec<String>> = lists.unwrap_or_default();
    lists.retain(|_, values| !values.is_empty());
    let bytes =
        lists.iter().map(|(name, values)| values.iter().map(|value| name.len() + value.len()).sum::<usize>());
    // Percent-encoding triples a length at most; a separator and an equals sign are added.
    if bytes.sum::<usize>() > MAX_URI_PART_BYTES / 3 {
        lists.clear();
    }
    *parameters = lists.into();
}

/// Replaces any `X-Forwarded-Host` that the client sent.
fn move_host(headers: &mut HeaderMap) {
    headers.remove(X_FORWARDED_HOST);
    if let Some(host) = headers.remove(HOST) {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// Removes the single-valued headers that would replace multi-valued ones.
fn keep_repeated(single: &mut HeaderMap, multi: &HeaderMap) {
    for name in multi.keys() {
        single.remove(name);
    }
}

/// The request of an event, as the handler gets it.
#[cfg(test)]
pub(super) fn request(json: &str) -> lambda_http::Request {
    serde_json::from_str::<Event>(json).expect("JSON").0.expect("an event").0.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<LambdaRequest, MalformedEvent> {
        serde_json::from_str::<Event>(json).expect("JSON").0.map(|(request, _)| request)
    }

    #[test]
    fn other_events_are_malformed_and_their_content_is_not_repeated() {
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

    #[test]
    fn the_client_certificate_is_read_in_both_formats() {
        for (event, has_certificate) in [
            (include_str!("../../events/found-mutual-tls.json"), true),
            (include_str!("../../events/other-certificate-rest-v1.json"), true),
            (include_str!("../../events/found.json"), false),
        ] {
            let (_, certificate) = serde_json::from_str::<Event>(event).unwrap().0.unwrap();
            assert_eq!(certificate.is_some(), has_certificate);
        }
    }

    #[test]
    fn an_array_is_no_client_certificate() {
        let event = include_str!("../../events/found-mutual-tls.json");
        let mut event: serde_json::Value = serde_json::from_str(event).unwrap();
        let authentication = &mut event["requestContext"]["authentication"];
        *authentication = serde_json::json!([authentication["clientCert"]]);
        let context = RawValue::from_string(event["requestContext"].to_string()).unwrap();
        assert!(client_certificate(&context).is_none());
    }

    /// The query of an HTTP API's event that has this one.
    fn raw_query(query: &str) -> Option<String> {
        let mut event: serde_json::Value =
            serde_json::from_str(include_str!("../../events/found.json")).unwrap();
        event["rawQueryString"] = query.into();
        match parsed(&event.to_string()) {
            Ok(LambdaRequest::ApiGatewayV2(request)) => request.raw_query_string,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_path_or_query_that_is_too_long_is_dropped() {
        let most = "a".repeat(MAX_URI_PART_BYTES - 1);
        let (fits, exceeds) = (format!("/{most}"), format!("/{most}a"));
        let sanitized = |path: &str| {
            let mut path = Some(path.to_owned());
            sanitize_path(&mut path);
            path.unwrap()
        };
        assert_eq!((sanitized(&fits), sanitized(&exceeds)), (fits.clone(), "/".to_owned()));
        assert_eq!((raw_query(&fits), raw_query(&exceeds)), (Some(fits), Some(String::new())));
    }

    #[test]
    fn parameters_that_are_too_long_together_are_dropped() {
        // As if each byte had to be encoded: three times the name and the value.
        let most = MAX_URI_PART_BYTES / 3;
        for (bytes, kept) in [(most, true), (most + 1, false)] {
            let values = HashMap::from([("ab".to_owned(), vec!["c".repeat(bytes - 2)])]);
            let mut parameters = QueryMap::from(values);
            sanitize_lists(&mut parameters);
            assert_eq!(parameters.is_empty(), !kept, "{bytes}");
        }
        let mut parameters = QueryMap::from(HashMap::from([("a".to_owned(), vec![])]));
        sanitize_lists(&mut parameters);
        assert!(parameters.is_empty());
    }

    #[test]
    fn what_is_not_allowed_in_a_path_is_percent_encoded() {
        for (path, sanitized) in [
            ("/a b", "/a%20b"),
            ("a-b_c~d.e%20", "/a-b_c~d.e%20"),
            ("/é", "/%C3%A9"),
            ("\"", "/%22"),
            ("", "/"),
        ] {
            let mut path = Some(path.to_owned());
            sanitize_path(&mut path);
            assert_eq!(path.as_deref(), Some(sanitized));
        }
    }

    #[test]
    fn what_is_not_allowed_in_a_query_is_percent_encoded() {
        for (query, sanitized) in
            [("a=\"?\"", "a=%22?%22"), ("a=b&c=%22", "a=b&c=%22"), ("\"", "%22"), ("", "")]
        {
            assert_eq!(raw_query(query).as_deref(), Some(sanitized));
        }
    }

    #[test]
    fn the_repeated_headers_of_a_rest_event_count() {
        let mut event: serde_json::Value =
            serde_json::from_str(include_str!("../../events/found-rest-v1.json")).unwrap();
        event["headers"]["x-test"] = "c".into();
        event["multiValueHeaders"]["x-test"] = serde_json::json!(["a", "b"]);
        let request = request(&event.to_string());
        let values: Vec<_> = request.headers().get_all("x-test").iter().collect();
        assert_eq!(values, ["a", "b"]);
    }
}
