//! The keys that verify tokens: importing them from a JWK Set, and selecting one for a token.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use table::json::Object;
use thiserror::Error;

use super::error::TokenError;
use super::hmac_secret::is_public_key;
use super::strict_json;

/// More keys than any provider publishes. A larger set is rejected before the work of importing it.
const MAX_KEYS: usize = 100;

/// The public half of the key that signs the tokens of `make run`, whose private half everyone can read.
const DEVELOPMENT_KEY: &str = "wt8jmBDcJCF-wl6K5NWPxAUVbgjq0q1UHdlzQB9U_94";

/// Lenient, because keys come from a trusted source and some providers pad them. Only tokens must be unpadded.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The signature algorithms that tokens may use, in the configured order: an allow-list, never the token's own choice
/// (RFC 8725 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithms(Vec<Algorithm>);

impl Algorithms {
    /// Parses names of RFC 7518 §3.1 or RFC 8037 §3.1: at least one, each at most once.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut algorithms = Vec::new();
        for name in names {
            let algorithm = name.parse().ok()?;
            if algorithms.contains(&algorithm) {
                return None;
            }
            algorithms.push(algorithm);
        }
        (!algorithms.is_empty()).then_some(Self(algorithms))
    }

    /// Whether an HMAC algorithm is among them.
    pub(crate) fn contain_hmac(&self) -> bool {
        self.first_of(AlgorithmFamily::Hmac).is_some()
    }

    pub(super) fn named(&self, name: &str) -> Option<Algorithm> {
        name.parse().ok().filter(|algorithm| self.0.contains(algorithm))
    }

    fn first_of(&self, family: AlgorithmFamily) -> Option<Algorithm> {
        self.0.iter().copied().find(|algorithm| algorithm.family() == family)
    }
}

/// Whether a set is secret, which decides whether its symmetric keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyTrust {
    /// Published by the issuer: a symmetric key in it is known to everyone.
    Public,
    /// From this service's own configuration or secret.
    Private,
}

/// The usable keys of a JWK Set.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

/// A key, bound to the one algorithm that it verifies (RFC 8725 §3.1).
#[derive(Debug)]
pub(super) struct Key {
    name: Name,
    algorithm: Algorithm,
    material: DecodingKey,
    everyone_can_sign: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Name {
    /// The JWK's `kid`.
    Kid(String),
    /// A JWK without `kid`: for tokens without one.
    None,
    /// A bare secret, which cannot carry a `kid`: for any token.
    Any,
}

/// Why a key set is rejected. The message quotes nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SetError {
    /// Not JSON, or not an object with a list of keys.
    #[error("not a JWK Set (RFC 7517 §5)")]
    Malformed,
    /// More keys than any provider publishes.
    #[error("more than {MAX_KEYS} keys")]
    TooMany,
    /// A set without keys.
    #[error("no keys")]
    Empty,
    /// Every key was skipped, for these reasons.
    #[error("no usable key ({0})")]
    NoneUsable(String),
    /// A secret that is JSON, but neither a JWK Set nor a JWK.
    #[error("JSON, but neither a JWK Set nor a JWK")]
    NotAKey,
}

/// The key selected for a token.
#[derive(Debug)]
pub(super) struct SelectedKey<'a> {
    key: &'a Key,
    /// Whether the token names it. A key that is not named may have been replaced since the set was fetched.
    pub(super) named: bool,
}

impl SelectedKey<'_> {
    /// Whether `signature` (base64url) signs `message`. It does not if the library rejects the key or the signature.
    pub(super) fn verifies(&self, message: &str, signature: &str) -> bool {
        let Key { algorithm, material, .. } = self.key;
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), material, *algorithm).unwrap_or(false)
    }
}

#[derive(Deserialize)]
struct RawSet<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

