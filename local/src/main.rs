//! The whole service on one machine: an embedded DynamoDB, the sample studies, and the function's own handler behind
//! HTTP. `make run` starts it.
//!
//! `LOCAL_PORT` (9000) and `DYNAMODB_PORT` (8000) move the two servers; `DYNAMODB_HOST` (127.0.0.1) is 0.0.0.0 where a
//! container must reach the table.

use std::collections::HashMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use axum::body::Bytes;
use axum::extract::{Request, State};
use imaging_study::auth::Verifier;
use imaging_study::config::{Config, process_env};
use imaging_study::store::Store;
use imaging_study::{Service, audit};
use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::{Body, RequestExt as _, http};
use tokio::net::TcpListener;

/// What a request's body may be: none is expected, and none is read.
const MAX_BODY_BYTES: usize = 1 << 20;

/// The variables that name an issuer or its keys.
const KEY_VARIABLES: [&str; 3] = ["JWT_ISSUER", "JWT_JWKS", "JWT_JWKS_URL"];
/// The function's variables, but for its table.
const FUNCTION_VARIABLES: [&str; 10] = [
    "ALL_SITES",
    "JWT_ALGORITHMS",
    "JWT_AUDIENCE",
    "JWT_ISSUER",
    "JWT_JWKS",
    "JWT_JWKS_SECRET_ARN",
    "JWT_JWKS_URL",
    "JWT_LEEWAY_SECONDS",
    "SITE_CLAIM",
    "SMART_SCOPES",
];

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

    let (table, dynamodb) = local::dynamodb(table_at).await;
    load(&table).await?;

    let endpoint = format!("http://127.0.0.1:{}", dynamodb.port());
    let own = own_variables()?;
    let environment = environment(&endpoint, &own);
    let config = Config::from_env(|name| environment.get(name).cloned())?;
    let aws = local::aws(&endpoint);
    let store = Store::new(&aws, None, config.table_name, config.consistent_read);
    let service = Arc::new(Service::new(Verifier::new(config.auth, &aws)?, store));
    service.warm_up().await;

    let token = if own.is_empty() { Some(local::token(&local::claims())) } else { None };
    announce(http_at.local_addr()?, dynamodb, token.as_deref());
    let routes = axum::Router::new().fallback(answer).with_state(service);
    axum::serve(http_at, routes)
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    Ok(())
}

/// Those of the function's variables that this process has.
fn own_variables() -> Result<HashMap<String, String>, &'static str> {
    let own: HashMap<_, _> = FUNCTION_VARIABLES
        .iter()
        .filter_map(|&name| Some((name.to_owned(), process_env(name).filter(|value| !value.is_empty())?)))
        .collect();
    if own.contains_key("JWT_JWKS_SECRET_ARN") {
        return Err("JWT_JWKS_SECRET_ARN: there is no Secrets Manager on this machine; set JWT_JWKS");
    }
    Ok(own)
}

/// The built-in configuration with `own` variables in its place. An issuer or keys of one's own replace the built-in
/// key set.
fn environment(endpoint: &str, own: &HashMap<String, String>) -> HashMap<String, String> {
    let mut environment = local::environment(endpoint);
    if KEY_VARIABLES.iter().any(|&name| own.contains_key(name)) {
        environment.remove("JWT_JWKS");
    }
    environment.extend(own.clone());
    environment
}

/// A variable's value, or `default` where it is not set.
fn setting<T: FromStr>(name: &str, default: T) -> Result<T, String> {
    match process_env(name) {
        Some(value) => value.parse().map_err(|_| format!("{name}={value} is not what it takes")),
        None => Ok(default),
    }
}

async fn listen(variable: &str, host: Ipv4Addr, port: u16) -> Result<TcpListener, String> {
    TcpListener::bind((host, port))
        .await
        .map_err(|fault| format!("cannot listen on {host}:{port} ({fault}); set {variable} to another port"))
}

/// Puts the sample studies into the table.
async fn load(client: &Client) -> Result<(), Box<dyn Error>> {
    for path in local::sample_paths() {
        let json = std::fs::read_to_string(&path)?;
        let sample = local::encode(json.trim()).map_err(|error| format!("{}: {error}", path.display()))?;
        local::put_items(client, sample).await;
    }
    Ok(())
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
fn announce(http: SocketAddr, dynamodb: SocketAddr, token: Option<&str>) {
    let study = |site: &str| format!("http://{http}/site/{site}/fhir/imaging-study/panoramic");
    let (site, table) = (local::SITE, local::TABLE);
    let about_token = match token {
        Some(_) => "the token is valid for an hour".to_owned(),
        None => format!("first set TOKEN to a token of your issuer that grants site {site}"),
    };
    println!(
        "
Imaging studies are served on http://{http} from the table {table} on http://{dynamodb}.
Press Ctrl-C to stop both servers.

A study ({about_token}):
  curl -i -H \"Authorization: Bearer {token}\" {study}

Without a token, 401:
  curl -i {study}

A site that the token does not grant, 404:
  curl -i -H \"Authorization: Bearer {token}\" {other}
",
        token = token.unwrap_or("$TOKEN"),
        study = study(site),
        other = study("5"),
    );
}
