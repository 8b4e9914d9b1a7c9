//! Verifying a request's bearer token.

use aws_config::SdkConfig;
use aws_smithy_async::time::SharedTimeSource;
use http::HeaderMap;

use super::access::Principal;
use super::certificate::{ClientCertificate, check_confirmation};
use super::error::{AuthError, KeysUnavailable, TokenError};
use super::issuer::Settings;
use super::key_cache::{KeyCache, RefreshOutcome};
use super::key_source::Https;
use super::token::{Unverified, bearer};

/// Verifies bearer tokens.
pub struct Verifier {
    settings: Settings,
    keys: KeyCache,
    clock: SharedTimeSource,
}

impl Verifier {
    /// Makes a verifier, without any I/O.
    ///
    /// `https` fetches keys at a URL. `aws` is for keys in Secrets Manager, and its time source is the verifier's clock.
    #[must_use]
    pub fn new(settings: Settings, https: Https, aws: &SdkConfig) -> Self {
        if settings.issuer.is_none() {
            tracing::warn!("the issuer of tokens is not checked (JWT_ISSUER=*)");
        }
        if settings.audiences.is_none() {
            tracing::warn!("the audience of tokens is not checked (JWT_AUDIENCE=*)");
        }
        let clock = aws.time_source().unwrap_or_default();
        let keys = KeyCache::new(settings.keys.open(https, aws), settings.algorithms.clone(), clock.clone());
        Self { settings, keys, clock }
    }

    /// The issuer of the tokens that are accepted; `None` if any is.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.settings.issuer.as_deref()
    }

    /// Fetches the keys unless they are cached, so that the first request need not wait for them.
    pub async fn load_keys(&self) -> Result<(), KeysUnavailable> {
        self.keys.current().await.map(|_| ())
    }

    /// The principal whose token a request carries, with the client certificate that the gateway reports.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Principal, AuthError> {
        let token = Unverified::parse(bearer(headers)?, &self.settings.algorithms)?;
        let mut keys = self.keys.current().await?;
        let mut verified = token.verify(&keys);
        if let Err(error) = verified
            && error.refresh_may_help
        {
            match self.keys.refresh(&keys).await {
                RefreshOutcome::Newer(newer) => {
                    keys = newer;
                    verified = token.verify(&keys);
                }
                RefreshOutcome::Failed(unavailable) if error.reason == TokenError::KeyUnknown => {
                    return Err(AuthError::KeyUnconfirmed(unavailable));
                }
                RefreshOutcome::Failed(_) | RefreshOutcome::NotDue => {}
            }
        }
        let claims = verified.map_err(|error| error.reason)?.claims(&self.settings, self.clock.now())?;
        check_confirmation(&claims, certificate)?;
        Ok(Principal::from_claims(&claims, &self.settings.access)?)
    }
}
