//! What a read costs: the function, hello-world on the same runtime and a bare `GetItem`, side by
//! side under a Runtime API, with the store behind TLS. `make bench` builds the three and runs this.
//!
//! CPU time and memory are the operating system's accounts of each process. Every round starts every case anew; then
//! each process handles one read in turn, in random order, so that what disturbs the machine disturbs all of them, and
//! caches are as cold as where environments share a machine. The output is one line of JSON for the settings, each
//! document and each case; `tools/benchmark-report` draws tables and plots from them.
//!
//! - `BENCH_ROUNDS` (15): the rounds.
//! - `BENCH_RESPONSES` (200): the warm responses of a case in one round.
//! - `BENCH_BOOTSTRAP`: the function to measure. Without it, it is the one that cargo builds for this benchmark, which
//!   has the features that development dependencies switch on.
//! - `LIBFAKETIME`: the path of libfaketime.so.1. Without it, no environment rests for eleven minutes.
//! - `LLVM_PROFILE_FILE`: where an instrumented function writes its profile (`tools/profile`). Only the function is run
//!   then, each process to its end.

mod documents;
mod rested;

use std::collections::HashMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::CertificateParams;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use table::read::StoredForm;
use tokio::net::TcpListener;

use documents::Document;
use rested::Rested;
use testkit::process::Accounts;
use testkit::runtime_api::Function;
use testkit::server::{Behavior, Server};
use testkit::signer::{Signer, jwks};
use testkit::tls::Authority;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// What hello-world says.
const HELLO: &str = "hello, world";
/// Where systems keep their roots in one file: Debian, Fedora and Amazon Linux, Alpine.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What is run.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Program {
    /// Hello-world.
    HelloWorld,
    /// `GetItem` and nothing else.
    GetItem,
    /// The function, its key set in its configuration.
    Function,
    /// The function, its key set discovered at the issuer.
    FunctionWithDiscovery,
    /// The function, its tokens signed with Ed25519 instead of RSA.
    FunctionWithEd25519,
    /// The function, its issuer the last of twenty, each with a key set of its own in the configuration.
    #[serde(rename = "function-with-20-issuers")]
    FunctionWith20Issuers,
}

/// One row of the tables.
#[derive(Serialize)]
struct Case {
    program: Program,
    document: Document,
    /// Whether the client accepts gzip.
    gzip: bool,
    samples: Vec<Sample>,
}

/// The figures of one process: milliseconds and KiB.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sample {
    /// From the start to the first request for an event.
    next_cpu: f64,
    /// From the start to the first response.
    first_wall: f64,
    first_cpu: f64,
    /// Of one response after the first.
    warm_wall: Spread,
    warm_cpu: Spread,
    /// The most memory that was resident, by the end.
    peak_kib: f64,
}

/// How figures are spread.
#[derive(Serialize)]
struct Spread {
    mean: f64,
    p50: f64,
    p99: f64,
}

/// How the benchmark is set.
struct Settings {
    rounds: u32,
    responses: u32,
    /// The function, if it is not cargo's.
    bootstrap: Option<PathBuf>,
    /// Whether the function writes a profile.
    profiles: bool,
}

