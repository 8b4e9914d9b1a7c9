//! Reaches AWS as an operator's command line does: by profiles, single sign-on, proxies and the system's own roots.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use aws_config::imds::client::error::ImdsError;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig, profile};
use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::os_shim_internal::{Env, Fs};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use studies::pace::Pace;
use studies::table::{Table, TableAddress};
use table::error::chain;
use thiserror::Error;
use webpki::anchor_from_trusted_cert;

/// Names a file of the certificate authorities to trust, as for other AWS tools.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";
/// The pair of keys in the environment.
const KEYS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
/// Timeout of a connection.
const CONNECT: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("no profile {0} in the AWS configuration: correct AWS_PROFILE, or run `aws configure`")]
    NoProfile(String),
    #[error("no region: set AWS_REGION, or use a profile that has one")]
    NoRegion,
    #[error("{0} is set and {1} is not: set both, or neither")]
    HalfAPair(&'static str, &'static str),
    #[error("no credentials: set AWS_PROFILE, or log in")]
    NoCredentials,
    #[error("credentials could not be loaded: {0}")]
    Credentials(String),
    #[error("{CA_BUNDLE}: the file cannot be read: {0}")]
    CaBundleUnreadable(io::Error),
    #[error("{CA_BUNDLE}: must be the path of a file of PEM certificates")]
    CaBundleMalformed,
}

/// Finds region and credentials the way every AWS tool does. `attempt`: the timeout of one attempt of a call.
pub(crate) async fn connect(attempt: Duration) -> Result<SdkConfig, ConnectError> {
    match KEYS.map(|name| std::env::var_os(name).is_some_and(|key| !key.is_empty())) {
        [true, false] => return Err(ConnectError::HalfAPair(KEYS[0], KEYS[1])),
        [false, true] => return Err(ConnectError::HalfAPair(KEYS[1], KEYS[0])),
        [true, true] => {}
        [false, false] => missing_profile().await.map_or(Ok(()), Err)?,
    }
    let roots = match std::env::var_os(CA_BUNDLE).filter(|path| !path.is_empty()) {
        Some(path) => trusted(Path::new(&path))?,
        None => TrustStore::default(),
    };
    let aws = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(roots))
        .timeout_config(
            TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(attempt).build(),
        )
        // The timeout of an attempt bounds a stalled one too.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await;
    if aws.region().is_none() {
        return Err(ConnectError::NoRegion);
    }
    let provider = aws.credentials_provider().ok_or(ConnectError::NoCredentials)?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(aws),
        Err(CredentialsError::CredentialsNotLoaded(_)) => Err(ConnectError::NoCredentials),
        // The last place to look, and not one that an operator expects.
        Err(error) if is_imds(&error) => Err(ConnectError::NoCredentials),
        Err(error) => Err(ConnectError::Credentials(chain(&error))),
    }
}

/// Whether this is a failure of the metadata service that instances of EC2 have.
fn is_imds(error: &CredentialsError) -> bool {
    std::iter::successors(error.source(), |&cause| cause.source()).any(<dyn Error>::is::<ImdsError>)
}

/// The profile that `AWS_PROFILE` names, if there is none of that name.
async fn missing_profile() -> Option<ConnectError> {
    let name = std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty())?;
    let profiles = profile::load(&Fs::real(), &Env::real(), &EnvConfigFiles::default(), None).await.ok()?;
    profiles.get_profile(&name).is_none().then_some(ConnectError::NoProfile(name))
}

/// The table `name`, at `endpoint` or where the region has it.
pub(crate) async fn table(aws: &SdkConfig, endpoint: Option<&str>, name: String, pace: Pace) -> Table {
    // `Pace` retries.
    let mut config = aws_sdk_dynamodb::config::Builder::from(aws).retry_config(RetryConfig::disabled());
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint);
    }
    let at = address(aws, endpoint, name).await;
    Table::new(Client::from_conf(config.build()), at, pace)
}

/// Where the table `name` is looked for.
pub(crate) async fn address(aws: &SdkConfig, endpoint: Option<&str>, name: String) -> TableAddress {
    let region = aws.region().map(ToString::to_string).unwrap_or_default();
    let endpoint = match endpoint.or(aws.endpoint_url()) {
        Some(endpoint) => endpoint.to_owned(),
        None => match Params::builder().region(&region).build() {
            Ok(params) => DefaultResolver::new()
                .resolve_endpoint(&params)
                .await
                .map_or_else(|_| "no endpoint".to_owned(), |endpoint| endpoint.url().to_owned()),
            Err(_) => "no endpoint".to_owned(),
        },
    };
    TableAddress { table: name, region, endpoint }
}

/// The certificate authorities of a PEM file.
fn trusted(path: &Path) -> Result<TrustStore, ConnectError> {
    let pem = std::fs::read(path).map_err(ConnectError::CaBundleUnreadable)?;
    let mut certificates = CertificateDer::pem_slice_iter(&pem).peekable();
    // The client panics over a certificate that this rejects.
    let is_usable = |certificate: Result<CertificateDer<'_>, _>| {
        certificate.is_ok_and(|certificate| anchor_from_trusted_cert(&certificate).is_ok())
    };
    if certificates.peek().is_some() && certificates.all(is_usable) {
        Ok(TrustStore::empty().with_pem_certificate(pem))
    } else {
        Err(ConnectError::CaBundleMalformed)
    }
}

#[expect(
    clippy::expect_used,
    reason = "building a TlsContext fails for invalid server names only, and none is set"
)]
fn http_client(roots: TrustStore) -> SharedHttpClient {
    let context = TlsContext::builder().with_trust_store(roots).build().expect("no server names");
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
