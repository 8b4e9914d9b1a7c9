//! Issuers' keys of every kind, and the tokens that they sign.

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

/// The bytes of a PKCS #8 document in front of the RSA key itself (PKCS #1).
const PKCS8_PREFIX_BYTES: usize = 26;

/// A key that signs.
#[derive(Clone)]
pub struct Signer {
    /// What it signs by.
    pub algorithm: Algorithm,
    /// Its name.
    pub kid: String,
    key: EncodingKey,
    jwk: Value,
    rsa: Option<Arc<RsaKeyPair>>,
}

impl Signer {
    fn new(algorithm: Algorithm, kid: &str, key: EncodingKey) -> Self {
        let mut jwk = json!(Jwk::from_encoding_key(&key, algorithm).expect("every key has a JWK"));
        jwk["kid"] = kid.into();
        Self { algorithm, kid: kid.to_owned(), key, jwk, rsa: None }
    }

    /// A new Ed25519 key.
    pub fn ed25519(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().expect("AWS-LC makes keys");
        let pair: Pkcs8V1Der<'_> = pair.as_der().expect("a key has a DER form");
        Self::new(Algorithm::EdDSA, kid, EncodingKey::from_ed_der(pair.as_ref()))
    }

    /// A new key for ES256.
    pub fn p256(kid: &str) -> Self {
        Self::ecdsa(Algorithm::ES256, &ECDSA_P256_SHA256_FIXED_SIGNING, kid)
    }

    /// A new key for ES384.
    pub fn p384(kid: &str) -> Self {
        Self::ecdsa(Algorithm::ES384, &ECDSA_P384_SHA384_FIXED_SIGNING, kid)
    }

    fn ecdsa(algorithm: Algorithm, signing: &'static EcdsaSigningAlgorithm, kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(signing).and_then(|pair| pair.to_pkcs8v1());
        Self::new(algorithm, kid, EncodingKey::from_ec_der(pair.expect("AWS-LC makes keys").as_ref()))
    }

    /// A new RSA key of 2048 bits for RS256, as Cognito, Auth0, Entra and Keycloak have them by default.
    pub fn rsa(kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("AWS-LC makes keys");
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().expect("a key has a DER form");
        let key = EncodingKey::from_rsa_der(&pkcs8.as_ref()[PKCS8_PREFIX_BYTES..]);
        Self { rsa: Some(Arc::new(pair)), ..Self::new(Algorithm::RS256, kid, key) }
    }

    /// A secret.
    pub fn hmac(algorithm: &str, kid: &str, secret: &[u8]) -> Self {
        Self::new(algorithm.parse().expect("an algorithm"), kid, EncodingKey::from_secret(secret))
    }

    /// The same key, signing by another algorithm.
    #[must_use]
    pub fn with(&self, algorithm: &str) -> Self {
        Self { algorithm: algorithm.parse().expect("an algorithm"), ..self.clone() }
    }

    /// The public half of an RSA key as in PKCS #1, and as a `SubjectPublicKeyInfo`.
    pub fn public_rsa_ders(&self) -> [Vec<u8>; 2] {
        let public = self.rsa.as_ref().expect("an RSA key").public_key();
        let spki: PublicKeyX509Der<'_> = public.as_der().expect("a key has a DER form");
        [public.as_ref().to_vec(), spki.as_ref().to_vec()]
    }

    /// The public half (of a secret, all of it).
    pub fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    /// A signature over any header and payload.
    pub fn sign(&self, header: &str, payload: &[u8]) -> String {
        let base64 = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let message = format!("{}.{}", base64(header.as_bytes()), base64(payload));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm);
        format!("{message}.{}", signature.expect("a key that fits its algorithm"))
    }

    /// A token of these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), claims.to_string().as_bytes())
    }

    /// The header of such a token.
    pub fn header(&self) -> Value {
        json!({"alg": format!("{:?}", self.algorithm), "typ": "JWT", "kid": self.kid})
    }
}

/// The JWK Set of these keys.
pub fn jwks(keys: impl IntoIterator<Item = Value>) -> String {
    json!({"keys": keys.into_iter().collect::<Vec<_>>()}).to_string()
}
