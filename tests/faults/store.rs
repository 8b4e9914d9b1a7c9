//! What the function answers while its table misbehaves. `docs/api.md` has the statuses, `docs/monitoring.md` the reasons.
//!
//! Each row is a function of its own, in front of a table that is well when it starts, then has the fault, and then is
//! well again: the next read must be a 200.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::{StreamExt as _, iter};
use serde_json::{Value, json};
use testkit::faulty::{Behavior, Stage, Step, head};
use testkit::faulty_store::{Fault, FaultyStore};
use testkit::runtime_api::Function;
use tokio::net::TcpListener;

use Outcome::{Broken, Found, NotFound, Refused, Throttled, Timeout, Unreachable};

/// What the function answers to a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Found,
    NotFound,
    Throttled,
    Unreachable,
    Refused,
    Broken,
    Timeout,
}

impl Outcome {
    fn status_and_reason(self) -> (u64, &'static str) {
        match self {
            Found => (200, "ok"),
            NotFound => (404, "study_not_found"),
            Throttled => (503, "store_throttled"),
            Unreachable => (503, "store_unreachable"),
            Refused => (500, "store_refused"),
            Broken => (500, "document_broken"),
            Timeout => (504, "store_timeout"),
        }
    }

    /// A read has 5 s; what fails at once is tried three times.
    fn within(self) -> Duration {
        Duration::from_secs(if self == Timeout { 6 } else { 4 })
    }
}

/// In every document, and never in an answer that is not 200 or in a log line.
const SECRET: &str = "secret-of-the-document";
/// Rows that are tried at once: most of them wait.
const AT_ONCE: usize = 20;

fn study() -> String {
    format!(r#"{{"resourceType":"ImagingStudy","id":"panoramic","description":"{SECRET}"}}"#)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An error of DynamoDB.
fn error(status: u16, code: &str) -> Behavior {
    let body = json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "for the operator" });
    Behavior::status(status, &body.to_string())
}

/// A page of a proxy.
fn page(status: u16) -> Behavior {
    Behavior::response(status, &[("content-type", "text/html")], &format!("<html>{SECRET}</html>"))
}

/// An item without its keys.
fn item(attributes: &Value) -> Behavior {
    Behavior::json(json!({ "Item": attributes }).to_string())
}

/// An item with this `document`.
fn document(value: &Value) -> Behavior {
    item(&json!({ "document": value }))
}

fn text(json: &str) -> Behavior {
    document(&json!({ "S": json }))
}

fn binary(bytes: &[u8]) -> Value {
    json!({ "B": BASE64_STANDARD.encode(bytes) })
}

/// A gzip item with an entity tag, so that its writer is believed.
fn tagged(gzip: &[u8]) -> Behavior {
    item(&json!({ "document": binary(gzip), "etag": { "S": "W/\"1\"" } }))
}

fn parts(keys: &Value) -> Behavior {
    item(&json!({ "parts": keys, "etag": { "S": "W/\"1\"" } }))
}

/// A response with these headers and this body, whether they fit or not.
fn raw(headers: &[(&str, &str)], body: &str) -> Behavior {
    Behavior::bytes(head(200, headers) + body)
}

/// These bytes, and then this.
fn then(bytes: impl Into<Vec<u8>>, step: Step) -> Behavior {
    Behavior::steps([Step::Send(bytes.into()), step])
}

fn once(behavior: Behavior) -> Fault {
    Fault { times: 1, ..behavior.into() }
}

fn of_parts(behavior: Behavior) -> Fault {
    Fault { calls_with: "panoramic#", ..behavior.into() }
}

