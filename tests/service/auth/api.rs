//! The whole service around the verifier: the response, the log, and the requests to the table.

use std::collections::HashMap;

use http::{HeaderMap, StatusCode, header};
use imaging_study::Service;
use imaging_study::auth::Verifier;
use imaging_study::store::Store;
use lambda_http::{Body, Context, LambdaEvent, Request};
use serde_json::{Value, json};
use testkit::log::{Log, audit_line};
use tracing::level_filters::LevelFilter;

use super::support::*;

pub(crate) struct Api {
    service: Service,
    table: Server,
    log: Log,
}

/// A response and its traces.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// The request's line in the log.
    pub(crate) line: Value,
    /// The whole log.
    pub(crate) log: String,
    /// How many requests the table got.
    pub(crate) reads: usize,
}

impl Api {
    /// A service with one study, of the patient 7, at the site 4.
    pub(crate) async fn new(verifier: Verifier) -> Self {
        Self::with_subject(verifier, "Patient/7").await
    }

    /// The same with another subject of the study.
    pub(crate) async fn with_subject(verifier: Verifier, subject: &str) -> Self {
        let table = Server::http().await;
        let study = json!({"resourceType": "ImagingStudy", "id": "a", "subject": {"reference": subject}});
        let item = json!({"siteId": {"S": "4"}, "id": {"S": "a"}, "document": {"S": study.to_string()}});
        table.set("/", Behavior::json(json!({"Item": item}).to_string()));
        let aws = testkit::aws(&table.url(""));
        let store = Store::new(&aws, None, "ImagingStudies".to_owned(), false);
        Self { service: Service::new(verifier, store), table, log: Log::default() }
    }

    /// Does what Init does. Returns the log.
    pub(crate) async fn warm_up(&self) -> String {
        let _listening = self.log.listen(LevelFilter::TRACE);
        self.service.warm_up().await;
        self.log.take()
    }

    /// How many requests the table got.
    pub(crate) fn reads(&self) -> usize {
        self.table.requests()
    }

    pub(crate) async fn get(&self, headers: HeaderMap) -> Reply {
        self.get_at("4", headers).await
    }

    pub(crate) async fn get_at(&self, site: &str, headers: HeaderMap) -> Reply {
        self.get_path(&format!("/site/{site}/fhir/imaging-study/a"), headers).await
    }

    /// The response to an event, as the function's runtime hands it over. Its body is left out.
    pub(crate) async fn invoke(&self, event: &Value) -> Reply {
        let event = serde_json::from_str(&event.to_string()).unwrap();
        let response = {
            let _listening = self.log.listen(LevelFilter::TRACE);
            let response = self.service.invoke(LambdaEvent::new(event, Context::default())).await;
            serde_json::to_value(response.unwrap()).unwrap()
        };
        let status = u16::try_from(response["statusCode"].as_u64().unwrap()).unwrap();
        let headers: HashMap<String, String> = serde_json::from_value(response["headers"].clone()).unwrap();
        let log = self.log.take();
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: (&headers).try_into().unwrap(),
            body: String::new(),
            line: audit_line(&log),
            log,
            reads: self.reads(),
        }
    }

    pub(crate) async fn get_path(&self, path: &str, headers: HeaderMap) -> Reply {
        let mut request = Request::new(Body::Empty);
        *request.uri_mut() = path.parse().unwrap();
        *request.headers_mut() = headers;
        let response = {
            let _listening = self.log.listen(LevelFilter::TRACE);
            self.service.handle(request).await
        };
        let log = self.log.take();
        let line = audit_line(&log);
        let body = match response.body() {
            Body::Text(text) => text.clone(),
            other => format!("{other:?}"),
        };
        Reply {
            status: response.status(),
            headers: response.headers().clone(),
            body,
            line,
            log,
            reads: self.reads(),
        }
    }
}

