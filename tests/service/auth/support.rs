//! An issuer with keys of every kind, a verifier that trusts it, and a clock that only moves when told to.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_smithy_async::time::TimeSource;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};
use imaging_study::auth::{Access, Algorithms, AuthError, Https, Issuer, KeySource, Principal, Verifier};
pub(crate) use local::merged;
use serde_json::{Value, json};
pub(crate) use testkit::server::{Behavior, Server};
pub(crate) use testkit::signer::{Signer, jwks};

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "imaging-study";

/// A claim that no log and no response may repeat.
pub(crate) const CONFIDENTIAL: &str = "someone@confidential.example";

pub(crate) const EVERY_ALGORITHM: &str =
    "RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,EdDSA,HS256,HS384,HS512";

/// Where no AWS service is.
pub(crate) const NO_AWS: &str = "http://127.0.0.1:1";

/// Seconds since 1970 at which tests take place.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

pub(crate) static ED25519: LazyLock<Signer> = LazyLock::new(|| Signer::ed25519("ed"));
pub(crate) static P256: LazyLock<Signer> = LazyLock::new(|| Signer::p256("p256"));
pub(crate) static P384: LazyLock<Signer> = LazyLock::new(|| Signer::p384("p384"));
pub(crate) static RSA: LazyLock<Signer> = LazyLock::new(|| Signer::rsa("rsa"));

pub(crate) static SECRET: LazyLock<Signer> =
    LazyLock::new(|| Signer::hmac("HS256", "secret", b"thirty-two bytes of a shared key"));

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_base64url(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// Claims that are accepted.
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "iat": NOW,
        "exp": NOW + 300,
        "siteIds": ["4"],
        "email": CONFIDENTIAL,
    })
}

/// Claims that are accepted, but for these.
pub(crate) fn claims_with(changes: &Value) -> Value {
    merged(claims(), changes)
}

pub(crate) fn algorithms(list: &str) -> Algorithms {
    Algorithms::of(list.split(',')).unwrap()
}

pub(crate) fn settings(keys: KeySource, list: &str) -> Issuer {
    Issuer {
        iss: Some(ISSUER.to_owned()),
        audiences: Some(vec![AUDIENCE.to_owned()]),
        keys,
        algorithms: algorithms(list),
        leeway: Duration::from_secs(30),
        access: Access::default(),
    }
}

/// An AWS configuration with every service at this server, and the time of `clock`.
pub(crate) fn aws(endpoint: &str, clock: &Clock) -> SdkConfig {
    testkit::aws(endpoint).into_builder().time_source(clock.clone()).build()
}

/// A clock that starts at [`NOW`] and only moves when told to.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<Mutex<SystemTime>>);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(now())))
    }

    pub(crate) fn forward(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }

    pub(crate) fn back(&self, seconds: u64) {
        *self.0.lock().unwrap() -= Duration::from_secs(seconds);
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

/// A verifier at [`NOW`] that trusts the keys of a JWK Set.
pub(crate) fn verifier_of(set: &str, list: &str) -> Verifier {
    verifier_with(settings(KeySource::jwks(set, &algorithms(list)).unwrap(), list))
}

pub(crate) fn verifier_with(settings: Issuer) -> Verifier {
    verifier_at(settings, &Clock::new())
}

/// A verifier that trusts the authority of the servers here.
pub(crate) fn verifier_at(settings: Issuer, clock: &Clock) -> Verifier {
    Verifier::new(settings, &Https::new(Some(Server::ca_bundle())), &aws(NO_AWS, clock))
}

/// The keys that a server publishes at `/keys`.
pub(crate) fn keys_at(server: &Server) -> KeySource {
    KeySource::url(&server.url("/keys")).unwrap()
}

/// One that trusts a key of each kind.
pub(crate) fn verifier() -> Verifier {
    let keys = [&*ED25519, &P256, &P384, &RSA, &SECRET].map(Signer::jwk);
    verifier_of(&jwks(keys), "RS256,PS256,ES256,ES384,EdDSA,HS256")
}

pub(crate) fn bearer(token: &str) -> HeaderMap {
    authorization(format!("Bearer {token}").as_bytes())
}

pub(crate) fn authorization(value: &[u8]) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap())])
}

/// The principal of a token, or the code of its error.
pub(crate) async fn outcome(verifier: &Verifier, token: &str) -> Result<Principal, &'static str> {
    code(authenticated(verifier, &bearer(token)).await)
}

/// The principal of a request that reads nothing, once its key set has been renewed if that is due.
pub(crate) async fn authenticated(verifier: &Verifier, headers: &HeaderMap) -> Result<Principal, AuthError> {
    let authentication = verifier.authenticate(headers, None).await?;
    let principal = authentication.principal.clone();
    authentication.beside(async {}).await?;
    Ok(principal)
}

pub(crate) fn code(result: Result<Principal, AuthError>) -> Result<Principal, &'static str> {
    result.map_err(|error| match error {
        AuthError::Token(reason) => reason.code(),
        AuthError::KeysUnavailable(_) => "keys_unavailable",
        AuthError::KeyUnconfirmed(_) => "key_unconfirmed",
    })
}
