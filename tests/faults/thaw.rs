//! The first read after a thaw: the connections of a frozen function die, with or without a word.

use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use testkit::faulty_store::{Death, FaultyStore};
use testkit::runtime_api::Function;
use tokio::net::TcpListener;

const STUDY: &str = r#"{"resourceType":"ImagingStudy","id":"panoramic","status":"available"}"#;

/// Time limit of one attempt, in `src/aws.rs`.
const ATTEMPT: Duration = Duration::from_millis(1_500);
/// For the wait before the second attempt, at most 50 ms, and that attempt.
const SECOND_ATTEMPT: Duration = Duration::from_millis(500);

/// Puts a study in this many parts.
pub(super) async fn put_in_parts(table: &Client, json: &str, parts: usize) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(json.as_bytes()).unwrap();
    let gzip = encoder.finish().unwrap();
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let put = |key: &str| {
        table.put_item().table_name(local::TABLE).item("siteId", text(local::SITE)).item("id", text(key))
    };
    let mut keys = Vec::new();
    for index in 0..parts {
        let part = &gzip[index * gzip.len() / parts..(index + 1) * gzip.len() / parts];
        let key = format!("panoramic#{index}");
        put(&key).item("document", AttributeValue::B(Blob::new(part))).send().await.unwrap();
        keys.push(AttributeValue::S(key));
    }
    put("panoramic").item("parts", AttributeValue::L(keys)).item("etag", text("\"1\"")).send().await.unwrap();
}

/// Stops and continues a process, as Lambda freezes and thaws it.
fn signal(function: &Function, signal: &str) {
    let id = function.process.id().unwrap().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

async fn read(function: &Function) -> (Value, Duration) {
    let event = serde_json::from_str(include_str!("../../events/found.json")).unwrap();
    let started = Instant::now();
    let answer = function.invoke(event).await.expect("an answer, not an error");
    (answer["statusCode"].clone(), started.elapsed())
}

#[tokio::test]
async fn the_first_read_after_a_thaw_needs_one_more_attempt_at_most_however_many_parts_were_read_before() {
    let _turn = crate::TURN.lock().await;
    let mut failed = Vec::new();
    for parts in [0, 2, 5, 12] {
        for death in [Death::Closed, Death::Reset, Death::Silent] {
            let (table, address) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
            match parts {
                0 => testkit::put(&table, STUDY).await,
                parts => put_in_parts(&table, STUDY, parts).await,
            }
            let store = FaultyStore::in_front_of(address).await;
            let environment = local::environment(&format!("http://{}", store.address));
            let function = Function::start(env!("CARGO_BIN_EXE_bootstrap"), &environment).await;
            let before = read(&function).await;
            signal(&function, "-STOP");
            store.kill_connections(death);
            signal(&function, "-CONT");
            let after = read(&function).await;
            let again = read(&function).await;
            let row = format!("{parts:>2} parts, {death:?}: {before:?}, thawed {after:?}, then {again:?}");
            println!("{row}");
            if before.0 != 200 || after.0 != 200 || again.0 != 200 || after.1 > ATTEMPT + SECOND_ATTEMPT {
                failed.push(row);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test]
async fn at_most_four_parts_are_fetched_at_once() {
    let _turn = crate::TURN.lock().await;
    let (table, address) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
    put_in_parts(&table, STUDY, 12).await;
    let store = FaultyStore::in_front_of(address).await;
    let environment = local::environment(&format!("http://{}", store.address));
    let function = Function::start(env!("CARGO_BIN_EXE_bootstrap"), &environment).await;
    assert_eq!(read(&function).await.0, 200);
    let most = store.calls().most_in_flight;
    assert!((2..=4).contains(&most), "{most}");
}