/// An event of an HTTP API with these credentials. `certificate` is the client's, as the gateway reports it.
pub(crate) fn http_api_event(headers: &HeaderMap, certificate: Option<&str>) -> Value {
    let mut event = testkit::event("found");
    event["headers"]["authorization"] = headers[header::AUTHORIZATION].to_str().unwrap().into();
    event["rawPath"] = "/site/4/fhir/imaging-study/a".into();
    event["pathParameters"]["id"] = "a".into();
    if let Some(pem) = certificate {
        event["requestContext"]["authentication"] = json!({"clientCert": client_certificate(pem)});
    }
    event
}

/// The same of a REST API.
pub(crate) fn rest_api_event(headers: &HeaderMap, certificate: Option<&str>) -> Value {
    let mut event = testkit::event("found-rest-v1");
    let authorization = headers[header::AUTHORIZATION].to_str().unwrap();
    event["headers"]["Authorization"] = authorization.into();
    event["multiValueHeaders"]["Authorization"] = json!([authorization]);
    event["path"] = "/site/4/fhir/imaging-study/a".into();
    event["pathParameters"]["id"] = "a".into();
    if let Some(pem) = certificate {
        event["requestContext"]["identity"]["clientCert"] = client_certificate(pem);
    }
    event
}

fn client_certificate(pem: &str) -> Value {
    json!({
        "clientCertPem": pem,
        "subjectDN": "CN=client.example",
        "issuerDN": "CN=authority.example",
        "serialNumber": "1",
        "validity": {"notBefore": "Jan  1 00:00:00 2026 GMT", "notAfter": "Jan  1 00:00:00 2036 GMT"},
    })
}

impl Reply {
    /// Fails unless this is a 401 for `reason`, and neither it nor the log holds anything of the credentials.
    pub(crate) fn assert_unauthorized(&self, name: &str, reason: &str, sent: &HeaderMap) {
        assert_eq!((&self.line["reason"], &self.line["status"]), (&json!(reason), &json!(401)), "{name}");
        assert_eq!(self.status, StatusCode::UNAUTHORIZED, "{name}");
        assert_eq!(self.body, r#"{"message":"Unauthorized","statusCode":401}"#, "{name}");
        assert_eq!(self.reads, 0, "{name}: the table was asked");
        let challenge = self.headers[header::WWW_AUTHENTICATE].to_str().unwrap();
        assert_challenge(challenge, matches!(reason, "token_missing" | "scheme_unsupported"));
        self.assert_discreet(sent);
    }

    /// Fails if the log, or the response but for the study, holds credentials, keys or claims.
    pub(crate) fn assert_discreet(&self, sent: &HeaderMap) {
        let said = format!("{}{:?}", self.log, self.headers);
        for value in sent.get_all(header::AUTHORIZATION) {
            for part in value.as_bytes().split(|b| !b.is_ascii_alphanumeric() && !b"-_".contains(b)) {
                let part = String::from_utf8_lossy(part);
                assert!(
                    part.len() < 12 || !said.contains(&*part),
                    "a piece of the credentials was given away"
                );
            }
        }
        for secret in secrets() {
            assert!(!said.contains(&secret), "a secret was given away");
        }
    }
}

/// RFC 6750 §3: an error and its description, exactly if a token was sent.
fn assert_challenge(challenge: &str, no_token: bool) {
    assert!(challenge.starts_with("Bearer "), "{challenge}");
    assert_eq!(challenge.contains("error"), !no_token, "{challenge}");
    if no_token {
        return;
    }
    let description = challenge.strip_prefix(r#"Bearer error="invalid_token", error_description=""#);
    let description = description.and_then(|rest| rest.strip_suffix('"')).expect(challenge);
    let allowed = |b: u8| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    assert!(!description.is_empty() && description.bytes().all(allowed), "{challenge}");
}

/// What no log and no response may hold: the keys, and a confidential claim.
fn secrets() -> Vec<String> {
    let keys = [ED25519.jwk(), P256.jwk(), P384.jwk(), RSA.jwk(), SECRET.jwk()];
    let members = keys.iter().flat_map(|key| ["k", "n", "x", "y"].map(|name| key[name].clone()));
    let mut secrets: Vec<_> = members.filter_map(|value| value.as_str().map(str::to_owned)).collect();
    secrets.push(CONFIDENTIAL.to_owned());
    secrets
}
