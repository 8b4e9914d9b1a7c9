//! The table under several writers at once, call by call: two loads, a deletion, a sweep, other writers and a reader run
//! in one thread, and a random schedule decides whose call the database executes next, whose response is lost, who is
//! killed, and when time passes.
//!
//! After each call, every head has all of its parts. In the end no part is left that no head names.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use dynoxide::Database;
use imaging_study::store::{Found, Store, StoreError};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use studies::pace::{PATIENCE, Pace};
use studies::site::SiteEntry;
use studies::table::{Table, TableAddress, TableError};
use table::document::Document as Bytes;
use table::error::DocumentError;
use table::gzip::inflate;
use table::id::{FhirId, SiteId, StudyRef};
use table::parts::WriteId;
use table::write::{Prepared, Sizes};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;

/// Ids of studies. The tool writes `B` under `b`; other writers may use either key.
const IDS: [&str; 2] = ["a", "B"];
/// The sort keys of studies, as the tool and others write them.
const KEYS: [&str; 3] = ["a", "B", "b"];
/// A study that nobody loads or deletes.
const VICTIM: &str = "victim";
/// A document of 300 bytes is text, one of 600 is gzip, and one of 1,500 takes two or three parts.
const SIZES: Sizes = Sizes { text: 400, item: 1000, part: 500 };

#[derive(Clone, Copy, Debug)]
struct Document {
    id: &'static str,
    version: u32,
    size: Size,
    /// Whether `meta.lastUpdated` orders the versions.
    stamped: bool,
}

#[derive(Clone, Copy, Debug)]
enum Size {
    Text,
    Gzip,
    Parts,
}

