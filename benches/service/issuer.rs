//! An issuer as most are: its tokens are signed with RS256 by an RSA key of 2048 bits, as Cognito, Auth0, Entra and Keycloak do
//! unless they are told otherwise.

#![expect(clippy::expect_used, reason = "a fault here is a fault of the repository, and stops the benchmark")]

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const KID: &str = "bench";

static KEY: LazyLock<EncodingKey> = LazyLock::new(|| {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("AWS-LC makes RSA keys");
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().expect("a key has a PKCS #8 form");
    // The key itself (PKCS #1) stands behind 26 bytes that say that it is an RSA key.
    EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..])
});

/// The issuer's JWK Set.
pub(crate) fn jwks() -> String {
    let mut jwk = json!(Jwk::from_encoding_key(&KEY, Algorithm::RS256).expect("an RSA key has a JWK"));
    jwk["kid"] = KID.into();
    json!({ "keys": [jwk] }).to_string()
}

/// A token of these claims.
pub(crate) fn token(claims: &Value) -> String {
    let header = Header { kid: Some(KID.to_owned()), ..Header::new(Algorithm::RS256) };
    jsonwebtoken::encode(&header, claims, &KEY).expect("an RSA key signs")
}
