//! Who is asking: a bearer token in, a [`Principal`] or a [`AuthError`] out.

mod access;
mod json;
mod jwk;
mod jwks;
mod token;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use http::HeaderMap;
use jsonwebtoken::{Algorithm, DecodingKey};
use thiserror::Error;

pub use self::access::{Access, AccessDenied, AllSites, ClaimPath, PatientFilter, Principal, SmartScopes};
pub use self::jwk::Algorithms;
pub use self::jwks::{FETCH_TIMEOUT, KeySource, SourceError};
use self::jwks::{Keys, RefreshOutcome};
use self::token::Unverified;

/// The rules for tokens.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `iss` that a token must have; `None` to leave it unchecked.
    pub issuer: Option<String>,
    /// The audiences of which a token must name one; `None` to leave it unchecked.
    pub audiences: Option<Vec<String>>,
    /// Where the keys come from.
    pub keys: KeySource,
    /// The algorithms that tokens may be signed with.
    pub algorithms: Algorithms,
    /// How far the issuer's clock and this one may be apart.
    pub leeway: Duration,
    /// How claims turn into access.
    pub access: Access,
}

/// Verifies bearer tokens.
pub struct Verifier {
    settings: Settings,
    keys: Keys,
    clock: Clock,
}

/// Tells the time. The wall clock, because a monotonic one stands still while Lambda freezes the environment.
type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

impl Verifier {
    /// Makes a verifier. `aws` is for the secret that may hold the keys; no I/O happens here. Fails if signatures
    /// cannot be verified in this build.
    pub fn new(settings: Settings, aws: &SdkConfig) -> Result<Self, BrokenCryptography> {
        Self::with_clock(settings, aws, SystemTime::now)
    }

    /// As [`Verifier::new`], with another clock.
    pub fn with_clock(
        settings: Settings,
        aws: &SdkConfig,
        clock: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> Result<Self, BrokenCryptography> {
        check_cryptography()?;
        if settings.issuer.is_none() {
            tracing::warn!("the issuer of tokens is not checked (JWT_ISSUER=*)");
        }
        if settings.audiences.is_none() {
            tracing::warn!("the audience of tokens is not checked (JWT_AUDIENCE=*)");
        }
        let clock: Clock = Arc::new(clock);
        let keys = Keys::new(&settings.keys, &settings.algorithms, aws, Arc::clone(&clock));
        Ok(Self { settings, keys, clock })
    }

    /// The issuer of the tokens that are accepted; `None` if any is.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.settings.issuer.as_deref()
    }

    /// Fetches the keys unless they are at hand, so that the first request need not wait for them.
    pub async fn load_keys(&self) -> Result<(), KeysUnavailable> {
        self.keys.current().await.map(|_| ())
    }

    /// The principal whose bearer token a request carries.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, AuthError> {
        let token = Unverified::parse(token::bearer(headers)?, &self.settings.algorithms)?;
        let mut keys = self.keys.current().await?;
        let mut verified = token.verify(&keys);
        if let Err(miss) = verified
            && miss.refresh_may_help
        {
            match self.keys.refresh(&keys).await {
                RefreshOutcome::Newer(newer) => {
                    keys = newer;
                    verified = token.verify(&keys);
                }
                // Whether the issuer has such a key cannot be known now, and so neither whether the token is bad.
                RefreshOutcome::Failed if miss.reason == TokenError::KeyUnknown => {
                    return Err(KeysUnavailable.into());
                }
                RefreshOutcome::Failed | RefreshOutcome::NotDue => {}
            }
        }
        let claims = verified.map_err(|miss| miss.reason)?.claims(&self.settings, (self.clock)())?;
        Ok(Principal::from_claims(&claims, &self.settings.access)?)
    }
}

/// Makes sure that signatures can be verified. `jsonwebtoken` panics at the first one when the features of its crates,
/// which any dependency may switch on, leave it without a provider or with two: so one is named here, and asked for
/// the known answer of RFC 8037 §A.4, before a request depends on it.
fn check_cryptography() -> Result<(), BrokenCryptography> {
    const KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const MESSAGE: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    const SIGNATURE: &str =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

    // An error says that a provider is there already, from an earlier verifier.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let key = DecodingKey::from_ed_components(KEY).map_err(|_| BrokenCryptography)?;
    match jsonwebtoken::crypto::verify(SIGNATURE, MESSAGE.as_bytes(), &key, Algorithm::EdDSA) {
        Ok(true) => Ok(()),
        _ => Err(BrokenCryptography),
    }
}

/// The cryptography does not give the answer that it must; the build is not fit to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("signatures cannot be verified: a known answer came out wrong")]
pub struct BrokenCryptography;

/// There is no key set to verify with, and none could be fetched. The cause is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the key set is unavailable")]
pub struct KeysUnavailable;

/// Why a request has no principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AuthError {
    /// Because of its token.
    #[error("token refused: {}", .0.code())]
    Token(TokenError),
    /// Because of this service: whether the token is good cannot be known at the moment.
    #[error(transparent)]
    KeysUnavailable(#[from] KeysUnavailable),
}

