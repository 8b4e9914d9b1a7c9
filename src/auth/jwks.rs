//! Where key sets come from, and how long a key set is valid.
//!
//! A set is *fresh* for ten minutes: it is used without any I/O. After that it is fetched again. If the fetch fails, the
//! old set stays valid for another hour. A token whose key is not in the set may be signed with a newer key, so it
//! triggers a fetch too, but at most one in thirty seconds. Nothing runs in the background: Lambda freezes the environment
//! between invocations.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager as secretsmanager;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use aws_smithy_http_client::{Connector, proxy::ProxyConfig, tls};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::timeout::TimeoutConfig;
use http::Uri;
use http::uri::Scheme;
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use thiserror::Error;

use super::KeysUnavailable;
use super::jwk::{Algorithms, KeySet, KeyTrust, SetError};
use crate::audit::error_chain;
use crate::aws;

/// How long a set is used without another fetch. It bounds how long a withdrawn key still verifies tokens; ten minutes
/// is a common choice among JWT libraries.
const FRESH: Duration = Duration::from_mins(10);

/// How long after that a set stays valid while fetches fail. An outage of the issuer should not become an outage of this
/// service, and an attacker who holds a withdrawn key must gain little by causing one: an hour outlasts the usual outage,
/// and access tokens commonly live as long.
const STALE: Duration = Duration::from_hours(1);

/// The minimum time between two fetches while there is a set, counted from the last attempt, failed or not. It bounds
/// the load that tokens with made-up keys put on the issuer, and the delay until a new key is known.
const COOL_DOWN: Duration = Duration::from_secs(30);

/// The minimum time between two fetches while there is no set, and every request waits for one.
const RETRY: Duration = Duration::from_secs(1);

/// Bounds a whole fetch, discovery and keys together, because the caller waits for it.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// Bounds connecting, TLS handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Enough for a hundred keys with certificate chains.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// The longest issuer of an OpenID configuration that is logged in full.
const MAX_LOGGED_ISSUER: usize = 256;

/// Where the keys come from.
#[derive(Clone, Debug)]
pub struct KeySource(Source);

#[derive(Clone, Debug)]
enum Source {
    Url(HttpsUrl),
    Discovery { issuer: String },
    Secret { arn: String, region: String },
    Fixed(Arc<KeySet>),
}

/// An absolute `https` URL without user name and fragment.
#[derive(Clone, Debug)]
struct HttpsUrl(Uri);

/// Why a value names no key source. The message completes "must be" and never repeats the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SourceError {
    /// Not an absolute `https` URL, or one with a user name or a fragment.
    #[error("an https URL without user name and fragment")]
    Url,
    /// Not the ARN of a secret.
    #[error("the ARN of a Secrets Manager secret")]
    SecretArn,
}

impl KeySource {
    /// A JWK Set at an `https` URL.
    pub fn url(url: &str) -> Result<Self, SourceError> {
        Ok(Self(Source::Url(HttpsUrl::parse(url)?)))
    }

    /// The JWK Set that the issuer's OpenID configuration names (OpenID Connect Discovery 1.0 §4).
    pub fn discovery(issuer: &str) -> Result<Self, SourceError> {
        if HttpsUrl::parse(issuer)?.0.query().is_some() {
            return Err(SourceError::Url);
        }
        Ok(Self(Source::Discovery { issuer: issuer.to_owned() }))
    }

    /// A secret in Secrets Manager: a JWK Set, a JWK, or a bare HMAC secret.
    pub fn secret(arn: &str) -> Result<Self, SourceError> {
        let parts: Vec<&str> = arn.splitn(7, ':').collect();
        let ["arn", partition, "secretsmanager", region, account, "secret", name] = parts[..] else {
            return Err(SourceError::SecretArn);
        };
        let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let is_name =
            |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-/_+=.@!".contains(&b));
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if [partition, region, name].contains(&"")
            || !is_word(partition)
            || !is_word(region)
            || !is_name(name)
            || !is_account
        {
            return Err(SourceError::SecretArn);
        }
        Ok(Self(Source::Secret { arn: arn.to_owned(), region: region.to_owned() }))
    }

    /// The JWK Set itself.
    pub fn jwks(text: &str, algorithms: &Algorithms) -> Result<Self, SetError> {
        let set = KeySet::from_jwks(text.as_bytes(), algorithms, KeyTrust::Private)?;
        Ok(Self(Source::Fixed(Arc::new(set))))
    }
}

