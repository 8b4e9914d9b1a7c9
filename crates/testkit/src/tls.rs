//! A certificate authority that exists as long as the run.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_RSA_SHA256, RsaKeySize,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ServerConfig, version::TLS13};

/// An authority for certificates of servers.
pub struct Authority {
    /// Its root certificate, as PEM.
    pub root: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
    intermediate: Option<CertificateDer<'static>>,
    new_key: fn() -> KeyPair,
}

impl Authority {
    /// One whose root signs the certificates of servers, all with keys that are made fast.
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Self {
        let new_key = || KeyPair::generate().expect("AWS-LC makes EC keys");
        let issuer = CertifiedIssuer::self_signed(authority("root"), new_key()).expect("a root");
        Self { root: issuer.pem(), issuer, intermediate: None, new_key }
    }

    /// One with chains as AWS endpoints send them: RSA of 2048 bits, one intermediate.
    pub fn like_those_of_aws() -> Self {
        let new_key =
            || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("AWS-LC makes RSA keys");
        let root = CertifiedIssuer::self_signed(authority("root"), new_key()).expect("a root");
        let issuer = CertifiedIssuer::signed_by(authority("intermediate"), new_key(), &root);
        let issuer = issuer.expect("an intermediate");
        Self { root: root.pem(), intermediate: Some(issuer.der().clone()), issuer, new_key }
    }

    /// TLS 1.3 with this certificate.
    pub(crate) fn acceptor(&self, certificate: &CertificateParams) -> TlsAcceptor {
        let key = (self.new_key)();
        let certificate = certificate.signed_by(&key, &self.issuer).expect("a certificate");
        let chain = std::iter::once(certificate.der().clone()).chain(self.intermediate.clone()).collect();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a key that fits its certificate");
        Arc::new(config).into()
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, format!("Throw-away {name}"));
    params
}
