//! The whole service on one machine: an embedded DynamoDB, the sample studies, and the function's own handler behind
//! HTTP. `make run` starts it.
//!
//! `LOCAL_PORT` (9000) and `DYNAMODB_PORT` (8000) move the two servers, and 0 picks a free port. `DYNAMODB_HOST`
//! (127.0.0.1) must be 0.0.0.0 for containers to reach the table. `STUDIES` names a folder that is loaded, too. The
//! function's own variables replace the built-in configuration.

mod docs;
mod log;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, ExitCode};
use std::str::FromStr;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use axum::body::Bytes;
use axum::extract::{Request, State};
use imaging_study::auth::{Issuer, Issuers};
use imaging_study::config::{log_level, process_env, warn_of_unknown_variables};
use imaging_study::{Config, Service, audit};
use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS,
    AUTHORIZATION, CONTENT_LENGTH, ORIGIN, VARY,
};
use lambda_http::http::{HeaderMap, HeaderValue};
use lambda_http::{Body, RequestExt as _, http};
use log::Log;
use serde_json::Value;
use tokio::net::TcpListener;

/// What a request's body may be: none is expected, and none is read.
const MAX_BODY_BYTES: usize = 1 << 20;

/// More ids than a screen shows.
const MAX_LISTED: usize = 20;

const STUDIES_MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../studies/Cargo.toml");

/// The function's variables for its table, which is always the embedded one.
const TABLE_VARIABLES: [&str; 7] = [
    "TABLE_NAME", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_CA_BUNDLE", "AWS_REGION", "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
];
/// The variables that replace the built-in issuer.
const ISSUER_VARIABLES: [&str; 4] = ["JWT_ISSUER", "JWT_JWKS_URL", "JWT_ISSUERS", "JWT_ISSUERS_FILE"];

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a command's output")]
async fn main() -> ExitCode {
    audit::init(log_level(|_| None), || Log);
    warn_of_unknown_variables();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("local: {fault}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let dynamodb_host = setting("DYNAMODB_HOST", "an IPv4 address", Ipv4Addr::LOCALHOST)?;
    let dynamodb_port = setting("DYNAMODB_PORT", "a port number", 8000)?;
    let http_port = setting("LOCAL_PORT", "a port number", 9000)?;
    let dynamodb = listen("DYNAMODB_PORT", dynamodb_host, dynamodb_port).await?;
    let http = listen("LOCAL_PORT", Ipv4Addr::LOCALHOST, http_port).await?;

    let endpoint = format!("http://127.0.0.1:{}", dynamodb.local_addr()?.port());
    let config = config(&endpoint)?;
    let (table, dynamodb) = local::dynamodb(dynamodb).await;
    load(&table).await?;
    let studies = variable("STUDIES").map(|folder| load_folder(&folder, &endpoint)).transpose()?;

    let tokens = accepted(&config.issuers);
    let service = Arc::new(Service::from_config(config)?);
    service.warm_up().await;
    let token = development_token(&service).await;

    announce(http.local_addr()?, dynamodb, &tokens, token.as_deref(), studies.as_deref().unwrap_or_default());
    let docs = docs::routes(token.is_some());
    let routes = axum::Router::new().fallback(respond).with_state(service).merge(docs);
    axum::serve(http, routes)
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    Ok(())
}

/// The function's configuration. This process's variables replace the built-in ones, except those for the table.
fn config(endpoint: &str) -> Result<Config, Box<dyn Error>> {
    if variable("JWT_JWKS_SECRET_ARN").is_some() {
        return Err("JWT_JWKS_SECRET_ARN: the local server has no Secrets Manager; set JWT_JWKS".into());
    }
    let mut built_in = local::environment(endpoint);
    built_in.extend(local::ACCOUNT.map(|(name, value)| (name.to_owned(), value.to_owned())));
    if ISSUER_VARIABLES.iter().any(|name| variable(name).is_some()) {
        built_in.remove("JWT_JWKS");
        built_in.remove("SMART_CONFIGURATION");
    }
    if ["JWT_ISSUERS", "JWT_ISSUERS_FILE"].iter().any(|name| variable(name).is_some()) {
        built_in.remove("JWT_ISSUER");
        built_in.remove("JWT_AUDIENCE");
    }
    let own = |name: &str| if TABLE_VARIABLES.contains(&name) { None } else { variable(name) };
    Ok(Config::from_env(|name| own(name).or_else(|| built_in.get(name).cloned()))?)
}

/// A variable of this process. Empty counts as unset.
fn variable(name: &str) -> Option<String> {
    process_env(name).filter(|value| !value.is_empty())
}

/// A variable's value, or `default` if it is unset. `kind` says what it must be.
fn setting<T: FromStr>(name: &str, kind: &str, default: T) -> Result<T, String> {
    match variable(name) {
        Some(value) => value.parse().map_err(|_| format!("{name}: must be {kind}")),
        None => Ok(default),
    }
}

/// A token of the development key, if the configuration accepts it for the sample studies.
async fn development_token(service: &Service) -> Option<String> {
    let token = local::token_for(variable("JWT_JWKS").as_deref(), &local::claims());
    let request = http::Request::get(format!("/site/{}/fhir/imaging-study/panoramic", local::SITE));
    let request = request.header(AUTHORIZATION, format!("Bearer {token}")).body(Body::Empty).ok()?;
    (service.handle(request).await.status() == http::StatusCode::OK).then_some(token)
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

/// Loads a folder with the operator's tool, and returns the ids that the site has then.
fn load_folder(folder: &str, endpoint: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let cargo = variable("CARGO").unwrap_or_else(|| "cargo".to_owned());
    let studies = |options: &[&str], arguments: &[&str]| {
        let mut command = Command::new(&cargo);
        command.args(["run", "--locked", "--manifest-path", STUDIES_MANIFEST]).args(options).arg("--");
        command.args(arguments).args(["--site", local::SITE, "--table", local::TABLE]);
        command.args(["--endpoint-url", endpoint]).envs(local::ACCOUNT);
        command
    };
    let loaded = studies(&[], &["load", "--drop-empty", folder]).status()?;
    // 1 if documents were rejected, which the tool has reported.
    if !matches!(loaded.code(), Some(0 | 1)) {
        return Err(format!("STUDIES: {folder} could not be loaded").into());
    }
    let listed = studies(&["--quiet"], &["list", "--json"]).output()?.stdout;
    let listed = serde_json::Deserializer::from_slice(&listed).into_iter::<Value>();
    Ok(listed
        .map(|study| Ok(study?["id"].as_str().unwrap_or_default().to_owned()))
        .collect::<Result<_, serde_json::Error>>()?)
}

/// Hands a request to the function's handler, as the gateway would.
async fn respond(State(service): State<Arc<Service>>, request: Request) -> axum::response::Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, MAX_BODY_BYTES).await.unwrap_or_default();
    let query: QueryMap = parts.uri.query().unwrap_or_default().parse().unwrap_or_default();
    let cors = cors_headers(&parts.headers);
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let request = http::Request::from_parts(parts, Body::from(body.to_vec()));
    let (response, line) = log::with_line(service.handle(request.with_query_string_parameters(query))).await;
    let why = log::why(response.status(), &path, &line);
    log::tell(&format!("{} {why}  {method} {path}", response.status().as_u16()));
    let is_explained = response.status() == http::StatusCode::UNAUTHORIZED || path.ends_with('/');
    let mut response = response.map(|body| {
        let body = is_explained.then(|| explained(&body, &why)).flatten().unwrap_or_else(|| body.to_vec());
        axum::body::Body::from(body)
    });
    if is_explained {
        // HEAD's is that of the body without an explanation.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response.headers_mut().extend(cors);
    response
}

/// An error's body, of either form, that says why. `None` for a response without one.
fn explained(body: &[u8], why: &str) -> Option<Vec<u8>> {
    let mut body: Value = serde_json::from_slice(body).ok()?;
    let text = if body["message"].is_string() { "/message" } else { "/issue/0/diagnostics" };
    let text = body.pointer_mut(text)?;
    *text = format!("{}: {why}", text.as_str()?).into();
    Some(body.to_string().into_bytes())
}

/// What a gateway with CORS adds to a response for a page of an origin in its list: here, of any.
fn cors_headers(request: &HeaderMap) -> HeaderMap {
    const EXPOSED: &str = "etag, last-modified, retry-after, www-authenticate, x-request-id";
    let mut headers = HeaderMap::new();
    if let Some(origin) = request.get(ORIGIN) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        // Some clients (@medplum/core) ask for it always; no cookie means anything here.
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding, Origin"));
        if let Some(asked) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
    }
    headers
}

