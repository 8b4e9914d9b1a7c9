//! `openapi.yaml` against the responses that the code gives: statuses, headers and bodies.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use imaging_study::auth::{Forbidden, KeysUnavailable, TokenError};
use imaging_study::store::StoreError;
use imaging_study::{ApiError, Media};
use lambda_http::Body;
use serde_json::{Value, json};
use strum::IntoEnumIterator as _;
use table::error::DocumentError;
use table::id::IdError;
use testkit::runtime_api::Function;
use tokio::net::TcpListener;

const STUDY: &str = "/site/{siteId}/fhir/imaging-study/{id}";
const FHIR_STUDY: &str = "/site/{siteId}/fhir/ImagingStudy/{id}";
const METADATA: &str = "/site/{siteId}/fhir/metadata";
const SMART_CONFIGURATION: &str = "/site/{siteId}/fhir/.well-known/smart-configuration";

#[test]
fn the_statuses_are_those_of_the_code_and_the_gateways_own() {
    let api = crate::yaml::read("openapi.yaml");
    let documented = |path: &str, method: &str| -> BTreeSet<String> {
        api["paths"][path][method]["responses"].as_object().unwrap().keys().cloned().collect()
    };
    let of_study: BTreeSet<_> =
        refusals().iter().map(|refusal| refusal.status().as_u16().to_string()).collect();
    // Neither the token nor the table can fail a request for these two, and only the second may be missing.
    let of_metadata = BTreeSet::from(["400", "405", "406", "412", "500"].map(str::to_owned));
    let of_smart = of_metadata.iter().cloned().chain(["404".to_owned()]).collect();
    for (path, mut statuses) in [
        (STUDY, of_study.clone()),
        (FHIR_STUDY, of_study),
        (METADATA, of_metadata),
        (SMART_CONFIGURATION, of_smart),
    ] {
        statuses.extend(["200", "304", "429"].map(str::to_owned));
        assert_eq!(documented(path, "get"), statuses, "{path}");
        statuses.remove("405");
        assert_eq!(documented(path, "head"), statuses, "{path}");
    }
}

#[test]
fn no_response_to_head_has_content() {
    let api = crate::yaml::read("openapi.yaml");
    for (path, operations) in api["paths"].as_object().unwrap() {
        for (status, response) in operations["head"]["responses"].as_object().unwrap() {
            assert!(resolved(&api, response)["content"].is_null(), "{path}: {status}");
        }
    }
}

#[test]
fn every_error_response_is_as_described() {
    let api = crate::yaml::read("openapi.yaml");
    for refusal in refusals() {
        for media in [Media::Json, Media::FhirJson] {
            let response = refusal.response(media);
            let headers = response.headers().iter();
            let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
            let Body::Text(body) = response.body() else { panic!("{refusal:?}") };
            conforms(&api, (STUDY, "get"), response.status().as_u16(), &headers.collect(), body);
        }
    }
}

#[tokio::test]
async fn every_event_has_the_status_and_reason_of_its_row_and_a_response_as_described() {
    let api = crate::yaml::read("openapi.yaml");
    let mut function = function().await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/events");
    let table = std::fs::read_to_string(format!("{folder}/expected.tsv")).unwrap();
    let mut names = BTreeSet::from(["expected.tsv".to_owned()]);
    for row in table.lines().skip(1) {
        let [file, expected, reason] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        names.insert(file.to_owned());
        let event = testkit::event(file.strip_suffix(".json").unwrap());
        let authorization = event["headers"]["authorization"].as_str().unwrap_or_default().to_owned();
        let (path, method) = route(&event);
        let response = function.invoke(event).await.expect("a response, not an error");
        let status = u16::try_from(response["statusCode"].as_u64().unwrap()).unwrap();
        let line = function.audit_line().await;
        assert_eq!((status.to_string().as_str(), &line["reason"]), (expected, &json!(reason)), "{file}");
        let signature = authorization.rsplit('.').next().filter(|signature| !signature.is_empty());
        assert!(signature.is_none_or(|signature| !line.to_string().contains(signature)), "{file}");
        let headers = headers(&response);
        if status == 204 {
            assert_eq!((headers["allow"].as_str(), text(&response).as_str()), ("GET, HEAD, OPTIONS", ""));
        } else {
            conforms(&api, (&path, &method), status, &headers, &text(&response));
        }
    }
    let files = std::fs::read_dir(folder).unwrap();
    let files = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names, files.collect(), "every event has a row");
}

#[tokio::test]
async fn the_example_of_a_capability_statement_is_the_services_own() {
    let api = crate::yaml::read("openapi.yaml");
    let response = function().await.invoke(testkit::event("metadata")).await.expect("a response");
    let mut statement: Value = serde_json::from_str(&text(&response)).unwrap();
    assert_eq!(statement["implementation"]["url"], "https://imaging.example.com/site/4/fhir");
    statement["implementation"]["url"] = json!("https://api.example.com/site/4/fhir");
    assert_eq!(statement, api["components"]["examples"]["capabilities"]["value"]);
}

#[test]
fn the_examples_fit_their_schemas() {
    let api = crate::yaml::read("openapi.yaml");
    for (name, response) in api["components"]["responses"].as_object().unwrap() {
        for content in response["content"].as_object().into_iter().flat_map(|content| content.values()) {
            let referenced =
                content["examples"].as_object().into_iter().flat_map(|examples| examples.values());
            let examples =
                referenced.map(|example| &resolved(&api, example)["value"]).chain(content.get("example"));
            for example in examples {
                assert_fits(&api, &content["schema"], example, name);
            }
        }
    }
}