impl Document {
    fn json(self) -> String {
        let Self { id, version, size, stamped } = self;
        let length = match size {
            Size::Text => 10,
            Size::Gzip => 900,
            Size::Parts => 2200,
        };
        let noise: String = testkit::noise_text(version.into(), length);
        let updated =
            if stamped { format!(r#","lastUpdated":"2024-01-01T00:00:0{version}Z""#) } else { String::new() };
        format!(
            r#"{{"resourceType":"ImagingStudy","id":"{id}","meta":{{"versionId":"{version}"{updated}}},"status":"available","subject":{{"reference":"Patient/1"}},"description":"{noise}"}}"#
        )
    }

    fn prepared(self) -> Prepared {
        Prepared::new(&site(), &id(self.id), &self.json(), SIZES).unwrap()
    }
}

fn site() -> SiteId {
    SiteId::parse(local::SITE).unwrap()
}

fn id(text: &str) -> FhirId {
    FhirId::parse(text).unwrap()
}

/// Who calls the database.
#[derive(Clone, Debug)]
enum Actor {
    Load(Vec<Document>),
    Delete(&'static str),
    Sweep,
    Read(&'static str),
}

/// What another writer does, at once.
#[derive(Clone, Copy, Debug)]
enum Foreign {
    Put(&'static str, Document),
    /// A head that names a study as its part.
    Claim(&'static str),
    Delete(&'static str),
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// One of the pending calls is executed, and its response arrives.
    Execute(usize),
    /// It is executed, and its response is lost.
    LoseResponse(usize),
    /// It never arrives.
    LoseRequest(usize),
    /// The caller gives it up, and it arrives later.
    Delay(usize),
    Throttle(usize),
    /// Its caller is killed, before or after it is executed.
    Kill(usize, bool),
    /// Every caller rests for so long after its call was executed.
    Rest(Duration),
    Foreign(Foreign),
}

fn document() -> impl Strategy<Value = Document> {
    let size = prop_oneof![1 => Just(Size::Text), 1 => Just(Size::Gzip), 4 => Just(Size::Parts)];
    // Few versions, so that the same document returns.
    (select(IDS.to_vec()), 0_u32..2, size, any::<bool>()).prop_map(|(id, version, size, stamped)| Document {
        id,
        version,
        size,
        stamped,
    })
}

fn actors() -> impl Strategy<Value = Vec<Actor>> {
    let load = || prop::collection::vec(document(), 1..5).prop_map(Actor::Load);
    (load(), load(), select(IDS.to_vec()), select(KEYS.to_vec())).prop_map(|(one, other, deleted, read)| {
        vec![one, other, Actor::Delete(deleted), Actor::Sweep, Actor::Read(read)]
    })
}

fn step() -> impl Strategy<Value = Step> {
    let which = || any::<usize>();
    let foreign = prop_oneof![
        2 => (select(KEYS.to_vec()), document()).prop_map(|(key, document)| {
            Foreign::Put(key, Document { id: if key == "a" { "a" } else { "B" }, size: Size::Text, ..document })
        }),
        1 => select(KEYS.to_vec()).prop_map(Foreign::Claim),
        1 => select(KEYS.to_vec()).prop_map(Foreign::Delete),
    ];
    prop_oneof![
        40 => which().prop_map(Step::Execute),
        2 => which().prop_map(Step::LoseResponse),
        1 => which().prop_map(Step::LoseRequest),
        1 => which().prop_map(Step::Delay),
        1 => which().prop_map(Step::Throttle),
        1 => (which(), any::<bool>()).prop_map(|(which, executed)| Step::Kill(which, executed)),
        1 => select(vec![Duration::from_mins(40), Duration::from_hours(26)]).prop_map(Step::Rest),
        1 => foreign.prop_map(Step::Foreign),
    ]
}

/// A call that waits to be executed.
struct Call {
    actor: usize,
    operation: String,
    request: Value,
    /// `None` if the caller has given it up.
    respond: Option<oneshot::Sender<Result<HttpResponse, ConnectorError>>>,
}

#[derive(Default)]
struct Calls(Mutex<Vec<Call>>);

/// One actor's way to the database.
#[derive(Clone)]
struct Gate {
    actor: usize,
    calls: Arc<Calls>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gate({})", self.actor)
    }
}

impl HttpConnector for Gate {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap();
        let operation = target.rsplit('.').next().unwrap().to_owned();
        let request = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let (respond, response) = oneshot::channel();
        let call = Call { actor: self.actor, operation, request, respond: Some(respond) };
        self.calls.0.lock().unwrap().push(call);
        HttpConnectorFuture::new(async { response.await.unwrap_or_else(|_| Err(lost())) })
    }
}

impl HttpClient for Gate {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn lost() -> ConnectorError {
    ConnectorError::io("the connection broke".into())
}

fn response(status: u16, body: String) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))
}

struct World {
    database: Database,
    calls: Arc<Calls>,
    actors: Vec<JoinHandle<()>>,
    heads_written: Arc<AtomicUsize>,
}

impl World {
    fn new() -> Self {
        let database = Database::memory().unwrap();
        let key = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
        let text = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
        let table = json!({
            "TableName": local::TABLE,
            "KeySchema": [key("siteId", "HASH"), key("id", "RANGE")],
            "AttributeDefinitions": [text("siteId"), text("id")],
            "BillingMode": "PAY_PER_REQUEST",
        });
        database.create_table(serde_json::from_value(table).unwrap()).unwrap();
        let world =
            Self { database, calls: Arc::default(), actors: Vec::new(), heads_written: Arc::default() };
        world.put(
            VICTIM,
            &json!({"document": {"S": Document { id: VICTIM, version: 0, size: Size::Text, stamped: false }.json()}}),
        );
        world
    }

    fn aws(&self, actor: usize) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "x", "x", None, None, "test",
            )))
            .retry_config(RetryConfig::disabled())
            .http_client(Gate { actor, calls: Arc::clone(&self.calls) })
            .build()
    }

    fn table(&self, actor: usize) -> Table {
        let at = TableAddress { table: local::TABLE.into(), region: String::new(), endpoint: String::new() };
        let table =
            Table::new(Client::new(&self.aws(actor)), at, Pace::new(None, PATIENCE)).with_clock(clock);
        if actor.is_multiple_of(2) { table } else { table.expecting_new() }
    }

    fn spawn(&mut self, actor: Actor) {
        let number = self.actors.len();
        let table = self.table(number);
        let store = Store::new(&self.aws(number), None, local::TABLE.to_owned(), false);
        let heads_written = Arc::clone(&self.heads_written);
        self.actors.push(tokio::task::spawn_local(async move {
            // A command that gives up is like one that was killed.
            let _ = match actor {
                Actor::Load(documents) => load(&table, &documents).await,
                Actor::Delete(text) => table.remove(&site(), &id(text)).await.map(drop),
                Actor::Sweep => sweep(&table).await,
                Actor::Read(text) => {
                    read(&store, text, &heads_written).await;
                    Ok(())
                }
            };
        }));
    }

    /// Waits until nobody can go on without a response: paused time advances only then.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn execute(&self, call: &Call) -> HttpResponse {
        let key = call.request["Item"]["id"]["S"].as_str().or(call.request["Key"]["id"]["S"].as_str());
        if call.operation != "GetItem" && key.is_some_and(|key| !key.contains('#')) {
            self.heads_written.fetch_add(1, Relaxed);
        }
        let request = call.request.clone();
        let database = &self.database;
        macro_rules! run {
            ($operation:ident) => {
                match database.$operation(serde_json::from_value(request).unwrap()) {
                    Ok(output) => response(200, serde_json::to_string(&output).unwrap()),
                    Err(error) => response(error.status_code(), error.to_json()),
                }
            };
        }
        match call.operation.as_str() {
            "GetItem" => run!(get_item),
            "PutItem" => run!(put_item),
            "DeleteItem" => run!(delete_item),
            "Query" => run!(query),
            other => panic!("{other}"),
        }
    }

    fn put(&self, key: &str, attributes: &Value) {
        let mut item = json!({"siteId": {"S": local::SITE}, "id": {"S": key}});
        item.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
        let request = json!({"TableName": local::TABLE, "Item": item});
        self.database.put_item(serde_json::from_value(request).unwrap()).unwrap();
    }

    fn foreign(&self, foreign: Foreign) {
        self.heads_written.fetch_add(1, Relaxed);
        match foreign {
            Foreign::Put(key, document) => self.put(key, &json!({"document": {"S": document.json()}})),
            Foreign::Claim(key) => {
                self.put(key, &json!({"etag": {"S": "\"x\""}, "parts": {"L": [{"S": VICTIM}]}}));
            }
            Foreign::Delete(key) => {
                let key = json!({"siteId": {"S": local::SITE}, "id": {"S": key}});
                let request = json!({"TableName": local::TABLE, "Key": key});
                self.database.delete_item(serde_json::from_value(request).unwrap()).unwrap();
            }
        }
    }

    /// Takes the call that `which` stands for, if any waits.
    fn take(&self, which: usize) -> Option<Call> {
        let mut calls = self.calls.0.lock().unwrap();
        // A call whose caller was killed does not arrive any more.
        calls.retain(|call| call.respond.as_ref().is_none_or(|respond| !respond.is_closed()));
        let count = calls.len();
        (count > 0).then(|| calls.remove(which % count))
    }

    async fn step(&self, step: &Step) {
        self.settle().await;
        match *step {
            Step::Foreign(foreign) => return self.foreign(foreign),
            Step::Rest(duration) => return self.rest(duration).await,
            _ => {}
        }
        let (Step::Execute(which)
        | Step::LoseResponse(which)
        | Step::LoseRequest(which)
        | Step::Delay(which)
        | Step::Throttle(which)
        | Step::Kill(which, _)) = *step
        else {
            unreachable!("handled")
        };
        let Some(mut call) = self.take(which) else { return };
        let result = match step {
            Step::Execute(_) => Ok(self.execute(&call)),
            Step::LoseResponse(_) => {
                self.execute(&call);
                Err(lost())
            }
            Step::Throttle(_) => Ok(response(
                400,
                json!({"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException"}).to_string(),
            )),
            Step::Kill(_, executed) => {
                self.actors[call.actor].abort();
                if *executed {
                    self.execute(&call);
                }
                return;
            }
            _ => Err(lost()),
        };
        if let Some(respond) = call.respond.take() {
            let _ = respond.send(result);
            if matches!(step, Step::Delay(_)) {
                self.calls.0.lock().unwrap().push(call);
            }
        }
    }

    /// Lets time pass between the execution of all calls and their responses. What is still under way by then is
    /// rejected: its signature is too old.
    async fn rest(&self, duration: Duration) {
        let mut responses = Vec::new();
        while let Some(call) = self.take(0) {
            let response = self.execute(&call);
            responses.extend(call.respond.map(|respond| (respond, response)));
        }
        tokio::time::advance(duration).await;
        for (respond, response) in responses {
            let _ = respond.send(Ok(response));
        }
    }

    /// Executes all calls until nobody has any.
    async fn complete(&self) {
        while self.actors.iter().any(|actor| !actor.is_finished()) || !self.calls.0.lock().unwrap().is_empty()
        {
            self.step(&Step::Execute(0)).await;
        }
    }

    /// Executes the calls of one actor until it ends.
    async fn complete_only(&self, actor: usize) {
        while !self.actors[actor].is_finished() {
            self.settle().await;
            let position = self.calls.0.lock().unwrap().iter().position(|call| {
                call.actor == actor && call.respond.as_ref().is_some_and(|respond| !respond.is_closed())
            });
            if let Some(position) = position {
                self.step(&Step::Execute(position)).await;
            }
        }
    }

    /// The items, by sort key.
    fn items(&self) -> BTreeMap<String, Value> {
        let request = json!({"TableName": local::TABLE});
        let output = self.database.scan(serde_json::from_value(request).unwrap()).unwrap();
        let items = serde_json::to_value(&output).unwrap()["Items"].as_array().unwrap().clone();
        items.into_iter().map(|item| (item["id"]["S"].as_str().unwrap().to_owned(), item)).collect()
    }

    /// Fails if a head lacks a part, the victim is gone, or the tool has replaced a version of its own by an older one.
    fn check(&self, before: &mut BTreeMap<String, Value>) -> Result<(), TestCaseError> {
        let items = self.items();
        for (key, old) in before.iter() {
            let [old, new] =
                [Some(old), items.get(key)].map(|item| item.filter(|item| !item["writeId"].is_null()));
            let stamps = old.and_then(stamp).zip(new.and_then(stamp));
            prop_assert!(stamps.is_none_or(|(old, new)| old <= new), "{key} is older than before");
        }
        before.clone_from(&items);
        prop_assert!(items.contains_key(VICTIM), "the study of another id is gone");
        for (key, item) in &items {
            for part in item["parts"]["L"].as_array().into_iter().flatten() {
                prop_assert!(items.contains_key(part["S"].as_str().unwrap()), "{key} lacks {part}");
            }
        }
        Ok(())
    }
}

