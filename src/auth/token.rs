//! The compact JWS: rules for its header and claims.
//!
//! One direction: [`bearer`] → [`Unverified`] → [`Verified`] → claims. Claims are not accessible before the signature has
//! been verified.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::error::TokenError;
use super::issuer::Issuer;
use super::key_set::{Algorithms, KeySet};
use super::strict_json;

/// Longer than any real token. The cost of verifying grows with it, and the caller is not yet authenticated.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Longer than any real `kid`. A longer one must not trigger a fetch.
const MAX_KID_BYTES: usize = 256;

/// The last second of the year 9999. A later `NumericDate` is a mistake, or meant never to expire.
const MAX_NUMERIC_DATE: f64 = 253_402_300_799.0;

/// The bearer token of a request (RFC 6750 §2.1), from its only `Authorization` header.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(TokenError::TokenMissing)?;
    if values.next().is_some() {
        return Err(TokenError::AuthorizationRepeated);
    }
    let value = std::str::from_utf8(value.as_bytes()).map_err(|_| TokenError::TokenMalformed)?;
    let (scheme, credentials) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(TokenError::SchemeUnsupported);
    }
    let token = credentials.trim_start_matches(' ');
    if token.len() > MAX_TOKEN_BYTES { Err(TokenError::TokenOversized) } else { Ok(token) }
}

/// A token whose signature has not been verified.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    algorithm: Algorithm,
    kid: Option<String>,
    message: &'a str,
    signature: &'a str,
    payload: Vec<u8>,
}

/// The payload of a token whose signature is valid.
#[derive(Debug)]
pub(super) struct Verified<'a>(&'a [u8]);

/// Why a key set does not verify a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VerifyError {
    pub(super) reason: TokenError,
    /// Whether the key set may be older than the token's key.
    pub(super) refresh_may_help: bool,
}

/// The segments of a token, decoded.
pub(super) struct Segments<'a> {
    header: Vec<u8>,
    payload: Vec<u8>,
    message: &'a str,
    signature: &'a str,
}

impl<'a> Segments<'a> {
    /// Splits a token into three segments of strict base64url (RFC 7515 §7.1).
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenError> {
        let mut segments = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(TokenError::TokenMalformed);
        };
        let decoded = |segment| URL_SAFE_NO_PAD.decode(segment).map_err(|_| TokenError::TokenMalformed);
        let message = token.get(..header.len() + 1 + payload.len()).ok_or(TokenError::TokenMalformed)?;
        let (header, payload, _) = (decoded(header)?, decoded(payload)?, decoded(signature)?);
        Ok(Self { header, payload, message, signature })
    }

    /// The `iss` that the payload claims, before anything has been verified; `None` without one.
    pub(super) fn claimed_issuer(&self) -> Result<Option<String>, TokenError> {
        let claims = strict_json::object(&self.payload).ok_or(TokenError::ClaimsMalformed)?;
        match claims.get("iss") {
            None => Ok(None),
            Some(Value::String(issuer)) => Ok(Some(issuer.clone())),
            Some(_) => Err(TokenError::IssuerWrong),
        }
    }
}

impl<'a> Unverified<'a> {
    /// Reads the header, which must have no unsupported members and name one of `algorithms`.
    pub(super) fn of(segments: Segments<'a>, algorithms: &Algorithms) -> Result<Self, TokenError> {
        let (algorithm, kid) = read_header(&segments.header, algorithms)?;
        let Segments { payload, message, signature, .. } = segments;
        Ok(Self { algorithm, kid, message, signature, payload })
    }

    /// Verifies the signature with the key of `keys` that is for this token.
    pub(super) fn verify(&self, keys: &KeySet) -> Result<Verified<'_>, VerifyError> {
        let selected = keys
            .select(self.algorithm, self.kid.as_deref())
            .map_err(|reason| VerifyError { reason, refresh_may_help: reason == TokenError::KeyUnknown })?;
        if selected.verifies(self.message, self.signature) {
            Ok(Verified(&self.payload))
        } else {
            Err(VerifyError { reason: TokenError::SignatureInvalid, refresh_may_help: !selected.named })
        }
    }
}

/// The algorithm and the `kid` of a header, which must have no member that changes how the token is read. `jku`, `jwk` and
/// `x5*` are ignored: the configuration says where keys come from (RFC 8725 §3.10).
fn read_header(text: &[u8], algorithms: &Algorithms) -> Result<(Algorithm, Option<String>), TokenError> {
    let header = strict_json::object(text).ok_or(TokenError::HeaderMalformed)?;
    let text = |name| match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(TokenError::HeaderMalformed),
    };
    // RFC 7515 §4.1.11, RFC 7797 §6; `cty` announces a nested token (RFC 7519 §5.2).
    if ["crit", "b64", "cty"].iter().any(|name| header.get(name).is_some()) {
        return Err(TokenError::HeaderUnsupported);
    }
    if !text("typ")?.is_none_or(is_access_token_type) {
        return Err(TokenError::TypeRefused);
    }
    let kid = text("kid")?.map(str::to_owned);
    if kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
        return Err(TokenError::HeaderMalformed);
    }
    let algorithm = text("alg")?.ok_or(TokenError::HeaderMalformed)?;
    Ok((algorithms.named(algorithm).ok_or(TokenError::AlgorithmRefused)?, kid))
}

