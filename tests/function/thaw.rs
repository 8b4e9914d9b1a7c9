//! The first read after a thaw: the connections of a frozen function die, with or without a word.

use std::process::Command;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use futures_util::future::join_all;
use serde_json::Value;
use testkit::runtime_api::Function;
use testkit::server::{Server, Step};

const STUDY: &str = r#"{"resourceType":"ImagingStudy","id":"panoramic","status":"available"}"#;

/// Time limit of one attempt, in `src/aws.rs`.
const ATTEMPT: Duration = Duration::from_millis(1_500);
/// For the wait before the second attempt, at most 50 ms, and that attempt.
const SECOND_ATTEMPT: Duration = Duration::from_millis(500);

/// Puts the study in this many parts; in none if it is 0.
async fn put(table: &Client, parts: usize) {
    if parts == 0 {
        return testkit::put(table, STUDY).await;
    }
    let gzip = testkit::gzip(STUDY);
    let bounds = |index| index * gzip.len() / parts;
    let parts = (0..parts).map(|index| &gzip[bounds(index)..bounds(index + 1)]);
    testkit::put_parts(table, "panoramic", parts).await;
}

/// Stops and continues a process, as Lambda freezes and thaws it.
fn signal(function: &Function, signal: &str) {
    let id = function.process.id().unwrap().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

async fn read(function: &Function) -> (Value, Duration) {
    let started = Instant::now();
    let response = function.invoke(testkit::event("found")).await.expect("a response, not an error");
    (response["statusCode"].clone(), started.elapsed())
}

/// The read of a study in this many parts after a thaw that ends connections by `death`, and what is wrong with it.
async fn thaw(parts: usize, death: &[Step]) -> (String, bool) {
    let (table, address) = super::table().await;
    put(&table, parts).await;
    let store = Server::in_front_of(address).await;
    let function = super::function(store.address()).await;
    let before = read(&function).await;
    signal(&function, "-STOP");
    store.end_connections(death);
    signal(&function, "-CONT");
    let after = read(&function).await;
    let again = read(&function).await;
    let row = format!("{parts:>2} parts, {death:?}: {before:?}, thawed {after:?}, then {again:?}");
    let fails = before.0 != 200 || after.0 != 200 || again.0 != 200 || after.1 > ATTEMPT + SECOND_ATTEMPT;
    (row, fails)
}

#[tokio::test]
async fn the_first_read_after_a_thaw_needs_one_more_attempt_at_most_however_many_parts_were_read_before() {
    let _turn = super::TURN.lock().await;
    // The client is told by FIN, by RST, or not at all.
    for death in [&[][..], &[Step::Reset], &[Step::Hang]] {
        let rows = join_all([0, 2, 5, 12].map(|parts| thaw(parts, death))).await;
        println!("{rows:#?}");
        assert!(rows.iter().all(|(_, fails)| !fails), "{rows:#?}");
    }
}

#[tokio::test]
async fn at_most_four_parts_are_fetched_at_once() {
    let (table, address) = super::table().await;
    put(&table, 12).await;
    let store = Server::in_front_of(address).await;
    let function = super::function(store.address()).await;
    assert_eq!(read(&function).await.0, 200);
    let most = store.most_in_flight();
    assert!((2..=4).contains(&most), "{most}");
}