impl HttpsUrl {
    fn parse(url: &str) -> Result<Self, SourceError> {
        let uri: Uri = url.parse().map_err(|_| SourceError::Url)?;
        let authority = uri.authority().ok_or(SourceError::Url)?;
        if uri.scheme() != Some(&Scheme::HTTPS)
            || authority.host().is_empty()
            || authority.as_str().contains('@')
            || url.contains('#')
        {
            return Err(SourceError::Url);
        }
        Ok(Self(uri))
    }
}

/// OpenID Connect Discovery 1.0 §4.1: a slash at the issuer's end is removed.
fn configuration_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer))
}

/// The keys of a source, cached.
pub(super) struct Keys {
    /// `None` for a set that was configured: it never expires.
    remote: Option<Remote>,
    algorithms: Algorithms,
    /// The wall clock, because a monotonic one stops while Lambda freezes the environment.
    clock: SharedTimeSource,
    state: Mutex<CacheState>,
    /// Held during a fetch, so that concurrent misses share it.
    fetch_lock: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct CacheState {
    set: Option<(Arc<KeySet>, SystemTime)>,
    last_attempt: Option<Attempt>,
}

#[derive(Clone, Copy)]
struct Attempt {
    at: SystemTime,
    succeeded: bool,
}

enum Freshness {
    Fresh(Arc<KeySet>),
    Stale(Arc<KeySet>),
    None,
}

/// The result of asking for a newer set.
pub(super) enum RefreshOutcome {
    /// There is a newer set.
    Newer(Arc<KeySet>),
    /// The last fetch succeeded, and it is too early for another.
    NotDue,
    /// The last fetch failed.
    Failed(KeysUnavailable),
}

impl Keys {
    /// The keys of `source`. `ca_bundle` (PEM) replaces the system's authorities for fetches over HTTPS.
    pub(super) fn new(
        KeySource(source): &KeySource,
        algorithms: &Algorithms,
        ca_bundle: Option<Vec<u8>>,
        aws: &SdkConfig,
        clock: SharedTimeSource,
    ) -> Self {
        let mut state = CacheState::default();
        let remote = match source {
            Source::Url(url) => Some(Remote::Url(Https::new(ca_bundle), url.clone())),
            Source::Discovery { issuer } => Some(Remote::Discovery(Https::new(ca_bundle), issuer.clone())),
            Source::Secret { arn, region } => Some(Remote::Secret(secrets(aws, region), arn.clone())),
            Source::Fixed(set) => {
                state.set = Some((Arc::clone(set), SystemTime::UNIX_EPOCH));
                None
            }
        };
        let (algorithms, state) = (algorithms.clone(), Mutex::new(state));
        Self { remote, algorithms, clock, state, fetch_lock: tokio::sync::Mutex::default() }
    }

    /// The set to verify with.
    pub(super) async fn current(&self) -> Result<Arc<KeySet>, KeysUnavailable> {
        let _guard = match self.freshness() {
            Freshness::Fresh(set) => return Ok(set),
            // While one request fetches, the others use the old set.
            Freshness::Stale(set) => match self.fetch_lock.try_lock() {
                Ok(guard) => guard,
                Err(_) => return Ok(set),
            },
            Freshness::None => self.fetch_lock.lock().await,
        };
        if let Freshness::Fresh(set) = self.freshness() {
            return Ok(set);
        }
        self.fetch_if_due().await;
        match self.freshness() {
            Freshness::Fresh(set) | Freshness::Stale(set) => Ok(set),
            Freshness::None => Err(self.unavailable()),
        }
    }

    /// A newer set than `seen`, which lacks a token's key.
    pub(super) async fn refresh(&self, seen: &Arc<KeySet>) -> RefreshOutcome {
        if self.remote.is_none() {
            return RefreshOutcome::NotDue;
        }
        let _guard = self.fetch_lock.lock().await;
        if let Some(newer) = self.other_than(seen) {
            return RefreshOutcome::Newer(newer);
        }
        self.fetch_if_due().await;
        match self.other_than(seen) {
            Some(newer) => RefreshOutcome::Newer(newer),
            None if self.state().last_attempt.is_some_and(|attempt| attempt.succeeded) => {
                RefreshOutcome::NotDue
            }
            None => RefreshOutcome::Failed(self.unavailable()),
        }
    }

    fn freshness(&self) -> Freshness {
        let now = self.clock.now();
        match &mut self.state().set {
            None => Freshness::None,
            Some((set, _)) if self.remote.is_none() => Freshness::Fresh(Arc::clone(set)),
            Some((set, since)) => match now.duration_since(*since) {
                Ok(age) if age < FRESH => Freshness::Fresh(Arc::clone(set)),
                Ok(age) if age < FRESH + STALE => Freshness::Stale(Arc::clone(set)),
                Ok(_) => Freshness::None,
                // The clock was set back, so the set's age is unknown. Treat it as just expired.
                Err(_) => {
                    *since = now.checked_sub(FRESH).unwrap_or(now);
                    Freshness::Stale(Arc::clone(set))
                }
            },
        }
    }

