//! The function with many reads at once, as Lambda Managed Instances send them: `make bench-concurrency`.
//!
//! The real `bootstrap` polls a Runtime API on this machine. Its table answers after 4 ms, except that one read in 200
//! stalls for 500 ms, behind TLS. Every answer is compared with the document and the request that it is for.
//!
//! - `BENCH_SECONDS` (10): how long each row is measured.
//! - `BENCH_SOAK_READS` (0): as many reads at 64 at once, to see whether memory and open files grow.
//! - `BENCH_SOAK_SECONDS` (3600): when to stop that, whatever was read.
//! - `BENCH_OUT`: a file that gets the report, too.
//! - `BENCH_BOOTSTRAP`: the function to measure, if not the one that cargo builds for this benchmark.

mod keys;
mod load;
mod report;

use std::collections::HashMap;
use std::error::Error;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use local::issuer::Issuer;
use local::process::Accounts;
use local::relay::Relay;
use local::runtime_api::Function;
use local::tls::Authority;
use serde_json::json;
use tokio::net::TcpListener;

use load::{Arrivals, Reads};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The time that the table takes to answer, without what this machine adds.
pub(crate) const LATENCY: Duration = Duration::from_millis(4);
/// One read in this many stalls, ...
pub(crate) const STALLS: usize = 200;
/// ... for this long.
pub(crate) const STALL: Duration = Duration::from_millis(500);
/// The reads at once of each row. The first is classic Lambda.
const ROWS: [usize; 4] = [1, 8, 64, 256];
/// The row that the goals are set for.
pub(crate) const GOAL_ROW: usize = 64;
/// The load that latencies are measured under, as a multiple of what one at a time manages.
pub(crate) const LOAD: f64 = 8.0;
/// Reads before a measurement starts, at each step up to the row's concurrency: connections are opened one after the
/// other, as scaling does it, not all in one second.
const WARM_UP: Duration = Duration::from_millis(500);
/// Tokens to choose from. The function verifies each one anew.
const TOKENS: usize = 64;

pub(crate) struct Settings {
    duration: Duration,
    soak_reads: u64,
    soak_time: Duration,
    out: Option<PathBuf>,
    bootstrap: PathBuf,
}

/// What the function is run with.
pub(crate) struct Bench {
    settings: Settings,
    authority: Authority,
    reads: Arc<Reads>,
    environment: HashMap<String, String>,
    /// Calls that the table has let stall.
    stalled: Arc<AtomicU64>,
}

/// The figures of one process under one load.
pub(crate) struct Row {
    pub(crate) concurrency: usize,
    /// Reads a second that arrived; `None` where as many were in flight as there are pollers.
    pub(crate) arrivals: Option<f64>,
    pub(crate) reads_a_second: f64,
    pub(crate) latency: load::Latencies,
    /// Reads that were answered 503 or 504.
    pub(crate) gave_up: usize,
    /// CPU time of one read.
    pub(crate) cpu: Duration,
    pub(crate) peak_kib: u32,
    pub(crate) threads: u32,
    pub(crate) open_files: usize,
}

/// What is held at one moment of the soak.
pub(crate) struct Sample {
    pub(crate) reads: u64,
    pub(crate) resident_kib: u32,
    pub(crate) open_files: usize,
    pub(crate) threads: u32,
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "a command's output")]
async fn main() -> ExitCode {
    // `cargo test --all-targets` starts benchmarks, too, and without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("concurrency: measures under `cargo bench` only");
        return ExitCode::SUCCESS;
    }
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("concurrency: {fault}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output")]
async fn run() -> Outcome<()> {
    let bench = Bench::new(Settings::from_env()?).await?;
    let mut rows = Vec::new();
    for concurrency in ROWS {
        eprintln!("{concurrency} at once");
        rows.push(bench.row(concurrency, None).await?);
    }
    let arrivals = LOAD * rows.first().map_or(0.0, |row: &Row| row.reads_a_second);
    for concurrency in ROWS.into_iter().filter(|&concurrency| concurrency >= GOAL_ROW) {
        eprintln!("{arrivals:.0} reads a second, {concurrency} at once");
        rows.push(bench.row(concurrency, Some(arrivals)).await?);
    }
    eprintln!("key rotation, outage and unknown keys");
    let keys = keys::run(&bench).await?;
    let soak = if bench.settings.soak_reads > 0 {
        eprintln!("{} reads", bench.settings.soak_reads);
        bench.soak().await?
    } else {
        vec![]
    };

    let report = report::markdown(&bench, &rows, &keys, &soak)?;
    print!("{report}");
    if let Some(path) = &bench.settings.out {
        std::fs::create_dir_all(path.parent().unwrap_or(path))?;
        std::fs::write(path, report).map_err(|fault| format!("{}: {fault}", path.display()))?;
    }
    Ok(())
}

