//! The real binary under a Runtime API, answering every event of `events/`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::runtime_api::Function;
use tokio::net::TcpListener;

/// `Timeout` of the function in `template.yaml`.
const FUNCTION_TIMEOUT_MS: f64 = 10_000.0;
/// The limit of Lambda on the answer to one invocation.
const MAX_PAYLOAD_BYTES: usize = 6_291_556;
/// The part of it that is kept for status and headers.
const ENVELOPE_BYTES: usize = 2_048;

const BOOTSTRAP: &str = env!("CARGO_BIN_EXE_bootstrap");

fn events() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("events")
}

fn event(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(events().join(name)).unwrap()).unwrap()
}

/// File, status and reason of every event.
fn expected() -> Vec<(String, u64, String)> {
    let table = fs::read_to_string(events().join("expected.tsv")).unwrap();
    let rows = table.lines().skip(1).map(|row| {
        let [name, status, reason] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        (name.to_owned(), status.parse().unwrap(), reason.to_owned())
    });
    rows.collect()
}

/// The function, reading from a table that holds the sample studies.
async fn function() -> Function {
    let samples = local::sample_paths().into_iter().map(|path| fs::read_to_string(path).unwrap());
    function_with(samples).await
}

async fn function_with(documents: impl IntoIterator<Item = String>) -> Function {
    let (table, address) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
    for json in documents {
        testkit::put(&table, &json).await;
    }
    Function::start(BOOTSTRAP, &local::environment(&format!("http://{address}"))).await
}

/// A document that is called `panoramic` and goes on with `description` up to `bytes` as a JSON string.
fn document_of(bytes: usize, mut description: impl Iterator<Item = char>) -> String {
    let start = r#"{"resourceType":"ImagingStudy","id":"panoramic","description":""#;
    let frame = json!(format!("{start}\"}}")).to_string().len();
    let text: String = description.by_ref().take(bytes - frame).collect();
    format!("{start}{text}\"}}")
}

#[tokio::test]
async fn every_event_is_answered_as_expected_tsv_says() {
    let mut function = function().await;
    for (name, status, reason) in expected() {
        let answer = function.invoke(event(&name)).await.expect("an answer, not an error");
        assert_eq!(answer["statusCode"], status, "{name}");
        let line = function.audit_line().await;
        assert_eq!((&line["status"], &line["reason"]), (&json!(status), &json!(reason)), "{name}");
    }
}

#[test]
fn every_event_has_a_row_in_the_table() {
    let mut files: Vec<_> = fs::read_dir(events())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "json"))
        .collect();
    let mut rows: Vec<_> = expected().into_iter().map(|(name, ..)| name).collect();
    files.sort();
    rows.sort();
    assert_eq!(files, rows);
}

#[tokio::test]
async fn the_body_is_the_stored_document_to_the_byte() {
    let answer = function().await.invoke(event("found.json")).await.unwrap();
    let stored = fs::read_to_string(&local::sample_paths()[2]).unwrap();
    assert_eq!(answer["body"], stored);
    assert_eq!(answer["isBase64Encoded"], false);
}

#[tokio::test]
async fn the_largest_plain_answer_is_one_that_lambda_takes() {
    let largest = document_of(MAX_PAYLOAD_BYTES - ENVELOPE_BYTES, std::iter::repeat('x'));
    let payload =
        function_with([largest]).await.exchange(event("found.json").to_string()).await.payload.unwrap();
    assert!(payload.len() <= MAX_PAYLOAD_BYTES, "{} bytes", payload.len());
    assert!(payload.len() > MAX_PAYLOAD_BYTES - ENVELOPE_BYTES, "{} bytes", payload.len());
}

#[tokio::test]
async fn a_plain_answer_that_is_a_byte_larger_is_refused() {
    let larger = document_of(MAX_PAYLOAD_BYTES - ENVELOPE_BYTES + 1, std::iter::repeat('x'));
    let answer = function_with([larger]).await.invoke(event("found.json")).await.unwrap();
    assert_eq!(answer["statusCode"], 406);
}

#[tokio::test]
async fn the_largest_compressed_answer_is_one_that_lambda_takes() {
    // Six bits of noise a character: what gzip makes of it comes as near to its limit as can be steered.
    let noise = testkit::noise(1)
        .map(|number| char::from(b'0' + (number & 0x3f) as u8))
        .map(|c| if c == '\\' { '~' } else { c });
    let largest = document_of(6_080_000, noise);
    let mut accepting = event("found.json");
    accepting["headers"]["accept-encoding"] = json!("gzip");
    let payload = function_with([largest]).await.exchange(accepting.to_string()).await.payload.unwrap();
    assert!(payload.len() <= MAX_PAYLOAD_BYTES, "{} bytes", payload.len());
    assert!(payload.len() > MAX_PAYLOAD_BYTES / 100 * 99, "{} bytes", payload.len());
}