/// The paused time that the schedule advances.
fn clock() -> SystemTime {
    static START: LazyLock<(SystemTime, Instant)> = LazyLock::new(|| (SystemTime::now(), Instant::now()));
    START.0 + START.1.elapsed()
}

async fn load(table: &Table, documents: &[Document]) -> Result<(), TableError> {
    for document in documents {
        table.put(&document.prepared()).await?;
    }
    Ok(())
}

async fn sweep(table: &Table) -> Result<(), TableError> {
    let (site, mut listed) = (site(), Vec::new());
    let mut reader = table.read_site(&site);
    while let Some(entries) = reader.next().await? {
        listed.extend(entries.into_iter().filter_map(|entry| match entry {
            SiteEntry::Unnamed { key, is_binary } => Some((key, is_binary)),
            SiteEntry::Study(_) => None,
        }));
    }
    let unnamed = table.unnamed(&site, listed).await?;
    table.sweep(&site, &unnamed, |_| {}).await.map(drop)
}

/// The function's read. It gives a whole document that somebody wrote, if any. It misses a part only if the head was
/// written each time that it read it.
async fn read(store: &Store, text: &str, heads_written: &AtomicUsize) -> Option<String> {
    let study = StudyRef { site: site(), study: id(text) };
    let before = heads_written.load(Relaxed);
    match store.study(&study, |_| None::<()>).await.found {
        Ok(Some(Found::Document(study))) => {
            let json = match study.document {
                Bytes::Text(text) => text,
                Bytes::Gzip(gzip) => inflate(&gzip).unwrap(),
            };
            assert!(WRITTEN.contains(&json), "a document that nobody wrote");
            Some(json)
        }
        Err(StoreError::Document(DocumentError::PartMissing)) => {
            assert!(heads_written.load(Relaxed) - before >= 3, "a part is missing");
            None
        }
        // A study that is claimed as a part is no binary.
        Err(StoreError::Document(error)) => {
            assert!(matches!(error, DocumentError::AttributeType("document")), "{error}");
            None
        }
        // A rest is longer than a read may take, and the read's own calls fail as others do.
        Ok(_) | Err(_) => None,
    }
}

