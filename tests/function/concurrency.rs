//! Many requests at once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::process::Accounts;
use testkit::runtime_api::{Function, Sent};
use testkit::server::Server;
use tokio::sync::watch;

/// `AWS_LAMBDA_MAX_CONCURRENCY` in these tests.
const CONCURRENCY: usize = 64;

fn document(number: usize) -> String {
    json!({ "resourceType": "ImagingStudy", "id": format!("study-{number}"), "description": format!("No. {number}") })
        .to_string()
}

fn event(number: usize) -> String {
    let mut event = testkit::event("found");
    event["pathParameters"]["id"] = format!("study-{number}").into();
    event["rawPath"] = format!("/site/4/fhir/imaging-study/study-{number}").into();
    event["requestContext"]["requestId"] = format!("request-{number}").into();
    event.to_string()
}

/// A table that holds [`CONCURRENCY`] documents.
async fn store() -> SocketAddr {
    super::table_with((0..CONCURRENCY).map(document)).await
}

/// The function, reading from `store`; `max_concurrency` as Lambda would set it.
async fn function(store: SocketAddr, max_concurrency: Option<usize>) -> Function {
    let mut environment = local::environment(&format!("http://{store}"));
    environment.extend(max_concurrency.map(|max| ("AWS_LAMBDA_MAX_CONCURRENCY".to_owned(), max.to_string())));
    Function::start(super::BOOTSTRAP, &environment).await
}

/// Fails unless this is the response to [`event`] of this number.
fn assert_responds(sent: Sent, number: usize) {
    let response: Value = serde_json::from_slice(&sent.payload.expect("a response, not an error")).unwrap();
    assert_eq!(response["statusCode"], 200, "{number}: {response}");
    assert_eq!(response["body"], document(number));
    assert_eq!(response["headers"]["x-request-id"], format!("request-{number}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_reads_run_at_once_as_lambda_allows() {
    // No call is forwarded before all of them have arrived.
    let (arrived, _) = watch::channel(0);
    let table = Server::delaying(store().await, move |call| {
        let is_read = call.has("\"study-");
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
    let table = table.await;
    let function = function(table.address(), Some(CONCURRENCY)).await;
    let responses = join_all((0..CONCURRENCY).map(|number| function.exchange(event(number)))).await;
    for (number, response) in responses.into_iter().enumerate() {
        assert_responds(response, number);
    }
    assert!(table.most_in_flight() >= CONCURRENCY, "{} at once", table.most_in_flight());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_read_delays_no_other() {
    let (release, released) = watch::channel(false);
    let table = Server::delaying(store().await, move |call| {
        let stalls = call.has("\"study-0\"");
        let mut released = released.clone();
        async move {
            if stalls {
                released.wait_for(|&released| released).await.unwrap();
            }
        }
    });
    let table = table.await;
    let function = function(table.address(), Some(CONCURRENCY)).await;
    let api = function.api.clone();
    let stalled = tokio::spawn(async move { api.exchange(event(0)).await });
    for _ in 0..3 {
        let others = join_all((1..CONCURRENCY).map(|number| function.exchange(event(number)))).await;
        for (response, number) in others.into_iter().zip(1..) {
            assert_responds(response, number);
        }
    }
    assert!(!stalled.is_finished(), "the stalled read was not stalled");
    release.send(true).unwrap();
    assert_responds(stalled.await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_and_every_log_line_belongs_to_its_request() {
    const ROUNDS: usize = 8;
    // Later calls overtake earlier ones.
    let calls = AtomicU64::new(0);
    let table = Server::delaying(store().await, move |_| {
        let number = calls.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(number.wrapping_mul(7) % 16))
    });
    let table = table.await;
    let mut function = function(table.address(), Some(CONCURRENCY)).await;
    let mut request_ids = HashMap::new();
    for _ in 0..ROUNDS {
        let responses = join_all((0..CONCURRENCY).map(|number| function.exchange(event(number)))).await;
        for (number, response) in responses.into_iter().enumerate() {
            request_ids.insert(response.request_id.clone(), number);
            assert_responds(response, number);
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
async fn one_thread_does_everything_where_requests_come_one_at_a_time() {
    let store = store().await;
    for max_concurrency in [None, Some(1)] {
        let mut function = function(store, max_concurrency).await;
        function.poll().await;
        assert_responds(function.exchange(event(1)).await, 1);
        let accounts = Accounts::of(function.process.id().unwrap());
        assert_eq!(accounts.threads().unwrap(), 1, "{max_concurrency:?}");
    }
}