impl Settings {
    fn from_env() -> Outcome<Self> {
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        Ok(Self {
            duration: Duration::from_secs(number("BENCH_SECONDS", 10)?),
            soak_reads: number("BENCH_SOAK_READS", 0)?,
            soak_time: Duration::from_secs(number("BENCH_SOAK_SECONDS", 3600)?),
            out: path("BENCH_OUT"),
            bootstrap: path("BENCH_BOOTSTRAP").unwrap_or_else(|| env!("CARGO_BIN_EXE_bootstrap").into()),
        })
    }
}

fn number(variable: &str, default: u64) -> Result<u64, String> {
    match std::env::var(variable).map(|value| value.parse()) {
        Err(_) => Ok(default),
        Ok(Ok(number)) => Ok(number),
        Ok(Err(_)) => Err(format!("{variable}: must be a whole number")),
    }
}

impl Bench {
    async fn new(settings: Settings) -> Outcome<Self> {
        let (table, store) = local::dynamodb(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?).await;
        let reads = Arc::new(Reads::new()?);
        for document in &reads.documents {
            local::put(&table, document).await;
        }
        let stalled = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&stalled);
        let relay = Relay::in_front_of(store, move |call| {
            let stalls = load::stalls(call);
            if stalls {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(if stalls { STALL } else { LATENCY })
        });
        let authority = Authority::new().map_err(|fault| fault.to_string())?;
        let endpoint =
            authority.in_front_of(relay.await?.address).await.map_err(|fault| fault.to_string())?;
        let mut environment = local::environment(&endpoint);
        let amazon = include_str!("../../src/amazon-trust-services.pem");
        environment.insert("AWS_CA_BUNDLE".into(), roots("table-roots.pem", amazon, &authority)?);
        Ok(Self { settings, authority, reads, environment, stalled })
    }