/// Every document that anybody writes.
static WRITTEN: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let of = |id| {
        let sizes = [Size::Text, Size::Gzip, Size::Parts];
        let versions = sizes.into_iter().flat_map(|size| [0, 1, 9].map(|version| (size, version)));
        let documents =
            versions.flat_map(|(size, version)| [false, true].map(|stamped| (size, version, stamped)));
        documents.map(move |(size, version, stamped)| Document { id, version, size, stamped }.json())
    };
    IDS.into_iter().flat_map(of).collect()
});

fn stamp(item: &Value) -> Option<&str> {
    item["lastUpdated"]["S"].as_str()
}

async fn run(actors: &[Actor], steps: &[Step]) -> Result<(), TestCaseError> {
    let mut world = World::new();
    for actor in actors {
        world.spawn(actor.clone());
    }
    let mut before = BTreeMap::new();
    for step in steps {
        world.step(step).await;
        if matches!(step, Step::Rest(_)) {
            // Several calls at once: a version may be deleted and an older one put.
            before.clear();
        }
        world.check(&mut before).map_err(|error| TestCaseError::fail(format!("after {step:?}: {error}")))?;
    }
    world.complete().await;
    world.check(&mut BTreeMap::new())?;
    for actor in &mut world.actors {
        if let Err(error) = actor.await {
            prop_assert!(error.is_cancelled(), "{error}");
        }
    }
    world.actors.clear();

    // An undisturbed load completes, and a sweep on the next day leaves nothing but what heads name.
    let last = IDS.map(|id| Document { id, version: 9, size: Size::Parts, stamped: true });
    world.spawn(Actor::Load(last.to_vec()));
    world.complete().await;
    world.rest(Duration::from_hours(26)).await;
    world.spawn(Actor::Sweep);
    world.complete().await;
    world.check(&mut BTreeMap::new())?;
    let items = world.items();
    let named: Vec<&str> = items
        .values()
        .flat_map(|item| item["parts"]["L"].as_array().into_iter().flatten())
        .map(|part| part["S"].as_str().unwrap())
        .collect();
    for key in items.keys().filter(|key| key.contains('#')) {
        prop_assert!(named.contains(&key.as_str()), "{key} is left");
    }
    let heads: Vec<_> = items.keys().filter(|key| !key.contains('#')).collect();
    prop_assert_eq!(heads, ["a", "b", VICTIM]);
    for document in last {
        let store = Store::new(&world.aws(0), None, local::TABLE.to_owned(), false);
        let heads_written = Arc::clone(&world.heads_written);
        let reading =
            tokio::task::spawn_local(async move { read(&store, document.id, &heads_written).await });
        while !reading.is_finished() {
            world.step(&Step::Execute(0)).await;
        }
        prop_assert_eq!(reading.await.unwrap(), Some(document.json()));
    }
    Ok(())
}