/// What the cases are run with.
struct Bench {
    settings: Settings,
    hello_world: PathBuf,
    get_item: PathBuf,
    bootstrap: PathBuf,
    /// Where the table is, without TLS.
    table: SocketAddr,
    /// Certificates in the system's file of roots.
    system_roots: usize,
    issuer: Signer,
    environment: HashMap<String, String>,
    environment_with_discovery: HashMap<String, String>,
    environment_with_ed25519: HashMap<String, String>,
    environment_with_20_issuers: HashMap<String, String>,
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "a command's output")]
async fn main() -> ExitCode {
    // `cargo test --all-targets` starts benchmarks, too, and without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("service: measures under `cargo bench` only");
        return ExitCode::SUCCESS;
    }
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("service: {fault}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a command's output")]
async fn run() -> Outcome<()> {
    let (table, store) = local::dynamodb(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?).await;
    let documents = documents::store(&table).await?;
    let bench = Bench::new(Settings::from_env()?, store).await?;

    let mut cases = cases(&documents)?;
    if bench.settings.profiles {
        cases.retain(|case| !matches!(case.program, Program::HelloWorld | Program::GetItem));
    }
    for round in 1..=bench.settings.rounds {
        eprintln!("round {round} of {}", bench.settings.rounds);
        bench.round(&mut cases).await?;
    }

    print(&bench.conditions())?;
    for document in &documents {
        print(&Row::Document(document))?;
    }
    for case in &cases {
        print(&Row::Case(case))?;
    }
    if std::env::var_os("LIBFAKETIME").is_some() && !bench.settings.profiles {
        print(&Row::Rested { samples: bench.rested(&cases).await? })?;
    }
    Ok(())
}

