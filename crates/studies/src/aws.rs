//! Reaches AWS as an operator's command line does: by profiles, single sign-on, proxies and the system's own roots.

use std::path::Path;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig, profile};
use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::os_shim_internal::{Env, Fs};
use imaging_study::aws::{CaBundleError, ca_bundle, tls_context};
use studies::pace::Pace;
use studies::table::{Table, TableAddress};
use table::error::chain;
use thiserror::Error;

/// A connection is opened in this time, or not.
const CONNECT: Duration = Duration::from_secs(5);
/// A request is answered in this time, or it counts as unanswered.
const ANSWER: Duration = Duration::from_secs(10);

#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("no profile {0} in the AWS configuration: correct AWS_PROFILE, or run `aws configure`")]
    NoProfile(String),
    #[error("no region: set AWS_REGION, or use a profile that has one")]
    NoRegion,
    #[error("no credentials: set AWS_PROFILE, or log in")]
    NoCredentials,
    #[error("credentials could not be loaded: {0}")]
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
        .timeout_config(
            TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ANSWER).build(),
        )
        .load()
        .await;
    if aws.region().is_none() {
        return Err(missing_profile().await.unwrap_or(ConnectError::NoRegion));
    }
    let provider = aws.credentials_provider().ok_or(ConnectError::NoCredentials)?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(aws),
        Err(CredentialsError::CredentialsNotLoaded(_)) => {
            Err(missing_profile().await.unwrap_or(ConnectError::NoCredentials))
        }
        Err(error) => Err(ConnectError::Credentials(chain(&error))),
    }
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
