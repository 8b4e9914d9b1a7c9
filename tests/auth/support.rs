//! An issuer with keys of every kind, a verifier that trusts it, and a clock that only moves when told to.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RsaKeyPair,
};
use aws_sdk_secretsmanager::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_async::time::TimeSource;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};
use imaging_study::auth::{Access, Algorithms, AuthError, Https, Issuer, KeySource, Principal, Verifier};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
pub(crate) use local::merged;
use serde_json::{Value, json};
use testkit::faulty::FaultyServer;

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "imaging-study";

/// A claim that no log and no response may repeat.
pub(crate) const CONFIDENTIAL: &str = "someone@confidential.example";

pub(crate) const EVERY_ALGORITHM: &str =
    "RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,EdDSA,HS256,HS384,HS512";

/// Seconds since 1970 at which tests take place.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

/// A key that signs.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: String,
    key: EncodingKey,
    jwk: Value,
    rsa: Option<Arc<RsaKeyPair>>,
}

impl Signer {
    fn new(algorithm: Algorithm, kid: &str, key: EncodingKey) -> Self {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(kid);
        Self { algorithm, kid: kid.to_owned(), key, jwk, rsa: None }
    }

    pub(crate) fn ed25519(kid: &str) -> Self {
        let pair: Pkcs8V1Der<'_> = Ed25519KeyPair::generate().unwrap().as_der().unwrap();
        Self::new(Algorithm::EdDSA, kid, EncodingKey::from_ed_der(pair.as_ref()))
    }

    pub(crate) fn p256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap().to_pkcs8v1().unwrap();
        Self::new(Algorithm::ES256, kid, EncodingKey::from_ec_der(pair.as_ref()))
    }

    pub(crate) fn p384(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap().to_pkcs8v1().unwrap();
        Self::new(Algorithm::ES384, kid, EncodingKey::from_ec_der(pair.as_ref()))
    }

    pub(crate) fn rsa(algorithm: &str, kid: &str, size: KeySize) -> Self {
        let pair = RsaKeyPair::generate(size).unwrap();
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        // The key itself (PKCS #1) follows 26 bytes that identify it as an RSA key.
        let key = EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..]);
        Self { rsa: Some(Arc::new(pair)), ..Self::new(algorithm.parse().unwrap(), kid, key) }
    }

    pub(crate) fn hmac(algorithm: &str, kid: &str, secret: &[u8]) -> Self {
        Self::new(algorithm.parse().unwrap(), kid, EncodingKey::from_secret(secret))
    }

    /// The same key, signing by another algorithm.
    pub(crate) fn with(&self, algorithm: &str) -> Self {
        Self { algorithm: algorithm.parse().unwrap(), ..self.clone() }
    }

    pub(crate) fn public_pkcs1(&self) -> Vec<u8> {
        self.rsa.as_ref().unwrap().public_key().as_ref().to_vec()
    }

    pub(crate) fn public_spki(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = self.rsa.as_ref().unwrap().public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    /// The public half (of a secret, all of it).
    pub(crate) fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    /// A signature over any header and payload.
    pub(crate) fn sign(&self, header: &str, payload: &[u8]) -> String {
        let message = format!("{}.{}", base64url(header), base64url(payload));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    /// A token as it should be.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), claims.to_string().as_bytes())
    }

    pub(crate) fn header(&self) -> Value {
        json!({"alg": format!("{:?}", self.algorithm), "typ": "JWT", "kid": self.kid})
    }
}

pub(crate) static ED25519: LazyLock<Signer> = LazyLock::new(|| Signer::ed25519("ed"));
pub(crate) static P256: LazyLock<Signer> = LazyLock::new(|| Signer::p256("p256"));
pub(crate) static P384: LazyLock<Signer> = LazyLock::new(|| Signer::p384("p384"));
pub(crate) static RSA: LazyLock<Signer> = LazyLock::new(|| Signer::rsa("RS256", "rsa", KeySize::Rsa2048));

pub(crate) static SECRET: LazyLock<Signer> =
    LazyLock::new(|| Signer::hmac("HS256", "secret", b"thirty-two bytes of a shared key"));

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
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

pub(crate) fn jwks(keys: impl IntoIterator<Item = Value>) -> String {
    json!({"keys": keys.into_iter().collect::<Vec<_>>()}).to_string()
}

pub(crate) fn algorithms(list: &str) -> Algorithms {
    Algorithms::parse(list).unwrap()
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

/// An AWS configuration whose time is that of `clock`.
pub(crate) fn aws(clock: &Clock) -> SdkConfig {
    SdkConfig::builder().behavior_version(BehaviorVersion::latest()).time_source(clock.clone()).build()
}

/// The same, with every service at this server.
pub(crate) fn aws_at(server: &FaultyServer, clock: &Clock) -> SdkConfig {
    let credentials = Credentials::new("id", "key", None, None, "test");
    aws(clock)
        .into_builder()
        .region(Region::new("us-east-1"))
        .endpoint_url(server.url(""))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
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
    Verifier::new(settings, &Https::new(Some(FaultyServer::ca_bundle())), &aws(clock))
}

/// The keys that a server publishes at `/keys`.
pub(crate) fn keys_at(server: &FaultyServer) -> KeySource {
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