/// RFC 9068 §2.1, and plain `JWT` for issuers that do not follow it. Media types are case-insensitive, and `application/`
/// may be omitted (RFC 7515 §4.1.9).
fn is_access_token_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

impl Verified<'_> {
    /// The claims, if they are for this service and valid at `now`.
    pub(super) fn claims(&self, issuer: &Issuer, now: SystemTime) -> Result<Value, TokenError> {
        let claims = strict_json::object(self.0).ok_or(TokenError::ClaimsMalformed)?;
        check_issuer(&claims, issuer.iss.as_deref())?;
        check_audience(&claims, issuer.audiences.as_deref())?;
        check_times(&claims, now, issuer.leeway)?;
        check_use(&claims)?;
        match claims.get("sub") {
            None | Some(Value::String(_)) => Ok(claims),
            Some(_) => Err(TokenError::SubjectMalformed),
        }
    }
}

/// A string equal to the configured one (RFC 7519 §4.1.1), not a list that contains it. Its type is always checked.
fn check_issuer(claims: &Value, expected: Option<&str>) -> Result<(), TokenError> {
    match (claims.get("iss"), expected) {
        (Some(Value::String(issuer)), Some(expected)) if issuer == expected => Ok(()),
        (None | Some(Value::String(_)), None) => Ok(()),
        _ => Err(TokenError::IssuerWrong),
    }
}

/// A string or a list of strings that contains one of ours (RFC 7519 §4.1.3). In a token without `aud`, `client_id` takes
/// its place, as in API Gateway's own JWT authorizer: Cognito's access tokens have no `aud`.
fn check_audience(claims: &Value, expected: Option<&[String]>) -> Result<(), TokenError> {
    let named: Vec<&str> = match (claims.get("aud"), claims.get("client_id")) {
        (Some(Value::String(one)), _) | (None, Some(Value::String(one))) => vec![one],
        (Some(Value::Array(many)), _) => {
            many.iter().map(Value::as_str).collect::<Option<_>>().ok_or(TokenError::AudienceWrong)?
        }
        (None, None) => Vec::new(),
        _ => return Err(TokenError::AudienceWrong),
    };
    match expected {
        Some(expected) if !named.iter().any(|name| expected.iter().any(|ours| ours == name)) => {
            Err(TokenError::AudienceWrong)
        }
        _ => Ok(()),
    }
}

/// ID and refresh tokens are for the client and the issuer. Cognito names the use of a token in `token_use`, Keycloak in
/// the claim `typ`.
fn check_use(claims: &Value) -> Result<(), TokenError> {
    let is_access_token = claims.get("token_use").is_none_or(|token_use| token_use == "access");
    let other = ["ID", "Refresh", "Offline", "Logout"];
    let is_other = claims.get("typ").is_some_and(|typ| other.iter().any(|name| typ == name));
    if is_access_token && !is_other { Ok(()) } else { Err(TokenError::TypeRefused) }
}

/// `exp` is required; `nbf` and `iat` are checked if present (RFC 7519 §4.1.4-6).
fn check_times(claims: &Value, now: SystemTime, leeway: Duration) -> Result<(), TokenError> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let leeway = leeway.as_secs_f64();
    if numeric_date(claims, "exp")?.ok_or(TokenError::ExpiryMissing)? + leeway <= now {
        return Err(TokenError::TokenExpired);
    }
    if numeric_date(claims, "nbf")?.is_some_and(|from| from - leeway > now) {
        return Err(TokenError::TokenNotYetValid);
    }
    if numeric_date(claims, "iat")?.is_some_and(|issued| issued - leeway > now) {
        return Err(TokenError::IssuedInFuture);
    }
    Ok(())
}

/// Seconds since 1970, possibly fractional (RFC 7519 §2).
fn numeric_date(claims: &Value, name: &str) -> Result<Option<f64>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(seconds) if (0.0..=MAX_NUMERIC_DATE).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(TokenError::TimeMalformed),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_at_most_eight_kibibytes() {
        for (bytes, accepted) in [(MAX_TOKEN_BYTES, true), (MAX_TOKEN_BYTES + 1, false)] {
            let value = format!("Bearer {}", "a".repeat(bytes)).parse().unwrap();
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
            let expected = if accepted { Ok(bytes) } else { Err(TokenError::TokenOversized) };
            assert_eq!(bearer(&headers).map(str::len), expected);
        }
    }
}
