//! The JSON that carries a response to API Gateway.
//!
//! `lambda_http` would encode a compressed body 1 KiB at a time and look at every character of its base64 for one to
//! escape, which base64 does not have.

use aws_smithy_types::base64;
use lambda_http::http::{HeaderMap, HeaderValue};
use lambda_http::request::LambdaRequest;
use lambda_http::{Body, Response};
use serde::ser::{Error, SerializeStruct as _};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The format that a gateway reads: that of its events.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PayloadFormat {
    /// 1.0, of a REST API.
    V1,
    /// 2.0, of an HTTP API.
    V2,
}

impl PayloadFormat {
    /// The format of an event.
    pub(crate) fn of(event: &LambdaRequest) -> Self {
        match event {
            LambdaRequest::ApiGatewayV1(_) => Self::V1,
            _ => Self::V2,
        }
    }
}

/// A response in the format that the gateway reads.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) format: PayloadFormat,
    pub(crate) response: Response<Body>,
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let headers = self.response.headers();
        let none = HeaderMap::new();
        // The gateway would add `headers` to `multiValueHeaders`, and does not read the latter in format 2.0.
        let (single, multi) = match self.format {
            PayloadFormat::V1 => (&none, headers),
            PayloadFormat::V2 => (headers, &none),
        };
        let mut payload = serializer.serialize_struct("Payload", 6)?;
        payload.serialize_field("statusCode", &self.response.status().as_u16())?;
        payload.serialize_field("headers", &Headers(single))?;
        payload.serialize_field("multiValueHeaders", &HeaderLists(multi))?;
        let is_base64 = match self.response.body() {
            Body::Text(text) => payload.serialize_field("body", text).map(|()| false)?,
            Body::Binary(bytes) => payload.serialize_field("body", &base64_string(bytes)?).map(|()| true)?,
            _ => false,
        };
        payload.serialize_field("isBase64Encoded", &is_base64)?;
        if let PayloadFormat::V2 = self.format {
            // API Gateway does without, `cargo lambda watch` does not.
            payload.serialize_field("cookies", &[(); 0])?;
        }
        payload.end()
    }
}

/// The base64 of `bytes` as a JSON string, which the serializer copies as it is.
fn base64_string<E: Error>(bytes: &[u8]) -> Result<Box<RawValue>, E> {
    let json = ["\"", &base64::encode(bytes), "\""].concat();
    RawValue::from_string(json).map_err(E::custom)
}

/// Header names with their values.
struct Headers<'a>(&'a HeaderMap);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name.as_str(), Text(value))))
    }
}

/// Header names with lists of their values.
struct HeaderLists<'a>(&'a HeaderMap);

impl Serialize for HeaderLists<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name.as_str(), [Text(value)])))
    }
}

/// A header's value.
struct Text<'a>(&'a HeaderValue);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(self.0.as_bytes()).map_err(S::Error::custom)?)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use lambda_http::lambda_runtime::LambdaEvent;
    use lambda_http::{Adapter, Context, Service as _, service_fn};
    use serde_json::{Value, json};

    use super::*;

    fn sent(format: PayloadFormat, body: Body) -> Value {
        let mut response = Response::new(body);
        response.headers_mut().insert("etag", HeaderValue::from_static("W/\"1\""));
        serde_json::from_slice(&serde_json::to_vec(&Payload { format, response }).unwrap()).unwrap()
    }

    /// What `lambda_http` would send.
    async fn of_lambda_http(event: &str, response: &Response<Vec<u8>>, body: fn(Vec<u8>) -> Body) -> Value {
        let handle = service_fn(move |_| {
            let response = response.clone().map(body);
            async { Ok::<_, Infallible>(response) }
        });
        let request: LambdaRequest = serde_json::from_str(event).unwrap();
        let call = Adapter::from(handle).call(LambdaEvent::new(request, Context::default())).await;
        serde_json::to_value(call.unwrap()).unwrap()
    }

    fn text(bytes: Vec<u8>) -> Body {
        Body::Text(String::from_utf8(bytes).unwrap())
    }

    #[tokio::test]
    async fn a_payload_is_that_of_lambda_http() {
        for (format, event) in [
            (PayloadFormat::V1, include_str!("../../events/found-rest-v1.json")),
            (PayloadFormat::V2, include_str!("../../events/found.json")),
        ] {
            for (header, body) in [("vary", text as fn(_) -> _), ("content-encoding", Body::Binary)] {
                let response = Response::builder()
                    .status(404)
                    .header("content-type", "application/json")
                    .header(header, "gzip")
                    .body("{\"ä\": \"\u{1}\n\\\"}".into())
                    .unwrap();
                let expected = of_lambda_http(event, &response, body).await;
                let sent = serde_json::to_value(Payload { format, response: response.map(body) }).unwrap();
                assert_eq!(sent, expected, "{format:?} {header}");
            }
        }
    }

    #[test]
    fn headers_are_where_the_format_has_them() {
        let single = json!({ "etag": "W/\"1\"" });
        let multi = json!({ "etag": ["W/\"1\""] });
        for (format, headers, multi_value_headers) in
            [(PayloadFormat::V1, json!({}), multi), (PayloadFormat::V2, single, json!({}))]
        {
            let sent = sent(format, Body::Empty);
            assert_eq!(sent["headers"], headers, "{format:?}");
            assert_eq!(sent["multiValueHeaders"], multi_value_headers, "{format:?}");
        }
    }

    #[test]
    fn text_is_escaped_and_bytes_are_base64() {
        for (body, expected, is_base64) in [
            (Body::Text("{\"a\":\"\\\n\"}".into()), "{\"a\":\"\\\n\"}", false),
            (Body::Binary(vec![]), "", true),
            (Body::Binary(vec![0xff, 0xfe, 0]), "//4A", true),
            (Body::Binary(vec![0]), "AA==", true),
        ] {
            let sent = sent(PayloadFormat::V2, body);
            assert_eq!((&sent["body"], &sent["isBase64Encoded"]), (&json!(expected), &json!(is_base64)));
        }
    }

    #[test]
    fn the_format_is_that_of_the_event() {
        for (event, is_v1) in [
            (include_str!("../../events/found-rest-v1.json"), true),
            (include_str!("../../events/found.json"), false),
        ] {
            let event = serde_json::from_str(event).unwrap();
            assert_eq!(matches!(PayloadFormat::of(&event), PayloadFormat::V1), is_v1);
        }
    }
}
