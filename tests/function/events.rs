//! Events one by one: responses, log, and what stops the start.

use std::collections::HashMap;

use serde_json::{Value, json};
use testkit::event;
use testkit::runtime_api::Function;
use tokio::net::TcpListener;

/// `Timeout` of the function in `template.yaml`.
const FUNCTION_TIMEOUT_MS: f64 = 10_000.0;
/// The limit of Lambda on the response to one invocation.
const MAX_PAYLOAD_BYTES: usize = 6_291_556;
/// The part of it that is kept for status and headers.
const ENVELOPE_BYTES: usize = 2_048;

/// The function, reading from a table that holds the sample studies.
async fn function() -> Function {
    super::function(super::samples().await).await
}

/// The function, reading from a table that holds this study.
async fn function_with(document: String) -> Function {
    super::function(super::table_with([document]).await).await
}

/// A document that is called `panoramic` and goes on with `description` up to `bytes` as a JSON string.
fn document_of(bytes: usize, mut description: impl Iterator<Item = char>) -> String {
    let start = r#"{"resourceType":"ImagingStudy","id":"panoramic","description":""#;
    let frame = json!(format!("{start}\"}}")).to_string().len();
    let text: String = description.by_ref().take(bytes - frame).collect();
    format!("{start}{text}\"}}")
}

#[tokio::test]
async fn the_body_is_the_stored_document_byte_for_byte() {
    let response = function().await.invoke(event("found")).await.unwrap();
    let stored = std::fs::read_to_string(&local::sample_paths()[2]).unwrap();
    assert_eq!(response["body"], stored);
    assert_eq!(response["isBase64Encoded"], false);
}

#[tokio::test]
async fn lambda_accepts_the_largest_plain_response() {
    let largest = document_of(MAX_PAYLOAD_BYTES - ENVELOPE_BYTES, std::iter::repeat('x'));
    let payload = function_with(largest).await.exchange(event("found").to_string()).await.payload.unwrap();
    assert!(payload.len() <= MAX_PAYLOAD_BYTES, "{} bytes", payload.len());
    assert!(payload.len() > MAX_PAYLOAD_BYTES - ENVELOPE_BYTES, "{} bytes", payload.len());
}

#[tokio::test]
async fn a_plain_response_that_is_a_byte_too_large_is_406() {
    let larger = document_of(MAX_PAYLOAD_BYTES - ENVELOPE_BYTES + 1, std::iter::repeat('x'));
    let response = function_with(larger).await.invoke(event("found")).await.unwrap();
    assert_eq!(response["statusCode"], 406);
}

#[tokio::test]
async fn lambda_accepts_the_largest_compressed_response() {
    // Six bits of noise a character: what gzip makes of it comes as near to its limit as can be steered.
    let mut random = fastrand::Rng::with_seed(1);
    let noise = std::iter::repeat_with(|| char::from(b'0' + random.u8(0..64)));
    let noise = noise.map(|c| if c == '\\' { '~' } else { c });
    let largest = document_of(6_080_000, noise);
    let mut accepting = event("found");
    accepting["headers"]["accept-encoding"] = json!("gzip");
    let payload = function_with(largest).await.exchange(accepting.to_string()).await.payload.unwrap();
    assert!(payload.len() <= MAX_PAYLOAD_BYTES, "{} bytes", payload.len());
    assert!(payload.len() > MAX_PAYLOAD_BYTES / 100 * 99, "{} bytes", payload.len());
}

#[tokio::test]
async fn the_response_to_a_rest_api_has_its_headers_as_lists() {
    let response = function().await.invoke(event("found-rest-v1")).await.unwrap();
    assert_eq!(response["multiValueHeaders"]["etag"], json!(["W/\"2\""]));
}

#[tokio::test]
async fn the_audit_line_names_request_principal_study_and_cost() {
    let mut function = function().await;
    function.invoke(event("found")).await.unwrap();
    let line = function.audit_line().await;
    for (name, value) in [
        ("level", json!("INFO")),
        ("message", json!("request")),
        ("requestId", json!("8476a536-e9f4-11e8-9739-2dfe598c3fcd")),
        ("gatewayRequestId", json!("JKJaXmPLvHcESHA=")),
        ("traceId", json!("Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1")),
        ("issuer", json!(local::ISSUER)),
        ("subject", json!("developer")),
        ("reader", json!("developer")),
        ("sourceIp", json!("192.0.2.10")),
        ("site", json!("4")),
        ("study", json!("panoramic")),
        ("method", json!("GET")),
        ("status", json!(200)),
        ("reason", json!("ok")),
        ("form", json!("text")),
        ("readUnits", json!(0.5)),
        ("coldStart", json!(true)),
    ] {
        assert_eq!(line[name], value, "{name}");
    }
    for name in ["timestamp", "bytes", "authMs", "storeMs", "totalMs"] {
        assert!(!line[name].is_null(), "{name}");
    }
}

