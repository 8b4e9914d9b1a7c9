//! An issuer as most are: it signs tokens with RS256 and an RSA key of 2048 bits, as Cognito, Auth0, Entra and Keycloak
//! do by default.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

/// The bytes of a PKCS #8 document in front of the RSA key itself (PKCS #1).
const PKCS8_PREFIX_BYTES: usize = 26;

/// One signing key of an issuer.
pub struct Issuer {
    kid: String,
    key: EncodingKey,
}

impl Issuer {
    /// A new key with this `kid`.
    pub fn new(kid: &str) -> Self {
        let pair =
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("AWS-LC makes RSA keys");
        let pkcs8 = pair.serialize_der();
        Self { kid: kid.to_owned(), key: EncodingKey::from_rsa_der(&pkcs8[PKCS8_PREFIX_BYTES..]) }
    }

    /// The JWK Set of these keys.
    pub fn jwks<'a>(keys: impl IntoIterator<Item = &'a Self>) -> String {
        let jwk = |issuer: &Self| {
            let jwk = Jwk::from_encoding_key(&issuer.key, Algorithm::RS256).expect("an RSA key has a JWK");
            let mut jwk = json!(jwk);
            jwk["kid"] = issuer.kid.as_str().into();
            jwk
        };
        json!({ "keys": keys.into_iter().map(jwk).collect::<Vec<_>>() }).to_string()
    }

    /// A token of these claims.
    pub fn token(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &self.key).expect("an RSA key signs")
    }
}
