//! How the tool reaches AWS: as an operator's command line does, by profiles, single sign-on, proxies and the system's
//! own roots, where the function has a role and one endpoint.

use std::path::Path;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use imaging_study::aws::{CaBundleError, ca_bundle, tls_context};
use studies::table::error_chain;
use thiserror::Error;

/// A call that is throttled is tried this often, with growing pauses of up to 20 seconds: a load that fills a table
/// faster than its capacity slows down and does not fail.
const ATTEMPTS: u32 = 10;

/// Why there is nothing to call AWS with.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("no region: set AWS_REGION, or use a profile that has one")]
    NoRegion,
    #[error("no credentials: set AWS_PROFILE, or log in")]
    NoCredentials,
    #[error("the credentials cannot be had: {0}")]
    Credentials(String),
    #[error(transparent)]
    CaBundle(#[from] CaBundleError),
}

/// Finds region and credentials the way every AWS tool does.
pub(crate) async fn connect() -> Result<SdkConfig, ConnectError> {
    const CA_BUNDLE: &str = "AWS_CA_BUNDLE";
    let roots = match std::env::var_os(CA_BUNDLE).filter(|path| !path.is_empty()) {
        Some(path) => Some(ca_bundle(CA_BUNDLE, Path::new(&path))?),
        None => None,
    };
    let aws = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(roots))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                .operation_attempt_timeout(Duration::from_secs(30))
                .build(),
        )
        .load()
        .await;
    if aws.region().is_none() {
        return Err(ConnectError::NoRegion);
    }
    let provider = aws.credentials_provider().ok_or(ConnectError::NoCredentials)?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(aws),
        Err(CredentialsError::CredentialsNotLoaded(_)) => Err(ConnectError::NoCredentials),
        Err(error) => Err(ConnectError::Credentials(error_chain(&error))),
    }
}

fn http_client(roots: Option<Vec<u8>>) -> SharedHttpClient {
    let trust = match roots {
        Some(pem) => TrustStore::empty().with_pem_certificate(pem),
        None => TrustStore::default(),
    };
    let context = tls_context(trust);
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context.clone())
            .proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.build()
    })
}
