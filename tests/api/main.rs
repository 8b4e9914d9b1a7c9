//! The handler against an embedded DynamoDB, through the real SDK.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod audit;
mod documented;
mod events;
mod items;
mod routes;

use std::collections::{HashMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use imaging_study::Service;
use imaging_study::auth::{Https, Verifier};
use imaging_study::config::Config;
use imaging_study::store::Store;
use lambda_http::http::request::Builder;
use lambda_http::http::{HeaderMap, StatusCode};
use lambda_http::{Body, Request, RequestExt as _, Response, http};
use serde_json::{Value, json};
use table::write::Encoded;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use testkit::encoded;
use testkit::faulty::{Behavior, FaultyServer};

const STUDY: &str = concat!(
    r#"{ "resourceType":"ImagingStudy", "id":"Study-1","status":"available","zeta":1.10,"#,
    r#""subject":{"reference":"Patient/7"},"meta":{"versionId":"3","lastUpdated":"2024-05-04T12:00:00.9+02:00"}}"#
);

/// A service over an embedded table.
struct Site {
    service: Service,
    table: Client,
    endpoint: String,
}

/// Forwards calls. Before the first call for a part of a version, replaces that version by the next one the way the
/// loader does.
#[derive(Debug)]
struct Replacement {
    table: Client,
    connector: SharedHttpConnector,
    /// The version in the table, and those to come.
    versions: Arc<Mutex<VecDeque<Encoded>>>,
}

impl HttpConnector for Replacement {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = String::from_utf8(request.body().bytes().unwrap().to_vec()).unwrap();
        let (table, connector) = (self.table.clone(), self.connector.clone());
        let versions = Arc::clone(&self.versions);
        HttpConnectorFuture::new(async move {
            let mut versions = versions.lock().await;
            let is_part = |version: &Encoded| {
                version.parts.iter().any(|part| body.contains(part["id"].as_s().unwrap()))
            };
            if versions.len() > 1 && is_part(&versions[0]) {
                let old = versions.pop_front().unwrap();
                let new = &versions[0];
                for item in new.parts.iter().chain([&new.head]) {
                    let put = table.put_item().table_name(local::TABLE).set_item(Some(item.clone()));
                    put.send().await.unwrap();
                }
                for item in old.parts {
                    let call = table.delete_item().table_name(local::TABLE);
                    let call = call.key("siteId", item["siteId"].clone()).key("id", item["id"].clone());
                    call.send().await.unwrap();
                }
            }
            drop(versions);
            connector.call(request).await
        })
    }
}

impl Site {
    async fn new() -> Self {
        let (table, address) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
        let endpoint = format!("http://{address}");
        Self { service: service(&endpoint), table, endpoint }
    }

    /// A service whose table holds `json` as we write it.
    async fn with(json: &str) -> Self {
        let site = Self::new().await;
        site.load(json).await;
        site
    }

    async fn load(&self, json: &str) {
        testkit::put(&self.table, json).await;
    }

    async fn put(&self, item: HashMap<String, AttributeValue>) {
        self.table.put_item().table_name(local::TABLE).set_item(Some(item)).send().await.unwrap();
    }

    /// Puts an item with this `id` and these attributes.
    async fn put_attributes<const N: usize>(&self, id: &str, attributes: [(&str, AttributeValue); N]) {
        let mut item = HashMap::from([("siteId".to_owned(), text(local::SITE)), ("id".to_owned(), text(id))]);
        item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
        self.put(item).await;
    }

    async fn delete(&self, item: &HashMap<String, AttributeValue>) {
        let call = self.table.delete_item().table_name(local::TABLE);
        call.key("siteId", item["siteId"].clone()).key("id", item["id"].clone()).send().await.unwrap();
    }

