//! The line that a request leaves in the log, whichever way it ends.

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector, http_client_fn};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;

use super::*;

/// What was logged while it lives.
#[derive(Clone, Default)]
pub(super) struct Log(testkit::log::Log);

impl Log {
    pub(super) fn listen(&self, level: LevelFilter) -> DefaultGuard {
        let log = self.0.clone();
        tracing::subscriber::set_default(imaging_study::audit::subscriber(level, move || log.clone()))
    }

    pub(super) fn text(&self) -> String {
        self.0.text()
    }

    /// The lines of requests.
    pub(super) fn requests(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("every line is JSON"));
        lines.filter(|line| line["target"] == "imaging_study::audit").collect()
    }

    /// The one line that there is.
    pub(super) fn request(&self) -> Value {
        let lines = self.requests();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].clone()
    }
}

#[tokio::test]
async fn every_way_to_end_leaves_one_line_with_its_reason() {
    let site = Site::with(STUDY).await;
    site.put_attributes("broken", [("document", text("no JSON"))]).await;
    site.load(&large(100_000)).await;
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
        site.answer(request).await;
        drop(listening);
        let line = log.request();
        assert_eq!((&line["status"], &line["reason"]), (&json!(status), &json!(reason)));
        assert_eq!(line["level"], if status < 500 { "INFO" } else { "ERROR" }, "{reason}");
        assert!(line["totalMs"].is_number() && line["method"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn a_store_that_fails_is_named_with_its_cause() {
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let service = service(&format!("http://{nowhere}"));
    let log = Log::default();
    let listening = log.listen(LevelFilter::INFO);
    service.handle(get("a").body(Body::Empty).unwrap()).await;
    drop(listening);
    let line = log.request();
    assert_eq!(line["reason"], "store_unreachable");
    assert!(line["cause"].as_str().unwrap().contains("dispatch failure"), "{line}");
}

/// A connector that panics with the request's text.
#[derive(Debug)]
struct Panicking;

impl HttpConnector for Panicking {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        panic!("{:?}", request.body());
    }
}

async fn answer_of_a_panic() -> (Response<Body>, Log) {
    let http_client = http_client_fn(|_, _| SharedHttpConnector::new(Panicking));
    let aws = local::aws("http://127.0.0.1:1").into_builder().http_client(http_client).build();
    let service = service_with(&aws);
    let log = Log::default();
    let listening = log.listen(LevelFilter::INFO);
    let response = service.handle(get("a").body(Body::Empty).unwrap()).await;
    drop(listening);
    (response, log)
}

#[tokio::test]
async fn a_panic_is_answered_500_and_leaves_its_line() {
    let (response, log) = answer_of_a_panic().await;
    assert_eq!(response.status(), 500);
    assert_eq!(body(&response), r#"{"message":"Internal Server Error","statusCode":500}"#);
    assert_eq!(log.request()["reason"], "panicked");
}

#[tokio::test]
async fn the_place_of_a_panic_is_logged_without_its_message_and_not_as_an_audit_line() {
    let hook = std::panic::take_hook();
    imaging_study::audit::log_panics();
    let (_, log) = answer_of_a_panic().await;
    std::panic::set_hook(hook);
    let text = log.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [place] = lines.iter().filter(|line| line["message"] == "panicked").collect::<Vec<_>>()[..] else {
        panic!("{text}");
    };
    assert_eq!(place["target"], "imaging_study");
    assert!(place["at"].as_str().is_some_and(|at| at.contains(file!())), "{place}");
    assert!(!text.contains("TableName"), "{text}");
    assert_eq!(log.requests().len(), 1, "{text}");
}

#[tokio::test]
async fn no_line_holds_a_token_a_claim_or_a_part_of_a_document_at_any_level() {
    let site = Site::with(&STUDY.replace("Patient/7", "Patient/secret-patient")).await;
    site.put_attributes("broken", [("document", text("{\"secret-document"))]).await;
    let claims =
        json!({ "secret-claim": "secret-value", "patient": "secret-patient", "role": "secret-role" });
    let log = Log::default();
    let listening = log.listen(LevelFilter::TRACE);
    let mut tokens = Vec::new();
    for id in ["Study-1", "broken", "missing"] {
        let request = get_with(&claims, id);
        let authorization = request.headers_ref().unwrap()["authorization"].to_str().unwrap().to_owned();
        tokens.push(authorization.trim_start_matches("Bearer ").to_owned());
        site.answer(request).await;
    }
    drop(listening);
    let text = log.text();
    assert_eq!(log.requests().len(), 3);
    assert!(!text.contains("secret-"), "{text}");
    for segment in tokens.iter().flat_map(|token| token.split('.')) {
        assert!(!text.contains(segment), "{text}");
    }
}