/// A line of the output.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Row<'a> {
    Settings {
        rounds: u32,
        responses: u32,
        system_roots: usize,
        /// Whether this is a release build.
        release: bool,
        /// Whether the function is the one that ships.
        as_shipped: bool,
        programs: HashMap<&'static str, &'a Path>,
    },
    Document(&'a Document),
    Case(&'a Case),
    Rested {
        samples: Vec<Rested>,
    },
}

#[expect(clippy::print_stdout, reason = "a command's output")]
fn print(row: &Row<'_>) -> Outcome<()> {
    println!("{}", serde_json::to_string(row)?);
    Ok(())
}

/// Every program with every document that it can read, for every client between whom it makes a difference.
fn cases(documents: &[Document]) -> Outcome<Vec<Case>> {
    let case = |program, document: &Document, gzip| Case {
        program,
        document: document.clone(),
        gzip,
        samples: vec![],
    };
    let small = documents.first().ok_or("no documents")?;
    let mut cases = vec![case(Program::HelloWorld, small, true)];
    for document in documents.iter().filter(|document| document.fits) {
        if document.form != StoredForm::Map {
            cases.push(case(Program::GetItem, document, true));
        }
        cases.extend([true, false].map(|gzip| case(Program::Function, document, gzip)));
    }
    cases.extend(
        [Program::FunctionWithDiscovery, Program::FunctionWithEd25519, Program::FunctionWith20Issuers]
            .map(|program| case(program, small, true)),
    );
    Ok(cases)
}

impl Settings {
    fn from_env() -> Outcome<Self> {
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        Ok(Self {
            rounds: count("BENCH_ROUNDS", 15)?,
            responses: count("BENCH_RESPONSES", 200)?,
            bootstrap: path("BENCH_BOOTSTRAP"),
            profiles: path("LLVM_PROFILE_FILE").is_some(),
        })
    }
}

fn count(variable: &str, default: u32) -> Result<u32, String> {
    match std::env::var(variable).map(|value| u32::from_str(&value)) {
        Err(_) => Ok(default),
        Ok(Ok(count)) if count > 0 => Ok(count),
        Ok(_) => Err(format!("{variable}: takes a number from 1 on")),
    }
}

impl Bench {
    async fn new(settings: Settings, table: SocketAddr) -> Outcome<Self> {
        let built = Path::new(env!("CARGO_BIN_EXE_bootstrap"));
        let bootstrap = copy(settings.bootstrap.as_deref().unwrap_or(built), "bootstrap")?;
        let examples = built.with_file_name("examples");

        let authority = Authority::like_those_of_aws();
        let store = Server::https_in_front_of(table, &authority).await;
        let mut environment = local::environment(&store.url(""));
        let amazon = include_str!("../../src/amazon-trust-services.pem");
        let issuer = Signer::rsa("bench");
        let key_set = jwks([issuer.jwk()]);
        environment.insert("AWS_CA_BUNDLE".into(), roots("store-roots.pem", amazon, &authority)?);
        // The development key is an Ed25519 key.
        let environment_with_ed25519 = environment.clone();
        environment.insert("JWT_JWKS".into(), key_set.clone());

        let environment_with_20_issuers = twenty_issuers(&environment);
        let mut environment_with_discovery = environment.clone();
        environment_with_discovery.remove("JWT_JWKS");
        environment_with_discovery.insert("JWT_ISSUER".into(), publish(&authority, &key_set).await?);
        let system = system_roots()?;
        environment_with_discovery
            .insert("SSL_CERT_FILE".into(), roots("system-roots.pem", &system, &authority)?);

        Ok(Self {
            settings,
            hello_world: copy(&examples.join("hello-world"), "hello-world")?,
            get_item: copy(&examples.join("get-item"), "get-item")?,
            bootstrap,
            table,
            system_roots: system.matches("BEGIN CERTIFICATE").count(),
            issuer,
            environment,
            environment_with_discovery,
            environment_with_ed25519,
            environment_with_20_issuers,
        })
    }

    fn conditions(&self) -> Row<'_> {
        Row::Settings {
            rounds: self.settings.rounds,
            responses: self.settings.responses,
            system_roots: self.system_roots,
            release: !cfg!(debug_assertions),
            as_shipped: self.settings.bootstrap.is_some(),
            programs: HashMap::from([
                ("function", &*self.bootstrap),
                ("get-item", &*self.get_item),
                ("hello-world", &*self.hello_world),
            ]),
        }
    }

    /// Starts every case's program and has them respond in turn, in a random order each time.
    async fn round(&self, cases: &mut [Case]) -> Outcome<()> {
        // All tokens are signed before the first process starts, which would find other caches after RSA than after
        // Ed25519.
        let mut prepared = Vec::new();
        for case in cases {
            let expected = self.iss(case.program);
            let events: Outcome<Vec<String>> = (0..=self.settings.responses)
                .map(|number| case.event(&self.issuer, expected, number))
                .collect();
            prepared.push((case, events?));
        }
        fastrand::shuffle(&mut prepared);
        let mut processes = Vec::new();
        for (case, events) in prepared {
            processes.push(self.start(case, events).await?);
        }
        for _ in 0..self.settings.responses {
            fastrand::shuffle(&mut processes);
            for process in &mut processes {
                process.respond().await?;
            }
        }
        for process in processes {
            process.end(self.settings.profiles).await?;
        }
        Ok(())
    }

    /// Reads by as many rested environments as there are rounds.
    async fn rested(&self, cases: &[Case]) -> Outcome<Vec<Rested>> {
        let case = cases.iter().find(|case| case.program == Program::Function).ok_or("no case")?;
        let event = case.event(&self.issuer, local::ISSUER, 0)?;
        let mut samples = Vec::new();
        for _ in 0..self.settings.rounds {
            samples.push(rested::measure(&self.bootstrap, self.table, &self.issuer, &event).await?);
        }
        Ok(samples)
    }

    /// Who issues the tokens.
    fn iss(&self, program: Program) -> &str {
        self.environment(program).get("JWT_ISSUER").map_or(local::ISSUER, String::as_str)
    }

    fn environment(&self, program: Program) -> &HashMap<String, String> {
        match program {
            Program::HelloWorld | Program::GetItem | Program::Function => &self.environment,
            Program::FunctionWithDiscovery => &self.environment_with_discovery,
            Program::FunctionWithEd25519 => &self.environment_with_ed25519,
            Program::FunctionWith20Issuers => &self.environment_with_20_issuers,
        }
    }

    /// Starts the case's program and has it respond once.
    async fn start<'a>(&self, case: &'a mut Case, events: Vec<String>) -> Outcome<Process<'a>> {
        let binary = match case.program {
            Program::HelloWorld => &self.hello_world,
            Program::GetItem => &self.get_item,
            Program::Function
            | Program::FunctionWithDiscovery
            | Program::FunctionWithEd25519
            | Program::FunctionWith20Issuers => &self.bootstrap,
        };
        let mut function = Function::start(binary, self.environment(case.program)).await;
        let mut accounts = Accounts::of(function.process.id().ok_or("it has ended")?);
        let next_wall = milliseconds(function.poll().await - function.started);
        let next_cpu = accounts.cpu_at_rest().await?;
        let mut process = Process {
            case,
            events,
            function,
            accounts,
            cpu: next_cpu,
            walls: vec![],
            cpus: vec![],
            next_wall,
            next_cpu,
        };
        process.respond().await?;
        Ok(process)
    }
}

