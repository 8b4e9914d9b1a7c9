//! Keys over TLS. The roots are the system's, which a process reads once: so each case runs in a process of its own, with
//! a system that trusts one test authority.

use std::process::Stdio;
use std::sync::Arc;

use imaging_study::auth::KeySource;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::*;

/// The variable by which the process of a case learns where its keys are.
const URL: &str = "KEYS_URL";

/// Whether keys are had from a server with a certificate of this authority.
async fn keys_are_had(server: &Authority, certificate: CertificateParams, trusted: &Authority) -> bool {
    let port = server.serve(certificate).await;
    let roots = std::env::temp_dir().join(format!("imaging-study-roots-{}-{port}.pem", std::process::id()));
    std::fs::write(&roots, &trusted.pem).unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::keys_are_had_in_a_process_of_its_own", "--ignored"])
        .env(URL, format!("https://localhost:{port}/keys"))
        .env("SSL_CERT_FILE", &roots)
        .env_remove("SSL_CERT_DIR")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .unwrap();
    std::fs::remove_file(&roots).unwrap();
    status.success()
}

#[tokio::test]
#[ignore = "what the tests below run, each in its own environment"]
async fn keys_are_had_in_a_process_of_its_own() {
    let source = KeySource::url(&std::env::var(URL).unwrap()).unwrap();
    verifier_with(settings(source, "ES256")).load_keys().await.unwrap();
}

#[tokio::test]
async fn a_server_that_the_system_trusts_is_believed() {
    let authority = Authority::new("Test");
    assert!(keys_are_had(&authority, certificate("localhost"), &authority).await);
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_not_believed() {
    assert!(!keys_are_had(&Authority::new("Test"), certificate("localhost"), &Authority::new("Test")).await);
}

#[tokio::test]
async fn a_server_of_another_name_is_not_believed() {
    let authority = Authority::new("Test");
    assert!(!keys_are_had(&authority, certificate("issuer.example"), &authority).await);
}

#[tokio::test]
async fn a_server_with_an_expired_certificate_is_not_believed() {
    let authority = Authority::new("Test");
    let mut expired = certificate("localhost");
    expired.not_after = date_time_ymd(2020, 1, 1);
    assert!(!keys_are_had(&authority, expired, &authority).await);
}

fn certificate(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = certificate(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Serves a key set with a certificate by this authority. Returns the port.
    async fn serve(&self, certificate: CertificateParams) -> u16 {
        let key = KeyPair::generate().unwrap();
        let chain = vec![certificate.signed_by(&key, &self.issuer).unwrap().der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let set = jwks([P256.jwk()]);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{set}", set.len());
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                // A client that does not believe the certificate hangs up here.
                let Ok(mut stream) = acceptor.accept(connection).await else { continue };
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        port
    }
}
