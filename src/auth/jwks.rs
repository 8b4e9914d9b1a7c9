//! Where key sets come from, and how long one is good for.
//!
//! A set is *fresh* for ten minutes: then it serves without any I/O. After that it is fetched again; where that fails,
//! the old set serves on for another hour. A token whose key is not in the set may be signed with a newer key, and
//! causes a fetch too, but never more than one in thirty seconds. Nothing runs in the background: Lambda freezes the
//! environment between invocations.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager as secretsmanager;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Connector, proxy::ProxyConfig, tls};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::timeout::TimeoutConfig;
use http::Uri;
use http::uri::Scheme;
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use thiserror::Error;

use super::jwk::{Algorithms, KeySet, KeyTrust, SetError};
use super::{Clock, KeysUnavailable};
use crate::audit::error_chain;

/// How long a set serves without being looked at again. It bounds how long a key that was withdrawn still counts, and
/// is what the other verifiers of the field take.
const FRESH: Duration = Duration::from_mins(10);

/// How long, after that, a set still serves while no newer one can be had. An outage of the issuer should not be one
/// of this service, and an attacker who holds a withdrawn key must not gain much by causing one: an hour outlasts the
/// usual outage, and is no longer than access tokens commonly live.
const STALE: Duration = Duration::from_hours(1);

/// The least time between two fetches while there is a set, counted from the last attempt, failed or not. It bounds
/// what tokens with made-up keys cost the issuer, and how soon a new key is known.
const COOL_DOWN: Duration = Duration::from_secs(30);

/// The same while there is none, and every request waits for it.
const RETRY: Duration = Duration::from_secs(1);

/// The whole of a fetch, discovery and keys together; the caller waits for it.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// To connect, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Room for a hundred keys with certificate chains.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// Where the keys come from.
#[derive(Clone, Debug)]
pub struct KeySource(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Url { url: Uri, transport: Transport },
    Discovery { issuer: String, transport: Transport },
    Secret { arn: String, region: String },
    Fixed(Arc<KeySet>),
}

/// What a URL may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Https,
    /// `http`, to this machine only.
    Loopback,
}

/// Why something names no source of keys. No message repeats what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SourceError {
    /// Not an absolute `https` URL, or one with a user name or a fragment.
    #[error("an https URL without user name and fragment")]
    Url,
    /// Not the ARN of a secret.
    #[error("the ARN of a Secrets Manager secret")]
    SecretArn,
    /// Not a JWK Set with a key that the configured algorithms can use.
    #[error("a JWK Set (RFC 7517 §5) of at most 100 keys, at least one of them fit for JWT_ALGORITHMS")]
    KeySet,
}

impl KeySource {
    /// A JWK Set at an `https` URL.
    pub fn url(url: &str) -> Result<Self, SourceError> {
        let transport = Transport::Https;
        Ok(Self(Kind::Url { url: transport.accept(url)?, transport }))
    }

    /// The JWK Set that the issuer's OpenID configuration names (OpenID Connect Discovery 1.0 §4).
    pub fn discovery(issuer: &str) -> Result<Self, SourceError> {
        Self::discovered(issuer, Transport::Https)
    }

    /// As [`KeySource::url`], without TLS, and for that reason from this machine only. For tests: no configuration leads
    /// here.
    pub fn loopback_url(url: &str) -> Result<Self, SourceError> {
        let transport = Transport::Loopback;
        Ok(Self(Kind::Url { url: transport.accept(url)?, transport }))
    }

    /// As [`KeySource::discovery`], without TLS, and for that reason from this machine only. For tests: no configuration
    /// leads here.
    pub fn loopback_discovery(issuer: &str) -> Result<Self, SourceError> {
        Self::discovered(issuer, Transport::Loopback)
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
        Ok(Self(Kind::Secret { arn: arn.to_owned(), region: region.to_owned() }))
    }

    /// The JWK Set itself.
    pub fn jwks(text: &str, algorithms: &Algorithms) -> Result<Self, SourceError> {
        match KeySet::from_jwks(text.as_bytes(), algorithms, KeyTrust::Private) {
            Ok(set) => Ok(Self(Kind::Fixed(Arc::new(set)))),
            Err(_) => Err(SourceError::KeySet),
        }
    }

    fn discovered(issuer: &str, transport: Transport) -> Result<Self, SourceError> {
        if transport.accept(issuer)?.query().is_some() {
            return Err(SourceError::Url);
        }
        Ok(Self(Kind::Discovery { issuer: issuer.to_owned(), transport }))
    }
}