#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "a table")]
fn rows() -> Vec<(&'static str, Fault, Outcome)> {
    let good = json!({ "Item": { "document": { "S": study() } } }).to_string();
    let length = good.len().to_string();
    let whole = head(200, &[("content-type", "application/json"), ("content-length", &length)]);
    let half = format!("{whole}{}", &good[..good.len() / 2]);
    let zip = gzip(study().as_bytes());
    let mut claim = zip.clone();
    let trailer = claim.len() - 4;
    claim[trailer..].copy_from_slice(&7_000_000_u32.to_le_bytes());
    let deep = format!(r#"{{"Item":{{"document":{}{{"S":"x"}}{}}}}}"#, r#"{"L":["#.repeat(50_000), "]}".repeat(50_000));

    let rows: Vec<(&'static str, Behavior, Outcome)> = vec![
        // DynamoDB answers with an error.
        ("ProvisionedThroughputExceededException", error(400, "ProvisionedThroughputExceededException"), Throttled),
        ("ThrottlingException",                    error(400, "ThrottlingException"), Throttled),
        ("Throttling",                             error(400, "Throttling"), Throttled),
        ("RequestLimitExceeded",                   error(400, "RequestLimitExceeded"), Throttled),
        ("429 without a code",                     Behavior::status(429, ""), Throttled),
        ("AccessDeniedException",                  error(400, "AccessDeniedException"), Refused),
        ("ResourceNotFoundException",              error(400, "ResourceNotFoundException"), Refused),
        ("ValidationException",                    error(400, "ValidationException"), Refused),
        ("UnrecognizedClientException",            error(400, "UnrecognizedClientException"), Refused),
        ("ExpiredTokenException",                  error(400, "ExpiredTokenException"), Refused),
        ("InvalidSignatureException",              error(400, "InvalidSignatureException"), Refused),
        ("an unknown code",                        error(400, "SomethingNew"), Refused),
        ("400 without a body",                     Behavior::status(400, ""), Refused),
        ("400 with a body that is not JSON",       Behavior::status(400, SECRET), Refused),
        ("403 of a proxy",                         page(403), Refused),
        ("404 of a proxy",                         page(404), Refused),
        ("413 of a proxy",                         page(413), Refused),
        ("302 of a proxy",                         Behavior::response(302, &[("location", "http://127.0.0.1:1/")], ""), Refused),
        ("InternalServerError",                    error(500, "InternalServerError"), Unreachable),
        ("500 without a body",                     Behavior::status(500, ""), Unreachable),
        ("502 of a proxy",                         page(502), Unreachable),
        ("503 of a proxy",                         page(503), Unreachable),
        ("504 of a proxy",                         page(504), Unreachable),
        // DynamoDB answers 200, but the response is damaged.
        ("a page of a proxy",                      page(200), Unreachable),
        ("not JSON",                               Behavior::json(SECRET), Unreachable),
        ("JSON of another shape",                  Behavior::json("[]"), Unreachable),
        ("an item that is a list",                 Behavior::json(r#"{"Item":[]}"#), Unreachable),
        ("truncated JSON of the right length",     Behavior::json(&good[..good.len() / 2]), Unreachable),
        ("JSON that is not UTF-8",                 Behavior::bytes([head(200, &[("content-length", "17")]).as_bytes(), b"{\"Item\":{\"a\":\"\xff\"}"].concat()), Unreachable),
        ("attributes 50,000 levels deep",          Behavior::json(deep), Unreachable),
        ("a longer Content-Length",                raw(&[("content-length", "99999")], &good), Unreachable),
        ("a shorter Content-Length",               raw(&[("content-length", "20")], &good), Unreachable),
        ("a Content-Length that is not a number",  raw(&[("content-length", "x")], &good), Unreachable),
        ("two Content-Lengths",                    raw(&[("content-length", "2"), ("content-length", "3")], "{} "), Unreachable),
        ("a broken chunk size",                    raw(&[("transfer-encoding", "chunked")], "xyz\r\n{}\r\n0\r\n\r\n"), Unreachable),
        ("a truncated chunk",                      raw(&[("transfer-encoding", "chunked")], "99\r\n{\"Item\":"), Unreachable),
        ("not HTTP",                               Behavior::bytes("\x16\x03\x03 nothing that is HTTP\r\n\r\n"), Unreachable),
        ("HTTP/2",                                 Behavior::bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Unreachable),
        ("endless headers",                        Behavior::steps([Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), Step::Repeat(b"x: y\r\n".to_vec())]), Unreachable),
        ("an endless body",                        Behavior::steps([Step::Send(head(200, &[]).into_bytes()), Step::Repeat(vec![b' '; 4096])]), Unreachable),
        ("another Content-Type",                   Behavior::response(200, &[("content-type", "text/html")], &good), Found),
        ("no item",                                Behavior::json("{}"), NotFound),
        ("a null item",                            Behavior::json(r#"{"Item":null}"#), NotFound),
        // The connection fails.
        ("RST on connecting",                      Behavior::steps([Step::Reset]).at(Stage::Connected), Unreachable),
        ("FIN on connecting",                      Behavior::steps([]).at(Stage::Connected), Unreachable),
        ("RST after the request",                  Behavior::steps([Step::Reset]), Unreachable),
        ("FIN after the request",                  Behavior::steps([]), Unreachable),
        ("RST within the status line",             then("HTTP/1.1 2", Step::Reset), Unreachable),
        ("FIN within the headers",                 Behavior::bytes("HTTP/1.1 200 OK\r\ncontent-"), Unreachable),
        ("RST after the headers",                  then(whole.clone(), Step::Reset), Unreachable),
        ("RST within the body",                    then(half.clone(), Step::Reset), Unreachable),
        ("FIN within the body",                    Behavior::bytes(half.clone()), Unreachable),
        ("silence on connecting",                  Behavior::steps([Step::Hang]).at(Stage::Connected), Timeout),
        ("silence after the request",              Behavior::steps([Step::Hang]), Timeout),
        ("silence after the headers",              then(whole.clone(), Step::Hang), Timeout),
        ("silence within the body",                then(half, Step::Hang), Timeout),
        ("a byte every 50 ms",                     Behavior::steps([Step::Drip((whole + &good).into_bytes(), Duration::from_millis(50))]), Timeout),
        ("an answer after 10 s",                   Behavior::json(good).after(Duration::from_secs(10)), Timeout),
        // The item is not a study.
        ("no document",                            item(&json!({})), Broken),
        ("document: N",                            document(&json!({ "N": "1" })), Broken),
        ("document: BOOL",                         document(&json!({ "BOOL": true })), Broken),
        ("document: NULL",                         document(&json!({ "NULL": true })), Broken),
        ("document: SS",                           document(&json!({ "SS": [SECRET] })), Broken),
        ("document: NS",                           document(&json!({ "NS": ["1"] })), Broken),
        ("document: BS",                           document(&json!({ "BS": ["AAAA"] })), Broken),
        ("document: L",                            document(&json!({ "L": [{ "S": SECRET }] })), Broken),
        ("document: M without members",            document(&json!({ "M": {} })), Broken),
        ("document: M with a binary",              document(&json!({ "M": { "resourceType": { "S": "ImagingStudy" }, "x": { "B": "AAAA" } } })), Broken),
        ("document: M with a number that is none", document(&json!({ "M": { "resourceType": { "S": "ImagingStudy" }, "x": { "N": "0x1" } } })), Broken),
        ("document: of an unknown type",           document(&json!({ "X": SECRET })), Broken),
        ("document: B that is not base64",         document(&json!({ "B": "%" })), Unreachable),
        ("document: S, empty",                     text(""), Broken),
        ("document: S, not JSON",                  text(SECRET), Broken),
        ("document: S, truncated JSON",            text(&study()[..60]), Broken),
        ("document: S, another resource",          text(r#"{"resourceType":"Patient"}"#), Broken),
        ("document: S, 100,000 levels deep",       text(&"[".repeat(100_000)), Broken),
        ("document: B, empty",                     document(&json!({ "B": "" })), Broken),
        ("document: B, not gzip",                  document(&binary(SECRET.as_bytes())), Broken),
        ("document: B, truncated gzip",            tagged(&zip[..zip.len() - 9]), Broken),
        ("document: B, two gzip members",          tagged(&[zip.clone(), zip].concat()), Broken),
        ("document: B, a false size",              tagged(&claim), Broken),
        ("document: B, 64 MiB of blanks",          tagged(&gzip(&vec![b' '; 64 << 20])), Broken),
        ("parts: S",                               parts(&json!({ "S": "panoramic#0" })), Broken),
        ("parts: none",                            parts(&json!({ "L": [] })), Broken),
        ("parts: 17",                              parts(&json!({ "L": vec![json!({ "S": "panoramic#0" }); 17] })), Broken),
        ("parts: of numbers",                      parts(&json!({ "L": [{ "N": "1" }] })), Broken),
        ("parts: not there",                       parts(&json!({ "L": [{ "S": "other#0" }] })), Broken),
        ("parts: without an entity tag",           item(&json!({ "parts": { "L": [{ "S": "panoramic#0" }] } })), Broken),
    ];
    let mut rows: Vec<_> = rows.into_iter().map(|(name, behavior, outcome)| (name, Fault::from(behavior), outcome)).collect();
    rows.extend([
        // One of several calls fails, and the next attempt or the next call does not.
        ("throttled once",                         once(error(400, "ThrottlingException")), Found),
        ("InternalServerError once",               once(error(500, "InternalServerError")), Found),
        ("RST once",                               once(Behavior::steps([Step::Reset])), Found),
        ("FIN once",                               once(Behavior::steps([])), Found),
        ("silence once",                           once(Behavior::steps([Step::Hang])), Found),
        // The document is in parts, and only these fail.
        ("parts throttled",                        of_parts(error(400, "ThrottlingException")), Throttled),
        ("parts refused",                          of_parts(error(400, "AccessDeniedException")), Refused),
        ("parts: InternalServerError",             of_parts(error(500, "InternalServerError")), Unreachable),
        ("parts: RST",                             of_parts(Behavior::steps([Step::Reset])), Unreachable),
        ("parts: silence",                         of_parts(Behavior::steps([Step::Hang])), Timeout),
        ("parts: missing",                         of_parts(Behavior::json("{}")), Broken),
        ("parts: of type S",                       of_parts(text(SECRET)), Broken),
        ("parts: not gzip",                        of_parts(document(&binary(SECRET.as_bytes()))), Broken),
    ]);
    rows
}

/// The event of a read of `panoramic`.
fn event() -> Value {
    serde_json::from_str(include_str!("../../events/found.json")).unwrap()
}

/// A table in which `panoramic` is in two parts, so that faults can concern them alone.
async fn table() -> std::net::SocketAddr {
    let (table, address) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
    super::thaw::put_in_parts(&table, &study(), 2).await;
    address
}

#[tokio::test]
async fn every_fault_of_the_table_has_its_answer_in_time_and_the_next_read_is_200() {
    let _turn = crate::TURN.lock().await;
    let rows = rows();
    assert!(rows.len() >= 60);
    let table = table().await;
    let answers: Vec<_> = iter(rows)
        .map(|(name, fault, expected)| async move {
            let (seen, wrong) = tried(table, fault, expected).await;
            (name, expected, seen, wrong)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut report = String::new();
    let mut failed = 0;
    for (name, expected, seen, wrong) in answers {
        failed += usize::from(!wrong.is_empty());
        let (status, reason) = expected.status_and_reason();
        writeln!(report, "{name:<42} {status} {reason:<18} {seen} {}", wrong.join("; ")).unwrap();
    }
    println!("{report}");
    assert_eq!(failed, 0, "\n{report}");
}

/// What was answered under a fault, and everything about it that is wrong.
async fn tried(table: std::net::SocketAddr, fault: Fault, expected: Outcome) -> (String, Vec<String>) {
    let store = FaultyStore::in_front_of(table).await;
    let environment = local::environment(&format!("http://{}", store.address));
    let mut function = Function::start(env!("CARGO_BIN_EXE_bootstrap"), &environment).await;
    function.poll().await;
    let mut wrong = Vec::new();

    store.set(Some(fault));
    let started = Instant::now();
    let answer = function.invoke(event()).await.unwrap_or_else(|error| error);
    let took = started.elapsed();
    store.set(None);
    let next = function.invoke(event()).await.unwrap_or_else(|error| error);

    let line = function.audit_line().await;
    let (status, reason) = expected.status_and_reason();
    if (&answer["statusCode"], &line["reason"]) != (&json!(status), &json!(reason)) {
        wrong.push("another answer".to_owned());
    }
    if took > expected.within() {
        wrong.push(format!("after {took:?}"));
    }
    if status != 200 && answer.to_string().contains(SECRET) {
        wrong.push("the answer shows the document".to_owned());
    }
    if next["statusCode"] != 200 {
        wrong.push(format!("the next read is {}", next["statusCode"]));
    }
    // Whatever else is in the log by now was logged before the second line.
    let mut log = line.to_string();
    loop {
        let line = function.line().await.unwrap();
        log.push_str(&line);
        if line.contains("imaging_study::audit") {
            break;
        }
    }
    if log.contains(SECRET) {
        wrong.push("the log shows the document".to_owned());
    }
    let seen = format!("{} {} {:.1} s", answer["statusCode"], line["reason"], took.as_secs_f64());
    (seen, wrong)
}