    /// Starts the function for so many reads at once.
    async fn start(&self, concurrency: usize, changes: &[(&str, &str)]) -> Outcome<Function> {
        let mut environment = self.environment.clone();
        if concurrency > 1 {
            environment.insert("AWS_LAMBDA_MAX_CONCURRENCY".into(), concurrency.to_string());
        }
        environment.extend(changes.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
        if environment.contains_key("JWT_JWKS_URL") {
            environment.remove("JWT_JWKS");
        }
        let mut function = Function::start(&self.settings.bootstrap, &environment).await;
        for _ in 0..concurrency {
            function.poll().await;
        }
        Ok(function)
    }

    /// Measures the function under as many reads as it takes at once, or under reads that arrive so often a second.
    async fn row(&self, concurrency: usize, arrivals: Option<f64>) -> Outcome<Row> {
        let issuer = Issuer::new("bench");
        let mut function = self.start(concurrency, &[("JWT_JWKS", &Issuer::jwks([&issuer]))]).await?;
        let tokens = Arc::new(tokens(&issuer));
        let load = match arrivals {
            None => Arrivals::InFlight(concurrency),
            Some(rate) => Arrivals::Rate(rate),
        };
        let run = |time| load::run(&function.api, &self.reads, &tokens, load, time, u64::MAX);
        let mut accounts = Accounts::of(function.process.id().ok_or("the function has ended")?);
        for step in [8, 32, 128, concurrency].into_iter().filter(|&step| step <= concurrency) {
            let load = Arrivals::InFlight(step);
            load::run(&function.api, &self.reads, &tokens, load, WARM_UP, u64::MAX).await?;
        }
        let stalled = self.stalled.load(Ordering::Relaxed);
        let (started, cpu) = (Instant::now(), cpu(&mut accounts)?);
        let reads = run(self.settings.duration).await?;
        let (time, cpu) = (started.elapsed(), cpu_since(&mut accounts, cpu)?);
        let stalled = self.stalled.load(Ordering::Relaxed) - stalled;
        let expected = reads.iter().filter(|read| read.stalls).count();
        let gave_up = reads.iter().filter(|read| read.gave_up).count();
        // A call that is repeated stalls again.
        if usize::try_from(stalled)? < expected || (gave_up == 0 && usize::try_from(stalled)? > 2 * expected)
        {
            return Err(format!("the table let {stalled} reads stall, not {expected}").into());
        }
        let row = Row {
            concurrency,
            arrivals,
            reads_a_second: count(reads.len()) / time.as_secs_f64(),
            latency: load::Latencies::of(&reads),
            gave_up,
            cpu: cpu.div_f64(count(reads.len())),
            peak_kib: accounts.peak_kib().map_err(|fault| fault.to_string())?,
            threads: accounts.threads().map_err(|fault| fault.to_string())?,
            open_files: accounts.open_files().map_err(|fault| fault.to_string())?,
        };
        if function.api.unsolicited() > 0 {
            return Err("the function answered what was not asked".into());
        }
        function.process.kill().await?;
        Ok(row)
    }

    /// Looks at the function ten times while it answers many reads.
    async fn soak(&self) -> Outcome<Vec<Sample>> {
        let issuer = Issuer::new("bench");
        let function = self.start(GOAL_ROW, &[("JWT_JWKS", &Issuer::jwks([&issuer]))]).await?;
        let tokens = Arc::new(tokens(&issuer));
        let accounts = Accounts::of(function.process.id().ok_or("the function has ended")?);
        let (mut samples, mut reads, started) = (vec![], 0, Instant::now());
        for tenth in 1..=10 {
            let limit = self.settings.soak_reads * tenth / 10 - reads;
            let left = self.settings.soak_time.saturating_sub(started.elapsed());
            let load = Arrivals::InFlight(GOAL_ROW);
            reads += u64::try_from(
                load::run(&function.api, &self.reads, &tokens, load, left, limit).await?.len(),
            )?;
            samples.push(Sample {
                reads,
                resident_kib: accounts.resident_kib().map_err(|fault| fault.to_string())?,
                open_files: accounts.open_files().map_err(|fault| fault.to_string())?,
                threads: accounts.threads().map_err(|fault| fault.to_string())?,
            });
        }
        Ok(samples)
    }
}

fn tokens(issuer: &Issuer) -> Vec<String> {
    let token = |number| issuer.token(&local::claims_with(&json!({ "jti": number })));
    (0..TOKENS).map(|number| token(number.to_string())).collect()
}

fn cpu(accounts: &mut Accounts) -> Outcome<Duration> {
    Ok(accounts.cpu().map_err(|fault| fault.to_string())?)
}

fn cpu_since(accounts: &mut Accounts, before: Duration) -> Outcome<Duration> {
    Ok(cpu(accounts)?.saturating_sub(before))
}

/// A number of reads, to calculate with.
#[expect(clippy::cast_precision_loss, reason = "no run makes 2^52 reads")]
pub(crate) fn count(reads: usize) -> f64 {
    reads as f64
}

/// Writes a file of these roots and the throw-away one; its path.
pub(crate) fn roots(name: &str, others: &str, authority: &Authority) -> Outcome<String> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, format!("{others}\n{}", authority.root))?;
    Ok(path.to_str().ok_or("the target directory's path is not UTF-8")?.to_owned())
}
