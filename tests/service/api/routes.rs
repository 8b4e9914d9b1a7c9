//! FHIR's own routes: `ImagingStudy/{id}` and `metadata`.

use imaging_study::SmartConfiguration;
use testkit::log::{Log, audit_line};
use tracing::level_filters::LevelFilter;

use super::*;

/// A service whose table does not exist, without a SMART configuration.
fn without_a_table() -> Service {
    service(NOWHERE).with_smart_configuration(None)
}

fn metadata(site: &str) -> Builder {
    http::Request::get(format!("/site/{site}/fhir/metadata")).header("host", "127.0.0.1:9000")
}

async fn respond(request: Builder) -> Response<Body> {
    without_a_table().handle(request.body(Body::Empty).unwrap()).await
}

#[tokio::test]
async fn metadata_needs_neither_token_nor_table() {
    let response = respond(metadata("4")).await;
    assert_eq!(response.status(), 200);
    let headers = response.headers();
    assert_eq!(header(headers, "content-type"), Some("application/fhir+json"));
    assert_eq!(header(headers, "cache-control"), Some("public, max-age=300"));
    assert_eq!(header(headers, "vary"), Some("Accept, Accept-Encoding"));
    let statement: Value = serde_json::from_str(&body(&response)).unwrap();
    assert_eq!(statement["implementation"]["url"], "http://127.0.0.1:9000/site/4/fhir");
    let security = &statement["rest"][0]["security"]["description"];
    assert_eq!(*security, format!("Send a JWT bearer token issued by {}", local::ISSUER));
}

#[tokio::test]
async fn metadata_is_the_same_for_every_site_but_for_its_url() {
    let of = async |site: &str| body(&respond(metadata(site)).await).replace(&format!("/site/{site}/"), "/");
    assert_eq!(of("4").await, of("no-such-site").await);
}

#[tokio::test]
async fn metadata_is_not_sent_again_to_a_client_that_has_it() {
    let etag = header(respond(metadata("4")).await.headers(), "etag").unwrap().to_owned();
    let again = respond(metadata("4").header("if-none-match", &etag)).await;
    assert_eq!(again.status(), 304);
    assert_eq!(header(again.headers(), "cache-control"), Some("public, max-age=300"));
    assert_eq!(header(again.headers(), "etag"), Some(etag.as_str()));
    assert_eq!(respond(metadata("4").header("if-none-match", "W/\"another\"")).await.status(), 200);
}

