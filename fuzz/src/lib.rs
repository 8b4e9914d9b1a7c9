//! What the targets share: the service in this process, over a table in memory, and the grammars and checks of
//! `tests/fuzz`.

#[allow(dead_code, unused_imports, reason = "its tests and their random cases are not in use here")]
#[path = "../../tests/fuzz/main.rs"]
mod tests;

/// Stands for proptest's in the grammars: that one splits the generator, which halves the bytes of an input each time.
macro_rules! prop_oneof {
    ($($weight:expr => $strategy:expr),+ $(,)?) => { crate::OneOf(vec![$(($weight, $strategy.boxed())),+]) };
    ($($strategy:expr),+ $(,)?) => { prop_oneof![$(1 => $strategy),+] };
}
pub(crate) use prop_oneof;

use std::fmt::Debug;
use std::sync::{Arc, LazyLock, Mutex};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use imaging_study::auth::{Https, Verifier};
use imaging_study::store::Store;
use imaging_study::{Config, Event, Service};
use lambda_http::lambda_runtime::{Context, LambdaEvent};
use proptest::strategy::{BoxedStrategy, NewTree, Strategy, ValueTree};
use proptest::test_runner::{Config as Proptest, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use table::attribute::Item;
use testkit::log::Log;
use tokio::runtime::Runtime;
use tracing::level_filters::LevelFilter;

pub use self::tests::Exchange;
pub use self::tests::events::{self, STUDIES};
pub use self::tests::items;
pub use self::tests::oracle::{Study, may_read};

/// The value that `strategy` makes of `data` in place of random bytes.
pub fn generated<S: Strategy>(strategy: &S, data: &[u8]) -> Option<S::Value> {
    let rng = TestRng::from_seed(RngAlgorithm::PassThrough, &[data, &**TAIL].concat());
    let mut runner =
        TestRunner::new_with_rng(Proptest { failure_persistence: None, ..Proptest::default() }, rng);
    Some(strategy.new_tree(&mut runner).ok()?.current())
}

/// Follows the bytes of an input, for cases that take more. After the last byte proptest reads zeros, which a choice among
/// three never accepts.
static TAIL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let numbers = std::iter::successors(Some(1_u64), |n| {
        Some(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
    });
    numbers.take(16_384).flat_map(|n| n.to_be_bytes()[..4].to_vec()).collect()
});

/// One of several strategies, by weight.
#[derive(Clone, Debug)]
struct OneOf<T>(Vec<(u32, BoxedStrategy<T>)>);

impl<T: Debug> Strategy for OneOf<T> {
    type Tree = Box<dyn ValueTree<Value = T>>;
    type Value = T;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let total: u32 = self.0.iter().map(|(weight, _)| weight).sum();
        let mut at = (0..total).new_tree(runner)?.current();
        let chosen = self.0.iter().find(|(weight, _)| {
            let is_here = at < *weight;
            at = at.saturating_sub(*weight);
            is_here
        });
        chosen.expect("the weights have this sum").1.new_tree(runner)
    }
}

/// The configuration of a service that trusts both issuers of the grammar.
pub fn config() -> Config {
    let environment = events::environment("http://127.0.0.1:1");
    Config::from_env(|name| environment.get(name).cloned()).expect("a valid configuration")
}

/// Changes to claims so that a token of them does not expire.
pub fn forever() -> Value {
    json!({ "exp": 4_102_444_800_u64 })
}

/// The service in this process.
pub struct InProcess {
    service: Service,
    table: Table,
    log: Log,
    runtime: Runtime,
}

impl InProcess {
    /// A service that trusts both issuers of the grammar, over an empty table.
    pub fn new() -> Self {
        let table = Table::default();
        let aws = table.aws();
        let verifier = Verifier::new(config().issuers, &Https::new(None), &aws);
        let service = Service::new(verifier, Store::new(&aws, None, local::TABLE.to_owned(), false));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { service, table, log: Log::default(), runtime: runtime.expect("a runtime") }
    }

    /// Replaces what is in the table.
    pub fn put(&self, items: Vec<Item>) {
        *self.table.0.lock().expect("no holder panics") = items;
    }

    /// Hands an event to the service. Fails on what no event may cause, as in the tests. `event` must be JSON.
    pub fn exchange(&self, event: &str, secrets: &[String]) -> Result<Exchange, String> {
        let listening = self.log.listen(LevelFilter::INFO);
        let event: Event = serde_json::from_str(event).map_err(|_| "the event is not JSON")?;
        let sent = self.runtime.block_on(async {
            let sent = self.service.invoke(LambdaEvent::new(event, Context::default())).await;
            sent.map(|response| serde_json::to_vec(&response).expect("a response is JSON"))
        });
        drop(listening);
        let sent = sent.map_err(|error| error.to_string());
        let mut reasons = Vec::new();
        for line in self.log.take().lines() {
            reasons.extend(tests::audited(line, secrets)?);
        }
        let Ok([reason]) = <[String; 1]>::try_from(reasons) else {
            return Err("not one audit line for one event".to_owned());
        };
        Ok(Exchange { payload: tests::payload(&sent, secrets)?, reason })
    }
}

impl Default for InProcess {
    fn default() -> Self {
        Self::new()
    }
}

/// A table in memory: as much of DynamoDB as one `GetItem` needs, behind the service's own SDK.
#[derive(Clone, Debug, Default)]
struct Table(Arc<Mutex<Vec<Item>>>);

impl Table {
    fn aws(&self) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        let client = http_client_fn(move |_, _| connector.clone());
        testkit::aws("http://table").into_builder().http_client(client).build()
    }
}

impl HttpConnector for Table {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request: Value =
            serde_json::from_slice(request.body().bytes().expect("a body in memory")).expect("JSON");
        let key = &request["Key"];
        let has_key = |item: &&Item| {
            ["siteId", "id"]
                .iter()
                .all(|name| item[*name].as_s().is_ok_and(|value| key[*name]["S"] == **value))
        };
        let items = self.0.lock().expect("no holder panics");
        let item = items.iter().find(has_key).map(|item| json!({ "Item": members(item) }));
        let body = SdkBody::from(item.unwrap_or_else(|| json!({})).to_string());
        HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().expect("a status"), body)))
    }
}

fn members(item: &Item) -> Value {
    item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

/// An attribute as DynamoDB's JSON.
fn attribute(value: &AttributeValue) -> Value {
    let base64 = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(digits) => json!({ "N": digits }),
        AttributeValue::B(bytes) => json!({ "B": base64(bytes.as_ref()) }),
        AttributeValue::Bool(value) => json!({ "BOOL": value }),
        AttributeValue::Null(value) => json!({ "NULL": value }),
        AttributeValue::L(list) => json!({ "L": list.iter().map(attribute).collect::<Vec<_>>() }),
        AttributeValue::M(map) => json!({ "M": members(map) }),
        AttributeValue::Ss(list) => json!({ "SS": list }),
        AttributeValue::Ns(list) => json!({ "NS": list }),
        other => panic!("no case has {other:?}"),
    }
}
