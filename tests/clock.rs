//! The real binary in an environment that Lambda has frozen: connections have died, and the clock has gone on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde_json::{Value, json};
use testkit::issuer::Issuer;
use testkit::relay::Relay;
use testkit::runtime_api::Function;
use testkit::tls::Authority;
use tokio::net::TcpListener;

const BOOTSTRAP: &str = env!("CARGO_BIN_EXE_bootstrap");

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
        testkit::put(&table, &std::fs::read_to_string(path).unwrap()).await;
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
    /// The day on which the first call to the table was signed. The SDK corrects later ones by the table's clock, which
    /// is ours.
    signed_on: Mutex<Option<String>>,
}

async fn jwks(State(world): State<Arc<World>>) -> String {
    world.jwks.lock().unwrap().clone()
}

/// The world, the relay to its table, and the environment that names them.
async fn world() -> (Arc<World>, Relay, HashMap<String, String>) {
    let world = Arc::<World>::default();
    let seen = Arc::clone(&world);
    let table = Relay::in_front_of(table().await, move |call| {
        let call = String::from_utf8_lossy(call);
        if let Some((_, date)) = call.split_once("x-amz-date: ") {
            seen.signed_on.lock().unwrap().get_or_insert_with(|| date[..8].to_owned());
        }
        std::future::ready(())
    });
    let table = table.await.unwrap();
    let routes = Router::new().route("/jwks.json", get(jwks)).with_state(Arc::clone(&world));
    let server = serve(routes).await;
    let authority = Authority::new().unwrap();
    let keys = authority.in_front_of(server).await.unwrap();
    let roots = format!("{}/clock-roots-{}.pem", env!("CARGO_TARGET_TMPDIR"), server.port());
    std::fs::write(&roots, &authority.root).unwrap();

    let mut environment = local::environment(&format!("http://{}", table.address));
    environment.remove("JWT_JWKS");
    environment.extend(
        [("JWT_JWKS_URL", format!("{keys}/jwks.json")), ("SSL_CERT_FILE", roots)]
            .map(|(name, value)| (name.to_owned(), value)),
    );
    (world, table, environment)
}

/// The clock of a function under libfaketime, whose monotonic clock stands still meanwhile.
struct Clock {
    file: String,
}

impl Clock {
    fn of(name: &str, environment: &mut HashMap<String, String>) -> Self {
        let clock = Self { file: format!("{}/{name}-clock", env!("CARGO_TARGET_TMPDIR")) };
        clock.set_on(0);
        let library = std::env::var("LIBFAKETIME").expect("LIBFAKETIME: the path of libfaketime.so.1");
        environment.extend(
            [
                ("LD_PRELOAD", library.as_str()),
                ("FAKETIME_TIMESTAMP_FILE", &clock.file),
                ("FAKETIME_NO_CACHE", "1"),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        clock
    }

    /// Sets the clock this many days ahead of ours.
    fn set_on(&self, days: u64) {
        // Renamed, so that it is never read half-written.
        let new = format!("{}-new", self.file);
        std::fs::write(&new, format!("+{days}d\n")).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }
}

/// So many days from now.
fn in_days(days: u64) -> SystemTime {
    SystemTime::now() + Duration::from_hours(24 * days)
}

/// Claims of a token that was issued on that day, for five minutes.
fn claims_of(day: SystemTime) -> Value {
    let issued = day.duration_since(UNIX_EPOCH).unwrap().as_secs();
    local::claims_with(&json!({ "iat": issued, "nbf": issued, "exp": issued + 300 }))
}

/// Reads the sample study with tokens of today and of next week, signed by this key.
async fn read_in_a_week(function: &Function, world: &World, issuer: &Issuer) {
    for (days, status) in [(7, 200), (0, 401)] {
        let answer = function.invoke(event(&issuer.token(&claims_of(in_days(days))))).await.unwrap();
        assert_eq!(answer["statusCode"], status, "a token of day {days}: {answer}");
    }
    let signed_on = DateTime::from(in_days(7)).fmt(Format::DateTime).unwrap()[..10].replace('-', "");
    assert_eq!(*world.signed_on.lock().unwrap(), Some(signed_on), "the day on which a call is signed");
}

#[tokio::test]
#[ignore = "needs LIBFAKETIME, the path of libfaketime.so.1: make clock-trial"]
async fn an_environment_frozen_last_week_reads_clock_and_keys_anew() {
    let (world, table, mut environment) = world().await;
    let clock = Clock::of("frozen", &mut environment);
    let (old, new) = (Issuer::new("key"), Issuer::new("key"));
    *world.jwks.lock().unwrap() = Issuer::jwks([&old]);
    let function = Function::start(BOOTSTRAP, &environment).await;
    let answer = function.invoke(event(&old.token(&claims_of(in_days(0))))).await.unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
    clock.set_on(7);
    table.cut_off();
    *world.signed_on.lock().unwrap() = None;
    // Under the same name, so that only their age tells that the keys must be fetched.
    *world.jwks.lock().unwrap() = Issuer::jwks([&new]);
    read_in_a_week(&function, &world, &new).await;
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
