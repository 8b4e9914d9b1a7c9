//! Requests that receive no study.

use super::*;

#[tokio::test]
async fn a_request_without_a_token_is_401_and_its_challenge_names_no_error() {
    let response = Site::new().await.respond(anonymous("a")).await;
    assert_eq!(response.status(), 401);
    assert_eq!(body(&response), r#"{"message":"Unauthorized","statusCode":401}"#);
    assert_eq!(header(response.headers(), "www-authenticate"), Some("Bearer realm=\"imaging-study\""));
}

#[tokio::test]
async fn a_missing_token_is_reported_before_a_malformed_id() {
    assert_eq!(Site::new().await.status(anonymous("a_b")).await, 401);
}

#[tokio::test]
async fn a_site_that_is_not_granted_looks_like_a_study_that_does_not_exist() {
    let site = Site::with(STUDY).await;
    let elsewhere = site.respond(get_with(&json!({ "siteIds": ["5"] }), "Study-1")).await;
    let missing = site.respond(get("other")).await;
    assert_eq!((elsewhere.status(), missing.status()), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!(elsewhere.headers(), missing.headers());
    assert_eq!(body(&elsewhere), body(&missing));
}

#[tokio::test]
async fn a_method_that_does_not_read_is_405() {
    let site = Site::with(STUDY).await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
        let response = site.respond(get("Study-1").method(method)).await;
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(header(response.headers(), "allow"), Some("GET, HEAD, OPTIONS"), "{method}");
    }
}

#[tokio::test]
async fn options_is_204_with_the_allowed_methods_and_needs_no_token() {
    for path in ["/site/4/fhir/imaging-study/a", "/site/4/fhir/Patient/1"] {
        let request = http::Request::builder().method("OPTIONS").uri(path);
        let response = Site::new().await.respond(request).await;
        assert_eq!(response.status(), 204, "{path}");
        assert_eq!(header(response.headers(), "allow"), Some("GET, HEAD, OPTIONS"), "{path}");
        assert!(response.body().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn an_error_is_an_operation_outcome_where_the_client_asks_for_fhir() {
    let site = Site::with(STUDY).await;
    for (request, status, code) in [
        (anonymous("a"), 401, "login"),
        (get("a_b"), 400, "value"),
        (get("missing"), 404, "not-found"),
        (get("a").method("PUT"), 405, "not-supported"),
        (get_with(&json!({ "scope": "user/Patient.r" }), "a"), 403, "forbidden"),
    ] {
        let response = site.respond(request.header("accept", "application/fhir+json")).await;
        assert_eq!(response.status(), status);
        assert_eq!(header(response.headers(), "content-type"), Some("application/fhir+json"));
        let outcome: Value = serde_json::from_str(&body(&response)).unwrap();
        assert_eq!(outcome["resourceType"], "OperationOutcome", "{status}");
        assert_eq!(outcome["issue"][0]["severity"], "error", "{status}");
        assert_eq!(outcome["issue"][0]["code"], code, "{status}");
    }
}