/// Runs a schedule in paused time.
fn simulate<T>(schedule: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    LocalSet::new().block_on(&runtime.unwrap(), schedule)
}

const IN_PARTS: Document = Document { id: "a", version: 1, size: Size::Parts, stamped: false };

#[test]
fn a_load_that_rests_for_a_day_before_its_head_starts_over_with_new_parts() {
    simulate(async {
        let mut world = World::new();
        world.spawn(Actor::Load(vec![IN_PARTS]));
        world.step(&Step::Execute(0)).await;
        // Its parts are written, and it learns of that a day later.
        world.settle().await;
        world.rest(Duration::from_hours(26)).await;
        let first: Vec<_> = world.items().into_keys().filter(|key| key.contains('#')).collect();
        assert!(first.len() > 1, "{first:?}");
        world.settle().await;
        world.spawn(Actor::Sweep);
        world.complete_only(1).await;
        assert!(!world.items().keys().any(|key| first.contains(key)), "the sweep deletes them");
        world.complete().await;
        world.check(&mut BTreeMap::new()).unwrap();
        assert!(world.items().contains_key("a"));
    });
}

#[test]
fn a_head_that_arrives_late_has_its_parts_still() {
    simulate(async {
        let mut world = World::new();
        world.spawn(Actor::Load(vec![IN_PARTS]));
        for _ in 0..=IN_PARTS.prepared().items(WriteId::new(clock())).parts.len() {
            world.step(&Step::Execute(0)).await;
        }
        world.step(&Step::Delay(0)).await;
        world.complete_only(0).await;
        assert!(world.items().contains_key("a"), "by a second attempt");
        world.spawn(Actor::Delete("a"));
        world.complete_only(1).await;
        assert!(!world.items().contains_key("a"));
        world.complete().await;
        assert!(world.items().contains_key("a"), "by the first attempt");
        world.check(&mut BTreeMap::new()).unwrap();
    });
}

#[test]
fn a_sweep_that_rests_for_a_day_leaves_the_parts_of_heads_put_meanwhile() {
    simulate(async {
        let mut world = World::new();
        world.spawn(Actor::Load(vec![IN_PARTS]));
        for _ in 0..IN_PARTS.prepared().items(WriteId::new(clock())).parts.len() {
            world.step(&Step::Execute(0)).await;
        }
        // All parts but the last are listed, and the heads are read before theirs is put.
        world.spawn(Actor::Sweep);
        world.step(&Step::Execute(1)).await;
        world.step(&Step::Execute(0)).await;
        world.settle().await;
        world.rest(Duration::from_hours(26)).await;
        world.complete().await;
        assert!(world.items().contains_key("a"));
        world.check(&mut BTreeMap::new()).unwrap();
    });
}

/// `PROPTEST_CASES`, or as many as take a few seconds.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").map_or(64, |cases| cases.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn every_head_has_its_parts_whoever_writes_at_once_and_whatever_fails(
        actors in actors(),
        steps in prop::collection::vec(step(), 1..250),
    ) {
        simulate(run(&actors, &steps))?;
    }
}