#[tokio::test]
async fn the_audit_line_names_the_client_and_its_own_ids_and_the_response_names_the_gateways() {
    let mut function = function().await;
    let mut event = event("found");
    let token = local::token(&local::claims_with(&json!({ "azp": "viewer" })));
    for (name, value) in [
        ("authorization", format!("Bearer {token}")),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ("x-request-id", "not safe".to_owned()),
        ("x-correlation-id", "order-7".to_owned()),
    ] {
        event["headers"][name] = json!(value);
    }
    let response = function.invoke(event).await.unwrap();
    let line = function.audit_line().await;
    for (name, value) in [
        ("client", "viewer"),
        ("clientTraceId", "0af7651916cd43dd8448eb211c80319c"),
        ("clientRequestId", "order-7"),
        ("reader", "developer"),
        ("gatewayRequestId", "JKJaXmPLvHcESHA="),
    ] {
        assert_eq!(line[name], value, "{name}");
    }
    assert_eq!(response["headers"]["x-request-id"], "JKJaXmPLvHcESHA=");
}

#[tokio::test]
async fn only_the_first_request_is_a_cold_start() {
    let mut function = function().await;
    function.invoke(event("found")).await.unwrap();
    function.audit_line().await;
    function.invoke(event("missing")).await.unwrap();
    assert_eq!(function.audit_line().await["coldStart"], false);
}

#[tokio::test]
async fn a_rest_event_with_two_authorization_headers_is_401() {
    let mut two = event("found-rest-v1");
    let token = two["headers"]["Authorization"].clone();
    two["multiValueHeaders"]["Authorization"] = json!(["Bearer other", token]);
    let response = function().await.invoke(two).await.unwrap();
    assert_eq!(response["statusCode"], 401);
}

#[tokio::test]
async fn a_path_that_is_not_a_uri_is_400() {
    let function = function().await;
    for mut odd in [event("found"), event("found-rest-v1")] {
        odd["pathParameters"]["id"] = json!("pan oramic ä\u{7f}<>");
        for name in ["rawPath", "path"] {
            if odd[name].is_string() {
                odd[name] = json!("/site/4/fhir/imaging-study/pan oramic ä\u{7f}<>#?");
            }
        }
        odd["rawQueryString"] = json!("a=b c|ä^");
        odd["headers"]["host"] = json!("not a host");
        assert_eq!(function.invoke(odd).await.unwrap()["statusCode"], 400);
    }
}

#[tokio::test]
async fn a_wrong_configuration_stops_the_start_and_names_the_variable() {
    let environment = HashMap::from([("TABLE_NAME".to_owned(), "no table!".to_owned())]);
    let mut function = Function::start(super::BOOTSTRAP, &environment).await;
    let line: Value = serde_json::from_str(&function.line().await.unwrap()).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert!(line["cause"].as_str().unwrap().starts_with("TABLE_NAME"), "{line}");
    assert!(!function.process.wait().await.unwrap().success());
}

#[tokio::test]
async fn the_function_starts_without_its_table_and_responds_with_503() {
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let environment = local::environment(&format!("http://{nowhere}"));
    let mut function = Function::start(super::BOOTSTRAP, &environment).await;
    let response = function.invoke(event("found")).await.unwrap();
    assert_eq!(response["statusCode"], 503);
    assert_eq!(response["headers"]["retry-after"], "1");
    let line = function.audit_line().await;
    assert_eq!(line["reason"], "store_unreachable");
    assert!(line["cause"].as_str().unwrap().contains("dispatch failure"), "{line}");
}

#[tokio::test]
async fn a_silent_table_is_504_before_the_functions_own_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let environment = local::environment(&format!("http://{}", silent.local_addr().unwrap()));
    let mut function = Function::start(super::BOOTSTRAP, &environment).await;
    assert_eq!(function.invoke(event("found")).await.unwrap()["statusCode"], 504);
    let line = function.audit_line().await;
    assert_eq!(line["reason"], "store_timeout");
    assert!(line["totalMs"].as_f64().unwrap() < FUNCTION_TIMEOUT_MS, "{line}");
}
