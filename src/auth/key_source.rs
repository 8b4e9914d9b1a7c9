//! Where key sets come from, and how they are fetched.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_secretsmanager as secretsmanager;
use aws_smithy_async::rt::sleep::TokioSleep;
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
use table::error::chain;
use table::json::Object;
use thiserror::Error;

use super::key_set::{Algorithms, KeySet, KeyTrust, SetError};
use crate::aws;

/// Bounds connecting, TLS handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Enough for a hundred keys with certificate chains.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// The longest issuer of an OpenID configuration that is logged in full.
const MAX_LOGGED_ISSUER: usize = 256;

/// Bounds a whole fetch, discovery and keys together, because the caller waits for it.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

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
pub(super) struct HttpsUrl(Uri);

/// Why a value names no key source. The message never repeats the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SourceError {
    /// Not an absolute `https` URL, or one with a user name or a fragment.
    #[error("must be an https URL without user name and fragment")]
    Url,
    /// Not the ARN of a secret.
    #[error("must be the ARN of a Secrets Manager secret")]
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

impl KeySource {
    /// The origin of this source's sets. `aws` is for keys in Secrets Manager.
    pub(super) fn open(&self, https: Https, aws: &SdkConfig) -> Origin {
        Origin::Remote(Box::new(match &self.0 {
            Source::Url(url) => Remote::Url(https, url.clone()),
            Source::Discovery { issuer } => Remote::Discovery(https, issuer.clone()),
            Source::Secret { arn, region } => Remote::Secret(secrets(aws, region), arn.clone()),
            Source::Fixed(set) => return Origin::Fixed(Arc::clone(set)),
        }))
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

/// Why a fetch returned no key set. Messages quote nothing of a key set or a secret. SDK errors are logged by their
/// `Display`, because their `Debug` holds the whole response.
#[derive(Debug, Error)]
pub(super) enum FetchError {
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
    #[error("the key set is rejected: {0}")]
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

/// Where a key cache gets its sets.
pub(super) enum Origin {
    /// A set that was configured and never changes.
    Fixed(Arc<KeySet>),
    /// Sets that are fetched.
    Remote(Box<Remote>),
}

pub(super) enum Remote {
    Url(Https, HttpsUrl),
    Discovery(Https, String),
    Secret(secretsmanager::Client, String),
}

impl Remote {
    /// Fetches the set as it is now.
    pub(super) async fn fetch(&self, algorithms: &Algorithms) -> Result<KeySet, FetchError> {
        match self {
            Self::Url(https, url) => https.client().key_set(url, algorithms).await,
            Self::Discovery(https, issuer) => {
                let client = https.client();
                client.key_set(&client.jwks_uri(issuer).await?, algorithms).await
            }
            Self::Secret(client, arn) => {
                let response = client.get_secret_value().secret_id(arn).send().await;
                // Not DisplayErrorContext: it shows the raw response, which may hold the secret.
                let response = response.map_err(|error| FetchError::Secret(chain(&error)))?;
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

/// How keys are fetched over HTTPS: whom to trust, and through which proxy.
#[derive(Clone)]
pub struct Https {
    tls: TlsContext,
    proxy: ProxyConfig,
}

impl Https {
    /// Trusts the certificate authorities of `ca_bundle` (PEM), or else the system's.
    #[must_use]
    pub fn new(ca_bundle: Option<Vec<u8>>) -> Self {
        let authorities =
            ca_bundle.map_or_else(TrustStore::default, |pem| TrustStore::empty().with_pem_certificate(pem));
        Self { tls: aws::tls_context(authorities), proxy: ProxyConfig::disabled() }
    }

    /// The same through `proxy`.
    #[must_use]
    pub fn through(self, proxy: ProxyConfig) -> Self {
        Self { proxy, ..self }
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
        let Object(OpenIdConfiguration { issuer: found, jwks_uri }) =
            serde_json::from_slice(&body).map_err(|_| FetchError::Discovery)?;
        if found != issuer {
            return Err(FetchError::Issuer { configured: issuer.to_owned(), found });
        }
        HttpsUrl::parse(&jwks_uri).map_err(|_| FetchError::KeysUrl)
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let mut request = HttpRequest::get(url).map_err(|error| FetchError::Connection(chain(&error)))?;
        request.headers_mut().insert("accept", "application/jwk-set+json, application/json");
        let response = self.0.call(request).await;
        let response = response.map_err(|error| FetchError::Connection(chain(&error)))?;
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
