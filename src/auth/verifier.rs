//! Verifying a request's bearer token.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_smithy_async::time::SharedTimeSource;
use futures_util::FutureExt as _;
use futures_util::future::{Either, join_all, select};
use http::HeaderMap;

use super::access::Principal;
use super::certificate::{ClientCertificate, check_confirmation};
use super::error::{AuthError, KeysUnavailable, TokenError};
use super::issuer::{Issuer, Issuers};
use super::key_cache::{Age, KeyCache};
use super::key_set::KeySet;
use super::key_source::Https;
use super::token::{Segments, Unverified, bearer};

/// How much longer than for the read a response waits for the fetch of a key set that is due.
const GRACE: Duration = Duration::from_millis(300);

/// Verifies bearer tokens.
pub struct Verifier {
    trusted: Trusted,
    clock: SharedTimeSource,
}

/// The issuers whose tokens are accepted, each with its keys.
enum Trusted {
    One(Box<IssuerKeys>),
    Several(Vec<IssuerKeys>),
}

impl Trusted {
    fn all(&self) -> &[IssuerKeys] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

struct IssuerKeys {
    issuer: Issuer,
    keys: KeyCache,
}

impl Verifier {
    /// Makes a verifier, without any I/O.
    ///
    /// `https` fetches keys at a URL. `aws` is for keys in Secrets Manager, and its time source is the verifier's clock.
    #[must_use]
    pub fn new(issuers: impl Into<Issuers>, https: &Https, aws: &SdkConfig) -> Self {
        let clock = aws.time_source().unwrap_or_default();
        let with_keys = |issuer: Issuer| {
            let origin = issuer.keys.open(https.clone(), aws);
            let keys = KeyCache::new(origin, issuer.algorithms.clone(), clock.clone());
            IssuerKeys { issuer, keys }
        };
        let trusted = match issuers.into() {
            Issuers::One(issuer) => {
                if issuer.iss.is_none() {
                    tracing::warn!("the issuer of tokens is not checked (JWT_ISSUER=*)");
                }
                if issuer.audiences.is_none() {
                    tracing::warn!("the audience of tokens is not checked (JWT_AUDIENCE=*)");
                }
                Trusted::One(Box::new(with_keys(*issuer)))
            }
            Issuers::Several(issuers) => Trusted::Several(issuers.into_iter().map(with_keys).collect()),
        };
        Self { trusted, clock }
    }

    /// The issuer of the tokens that are accepted; `None` if there are several, or any is accepted.
    pub(crate) fn issuer(&self) -> Option<&str> {
        let Trusted::One(one) = &self.trusted else { return None };
        one.issuer.iss.as_deref()
    }

    /// Fetches the keys of all issuers that are not cached, side by side, so that the first request need not wait for
    /// them. Fails if those of one issuer are unavailable.
    pub async fn load_keys(&self) -> Result<(), KeysUnavailable> {
        let loaded = join_all(self.trusted.all().iter().map(|known| current_set(&known.keys))).await;
        loaded.into_iter().try_for_each(|set| set.map(|_| ()))
    }

    /// The principal whose token a request carries, with the client certificate that the gateway reports.
    pub async fn authenticate<'a>(
        &'a self,
        headers: &'a HeaderMap,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Authentication<'a>, AuthError> {
        let segments = Segments::parse(bearer(headers)?)?;
        let IssuerKeys { issuer, keys } = self.issuer_of(&segments)?;
        let token = Unverified::of(segments, &issuer.algorithms)?;
        let (mut set, mut age) = current_set(keys).await?;
        let mut verified = token.verify(&set);
        if let Err(error) = verified
            && (error.refresh_may_help || age != Age::Fresh)
        {
            if let Some(fetch) = keys.fetch() {
                fetch.done.await;
            }
            if let Some(newer) = keys.newer_than(&set) {
                (set, age) = (newer, Age::Fresh);
                verified = token.verify(&set);
            } else if error.reason == TokenError::KeyUnknown && keys.last_fetch_failed() {
                return Err(AuthError::KeyUnconfirmed(keys.unavailable()));
            }
        }
        let claims = verified.map_err(|error| error.reason)?.claims(issuer, self.clock.now())?;
        check_confirmation(&claims, certificate)?;
        let principal = Principal::from_claims(&claims, &issuer.access)?;
        let due = (age == Age::Due).then_some(DueSet { keys, token, set });
        Ok(Authentication { principal, due })
    }

    /// The issuer by whose rules alone a token is verified: of several, the one that the token claims to come from.
    fn issuer_of(&self, segments: &Segments<'_>) -> Result<&IssuerKeys, TokenError> {
        match &self.trusted {
            Trusted::One(one) => Ok(one),
            Trusted::Several(several) => {
                let claimed = segments.claimed_issuer()?;
                several.iter().find(|known| known.issuer.iss == claimed).ok_or(TokenError::IssuerWrong)
            }
        }
    }
}

/// The set to verify with, after the fetch that a request cannot do without.
async fn current_set(keys: &KeyCache) -> Result<(Arc<KeySet>, Age), KeysUnavailable> {
    match keys.set() {
        Some((set, age @ (Age::Fresh | Age::Due))) => return Ok((set, age)),
        Some((_, Age::Overdue)) | None => {}
    }
    if let Some(fetch) = keys.fetch() {
        fetch.done.await;
    }
    keys.set().ok_or_else(|| keys.unavailable())
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
