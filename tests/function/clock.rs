//! An environment that Lambda has frozen for a week: connections have died, and the clock has gone on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::{Value, json};
use testkit::runtime_api::Function;
use testkit::server::{Behavior, Server, Step};
use testkit::signer::{Signer, jwks};

/// An event that asks for the sample study with a token of `signer`, issued on that day for five minutes.
fn event(signer: &Signer, day: SystemTime) -> Value {
    let issued = day.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = local::claims_with(&json!({ "iat": issued, "nbf": issued, "exp": issued + 300 }));
    let mut event = testkit::event("found");
    event["headers"]["authorization"] = format!("Bearer {}", signer.token(&claims)).into();
    event
}

fn in_days(days: u64) -> SystemTime {
    SystemTime::now() + Duration::from_hours(24 * days)
}

/// The clock of a function under libfaketime, whose monotonic clock stands still meanwhile.
struct Clock(String);

impl Clock {
    fn of(environment: &mut HashMap<String, String>) -> Self {
        let clock = Self(format!("{}/frozen-clock", env!("CARGO_TARGET_TMPDIR")));
        clock.set_on(0);
        let library = std::env::var("LIBFAKETIME").expect("LIBFAKETIME: the path of libfaketime.so.1");
        let variables = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &clock.0),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        environment.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        clock
    }

    /// Sets the clock this many days ahead of ours.
    fn set_on(&self, days: u64) {
        // Renamed, so that it is never read half-written.
        let new = format!("{}-new", self.0);
        std::fs::write(&new, format!("+{days}d\n")).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }
}

#[tokio::test]
#[ignore = "needs LIBFAKETIME, the path of libfaketime.so.1: make clock-trial"]
async fn an_environment_that_was_frozen_for_a_week_reads_clock_and_keys_anew() {
    // The day on which the first call to the table was signed. The SDK corrects later ones by the table's clock, which is
    // ours.
    let signed_on = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&signed_on);
    let table = Server::scripted(super::samples().await, move |call| {
        let date = call.headers["x-amz-date"].to_str().unwrap();
        seen.lock().unwrap().get_or_insert_with(|| date[..8].to_owned());
        vec![Step::Forward]
    });
    let (table, issuer) = (table.await, Server::https().await);
    let mut environment = local::environment(&table.url(""));
    environment.remove("JWT_JWKS");
    environment.insert("JWT_JWKS_URL".to_owned(), issuer.url("/jwks.json"));
    let roots = format!("{}/clock-roots.pem", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&roots, Server::ca_bundle()).unwrap();
    environment.insert("SSL_CERT_FILE".to_owned(), roots);
    let clock = Clock::of(&mut environment);
    // Under the same name, so that only their age tells that the keys must be fetched.
    let [old, new] = [Signer::rsa("key"), Signer::rsa("key")];
    issuer.set("/jwks.json", Behavior::json(jwks([old.jwk()])));
    let function = Function::start(super::BOOTSTRAP, &environment).await;
    let response = function.invoke(event(&old, in_days(0))).await.unwrap();
    assert_eq!(response["statusCode"], 200, "{response}");

    clock.set_on(7);
    table.end_connections([]);
    *signed_on.lock().unwrap() = None;
    issuer.set("/jwks.json", Behavior::json(jwks([new.jwk()])));
    for (days, status) in [(7, 200), (0, 401)] {
        let response = function.invoke(event(&new, in_days(days))).await.unwrap();
        assert_eq!(response["statusCode"], status, "a token of day {days}: {response}");
    }
    let day = DateTime::from(in_days(7)).fmt(Format::DateTime).unwrap()[..10].replace('-', "");
    assert_eq!(*signed_on.lock().unwrap(), Some(day));
}