    fn other_than(&self, seen: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        self.state().set.as_ref().map(|(set, _)| Arc::clone(set)).filter(|set| !Arc::ptr_eq(set, seen))
    }

    fn unavailable(&self) -> KeysUnavailable {
        KeysUnavailable { retry_after: self.time_to_next_fetch() }
    }

    /// How long the next fetch has to wait. A clock that was set back ends the wait.
    fn time_to_next_fetch(&self) -> Duration {
        let pause = if matches!(self.freshness(), Freshness::None) { RETRY } else { COOL_DOWN };
        let last = self.state().last_attempt;
        let elapsed = last.and_then(|last| self.clock.now().duration_since(last.at).ok());
        elapsed.map_or(Duration::ZERO, |elapsed| pause.saturating_sub(elapsed))
    }

    /// Fetches once the cool-down is over. Only for the holder of `fetch_lock`.
    async fn fetch_if_due(&self) {
        let Some(remote) = &self.remote else { return };
        if !self.time_to_next_fetch().is_zero() {
            return;
        }
        let started = self.clock.now();
        // Recorded before the wait, because the caller may be dropped during it.
        self.state().last_attempt = Some(Attempt { at: started, succeeded: false });
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, remote.fetch(&self.algorithms)).await;
        let result = fetched.unwrap_or(Err(FetchError::Timeout));
        self.state().last_attempt = Some(Attempt { at: self.clock.now(), succeeded: result.is_ok() });
        match result {
            Ok(set) => self.state().set = Some((Arc::new(set), started)),
            Err(error) => tracing::warn!(cause = %error, "the key set could not be fetched"),
        }
    }

    fn state(&self) -> MutexGuard<'_, CacheState> {
        // Nothing under this lock can panic, and the state is consistent at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a fetch returned no key set. Messages quote nothing of a key set or a secret. SDK errors are logged by their
/// `Display`, because their `Debug` holds the whole response.
#[derive(Debug, Error)]
enum FetchError {
    #[error("no response within {} s", FETCH_TIMEOUT.as_secs())]
    Timeout,
    #[error("the connection failed: {0}")]
    Connection(String),
    #[error("the response has status {0}, not 200")]
    Status(u16),
    #[error("the response is cut short or longer than {MAX_BODY_BYTES} bytes")]
    Body,
    #[error("the response is not an OpenID configuration")]
    Discovery,
    #[error("{}", issuer_mismatch(.configured, .found))]
    Issuer { configured: String, found: String },
    #[error("the jwks_uri of the OpenID configuration is not an https URL without user name and fragment")]
    KeysUrl,
    #[error("Secrets Manager: {0}")]
    Secret(String),
    #[error("the secret has no value")]
    SecretEmpty,
    #[error("the key set was rejected: {0}")]
    Set(#[from] SetError),
}

fn issuer_mismatch(configured: &str, found: &str) -> String {
    if configured.strip_suffix('/') == Some(found) {
        return format!(
            "JWT_ISSUER is {configured}, but the issuer calls itself {found}, without the trailing slash"
        );
    }
    if found.strip_suffix('/') == Some(configured) {
        return format!(
            "JWT_ISSUER is {configured}, but the issuer calls itself {found}, with a trailing slash"
        );
    }
    let shown: String = found.chars().take(MAX_LOGGED_ISSUER).collect();
    format!("JWT_ISSUER is {configured}, but its OpenID configuration is that of {shown}")
}

enum Remote {
    Url(Https, HttpsUrl),
    Discovery(Https, String),
    Secret(secretsmanager::Client, String),
}

impl Remote {
    async fn fetch(&self, algorithms: &Algorithms) -> Result<KeySet, FetchError> {
        match self {
            Self::Url(https, url) => https.client().key_set(url, algorithms).await,
            Self::Discovery(https, issuer) => {
                let client = https.client();
                client.key_set(&client.jwks_uri(issuer).await?, algorithms).await
            }
            Self::Secret(client, arn) => {
                let response = client.get_secret_value().secret_id(arn).send().await;
                // Not DisplayErrorContext: it shows the raw response, which may hold the secret.
                let response = response.map_err(|error| FetchError::Secret(error_chain(&error)))?;
                let secret = match (&response.secret_string, &response.secret_binary) {
                    (Some(text), _) => text.as_bytes(),
                    (None, Some(binary)) => binary.as_ref(),
                    (None, None) => return Err(FetchError::SecretEmpty),
                };
                Ok(KeySet::from_secret(secret, algorithms)?)
            }
        }
    }
}

/// A client for the region in the secret's ARN. An attempt may take half of a fetch, so that a second one fits.
fn secrets(aws: &SdkConfig, region: &str) -> secretsmanager::Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(FETCH_TIMEOUT / 2)
        .build();
    let config = secretsmanager::config::Builder::from(aws)
        .region(secretsmanager::config::Region::new(region.to_owned()))
        .timeout_config(timeouts)
        .build();
    secretsmanager::Client::from_conf(config)
}

/// How keys are fetched over HTTPS: whom to trust, and the proxy of the environment.
struct Https {
    tls: TlsContext,
    proxy: ProxyConfig,
}

impl Https {
    fn new(ca_bundle: Option<Vec<u8>>) -> Self {
        let authorities =
            ca_bundle.map_or_else(TrustStore::default, |pem| TrustStore::empty().with_pem_certificate(pem));
        Self { tls: aws::tls_context(authorities), proxy: ProxyConfig::from_env() }
    }

