//! `studies` stopped after each of its calls in turn, and run again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::types::AttributeValue;
use table::attribute::Item;
use testkit::dynamodb::Fault;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::{Bench, large_study, study};

/// What the table has, and what happens then.
struct Case {
    name: &'static str,
    /// Loaded before.
    stored: Option<String>,
    /// Written before under the id's own case, as by another program.
    hiding: Option<(&'static str, String)>,
    /// The command that is stopped, with the document for `load`.
    command: &'static str,
    document: String,
}

fn cases() -> Vec<Case> {
    let case = |name, stored: Option<String>, document: String| Case {
        name,
        stored,
        hiding: None,
        command: "load",
        document,
    };
    vec![
        case("parts replace parts", Some(large_study("a", 1)), large_study("a", 2)),
        Case {
            hiding: Some(("A", large_study("A", 1))),
            ..case("parts hide a small study", Some(study("A", "")), study("A", ""))
        },
        Case { command: "delete", ..case("parts are deleted", Some(large_study("A", 1)), String::new()) },
    ]
}

impl Case {
    /// The items that the table has before.
    fn items(&self) -> Vec<Item> {
        let items_of = |document: &String| {
            let encoded = testkit::encoded(document);
            encoded.parts.into_iter().chain([encoded.head])
        };
        let mut items: Vec<Item> = self.stored.iter().flat_map(items_of).collect();
        if let Some((key, document)) = &self.hiding {
            // As this tool would write it, but with the key in capitals.
            let capitals = |value: &mut AttributeValue| {
                if let AttributeValue::S(text) = value {
                    text.replace_range(..key.len(), key);
                }
            };
            items.extend(items_of(document).map(|mut item| {
                item.get_mut("id").into_iter().for_each(capitals);
                if let Some(AttributeValue::L(parts)) = item.get_mut("parts") {
                    parts.iter_mut().for_each(capitals);
                }
                item
            }));
        }
        items
    }
}

#[derive(Default)]
struct Counter {
    calls: AtomicUsize,
    left: AtomicUsize,
    stopped: Notify,
}

impl Counter {
    /// Lets so many calls through from now on, the last one without a response.
    fn stop_after(&self, calls: usize) {
        self.calls.store(0, Ordering::SeqCst);
        self.left.store(calls, Ordering::SeqCst);
    }

    fn call(&self) -> Fault {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let left = self.left.load(Ordering::SeqCst);
        match call.cmp(&left) {
            std::cmp::Ordering::Less => Fault::None,
            // The database has it, the tool never learns.
            std::cmp::Ordering::Equal => {
                self.stopped.notify_one();
                Fault::LostResponse
            }
            std::cmp::Ordering::Greater => Fault::Silence,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_stopped_after_any_call_and_run_again_ends_in_the_same_studies() {
    let cases: JoinSet<(&str, usize)> = cases().into_iter().map(stopped_after_each_call).collect();
    for (name, calls) in cases.join_all().await {
        println!("{name}: {calls} calls");
    }
}

/// Returns the case's name, and how many calls the command makes.
async fn stopped_after_each_call(case: Case) -> (&'static str, usize) {
    let counter = Arc::new(Counter { left: AtomicUsize::new(usize::MAX), ..Counter::default() });
    let seen = Arc::clone(&counter);
    let bench = Bench::with_faults(move |_, _| seen.call()).await;
    let before = case.items();
    let file = bench.file("new.json", &case.document);
    let argument = if case.command == "load" { &file } else { "A" };
    reset(&bench, &before).await;
    counter.stop_after(usize::MAX);
    assert_eq!(bench.run(case.command, &[argument]).await.status, 0);
    let calls = counter.calls.load(Ordering::SeqCst);
    let expected = studies(bench.items().await);
    for stop in 1..=calls {
        reset(&bench, &before).await;
        counter.stop_after(stop);
        let mut child = bench.command(case.command, &[argument]).spawn().unwrap();
        counter.stopped.notified().await;
        bench.faulty.as_ref().unwrap().settled().await;
        child.kill().await.unwrap();
        counter.stop_after(usize::MAX);
        let again = bench.run(case.command, &[argument]).await;
        assert_eq!(again.status, 0, "{}: stopped after call {stop}: {again:?}", case.name);
        let studies = studies(bench.items().await);
        assert!(studies == expected, "{}: stopped after call {stop} of {calls}", case.name);
    }
    (case.name, calls)
}

/// Each study's own attributes and its parts' bytes, without what names the attempt.
fn studies(items: Vec<Item>) -> Vec<(Item, Vec<u8>)> {
    let key = |item: &Item| item["id"].as_s().unwrap().clone();
    let bytes: HashMap<_, _> = items.iter().map(|item| (key(item), item.get("document").cloned())).collect();
    let heads = items.into_iter().filter(|item| !key(item).contains('#'));
    heads
        .map(|mut head| {
            head.remove("writeId");
            let parts = match head.remove("parts") {
                Some(AttributeValue::L(keys)) => keys,
                _ => Vec::new(),
            };
            let part = |key: &AttributeValue| bytes[key.as_s().unwrap()].clone().unwrap();
            (head, parts.iter().flat_map(|key| part(key).as_b().unwrap().as_ref().to_vec()).collect())
        })
        .collect()
}

/// Puts these items in the place of all.
async fn reset(bench: &Bench, items: &[Item]) {
    for mut item in bench.items().await {
        item.retain(|name, _| name == "siteId" || name == "id");
        bench.table.delete_item().table_name(local::TABLE).set_key(Some(item)).send().await.unwrap();
    }
    for item in items {
        let put = bench.table.put_item().table_name(local::TABLE).set_item(Some(item.clone()));
        put.send().await.unwrap();
    }
}
