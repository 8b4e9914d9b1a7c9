//! The line that each request leaves in the log.

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use imaging_study::auth::{Https, Verifier};
use imaging_study::store::Store;
use testkit::log::{Log, audit_line, audit_lines};
use tracing::level_filters::LevelFilter;

use super::*;

#[tokio::test]
async fn every_outcome_leaves_one_audit_line_with_its_reason() {
    let site = Site::with(STUDY).await;
    site.put("broken", [("document", text("no JSON"))]).await;
    site.load(&large(70_000)).await;
    let fhir = |scope: &str| json!({ "scope": scope, "patient": "8" });
    for (request, status, reason) in [
        (get("Study-1"), 200, "ok"),
        (get("Study-1").method("HEAD"), 200, "ok"),
        (get("Study-1").header("if-none-match", "*"), 304, "not_modified"),
        (get("Study_1"), 400, "study_id_malformed"),
        (get("Study-1").uri("/site/a:b/fhir/imaging-study/a"), 400, "site_id_malformed"),
        (anonymous("Study-1"), 401, "token_missing"),
        (get_with(&json!({ "exp": 1 }), "Study-1"), 401, "token_expired"),
        (get_with(&fhir("user/Patient.r"), "Study-1"), 403, "scope_insufficient"),
        (get_with(&fhir("patient/*.rs"), "Study-1"), 403, "patient_not_granted"),
        (get_with(&json!({ "siteIds": [] }), "Study-1"), 404, "site_not_granted"),
        (get("missing"), 404, "study_not_found"),
        (get("Study-1").uri("/"), 404, "route_unknown"),
        (get("Study-1").method("POST"), 405, "method_not_allowed"),
        (get("Study-1").header("accept", "text/html"), 406, "not_acceptable"),
        (get("large"), 406, "compression_required"),
        (get("Study-1").header("if-match", "\"1\""), 412, "precondition_failed"),
        (get("broken"), 500, "document_broken"),
    ] {
        let log = Log::default();
        let listening = log.listen(LevelFilter::ERROR);
        site.respond(request).await;
        drop(listening);
        let line = audit_line(&log.text());
        assert_eq!((&line["status"], &line["reason"]), (&json!(status), &json!(reason)));
        assert_eq!(line["level"], if status < 500 { "INFO" } else { "ERROR" }, "{reason}");
        assert!(line["totalMs"].is_number() && line["method"].is_string(), "{line}");
    }
}

/// A connector that panics with the request's text.
#[derive(Debug)]
struct Panicking;

impl HttpConnector for Panicking {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        panic!("{:?}", request.body());
    }
}

async fn response_to_a_panic() -> (Response<Body>, Log) {
    let http_client = http_client_fn(|_, _| SharedHttpConnector::new(Panicking));
    let aws = local::aws("http://127.0.0.1:1").into_builder().http_client(http_client).build();
    let config = config(NOWHERE);
    let store = Store::new(&aws, None, config.table_name, false);
    let service = Service::new(Verifier::new(config.issuers, &Https::new(None), &aws), store);
    let log = Log::default();
    let listening = log.listen(LevelFilter::INFO);
    let response = service.handle(get("a").body(Body::Empty).unwrap()).await;
    drop(listening);
    (response, log)
}

#[tokio::test]
async fn a_panic_is_500_and_leaves_an_audit_line() {
    let (response, log) = response_to_a_panic().await;
    assert_eq!(response.status(), 500);
    assert_eq!(body(&response), r#"{"message":"Internal Server Error","statusCode":500}"#);
    assert_eq!(audit_line(&log.text())["reason"], "panicked");
}

#[tokio::test]
async fn the_place_of_a_panic_is_logged_without_its_message_and_not_as_an_audit_line() {
    let hook = std::panic::take_hook();
    imaging_study::audit::log_panics();
    let (_, log) = response_to_a_panic().await;
    std::panic::set_hook(hook);
    let text = log.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [place] = lines.iter().filter(|line| line["message"] == "panicked").collect::<Vec<_>>()[..] else {
        panic!("{text}");
    };
    assert_eq!(place["target"], "imaging_study");
    assert!(place["at"].as_str().is_some_and(|at| at.contains(file!())), "{place}");
    assert!(!text.contains("TableName"), "{text}");
    audit_line(&text);
}

#[tokio::test]
async fn no_log_line_holds_a_token_a_claim_or_any_of_a_document_at_any_level() {
    let site = Site::with(&STUDY.replace("Patient/7", "Patient/secret-patient")).await;
    site.put("broken", [("document", text("{\"secret-document"))]).await;
    let claims =
        json!({ "secret-claim": "secret-value", "patient": "secret-patient", "role": "secret-role" });
    let log = Log::default();
    let listening = log.listen(LevelFilter::TRACE);
    let mut tokens = Vec::new();
    for id in ["Study-1", "broken", "missing"] {
        let request = get_with(&claims, id);
        let authorization = request.headers_ref().unwrap()["authorization"].to_str().unwrap().to_owned();
        tokens.push(authorization.trim_start_matches("Bearer ").to_owned());
        site.respond(request).await;
    }
    drop(listening);
    let text = log.text();
    assert_eq!(audit_lines(&text).len(), 3);
    assert!(!text.contains("secret-"), "{text}");
    for segment in tokens.iter().flat_map(|token| token.split('.')) {
        assert!(!text.contains(segment), "{text}");
    }
}