#[tokio::test]
async fn no_error_of_metadata_may_be_cached() {
    for request in [metadata("a:b"), metadata("4").method("PUT"), metadata("4").header("accept", "text/html")]
    {
        let response = respond(request).await;
        assert!(response.status().is_client_error());
        assert_eq!(header(response.headers(), "cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn metadata_has_no_body_under_head_and_the_same_headers() {
    let get = respond(metadata("4")).await;
    let head = respond(metadata("4").method("HEAD")).await;
    assert_eq!(body(&head), "");
    assert_eq!(header(head.headers(), "content-length"), Some(body(&get).len().to_string().as_str()));
    assert_eq!(head.headers()["etag"], get.headers()["etag"]);
}

const SMART_CONFIGURATION: &str =
    r#"{ "token_endpoint": "https://issuer.example/token", "capabilities": ["permission-v2"], "z": 1.10 }"#;

fn smart(service: Service) -> Service {
    service.with_smart_configuration(Some(SmartConfiguration::parse(SMART_CONFIGURATION).unwrap()))
}

fn smart_configuration(site: &str) -> Builder {
    http::Request::get(format!("/site/{site}/fhir/.well-known/smart-configuration"))
}

async fn smart_response(request: Builder) -> Response<Body> {
    smart(without_a_table()).handle(request.body(Body::Empty).unwrap()).await
}

#[tokio::test]
async fn the_smart_configuration_needs_no_token_and_is_json_to_the_byte_whatever_the_client_accepts() {
    for accept in ["application/fhir+json", "application/fhir+json,application/json", "text/html", "*/*;q=0"]
    {
        let response = smart_response(smart_configuration("4").header("accept", accept)).await;
        assert_eq!(
            (response.status(), body(&response).as_str()),
            (StatusCode::OK, SMART_CONFIGURATION),
            "{accept}"
        );
        assert_eq!(header(response.headers(), "content-type"), Some("application/json"), "{accept}");
    }
}

#[tokio::test]
async fn the_smart_configuration_may_be_kept_for_five_minutes() {
    let headers = smart_response(smart_configuration("4")).await.headers().clone();
    assert_eq!(header(&headers, "cache-control"), Some("public, max-age=300"));
    assert_eq!(header(&headers, "vary"), Some("Accept-Encoding"));
}

#[tokio::test]
async fn the_smart_configuration_is_not_sent_again_to_a_client_that_has_it() {
    let first = smart_response(smart_configuration("4")).await;
    let etag = header(first.headers(), "etag").expect("an entity tag").to_owned();
    let again = smart_response(smart_configuration("no-such-site").header("if-none-match", &etag)).await;
    assert_eq!((again.status(), body(&again).as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(header(again.headers(), "cache-control"), Some("public, max-age=300"));
    assert_eq!(header(again.headers(), "etag"), Some(etag.as_str()));
    let other = smart_response(smart_configuration("4").header("if-match", "\"another\"")).await;
    assert_eq!(other.status(), 412);
}

#[tokio::test]
async fn the_smart_configuration_has_no_body_under_head_and_the_same_headers() {
    let get = smart_response(smart_configuration("4")).await;
    let head = smart_response(smart_configuration("4").method("HEAD")).await;
    assert_eq!(body(&head), "");
    assert_eq!(
        header(head.headers(), "content-length"),
        Some(SMART_CONFIGURATION.len().to_string().as_str())
    );
    assert_eq!(head.headers()["etag"], get.headers()["etag"]);
}

#[tokio::test]
async fn every_error_of_the_smart_configuration_is_json_and_may_not_be_cached() {
    for (request, status) in [
        (smart_configuration("a:b"), 400),
        (smart_configuration("4").method("POST"), 405),
        (smart_configuration("4").header("accept-encoding", "identity;q=0"), 406),
    ] {
        let response = smart_response(request.header("accept", "application/fhir+json")).await;
        assert_eq!(response.status(), status);
        assert_eq!(header(response.headers(), "content-type"), Some("application/json"), "{status}");
        assert_eq!(header(response.headers(), "cache-control"), Some("no-store"), "{status}");
    }
}

#[tokio::test]
async fn without_a_smart_configuration_its_route_is_404_without_a_token() {
    let response = respond(smart_configuration("4")).await;
    assert_eq!(response.status(), 404);
    assert_eq!(header(response.headers(), "content-type"), Some("application/json"));
}

#[tokio::test]
async fn metadata_says_smart_only_where_it_is_configured() {
    for (service, code) in [(without_a_table(), "OAuth"), (smart(without_a_table()), "SMART-on-FHIR")] {
        let response = service.handle(metadata("4").body(Body::Empty).unwrap()).await;
        let statement: Value = serde_json::from_str(&body(&response)).unwrap();
        assert_eq!(statement["rest"][0]["security"]["service"][0]["coding"][0]["code"], code);
    }
}

#[tokio::test]
async fn metadata_names_the_endpoints_of_a_smart_configuration_that_has_both() {
    let token = r#"{"capabilities":[],"token_endpoint":"https://issuer.example/token""#;
    let both = json!([{
        "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
        "extension": [
            { "url": "authorize", "valueUri": "https://issuer.example/authorize" },
            { "url": "token", "valueUri": "https://issuer.example/token" },
        ],
    }]);
    for (rest, extension) in [
        (r#","authorization_endpoint":"https://issuer.example/authorize"}"#, both),
        (r#","authorization_endpoint":"/authorize"}"#, Value::Null),
        ("}", Value::Null),
    ] {
        let configured = SmartConfiguration::parse(&format!("{token}{rest}"));
        let service = without_a_table().with_smart_configuration(Some(configured.unwrap()));
        let response = service.handle(metadata("4").body(Body::Empty).unwrap()).await;
        let statement: Value = serde_json::from_str(&body(&response)).unwrap();
        assert_eq!(statement["rest"][0]["security"]["extension"], extension, "{rest}");
    }
}

#[tokio::test]
async fn the_study_is_the_same_on_both_routes() {
    let site = Site::with(STUDY).await;
    let fhir = site.respond(get("Study-1").uri("/site/4/fhir/ImagingStudy/Study-1")).await;
    let contract = site.respond(get("Study-1")).await;
    assert_eq!(body(&fhir), body(&contract));
    assert_eq!(header(fhir.headers(), "content-type"), Some("application/fhir+json"));
    for name in ["etag", "last-modified", "cache-control", "vary"] {
        assert_eq!(fhir.headers()[name], contract.headers()[name]);
    }
}

#[tokio::test]
async fn another_resource_or_interaction_is_404_not_supported() {
    let site = Site::new().await;
    for path in ["Patient/7", "ImagingStudy", "ImagingStudy/a/_history/1"] {
        let response = site.respond(get("a").uri(format!("/site/4/fhir/{path}"))).await;
        assert_eq!(response.status(), 404, "{path}");
        let outcome: Value = serde_json::from_str(&body(&response)).unwrap();
        assert_eq!(outcome["issue"][0]["code"], "not-supported", "{path}");
    }
}

#[tokio::test]
async fn the_audit_line_names_the_route() {
    let site = Site::with(STUDY).await;
    for (path, route) in [
        ("/site/4/fhir/imaging-study/Study-1", json!("imaging-study")),
        ("/site/4/fhir/ImagingStudy/Study-1", json!("ImagingStudy")),
        ("/site/4/fhir/metadata", json!("metadata")),
        ("/site/4/fhir/.well-known/smart-configuration", json!("smart-configuration")),
        ("/site/4/fhir/Patient/1", Value::Null),
    ] {
        let log = Log::default();
        let listening = log.listen(LevelFilter::INFO);
        site.respond(get("Study-1").uri(path)).await;
        drop(listening);
        assert_eq!(audit_line(&log.text())["route"], route, "{path}");
    }
}