impl From<TokenError> for AuthError {
    fn from(reason: TokenError) -> Self {
        Self::Token(reason)
    }
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenError {
    /// No `Authorization` header.
    TokenMissing,
    /// Credentials of another scheme than Bearer.
    SchemeUnsupported,
    /// More than one `Authorization` header.
    AuthorizationRepeated,
    /// More than 8 KiB.
    TokenOversized,
    /// Not three segments of base64url.
    TokenMalformed,
    /// The header is no JSON object, has a member twice, or a member of a wrong type.
    HeaderMalformed,
    /// The header has `crit`, `b64` or `cty`.
    HeaderUnsupported,
    /// `typ` says that this is something else than an access token.
    TypeRefused,
    /// The algorithm is not allowed, or not the one of the key.
    AlgorithmRefused,
    /// No key has the token's `kid`; without `kid`, no key has the token's algorithm.
    KeyUnknown,
    /// More than one key would do.
    KeyAmbiguous,
    /// The signature does not hold.
    SignatureInvalid,
    /// The claims are no JSON object, or one of them appears twice.
    ClaimsMalformed,
    /// `iss` is missing, no string, or not the configured one.
    IssuerWrong,
    /// `aud` is missing, neither a string nor a list of strings, or without one of ours.
    AudienceWrong,
    /// No `exp`.
    ExpiryMissing,
    /// `exp`, `nbf` or `iat` is no number of seconds between 1970 and 9999.
    TimeMalformed,
    /// `exp` is past.
    TokenExpired,
    /// `nbf` is yet to come.
    TokenNotYetValid,
    /// `iat` is yet to come.
    IssuedInFuture,
    /// `cnf`: the token is no bearer token.
    ProofRequired,
    /// `sub` is no string.
    SubjectMalformed,
    /// `scope` or `scp` is neither a string nor a list of strings.
    ScopeMalformed,
}

impl TokenError {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::TokenMissing,
        Self::SchemeUnsupported,
        Self::AuthorizationRepeated,
        Self::TokenOversized,
        Self::TokenMalformed,
        Self::HeaderMalformed,
        Self::HeaderUnsupported,
        Self::TypeRefused,
        Self::AlgorithmRefused,
        Self::KeyUnknown,
        Self::KeyAmbiguous,
        Self::SignatureInvalid,
        Self::ClaimsMalformed,
        Self::IssuerWrong,
        Self::AudienceWrong,
        Self::ExpiryMissing,
        Self::TimeMalformed,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::IssuedInFuture,
        Self::ProofRequired,
        Self::SubjectMalformed,
        Self::ScopeMalformed,
    ];

    /// The stable word for it in the log.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.texts().0
    }

    /// What the client is told (RFC 6750 §3, `error_description`). `None` where it sent no bearer token at all: then
    /// there is no error to describe (§3.1).
    #[must_use]
    pub const fn description(self) -> Option<&'static str> {
        self.texts().1
    }

    const fn texts(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::TokenMissing => ("token_missing", None),
            Self::SchemeUnsupported => ("scheme_unsupported", None),
            Self::AuthorizationRepeated => {
                ("authorization_repeated", Some("More than one Authorization header"))
            }
            Self::TokenOversized => ("token_oversized", Some("The token is too long")),
            Self::TokenMalformed => ("token_malformed", Some("The token is malformed")),
            Self::HeaderMalformed => ("header_malformed", Some("The header of the token is malformed")),
            Self::HeaderUnsupported => {
                ("header_unsupported", Some("The header of the token is not supported"))
            }
            Self::TypeRefused => ("type_refused", Some("The token is not an access token")),
            Self::AlgorithmRefused => {
                ("algorithm_refused", Some("The algorithm of the token is not allowed"))
            }
            Self::KeyUnknown => ("key_unknown", Some("The key of the token is not known")),
            Self::KeyAmbiguous => ("key_ambiguous", Some("The token does not name its key")),
            Self::SignatureInvalid => ("signature_invalid", Some("The signature is invalid")),
            Self::ClaimsMalformed => ("claims_malformed", Some("The claims of the token are malformed")),
            Self::IssuerWrong => ("issuer_wrong", Some("The issuer of the token is not trusted")),
            Self::AudienceWrong => ("audience_wrong", Some("The token is for another audience")),
            Self::ExpiryMissing => ("expiry_missing", Some("The token does not expire")),
            Self::TimeMalformed => ("time_malformed", Some("A time in the token is malformed")),
            Self::TokenExpired => ("token_expired", Some("The token is expired")),
            Self::TokenNotYetValid => ("token_not_yet_valid", Some("The token is not valid yet")),
            Self::IssuedInFuture => ("issued_in_future", Some("The token was issued in the future")),
            Self::ProofRequired => ("proof_required", Some("The token is bound to a key")),
            Self::SubjectMalformed => ("subject_malformed", Some("The subject of the token is malformed")),
            Self::ScopeMalformed => ("scope_malformed", Some("The scope of the token is malformed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_has_a_word_of_its_own() {
        let words: HashSet<_> = TokenError::ALL.map(TokenError::code).into();
        assert_eq!(words.len(), TokenError::ALL.len());
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }

    #[test]
    fn a_description_is_missing_exactly_where_no_token_came() {
        let silent: Vec<_> =
            TokenError::ALL.into_iter().filter(|reason| reason.description().is_none()).collect();
        assert_eq!(silent, [TokenError::TokenMissing, TokenError::SchemeUnsupported]);
    }
}