/// The process of a case in one round.
struct Process<'a> {
    case: &'a mut Case,
    /// Those that it has not been given yet.
    events: Vec<String>,
    function: Function,
    accounts: Accounts,
    /// CPU time so far.
    cpu: Duration,
    next_wall: f64,
    next_cpu: Duration,
    /// Of each response, the first included.
    walls: Vec<f64>,
    cpus: Vec<f64>,
}

impl Process<'_> {
    async fn respond(&mut self) -> Outcome<()> {
        let event = self.events.pop().ok_or("no event is left")?;
        let asked = Instant::now();
        let sent = self.function.exchange(event).await;
        self.walls.push(milliseconds(sent.at - asked));
        self.case.check(sent.payload).map_err(|fault| format!("{}: {fault}", self.case.document.id))?;
        // It has done with one event when it asks for another.
        self.function.poll().await;
        let cpu = self.accounts.cpu_at_rest().await?;
        self.cpus.push(milliseconds(cpu.saturating_sub(self.cpu)));
        self.cpu = cpu;
        Ok(())
    }

    /// Ends the process, after it has written its profile if it does, and keeps its figures.
    async fn end(mut self, profiles: bool) -> Outcome<()> {
        let peak_kib = f64::from(self.accounts.peak_kib()?);
        if profiles {
            self.function.end().await?;
        } else {
            self.function.process.kill().await?;
        }
        self.case.samples.push(Sample {
            next_cpu: milliseconds(self.next_cpu),
            // The pause before the first event, in which the accounts were read, is no part of it.
            first_wall: self.next_wall + self.walls.remove(0),
            first_cpu: milliseconds(self.next_cpu) + self.cpus.remove(0),
            warm_wall: Spread::of(self.walls),
            warm_cpu: Spread::of(self.cpus),
            peak_kib,
        });
        Ok(())
    }
}

impl Case {
    /// An API Gateway event that asks for the document, with a token of its own, whose `iss` is `expected`.
    fn event(&self, issuer: &Signer, expected: &str, number: u32) -> Outcome<String> {
        let mut event: Value = serde_json::from_str(include_str!("../../events/found-gzip.json"))?;
        let id = self.document.id.as_str();
        let path = format!("/site/{}/fhir/imaging-study/{id}", local::SITE);
        event["pathParameters"]["id"] = id.into();
        event["rawPath"] = path.as_str().into();
        event["requestContext"]["http"]["path"] = path.into();
        let claims = local::claims_with(&json!({ "iss": expected, "jti": number.to_string() }));
        let token = match self.program {
            Program::FunctionWithEd25519 => local::token(&claims),
            _ => issuer.token(&claims),
        };
        event["headers"]["authorization"] = format!("Bearer {token}").into();
        if !self.gzip {
            event["headers"]["accept-encoding"] = "identity".into();
        }
        Ok(event.to_string())
    }

    /// A response counts if it is a 200 with the whole document.
    fn check(&self, payload: Result<impl AsRef<[u8]>, impl AsRef<[u8]>>) -> Outcome<()> {
        let payload = payload.map_err(|error| String::from_utf8_lossy(error.as_ref()).into_owned())?;
        let response: GatewayResponse = serde_json::from_slice(payload.as_ref())?;
        if response.status_code != 200 {
            return Err(format!("responds with {}: {}", response.status_code, response.body).into());
        }
        let found = response.document_bytes()?;
        let expected = match self.program {
            Program::HelloWorld => HELLO.len().try_into()?,
            _ => self.document.json_bytes,
        };
        if found != expected {
            return Err(format!("responds with {found} bytes of {expected}").into());
        }
        Ok(())
    }
}