    /// A service that reads the first of these documents, each of which is replaced by the next one after its head was
    /// read and before the first of its parts.
    async fn replaced_before_the_first_part(&self, versions: &[String]) -> Service {
        self.load(&versions[0]).await;
        let stored = testkit::items(&self.table).await;
        let (heads, parts) = stored.into_iter().partition::<Vec<_>, _>(|item| item.contains_key("parts"));
        let first = Encoded { head: heads[0].clone(), parts };
        let next = versions[1..].iter().map(|version| encoded(version));
        let replacement = Replacement {
            table: self.table.clone(),
            connector: SharedHttpConnector::new(Connector::builder().build_http()),
            versions: Arc::new(Mutex::new([first].into_iter().chain(next).collect())),
        };
        let replacement = SharedHttpConnector::new(replacement);
        let http_client = http_client_fn(move |_, _| replacement.clone());
        let aws = local::aws(&self.endpoint).into_builder().http_client(http_client).build();
        service_with(&aws)
    }

    async fn answer(&self, request: Builder) -> Response<Body> {
        self.handle(request.body(Body::Empty).unwrap()).await
    }

    async fn handle(&self, request: Request) -> Response<Body> {
        self.service.handle(request).await
    }

    async fn status(&self, request: Builder) -> StatusCode {
        self.answer(request).await.status()
    }
}

fn service(endpoint: &str) -> Service {
    service_with(&local::aws(endpoint))
}

