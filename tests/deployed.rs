//! A deployed stack, or a local one, asked over HTTP: `make smoke API_URL=https://… TOKEN=… SITE=… STUDY=…`.
//!
//! `TOKEN` is a valid one that grants `SITE` and no other; `STUDY` is the id of a study there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Connector, proxy::ProxyConfig};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

#[tokio::test]
#[ignore = "asks a stack"]
async fn a_study_is_found_by_its_id() {
    let answer = get(&study()).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.json()["resourceType"], "ImagingStudy");
    assert!(answer.json()["id"].as_str().unwrap().eq_ignore_ascii_case(&variable("STUDY")));
}

#[tokio::test]
#[ignore = "asks a stack"]
async fn a_study_that_the_client_has_is_not_sent_again() {
    let tag = get(&study()).await.header("etag").expect("an ETag").to_owned();
    let answer = ask("GET", &study(), &[("authorization", &bearer()), ("if-none-match", &tag)]).await;
    assert_eq!((answer.status, answer.body.len()), (304, 0));
}

#[tokio::test]
#[ignore = "asks a stack"]
async fn head_has_the_headers_and_no_body() {
    let answer = ask("HEAD", &study(), &[("authorization", &bearer())]).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("etag"), get(&study()).await.header("etag"));
}

#[tokio::test]
#[ignore = "asks a stack"]
async fn metadata_needs_no_token() {
    for (method, length) in [("GET", 1..usize::MAX), ("HEAD", 0..1)] {
        let answer = ask(method, &format!("/site/{}/fhir/metadata", variable("SITE")), &[]).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/fhir+json")));
        assert!(length.contains(&answer.body.len()), "{method}: {}", answer.body.len());
    }
}

#[tokio::test]
#[ignore = "asks a stack"]
async fn the_study_has_its_address_in_fhir_too() {
    let path = format!("/site/{}/fhir/ImagingStudy/{}", variable("SITE"), variable("STUDY"));
    assert_eq!(get(&path).await.body, get(&study()).await.body);
    let head = ask("HEAD", &path, &[("authorization", &bearer())]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
#[ignore = "asks a stack"]
async fn fhir_json_is_sent_to_who_asks_for_it() {
    let fhir = [("authorization", bearer()), ("accept", "application/fhir+json".to_owned())];
    let fhir = fhir.each_ref().map(|(name, value)| (*name, value.as_str()));
    let found = ask("GET", &study(), &fhir).await;
    assert_eq!((found.status, found.header("content-type")), (200, Some("application/fhir+json")));
    let missing = ask("GET", &path(&variable("SITE"), "no-such-study"), &fhir).await;
    assert_eq!((missing.status, &missing.json()["resourceType"]), (404, &json!("OperationOutcome")));
}

#[tokio::test]
#[ignore = "asks a stack"]
async fn a_summary_is_tagged_as_one() {
    let answer = get(&format!("{}?_summary=true", study())).await;
    let tags = answer.json()["meta"]["tag"].clone();
    assert!(tags.as_array().unwrap().iter().any(|tag| tag["code"] == "SUBSETTED"), "{tags}");
}

#[tokio::test]
#[ignore = "asks a stack"]
async fn no_token_and_a_damaged_token_are_refused() {
    let damaged = format!("{}AAAA", bearer());
    for headers in [&[][..], &[("authorization", damaged.as_str())]] {
        let answer = ask("GET", &study(), headers).await;
        assert_eq!(
            (answer.status, answer.json()),
            (401, json!({ "message": "Unauthorized", "statusCode": 401 }))
        );
        assert!(answer.header("www-authenticate").expect("a challenge").starts_with("Bearer"));
    }
}

#[tokio::test]
#[ignore = "asks a stack"]
async fn a_malformed_id_is_refused() {
    assert_eq!(get(&path(&variable("SITE"), "no_id")).await.status, 400);
}

#[tokio::test]
#[ignore = "asks a stack"]
async fn a_site_that_is_not_granted_looks_like_a_study_that_is_not_there() {
    let missing = get(&path(&variable("SITE"), "no-such-study")).await;
    let foreign = get(&path("no-such-site", &variable("STUDY"))).await;
    assert_eq!((missing.status, &missing.body), (404, &foreign.body));
    assert_eq!(foreign.status, 404);
}

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

async fn get(path: &str) -> Answer {
    ask("GET", path, &[("authorization", &bearer())]).await
}

async fn ask(method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request =
        HttpRequest::get(format!("{}{path}", variable("API_URL").trim_end_matches('/'))).unwrap();
    request.set_method(method).unwrap();
    for (name, value) in headers {
        request.headers_mut().insert((*name).to_owned(), (*value).to_owned());
    }
    let connector = Connector::builder()
        .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
        .sleep_impl(TokioSleep::new())
        .proxy_config(ProxyConfig::from_env())
        .build();
    let response = connector.call(request).await.expect("an answer").try_into_http1x().unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes().to_vec();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

fn study() -> String {
    path(&variable("SITE"), &variable("STUDY"))
}

fn path(site: &str, study: &str) -> String {
    format!("/site/{site}/fhir/imaging-study/{study}")
}

fn bearer() -> String {
    format!("Bearer {}", variable("TOKEN"))
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: make smoke API_URL=… TOKEN=… SITE=… STUDY=…"))
}
