//! Items that other writers leave in the table, and the representations that are made of stored items.

use testkit::log::{Log, audit_line};
use testkit::put_parts;
use tracing::level_filters::LevelFilter;

use super::*;

const ALL_SUBSETS: [&[(&str, &str)]; 5] = [
    &[],
    &[("_summary", "true")],
    &[("_summary", "text")],
    &[("_summary", "data")],
    &[("_elements", "series")],
];

fn null() -> AttributeValue {
    AttributeValue::Null(true)
}

fn keys<const N: usize>(keys: [&str; N]) -> AttributeValue {
    AttributeValue::L(keys.into_iter().map(text).collect())
}

fn asking_with(id: &str, query: &[(&str, &str)], headers: &[(&str, &str)]) -> Request {
    let mut request = asking(id, query);
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(http::HeaderName::try_from(*name).unwrap(), http::HeaderValue::try_from(*value).unwrap());
    }
    request
}

/// gzip of a study that has this size as text, and compresses well.
fn gzip_of(bytes: usize) -> Vec<u8> {
    let start = r#"{"resourceType":"ImagingStudy","id":"a","description":""#;
    gzip(format!("{start}{}\"}}", "x".repeat(bytes - start.len() - 2)))
}

#[tokio::test]
async fn null_members_count_as_absent_in_every_representation() {
    let site = Site::new().await;
    for member in [
        r#""meta":null"#,
        r#""meta":{"tag":null}"#,
        r#""meta":{"versionId":null,"lastUpdated":null}"#,
        r#""series":null"#,
        r#""series":[null]"#,
        r#""subject":null"#,
        r#""subject":{"reference":null}"#,
    ] {
        let json = format!(r#"{{"resourceType":"ImagingStudy","id":"a",{member}}}"#);
        for document in [text(&json), binary(gzip(json))] {
            site.put("a", [("document", document)]).await;
            for query in ALL_SUBSETS {
                let response = site.handle(asking("a", query)).await;
                assert_eq!(response.status(), 200, "{member} {query:?}");
                serde_json::from_str::<Value>(&body(&response)).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn null_attributes_count_as_absent() {
    let site = Site::new().await;
    let nulls = [("etag", null()), ("lastUpdated", null()), ("subject", null()), ("parts", null())];
    let [etag, updated, subject, parts] = nulls;
    let attributes = [("document", text(STUDY)), etag, updated, subject, parts];
    site.put("a", attributes).await;
    let response = site.respond(get("a")).await;
    assert_eq!(header(response.headers(), "etag"), Some("W/\"3\""));
    assert!(response.headers().contains_key("last-modified"));

    let nulls = [("document", null()), ("parts", null()), ("meta", null()), ("subject", null())];
    let [document, parts, meta, subject] = nulls;
    let attributes = [("resourceType", text("ImagingStudy")), document, parts, meta, subject];
    site.put("a", attributes).await;
    assert_eq!(body(&site.respond(get("a")).await), r#"{"resourceType":"ImagingStudy","id":"a"}"#);
}

#[tokio::test]
async fn every_entity_tag_is_weak_and_every_subset_has_its_own() {
    let site = Site::new().await;
    let document = binary(gzip(STUDY));
    site.put("a", [("document", document), ("etag", text("\"strong\""))]).await;
    let mut tags = Vec::new();
    for query in ALL_SUBSETS.into_iter().chain([&[("_elements", "note")][..]]) {
        for encoding in ["identity", "gzip"] {
            let response = site.handle(asking_with("a", query, &[("accept-encoding", encoding)])).await;
            let tag = header(response.headers(), "etag").unwrap().to_owned();
            assert!(tag.starts_with("W/\"strong") && tag.ends_with('"'), "{tag}");
            let again = asking_with("a", query, &[("accept-encoding", encoding), ("if-none-match", &tag)]);
            assert_eq!(site.handle(again).await.status(), 304, "{query:?} {tag}");
            tags.push(tag);
        }
    }
    tags.sort();
    tags.dedup();
    // The whole document, three summaries, and two lists of elements.
    assert_eq!(tags.len(), 6, "{tags:?}");
}

#[tokio::test]
async fn the_entity_tag_of_a_subset_is_well_formed_where_the_stored_one_is_empty() {
    let site = Site::new().await;
    site.put("a", [("document", text(STUDY)), ("etag", text("W/\"\""))]).await;
    let response = site.handle(asking("a", &[("_summary", "true")])).await;
    assert_eq!(header(response.headers(), "etag"), Some("W/\"~summary\""));
}

#[tokio::test]
async fn elements_in_another_order_have_the_same_entity_tag() {
    let site = Site::with(STUDY).await;
    let mut tags = Vec::new();
    for elements in ["note,started", "started, ImagingStudy.note,note"] {
        let response = site.handle(asking("Study-1", &[("_elements", elements)])).await;
        tags.push(header(response.headers(), "etag").unwrap().to_owned());
    }
    assert_eq!(tags[0], tags[1]);
}

#[tokio::test]
async fn the_head_item_of_a_study_in_parts_is_enough_for_403_304_412_and_head_requests() {
    let site = Site::new().await;
    // None of its parts exists.
    let attributes =
        [("parts", keys(["a#0", "a#1"])), ("etag", text("\"1\"")), ("subject", text("Patient/7"))];
    site.put("a", attributes).await;
    let patient = json!({ "scope": "patient/ImagingStudy.rs", "patient": "8" });
    for (request, status) in [
        (get_with(&patient, "a"), 403),
        (get("a").header("if-none-match", "\"1\""), 304),
        (get("a").header("if-match", "\"2\""), 412),
        (get("a").method("HEAD"), 200),
        (get("a").method("HEAD").header("accept-encoding", "gzip"), 200),
        (get("a"), 500),
    ] {
        let method = request.method_ref().cloned();
        assert_eq!(site.status(request).await, status, "{method:?}");
    }
}

#[tokio::test]
async fn a_head_request_for_a_study_in_parts_has_the_headers_of_get() {
    let site = Site::new().await;
    let gzip = gzip(STUDY);
    put_parts(&site.table, "a", [&gzip[..20], &gzip[20..]]).await;
    for encoding in ["gzip", "identity"] {
        let found = site.respond(get("a").header("accept-encoding", encoding)).await;
        let head = site.respond(get("a").method("HEAD").header("accept-encoding", encoding)).await;
        assert_eq!((head.status(), head.headers()), (found.status(), found.headers()), "{encoding}");
        assert_eq!(body(&found), STUDY);
        assert_eq!(body(&head), "");
    }
}

#[tokio::test]
async fn parts_that_are_not_one_gzip_member_are_500() {
    let site = Site::new().await;
    let whole = gzip(STUDY);
    let (first, second) = whole.split_at(whole.len() / 2);
    let large = vec![0; 390_000];
    for (name, parts) in [
        ("no gzip", vec![&b"no gzip"[..]]),
        ("disorder", vec![second, first]),
        ("the first alone", vec![first]),
        ("one twice", vec![first, second, second]),
        ("two members", vec![&whole[..], &whole[..]]),
        ("larger than a response", vec![&large[..]; 13]),
    ] {
        put_parts(&site.table, "a", parts).await;
        let response = site.respond(get("a").header("accept-encoding", "gzip")).await;
        assert_eq!(response.status(), 500, "{name}");
    }
    put_parts(&site.table, "a", [first, second]).await;
    let response = site.respond(get("a").header("accept-encoding", "gzip")).await;
    assert!(matches!(response.body(), Body::Binary(bytes) if *bytes == whole));
}

#[tokio::test]
async fn a_head_item_names_1_to_16_parts() {
    let site = Site::new().await;
    let whole = gzip(STUDY);
    for (count, status) in [(0, 500), (1, 200), (16, 200), (17, 500), (20_000, 500)] {
        let names: Vec<_> = (0..count).map(|index| format!("a#{index}")).collect();
        let parts = AttributeValue::L(names.iter().map(text).collect());
        if status == 200 {
            let bytes = whole.len().div_ceil(count);
            for (name, part) in names.iter().zip(whole.chunks(bytes).chain(std::iter::repeat(&[][..]))) {
                site.put(name, [("document", binary(part))]).await;
            }
        }
        site.put("a", [("parts", parts), ("etag", text("\"1\""))]).await;
        assert_eq!(site.status(get("a")).await, status, "{count} parts");
    }
}

#[tokio::test]
async fn the_size_in_a_gzip_trailer_is_trusted_only_if_the_member_is_whole() {
    let site = Site::new().await;
    let large = gzip_of(7_000_000);
    let mut claims_much = gzip(STUDY);
    let trailer = claims_much.len() - 4;
    claims_much[trailer..].copy_from_slice(&7_000_000_u32.to_le_bytes());
    for (name, document, status) in [
        ("a large document", large.clone(), 406),
        ("a large document, truncated", large[..large.len() / 2].to_vec(), 500),
        ("a small document that claims to be large", claims_much, 500),
        ("a small document, truncated", gzip(STUDY)[..100].to_vec(), 500),
    ] {
        site.put("a", [("document", binary(document)), ("etag", text("\"1\""))]).await;
        assert_eq!(site.status(get("a")).await, status, "{name}");
    }
}

#[tokio::test]
async fn preconditions_apply_only_where_the_response_would_be_200() {
    let site = Site::new().await;
    site.put("a", [("document", binary(gzip_of(7_000_000))), ("etag", text("\"1\""))]).await;
    for (headers, status) in [
        (&[][..], 406),
        (&[("if-none-match", "\"1\"")], 406),
        (&[("if-match", "\"2\"")], 406),
        (&[("accept", "text/html"), ("if-none-match", "*")], 406),
        (&[("accept-encoding", "br, identity;q=0"), ("if-none-match", "*")], 406),
        (&[("accept-encoding", "gzip"), ("if-none-match", "\"1\"")], 304),
        (&[("accept-encoding", "gzip"), ("if-match", "\"2\"")], 412),
    ] {
        assert_eq!(site.handle(asking_with("a", &[], headers)).await.status(), status, "{headers:?}");
    }
}

#[tokio::test]
async fn a_coding_that_is_acceptable_is_sent_where_the_preferred_one_is_too_large() {
    let site = Site::new().await;
    let large = gzip_of(7_000_000);
    site.put("a", [("document", binary(large.clone())), ("etag", text("\"1\""))]).await;
    let response = site.respond(get("a").header("accept-encoding", "identity, gzip;q=0.5")).await;
    assert!(matches!(response.body(), Body::Binary(bytes) if *bytes == large));
}

#[tokio::test]
async fn the_406_for_a_content_coding_names_those_that_can_be_sent() {
    let site = Site::with(STUDY).await;
    let response = site.respond(get("Study-1").header("accept-encoding", "br, identity;q=0")).await;
    assert_eq!(response.status(), 406);
    assert_eq!(
        body(&response),
        r#"{"message":"Only the content codings gzip and identity can be sent","statusCode":406}"#
    );
}

#[tokio::test]
async fn a_subset_that_only_fits_compressed_needs_a_client_that_accepts_gzip() {
    let site = Site::new().await;
    site.put("a", [("document", binary(gzip_of(7_000_000))), ("etag", text("\"1\""))]).await;
    let subset = &[("_elements", "description")];
    assert_eq!(site.handle(asking("a", subset)).await.status(), 406);
    let response = site.handle(asking_with("a", subset, &[("accept-encoding", "gzip")])).await;
    let text = body(&response);
    assert!(text.len() > 7_000_000 && text.ends_with(r#""code":"SUBSETTED"}]}}"#));
}

#[tokio::test]
async fn read_units_of_a_failed_read_include_the_parts_that_were_read() {
    let site = Site::new().await;
    let part = vec![0; 300_000];
    put_parts(&site.table, "a", [&part[..]; 3]).await;
    let log = Log::default();
    let listening = log.listen(LevelFilter::INFO);
    assert_eq!(site.status(get("a")).await, 500);
    drop(listening);
    // Half a unit for 4 KB, eventually consistent: one item and three parts.
    let units = audit_line(&log.text())["readUnits"].as_f64().unwrap();
    assert!(units > 3.0 * 300_000.0 / 4096.0 / 2.0, "{units}");
}

#[tokio::test]
async fn a_document_whose_subject_differs_from_the_attribute_beside_it_is_broken_wherever_it_is_opened() {
    let site = Site::new().await;
    let json = r#"{"resourceType":"ImagingStudy","id":"a","subject":{"reference":"Patient/1"}}"#;
    let subject = AttributeValue::M([("reference".to_owned(), text("Patient/1"))].into());
    let members = [("resourceType".to_owned(), text("ImagingStudy")), ("subject".to_owned(), subject)];
    let documents = [text(json), AttributeValue::M(members.into()), binary(gzip(json))];
    for (attribute, statuses) in
        [("Patient/1", [200, 403]), ("Patient/1/_history/3", [200, 403]), ("Patient/2", [500, 500])]
    {
        for document in &documents {
            let attributes =
                [("document", document.clone()), ("etag", text("\"1\"")), ("subject", text(attribute))];
            site.put("a", attributes).await;
            let other_patient = json!({ "scope": "patient/*.rs", "patient": "2" });
            let found = [site.status(get("a")).await, site.status(get_with(&other_patient, "a")).await];
            assert_eq!(found, statuses, "{attribute}");
        }
        // As stored, it is not opened.
        let response = site.respond(get("a").header("accept-encoding", "gzip")).await;
        assert_eq!(response.status(), 200, "{attribute}");
    }
}