/// Which tokens the service accepts, a line for each issuer.
fn accepted(issuers: &Issuers) -> String {
    let issuers = match issuers {
        Issuers::One(issuer) => std::slice::from_ref(&**issuer),
        Issuers::Several(issuers) => issuers,
    };
    let line = |issuer: &Issuer| {
        let audiences = issuer.audiences.as_ref().map(|audiences| audiences.join(" or "));
        let audiences = audiences.as_deref().unwrap_or("any audience");
        format!("Tokens come from {} for {audiences}.", issuer.iss.as_deref().unwrap_or("any issuer"))
    };
    issuers.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[expect(clippy::print_stdout, reason = "a command's output")]
fn announce(http: SocketAddr, dynamodb: SocketAddr, tokens: &str, token: Option<&str>, studies: &[String]) {
    let study = |site: &str, id: &str| format!("http://{http}/site/{site}/fhir/imaging-study/{id}");
    let (site, table) = (local::SITE, local::TABLE);
    let how = match token {
        Some(_) => "Read a study; this token is valid for an hour:".to_owned(),
        None => format!("Set TOKEN to a token of your issuer that grants site {site}, then read a study:"),
    };
    if !studies.is_empty() {
        println!("\nThe studies of site {site}:");
        studies.iter().take(MAX_LISTED).for_each(|id| println!("  {}", study(site, id)));
    }
    if studies.len() > MAX_LISTED {
        println!("  and {} more, which `studies list` shows", studies.len() - MAX_LISTED);
    }
    println!(
        "
Imaging studies are served on http://{http} from the table {table} on http://{dynamodb}.
{tokens}
Press Ctrl-C to stop both servers. A page to try the API is at http://{http}/docs

{how}
  curl -i -H \"Authorization: Bearer {token}\" {study}

Without a token, 401:
  curl -i {study}

A site that the token does not grant, 404:
  curl -i -H \"Authorization: Bearer {token}\" {other}
",
        token = token.unwrap_or("$TOKEN"),
        study = study(site, "panoramic"),
        other = study("5", "panoramic"),
    );
}