impl Transport {
    fn accept(self, url: &str) -> Result<Uri, SourceError> {
        let uri: Uri = url.parse().map_err(|_| SourceError::Url)?;
        let authority = uri.authority().ok_or(SourceError::Url)?;
        let allowed = match self {
            Self::Https => uri.scheme() == Some(&Scheme::HTTPS),
            Self::Loopback => uri.scheme() == Some(&Scheme::HTTP) && authority.host() == "127.0.0.1",
        };
        if !allowed || authority.as_str().contains('@') || authority.host().is_empty() || url.contains('#') {
            return Err(SourceError::Url);
        }
        Ok(uri)
    }
}

/// OpenID Connect Discovery 1.0 §4.1: a slash at the issuer's end is removed.
fn configuration_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer))
}

/// The keys of a source.
pub(super) enum Keys {
    Fixed(Arc<KeySet>),
    Cached(Box<Cache>),
}

/// What came of asking for a newer set.
pub(super) enum RefreshOutcome {
    /// There is one.
    Newer(Arc<KeySet>),
    /// The last fetch went well, and it is too soon for another.
    NotDue,
    /// The last fetch failed.
    Failed,
}

impl Keys {
    pub(super) fn new(source: &KeySource, algorithms: &Algorithms, aws: &SdkConfig, clock: Clock) -> Self {
        let remote = match &source.0 {
            Kind::Fixed(set) => return Self::Fixed(Arc::clone(set)),
            Kind::Url { url, transport } => Remote::Url(Http::new(*transport), url.clone()),
            Kind::Discovery { issuer, transport } => Remote::Discovery(Http::new(*transport), issuer.clone()),
            Kind::Secret { arn, region } => Remote::Secret(secrets(aws, region), arn.clone()),
        };
        let algorithms = algorithms.clone();
        let (state, fetch_lock) = (Mutex::default(), tokio::sync::Mutex::default());
        Self::Cached(Box::new(Cache { remote, algorithms, clock, state, fetch_lock }))
    }

    /// The set to verify with.
    pub(super) async fn current(&self) -> Result<Arc<KeySet>, KeysUnavailable> {
        match self {
            Self::Fixed(set) => Ok(Arc::clone(set)),
            Self::Cached(cache) => cache.current().await,
        }
    }

    /// A newer set than `seen`, in which a key was missed.
    pub(super) async fn refresh(&self, seen: &Arc<KeySet>) -> RefreshOutcome {
        match self {
            Self::Fixed(_) => RefreshOutcome::NotDue,
            Self::Cached(cache) => cache.refresh(seen).await,
        }
    }
}

/// The last set of a remote source.
pub(super) struct Cache {
    remote: Remote,
    algorithms: Algorithms,
    clock: Clock,
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

impl Cache {
    async fn current(&self) -> Result<Arc<KeySet>, KeysUnavailable> {
        let _guard = match self.freshness() {
            Freshness::Fresh(set) => return Ok(set),
            // While one request fetches, the others go on with the old set.
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
            Freshness::None => Err(KeysUnavailable),
        }
    }

    async fn refresh(&self, seen: &Arc<KeySet>) -> RefreshOutcome {
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
            None => RefreshOutcome::Failed,
        }
    }

