//! What is sent of a study, in every form in which it is stored.

use std::collections::VecDeque;
use std::sync::Arc;

use aws_sdk_dynamodb::primitives::Blob;
use table::attribute::Item;
use testkit::log::{Log, audit_line};
use testkit::server::{Behavior, Server};
use tokio::sync::Mutex;
use tracing::level_filters::LevelFilter;

use super::*;

#[tokio::test]
async fn a_study_is_sent_byte_for_byte() {
    let site = Site::with(STUDY).await;
    let response = site.respond(get("Study-1")).await;
    assert_eq!((response.status(), body(&response).as_str()), (StatusCode::OK, STUDY));
}

#[tokio::test]
async fn a_study_is_sent_with_the_headers_of_the_contract() {
    let site = Site::with(STUDY).await;
    let response = site.respond(get("Study-1")).await;
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
async fn a_study_is_found_in_either_case_of_its_id() {
    let site = Site::with(STUDY).await;
    for id in ["Study-1", "study-1", "STUDY-1"] {
        assert_eq!(site.status(get(id)).await, 200, "{id}");
    }
}

#[tokio::test]
async fn a_study_is_looked_up_by_its_id_as_given_before_its_lower_case_form() {
    let site = Site::with(STUDY).await;
    let other = STUDY.replace("Patient/7", "Patient/8");
    site.put("Study-1", [("document", text(&other))]).await;
    assert_eq!(body(&site.respond(get("Study-1")).await), other);
}

#[tokio::test]
async fn head_responds_with_the_headers_of_get_and_no_body() {
    let site = Site::with(STUDY).await;
    let found = site.respond(get("Study-1")).await;
    let mut head = site.respond(get("Study-1").method("HEAD")).await;
    let length = head.headers_mut().remove("content-length").unwrap();
    assert_eq!(length, STUDY.len().to_string());
    assert_eq!(head.headers(), found.headers());
    assert_eq!((head.status(), body(&head).as_str()), (StatusCode::OK, ""));
}

#[tokio::test]
async fn a_study_that_the_client_has_is_304() {
    let site = Site::with(STUDY).await;
    let response = site.respond(get("Study-1").header("if-none-match", "\"1\", W/\"3\"")).await;
    assert_eq!((response.status(), body(&response).as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(header(response.headers(), "etag"), Some("W/\"3\""));
}

#[tokio::test]
async fn a_precondition_that_fails_is_412() {
    let site = Site::with(STUDY).await;
    assert_eq!(site.status(get("Study-1").header("if-match", "\"2\"")).await, 412);
}

#[tokio::test]
async fn a_study_without_a_version_has_a_digest_as_its_entity_tag() {
    let site = Site::with(r#"{"resourceType":"ImagingStudy","id":"a"}"#).await;
    let response = site.respond(get("a")).await;
    let etag = header(response.headers(), "etag").unwrap();
    assert!(etag.len() == 36 && etag.starts_with("W/\""), "{etag}");
}

#[tokio::test]
async fn a_client_that_asks_for_fhir_json_receives_it() {
    let site = Site::with(STUDY).await;
    let response = site.respond(get("Study-1").header("accept", "application/fhir+json")).await;
    assert_eq!(header(response.headers(), "content-type"), Some("application/fhir+json"));
    assert_eq!(body(&response), STUDY);
}

#[tokio::test]
async fn a_client_that_accepts_no_json_receives_406() {
    let site = Site::with(STUDY).await;
    assert_eq!(site.status(get("Study-1").header("accept", "application/fhir+xml")).await, 406);
}

#[tokio::test]
async fn a_summary_leaves_out_the_instances() {
    let site = Site::with(&large(5_000)).await;
    let summary = body(&site.handle(asking("large", &[("_summary", "true")])).await);
    assert!(summary.len() < 1_000 && summary.contains("SUBSETTED"), "{summary}");
}

#[tokio::test]
async fn unknown_query_parameters_are_ignored() {
    let site = Site::with(STUDY).await;
    let response = site.handle(asking("Study-1", &[("_unknown", "x"), ("access_token", "x")])).await;
    assert_eq!(body(&response), STUDY);
}

#[tokio::test]
async fn a_gzip_item_is_sent_as_stored_to_a_client_that_accepts_gzip() {
    let stored = gzip(STUDY);
    let site = Site::new().await;
    let document = binary(stored.clone());
    site.put("a", [("document", document), ("etag", text("W/\"9\""))]).await;
    let response = site.respond(get("a").header("accept-encoding", "gzip")).await;
    assert_eq!(header(response.headers(), "content-encoding"), Some("gzip"));
    assert_eq!(header(response.headers(), "etag"), Some("W/\"9\""));
    assert!(matches!(response.body(), Body::Binary(bytes) if *bytes == stored));
}

#[tokio::test]
async fn a_gzip_item_is_sent_inflated_to_any_other_client() {
    let site = Site::with(&large(1_000)).await;
    for encoding in ["identity", "gzip;q=0", "br"] {
        let response = site.respond(get("large").header("accept-encoding", encoding)).await;
        assert!(matches!(response.body(), Body::Text(text) if *text == large(1_000)), "{encoding}");
    }
}

#[tokio::test]
async fn a_gzip_item_without_properties_is_opened_for_the_headers() {
    let site = Site::new().await;
    site.put("a", [("document", binary(gzip(STUDY)))]).await;
    let response = site.respond(get("a").header("accept-encoding", "gzip")).await;
    assert_eq!(header(response.headers(), "etag"), Some("W/\"3\""));
    assert_eq!(body(&response), STUDY);
}

#[tokio::test]
async fn native_attributes_keep_every_digit() {
    let site = Site::new().await;
    let number = |digits: &str| AttributeValue::N(digits.to_owned());
    let document = AttributeValue::M(HashMap::from([
        ("resourceType".to_owned(), text("ImagingStudy")),
        ("id".to_owned(), text("a")),
        ("numberOfSeries".to_owned(), number("12345678901234567890123456789012345678")),
        ("valueDecimal".to_owned(), number("-0.5")),
        ("_profile".to_owned(), AttributeValue::L(vec![AttributeValue::Null(true), text("é\"")])),
    ]));
    site.put("a", [("document", document)]).await;
    assert_eq!(
        body(&site.respond(get("a")).await),
        concat!(
            r#"{"resourceType":"ImagingStudy","_profile":[null,"é\""],"id":"a","#,
            r#""numberOfSeries":12345678901234567890123456789012345678,"valueDecimal":-0.5}"#
        )
    );
}

#[tokio::test]
async fn an_item_that_is_the_resource_itself_is_sent_without_its_site() {
    let site = Site::new().await;
    let subject = AttributeValue::M(HashMap::from([("reference".to_owned(), text("Patient/7"))]));
    site.put("a", [("resourceType", text("ImagingStudy")), ("subject", subject)]).await;
    assert_eq!(
        body(&site.respond(get("a")).await),
        r#"{"resourceType":"ImagingStudy","id":"a","subject":{"reference":"Patient/7"}}"#
    );
}

#[tokio::test]
async fn a_study_in_parts_is_sent_whole() {
    let large = large(70_000);
    let items = testkit::encoded(&large);
    assert!(items.parts.len() > 1, "{} parts", items.parts.len());
    let site = Site::with(&large).await;
    let response = site.respond(get("large").header("accept-encoding", "gzip")).await;
    assert!(body(&response) == large);
}

#[tokio::test]
async fn a_study_that_is_replaced_twice_between_reading_its_head_and_its_parts_is_sent_unmixed() {
    let [first, second, third] = [70_000, 70_001, 70_002].map(large);
    let site = Site::new().await;
    let stored = testkit::encoded(&first);
    // The parts in the table, and the versions to come.
    let versions = Arc::new(Mutex::new((stored.parts.clone(), VecDeque::from([second, third.clone()]))));
    local::put_items(&site.table, stored).await;
    let replacing = site.table.clone();
    let table = Server::delaying(site.address, move |call| {
        let (table, versions) = (replacing.clone(), Arc::clone(&versions));
        let call = String::from_utf8_lossy(&call.body).into_owned();
        async move {
            let (parts, coming) = &mut *versions.lock().await;
            let is_part = parts.iter().any(|part| call.contains(part["id"].as_s().unwrap()));
            if let Some(next) = coming.pop_front_if(|_| is_part) {
                // The way the tool does it: the new parts, the head, and the old parts away.
                let next = testkit::encoded(&next);
                let old = std::mem::replace(parts, next.parts.clone());
                local::put_items(&table, next).await;
                for part in old {
                    delete(&table, part).await;
                }
            }
        }
    });
    let service = service(table.await.address());
    let request = get("large").header("accept-encoding", "gzip").body(Body::Empty).unwrap();
    let response = service.handle(request).await;
    assert!(body(&response) == third, "status {}", response.status());
}

#[tokio::test]
async fn a_study_with_a_missing_part_is_500() {
    let site = Site::new().await;
    let mut items = testkit::encoded(&large(70_000));
    items.parts.remove(1);
    local::put_items(&site.table, items).await;
    assert_eq!(site.status(get("large").header("accept-encoding", "gzip")).await, 500);
}

async fn delete(table: &Client, item: Item) {
    let key = item.into_iter().filter(|(name, _)| name == "siteId" || name == "id").collect();
    table.delete_item().table_name(local::TABLE).set_key(Some(key)).send().await.unwrap();
}

#[tokio::test]
async fn a_study_that_fits_only_compressed_is_406_to_a_client_without_gzip() {
    let site = Site::with(&large(70_000)).await;
    let response = site.respond(get("large")).await;
    assert_eq!(response.status(), 406);
    assert!(body(&response).contains("Accept-Encoding: gzip"));
}

#[tokio::test]
async fn a_broken_item_is_500_and_nothing_of_it_is_sent_or_logged() {
    const SECRET: &str = "secret-of-the-document";
    let site = Site::new().await;
    let study = STUDY.replace("available", SECRET);
    let whole = gzip(&study);
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    let mut false_size = whole.clone();
    let trailer = false_size.len() - 4;
    false_size[trailer..].copy_from_slice(&7_000_000_u32.to_le_bytes());
    let list = |items: &[AttributeValue]| AttributeValue::L(items.to_vec());
    let map = |name: &str, value| AttributeValue::M(HashMap::from([(name.to_owned(), value)]));
    // Beside an entity tag, what the writer says of a gzip document is believed.
    let tag = || ("etag", text("W/\"1\""));
    for (name, attributes) in [
        ("no document", vec![]),
        ("a null document", vec![("document", AttributeValue::Null(true))]),
        ("a number", vec![("document", AttributeValue::N("1".to_owned()))]),
        ("a boolean", vec![("document", AttributeValue::Bool(true))]),
        ("a set of strings", vec![("document", AttributeValue::Ss(vec![SECRET.to_owned()]))]),
        ("a set of numbers", vec![("document", AttributeValue::Ns(vec!["1".to_owned()]))]),
        ("a set of binaries", vec![("document", AttributeValue::Bs(vec![Blob::new(SECRET)]))]),
        ("an empty list", vec![("document", list(&[]))]),
        ("a list", vec![("document", list(&[text(SECRET)]))]),
        ("a map without members", vec![("document", AttributeValue::M(HashMap::new()))]),
        ("a map of another type", vec![("document", map("resourceType", text("Patient")))]),
        ("a map with a binary", vec![("document", map("x", binary(SECRET)))]),
        ("empty text", vec![("document", text(""))]),
        ("not JSON", vec![("document", text(SECRET))]),
        ("truncated JSON", vec![("document", text(&study[..60]))]),
        ("two JSON documents", vec![("document", text(study.repeat(2)))]),
        ("JSON of 100,000 levels", vec![("document", text("[".repeat(100_000)))]),
        ("another resource", vec![("document", text(r#"{"resourceType":"Patient","id":"a"}"#))]),
        ("no resource", vec![("document", text(r#"{"id":"a"}"#))]),
        ("an array", vec![("document", text("[]"))]),
        ("an empty binary", vec![("document", binary(""))]),
        ("a binary that is not gzip", vec![("document", binary(SECRET))]),
        ("truncated gzip", vec![("document", binary(&whole[..whole.len() - 9])), tag()]),
        ("truncated gzip without a tag", vec![("document", binary(&whole[..whole.len() - 9]))]),
        ("damaged gzip", vec![("document", binary(flipped))]),
        ("two gzip members", vec![("document", binary(whole.repeat(2))), tag()]),
        ("two gzip members without a tag", vec![("document", binary(whole.repeat(2)))]),
        ("a false size", vec![("document", binary(false_size)), tag()]),
        ("gzip that is not JSON", vec![("document", binary(gzip(SECRET)))]),
        ("gzip that is not UTF-8", vec![("document", binary(gzip(b"{\"resourceType\":\"\xff\"}")))]),
        ("64 MiB of spaces", vec![("document", binary(gzip(vec![b' '; 64 << 20]))), tag()]),
        ("64 MiB of spaces without a tag", vec![("document", binary(gzip(vec![b' '; 64 << 20])))]),
        ("parts that are text", vec![("parts", text("a#0")), tag()]),
        ("no parts", vec![("parts", list(&[])), tag()]),
        ("parts that are numbers", vec![("parts", list(&[AttributeValue::N("1".to_owned())])), tag()]),
        ("parts that do not exist", vec![("parts", list(&[text("other#0")])), tag()]),
        ("parts without a tag", vec![("parts", list(&[text("a#0")]))]),
    ] {
        let is_tagged = attributes.iter().any(|(name, _)| *name == "etag");
        testkit::put_item(&site.table, "a", attributes).await;
        for encoding in if is_tagged { &["identity"][..] } else { &["identity", "gzip"] } {
            let log = Log::default();
            let listening = log.listen(LevelFilter::TRACE);
            let response = site.respond(get("a").header("accept-encoding", *encoding)).await;
            drop(listening);
            assert_eq!(response.status(), 500, "{name}");
            assert_eq!(body(&response), r#"{"message":"Internal Server Error","statusCode":500}"#, "{name}");
            assert_eq!(audit_line(&log.text())["reason"], "document_broken", "{name}");
            assert!(!log.text().contains(SECRET), "{name}: {}", log.text());
        }
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
        assert_eq!(body(&site.respond(get(&id)).await), json, "{}", path.display());
        for (form, document) in [("text", text(&json)), ("gzip", binary(gzip(&json)))] {
            site.put(&id.to_lowercase(), [("document", document)]).await;
            for encoding in ["identity", "gzip"] {
                let response = site.respond(get(&id).header("accept-encoding", encoding)).await;
                assert_eq!(body(&response), json, "{} as {form} in {encoding}", path.display());
            }
        }
        // Native attributes keep no trailing zeros and no order, whoever writes them; the values they keep.
        let value: Value = serde_json::from_str(&json).unwrap();
        site.put(&id.to_lowercase(), [("document", testkit::native(&value))]).await;
        let read: Value = serde_json::from_str(&body(&site.respond(get(&id)).await)).unwrap();
        assert_eq!(normal(read), normal(value), "{} as map", path.display());
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
    let table = Server::http().await;
    table.set("/", Behavior::json("{}"));
    service(table.address()).warm_up().await;
    let headers = table.last_headers();
    assert_eq!(headers["user-agent"], concat!("imaging-study/", env!("CARGO_PKG_VERSION")));
    assert!(!headers.contains_key("x-amz-user-agent"));
}
