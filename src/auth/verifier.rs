//! Verifying a request's bearer token.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_smithy_async::time::SharedTimeSource;
use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use http::HeaderMap;

use super::access::Principal;
use super::certificate::{ClientCertificate, check_confirmation};
use super::error::{AuthError, KeysUnavailable, TokenError};
use super::issuer::Settings;
use super::key_cache::{Age, KeyCache};
use super::key_set::KeySet;
use super::key_source::Https;
use super::token::{Unverified, bearer};

/// How much longer than for the read a response waits for the fetch of a key set that is due.
const GRACE: Duration = Duration::from_millis(300);

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
        self.current_set().await.map(|_| ())
    }

    /// The principal whose token a request carries, with the client certificate that the gateway reports.
    pub async fn authenticate<'a>(
        &'a self,
        headers: &'a HeaderMap,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Authentication<'a>, AuthError> {
        let token = Unverified::parse(bearer(headers)?, &self.settings.algorithms)?;
        let (mut set, mut age) = self.current_set().await?;
        let mut verified = token.verify(&set);
        if let Err(error) = verified
            && (error.refresh_may_help || age != Age::Fresh)
        {
            if let Some(fetch) = self.keys.fetch() {
                fetch.done.await;
            }
            if let Some(newer) = self.keys.newer_than(&set) {
                (set, age) = (newer, Age::Fresh);
                verified = token.verify(&set);
            } else if error.reason == TokenError::KeyUnknown && self.keys.last_fetch_failed() {
                return Err(AuthError::KeyUnconfirmed(self.keys.unavailable()));
            }
        }
        let claims = verified.map_err(|error| error.reason)?.claims(&self.settings, self.clock.now())?;
        check_confirmation(&claims, certificate)?;
        let principal = Principal::from_claims(&claims, &self.settings.access)?;
        let due = (age == Age::Due).then_some(DueSet { keys: &self.keys, token, set });
        Ok(Authentication { principal, due })
    }

    /// The set to verify with, after the fetch that a request cannot do without.
    async fn current_set(&self) -> Result<(Arc<KeySet>, Age), KeysUnavailable> {
        match self.keys.set() {
            Some((set, age @ (Age::Fresh | Age::Due))) => return Ok((set, age)),
            Some((_, Age::Overdue)) | None => {}
        }
        if let Some(fetch) = self.keys.fetch() {
            fetch.done.await;
        }
        self.keys.set().ok_or_else(|| self.keys.unavailable())
    }
}

/// A token that is accepted, perhaps with a key set that is due for renewal.
pub struct Authentication<'a> {
    /// The caller.
    pub principal: Principal,
    due: Option<DueSet<'a>>,
}

/// The key set that verified a token, and is due for renewal.
struct DueSet<'a> {
    keys: &'a KeyCache,
    token: Unverified<'a>,
    set: Arc<KeySet>,
}

impl Authentication<'_> {
    /// Runs `read`, and beside it the fetch of a key set that is due. Fails if the token does not hold under the set that
    /// was fetched. The request that starts the fetch waits for it [`GRACE`] longer than for the read.
    pub async fn beside<T>(self, read: impl Future<Output = T>) -> Result<T, TokenError> {
        let Some(DueSet { keys, token, set }) = self.due else { return Ok(read.await) };
        let output = match keys.fetch() {
            None => read.await,
            Some(fetch) => match select(pin!(read), fetch.done).await {
                Either::Left((output, fetch_done)) if fetch.is_new => {
                    // The fetch is kept, and goes on with the next request.
                    let _ = tokio::time::timeout(GRACE, fetch_done).await;
                    output
                }
                Either::Left((output, fetch_done)) => {
                    fetch_done.now_or_never();
                    output
                }
                Either::Right(((), read)) => read.await,
            },
        };
        match keys.newer_than(&set) {
            Some(newer) => token.verify(&newer).map(|_| output).map_err(|error| error.reason),
            None => Ok(output),
        }
    }
}
