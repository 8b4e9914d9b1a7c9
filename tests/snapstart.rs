//! The real binary with `SnapStart`, and with connections that died in the meantime.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use local::issuer::Issuer;
use local::relay::Relay;
use local::runtime_api::Function;
use local::tls::Authority;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const BOOTSTRAP: &str = env!("CARGO_BIN_EXE_bootstrap");
/// The token by which Lambda's endpoint knows the function.
const AUTHORIZATION: &str = "container-token";

/// An event that asks for the sample study with this token.
fn event(token: &str) -> Value {
    let mut event: Value = serde_json::from_str(include_str!("../events/found.json")).unwrap();
    event["headers"]["authorization"] = format!("Bearer {token}").into();
    event
}

/// A table with the sample studies.
async fn table() -> SocketAddr {
    let (table, address) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
    for path in local::sample_paths() {
        local::put(&table, &std::fs::read_to_string(path).unwrap()).await;
    }
    address
}

async fn serve(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// What the outside world saw of the function.
#[derive(Default)]
struct World {
    jwks: Mutex<String>,
    key_fetches: AtomicUsize,
    credential_fetches: AtomicUsize,
    calls: AtomicUsize,
    calls_with_container_credentials: AtomicUsize,
}

impl World {
    fn seen(&self) -> [usize; 3] {
        [&self.key_fetches, &self.credential_fetches, &self.calls].map(|count| count.load(Ordering::Relaxed))
    }
}

async fn jwks(State(world): State<Arc<World>>) -> String {
    world.key_fetches.fetch_add(1, Ordering::Relaxed);
    world.jwks.lock().unwrap().clone()
}

async fn credentials(State(world): State<Arc<World>>, headers: HeaderMap) -> Result<String, StatusCode> {
    if headers.get("authorization").is_none_or(|token| token != AUTHORIZATION) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    world.credential_fetches.fetch_add(1, Ordering::Relaxed);
    Ok(json!({
        "AccessKeyId": "container",
        "SecretAccessKey": "secret",
        "Token": "session",
        "Expiration": "2099-01-01T00:00:00Z",
    })
    .to_string())
}

/// The world, and the environment that names it.
async fn world() -> (Arc<World>, HashMap<String, String>) {
    let world = Arc::<World>::default();
    let seen = Arc::clone(&world);
    let table = Relay::in_front_of(table().await, move |call| {
        seen.calls.fetch_add(1, Ordering::Relaxed);
        if String::from_utf8_lossy(call).contains("Credential=container/") {
            seen.calls_with_container_credentials.fetch_add(1, Ordering::Relaxed);
        }
        std::future::ready(())
    });
    let table = table.await.unwrap();
    let routes = Router::new()
        .route("/jwks.json", get(jwks))
        .route("/credentials", get(credentials))
        .with_state(Arc::clone(&world));
    let server = serve(routes).await;
    let authority = Authority::new().unwrap();
    let keys = authority.in_front_of(server).await.unwrap();
    let roots = format!("{}/snapstart-roots.pem", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&roots, &authority.root).unwrap();

    let mut environment = local::environment(&format!("http://{}", table.address));
    environment.remove("JWT_JWKS");
    environment.extend(
        [
            ("JWT_JWKS_URL", format!("{keys}/jwks.json")),
            ("SSL_CERT_FILE", roots),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start".to_owned()),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{server}/credentials")),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", AUTHORIZATION.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    (world, environment)
}

#[tokio::test]
async fn a_snapshot_holds_nothing_that_ages_and_the_first_read_after_it_is_right() {
    let (world, environment) = world().await;
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    *world.jwks.lock().unwrap() = Issuer::jwks([&old]);
    let mut function = Function::start(BOOTSTRAP, &environment).await;
    function.api.snapshot().await;
    assert_eq!(world.seen(), [0, 0, 0], "key fetches, credential fetches and calls before the snapshot");

    // A week goes by: the issuer has changed its key.
    *world.jwks.lock().unwrap() = Issuer::jwks([&new]);
    function.api.restore();
    function.poll().await;
    let [key_fetches, credential_fetches, calls] = world.seen();
    assert_eq!(
        [key_fetches, credential_fetches],
        [1, 1],
        "key fetches and credential fetches after the restore"
    );
    assert!(calls > 0, "the connection is open before the first read");

    let answer = function.invoke(event(&new.token(&local::claims()))).await.unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let refused = function.invoke(event(&old.token(&local::claims()))).await.unwrap();
    assert_eq!(refused["statusCode"], 401, "{refused}");
    assert_eq!(world.seen()[..2], [1, 1], "no read had to fetch");
    assert_eq!(
        world.calls_with_container_credentials.load(Ordering::Relaxed),
        world.calls.load(Ordering::Relaxed)
    );
}

#[tokio::test]
async fn a_read_is_answered_after_its_connection_has_died() {
    let table = Relay::in_front_of(table().await, |_| std::future::ready(())).await.unwrap();
    let function =
        Function::start(BOOTSTRAP, &local::environment(&format!("http://{}", table.address))).await;
    for _ in 0..3 {
        let answer = function.invoke(event(&local::token(&local::claims()))).await.unwrap();
        assert_eq!(answer["statusCode"], 200, "{answer}");
        table.cut_off();
    }
}
