//! What happens to reads while the issuer changes its keys, does not answer, and strangers send unknown `kid`s.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use local::issuer::Issuer;
use local::runtime_api::{Function, RuntimeApi};
use serde_json::json;
use tokio::net::TcpListener;

use crate::load::{self, Arrivals, Latencies};
use crate::{Bench, GOAL_ROW, Outcome, roots, tokens};

/// Tokens of keys that the issuer never had.
const UNKNOWN: usize = 1_000;
/// The function fetches keys once in 30 s at most; this is a little more.
const COOL_DOWN: Duration = Duration::from_secs(31);
/// How long reads with known keys are measured in each phase.
const PHASE: Duration = Duration::from_secs(5);

/// What was seen.
pub(crate) struct Keys {
    /// The reads with known keys: before, during the rotation, during the outage with the unknown keys.
    pub(crate) before: Latencies,
    pub(crate) rotation: Latencies,
    pub(crate) outage: Latencies,
    /// Fetches of the key set in the whole run, and the most of them at once.
    pub(crate) fetches: usize,
    pub(crate) most_fetches_at_once: usize,
    /// The answers to tokens with unknown keys: 401 and 503.
    pub(crate) unauthorized: usize,
    pub(crate) unavailable: usize,
    /// How long the slowest of these took.
    pub(crate) slowest_unknown: Duration,
}

/// The issuer's key server.
#[derive(Default)]
struct Server {
    /// `None`: it accepts connections and does not answer.
    jwks: Mutex<Option<String>>,
    fetches: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

/// A fetch, until the client hangs up.
struct Fetch(Arc<Server>);

pub(crate) async fn run(bench: &Bench) -> Outcome<Keys> {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let server = Arc::<Server>::default();
    server.publish(Some(Issuer::jwks([&old])));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let routes = Router::new().route("/jwks.json", get(jwks)).with_state(Arc::clone(&server));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let url = bench.authority.in_front_of(address).await.map_err(|fault| fault.to_string())?;
    let url = format!("{url}/jwks.json");
    let trusted = roots("issuer-roots.pem", "", &bench.authority)?;
    let changes = [("JWT_JWKS_URL", url.as_str()), ("SSL_CERT_FILE", &trusted)];
    let mut function = bench.start(GOAL_ROW, &changes).await?;

    // Half of the pollers is left to the strangers.
    let known = Arrivals::InFlight(GOAL_ROW / 2);
    let (old_tokens, new_tokens) = (Arc::new(tokens(&old)), Arc::new(tokens(&new)));
    let read = |tokens, time| load::run(&function.api, &bench.reads, tokens, known, time, u64::MAX);

    let before = Latencies::of(&read(&old_tokens, PHASE).await?);
    read(&old_tokens, COOL_DOWN.saturating_sub(PHASE)).await?;

    server.publish(Some(Issuer::jwks([&old, &new])));
    let rotation = Latencies::of(&read(&new_tokens, PHASE).await?);
    read(&new_tokens, COOL_DOWN.saturating_sub(PHASE)).await?;

    server.publish(None);
    let first = new_tokens.first().ok_or("no token")?;
    let (outage, unknown) = tokio::join!(read(&new_tokens, PHASE), strangers(&function, bench, first));
    let (outage, unknown) = (Latencies::of(&outage?), unknown?);
    let with = |status| unknown.iter().filter(|(found, _)| *found == status).count();
    let keys = Keys {
        before,
        rotation,
        outage,
        fetches: server.fetches.load(Ordering::Relaxed),
        most_fetches_at_once: server.most_at_once.load(Ordering::Relaxed),
        unauthorized: with(401),
        unavailable: with(503),
        slowest_unknown: unknown.iter().map(|(_, time)| *time).max().unwrap_or_default(),
    };
    function.process.kill().await?;
    Ok(keys)
}

/// Sends tokens of unknown keys, as many at once as the reads with known keys leave room for: status and time of each
/// answer.
async fn strangers(function: &Function, bench: &Bench, token: &str) -> Outcome<Vec<(u16, Duration)>> {
    let at_once = GOAL_ROW / 2;
    let worker = async |first: usize| -> Outcome<Vec<(u16, Duration)>> {
        let mut answers = vec![];
        for number in (first..UNKNOWN).step_by(at_once) {
            answers.push(stranger(&function.api, bench, token, number).await?);
        }
        Ok(answers)
    };
    let workers = futures_util::future::join_all((0..at_once).map(worker)).await;
    let answers: Vec<_> = workers.into_iter().collect::<Outcome<_>>()?;
    Ok(answers.concat())
}

async fn stranger(api: &RuntimeApi, bench: &Bench, token: &str, number: usize) -> Outcome<(u16, Duration)> {
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": format!("unknown-{number}") }).to_string();
    let rest = token.split_once('.').ok_or("a token without a header")?.1;
    let token = format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(header));
    let asked = Instant::now();
    let sent = api.exchange(bench.reads.event(bench.reads.next(), &token)).await;
    Ok((load::answer(&sent)?.status_code, asked.elapsed()))
}

async fn jwks(State(server): State<Arc<Server>>) -> String {
    let _fetch = Fetch::new(&server);
    let jwks = server.jwks.lock().map_or(None, |jwks| jwks.clone());
    match jwks {
        Some(jwks) => jwks,
        None => std::future::pending().await,
    }
}

impl Server {
    fn publish(&self, key_set: Option<String>) {
        if let Ok(mut jwks) = self.jwks.lock() {
            *jwks = key_set;
        }
    }
}

impl Fetch {
    fn new(server: &Arc<Server>) -> Self {
        server.fetches.fetch_add(1, Ordering::Relaxed);
        let at_once = server.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        server.most_at_once.fetch_max(at_once, Ordering::Relaxed);
        Self(Arc::clone(server))
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::Relaxed);
    }
}
