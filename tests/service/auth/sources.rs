//! Where key sets come from, over real connections, and how long a key set is valid.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_async::time::TimeSource as _;
use futures_util::FutureExt as _;
use imaging_study::auth::{KeySource, Verifier};
use serde_json::{Value, json};

use super::support::*;

const ALGORITHMS: &str = "RS256,ES256,ES384,EdDSA";
// In seconds.
pub(crate) const FRESH: u64 = 10 * 60;
const STALE: u64 = 60 * 60;
const COOL_DOWN: u64 = 30;

/// An issuer that publishes its keys at `/keys`, and a verifier that fetches them.
pub(crate) struct Published {
    pub(crate) server: Server,
    pub(crate) clock: Clock,
    pub(crate) verifier: Arc<Verifier>,
}

impl Published {
    pub(crate) async fn new(keys: impl IntoIterator<Item = Value>) -> Self {
        Self::responding(Behavior::json(jwks(keys))).await
    }

    async fn responding(behavior: Behavior) -> Self {
        let server = Server::https().await;
        server.skip_time();
        server.set("/keys", behavior);
        let (clock, verifier) = clocked(keys_at(&server));
        Self { server, clock, verifier }
    }

    pub(crate) fn respond(&self, behavior: Behavior) {
        self.server.set("/keys", behavior);
    }

    pub(crate) fn publish(&self, keys: impl IntoIterator<Item = Value>) {
        self.respond(Behavior::json(jwks(keys)));
    }

    /// Waits until the server has read so many requests.
    async fn asked(&self, requests: usize) {
        let asked = async {
            while self.server.requests() < requests {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), asked).await.expect("the keys are asked for");
    }

    /// The outcome of a token by `signer` that is valid now.
    async fn outcome(&self, signer: &Signer) -> Result<(), &'static str> {
        outcome(&self.verifier, &self.token(signer)).await.map(|_| ())
    }

    pub(crate) fn token(&self, signer: &Signer) -> String {
        let now = self.clock.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        signer.token(&claims_with(&json!({"iat": now, "exp": now + 300})))
    }
}

fn clocked(source: KeySource) -> (Clock, Arc<Verifier>) {
    let clock = Clock::new();
    let verifier = verifier_at(settings(source, ALGORITHMS), &clock);
    (clock, Arc::new(verifier))
}

#[tokio::test]
async fn keys_are_fetched_once_and_then_used_without_requests() {
    let issuer = Published::new([P256.jwk()]).await;
    for _ in 0..10 {
        assert_eq!(issuer.outcome(&P256).await, Ok(()));
    }
    issuer.clock.forward(FRESH - 1);
    assert_eq!(issuer.outcome(&P256).await, Ok(()));
    assert_eq!(issuer.server.requests(), 1);
    assert_eq!(issuer.server.last_headers()["accept"], "application/jwk-set+json, application/json");
}

#[tokio::test]
async fn preloaded_keys_save_the_first_request_a_fetch() {
    let issuer = Published::new([P256.jwk()]).await;
    issuer.verifier.load_keys().await.unwrap();
    assert_eq!(issuer.server.requests(), 1);
    assert_eq!(issuer.outcome(&P256).await, Ok(()));
    assert_eq!(issuer.server.requests(), 1);
}

#[tokio::test]
async fn an_expired_key_set_is_fetched_again() {
    let issuer = Published::new([P256.jwk()]).await;
    issuer.verifier.load_keys().await.unwrap();
    issuer.publish([P384.jwk()]);
    issuer.clock.forward(FRESH);
    assert_eq!(issuer.outcome(&P256).await, Err("key_unknown"));
    assert_eq!(issuer.outcome(&P384).await, Ok(()));
    assert_eq!(issuer.server.requests(), 2);
}