impl KeySet {
    /// Imports a JWK Set key by key. Unusable keys are skipped (RFC 7517 §5) and counted in the log; a set with no usable
    /// key is an error.
    pub(super) fn from_jwks(text: &[u8], algorithms: &Algorithms, trust: KeyTrust) -> Result<Self, SetError> {
        let Object(RawSet { keys }) = serde_json::from_slice(text).map_err(|_| SetError::Malformed)?;
        if keys.len() > MAX_KEYS {
            return Err(SetError::TooMany);
        }
        Self::of(keys.iter().map(|key| Key::from_jwk(key.get().as_bytes(), algorithms, trust)))
    }

    /// Reads a secret: a JWK Set, one JWK, or a bare HMAC secret.
    ///
    /// A secret that begins with `{` must be one of the first two: Secrets Manager's console stores key-value pairs as
    /// such an object, whose text signs no tokens. One line end after a bare secret is not part of it: editors and `echo`
    /// append it.
    pub(super) fn from_secret(secret: &[u8], algorithms: &Algorithms) -> Result<Self, SetError> {
        if secret.trim_ascii_start().starts_with(b"{") {
            let object = strict_json::object(secret).ok_or(SetError::NotAKey)?;
            return match (object.get("keys"), object.get("kty")) {
                (Some(_), _) => Self::from_jwks(secret, algorithms, KeyTrust::Private),
                (None, Some(_)) => Self::of([Key::from_jwk(secret, algorithms, KeyTrust::Private)]),
                (None, None) => Err(SetError::NotAKey),
            };
        }
        let bare = secret.strip_suffix(b"\n").map_or(secret, |line| line.strip_suffix(b"\r").unwrap_or(line));
        Self::of([Key::from_bare_secret(bare, algorithms)])
    }

    fn of(imported: impl IntoIterator<Item = Result<Key, JwkError>>) -> Result<Self, SetError> {
        let mut keys = Vec::new();
        let mut skipped = Vec::new();
        for key in imported {
            match key {
                Ok(key) => keys.push(key),
                Err(reason) => skipped.push(reason.to_string()),
            }
        }
        if keys.iter().any(|key| key.everyone_can_sign) {
            tracing::error!(
                "the keys include the development key of the source code: everyone can sign tokens"
            );
        }
        let reasons = skipped.join(", ");
        if keys.is_empty() {
            return Err(if skipped.is_empty() { SetError::Empty } else { SetError::NoneUsable(reasons) });
        }
        if !skipped.is_empty() {
            tracing::info!(skipped = skipped.len(), used = keys.len(), reasons, "keys were skipped");
        }
        Ok(Self(keys))
    }

    /// The key for a token with this algorithm and `kid`: with a `kid` the key of that name, without one the only key of
    /// that algorithm. If two fit, neither is selected: nothing says which one the issuer meant.
    pub(super) fn select(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> Result<SelectedKey<'_>, TokenError> {
        let has_name = |key: &&Key| match (&key.name, kid) {
            (Name::Kid(name), Some(kid)) => name == kid,
            (Name::None, Some(_)) => false,
            (_, None) | (Name::Any, _) => true,
        };
        let mut matching = self.0.iter().filter(has_name).filter(|key| key.algorithm == algorithm);
        match (matching.next(), matching.next()) {
            (Some(key), None) => Ok(SelectedKey { key, named: kid.is_some() && key.name != Name::Any }),
            (Some(_), Some(_)) => Err(TokenError::KeyAmbiguous),
            (None, _) if kid.is_some() && self.0.iter().any(|key| has_name(&key)) => {
                Err(TokenError::AlgorithmRefused)
            }
            // A newer set may have it.
            (None, _) => Err(TokenError::KeyUnknown),
        }
    }
}

