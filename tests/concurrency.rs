//! The real binary with many requests at once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::process::Accounts;
use testkit::relay::Relay;
use testkit::runtime_api::{Function, Sent};
use tokio::net::TcpListener;
use tokio::sync::watch;

const BOOTSTRAP: &str = env!("CARGO_BIN_EXE_bootstrap");
/// `AWS_LAMBDA_MAX_CONCURRENCY` in these tests.
const CONCURRENCY: usize = 64;

fn document(number: usize) -> String {
    json!({ "resourceType": "ImagingStudy", "id": format!("study-{number}"), "description": format!("No. {number}") })
        .to_string()
}

fn event(number: usize) -> String {
    let mut event: Value = serde_json::from_str(include_str!("../events/found.json")).unwrap();
    event["pathParameters"]["id"] = format!("study-{number}").into();
    event["rawPath"] = format!("/site/4/fhir/imaging-study/study-{number}").into();
    event["requestContext"]["requestId"] = format!("request-{number}").into();
    event.to_string()
}

/// A store that holds [`CONCURRENCY`] documents.
async fn store() -> SocketAddr {
    let (table, address) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
    for number in 0..CONCURRENCY {
        testkit::put(&table, &document(number)).await;
    }
    address
}

/// The environment of the function; `max_concurrency` as Lambda would set it.
fn environment(store: SocketAddr, max_concurrency: Option<usize>) -> HashMap<String, String> {
    let mut environment = local::environment(&format!("http://{store}"));
    environment.extend(max_concurrency.map(|max| ("AWS_LAMBDA_MAX_CONCURRENCY".to_owned(), max.to_string())));
    environment
}

/// Fails unless the answer is the one to [`event`] of this number.
fn assert_answers(sent: Sent, number: usize) {
    let answer: Value = serde_json::from_slice(&sent.payload.expect("a response, not an error")).unwrap();
    assert_eq!(answer["statusCode"], 200, "{number}: {answer}");
    assert_eq!(answer["body"], document(number));
    assert_eq!(answer["headers"]["x-request-id"], format!("request-{number}"));
}

fn names_study(call: &[u8], number: usize) -> bool {
    String::from_utf8_lossy(call).contains(&format!("\"study-{number}\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_reads_run_at_once_as_lambda_allows() {
    // No call is answered before all of them have arrived.
    let (arrived, _) = watch::channel(0);
    let relay = Relay::in_front_of(store().await, move |call| {
        let is_read = String::from_utf8_lossy(call).contains("\"study-");
        if is_read {
            arrived.send_modify(|arrived| *arrived += 1);
        }
        let mut arrivals = arrived.subscribe();
        async move {
            if is_read {
                arrivals.wait_for(|&arrived| arrived >= CONCURRENCY).await.unwrap();
            }
        }
    });
    let relay = relay.await.unwrap();
    let function = Function::start(BOOTSTRAP, &environment(relay.address, Some(CONCURRENCY))).await;
    let answers = join_all((0..CONCURRENCY).map(|number| function.exchange(event(number)))).await;
    for (number, answer) in answers.into_iter().enumerate() {
        assert_answers(answer, number);
    }
    assert!(relay.most_in_flight() >= CONCURRENCY, "{} at once", relay.most_in_flight());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_read_delays_no_other() {
    let (release, released) = watch::channel(false);
    let relay = Relay::in_front_of(store().await, move |call| {
        let stalls = names_study(call, 0);
        let mut released = released.clone();
        async move {
            if stalls {
                released.wait_for(|&released| released).await.unwrap();
            }
        }
    });
    let relay = relay.await.unwrap();
    let function = Function::start(BOOTSTRAP, &environment(relay.address, Some(CONCURRENCY))).await;
    let api = function.api.clone();
    let stalled = tokio::spawn(async move { api.exchange(event(0)).await });
    for _ in 0..3 {
        let others = join_all((1..CONCURRENCY).map(|number| function.exchange(event(number)))).await;
        for (answer, number) in others.into_iter().zip(1..) {
            assert_answers(answer, number);
        }
    }
    assert!(!stalled.is_finished(), "the stalled read was not stalled");
    release.send(true).unwrap();
    assert_answers(stalled.await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_and_every_line_of_the_log_belongs_to_its_request() {
    const ROUNDS: usize = 8;
    // Later calls overtake earlier ones.
    let calls = AtomicU64::new(0);
    let relay = Relay::in_front_of(store().await, move |_| {
        let number = calls.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(number.wrapping_mul(7) % 16))
    });
    let relay = relay.await.unwrap();
    let mut function = Function::start(BOOTSTRAP, &environment(relay.address, Some(CONCURRENCY))).await;
    let mut request_ids = HashMap::new();
    for _ in 0..ROUNDS {
        let answers = join_all((0..CONCURRENCY).map(|number| function.exchange(event(number)))).await;
        for (number, answer) in answers.into_iter().enumerate() {
            request_ids.insert(answer.request_id.clone(), number);
            assert_answers(answer, number);
        }
    }
    assert_eq!(request_ids.len(), ROUNDS * CONCURRENCY);
    assert_eq!(function.api.unsolicited(), 0);
    while !request_ids.is_empty() {
        let line = function.audit_line().await;
        let number =
            request_ids.remove(line["requestId"].as_str().unwrap()).expect("one line for each request");
        assert_eq!(line["gatewayRequestId"], format!("request-{number}"));
        assert_eq!(line["study"], format!("study-{number}"));
    }
}

#[tokio::test]
async fn without_concurrency_one_thread_does_everything() {
    let store = store().await;
    for max_concurrency in [None, Some(1)] {
        let mut function = Function::start(BOOTSTRAP, &environment(store, max_concurrency)).await;
        function.poll().await;
        assert_answers(function.exchange(event(1)).await, 1);
        let accounts = Accounts::of(function.process.id().unwrap());
        assert_eq!(accounts.threads().unwrap(), 1, "{max_concurrency:?}");
    }
}
