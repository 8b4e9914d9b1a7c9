//! The memory that a request takes, as the operating system counts it (`VmHWM`): at most that of a plain read of the same
//! document, one more copy of it, and 16 MiB.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::{Value, json};
use testkit::process::Accounts;
use tokio::task::JoinSet;

/// What a client may ask for beyond a plain read.
const REQUESTS: [(&str, &str); 4] = [
    ("", "identity"),
    ("_summary=data", "gzip"),
    ("_summary=true", "gzip"),
    ("_elements=extension,series", "identity"),
];
const KIB: usize = 1 << 10;
/// Of the documents that are stored as gzip.
const LARGE: usize = 8 << 20;

/// A study with these extensions, repeated up to this many bytes.
fn study(extension: &str, bytes: usize) -> String {
    let count = (bytes / (extension.len() + 1)).max(1);
    let extensions = vec![extension; count].join(",");
    format!(r#"{{"resourceType":"ImagingStudy","id":"panoramic","extension":[{extensions}]}}"#)
}

fn nested(depth: usize) -> String {
    format!("{}1{}", r#"{"a":["#.repeat(depth), "]}".repeat(depth))
}

fn documents() -> Vec<(&'static str, String)> {
    let members: Vec<_> = (0..30_000).map(|index| format!("\"m{index}\":1")).collect();
    vec![
        ("depth 1", study(&nested(1), LARGE)),
        ("depth 10", study(&nested(10), LARGE)),
        ("depth 45", study(&nested(45), LARGE)),
        ("depth 24,000", study(&nested(12_000), 1)),
        ("30,000 members", study(&format!("{{{}}}", members.join(",")), 1)),
        ("30,000 top members", format!(r#"{{"resourceType":"ImagingStudy",{}}}"#, members.join(","))),
        (
            "a million members",
            format!(r#"{{"resourceType":"ImagingStudy"{}}}"#, r#","a":1"#.repeat(1_000_000)),
        ),
    ]
}

/// Handles one request in a function of its own: the status and the peak of its memory, in KiB.
async fn peak(table: SocketAddr, query: &str, encoding: &str) -> (Value, usize) {
    let mut event = testkit::event("found");
    event["headers"]["accept-encoding"] = json!(encoding);
    event["rawQueryString"] = json!(query);
    let function = super::function(table).await;
    let response = function.invoke(event).await.expect("a response, not an error");
    let peak = Accounts::of(function.process.id().unwrap()).peak_kib().unwrap();
    (response["statusCode"].clone(), peak as usize)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_takes_more_memory_than_a_plain_read_one_more_copy_and_16_mib() {
    let _turn = super::TURN.lock().await;
    let documents: JoinSet<(String, Vec<String>)> =
        documents().into_iter().map(|(name, json)| peaks(name, json)).collect();
    let (rows, exceeded): (Vec<_>, Vec<_>) = documents.join_all().await.into_iter().unzip();
    println!("{}", rows.join("\n"));
    let exceeded = exceeded.concat();
    assert!(exceeded.is_empty(), "{exceeded:#?}");
}

#[tokio::test]
async fn a_study_that_is_too_large_to_be_sent_plain_is_rejected_without_room_for_it() {
    let _turn = super::TURN.lock().await;
    let table = store(&study(&nested(1), 30 * KIB * KIB)).await;
    let (sent, as_stored) = peak(table, "", "gzip").await;
    let (rejected, plain) = peak(table, "", "identity").await;
    assert_eq!((sent, rejected), (json!(200), json!(406)));
    assert!(plain < as_stored + 8 * KIB, "{plain} KiB, and {as_stored} KiB as stored");
}

/// A table of its own with this study.
async fn store(json: &str) -> SocketAddr {
    let (table, address) = super::table().await;
    let document =
        if json.len() < 380_000 { testkit::text(json) } else { testkit::binary(testkit::gzip(json)) };
    let attributes = [("document", document), ("etag", testkit::text("W/\"1\""))];
    testkit::put_item(&table, "panoramic", attributes).await;
    address
}

/// The peaks of all requests for a document, and those that exceed the limit.
async fn peaks(name: &str, json: String) -> (String, Vec<String>) {
    let table = store(&json).await;
    let (status, plain) = peak(table, "", "gzip").await;
    assert_eq!(status, 200, "{name}");
    let limit = plain + json.len() / KIB + 16 * KIB;
    let mut row = format!("{name}: {} KiB; plain {plain}, limit {limit}", json.len() / KIB);
    let mut exceeded = Vec::new();
    for (query, encoding) in REQUESTS {
        let (status, peak) = peak(table, query, encoding).await;
        write!(row, "; {query} {encoding} {status} {peak}").unwrap();
        if peak > limit || ![200, 406].map(Value::from).contains(&status) {
            exceeded.push(format!("{name} {query} {encoding}: {status}, {peak} of {limit} KiB"));
        }
    }
    (row, exceeded)
}