    fn freshness(&self) -> Freshness {
        let now = (self.clock)();
        match &mut self.state().set {
            None => Freshness::None,
            Some((set, since)) => match now.duration_since(*since) {
                Ok(age) if age < FRESH => Freshness::Fresh(Arc::clone(set)),
                Ok(age) if age < FRESH + STALE => Freshness::Stale(Arc::clone(set)),
                Ok(_) => Freshness::None,
                // The clock was set back, and nobody knows how old the set is: as if it had just expired.
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

    /// Fetches once the cool-down is over. Only for the holder of `fetch_lock`.
    async fn fetch_if_due(&self) {
        let started = (self.clock)();
        let pause = if matches!(self.freshness(), Freshness::None) { RETRY } else { COOL_DOWN };
        let last = self.state().last_attempt;
        // A clock that was set back ends the cool-down.
        if last.is_some_and(|last| started.duration_since(last.at).is_ok_and(|since| since < pause)) {
            return;
        }
        // Noted before the wait, in case the caller does not live to see its end.
        self.state().last_attempt = Some(Attempt { at: started, succeeded: false });
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, self.remote.fetch(&self.algorithms)).await;
        let result = fetched.unwrap_or(Err(FetchError::Timeout));
        self.state().last_attempt = Some(Attempt { at: (self.clock)(), succeeded: result.is_ok() });
        match result {
            Ok(set) => self.state().set = Some((Arc::new(set), started)),
            Err(error) => tracing::warn!(cause = %error, "the key set could not be fetched"),
        }
    }

    fn state(&self) -> MutexGuard<'_, CacheState> {
        // Nothing that can panic happens under this lock, and its content is whole at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a fetch brought no key set. No message holds anything of what was delivered: the SDK's errors go into the log
/// by what they display, as their `Debug` has the whole answer in it.
#[derive(Debug, Error)]
enum FetchError {
    #[error("no answer within {} s", FETCH_TIMEOUT.as_secs())]
    Timeout,
    #[error("the connection failed: {0}")]
    Connection(String),
    #[error("the answer has status {0}, not 200")]
    Status(u16),
    #[error("the answer breaks off or is longer than {MAX_BODY_BYTES} bytes")]
    Body,
    #[error("the answer is no OpenID configuration")]
    Discovery,
    #[error("the OpenID configuration is another issuer's")]
    Issuer,
    #[error("the OpenID configuration names its keys by what is not an https URL")]
    KeysUrl,
    #[error("Secrets Manager: {0}")]
    Secret(String),
    #[error("the secret has no value")]
    SecretEmpty,
    #[error("the answer holds {0}")]
    Set(#[from] SetError),
}

enum Remote {
    Url(Http, Uri),
    Discovery(Http, String),
    Secret(secretsmanager::Client, String),
}

impl Remote {
    async fn fetch(&self, algorithms: &Algorithms) -> Result<KeySet, FetchError> {
        match self {
            Self::Url(http, url) => {
                Ok(KeySet::from_jwks(&http.read(&url.to_string()).await?, algorithms, KeyTrust::Public)?)
            }
            Self::Discovery(http, issuer) => {
                let url = http.keys_of(issuer).await?;
                Ok(KeySet::from_jwks(&http.read(&url.to_string()).await?, algorithms, KeyTrust::Public)?)
            }
            Self::Secret(client, arn) => {
                let answer = client.get_secret_value().secret_id(arn).send().await;
                // Not DisplayErrorContext: it shows the raw answer, and the secret may be in it.
                let answer = answer.map_err(|error| FetchError::Secret(error_chain(&error)))?;
                let secret = match (&answer.secret_string, &answer.secret_binary) {
                    (Some(text), _) => text.as_bytes(),
                    (None, Some(binary)) => binary.as_ref(),
                    (None, None) => return Err(FetchError::SecretEmpty),
                };
                Ok(KeySet::from_secret(secret, algorithms)?)
            }
        }
    }
}

/// A client with the time-outs of this module, for the region that the secret's ARN names.
fn secrets(aws: &SdkConfig, region: &str) -> secretsmanager::Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(FETCH_TIMEOUT / 2)
        .operation_timeout(FETCH_TIMEOUT)
        .build();
    let config = secretsmanager::config::Builder::from(aws)
        .region(secretsmanager::config::Region::new(region.to_owned()))
        .timeout_config(timeouts)
        .build();
    secretsmanager::Client::from_conf(config)
}

/// An HTTP client that follows no redirect: the configured host is the one that is trusted.
struct Http {
    connector: Connector,
    transport: Transport,
}

/// What is needed of an OpenID configuration (OpenID Connect Discovery 1.0 §3).
#[derive(Deserialize)]
struct OpenIdConfiguration {
    issuer: String,
    jwks_uri: String,
}

impl Http {
    fn new(transport: Transport) -> Self {
        let settings = HttpConnectorSettings::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(FETCH_TIMEOUT)
            .build();
        let connector = Connector::builder()
            .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
            .connector_settings(settings)
            .sleep_impl(TokioSleep::new())
            // A connection that is kept would have slept through Lambda's freezing for ten minutes.
            .pool_max_idle_per_host(0)
            .proxy_config(match transport {
                Transport::Https => ProxyConfig::from_env(),
                Transport::Loopback => ProxyConfig::disabled(),
            })
            .build();
        Self { connector, transport }
    }

    /// The URL of an issuer's keys. The configuration must be the issuer's own word for word (§4.3), or one issuer
    /// could speak for another. It is read anew each time, so that a bad answer is never remembered.
    async fn keys_of(&self, issuer: &str) -> Result<Uri, FetchError> {
        let body = self.read(&configuration_url(issuer)).await?;
        let configuration: OpenIdConfiguration =
            serde_json::from_slice(&body).map_err(|_| FetchError::Discovery)?;
        if configuration.issuer != issuer {
            return Err(FetchError::Issuer);
        }
        self.transport.accept(&configuration.jwks_uri).map_err(|_| FetchError::KeysUrl)
    }

    async fn read(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let mut request =
            HttpRequest::get(url).map_err(|error| FetchError::Connection(error_chain(&error)))?;
        request.headers_mut().insert("accept", "application/jwk-set+json, application/json");
        let answer = self.connector.call(request).await;
        let answer = answer.map_err(|error| FetchError::Connection(error_chain(&error)))?;
        if answer.status().as_u16() != 200 {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let body = Limited::new(answer.into_body(), MAX_BODY_BYTES).collect().await;
        Ok(body.map_err(|_| FetchError::Body)?.to_bytes().to_vec())
    }
}
