//! The first read of an environment that has rested for longer than its key set is fresh, by wall time: the issuer and
//! the store take the time that they take over a network. The clock is set on (libfaketime), the waiting is real.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use testkit::clock::Clock;
use testkit::runtime_api::Function;
use testkit::server::{Behavior, Server, Step};
use testkit::signer::{Signer, jwks};

use crate::{Outcome, milliseconds};

const STORE: Duration = Duration::from_millis(5);
const ISSUER: Duration = Duration::from_millis(150);
/// A key set is fresh for ten minutes.
const REST: Duration = Duration::from_mins(11);
const KEYS: &str = "/jwks.json";

/// The reads of one process, in milliseconds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rested {
    store: f64,
    issuer: f64,
    /// With a fresh key set.
    fresh: f64,
    /// After a rest.
    due: f64,
    /// After a rest, while the issuer does not respond.
    silent: f64,
    /// The next one.
    after_silent: f64,
}

/// Measures one process. `event` asks `store` for a document, with a token of `signer`.
pub(crate) async fn measure(
    bootstrap: &Path,
    store: SocketAddr,
    signer: &Signer,
    event: &str,
) -> Outcome<Rested> {
    let store = Server::scripted(store, |_| vec![Step::Pause(STORE), Step::Forward]).await;
    let issuer = Server::https().await;
    let published = Behavior::kept_open(200, &jwks([signer.jwk()]));
    issuer.set(KEYS, published.clone());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let roots = folder.join("rested-roots.pem");
    std::fs::write(&roots, Server::ca_bundle())?;

    let mut environment: HashMap<String, String> = local::environment(&store.url(""));
    environment.remove("JWT_JWKS");
    environment.insert("JWT_JWKS_URL".into(), issuer.url(KEYS));
    environment.insert("SSL_CERT_FILE".into(), roots.to_str().ok_or("a path in UTF-8")?.into());
    let clock = Clock::of(&mut environment, folder);
    let function = Function::start(bootstrap, &environment).await;
    let read = async || -> Outcome<f64> {
        let asked = Instant::now();
        let sent = function.exchange(event.to_owned()).await;
        let wall = milliseconds(sent.at - asked);
        let response: serde_json::Value = serde_json::from_slice(&sent.payload.map_err(|_| "an error")?)?;
        if response["statusCode"] == 200 { Ok(wall) } else { Err(format!("responds with {response}").into()) }
    };

    read().await?;
    let fresh = read().await?;
    issuer.set(KEYS, published.after(ISSUER));
    clock.set_on(REST);
    let due = read().await?;
    issuer.set(KEYS, Behavior::steps([Step::Hang]));
    clock.set_on(2 * REST);
    let silent = read().await?;
    let after_silent = read().await?;
    Ok(Rested { store: milliseconds(STORE), issuer: milliseconds(ISSUER), fresh, due, silent, after_silent })
}
