//! What the service responds with while its table misbehaves. `docs/api.md` has the statuses, `docs/monitoring.md` the
//! reasons.
//!
//! Each row is a service of its own. Its table is well at the start, then has the fault, and then is well again: the next
//! read must be a 200.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lambda_http::Body;
use serde_json::{Value, json};
use testkit::dynamodb::error;
use testkit::log::{Log, audit_line};
use testkit::server::{Behavior, Request, Server, Stage, Step, head};
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;

use crate::api::{get, service};

use Outcome::{Broken, Found, NotFound, Refused, Throttled, Timeout, Unreachable};

/// The outcome of a read.
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
    fn status_and_reason(self) -> (u16, &'static str) {
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

/// The name of a row, how the table misbehaves, and the outcome.
type Row = (&'static str, Behavior, Outcome);

/// In every document, and never in a response that is not 200 or in a log line.
const SECRET: &str = "secret-of-the-document";
/// In every call for a part of the study, which is stored in two.
const PART: &str = "panoramic#";

fn study() -> String {
    format!(r#"{{"resourceType":"ImagingStudy","id":"panoramic","description":"{SECRET}"}}"#)
}

/// A page of a proxy.
fn page(status: u16) -> Behavior {
    Behavior::response(status, &[("content-type", "text/html")], &format!("<html>{SECRET}</html>"))
}

/// An item with this `document`.
fn document(value: &Value) -> Behavior {
    Behavior::json(json!({ "Item": { "document": value } }).to_string())
}

/// A response with these headers and this body, whether they fit or not.
fn raw(headers: &[(&str, &str)], body: &str) -> Behavior {
    Behavior::bytes(head(200, headers) + body)
}

/// These bytes, and then this.
fn then(bytes: impl Into<Vec<u8>>, step: Step) -> Behavior {
    Behavior::steps([Step::Send(bytes.into()), step])
}

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    let good = json!({ "Item": { "document": { "S": study() } } }).to_string();
    let length = good.len().to_string();
    let whole = head(200, &[("content-type", "application/json"), ("content-length", &length)]);
    let half = format!("{whole}{}", &good[..good.len() / 2]);
    let deep = format!(r#"{{"Item":{{"document":{}{{"S":"x"}}{}}}}}"#, r#"{"L":["#.repeat(50_000), "]}".repeat(50_000));

    vec![
        // DynamoDB responds with an error.
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
        // The status is 200, but the response is damaged.
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
        ("a response after 10 s",                  Behavior::json(good).after(Duration::from_secs(10)), Timeout),
        ("an attribute of an unknown type",        document(&json!({ "X": SECRET })), Broken),
        ("a binary that is not base64",            document(&json!({ "B": "%" })), Unreachable),
        ("a number that is not a number",          document(&json!({ "M": { "resourceType": { "S": "ImagingStudy" }, "x": { "N": "0x1" } } })), Broken),
        // One of several calls fails, and the next attempt or the next call does not.
        ("throttled once",                         error(400, "ThrottlingException").once(), Found),
        ("InternalServerError once",               error(500, "InternalServerError").once(), Found),
        ("RST once",                               Behavior::steps([Step::Reset]).once(), Found),
        ("FIN once",                               Behavior::steps([]).once(), Found),
        ("silence once",                           Behavior::steps([Step::Hang]).once(), Found),
        // The document is in parts, and only these fail.
        ("parts: throttled",                       error(400, "ThrottlingException").for_body_with(PART), Throttled),
        ("parts: access denied",                   error(400, "AccessDeniedException").for_body_with(PART), Refused),
        ("parts: InternalServerError",             error(500, "InternalServerError").for_body_with(PART), Unreachable),
        ("parts: RST",                             Behavior::steps([Step::Reset]).for_body_with(PART), Unreachable),
        ("parts: silence",                         Behavior::steps([Step::Hang]).for_body_with(PART), Timeout),
        ("parts: missing",                         Behavior::json("{}").for_body_with(PART), Broken),
        ("parts: of type S",                       document(&json!({ "S": SECRET })).for_body_with(PART), Broken),
        ("parts: not gzip",                        document(&json!({ "B": BASE64_STANDARD.encode(SECRET) })).for_body_with(PART), Broken),
    ]
}

/// The table while it is well.
fn item(call: &Request) -> Vec<Step> {
    let gzip = testkit::gzip(study());
    let (first, second) = gzip.split_at(20);
    let part = |bytes| json!({ "Item": { "document": { "B": BASE64_STANDARD.encode(bytes) } } });
    let response = match call.json()["Key"]["id"]["S"].as_str() {
        Some("panoramic") => {
            let keys = ["panoramic#0", "panoramic#1"].map(|key| json!({ "S": key }));
            json!({ "Item": { "parts": { "L": keys }, "etag": { "S": "\"1\"" } } })
        }
        Some("panoramic#0") => part(first),
        Some("panoramic#1") => part(second),
        _ => json!({}),
    };
    Behavior::kept_open(200, &response.to_string()).steps
}

#[test]
fn every_fault_of_the_table_has_its_outcome_in_time_and_the_next_read_is_200() {
    let rows = rows();
    assert!(rows.len() >= 60);
    super::for_each(&rows, async |(name, fault, outcome): &Row| {
        try_row(fault, *outcome).await.map_err(|failure| format!("{name}: {failure}"))
    });
}

async fn try_row(fault: &Behavior, outcome: Outcome) -> Result<(), String> {
    let table = Server::scripted(None, item).await;
    table.skip_time();
    let service = service(table.address());
    service.warm_up().await;
    table.set("/", fault.clone());
    // The next call is to meet the fault even if it begins with the connection.
    table.end_connections([]);

    let log = Log::default();
    let listening = log.listen(LevelFilter::INFO);
    let started = Instant::now();
    let response = service.handle(get("panoramic").body(Body::Empty).unwrap()).await;
    let took = started.elapsed();
    drop(listening);
    let log = log.take();
    let line = audit_line(&log);
    let (status, reason) = outcome.status_and_reason();
    if (response.status().as_u16(), &line["reason"]) != (status, &json!(reason)) {
        return Err(format!("{}, not {status}: {log}", response.status()));
    }
    if took > outcome.within() {
        return Err(format!("after {took:?}"));
    }
    let retry_after = response.headers().get("retry-after");
    if (status == 503) != retry_after.is_some_and(|seconds| seconds == "1") {
        return Err(format!("Retry-After is {retry_after:?}"));
    }
    if (status >= 500) != line["cause"].is_string() {
        return Err(format!("the cause is {}", line["cause"]));
    }
    if log.contains(SECRET) || (status != 200 && format!("{response:?}").contains(SECRET)) {
        return Err("the response or the log shows the document".to_owned());
    }
    table.reset();
    table.end_connections([]);
    let next = service.handle(get("panoramic").body(Body::Empty).unwrap()).await;
    if next.status() == 200 { Ok(()) } else { Err(format!("the next read is {}", next.status())) }
}