/// Why a key is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum JwkError {
    #[error("malformed")]
    Malformed,
    #[error("unsupported_kty")]
    Type,
    #[error("unsupported_crv")]
    Curve,
    #[error("use_not_sig")]
    Use,
    #[error("key_ops_without_verify")]
    Operations,
    #[error("alg_not_allowed")]
    Algorithm,
    #[error("alg_does_not_fit_key")]
    AlgorithmMismatch,
    #[error("private_key")]
    PrivateKey,
    #[error("symmetric_key_in_public_set")]
    PublicSecret,
    #[error("an RSA key must have 2048 to 8192 bits, and an exponent of 2 to 32 bits")]
    RsaSize,
    #[error("a coordinate has another length than the curve's")]
    CoordinateSize,
    #[error("an Ed25519 key of small order verifies anything")]
    SmallOrder,
    #[error("an HMAC secret must have at least {0} bytes")]
    SecretSize(usize),
    #[error("a public key or a certificate cannot be an HMAC secret, because everyone knows it")]
    PublicKeyAsSecret,
}

impl Key {
    fn from_jwk(text: &[u8], algorithms: &Algorithms, trust: KeyTrust) -> Result<Self, JwkError> {
        let jwk = strict_json::object(text).ok_or(JwkError::Malformed)?;
        // Before any other reason: who holds a private key must hear of it.
        if jwk["kty"] != "oct" && jwk.get("d").is_some() {
            return Err(JwkError::PrivateKey);
        }
        if member(&jwk, "use")?.is_some_and(|purpose| purpose != "sig") {
            return Err(JwkError::Use);
        }
        match jwk.get("key_ops") {
            None => {}
            Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => {}
            Some(_) => return Err(JwkError::Operations),
        }
        let name = member(&jwk, "kid")?.map_or(Name::None, |kid| Name::Kid(kid.to_owned()));
        // A curve has one algorithm (RFC 7518 §3.4, RFC 8037 §3.1). An RSA or symmetric key without `alg` is bound to the
        // first configured algorithm of its family.
        let (family, of_curve) = match (required(&jwk, "kty")?, jwk.get("crv").and_then(Value::as_str)) {
            ("RSA", _) => (AlgorithmFamily::Rsa, None),
            ("oct", _) => (AlgorithmFamily::Hmac, None),
            ("EC", Some("P-256")) => (AlgorithmFamily::Ec, Some(Algorithm::ES256)),
            ("EC", Some("P-384")) => (AlgorithmFamily::Ec, Some(Algorithm::ES384)),
            ("OKP", Some("Ed25519")) => (AlgorithmFamily::Ed, Some(Algorithm::EdDSA)),
            ("EC" | "OKP", Some(_)) => return Err(JwkError::Curve),
            ("EC" | "OKP", None) => return Err(JwkError::Malformed),
            _ => return Err(JwkError::Type),
        };
        let algorithm = match member(&jwk, "alg")? {
            Some(alg) => algorithms.named(alg),
            None => of_curve.or_else(|| algorithms.first_of(family)).filter(|one| algorithms.0.contains(one)),
        }
        .ok_or(JwkError::Algorithm)?;
        if algorithm.family() != family || of_curve.is_some_and(|only| only != algorithm) {
            return Err(JwkError::AlgorithmMismatch);
        }
        let material = match family {
            AlgorithmFamily::Rsa => rsa(&jwk)?,
            AlgorithmFamily::Ec => ec(&jwk, algorithm)?,
            AlgorithmFamily::Ed => ed(&jwk)?,
            AlgorithmFamily::Hmac if trust == KeyTrust::Public => return Err(JwkError::PublicSecret),
            AlgorithmFamily::Hmac => hmac(&octets(&jwk, "k")?, algorithm)?,
        };
        let everyone_can_sign = jwk.get("x").is_some_and(|x| x == DEVELOPMENT_KEY);
        Ok(Self { name, algorithm, material, everyone_can_sign })
    }

    fn from_bare_secret(secret: &[u8], algorithms: &Algorithms) -> Result<Self, JwkError> {
        let algorithm = algorithms.first_of(AlgorithmFamily::Hmac).ok_or(JwkError::Algorithm)?;
        let material = hmac(secret, algorithm)?;
        Ok(Self { name: Name::Any, algorithm, material, everyone_can_sign: false })
    }
}