/// What a function sends for API Gateway.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GatewayResponse {
    status_code: u16,
    is_base64_encoded: bool,
    body: String,
}

impl GatewayResponse {
    /// The bytes of the body, inflated if it is gzip: the last four say how many (RFC 1952 §2.3.1).
    fn document_bytes(&self) -> Outcome<u32> {
        if !self.is_base64_encoded {
            return Ok(self.body.len().try_into()?);
        }
        let gzip = BASE64_STANDARD.decode(&self.body)?;
        let size = gzip.last_chunk().ok_or("a body of gzip that is none")?;
        Ok(u32::from_le_bytes(*size))
    }
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |percent: usize| figures[(figures.len() - 1) * percent / 100];
        let mean = figures.iter().sum::<f64>() / figures.iter().map(|_| 1.0).sum::<f64>();
        Self { mean, p50: at(50), p99: at(99) }
    }
}

/// The same environment, but its issuer is the last of a list.
fn twenty_issuers(environment: &HashMap<String, String>) -> HashMap<String, String> {
    let mut environment = environment.clone();
    let audience = environment.remove("JWT_AUDIENCE");
    environment.remove("SMART_CONFIGURATION");
    let mut key_sets: Vec<String> = (1..20).map(|n| jwks([Signer::rsa(&format!("key {n}")).jwk()])).collect();
    key_sets.extend(environment.remove("JWT_JWKS"));
    let own = environment.remove("JWT_ISSUER");
    let issuers: Vec<String> = (1..20).map(|n| format!("https://issuer-{n}.example")).chain(own).collect();
    let list: Vec<Value> = std::iter::zip(issuers, key_sets)
        .map(|(issuer, jwks)| json!({ "issuer": issuer, "audience": audience, "jwks": jwks, "sites": [local::SITE] }))
        .collect();
    environment.insert("JWT_ISSUERS".into(), json!(list).to_string());
    environment
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Copies a program to measure, so that all of them lie in the page cache alike: an older copy of the same bytes was
/// seen to start with a tenth more CPU time (docs/decisions.md, 2026-11-25).
fn copy(program: &Path, name: &str) -> Outcome<PathBuf> {
    if !program.is_file() {
        return Err(format!(
            "{} is missing: `cargo build --release --bin bootstrap --examples` builds it",
            program.display()
        )
        .into());
    }
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Removed rather than overwritten: a program that still runs cannot be written to.
    if copy.exists() {
        std::fs::remove_file(&copy)?;
    }
    std::fs::copy(program, &copy)?;
    Ok(copy)
}

fn system_roots() -> Outcome<String> {
    let path = SYSTEM_ROOTS.iter().find(|path| Path::new(path).is_file());
    Ok(std::fs::read_to_string(path.ok_or("the system has no file of root certificates")?)?)
}

/// Writes a file of these roots and the throw-away one; its path.
fn roots(name: &str, others: &str, authority: &Authority) -> Outcome<String> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, format!("{others}\n{}", authority.root))?;
    Ok(path.to_str().ok_or("the target directory's path is not UTF-8")?.to_owned())
}

/// Serves the OpenID configuration and the key set of an issuer for as long as the runtime lives; its URL.
async fn publish(authority: &Authority, key_set: &str) -> Outcome<String> {
    let certificate = CertificateParams::new(["localhost".to_owned()])?;
    let server = Server::with_certificate("localhost", authority, &certificate).await;
    let (issuer, keys) = (server.url(""), server.url("/jwks.json"));
    let configuration = json!({ "issuer": issuer, "jwks_uri": keys }).to_string();
    server.set("/.well-known/openid-configuration", Behavior::kept_open(200, &configuration));
    server.set("/jwks.json", Behavior::kept_open(200, key_set));
    Ok(issuer)
}