#[tokio::test]
async fn a_rest_api_gets_its_headers_as_lists() {
    let answer = function().await.invoke(event("found-rest-v1.json")).await.unwrap();
    assert_eq!(answer["multiValueHeaders"]["etag"], json!(["W/\"2\""]));
}

#[tokio::test]
async fn the_audit_line_names_request_principal_study_and_cost() {
    let mut function = function().await;
    function.invoke(event("found.json")).await.unwrap();
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
async fn the_audit_line_names_the_client_and_its_own_ids_and_the_response_the_gateways() {
    let mut function = function().await;
    let mut event = event("found.json");
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
    function.invoke(event("found.json")).await.unwrap();
    function.audit_line().await;
    function.invoke(event("missing.json")).await.unwrap();
    assert_eq!(function.audit_line().await["coldStart"], false);
}

#[tokio::test]
async fn of_two_authorization_headers_in_a_rest_event_none_is_believed() {
    let mut two = event("found-rest-v1.json");
    let token = two["headers"]["Authorization"].clone();
    two["multiValueHeaders"]["Authorization"] = json!(["Bearer other", token]);
    let answer = function().await.invoke(two).await.unwrap();
    assert_eq!(answer["statusCode"], 401);
}

#[tokio::test]
async fn a_path_that_is_no_uri_is_answered_400() {
    let function = function().await;
    for mut odd in [event("found.json"), event("found-rest-v1.json")] {
        odd["pathParameters"]["id"] = json!("pan oramic ä\u{7f}<>");
        for name in ["rawPath", "path"] {
            if odd[name].is_string() {
                odd[name] = json!("/site/4/fhir/imaging-study/pan oramic ä\u{7f}<>#?");
            }
        }
        odd["rawQueryString"] = json!("a=b c|ä^");
        odd["headers"]["host"] = json!("no host at all");
        assert_eq!(function.invoke(odd).await.unwrap()["statusCode"], 400);
    }
}

#[tokio::test]
async fn a_wrong_configuration_stops_the_start_and_names_the_variable() {
    let environment = HashMap::from([("TABLE_NAME".to_owned(), "no table!".to_owned())]);
    let mut function = Function::start(BOOTSTRAP, &environment).await;
    let line: Value = serde_json::from_str(&function.line().await.unwrap()).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert!(line["cause"].as_str().unwrap().starts_with("TABLE_NAME"), "{line}");
    assert!(!function.process.wait().await.unwrap().success());
}

#[tokio::test]
async fn without_a_table_the_function_starts_and_answers_503() {
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let environment = local::environment(&format!("http://{nowhere}"));
    let mut function = Function::start(BOOTSTRAP, &environment).await;
    let answer = function.invoke(event("found.json")).await.unwrap();
    assert_eq!(answer["statusCode"], 503);
    assert_eq!(answer["headers"]["retry-after"], "1");
    assert_eq!(function.audit_line().await["reason"], "store_unreachable");
}

#[tokio::test]
async fn a_table_that_does_not_answer_is_504_before_the_functions_time_is_over() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let environment = local::environment(&format!("http://{}", silent.local_addr().unwrap()));
    let mut function = Function::start(BOOTSTRAP, &environment).await;
    assert_eq!(function.invoke(event("found.json")).await.unwrap()["statusCode"], 504);
    let line = function.audit_line().await;
    assert_eq!(line["reason"], "store_timeout");
    assert!(line["totalMs"].as_f64().unwrap() < FUNCTION_TIMEOUT_MS, "{line}");
}

#[tokio::test]
async fn no_line_of_the_log_holds_a_token() {
    let mut function = function().await;
    let mut tokens = Vec::new();
    for (name, ..) in expected() {
        let event = event(&name);
        let authorization = event["headers"]["authorization"].as_str();
        tokens.extend(authorization.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned));
        function.invoke(event).await.unwrap();
        let line = function.audit_line().await.to_string();
        for token in &tokens {
            let signature = token.rsplit('.').next().unwrap();
            assert!(!line.contains(signature), "{name}");
        }
    }
    assert!(!tokens.is_empty());
}
