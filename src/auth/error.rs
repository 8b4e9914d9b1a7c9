//! Why a request has no principal.

use std::time::Duration;

use strum::{EnumIter, IntoStaticStr};
use thiserror::Error;

/// There is no key set to verify with, and none could be fetched. The log has the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the key set is unavailable")]
pub struct KeysUnavailable {
    /// How long the next fetch has to wait.
    pub retry_after: Duration,
}

/// Why a request has no principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AuthError {
    /// The token is rejected.
    #[error("the token is rejected")]
    Token(#[from] TokenError),
    /// There is no key set to verify the token with.
    #[error(transparent)]
    KeysUnavailable(#[from] KeysUnavailable),
    /// The key set lacks the token's key, and a newer one cannot be fetched: the issuer may have published the key since,
    /// or somebody made its name up.
    #[error("the token's key is unknown, and a newer key set cannot be fetched")]
    KeyUnconfirmed(KeysUnavailable),
}

/// Why a token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, Error, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[error("{}", self.code())]
pub enum TokenError {
    /// No `Authorization` header.
    TokenMissing,
    /// Another scheme than Bearer.
    SchemeUnsupported,
    /// More than one `Authorization` header.
    AuthorizationRepeated,
    /// More than 8 KiB.
    TokenOversized,
    /// Not three segments of base64url.
    TokenMalformed,
    /// The header is not a JSON object, repeats a member, or has a member of a wrong type.
    HeaderMalformed,
    /// The header has `crit`, `b64` or `cty`.
    HeaderUnsupported,
    /// `typ` is not an access-token type.
    TypeRefused,
    /// The algorithm is not allowed, or not that of the key.
    AlgorithmRefused,
    /// No key has the token's `kid`; without `kid`, no key has the token's algorithm.
    KeyUnknown,
    /// Several keys fit.
    KeyAmbiguous,
    /// The signature is invalid.
    SignatureInvalid,
    /// The claims are not a JSON object, or one is repeated.
    ClaimsMalformed,
    /// `iss` is missing, not a string, or not the configured one.
    IssuerWrong,
    /// `aud` is missing, neither a string nor a list of strings, or contains none of ours.
    AudienceWrong,
    /// No `exp`.
    ExpiryMissing,
    /// `exp`, `nbf` or `iat` is not a number of seconds between 1970 and 9999.
    TimeMalformed,
    /// `exp` is in the past.
    TokenExpired,
    /// `nbf` is in the future.
    TokenNotYetValid,
    /// `iat` is in the future.
    IssuedInFuture,
    /// The token is sender-constrained (`cnf`), and the proof is missing or not supported.
    ProofRequired,
    /// The token is bound to another client certificate (RFC 8705 §3).
    CertificateMismatch,
    /// `sub`, or the claim that names who reads, is not a string.
    SubjectMalformed,
    /// The claim that names who reads is required, and missing or empty.
    SubjectMissing,
    /// `scope` or `scp` is neither a string nor a list of strings, or has a character that no scope has.
    ScopeMalformed,
}

impl TokenError {
    /// The stable machine word in the log.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }

    /// The `error_description` for the client (RFC 6750 §3). `None` if the request has no bearer token: then there is no
    /// error to describe (§3.1).
    #[must_use]
    pub const fn description(self) -> Option<&'static str> {
        Some(match self {
            Self::TokenMissing | Self::SchemeUnsupported => return None,
            Self::AuthorizationRepeated => "More than one Authorization header",
            Self::TokenOversized => "The token is too long",
            Self::TokenMalformed => "The token is malformed",
            Self::HeaderMalformed => "The header of the token is malformed",
            Self::HeaderUnsupported => "The header of the token is not supported",
            Self::TypeRefused => "The token is not an access token",
            Self::AlgorithmRefused => "The algorithm of the token is not allowed",
            Self::KeyUnknown => "The key of the token is not known",
            Self::KeyAmbiguous => "The token does not name its key",
            Self::SignatureInvalid => "The signature is invalid",
            Self::ClaimsMalformed => "The claims of the token are malformed",
            Self::IssuerWrong => "The issuer of the token is not trusted",
            Self::AudienceWrong => "The token is for another audience",
            Self::ExpiryMissing => "The token does not expire",
            Self::TimeMalformed => "A time in the token is malformed",
            Self::TokenExpired => "The token is expired",
            Self::TokenNotYetValid => "The token is not valid yet",
            Self::IssuedInFuture => "The token was issued in the future",
            Self::ProofRequired => {
                "The token requires a proof of possession that is missing or not supported"
            }
            Self::CertificateMismatch => "The token is bound to another client certificate",
            Self::SubjectMalformed => "The subject of the token is malformed",
            Self::SubjectMissing => "The token does not name its subject",
            Self::ScopeMalformed => "The scope of the token is malformed",
        })
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;

    /// Dashboards and metric filters name these words.
    #[test]
    fn codes_are_stable() {
        let codes: Vec<_> = TokenError::iter().map(TokenError::code).collect();
        assert_eq!(
            codes.join(" "),
            "token_missing scheme_unsupported authorization_repeated token_oversized token_malformed header_malformed \
             header_unsupported type_refused algorithm_refused key_unknown key_ambiguous signature_invalid \
             claims_malformed issuer_wrong audience_wrong expiry_missing time_malformed token_expired \
             token_not_yet_valid issued_in_future proof_required certificate_mismatch subject_malformed \
             subject_missing scope_malformed"
        );
    }

    #[test]
    fn every_error_of_a_token_that_was_sent_has_a_description() {
        let without: Vec<_> = TokenError::iter().filter(|error| error.description().is_none()).collect();
        assert_eq!(without, [TokenError::TokenMissing, TokenError::SchemeUnsupported]);
    }
}
