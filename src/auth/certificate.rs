//! Certificate-bound access tokens (RFC 8705 §3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::error::TokenError;

/// The certificate that a client presented to the gateway (mutual TLS), as PEM. The gateway has verified it.
#[derive(Clone, Debug)]
pub struct ClientCertificate(String);

impl ClientCertificate {
    pub(crate) fn from_pem(pem: String) -> Self {
        Self(pem)
    }

    /// The base64url of the SHA-256 of the certificate's DER (RFC 8705 §3.1). If the PEM is a chain, its first certificate
    /// is the client's. `None` if the PEM has no readable certificate.
    fn thumbprint(&self) -> Option<String> {
        let certificate = CertificateDer::from_pem_slice(self.0.as_bytes()).ok()?;
        Some(URL_SAFE_NO_PAD.encode(Sha256::digest(&certificate)))
    }
}

/// Checks `cnf` (RFC 7800). A token without it is a bearer token. With `x5t#S256` alone it is bound to the certificate of
/// that thumbprint. Other members name keys whose proof is not supported, so that the token must not be accepted.
pub(super) fn check_confirmation(
    claims: &Value,
    certificate: Option<&ClientCertificate>,
) -> Result<(), TokenError> {
    let Some(confirmation) = claims.get("cnf") else { return Ok(()) };
    let members = confirmation.as_object().filter(|members| members.len() == 1);
    let expected = members.and_then(|members| members.get("x5t#S256")?.as_str());
    let (Some(expected), Some(presented)) = (expected, certificate.and_then(ClientCertificate::thumbprint))
    else {
        return Err(TokenError::ProofRequired);
    };
    if expected == presented { Ok(()) } else { Err(TokenError::CertificateMismatch) }
}