#[tokio::test]
async fn a_thousand_made_up_kids_cause_one_fetch() {
    let issuer = Published::new([P256.jwk()]).await;
    issuer.verifier.load_keys().await.unwrap();
    issuer.clock.forward(COOL_DOWN);
    for i in 0..1000 {
        let token = P256.sign(&json!({"alg": "ES256", "kid": format!("kid-{i}")}).to_string(), b"{}");
        assert_eq!(outcome(&issuer.verifier, &token).await.err(), Some("key_unknown"));
    }
    assert_eq!(issuer.server.requests(), 2);
}

#[tokio::test]
async fn tokens_with_known_kids_are_accepted_during_a_flood_of_made_up_ones() {
    let issuer = Published::new([P256.jwk()]).await;
    issuer.verifier.load_keys().await.unwrap();
    issuer.clock.forward(COOL_DOWN);
    issuer.respond(after_a_while(Behavior::status(500, "")));
    let mut flood = tokio::task::JoinSet::new();
    for i in 0..100 {
        let verifier = Arc::clone(&issuer.verifier);
        let token = P256.sign(&json!({"alg": "ES256", "kid": format!("kid-{i}")}).to_string(), b"{}");
        flood.spawn(async move { outcome(&verifier, &token).await.err() });
    }
    issuer.asked(2).await;
    assert_eq!(issuer.outcome(&P256).now_or_never(), Some(Ok(())), "waited for the fetch");
    for error in flood.join_all().await {
        assert_eq!(error, Some("key_unconfirmed"));
    }
    assert_eq!(issuer.server.requests(), 2);
}

#[tokio::test]
async fn a_rotated_key_is_fetched_after_the_cool_down() {
    let issuer = Published::new([P256.jwk()]).await;
    issuer.verifier.load_keys().await.unwrap();
    issuer.publish([P256.jwk(), P384.jwk()]);
    issuer.clock.forward(COOL_DOWN - 1);
    assert_eq!(issuer.outcome(&P384).await, Err("key_unknown"));
    assert_eq!(issuer.server.requests(), 1);
    issuer.clock.forward(1);
    assert_eq!(issuer.outcome(&P384).await, Ok(()));
    assert_eq!(issuer.outcome(&P256).await, Ok(()));
    assert_eq!(issuer.server.requests(), 2);
}

