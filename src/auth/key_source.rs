//! Where key sets come from, and how they are fetched.

use std::error::Error;
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
use http_body_util::{BodyExt, LengthLimitError, Limited};
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
    Discovery { issuer: String, configuration: HttpsUrl },
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
        let configuration = HttpsUrl::parse(&configuration_url(issuer))?;
        Ok(Self(Source::Discovery { issuer: issuer.to_owned(), configuration }))
    }

    /// A secret in Secrets Manager: a JWK Set, a JWK, or a bare HMAC secret.
    pub fn secret(arn: &str) -> Result<Self, SourceError> {
        let parts: Vec<&str> = arn.splitn(7, ':').collect();
        let ["arn", partition, "secretsmanager", region, account, "secret", name] = parts[..] else {
            return Err(SourceError::SecretArn);
        };
        let is_of = |text: &str, others: &[u8]| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
        };
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if !is_account || !is_of(partition, b"-") || !is_of(region, b"-") || !is_of(name, b"-/_+=.@!") {
            return Err(SourceError::SecretArn);
        }
        Ok(Self(Source::Secret { arn: arn.to_owned(), region: region.to_owned() }))
    }

    /// The JWK Set itself.
    pub fn jwks(text: &str, algorithms: &Algorithms) -> Result<Self, SetError> {
        let set = KeySet::from_jwks(text.as_bytes(), algorithms, KeyTrust::Private)?;
        Ok(Self(Source::Fixed(Arc::new(set))))
    }

    /// The origin of this source's sets. `aws` is for keys in Secrets Manager.
    pub(super) fn open(&self, https: Https, aws: &SdkConfig) -> Origin {
        Origin::Remote(Box::new(match &self.0 {
            Source::Url(url) => Remote::Url(https, url.clone()),
            Source::Discovery { issuer, configuration } => {
                Remote::Discovery { https, issuer: issuer.clone(), configuration: configuration.clone() }
            }
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

/// Whether a text is an absolute `https` URL without user name and fragment.
pub(crate) fn is_https_url(text: &str) -> bool {
    HttpsUrl::parse(text).is_ok()
}

/// Without the query, which may hold a key of its own.
impl std::fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        write!(f, "https://{authority}{}", self.0.path())
    }
}

/// OpenID Connect Discovery 1.0 §4.1: a slash at the issuer's end is removed.
fn configuration_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer))
}

/// Why a fetch returned no key set. Quotes nothing of a key set or a secret.
#[derive(Debug, Error)]
#[error("{place}: {cause}")]
pub(super) struct FetchError {
    /// The URL without its query, or the secret's ARN.
    place: String,
    cause: FetchCause,
}

/// SDK errors are logged by their `Display`, because their `Debug` holds the whole response.
#[derive(Debug, Error)]
enum FetchCause {
    #[error("no response within {} s", FETCH_TIMEOUT.as_secs())]
    Timeout,
    #[error("the connection failed: {0}")]
    Connection(String),
    #[error("the response has status {0}, not 200")]
    Status(u16),
    #[error("the response is longer than {MAX_BODY_BYTES} bytes")]
    TooLong,
    #[error("the response is cut short")]
    CutShort,
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

impl FetchCause {
    fn at(self, place: impl std::fmt::Display) -> FetchError {
        FetchError { place: place.to_string(), cause: self }
    }
}

/// Without the connector's two outer layers, which say no more than that the connection failed.
fn connection(error: &(dyn Error + 'static)) -> String {
    chain(error.source().and_then(Error::source).unwrap_or(error))
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
    Discovery { https: Https, issuer: String, configuration: HttpsUrl },
    Secret(secretsmanager::Client, String),
}

impl Remote {
    /// Fetches the set as it is now, within [`FETCH_TIMEOUT`].
    pub(super) async fn fetch(&self, algorithms: &Algorithms) -> Result<KeySet, FetchError> {
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, self.fetch_in_time(algorithms)).await;
        fetched.unwrap_or_else(|_| {
            Err(match self {
                Self::Url(_, url) | Self::Discovery { configuration: url, .. } => FetchCause::Timeout.at(url),
                Self::Secret(_, arn) => FetchCause::Timeout.at(arn),
            })
        })
    }

    async fn fetch_in_time(&self, algorithms: &Algorithms) -> Result<KeySet, FetchError> {
        match self {
            Self::Url(https, url) => https.client().key_set(url, algorithms).await,
            Self::Discovery { https, issuer, configuration } => {
                let client = https.client();
                client.key_set(&client.jwks_uri(configuration, issuer).await?, algorithms).await
            }
            Self::Secret(client, arn) => {
                secret_key_set(client, arn, algorithms).await.map_err(|cause| cause.at(arn))
            }
        }
    }
}

async fn secret_key_set(
    client: &secretsmanager::Client,
    arn: &str,
    algorithms: &Algorithms,
) -> Result<KeySet, FetchCause> {
    let response = client.get_secret_value().secret_id(arn).send().await;
    // Not DisplayErrorContext: it shows the raw response, which may hold the secret.
    let response = response.map_err(|error| FetchCause::Secret(chain(&error)))?;
    let secret = match (&response.secret_string, &response.secret_binary) {
        (Some(text), _) => text.as_bytes(),
        (None, Some(binary)) => binary.as_ref(),
        (None, None) => return Err(FetchCause::SecretEmpty),
    };
    Ok(KeySet::from_secret(secret, algorithms)?)
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
        let body = self.get(url).await?;
        KeySet::from_jwks(&body, algorithms, KeyTrust::Public)
            .map_err(|error| FetchCause::from(error).at(url))
    }

    /// The URL of an issuer's keys. The configuration must name the issuer exactly (§4.3), or one issuer could speak for
    /// another. It is fetched each time, so that a bad response is never remembered.
    async fn jwks_uri(&self, configuration: &HttpsUrl, issuer: &str) -> Result<HttpsUrl, FetchError> {
        let body = self.get(configuration).await?;
        let Object(OpenIdConfiguration { issuer: found, jwks_uri }) =
            serde_json::from_slice(&body).map_err(|_| FetchCause::Discovery.at(configuration))?;
        if found != issuer {
            return Err(FetchCause::Issuer { configured: issuer.to_owned(), found }.at(configuration));
        }
        HttpsUrl::parse(&jwks_uri).map_err(|_| FetchCause::KeysUrl.at(configuration))
    }

    async fn get(&self, url: &HttpsUrl) -> Result<Vec<u8>, FetchError> {
        let failed = |text: String| FetchCause::Connection(text).at(url);
        let mut request = HttpRequest::get(url.0.to_string()).map_err(|error| failed(chain(&error)))?;
        request.headers_mut().insert("accept", "application/jwk-set+json, application/json");
        let response = self.0.call(request).await.map_err(|error| failed(connection(&error)))?;
        if response.status().as_u16() != 200 {
            return Err(FetchCause::Status(response.status().as_u16()).at(url));
        }
        let body = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() { FetchCause::TooLong } else { FetchCause::CutShort }
        });
        Ok(body.map_err(|cause| cause.at(url))?.to_bytes().to_vec())
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
