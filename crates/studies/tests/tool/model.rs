//! The table as readers see it, against a model in memory: loads by the tool, some of them killed, other writers'
//! puts and deletes, and reads by the function.
//!
//! A reader always sees a whole document that somebody wrote, and never one older than the last completed load.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::read::GzDecoder;
use imaging_study::Service;
use imaging_study::auth::{Https, Verifier};
use imaging_study::config::Config;
use imaging_study::store::Store;
use lambda_http::http;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;
use testkit::dynamodb_proxy::{Fault, FaultyDynamodb, faulty_dynamodb};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// Ids of studies. The tool writes `B` under `b`; other writers may use either key.
const IDS: [&str; 2] = ["a", "B"];
/// The sort keys of studies, as the tool and others write them.
const KEYS: [&str; 3] = ["a", "B", "b"];

#[derive(Clone, Copy, Debug)]
struct Document {
    id: &'static str,
    version: u32,
    size: Size,
}

#[derive(Clone, Copy, Debug)]
enum Size {
    /// Stored as text.
    Small,
    /// Stored as gzip in one item.
    Medium,
    /// Stored in parts.
    Large,
}

impl Document {
    fn json(self) -> String {
        let Self { id, version, size } = self;
        let length = match size {
            Size::Small => 10,
            Size::Medium => 20_000,
            Size::Large => 900_000,
        };
        let noise: String = testkit::noise_text(version.into(), length);
        format!(
            r#"{{"resourceType":"ImagingStudy","id":"{id}","meta":{{"versionId":"{version}"}},"status":"available","subject":{{"reference":"Patient/1"}},"description":"{noise}"}}"#
        )
    }
}

#[derive(Clone, Debug)]
enum Step {
    Load(Vec<Document>),
    /// The tool is killed while it waits for the response to its nth call.
    KilledLoad(Vec<Document>, usize),
    /// The same documents as an earlier load, all the way.
    LoadAgain(usize),
    Put(&'static str, Document),
    Delete(&'static str),
}

fn document() -> impl Strategy<Value = Document> {
    let size = prop_oneof![4 => Just(Size::Small), 2 => Just(Size::Medium), 2 => Just(Size::Large)];
    // Few versions, so that the same document is often written again.
    (select(IDS.to_vec()), 0_u32..3, size).prop_map(|(id, version, size)| Document { id, version, size })
}

fn step() -> impl Strategy<Value = Step> {
    let documents = || prop::collection::vec(document(), 1..4);
    prop_oneof![
        3 => documents().prop_map(Step::Load),
        4 => (documents(), 0_usize..14).prop_map(|(documents, calls)| Step::KilledLoad(documents, calls)),
        3 => (0_usize..7).prop_map(Step::LoadAgain),
        3 => (select(KEYS.to_vec()), document()).prop_map(|(key, document)| {
            let size = if matches!(document.size, Size::Large) { Size::Medium } else { document.size };
            let id = if key == "a" { "a" } else { "B" };
            Step::Put(key, Document { id, size, ..document })
        }),
        1 => select(KEYS.to_vec()).prop_map(Step::Delete),
    ]
}

/// Steps in which every `LoadAgain` is the load that it repeats.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..8).prop_map(|steps| {
        let loads: Vec<_> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Load(documents) | Step::KilledLoad(documents, _) => Some(documents.clone()),
                _ => None,
            })
            .collect();
        let resolve = |step| match step {
            Step::LoadAgain(n) if !loads.is_empty() => Step::Load(loads[n % loads.len()].clone()),
            Step::LoadAgain(_) => Step::Delete("a"),
            step => step,
        };
        steps.into_iter().map(resolve).collect()
    })
}

/// What each key may hold: one possibility, or several after a load that was killed. `None` is no item.
struct Model(BTreeMap<&'static str, BTreeSet<Option<String>>>);

impl Model {
    fn new() -> Self {
        Self(KEYS.map(|key| (key, BTreeSet::from([None]))).into())
    }

    fn set(&mut self, key: &'static str, content: Option<String>) {
        self.0.insert(key, BTreeSet::from([content]));
    }

    fn may(&mut self, key: &'static str, content: Option<String>) {
        self.0.get_mut(key).unwrap().insert(content);
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Load(documents) => {
                for document in documents {
                    self.set(tool_key(document.id), Some(document.json()));
                    if document.id == "B" {
                        self.set("B", None);
                    }
                }
            }
            Step::KilledLoad(documents, _) => {
                for document in documents {
                    self.may(tool_key(document.id), Some(document.json()));
                    if document.id == "B" {
                        self.may("B", None);
                    }
                }
            }
            Step::LoadAgain(_) => unreachable!("resolved"),
            Step::Put(key, document) => self.set(key, Some(document.json())),
            Step::Delete(key) => self.set(key, None),
        }
    }

    /// What a read of `id` may give: the item under the id as it is, or else under its lower-case form.
    fn readable(&self, id: &str) -> BTreeSet<Option<String>> {
        let exact = &self.0[id];
        let mut readable: BTreeSet<_> = exact.iter().filter(|content| content.is_some()).cloned().collect();
        if exact.contains(&None) {
            let lower = KEYS.iter().find(|key| **key == id.to_lowercase()).unwrap();
            readable.extend(self.0[lower].iter().cloned());
        }
        readable
    }
}

fn tool_key(id: &str) -> &'static str {
    if id == "a" { "a" } else { "b" }
}

