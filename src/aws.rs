//! The configuration of all AWS clients: TLS roots, connections, time-outs and retries.

use std::io;
use std::path::Path;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpClient as _, SharedHttpClient, http_client_fn};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use thiserror::Error;
use webpki::anchor_from_trusted_cert;

/// The root certificates of AWS endpoints. Parsing these five takes a fraction of the time that a system's 150 take.
const AMAZON_TRUST_SERVICES: &[u8] = include_bytes!("amazon-trust-services.pem");

/// Timeout of a TCP connection with its TLS handshake.
const CONNECT: Duration = Duration::from_secs(1);
/// Timeout of one attempt. Two fit within [`OPERATION`].
const ATTEMPT: Duration = Duration::from_millis(1_500);
/// Timeout of a call with its retries.
const OPERATION: Duration = Duration::from_secs(4);
/// Attempts of one call, including the first.
const ATTEMPTS: u32 = 3;

/// Whom AWS clients act for, and where.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// `AWS_REGION`.
    pub region: Option<String>,
    /// The credentials of the function's role, which Lambda puts into the environment.
    pub credentials: Option<Credentials>,
}

/// The configuration that every AWS client is made from: `account`, TLS roots (`ca_bundle`, in PEM, or Amazon's),
/// time-outs that together stay below the function's own, and at most `max_idle_connections` open connections between
/// requests.
///
/// `max_idle_connections` is the number of requests that can run at once. A frozen environment loses its connections
/// without notice; with more of them idle than requests running, the retries of one call would meet one dead connection
/// after the other.
///
/// Not the default chain of `aws_config`: profiles, web identities, containers and instance metadata do not exist in
/// Lambda, and the code for them is a tenth of the binary.
pub fn sdk_config(account: Account, ca_bundle: Option<Vec<u8>>, max_idle_connections: usize) -> SdkConfig {
    let roots = ca_bundle.unwrap_or_else(|| AMAZON_TRUST_SERVICES.to_vec());
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(account.region.map(Region::new))
        .http_client(https_client(roots, max_idle_connections))
        // Meant for streamed bodies; the attempt's time limit covers a response of DynamoDB.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT)
                .operation_attempt_timeout(ATTEMPT)
                .operation_timeout(OPERATION)
                .build(),
        )
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_initial_backoff(Duration::from_millis(50)),
        );
    config.set_credentials_provider(account.credentials.map(SharedCredentialsProvider::new));
    config.build()
}

/// Reads a PEM file of certificate authorities, which the environment variable `variable` names.
pub fn ca_bundle(variable: &'static str, path: &Path) -> Result<Vec<u8>, CaBundleError> {
    let pem = std::fs::read(path).map_err(|error| CaBundleError::Unreadable(variable, error))?;
    let mut certificates = CertificateDer::pem_slice_iter(&pem).peekable();
    // The client panics over a certificate that this rejects.
    let usable = |certificate: Result<CertificateDer<'_>, _>| {
        certificate.is_ok_and(|certificate| anchor_from_trusted_cert(&certificate).is_ok())
    };
    if certificates.peek().is_none() || !certificates.all(usable) {
        return Err(CaBundleError::NotPem(variable));
    }
    Ok(pem)
}

/// Why a file of certificate authorities cannot be used. The message names the variable that names the file.
#[derive(Debug, Error)]
pub enum CaBundleError {
    /// The file cannot be read.
    #[error("{0}: the file cannot be read: {1}")]
    Unreadable(&'static str, io::Error),
    /// The file has no certificates, or a damaged one.
    #[error("{0}: must be the path of a file of PEM certificates")]
    NotPem(&'static str),
}

fn https_client(roots: Vec<u8>, max_idle_connections: usize) -> SharedHttpClient {
    let client = aws_smithy_http_client::Builder::new()
        .pool_max_idle_per_host(max_idle_connections)
        .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls_context(TrustStore::empty().with_pem_certificate(roots)))
        .build_https();
    // Without the client's validation, which builds a connector and its TLS configuration to drop them: 3 % of the
    // instructions of a start.
    http_client_fn(move |settings, components| client.http_connector(settings, components))
}

/// A TLS configuration that trusts `roots`.
#[must_use]
#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "building a TlsContext fails for invalid server names only, and none is set"
)]
pub fn tls_context(roots: TrustStore) -> TlsContext {
    TlsContext::builder().with_trust_store(roots).build().expect("no server names")
}
