//! The whole service on one machine: an embedded DynamoDB, the sample studies, and the function's own handler behind
//! HTTP. `make run` starts it.
//!
//! `LOCAL_PORT` (9000) and `DYNAMODB_PORT` (8000) move the two servers; `DYNAMODB_HOST` (127.0.0.1) is 0.0.0.0 where a
//! container must reach the table.

#[path = "../local/support.rs"]
mod support;

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use axum::body::Bytes;
use axum::extract::{Request, State};
use imaging_study::auth::Verifier;
use imaging_study::config::{Config, Environment as _, Process};
use imaging_study::load::{Counts, End, Observer};
use imaging_study::store::Store;
use imaging_study::table::Table;
use imaging_study::target::SiteId;
use imaging_study::{Service, audit, load, source};
use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::{Body, RequestExt as _, http};
use tokio::net::TcpListener;

/// What a request's body may be: none is expected, and none is read.
const MAX_BODY_BYTES: usize = 1 << 20;

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a command's output")]
async fn main() -> ExitCode {
    audit::init(None);
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("local: {fault}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let dynamodb_host = setting("DYNAMODB_HOST", Ipv4Addr::LOCALHOST)?;
    let table_at = listen("DYNAMODB_PORT", dynamodb_host, setting("DYNAMODB_PORT", 8000)?).await?;
    let http_at = listen("LOCAL_PORT", Ipv4Addr::LOCALHOST, setting("LOCAL_PORT", 9000)?).await?;

    let (table, dynamodb) = support::dynamodb(table_at).await;
    load(&table).await?;

    let endpoint = format!("http://127.0.0.1:{}", dynamodb.port());
    let config = Config::from_env(&support::environment(&endpoint))?;
    let aws = support::aws(&endpoint);
    let store = Store::new(&aws, None, config.table_name, config.consistent_read);
    let service = Arc::new(Service::new(Verifier::new(config.auth, &aws)?, store));
    service.warm_up().await;

    announce(http_at.local_addr()?, dynamodb);
    let routes = axum::Router::new().fallback(answer).with_state(service);
    axum::serve(http_at, routes)
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    Ok(())
}

/// A variable's value, or `default` where it is not set.
fn setting<T: FromStr>(name: &str, default: T) -> Result<T, String> {
    match Process.var(name) {
        Some(value) => value.parse().map_err(|_| format!("{name}={value} is not what it takes")),
        None => Ok(default),
    }
}

async fn listen(variable: &str, host: Ipv4Addr, port: u16) -> Result<TcpListener, String> {
    TcpListener::bind((host, port))
        .await
        .map_err(|fault| format!("cannot listen on {host}:{port} ({fault}); set {variable} to another port"))
}

/// Fills the table with the sample studies, by what `studies load` does.
async fn load(client: &Client) -> Result<(), Box<dyn Error>> {
    let table = Table::new(client.clone(), support::TABLE.to_owned());
    let inputs = source::inputs(&support::sample_paths())?;
    let site = SiteId::parse(support::SITE)?;
    match load::load(Some(&table), &site, inputs, &mut Strict, std::future::pending()).await {
        (_, End::Complete | End::Stopped) => Ok(()),
        (_, End::Table(fault)) => Err(fault.into()),
        (_, End::Observer(fault)) => Err(fault.into()),
    }
}

/// Ends the loading at the first sample that is broken, and says where it is.
struct Strict;

impl Observer for Strict {
    fn refused(&mut self, refusal: &load::Refusal) -> io::Result<()> {
        let problem = refusal.problems.first().map(ToString::to_string).unwrap_or_default();
        Err(io::Error::other(format!("{}: {problem}", refusal.origin)))
    }

    fn progress(&mut self, _: &Counts, _: u64) {}
}

/// Hands a request to the function's handler, as the gateway would.
async fn answer(State(service): State<Arc<Service>>, request: Request) -> axum::response::Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, MAX_BODY_BYTES).await.unwrap_or_default();
    let query: QueryMap = parts.uri.query().unwrap_or_default().parse().unwrap_or_default();
    let request = http::Request::from_parts(parts, Body::from(body.to_vec()));
    service
        .handle(request.with_query_string_parameters(query))
        .await
        .0
        .map(|body| axum::body::Body::from(body.to_vec()))
}

#[expect(clippy::print_stdout, reason = "a command's output")]
fn announce(http: SocketAddr, dynamodb: SocketAddr) {
    let study = |site: &str| format!("http://{http}/site/{site}/fhir/imaging-study/panoramic");
    let token = support::token(&support::claims());
    println!(
        "
Imaging studies on http://{http}, out of the table {} on http://{dynamodb}. Ctrl-C stops both.

A study (the token is valid for an hour):
  curl -i -H 'Authorization: Bearer {token}' {}

Without a token, 401:
  curl -i {}

A site that the token does not grant, 404:
  curl -i -H 'Authorization: Bearer {token}' {}
",
        support::TABLE,
        study(support::SITE),
        study(support::SITE),
        study("5"),
    );
}
