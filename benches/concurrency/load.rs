//! Reads, how they arrive, and how long they take.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use local::runtime_api::{RuntimeApi, Sent};
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::{Outcome, STALLS, count};

/// Studies in the table. Those whose number is a multiple of [`STALLS`] stall.
const STUDIES: usize = 5 * STALLS;
/// How often reads that arrive at a rate are started.
const TICK: Duration = Duration::from_millis(1);

/// The studies of the table, and an event to ask for them.
pub(crate) struct Reads {
    pub(crate) documents: Vec<String>,
    event: String,
    number: AtomicU64,
}

/// How reads arrive.
#[derive(Clone, Copy)]
pub(crate) enum Arrivals {
    /// So many are in flight at every moment.
    InFlight(usize),
    /// So many a second, whatever is in flight.
    Rate(f64),
}

/// A read that was answered.
pub(crate) struct Read {
    /// From its arrival to the last byte of the answer.
    pub(crate) latency: Duration,
    pub(crate) stalls: bool,
    /// Whether the answer was 503 or 504: the function or this machine was overloaded.
    pub(crate) gave_up: bool,
}

/// The spread of latencies.
pub(crate) struct Latencies {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Of the reads that did not stall.
    pub(crate) p99_unstalled: Duration,
}

/// What the function sends for API Gateway.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GatewayAnswer {
    pub(crate) status_code: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Reads {
    /// The sample study under many ids.
    pub(crate) fn new() -> Outcome<Self> {
        let sample = local::sample_paths()
            .into_iter()
            .find(|path| path.file_name() == Some(Path::new("panoramic.json").as_os_str()))
            .ok_or("no sample study")?;
        let sample: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(sample)?)?;
        let document = |number| {
            let mut document = sample.clone();
            document["id"] = id(number).into();
            document.to_string()
        };
        let documents = (0..STUDIES).map(document).collect();
        let event: serde_json::Value = serde_json::from_str(include_str!("../../events/found.json"))?;
        let token = event["headers"]["authorization"].as_str().ok_or("an event without a token")?;
        let event = event.to_string().replace("panoramic", "STUDY").replace(token, "Bearer TOKEN");
        let event = event.replace("JKJaXmPLvHcESHA=", "REQUEST");
        Ok(Self { documents, event, number: AtomicU64::default() })
    }

    /// The number of the next read.
    pub(crate) fn next(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    /// An event that asks for a study with this token.
    pub(crate) fn event(&self, number: u64, token: &str) -> String {
        let event = self.event.replace("STUDY", &id(study(number)));
        event.replacen("TOKEN", token, 1).replacen("REQUEST", &request(number), 1)
    }

    /// An error unless this is the answer to the read of this number. Whether it is the study.
    pub(crate) fn check(&self, number: u64, sent: &Sent) -> Outcome<bool> {
        let answer = answer(sent)?;
        let mine = answer.headers.get("x-request-id") == Some(&request(number));
        match answer.status_code {
            503 | 504 if mine => Ok(false),
            200 if mine && self.documents.get(study(number)) == Some(&answer.body) => Ok(true),
            200 => Err(format!("read {number} got the answer to another").into()),
            status => Err(format!("read {number}: {status} {}", answer.body).into()),
        }
    }
}

pub(crate) fn answer(sent: &Sent) -> Outcome<GatewayAnswer> {
    let payload = sent.payload.as_ref().map_err(|error| String::from_utf8_lossy(error).into_owned())?;
    Ok(serde_json::from_slice(payload)?)
}

fn id(study: usize) -> String {
    format!("study-{study:04}")
}

fn request(number: u64) -> String {
    format!("request-{number}")
}

/// The study that the read of this number asks for.
#[expect(clippy::cast_possible_truncation, reason = "the remainder of a usize")]
fn study(number: u64) -> usize {
    (number % STUDIES as u64) as usize
}

/// Whether a call to the table asks for a study that stalls.
pub(crate) fn stalls(call: &[u8]) -> bool {
    const PREFIX: &[u8] = b"\"study-";
    let digits = call.windows(PREFIX.len()).position(|window| window == PREFIX).and_then(|at| {
        let digits = call.get(at + PREFIX.len()..at + PREFIX.len() + 4)?;
        std::str::from_utf8(digits).ok()?.parse::<usize>().ok()
    });
    digits.is_some_and(|study| study % STALLS == 0)
}

/// Reads for `time` or up to `limit` reads. Ends with the first wrong answer.
pub(crate) async fn run(
    api: &RuntimeApi,
    reads: &Arc<Reads>,
    tokens: &Arc<Vec<String>>,
    arrivals: Arrivals,
    time: Duration,
    limit: u64,
) -> Outcome<Vec<Read>> {
    let until = Instant::now() + time;
    let started = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    match arrivals {
        Arrivals::InFlight(concurrency) => {
            for _ in 0..concurrency {
                let (api, reads, tokens) = (api.clone(), Arc::clone(reads), Arc::clone(tokens));
                let started = Arc::clone(&started);
                tasks.spawn(async move {
                    let mut done = vec![];
                    while Instant::now() < until && started.fetch_add(1, Ordering::Relaxed) < limit {
                        done.push(read(&api, &reads, &tokens).await?);
                    }
                    Ok(done)
                });
            }
        }
        Arrivals::Rate(rate) => {
            let since = Instant::now();
            let mut arrived = 0;
            while Instant::now() < until {
                while count(arrived) < since.elapsed().as_secs_f64() * rate {
                    arrived += 1;
                    let (api, reads, tokens) = (api.clone(), Arc::clone(reads), Arc::clone(tokens));
                    tasks.spawn(async move { Ok(vec![read(&api, &reads, &tokens).await?]) });
                }
                tokio::time::sleep(TICK).await;
            }
        }
    }
    let mut done = vec![];
    while let Some(ended) = tasks.join_next().await {
        let ended: Outcome<Vec<Read>> = ended?;
        done.extend(ended?);
    }
    Ok(done)
}

async fn read(api: &RuntimeApi, reads: &Reads, tokens: &[String]) -> Outcome<Read> {
    let number = reads.next();
    let event = reads.event(number, &tokens[study(number) % tokens.len()]);
    let arrived = Instant::now();
    let sent = api.exchange(event).await;
    let gave_up = !reads.check(number, &sent)?;
    Ok(Read { latency: sent.at - arrived, stalls: study(number).is_multiple_of(STALLS), gave_up })
}

impl Latencies {
    pub(crate) fn of(reads: &[Read]) -> Self {
        let all = sorted(reads.iter());
        let unstalled = sorted(reads.iter().filter(|read| !read.stalls));
        Self {
            p50: percentile(&all, 50),
            p99: percentile(&all, 99),
            p99_unstalled: percentile(&unstalled, 99),
        }
    }
}

fn sorted<'a>(reads: impl Iterator<Item = &'a Read>) -> Vec<Duration> {
    let mut latencies: Vec<_> = reads.map(|read| read.latency).collect();
    latencies.sort_unstable();
    latencies
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}