    /// A client for one fetch. Its connections end with it: Lambda freezes the environment between fetches, which kills
    /// idle ones.
    fn client(&self) -> HttpsClient {
        // No read time-out: FETCH_TIMEOUT bounds the whole fetch.
        let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build();
        let connector = Connector::builder()
            .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(self.tls.clone())
            .connector_settings(settings)
            .sleep_impl(TokioSleep::new())
            .proxy_config(self.proxy.clone())
            .build();
        HttpsClient(connector)
    }
}

/// A client that follows no redirect: only the configured host is trusted.
struct HttpsClient(Connector);

/// The members of an OpenID configuration that are used (OpenID Connect Discovery 1.0 §3).
#[derive(Deserialize)]
struct OpenIdConfiguration {
    issuer: String,
    jwks_uri: String,
}

impl HttpsClient {
    async fn key_set(&self, url: &HttpsUrl, algorithms: &Algorithms) -> Result<KeySet, FetchError> {
        let body = self.get(&url.0.to_string()).await?;
        Ok(KeySet::from_jwks(&body, algorithms, KeyTrust::Public)?)
    }

    /// The URL of an issuer's keys. The configuration must name the issuer exactly (§4.3), or one issuer could speak for
    /// another. It is fetched each time, so that a bad response is never remembered.
    async fn jwks_uri(&self, issuer: &str) -> Result<HttpsUrl, FetchError> {
        let body = self.get(&configuration_url(issuer)).await?;
        let OpenIdConfiguration { issuer: found, jwks_uri } =
            serde_json::from_slice(&body).map_err(|_| FetchError::Discovery)?;
        if found != issuer {
            return Err(FetchError::Issuer { configured: issuer.to_owned(), found });
        }
        HttpsUrl::parse(&jwks_uri).map_err(|_| FetchError::KeysUrl)
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let mut request =
            HttpRequest::get(url).map_err(|error| FetchError::Connection(error_chain(&error)))?;
        request.headers_mut().insert("accept", "application/jwk-set+json, application/json");
        let response = self.0.call(request).await;
        let response = response.map_err(|error| FetchError::Connection(error_chain(&error)))?;
        if response.status().as_u16() != 200 {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await;
        Ok(body.map_err(|_| FetchError::Body)?.to_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_of_another_name_is_shown_with_the_likely_cause() {
        let issuer = "https://issuer.example";
        let slash = "https://issuer.example/";
        for (configured, found, end) in [
            (slash, issuer, "calls itself https://issuer.example, without the trailing slash"),
            (issuer, slash, "calls itself https://issuer.example/, with a trailing slash"),
            (issuer, "https://other.example/", "is that of https://other.example/"),
        ] {
            let message = issuer_mismatch(configured, found);
            assert!(message.starts_with(&format!("JWT_ISSUER is {configured}, but ")), "{message}");
            assert!(message.ends_with(end), "{message}");
        }
    }

    #[test]
    fn of_a_long_issuer_only_the_beginning_is_logged() {
        let message = issuer_mismatch("https://issuer.example", &"ä".repeat(MAX_LOGGED_ISSUER + 1));
        assert!(message.ends_with(&format!("is that of {}", "ä".repeat(MAX_LOGGED_ISSUER))));
    }

    #[test]
    fn an_attempt_for_a_secret_leaves_time_for_another() {
        let aws = SdkConfig::builder().behavior_version(aws_config::BehaviorVersion::latest()).build();
        let client = secrets(&aws, "eu-central-1");
        let timeouts = client.config().timeout_config().unwrap();
        assert_eq!(timeouts.operation_attempt_timeout().map(|attempt| attempt * 2), Some(FETCH_TIMEOUT));
    }
}
