//! `studies` with a database that throttles, rejects or does not respond.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::dynamodb::Fault;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::{Bench, Ran, large_study, lines, study};

/// Throttles this share of the writes, with either code.
fn throttling(percent: u8) -> impl Fn(&str, &Value) -> Fault + Send + Sync {
    move |operation, _| {
        if operation == "GetItem" || fastrand::u8(0..100) >= percent {
            Fault::None
        } else if fastrand::bool() {
            Fault::Error("ThrottlingException")
        } else {
            Fault::Error("ProvisionedThroughputExceededException")
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_succeeds_while_nine_of_ten_writes_are_throttled_and_says_so() {
    let bench = Bench::with_faults(throttling(90)).await;
    let ran = bench.run("load", &[&bench.file("a.ndjson", lines(0..60, ""))]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.err.contains("throttled by DynamoDB, "), "{ran:?}");
    assert_eq!(bench.keys().await.len(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_is_fatal_only_after_a_time_without_any_success() {
    let bench = Bench::with_faults(throttling(100)).await;
    let since = Instant::now();
    let ran = bench.run("load", &[&bench.file("a.ndjson", lines(0..100, "")), "--patience", "1"]).await;
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(since.elapsed() >= Duration::from_secs(1), "{:?}", since.elapsed());
    let last = ran.err.lines().last().unwrap();
    assert!(last.starts_with("studies: DynamoDB throttled every request for too long: "), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_call_outlasts_throttling_too() {
    let since = Instant::now();
    let bench = Bench::with_faults(move |_, _| {
        let early = since.elapsed() < Duration::from_secs(1);
        if early { Fault::Error("ThrottlingException") } else { Fault::None }
    })
    .await;
    let ran = bench.run("load", &[&bench.file("a.json", study("a", ""))]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_interruption_ends_a_throttled_load_at_once() {
    let bench = Bench::with_faults(throttling(100)).await;
    let (mut child, mut input) = bench.loading(&[]);
    input.write_all(lines(0..100, "").as_bytes()).await.unwrap();
    // All is read: only writes are left.
    drop(input);
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    while !told.next_line().await.unwrap().unwrap().starts_with("throttled by DynamoDB, ") {}
    let pid = child.id().unwrap().to_string();
    let interrupt =
        async || assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    interrupt().await;
    while !told.next_line().await.unwrap().unwrap().starts_with("stopping: ") {}
    let since = Instant::now();
    interrupt().await;
    let mut last = String::new();
    while let Some(line) = told.next_line().await.unwrap() {
        last = line;
    }
    assert_eq!(last, "studies: ended at once; run the same command again to continue");
    assert_eq!(child.wait().await.unwrap().code(), Some(2));
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_does_not_respond_is_reported_after_the_timeout_of_one_call() {
    let bench = Bench::with_faults(|_, _| Fault::Silence).await;
    let list_sites = bench.at_table("list", &["--call-timeout", "1"]);
    let commands = ["check", "list", "load"].map(|command| bench.command(command, &["--call-timeout", "1"]));
    for mut command in commands.into_iter().chain([list_sites]) {
        let since = Instant::now();
        let ran = Ran::from(command.output().await.unwrap());
        let reason = format!("studies: DynamoDB did not respond in time at http://{}\n", bench.endpoint);
        assert_eq!((ran.status, ran.err), (2, reason), "{command:?}");
        let elapsed = since.elapsed();
        assert!((Duration::from_secs(1)..Duration::from_secs(4)).contains(&elapsed), "{elapsed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_the_endpoint_during_a_load_is_reported_and_outlasted() {
    let silent = Arc::new(AtomicBool::new(true));
    let pause = Arc::clone(&silent);
    let bench = Bench::with_faults(move |operation, _| {
        if operation == "PutItem" && pause.load(Ordering::Relaxed) { Fault::Silence } else { Fault::None }
    })
    .await;
    let mut child = bench
        .command("load", &[&bench.file("a.ndjson", lines(0..5, "")), "--call-timeout", "1"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    while !told.next_line().await.unwrap().unwrap().starts_with("DynamoDB does not respond, ") {}
    silent.store(false, Ordering::Relaxed);
    let ran = Ran::from(child.wait_with_output().await.unwrap());
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(bench.keys().await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_replaces_the_document_of_another_one_removes_its_parts() {
    let held = Arc::new(AtomicBool::new(true));
    let (holds, first) = (Arc::clone(&held), Arc::new(Mutex::new(None)));
    let seen = Arc::clone(&first);
    // The first head that is written is held back.
    let bench = Bench::with_faults(move |operation, request| {
        let item = &request["Item"];
        if operation != "PutItem" || item["id"]["S"] != "a" {
            return Fault::None;
        }
        let mut first = seen.lock().unwrap();
        let parts = first.get_or_insert_with(|| item["parts"].clone());
        if *parts == item["parts"] && holds.load(Ordering::Relaxed) {
            Fault::Error("ThrottlingException")
        } else {
            Fault::None
        }
    })
    .await;
    let load = |seed| bench.command("load", &[&bench.file(&format!("{seed}.json"), large_study("a", seed))]);
    let mut slow = load(1);
    let slow = tokio::spawn(async move { slow.output().await.unwrap() });
    while first.lock().unwrap().is_none() {
        assert!(!slow.is_finished(), "it writes a head");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(load(2).status().await.unwrap().success());
    held.store(false, Ordering::Relaxed);
    let slow = Ran::from(slow.await.unwrap());
    assert_eq!((slow.status, slow.out.contains("1 replaced")), (0, true), "{slow:?}");
    assert_eq!(bench.shown("a").await, large_study("a", 1));
    let checked = bench.run("check", &[]).await;
    assert_eq!(checked.status, 0, "{checked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_fails_before_the_head_leaves_the_old_document() {
    let failing = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&failing);
    let bench = Bench::with_faults(move |operation, request| {
        let head = operation == "PutItem" && request["Item"]["id"]["S"] == "a";
        if head && fails.load(Ordering::Relaxed) {
            Fault::Error("AccessDeniedException")
        } else {
            Fault::None
        }
    })
    .await;
    let old = large_study("a", 1);
    let file = bench.file("a.json", &old);
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    let new = large_study("a", 2);
    bench.file("a.json", &new);

    failing.store(true, Ordering::Relaxed);
    let ran = bench.run("load", &[&file]).await;
    assert_eq!(ran.status, 2);
    assert!(ran.err.starts_with("studies: DynamoDB rejected the request: "), "{ran:?}");
    assert_eq!(bench.shown("a").await, old);

    failing.store(false, Ordering::Relaxed);
    let checked = bench.run("check", &[]).await;
    assert!(checked.out.contains("1 study can be served, 0 cannot"), "{checked:?}");
    assert!(checked.out.contains(", 2 parts of loads that run or ended within a day\n"), "{checked:?}");
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    assert_eq!(bench.shown("a").await, new);
    assert_eq!(bench.run("check", &[]).await.status, 0);
}