/// A member that must be a string if it is present.
fn member<'a>(jwk: &'a Value, name: &str) -> Result<Option<&'a str>, JwkError> {
    jwk.get(name).map(|value| value.as_str().ok_or(JwkError::Malformed)).transpose()
}

fn required<'a>(jwk: &'a Value, name: &str) -> Result<&'a str, JwkError> {
    member(jwk, name)?.ok_or(JwkError::Malformed)
}

fn octets(jwk: &Value, name: &str) -> Result<Vec<u8>, JwkError> {
    BASE64URL.decode(required(jwk, name)?).map_err(|_| JwkError::Malformed)
}

/// A number without leading zero octets, which RFC 7518 §2 forbids but some providers write.
fn integer(jwk: &Value, name: &str) -> Result<Vec<u8>, JwkError> {
    let octets = octets(jwk, name)?;
    let zeros = octets.iter().take_while(|&&octet| octet == 0).count();
    Ok(octets.get(zeros..).unwrap_or_default().to_vec())
}

/// At least 2048 bits (RFC 7518 §3.3). At most 8192, with an exponent of at most 32 bits, because they determine the cost
/// of verifying. Both numbers must be odd, and the exponent greater than 1, which makes every message its own signature.
fn rsa(jwk: &Value) -> Result<DecodingKey, JwkError> {
    let (modulus, exponent) = (integer(jwk, "n")?, integer(jwk, "e")?);
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    let bits =
        |number: &[u8]| number.len() * 8 - number.first().map_or(0, |first| first.leading_zeros() as usize);
    if !is_odd(&modulus) || !is_odd(&exponent) {
        return Err(JwkError::Malformed);
    }
    if !(2048..=8192).contains(&bits(&modulus)) || !(2..=32).contains(&bits(&exponent)) {
        return Err(JwkError::RsaSize);
    }
    Ok(DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}

/// Coordinates have the full size of the curve's field (RFC 7518 §6.2.1.2). Whether they name a point of the curve is
/// checked at each use: with a point off the curve no signature verifies.
fn ec(jwk: &Value, algorithm: Algorithm) -> Result<DecodingKey, JwkError> {
    let size = if algorithm == Algorithm::ES384 { 48 } else { 32 };
    let (x, y) = (octets(jwk, "x")?, octets(jwk, "y")?);
    if x.len() != size || y.len() != size {
        return Err(JwkError::CoordinateSize);
    }
    // The library expects an uncompressed point (SEC 1 §2.3.3) here.
    Ok(DecodingKey::from_ec_der(&[&[4], &x[..], &y[..]].concat()))
}

fn ed(jwk: &Value) -> Result<DecodingKey, JwkError> {
    let x: [u8; 32] = octets(jwk, "x")?.try_into().map_err(|_| JwkError::CoordinateSize)?;
    if has_small_order(x) { Err(JwkError::SmallOrder) } else { Ok(DecodingKey::from_ed_der(&x)) }
}

/// Whether an encoded point of edwards25519 (RFC 8032 §5.1.2) has an order of at most 8, in any of its encodings. Anyone can
/// make a signature that such a key verifies.
fn has_small_order(mut point: [u8; 32]) -> bool {
    /// The points of order 8, without the sign of their x.
    const ORDER_8: [&str; 2] = [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ];
    point[31] &= 0x7f;
    let [first, middle @ .., last] = point;
    // y is 0 or 1, or else -1, or 0 or 1 with the prime added (RFC 7748 §4.1).
    let is_small = first <= 1 && last == 0 && middle.iter().all(|&byte| byte == 0);
    let is_large = (0xec..=0xee).contains(&first) && last == 0x7f && middle.iter().all(|&byte| byte == 0xff);
    is_small || is_large || ORDER_8.contains(&hex::encode(point).as_str())
}

/// At least as long as the hash (RFC 7518 §3.2), and no public key.
fn hmac(secret: &[u8], algorithm: Algorithm) -> Result<DecodingKey, JwkError> {
    let hash = match algorithm {
        Algorithm::HS512 => 64,
        Algorithm::HS384 => 48,
        _ => 32,
    };
    if is_public_key(secret) {
        return Err(JwkError::PublicKeyAsSecret);
    }
    if secret.len() < hash { Err(JwkError::SecretSize(hash)) } else { Ok(DecodingKey::from_secret(secret)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EVERY: &str = "RS256,PS256,ES256,ES384,EdDSA,HS256,HS384,HS512";

    fn algorithms(list: &str) -> Algorithms {
        Algorithms::of(list.split(',')).unwrap()
    }

    fn octets(length: usize) -> String {
        BASE64URL.encode(vec![0xff; length])
    }

    fn rsa_key() -> Value {
        json!({"kty": "RSA", "n": octets(256), "e": "AQAB"})
    }

    fn ec_key() -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": octets(32), "y": octets(32)})
    }

    fn ed_key() -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": octets(32)})
    }

    fn oct_key() -> Value {
        json!({"kty": "oct", "k": octets(64)})
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    fn without(mut key: Value, name: &str) -> Value {
        key.as_object_mut().unwrap().remove(name);
        key
    }

    fn import(key: &Value, list: &str, trust: KeyTrust) -> Result<Algorithm, JwkError> {
        Key::from_jwk(key.to_string().as_bytes(), &algorithms(list), trust).map(|key| key.algorithm)
    }

    #[test]
    fn a_set_has_at_most_a_hundred_keys() {
        let import = |keys: usize| {
            let set = json!({ "keys": vec![ec_key(); keys] }).to_string();
            KeySet::from_jwks(set.as_bytes(), &algorithms(EVERY), KeyTrust::Public)
        };
        assert!(import(MAX_KEYS).is_ok());
        assert!(matches!(import(MAX_KEYS + 1), Err(SetError::TooMany)));
    }

    #[test]
    fn a_key_is_bound_to_the_algorithm_that_it_names() {
        for (key, alg) in [
            (rsa_key(), "RS256"),
            (rsa_key(), "PS256"),
            (ec_key(), "ES256"),
            (ed_key(), "EdDSA"),
            (oct_key(), "HS512"),
        ] {
            assert_eq!(
                import(&with(key, "alg", json!(alg)), EVERY, KeyTrust::Private),
                Ok(alg.parse().unwrap())
            );
        }
    }

    #[test]
    fn a_key_without_alg_is_bound_by_its_curve_or_the_first_configured_algorithm_of_its_family() {
        for (key, list, expected) in [
            (rsa_key(), "ES256,PS256,RS256", Ok(Algorithm::PS256)),
            (rsa_key(), "RS256,PS256", Ok(Algorithm::RS256)),
            (rsa_key(), "ES256", Err(JwkError::Algorithm)),
            (ec_key(), "ES384,ES256", Ok(Algorithm::ES256)),
            (ec_key(), "ES384", Err(JwkError::Algorithm)),
            (ed_key(), EVERY, Ok(Algorithm::EdDSA)),
            (ed_key(), "ES256", Err(JwkError::Algorithm)),
            (oct_key(), "RS256,HS384,HS256", Ok(Algorithm::HS384)),
            (oct_key(), "RS256", Err(JwkError::Algorithm)),
        ] {
            assert_eq!(import(&key, list, KeyTrust::Private), expected, "{key} {list}");
        }
    }

    #[test]
    fn a_key_for_verifying_or_without_a_purpose_is_used() {
        for key in [
            with(ec_key(), "use", json!("sig")),
            with(ec_key(), "key_ops", json!(["verify"])),
            with(ec_key(), "key_ops", json!(["sign", "verify"])),
            with(with(ec_key(), "use", json!("sig")), "key_ops", json!(["verify"])),
        ] {
            assert_eq!(import(&key, EVERY, KeyTrust::Public), Ok(Algorithm::ES256), "{key}");
        }
    }

    #[test]
    fn an_unusable_key_is_skipped_for_a_reason() {
        for (key, error) in [
            (with(ec_key(), "use", json!("enc")), JwkError::Use),
            (with(ec_key(), "use", json!("SIG")), JwkError::Use),
            (with(ec_key(), "use", json!(["sig"])), JwkError::Malformed),
            (with(ec_key(), "use", json!(null)), JwkError::Malformed),
            (with(ec_key(), "key_ops", json!(["sign"])), JwkError::Operations),
            (with(ec_key(), "key_ops", json!([])), JwkError::Operations),
            (with(ec_key(), "key_ops", json!("verify")), JwkError::Operations),
            (with(ec_key(), "key_ops", json!(null)), JwkError::Operations),
            (with(ec_key(), "kid", json!(5)), JwkError::Malformed),
            (with(ec_key(), "alg", json!(256)), JwkError::Malformed),
            (with(ec_key(), "alg", json!("ES512")), JwkError::Algorithm),
            (with(ec_key(), "alg", json!("none")), JwkError::Algorithm),
            (with(ec_key(), "alg", json!("ES384")), JwkError::AlgorithmMismatch),
            (with(ec_key(), "alg", json!("RS256")), JwkError::AlgorithmMismatch),
            (with(ec_key(), "alg", json!("HS256")), JwkError::AlgorithmMismatch),
            (with(ec_key(), "crv", json!("P-521")), JwkError::Curve),
            (with(ec_key(), "crv", json!("Ed25519")), JwkError::Curve),
            (with(ec_key(), "crv", json!("P-384")), JwkError::CoordinateSize),
            (without(ec_key(), "crv"), JwkError::Malformed),
            (without(ec_key(), "y"), JwkError::Malformed),
            (with(ec_key(), "x", json!(octets(31))), JwkError::CoordinateSize),
            (with(ec_key(), "y", json!(octets(33))), JwkError::CoordinateSize),
            (with(ec_key(), "x", json!("*")), JwkError::Malformed),
            (with(ec_key(), "d", json!(octets(32))), JwkError::PrivateKey),
            (with(rsa_key(), "d", json!(octets(256))), JwkError::PrivateKey),
            (with(ed_key(), "d", json!(octets(32))), JwkError::PrivateKey),
            (with(with(ec_key(), "crv", json!("P-521")), "d", json!(octets(66))), JwkError::PrivateKey),
            (with(with(ec_key(), "key_ops", json!(["sign"])), "d", json!(octets(32))), JwkError::PrivateKey),
            (with(ed_key(), "crv", json!("P-256")), JwkError::Curve),
            (with(ed_key(), "crv", json!("X25519")), JwkError::Curve),
            (with(ed_key(), "x", json!(octets(57))), JwkError::CoordinateSize),
            (with(ed_key(), "alg", json!("Ed25519")), JwkError::Algorithm),
            (with(ed_key(), "alg", json!("ES256")), JwkError::AlgorithmMismatch),
            (with(rsa_key(), "n", json!(octets(255))), JwkError::RsaSize),
            (with(rsa_key(), "n", json!(octets(1025))), JwkError::RsaSize),
            (
                with(rsa_key(), "n", json!(BASE64URL.encode([&[0x7f][..], &[0xff; 255]].concat()))),
                JwkError::RsaSize,
            ),
            (
                with(rsa_key(), "n", json!(BASE64URL.encode([&[0xff; 255][..], &[0xfe]].concat()))),
                JwkError::Malformed,
            ),
            (with(rsa_key(), "n", json!("")), JwkError::Malformed),
            (with(rsa_key(), "e", json!("AQ")), JwkError::RsaSize),
            (with(rsa_key(), "e", json!("AA")), JwkError::Malformed),
            (with(rsa_key(), "e", json!("Ag")), JwkError::Malformed),
            (with(rsa_key(), "e", json!("")), JwkError::Malformed),
            (with(rsa_key(), "e", json!(octets(5))), JwkError::RsaSize),
            (with(rsa_key(), "e", json!(65537)), JwkError::Malformed),
            (without(rsa_key(), "e"), JwkError::Malformed),
            (with(rsa_key(), "alg", json!("ES256")), JwkError::AlgorithmMismatch),
            (with(rsa_key(), "alg", json!("HS256")), JwkError::AlgorithmMismatch),
            (with(rsa_key(), "kty", json!("rsa")), JwkError::Type),
            (with(rsa_key(), "kty", json!("oct")), JwkError::PublicSecret),
            (without(rsa_key(), "kty"), JwkError::Malformed),
            (oct_key(), JwkError::PublicSecret),
            (with(oct_key(), "alg", json!("RS256")), JwkError::AlgorithmMismatch),
            (json!({}), JwkError::Malformed),
            (json!([]), JwkError::Malformed),
            (json!("kty"), JwkError::Malformed),
            (json!(null), JwkError::Malformed),
        ] {
            assert_eq!(import(&key, EVERY, KeyTrust::Public), Err(error), "{key}");
        }
    }

    #[test]
    fn a_key_with_a_repeated_member_is_skipped() {
        let repeated = format!(r#"{{"kty":"oct","kty":"OKP","crv":"Ed25519","x":"{}"}}"#, octets(32));
        let imported = Key::from_jwk(repeated.as_bytes(), &algorithms(EVERY), KeyTrust::Private);
        assert_eq!(imported.err(), Some(JwkError::Malformed));
    }

    #[test]
    fn an_hmac_key_is_at_least_as_long_as_the_hash() {
        for (alg, length) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
            let key = |length| json!({"kty": "oct", "alg": alg, "k": octets(length)});
            assert!(import(&key(length), EVERY, KeyTrust::Private).is_ok(), "{alg}");
            for short in [0, 1, length - 1] {
                assert_eq!(
                    import(&key(short), EVERY, KeyTrust::Private),
                    Err(JwkError::SecretSize(length)),
                    "{alg} {short}"
                );
            }
        }
    }

    #[test]
    fn pem_is_not_an_hmac_key() {
        let pem =
            "\n-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n";
        let key = json!({"kty": "oct", "k": BASE64URL.encode(pem)});
        assert_eq!(import(&key, EVERY, KeyTrust::Private), Err(JwkError::PublicKeyAsSecret));
    }

    #[test]
    fn the_development_key_is_known() {
        let key: Value =
            serde_json::from_str(include_str!("../../crates/local/development-key.json")).unwrap();
        assert_eq!(key["x"], DEVELOPMENT_KEY);
    }

    #[test]
    fn an_ed25519_key_of_small_order_is_skipped() {
        let point = |first: u8, middle: u8, last: u8| [&[first][..], &[middle; 30], &[last]].concat();
        let encodings = [
            point(0, 0, 0),
            point(1, 0, 0),
            point(1, 0, 0x80),
            point(0xec, 0xff, 0x7f),
            point(0xed, 0xff, 0xff),
            point(0xee, 0xff, 0x7f),
            hex::decode("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05").unwrap(),
            hex::decode("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa").unwrap(),
        ];
        for x in encodings {
            let key = with(ed_key(), "x", json!(BASE64URL.encode(&x)));
            assert_eq!(import(&key, EVERY, KeyTrust::Public), Err(JwkError::SmallOrder), "{x:?}");
        }
        for x in [point(2, 0, 0), point(0xeb, 0xff, 0x7f), point(0xef, 0xff, 0x7f), point(0, 1, 0)] {
            let key = with(ed_key(), "x", json!(BASE64URL.encode(&x)));
            assert_eq!(import(&key, EVERY, KeyTrust::Public), Ok(Algorithm::EdDSA), "{x:?}");
        }
    }

    #[test]
    fn key_material_may_have_padding_and_leading_zeros() {
        for key in [
            with(rsa_key(), "e", json!("AAEAAQ==")),
            with(rsa_key(), "n", json!(BASE64URL.encode([&[0; 3][..], &[0xff; 256]].concat()))),
            with(rsa_key(), "n", json!(octets(1024))),
            with(rsa_key(), "e", json!("Aw")),
        ] {
            assert_eq!(import(&key, EVERY, KeyTrust::Public), Ok(Algorithm::RS256), "{key}");
        }
    }

    /// Whether the key that a set of these keys selects is named by the token.
    fn selected(keys: &[Value], algorithm: Algorithm, kid: Option<&str>) -> Result<bool, TokenError> {
        let set = json!({"keys": keys}).to_string();
        let set = KeySet::from_jwks(set.as_bytes(), &algorithms(EVERY), KeyTrust::Private).unwrap();
        set.select(algorithm, kid).map(|selected| selected.named)
    }

    #[test]
    fn a_kid_selects_the_one_key_of_that_name_and_algorithm() {
        let named = |key, kid| with(key, "kid", json!(kid));
        let keys = [named(ec_key(), "a"), named(ed_key(), "a"), named(ed_key(), "b"), ec_key()];
        assert_eq!(selected(&keys, Algorithm::ES256, Some("a")), Ok(true));
        assert_eq!(selected(&keys, Algorithm::EdDSA, Some("a")), Ok(true));
        assert_eq!(selected(&keys, Algorithm::EdDSA, Some("b")), Ok(true));
        assert_eq!(selected(&keys, Algorithm::ES256, Some("b")), Err(TokenError::AlgorithmRefused));
        assert_eq!(selected(&keys, Algorithm::ES256, Some("c")), Err(TokenError::KeyUnknown));
        assert_eq!(selected(&keys, Algorithm::ES256, Some("")), Err(TokenError::KeyUnknown));
        let same_name = [named(ec_key(), "a"), named(ec_key(), "a")];
        assert_eq!(selected(&same_name, Algorithm::ES256, Some("a")), Err(TokenError::KeyAmbiguous));
    }

    #[test]
    fn without_kid_the_only_key_of_the_algorithm_is_selected() {
        let keys = [with(ec_key(), "kid", json!("a")), ed_key(), ed_key()];
        assert_eq!(selected(&keys, Algorithm::ES256, None), Ok(false));
        assert_eq!(selected(&keys, Algorithm::EdDSA, None), Err(TokenError::KeyAmbiguous));
        assert_eq!(selected(&keys, Algorithm::RS256, None), Err(TokenError::KeyUnknown));
    }

    #[test]
    fn an_array_is_not_a_set() {
        let algorithms = algorithms("ES256");
        let set = |json: Value| KeySet::from_jwks(json.to_string().as_bytes(), &algorithms, KeyTrust::Public);
        assert!(set(json!({ "keys": [ec_key()] })).is_ok());
        assert_eq!(set(json!([[ec_key()]])).err(), Some(SetError::Malformed));
    }

    #[test]
    fn algorithms_have_exact_names() {
        let expected = Algorithms(vec![Algorithm::RS256, Algorithm::ES256]);
        assert_eq!(Algorithms::of(["RS256", "ES256"]), Some(expected));
        assert_eq!(Algorithms::of([]), None);
        assert_eq!(Algorithms::of(["RS256", "RS256"]), None);
        for name in ["", "RS256,", "rs256", " RS256", "none", "RS256 ES256", "ES512", "Ed25519"] {
            assert_eq!(Algorithms::of([name]), None, "{name:?}");
        }
    }
}