struct World {
    table: Client,
    address: SocketAddr,
    service: Service,
}

impl World {
    async fn new() -> Self {
        let (table, address) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
        let endpoint = format!("http://{address}");
        let environment = local::environment(&endpoint);
        let config = Config::from_env(|name| environment.get(name).cloned()).unwrap();
        let aws = local::aws(&endpoint);
        let store = Store::new(&aws, None, config.table_name, config.consistent_read);
        let service = Service::new(Verifier::new(config.issuers, &Https::new(None), &aws), store);
        Self { table, address, service }
    }

    async fn take(&self, step: &Step) {
        match step {
            Step::Load(documents) => {
                let status = load(self.address, documents, None).await;
                assert_eq!(status, Some(0), "a load that nothing disturbs completes");
            }
            Step::KilledLoad(documents, calls) => {
                let gate = Gate::open(self.address, *calls).await;
                load(gate.table.address, documents, Some(&gate)).await;
                // Calls that were under way when the tool was killed still arrive.
                gate.table.settled().await;
            }
            Step::LoadAgain(_) => unreachable!("resolved"),
            Step::Put(key, document) => {
                let put = self.table.put_item().table_name(local::TABLE).item("siteId", text(local::SITE));
                put.item("id", text(key)).item("document", text(&document.json())).send().await.unwrap();
            }
            Step::Delete(key) => {
                let delete = self.table.delete_item().table_name(local::TABLE);
                delete.key("siteId", text(local::SITE)).key("id", text(key)).send().await.unwrap();
            }
        }
    }

    /// The response of the function: a whole document, or `None` for 404.
    async fn read(&self, id: &str) -> Option<String> {
        let token = local::token(&local::claims());
        let request = http::Request::get(format!("/site/{}/fhir/imaging-study/{id}", local::SITE))
            .header("authorization", format!("Bearer {token}"))
            .header("accept-encoding", "gzip")
            .body(lambda_http::Body::Empty)
            .unwrap();
        let response = self.service.handle(request).await;
        match (response.status().as_u16(), response.headers().contains_key("content-encoding")) {
            (404, _) => None,
            (200, false) => Some(String::from_utf8(response.body().to_vec()).unwrap()),
            (200, true) => {
                let mut text = String::new();
                GzDecoder::new(&response.body()[..]).read_to_string(&mut text).unwrap();
                Some(text)
            }
            (status, _) => panic!("{status} for a study that somebody wrote"),
        }
    }

    /// The sort keys of studies in the table.
    async fn keys(&self) -> BTreeSet<String> {
        let items = testkit::items(&self.table).await;
        let keys = items.iter().map(|item| item["id"].as_s().unwrap().clone());
        keys.filter(|key| !key.contains('#')).collect()
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// Runs `studies load`. With a gate, kills it when the gate closes; `None` then.
async fn load(address: SocketAddr, documents: &[Document], gate: Option<&Gate>) -> Option<i32> {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_studies"))
        .args(["load", "--site", local::SITE, "--table", local::TABLE])
        .args(["--endpoint-url", &format!("http://{address}"), "-"])
        .env_clear()
        .envs([
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_REGION", "eu-central-1"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let lines: String = documents.iter().map(|document| document.json() + "\n").collect();
    let mut input = tool.stdin.take().unwrap();
    let run = async {
        // A tool that was killed reads no more.
        let _ = input.write_all(lines.as_bytes()).await;
        drop(input);
        tool.wait().await.unwrap().code()
    };
    match gate {
        None => run.await,
        Some(gate) => tokio::select! {
            status = run => status,
            () = gate.closed.notified() => None,
        },
    }
}

/// A proxy of the table that forwards a number of calls and responds to no later one.
struct Gate {
    table: FaultyDynamodb,
    closed: Arc<Notify>,
}

impl Gate {
    async fn open(table: SocketAddr, calls: usize) -> Self {
        let closed = Arc::new(Notify::new());
        let count = AtomicUsize::new(0);
        let notify = Arc::clone(&closed);
        let fault = move |_: &str, _: &Value| {
            if count.fetch_add(1, Ordering::SeqCst) < calls {
                return Fault::None;
            }
            notify.notify_one();
            Fault::Silence
        };
        Self { table: faulty_dynamodb(table, fault).await, closed }
    }
}

/// `PROPTEST_CASES`, or as many as take a few seconds.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").map_or(8, |cases| cases.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn readers_see_whole_documents_and_none_older_than_the_last_completed_load(
        steps in steps(),
    ) {
        Runtime::new().unwrap().block_on(async {
            let (world, mut model) = (World::new().await, Model::new());
            for step in &steps {
                world.take(step).await;
                model.apply(step);
                for id in KEYS {
                    let read = world.read(id).await;
                    prop_assert!(
                        model.readable(id).contains(&read),
                        "reading {id} after {step:?} gave {:?} bytes", read.as_ref().map(String::len)
                    );
                }
            }
            // A load of every study that completes leaves nothing undecided.
            let last = Step::Load(IDS.map(|id| Document { id, version: 9, size: Size::Large }).into());
            world.take(&last).await;
            model.apply(&last);
            for id in KEYS {
                prop_assert_eq!(BTreeSet::from([world.read(id).await]), model.readable(id));
            }
            prop_assert_eq!(world.keys().await, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
            Ok(())
        })?;
    }
}