fn service_with(aws: &SdkConfig) -> Service {
    let environment = local::environment("");
    let config = Config::from_env(|name| environment.get(name).cloned()).unwrap();
    let store = Store::new(aws, None, config.table_name, config.consistent_read);
    Service::new(Verifier::new(config.issuers, &Https::new(None), aws), store)
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn anonymous(id: &str) -> Builder {
    http::Request::get(format!("/site/{}/fhir/imaging-study/{id}", local::SITE))
}

/// A request for a study of the site, with a token that grants it.
fn get(id: &str) -> Builder {
    get_with(&json!({}), id)
}

fn get_with(claims: &Value, id: &str) -> Builder {
    let token = local::token(&local::claims_with(claims));
    anonymous(id).header("authorization", format!("Bearer {token}"))
}

fn asking(id: &str, query: &[(&str, &str)]) -> Request {
    let parameters: HashMap<_, _> =
        query.iter().map(|&(name, value)| (name.to_owned(), vec![value.to_owned()])).collect();
    get(id).body(Body::Empty).unwrap().with_query_string_parameters(parameters)
}

fn body(response: &Response<Body>) -> String {
    match response.body() {
        Body::Text(text) => text.clone(),
        Body::Binary(gzip) => {
            let mut text = String::new();
            GzDecoder::new(&gzip[..]).read_to_string(&mut text).unwrap();
            text
        }
        _ => String::new(),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

/// A document of about 150 bytes an instance.
fn large(instances: usize) -> String {
    let instances: Vec<_> = (0..instances)
        .map(|n| {
            let uid = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!(r#"{{"uid":"2.25.{uid}{n}","sopClass":{{"system":"urn:ietf:rfc:3986","code":"urn:oid:1.2"}}}}"#)
        })
        .collect();
    format!(
        r#"{{"resourceType":"ImagingStudy","id":"large","status":"available","subject":{{"reference":"Patient/7"}},"series":[{{"uid":"1","modality":{{"code":"CT"}},"instance":[{}]}}]}}"#,
        instances.join(",")
    )
}

mod a_found_study {
    use super::*;

    #[tokio::test]
    async fn comes_back_to_the_byte() {
        let site = Site::with(STUDY).await;
        let response = site.answer(get("Study-1")).await;
        assert_eq!((response.status(), body(&response).as_str()), (StatusCode::OK, STUDY));
    }

    #[tokio::test]
    async fn carries_the_headers_that_the_contract_adds() {
        let site = Site::with(STUDY).await;
        let response = site.answer(get("Study-1")).await;
        for (name, value) in [
            ("content-type", Some("application/json")),
            ("etag", Some("W/\"3\"")),
            ("last-modified", Some("Sat, 04 May 2024 10:00:00 GMT")),
            ("cache-control", Some("no-store")),
            ("x-content-type-options", Some("nosniff")),
            ("vary", Some("Accept, Accept-Encoding")),
            ("content-encoding", None),
        ] {
            assert_eq!(header(response.headers(), name), value, "{name}");
        }
    }

    #[tokio::test]
    async fn is_found_in_either_case_of_its_id() {
        let site = Site::with(STUDY).await;
        for id in ["Study-1", "study-1", "STUDY-1"] {
            assert_eq!(site.status(get(id)).await, 200, "{id}");
        }
    }

    #[tokio::test]
    async fn is_found_as_given_before_its_lower_case_form() {
        let site = Site::with(STUDY).await;
        let other = STUDY.replace("Patient/7", "Patient/8");
        site.put_attributes("Study-1", [("document", text(&other))]).await;
        assert_eq!(body(&site.answer(get("Study-1")).await), other);
    }

    #[tokio::test]
    async fn has_no_body_under_head_and_the_same_headers() {
        let site = Site::with(STUDY).await;
        let found = site.answer(get("Study-1")).await;
        let mut head = site.answer(get("Study-1").method("HEAD")).await;
        let length = head.headers_mut().remove("content-length").unwrap();
        assert_eq!(length, STUDY.len().to_string());
        assert_eq!(head.headers(), found.headers());
        assert_eq!((head.status(), body(&head).as_str()), (StatusCode::OK, ""));
    }

    #[tokio::test]
    async fn is_not_sent_again_to_a_client_that_has_it() {
        let site = Site::with(STUDY).await;
        let response = site.answer(get("Study-1").header("if-none-match", "\"1\", W/\"3\"")).await;
        assert_eq!((response.status(), body(&response).as_str()), (StatusCode::NOT_MODIFIED, ""));
        assert_eq!(header(response.headers(), "etag"), Some("W/\"3\""));
    }

    #[tokio::test]
    async fn is_not_sent_under_a_condition_that_does_not_hold() {
        let site = Site::with(STUDY).await;
        assert_eq!(site.status(get("Study-1").header("if-match", "\"2\"")).await, 412);
    }

    #[tokio::test]
    async fn has_a_digest_of_its_bytes_as_etag_where_it_has_no_version() {
        let site = Site::with(r#"{"resourceType":"ImagingStudy","id":"a"}"#).await;
        let response = site.answer(get("a")).await;
        let etag = header(response.headers(), "etag").unwrap();
        assert!(etag.len() == 36 && etag.starts_with("W/\""), "{etag}");
    }

    #[tokio::test]
    async fn goes_by_the_fhir_name_of_json_where_the_client_asks_for_it() {
        let site = Site::with(STUDY).await;
        let response = site.answer(get("Study-1").header("accept", "application/fhir+json")).await;
        assert_eq!(header(response.headers(), "content-type"), Some("application/fhir+json"));
        assert_eq!(body(&response), STUDY);
    }

    #[tokio::test]
    async fn is_refused_to_a_client_that_wants_no_json() {
        let site = Site::with(STUDY).await;
        assert_eq!(site.status(get("Study-1").header("accept", "application/fhir+xml")).await, 406);
    }

    #[tokio::test]
    async fn is_cut_to_a_summary_on_request() {
        let site = Site::with(&large(5_000)).await;
        let summary = body(&site.handle(asking("large", &[("_summary", "true")])).await);
        assert!(summary.len() < 1_000 && summary.contains("SUBSETTED"), "{summary}");
    }

    #[tokio::test]
    async fn ignores_parameters_that_it_does_not_know() {
        let site = Site::with(STUDY).await;
        let response = site.handle(asking("Study-1", &[("_unknown", "x"), ("access_token", "x")])).await;
        assert_eq!(body(&response), STUDY);
    }
}

mod a_stored_form {
    use super::*;

    #[tokio::test]
    async fn of_gzip_goes_out_as_stored_to_a_client_that_takes_gzip() {
        let stored = gzip(STUDY.as_bytes());
        let site = Site::new().await;
        let document = AttributeValue::B(Blob::new(stored.clone()));
        site.put_attributes("a", [("document", document), ("etag", text("W/\"9\""))]).await;
        let response = site.answer(get("a").header("accept-encoding", "gzip")).await;
        assert_eq!(header(response.headers(), "content-encoding"), Some("gzip"));
        assert_eq!(header(response.headers(), "etag"), Some("W/\"9\""));
        assert!(matches!(response.body(), Body::Binary(bytes) if *bytes == stored));
    }

    #[tokio::test]
    async fn of_gzip_goes_out_inflated_to_any_other_client() {
        let site = Site::with(&large(1_000)).await;
        for encoding in ["identity", "gzip;q=0", "br"] {
            let response = site.answer(get("large").header("accept-encoding", encoding)).await;
            assert!(matches!(response.body(), Body::Text(text) if *text == large(1_000)), "{encoding}");
        }
    }

    #[tokio::test]
    async fn of_gzip_without_stored_properties_is_opened_for_its_headers() {
        let site = Site::new().await;
        site.put_attributes("a", [("document", AttributeValue::B(Blob::new(gzip(STUDY.as_bytes()))))]).await;
        let response = site.answer(get("a").header("accept-encoding", "gzip")).await;
        assert_eq!(header(response.headers(), "etag"), Some("W/\"3\""));
        assert_eq!(body(&response), STUDY);
    }

    #[tokio::test]
    async fn of_native_attributes_keeps_every_digit() {
        let site = Site::new().await;
        let number = |digits: &str| AttributeValue::N(digits.to_owned());
        let document = AttributeValue::M(HashMap::from([
            ("resourceType".to_owned(), text("ImagingStudy")),
            ("id".to_owned(), text("a")),
            ("numberOfSeries".to_owned(), number("12345678901234567890123456789012345678")),
            ("valueDecimal".to_owned(), number("-0.5")),
            ("_profile".to_owned(), AttributeValue::L(vec![AttributeValue::Null(true), text("é\"")])),
        ]));
        site.put_attributes("a", [("document", document)]).await;
        assert_eq!(
            body(&site.answer(get("a")).await),
            concat!(
                r#"{"resourceType":"ImagingStudy","_profile":[null,"é\""],"id":"a","#,
                r#""numberOfSeries":12345678901234567890123456789012345678,"valueDecimal":-0.5}"#
            )
        );
    }

    #[tokio::test]
    async fn that_is_the_item_itself_is_read_without_its_site() {
        let site = Site::new().await;
        let subject = AttributeValue::M(HashMap::from([("reference".to_owned(), text("Patient/7"))]));
        site.put_attributes("a", [("resourceType", text("ImagingStudy")), ("subject", subject)]).await;
        assert_eq!(
            body(&site.answer(get("a")).await),
            r#"{"resourceType":"ImagingStudy","id":"a","subject":{"reference":"Patient/7"}}"#
        );
    }

    #[tokio::test]
    async fn in_parts_comes_back_whole() {
        let large = large(100_000);
        let items = encoded(&large);
        assert!(items.parts.len() > 1, "{} parts", items.parts.len());
        let site = Site::with(&large).await;
        let response = site.answer(get("large").header("accept-encoding", "gzip")).await;
        assert!(body(&response) == large);
    }

    #[tokio::test]
    async fn in_parts_is_never_a_mixture_when_it_is_replaced_twice_between_its_head_and_its_parts() {
        let versions = [100_000, 100_001, 100_002].map(large);
        let site = Site::new().await;
        let replaced = site.replaced_before_the_first_part(&versions).await;
        let response =
            replaced.handle(get("large").header("accept-encoding", "gzip").body(Body::Empty).unwrap()).await;
        assert!(body(&response) == versions[2], "status {}", response.status());
    }

    #[tokio::test]
    async fn in_parts_of_which_one_is_missing_is_500() {
        let site = Site::new().await;
        let items = encoded(&large(100_000));
        let part = items.parts[1].clone();
        local::put_items(&site.table, items).await;
        site.delete(&part).await;
        assert_eq!(site.status(get("large").header("accept-encoding", "gzip")).await, 500);
    }

    #[tokio::test]
    async fn too_large_to_be_sent_plain_is_refused_to_a_client_without_gzip() {
        let site = Site::with(&large(100_000)).await;
        let response = site.answer(get("large")).await;
        assert_eq!(response.status(), 406);
        assert!(body(&response).contains("Accept-Encoding: gzip"));
    }

    #[tokio::test]
    async fn that_is_broken_is_500_and_says_nothing_of_itself() {
        let site = Site::new().await;
        let b = |bytes: Vec<u8>| AttributeValue::B(Blob::new(bytes));
        let whole = gzip(STUDY.as_bytes());
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x55;
        let bomb = gzip(&vec![b' '; 33 << 20]);
        for (name, document) in [
            ("no gzip", b(b"not gzip data at all, but long enough".to_vec())),
            ("truncated gzip", b(whole[..whole.len() - 9].to_vec())),
            ("damaged gzip", b(flipped)),
            ("two gzip members", b([whole.clone(), whole.clone()].concat())),
            ("gzip of no JSON", b(gzip(b"secret"))),
            ("gzip of no UTF-8", b(gzip(b"{\"resourceType\":\"ImagingStudy\",\"id\":\"\xff\"}"))),
            ("a bomb", b(bomb)),
            ("no JSON", text("secret")),
            ("truncated JSON", text(&STUDY[..60])),
            ("two JSON documents", text(&format!("{STUDY}{STUDY}"))),
            ("another resource", text(r#"{"resourceType":"Patient","id":"a"}"#)),
            ("no resource", text(r#"{"id":"a"}"#)),
            ("an array", text("[]")),
            ("a number", AttributeValue::N("1".to_owned())),
            ("a list", AttributeValue::L(Vec::new())),
            ("a map of another type", AttributeValue::M(HashMap::new())),
            ("a map with a binary", AttributeValue::M(HashMap::from([("x".to_owned(), b(vec![1]))]))),
        ] {
            site.put_attributes("a", [("document", document)]).await;
            let response = site.answer(get("a").header("accept-encoding", "gzip")).await;
            assert_eq!(response.status(), 500, "{name}");
            assert_eq!(body(&response), r#"{"message":"Internal Server Error","statusCode":500}"#, "{name}");
        }
    }

    #[tokio::test]
    async fn of_native_attributes_may_have_nulls_where_fhir_has_nothing() {
        let site = Site::new().await;
        let null = || AttributeValue::Null(true);
        let attributes = [("resourceType", text("ImagingStudy")), ("meta", null()), ("subject", null())];
        site.put_attributes("a", attributes).await;
        assert_eq!(site.status(get("a")).await, 200);
    }

    #[tokio::test]
    async fn with_no_document_at_all_is_500() {
        let site = Site::new().await;
        site.put_attributes("a", []).await;
        assert_eq!(site.status(get("a")).await, 500);
    }
}

mod a_request_is_refused {
    use super::*;

    #[tokio::test]
    async fn with_401_and_a_bare_challenge_where_it_has_no_token() {
        let response = Site::new().await.answer(anonymous("a")).await;
        assert_eq!(response.status(), 401);
        assert_eq!(body(&response), r#"{"message":"Unauthorized","statusCode":401}"#);
        assert_eq!(header(response.headers(), "www-authenticate"), Some("Bearer realm=\"imaging-study\""));
    }

    #[tokio::test]
    async fn with_401_and_a_reason_where_its_token_is_not_accepted() {
        let response = Site::new().await.answer(get_with(&json!({ "exp": 1 }), "a")).await;
        assert_eq!(response.status(), 401);
        assert_eq!(body(&response), r#"{"message":"Unauthorized","statusCode":401}"#);
        let challenge = header(response.headers(), "www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer error=\"invalid_token\", error_description=\""), "{challenge}");
    }

    #[tokio::test]
    async fn with_400_where_an_id_is_malformed() {
        let site = Site::new().await;
        assert_eq!(site.status(get("a_b")).await, 400);
    }

    #[tokio::test]
    async fn with_401_before_400() {
        assert_eq!(Site::new().await.status(anonymous("a_b")).await, 401);
    }

    #[tokio::test]
    async fn with_403_where_its_scopes_do_not_grant_the_read() {
        let site = Site::with(STUDY).await;
        let claims = json!({ "scope": "system/Patient.rs user/ImagingStudy.s" });
        let response = site.answer(get_with(&claims, "Study-1")).await;
        assert_eq!(response.status(), 403);
        assert_eq!(
            header(response.headers(), "www-authenticate"),
            Some("Bearer error=\"insufficient_scope\"")
        );
    }

    #[tokio::test]
    async fn with_403_where_a_patient_scope_is_for_another_patient() {
        let site = Site::with(STUDY).await;
        let claims = |patient| json!({ "scope": "patient/ImagingStudy.rs", "patient": patient });
        assert_eq!(site.status(get_with(&claims("7"), "Study-1")).await, 200);
        assert_eq!(site.status(get_with(&claims("8"), "Study-1")).await, 403);
    }

    #[tokio::test]
    async fn alike_for_a_site_that_is_not_granted_and_a_study_that_is_not_there() {
        let site = Site::with(STUDY).await;
        let elsewhere = site.answer(get_with(&json!({ "siteIds": ["5"] }), "Study-1")).await;
        let missing = site.answer(get("other")).await;
        assert_eq!((elsewhere.status(), missing.status()), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
        assert_eq!(elsewhere.headers(), missing.headers());
        assert_eq!(body(&elsewhere), body(&missing));
    }

    #[tokio::test]
    async fn with_405_where_its_method_is_no_read() {
        let site = Site::with(STUDY).await;
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
            let response = site.answer(get("Study-1").method(method)).await;
            assert_eq!(response.status(), 405, "{method}");
            assert_eq!(header(response.headers(), "allow"), Some("GET, HEAD, OPTIONS"), "{method}");
        }
    }

    #[tokio::test]
    async fn with_204_and_the_methods_to_options_without_a_token() {
        for path in ["/site/4/fhir/imaging-study/a", "/site/4/fhir/Patient/1"] {
            let request = http::Request::builder().method("OPTIONS").uri(path);
            let response = Site::new().await.answer(request).await;
            assert_eq!(response.status(), 204, "{path}");
            assert_eq!(header(response.headers(), "allow"), Some("GET, HEAD, OPTIONS"), "{path}");
            assert!(response.body().is_empty(), "{path}");
        }
    }

    #[tokio::test]
    async fn with_404_where_there_is_no_such_route() {
        let request = http::Request::get("/metadata")
            .header("authorization", format!("Bearer {}", local::token(&local::claims())));
        assert_eq!(Site::new().await.status(request).await, 404);
    }

    #[tokio::test]
    async fn with_an_operation_outcome_where_it_asks_for_fhir() {
        let site = Site::with(STUDY).await;
        for (request, status, code) in [
            (anonymous("a"), 401, "login"),
            (get("a_b"), 400, "value"),
            (get("missing"), 404, "not-found"),
            (get("a").method("PUT"), 405, "not-supported"),
            (get_with(&json!({ "scope": "user/Patient.r" }), "a"), 403, "forbidden"),
        ] {
            let response = site.answer(request.header("accept", "application/fhir+json")).await;
            assert_eq!(response.status(), status);
            assert_eq!(header(response.headers(), "content-type"), Some("application/fhir+json"));
            let outcome: Value = serde_json::from_str(&body(&response)).unwrap();
            assert_eq!(outcome["resourceType"], "OperationOutcome", "{status}");
            assert_eq!(outcome["issue"][0]["severity"], "error", "{status}");
            assert_eq!(outcome["issue"][0]["code"], code, "{status}");
        }
    }
}

mod a_store {
    use super::*;

    /// A server that answers every request with this.
    async fn answering(status: u16, error: &str) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let body = json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{error}") }).to_string();
        let status = StatusCode::from_u16(status).unwrap();
        let routes = axum::Router::new().fallback(move || async move { (status, body) });
        tokio::spawn(async move { axum::serve(listener, routes).await });
        service(&format!("http://{address}"))
    }

    async fn answer_of(service: &Service) -> Response<Body> {
        service.handle(get("a").body(Body::Empty).unwrap()).await
    }

    #[tokio::test]
    async fn that_throttles_is_503_with_a_time_to_retry() {
        let service = answering(400, "ProvisionedThroughputExceededException").await;
        let response = answer_of(&service).await;
        assert_eq!(response.status(), 503);
        assert_eq!(header(response.headers(), "retry-after"), Some("1"));
    }

    #[tokio::test]
    async fn that_fails_on_its_side_is_503() {
        assert_eq!(answer_of(&answering(500, "InternalServerError").await).await.status(), 503);
    }

    #[tokio::test]
    async fn that_refuses_the_call_is_500() {
        assert_eq!(answer_of(&answering(400, "AccessDeniedException").await).await.status(), 500);
        assert_eq!(answer_of(&answering(400, "ResourceNotFoundException").await).await.status(), 500);
    }

    #[tokio::test]
    async fn that_does_not_listen_is_503() {
        let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(answer_of(&service(&format!("http://{nowhere}"))).await.status(), 503);
    }

    #[tokio::test]
    async fn that_does_not_answer_is_504_within_the_bound() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = service(&format!("http://{}", silent.local_addr().unwrap()));
        let answer = tokio::time::timeout(Duration::from_secs(8), answer_of(&service)).await;
        assert_eq!(answer.expect("an answer before the function's time is over").status(), 504);
    }
}

#[tokio::test]
#[ignore = "needs STUDIES_DIR, a folder of collected ImagingStudy documents"]
async fn collected_documents_come_back_byte_for_byte() {
    let site = Site::new().await;
    for path in local::json_files(&testkit::data_folder("STUDIES_DIR")) {
        let json = std::fs::read_to_string(&path).unwrap();
        let id = serde_json::from_str::<Value>(&json).unwrap()["id"].as_str().map(str::to_owned);
        let Some(id) = id else { continue };
        site.load(&json).await;
        assert_eq!(body(&site.answer(get(&id)).await), json, "{}", path.display());
        for (form, document) in
            [("text", text(&json)), ("gzip", AttributeValue::B(Blob::new(gzip(json.as_bytes()))))]
        {
            site.put_attributes(&id.to_lowercase(), [("document", document)]).await;
            for encoding in ["identity", "gzip"] {
                let response = site.answer(get(&id).header("accept-encoding", encoding)).await;
                assert_eq!(body(&response), json, "{} as {form} in {encoding}", path.display());
            }
        }
        // Native attributes keep no trailing zeros and no order, whoever writes them; the values they keep.
        let value: Value = serde_json::from_str(&json).unwrap();
        site.put_attributes(&id.to_lowercase(), [("document", native(&value))]).await;
        let read: Value = serde_json::from_str(&body(&site.answer(get(&id)).await)).unwrap();
        assert_eq!(normal(read), normal(value), "{} as map", path.display());
    }
}

/// JSON as DynamoDB's native attributes.
fn native(value: &Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(value) => AttributeValue::Bool(*value),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(value) => text(value),
        Value::Array(items) => AttributeValue::L(items.iter().map(native).collect()),
        Value::Object(members) => {
            AttributeValue::M(members.iter().map(|(name, value)| (name.clone(), native(value))).collect())
        }
    }
}

/// JSON in which 120.0 and 120 are the same.
fn normal(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(normal).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, normal(value))).collect(),
        value => value,
    }
}

#[tokio::test]
async fn calls_to_the_table_name_the_function_and_its_version_only() {
    let server = FaultyServer::http().await;
    server.set("/", Behavior::json("{}"));
    let store = Store::new(&local::aws(&server.url("")), None, local::TABLE.to_owned(), false);
    store.connect().await.unwrap();
    let headers = server.last_headers();
    assert_eq!(headers["user-agent"], concat!("imaging-study/", env!("CARGO_PKG_VERSION")));
    assert!(!headers.contains_key("x-amz-user-agent"));
}