#[tokio::test]
async fn a_rotated_key_without_kid_is_fetched_after_the_cool_down() {
    let unnamed = |signer: &Signer| merged(signer.jwk(), &json!({"kid": null}));
    let (old, new) = (Signer::p256("old"), Signer::p256("new"));
    let issuer = Published::new([unnamed(&old)]).await;
    let token = |signer: &Signer| signer.sign(r#"{"alg":"ES256"}"#, claims().to_string().as_bytes());
    assert_eq!(outcome(&issuer.verifier, &token(&old)).await.err(), None);
    issuer.publish([unnamed(&new)]);
    assert_eq!(outcome(&issuer.verifier, &token(&new)).await.err(), Some("signature_invalid"));
    issuer.clock.forward(COOL_DOWN);
    assert_eq!(outcome(&issuer.verifier, &token(&new)).await.err(), None);
    assert_eq!(outcome(&issuer.verifier, &token(&old)).await.err(), Some("signature_invalid"));
    assert_eq!(issuer.server.requests(), 2);
}

#[tokio::test]
async fn a_key_set_has_at_most_256_kib() {
    let set = jwks([P256.jwk()]);
    for (bytes, expected) in [(256 << 10, Ok(())), ((256 << 10) + 1, Err("keys_unavailable"))] {
        let padded = format!("{}{set}", " ".repeat(bytes - set.len()));
        let issuer = Published::responding(Behavior::json(padded)).await;
        assert_eq!(issuer.outcome(&P256).await, expected, "{bytes} bytes");
    }
}

#[tokio::test]
async fn a_token_without_kid_that_two_keys_fit_is_rejected_without_a_fetch() {
    let issuer = Published::new([Signer::p256("a").jwk(), Signer::p256("b").jwk()]).await;
    let token = Signer::p256("a").sign(r#"{"alg":"ES256"}"#, claims().to_string().as_bytes());
    assert_eq!(outcome(&issuer.verifier, &token).await.err(), Some("key_ambiguous"));
    issuer.clock.forward(COOL_DOWN);
    assert_eq!(outcome(&issuer.verifier, &token).await.err(), Some("key_ambiguous"));
    assert_eq!(issuer.server.requests(), 1);
}

#[tokio::test]
async fn a_withdrawn_key_is_accepted_only_while_its_set_is_fresh() {
    let issuer = Published::new([P256.jwk(), P384.jwk()]).await;
    assert_eq!(issuer.outcome(&P256).await, Ok(()));
    issuer.publish([P384.jwk()]);
    issuer.clock.forward(FRESH - 1);
    assert_eq!(issuer.outcome(&P256).await, Ok(()));
    issuer.clock.forward(1);
    assert_eq!(issuer.outcome(&P256).await, Err("key_unknown"));
}

#[tokio::test]
async fn a_token_that_is_rejected_for_anything_but_its_key_causes_no_fetch() {
    let issuer = Published::new([P256.jwk(), P384.jwk(), RSA.jwk()]).await;
    issuer.verifier.load_keys().await.unwrap();
    issuer.clock.forward(COOL_DOWN);
    let claims = claims().to_string();
    for (token, reason) in [
        ("a.b.c".to_owned(), "token_malformed"),
        (P256.sign(&json!({"alg": "ES256", "kid": "k".repeat(257)}).to_string(), b"{}"), "header_malformed"),
        (P256.sign(r#"{"alg":"none","kid":"x"}"#, b"{}"), "algorithm_refused"),
        (P256.sign(r#"{"alg":"HS256","kid":"x"}"#, b"{}"), "algorithm_refused"),
        (P256.sign(r#"{"alg":"ES384","kid":"p256"}"#, b"{}"), "algorithm_refused"),
        (Signer::p256("p256").token(&claims_with(&json!({}))), "signature_invalid"),
        (P256.sign(&P256.header().to_string(), b"{}"), "issuer_wrong"),
        (P256.sign(r#"{"alg":"ES256","kid":"p256","crit":[]}"#, claims.as_bytes()), "header_unsupported"),
    ] {
        assert_eq!(outcome(&issuer.verifier, &token).await.err(), Some(reason));
    }
    assert_eq!(issuer.server.requests(), 1);
}

#[tokio::test]
async fn a_malformed_token_is_rejected_without_keys() {
    let issuer = Published::responding(Behavior::status(500, "")).await;
    assert_eq!(outcome(&issuer.verifier, "a.b.c").await.err(), Some("token_malformed"));
    assert_eq!(issuer.server.requests(), 0);
}

#[tokio::test]
async fn fifty_first_requests_at_once_make_one_fetch() {
    let issuer = Published::responding(after_a_while(Behavior::json(jwks([P256.jwk()])))).await;
    let outcomes = fifty(&issuer, &P256).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(issuer.server.requests(), 1);
}

#[tokio::test]
async fn fifty_requests_at_once_with_an_unknown_key_make_one_fetch() {
    let issuer = Published::new([P256.jwk()]).await;
    issuer.verifier.load_keys().await.unwrap();
    issuer.clock.forward(COOL_DOWN);
    issuer.respond(after_a_while(Behavior::json(jwks([P384.jwk()]))));
    let outcomes = fifty(&issuer, &P384).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(issuer.server.requests(), 2);
}

#[tokio::test]
async fn fifty_first_requests_at_once_share_one_failure() {
    let issuer = Published::responding(after_a_while(Behavior::status(500, ""))).await;
    let outcomes = fifty(&issuer, &P256).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Err("keys_unavailable")), "{outcomes:?}");
    assert_eq!(issuer.server.requests(), 1);
}

/// Late enough for all concurrent requests to have begun.
fn after_a_while(behavior: Behavior) -> Behavior {
    behavior.after(Duration::from_millis(500))
}

async fn fifty(issuer: &Published, signer: &Signer) -> Vec<Result<(), &'static str>> {
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (verifier, token) = (Arc::clone(&issuer.verifier), issuer.token(signer));
        requests.spawn(async move { outcome(&verifier, &token).await.map(|_| ()) });
    }
    requests.join_all().await
}

#[tokio::test]
async fn an_expired_key_set_is_used_while_it_is_fetched_again() {
    let issuer = Published::new([P256.jwk()]).await;
    issuer.verifier.load_keys().await.unwrap();
    issuer.clock.forward(FRESH);
    issuer.respond(after_a_while(Behavior::status(500, "")));
    let (verifier, token) = (Arc::clone(&issuer.verifier), issuer.token(&P256));
    let first = tokio::spawn(async move { outcome(&verifier, &token).await.err() });
    issuer.asked(2).await;
    assert_eq!(issuer.outcome(&P256).now_or_never(), Some(Ok(())), "waited for the fetch");
    assert_eq!(first.await.unwrap(), None);
}

#[tokio::test]
async fn a_key_set_outlives_its_expiry_by_an_hour_if_the_issuer_is_down() {
    let issuer = Published::new([P256.jwk()]).await;
    issuer.verifier.load_keys().await.unwrap();
    issuer.respond(Behavior::status(500, ""));
    issuer.clock.forward(FRESH + STALE - 1);
    assert_eq!(issuer.outcome(&P256).await, Ok(()));
    issuer.clock.forward(1);
    assert_eq!(issuer.outcome(&P256).await, Err("keys_unavailable"));
    issuer.publish([P256.jwk()]);
    issuer.clock.forward(1);
    assert_eq!(issuer.outcome(&P256).await, Ok(()));
}

#[tokio::test]
async fn the_cool_down_holds_for_an_expired_key_set_that_cannot_be_fetched() {
    let issuer = Published::new([P256.jwk()]).await;
    issuer.verifier.load_keys().await.unwrap();
    issuer.respond(Behavior::status(503, ""));
    issuer.clock.forward(FRESH);
    for _ in 0..20 {
        assert_eq!(issuer.outcome(&P256).await, Ok(()));
    }
    assert_eq!(issuer.server.requests(), 2);
    issuer.clock.forward(COOL_DOWN);
    assert_eq!(issuer.outcome(&P256).await, Ok(()));
    assert_eq!(issuer.server.requests(), 3);
}

#[tokio::test]
async fn a_service_without_keys_tries_to_fetch_them_once_a_second() {
    let issuer = Published::responding(Behavior::status(500, "")).await;
    assert!(issuer.verifier.load_keys().await.is_err());
    for _ in 0..20 {
        assert_eq!(issuer.outcome(&P256).await, Err("keys_unavailable"));
    }
    assert_eq!(issuer.server.requests(), 1);
    issuer.publish([P256.jwk()]);
    issuer.clock.forward(1);
    assert_eq!(issuer.outcome(&P256).await, Ok(()));
    assert_eq!(issuer.server.requests(), 2);
}

#[tokio::test]
async fn a_token_with_an_unknown_key_is_503_not_401_while_the_issuer_is_down() {
    let issuer = Published::new([P256.jwk()]).await;
    issuer.verifier.load_keys().await.unwrap();
    issuer.respond(Behavior::status(500, ""));
    issuer.clock.forward(COOL_DOWN);
    assert_eq!(issuer.outcome(&P384).await, Err("key_unconfirmed"));
    assert_eq!(issuer.outcome(&P256).await, Ok(()));
    issuer.publish([P256.jwk()]);
    issuer.clock.forward(COOL_DOWN);
    assert_eq!(issuer.outcome(&P384).await, Err("key_unknown"));
}

#[tokio::test]
async fn a_clock_that_is_set_back_neither_stops_fetches_nor_prolongs_a_key_set() {
    let issuer = Published::new([P256.jwk()]).await;
    issuer.verifier.load_keys().await.unwrap();
    issuer.respond(Behavior::status(500, ""));
    issuer.clock.back(24 * 60 * 60);
    assert_eq!(issuer.outcome(&P256).await, Ok(()));
    assert_eq!(issuer.server.requests(), 2);
    issuer.clock.forward(STALE - 1);
    assert_eq!(issuer.outcome(&P256).await, Ok(()));
    issuer.clock.forward(1);
    assert_eq!(issuer.outcome(&P256).await, Err("keys_unavailable"));
}

#[tokio::test]
async fn a_redirect_of_a_key_set_is_not_followed() {
    let elsewhere = Server::https().await;
    elsewhere.set("/keys", Behavior::json(jwks([P256.jwk()])));
    let redirect = Behavior::response(302, &[("location", &elsewhere.url("/keys"))], "");
    let issuer = Published::responding(redirect).await;
    assert_eq!(issuer.outcome(&P256).await, Err("keys_unavailable"));
    assert_eq!(elsewhere.connections(), 0);
}

/// How long a request waits for keys that do not arrive.
async fn given_up_after(server: &Server, verifier: &Verifier, token: &str) -> Duration {
    let started = tokio::time::Instant::now();
    server.skip_time();
    assert_eq!(outcome(verifier, token).await.err(), Some("keys_unavailable"));
    started.elapsed()
}

#[tokio::test]
async fn a_token_is_503_while_nothing_listens_where_its_keys_are() {
    let (_, verifier) = clocked(KeySource::url("https://127.0.0.1:1/keys").unwrap());
    assert_eq!(outcome(&verifier, &P256.token(&claims())).await.err(), Some("keys_unavailable"));
}

#[tokio::test]
async fn unusable_keys_of_a_set_do_not_affect_the_others() {
    let issuer = Published::new([
        json!(null),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}),
        json!({"kty": "RSA", "kid": 5, "n": "AA", "e": "AQAB"}),
        json!({"kty": "RSA", "kid": "x", "x5c": "no list"}),
        json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
        merged(P384.jwk(), &json!({"use": "enc"})),
        merged(P256.jwk(), &json!({"x5c": "no list", "x5t": 1, "other": [{}]})),
    ])
    .await;
    assert_eq!(issuer.outcome(&P256).await, Ok(()));
    assert_eq!(issuer.outcome(&P384).await, Err("key_unknown"));
}

#[tokio::test]
async fn a_symmetric_key_that_was_published_verifies_nothing() {
    let issuer = {
        let server = Server::https().await;
        server.set("/keys", Behavior::json(jwks([SECRET.jwk(), P256.jwk()])));
        verifier_with(settings(keys_at(&server), "HS256,ES256"))
    };
    assert_eq!(outcome(&issuer, &SECRET.token(&claims())).await.err(), Some("key_unknown"));
    assert_eq!(outcome(&issuer, &P256.token(&claims())).await.err(), None);
}

/// An issuer that is discovered: its OpenID configuration, and the keys that it names.
struct Discovered {
    server: Server,
    issuer: String,
    clock: Clock,
    verifier: Verifier,
}

impl Discovered {
    async fn new(path: &str) -> Self {
        let server = Server::https().await;
        let issuer = server.url(path);
        let source = KeySource::discovery(&issuer).unwrap();
        let mut settings = settings(source, ALGORITHMS);
        settings.iss = Some(issuer.clone());
        let clock = Clock::new();
        let verifier = verifier_at(settings, &clock);
        server.set("/keys", Behavior::json(jwks([P256.jwk()])));
        Self { server, issuer, clock, verifier }
    }

    /// The issuer's OpenID configuration.
    fn configuration(&self) -> Value {
        json!({"issuer": self.issuer, "jwks_uri": self.server.url("/keys")})
    }

    fn configure(&self, path: &str, configuration: &Value) {
        self.server.set(path, Behavior::json(configuration.to_string()));
    }

    async fn outcome(&self) -> Result<(), &'static str> {
        let token = P256.token(&claims_with(&json!({"iss": self.issuer})));
        outcome(&self.verifier, &token).await.map(|_| ())
    }
}

const WELL_KNOWN: &str = "/.well-known/openid-configuration";

#[tokio::test]
async fn the_keys_of_an_issuer_are_discovered() {
    let issuer = Discovered::new("").await;
    issuer.configure(WELL_KNOWN, &merged(issuer.configuration(), &json!({"other": [1]})));
    assert_eq!(issuer.outcome().await, Ok(()));
    assert_eq!(issuer.server.requests(), 2);
    assert_eq!(issuer.outcome().await, Ok(()));
    assert_eq!(issuer.server.requests(), 2);
}

#[tokio::test]
async fn an_issuer_with_a_path_and_a_slash_is_discovered() {
    let issuer = Discovered::new("/tenant/v2.0/").await;
    issuer.configure(&format!("/tenant/v2.0{WELL_KNOWN}"), &issuer.configuration());
    assert_eq!(issuer.outcome().await, Ok(()));
}

#[tokio::test]
async fn an_array_is_not_an_openid_configuration() {
    let issuer = Discovered::new("").await;
    let configuration = issuer.configuration();
    issuer.configure(WELL_KNOWN, &json!([configuration["issuer"], configuration["jwks_uri"]]));
    assert_eq!(issuer.outcome().await, Err("keys_unavailable"));
    assert_eq!(issuer.server.requests(), 1);
}

/// An issuer whose server leaves connections open, after its keys were fetched.
async fn kept_open() -> Discovered {
    let issuer = Discovered::new("").await;
    issuer.server.set(WELL_KNOWN, Behavior::kept_open(200, &issuer.configuration().to_string()));
    issuer.server.set("/keys", Behavior::kept_open(200, &jwks([P256.jwk()])));
    issuer.verifier.load_keys().await.unwrap();
    issuer
}

#[tokio::test]
async fn the_discovery_and_the_keys_share_a_connection() {
    let issuer = kept_open().await;
    assert_eq!((issuer.server.requests(), issuer.server.connections()), (2, 1));
}

#[tokio::test]
async fn a_connection_that_is_closed_after_the_discovery_is_replaced() {
    let issuer = Discovered::new("").await;
    let mut unannounced = Behavior::kept_open(200, &issuer.configuration().to_string());
    unannounced.steps.pop();
    issuer.server.set(WELL_KNOWN, unannounced);
    issuer.verifier.load_keys().await.unwrap();
    assert_eq!((issuer.server.requests(), issuer.server.connections()), (2, 2));
}

#[tokio::test]
async fn no_fetch_of_keys_uses_the_connection_of_an_earlier_one() {
    let issuer = kept_open().await;
    issuer.clock.forward(2 * FRESH);
    issuer.verifier.load_keys().await.unwrap();
    assert_eq!((issuer.server.requests(), issuer.server.connections()), (4, 2));
}

#[tokio::test]
async fn discovery_and_keys_together_have_three_seconds() {
    let issuer = Discovered::new("").await;
    let slow = Duration::from_secs(2);
    issuer.server.set(WELL_KNOWN, Behavior::json(issuer.configuration().to_string()).after(slow));
    issuer.server.set("/keys", Behavior::json(jwks([P256.jwk()])).after(slow));
    let token = P256.token(&claims_with(&json!({"iss": issuer.issuer})));
    let waited = given_up_after(&issuer.server, &issuer.verifier, &token).await;
    assert!((3..4).contains(&waited.as_secs()), "{waited:?}");
}

#[test]
fn keys_come_over_https_only() {
    assert!(KeySource::url("http://issuer.example/keys").is_err());
    assert!(KeySource::discovery("http://issuer.example").is_err());
}