/// One of each, so that every status, header and message comes up.
pub(super) fn refusals() -> Vec<ApiError> {
    let fault = || Box::new(SdkError::timeout_error("a test"));
    let mut refusals = vec![
        ApiError::MethodNotAllowed,
        ApiError::KeysUnavailable(KeysUnavailable { retry_after: Duration::from_secs(30) }),
        ApiError::KeyUnconfirmed(KeysUnavailable { retry_after: Duration::from_secs(30) }),
        ApiError::RouteNotFound,
        ApiError::InteractionNotSupported,
        ApiError::InvalidId(IdError::SiteId),
        ApiError::InvalidId(IdError::FhirId),
        ApiError::Forbidden(Forbidden::ScopeInsufficient),
        ApiError::Forbidden(Forbidden::SiteNotGranted),
        ApiError::StudyNotFound,
        ApiError::MediaNotAcceptable,
        ApiError::CodingNotAcceptable,
        ApiError::CompressionRequired,
        ApiError::PreconditionFailed,
        ApiError::Store(StoreError::Throttled(fault())),
        ApiError::Store(StoreError::Unreachable(fault())),
        ApiError::Store(StoreError::Timeout),
        ApiError::Store(StoreError::Refused(fault())),
        ApiError::Store(StoreError::Document(DocumentError::TooLarge)),
        ApiError::Panicked,
    ];
    refusals.extend(TokenError::iter().map(ApiError::Token));
    refusals
}

/// Fails unless the description of an operation, a path and a method, has this response.
fn conforms(
    api: &Value,
    (path, method): (&str, &str),
    status: u16,
    headers: &BTreeMap<String, String>,
    body: &str,
) {
    let response = resolved(api, &api["paths"][path][method]["responses"][status.to_string()]);
    let documented: BTreeMap<String, &Value> = response["headers"]
        .as_object()
        .unwrap_or_else(|| panic!("{status} is not described"))
        .iter()
        .map(|(name, header)| (name.to_ascii_lowercase(), resolved(api, header)))
        .collect();
    for (name, value) in headers.iter().filter(|(name, _)| *name != "content-type") {
        let header = documented.get(name).unwrap_or_else(|| panic!("{status}: {name} is not described"));
        assert_fits(api, &header["schema"], &json!(value), name);
    }
    for (name, header) in documented {
        let required = header["required"].as_bool().unwrap_or_default();
        assert!(!required || headers.contains_key(&name), "{status}: {name} is missing");
    }
    match (headers.get("content-type"), response.get("content")) {
        (Some(media), Some(content)) => {
            let schema = &content[media]["schema"];
            assert!(schema.is_object(), "{status}: {media} is not described");
            let body: Value = serde_json::from_str(body).unwrap();
            assert_fits(api, schema, &body, &status.to_string());
            // The schema of errors has both forms, for generators that read only the first media type.
            let is_outcome = body["resourceType"] == "OperationOutcome";
            assert_eq!(is_outcome, status >= 400 && media == "application/fhir+json", "{status}: {media}");
        }
        (Some(_), None) if method == "head" => assert_eq!(body, ""),
        (None, None) => assert_eq!(body, ""),
        (media, _) => panic!("{status}: {media:?}"),
    }
}

/// The operation that an event asks for. What no route of its own has is described with the FHIR read.
fn route(event: &Value) -> (String, String) {
    let context = &event["requestContext"];
    let method = context["http"]["method"].as_str().or(event["httpMethod"].as_str()).unwrap();
    let path = match event["routeKey"].as_str() {
        Some(key) => key.split_once(' ').unwrap().1,
        None => event["resource"].as_str().unwrap(),
    };
    if path.ends_with("{proxy+}") {
        return ("/site/{siteId}/fhir/ImagingStudy/{id}".to_owned(), "get".to_owned());
    }
    (path.to_owned(), method.to_ascii_lowercase())
}

fn assert_fits(api: &Value, schema: &Value, value: &Value, what: &str) {
    let root = json!({ "allOf": [schema], "components": api["components"] });
    let validator = jsonschema::draft202012::new(&root).unwrap();
    let faults: Vec<_> = validator.iter_errors(value).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{what}: {faults:#?}");
}

/// What a `$ref` into the same document points to, or the value itself.
fn resolved<'a>(api: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => api.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

/// The function, reading from a table that holds the sample studies: the one in `BOOTSTRAP`, or that of the tests.
async fn function() -> Function {
    let (table, address) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
    for path in local::sample_paths() {
        testkit::put(&table, &std::fs::read_to_string(path).unwrap()).await;
    }
    let program = std::env::var("BOOTSTRAP").unwrap_or(env!("CARGO_BIN_EXE_bootstrap").to_owned());
    Function::start(program, &local::environment(&format!("http://{address}"))).await
}

/// The headers of a response; those to REST (v1) events are in lists.
fn headers(response: &Value) -> BTreeMap<String, String> {
    let single = response["headers"].as_object().unwrap().iter();
    let listed =
        response["multiValueHeaders"].as_object().unwrap().iter().map(|(name, values)| (name, &values[0]));
    single.chain(listed).map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

/// The body of a response as text.
fn text(response: &Value) -> String {
    let body = response["body"].as_str().unwrap_or_default();
    if response["isBase64Encoded"] != true {
        return body.to_owned();
    }
    let mut text = String::new();
    GzDecoder::new(&BASE64_STANDARD.decode(body).unwrap()[..]).read_to_string(&mut text).unwrap();
    text
}
