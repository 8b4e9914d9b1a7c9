//! How AWS is reached: credentials, region, TLS roots, time-outs and retries, once for all clients.

use std::io;
use std::path::Path;
use std::time::Duration;

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::region::ProvideRegion as _;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::config::SharedCredentialsProvider;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use thiserror::Error;

/// The roots that sign the certificates of AWS endpoints. Five, where a system has some 150 that would all be parsed
/// before the first request.
const AMAZON_TRUST_SERVICES: &[u8] = include_bytes!("amazon-trust-services.pem");

/// A TCP connection and its TLS handshake take this long at most.
const CONNECT: Duration = Duration::from_secs(1);
/// One attempt of a call takes this long at most, so that a second one still fits.
const ATTEMPT: Duration = Duration::from_millis(1_500);
/// A call takes this long at most, with its retries.
const OPERATION: Duration = Duration::from_secs(4);
/// Attempts of one call, the first among them.
const ATTEMPTS: u32 = 3;

/// What every AWS client is made from: the credentials and the region that Lambda puts into the environment,
/// `ca_bundle` (PEM) in place of Amazon's roots if there is one, and bounds that sum to less than the function's own
/// time-out.
///
/// Not the default chain of `aws_config`: profiles, web identities, containers and instance metadata do not exist in
/// Lambda, and the code for them is a tenth of the binary.
pub async fn sdk_config(ca_bundle: Option<Vec<u8>>) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(EnvironmentVariableRegionProvider::new().region().await)
        .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
        .http_client(https_client(ca_bundle.unwrap_or_else(|| AMAZON_TRUST_SERVICES.to_vec())))
        // For bodies that are streamed; an answer of DynamoDB is bounded by the attempt's time.
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
        )
        .build()
}

/// Reads the roots of a private endpoint out of a PEM file.
pub fn ca_bundle(path: &Path) -> Result<Vec<u8>, CaBundleError> {
    let pem = std::fs::read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(pem),
        _ => Err(CaBundleError::NotPem),
    }
}

/// Why the file that `AWS_CA_BUNDLE` names is of no use.
#[derive(Debug, Error)]
pub enum CaBundleError {
    /// It cannot be read.
    #[error("AWS_CA_BUNDLE: the file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It holds something else.
    #[error("AWS_CA_BUNDLE: takes the path of a file with certificates in PEM form")]
    NotPem,
}

fn https_client(roots: Vec<u8>) -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls_context(TrustStore::empty().with_pem_certificate(roots)))
        .build_https()
}

/// TLS that trusts these roots.
#[must_use]
#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a TlsContext is refused for server names only, and none is given"
)]
pub fn tls_context(roots: TrustStore) -> TlsContext {
    TlsContext::builder().with_trust_store(roots).build().expect("no server names")
}
