//! Which servers a key set is fetched from: the certificate must be that of the URL's host, by a trusted authority.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use http::StatusCode;
use imaging_study::Service;
use imaging_study::auth::{Https, KeySource, Verifier};
use imaging_study::config::Config;
use lambda_http::{Body, Request};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::json;
use testkit::faulty::{Behavior, FaultyServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::*;

/// Whether keys are fetched from this port by a verifier with this `ca_bundle`.
async fn fetches(port: u16, ca_bundle: Option<&str>) -> bool {
    let source = KeySource::url(&format!("https://localhost:{port}/keys")).unwrap();
    let ca_bundle = ca_bundle.map(|pem| pem.as_bytes().to_vec());
    let verifier = Verifier::new(settings(source, "ES256"), &Https::new(ca_bundle), &aws(&Clock::new()));
    verifier.load_keys().await.is_ok()
}

#[tokio::test]
async fn an_authority_of_the_bundle_is_trusted() {
    let (authority, other) = (Authority::new(), Authority::new());
    let port = authority.serve(certificate("localhost")).await;
    assert!(fetches(port, Some(&authority.pem)).await);
    assert!(fetches(port, Some(&format!("{}\n{}", other.pem, authority.pem))).await);
}

#[tokio::test]
async fn another_authority_is_not_trusted() {
    let port = Authority::new().serve(certificate("localhost")).await;
    assert!(!fetches(port, Some(&Authority::new().pem)).await);
    assert!(!fetches(port, None).await);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_rejected() {
    let authority = Authority::new();
    let port = authority.serve(certificate("issuer.example")).await;
    assert!(!fetches(port, Some(&authority.pem)).await);
}

#[tokio::test]
async fn an_expired_certificate_is_rejected() {
    let authority = Authority::new();
    let mut expired = certificate("localhost");
    expired.not_after = date_time_ymd(2020, 1, 1);
    let port = authority.serve(expired).await;
    assert!(!fetches(port, Some(&authority.pem)).await);
}

/// The system's authorities are read once per process, so each case needs a process of its own.
#[tokio::test]
async fn the_systems_authorities_are_trusted_unless_a_bundle_replaces_them() {
    let authority = Authority::new();
    let port = authority.serve(certificate("localhost")).await;
    assert!(fetches_in_own_process(port, &authority, None).await);
    assert!(!fetches_in_own_process(port, &authority, Some(&Authority::new())).await);
}

const PORT: &str = "KEYS_PORT";
const BUNDLE: &str = "KEYS_CA_BUNDLE";

async fn fetches_in_own_process(port: u16, system: &Authority, bundle: Option<&Authority>) -> bool {
    let roots = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("system-authorities-{port}.pem"));
    std::fs::write(&roots, &system.pem).unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::keys_are_fetched_in_own_process", "--ignored"])
        .env(PORT, port.to_string())
        .env(BUNDLE, bundle.map_or("", |authority| &authority.pem))
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
#[ignore = "runs in a process that the_systems_authorities_are_trusted_unless_a_bundle_replaces_them starts"]
async fn keys_are_fetched_in_own_process() {
    let port = std::env::var(PORT).unwrap().parse().unwrap();
    let bundle = std::env::var(BUNDLE).unwrap();
    assert!(fetches(port, Some(bundle.as_str()).filter(|pem| !pem.is_empty())).await);
}

/// The configuration of a service that fetches its keys from this server and trusts the authorities of this file.
fn config(server: &FaultyServer, bundle: &Path) -> Config {
    Config::from_env(|name| {
        let value = match name {
            "TABLE_NAME" => "ImagingStudies",
            "JWT_ISSUER" => ISSUER,
            "JWT_AUDIENCE" => AUDIENCE,
            "JWT_JWKS_URL" => &server.url("/keys"),
            "JWT_CA_BUNDLE" => bundle.to_str()?,
            _ => return None,
        };
        Some(value.to_owned())
    })
    .unwrap()
}

#[tokio::test]
async fn jwt_ca_bundle_names_the_authorities() {
    let server = FaultyServer::https().await;
    server.set("/keys", Behavior::json(jwks([P256.jwk()])));
    let bundle = Path::new(env!("CARGO_TARGET_TMPDIR")).join("jwt-ca-bundle.pem");
    std::fs::write(&bundle, FaultyServer::ca_bundle()).unwrap();
    let service = Service::from_config(config(&server, &bundle)).unwrap();

    // Whether the site is granted is decided only once the token has been verified.
    let token = P256.token(&local::claims_with(&json!({"siteIds": "5"})));
    let mut request = Request::new(Body::Empty);
    *request.uri_mut() = "/site/4/fhir/imaging-study/a".parse().unwrap();
    *request.headers_mut() = bearer(&token);
    assert_eq!(service.handle(request).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_jwt_ca_bundle_that_cannot_be_used_stops_the_start() {
    let server = FaultyServer::https().await;
    let no_certificate = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-certificate.pem");
    std::fs::write(&no_certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    let not_pem = "JWT_CA_BUNDLE: must be the path of a file of PEM certificates";
    for (file, message) in [
        (Path::new("no-such-file.pem"), "JWT_CA_BUNDLE: the file cannot be read"),
        (Path::new("Cargo.toml"), not_pem),
        (&no_certificate, not_pem),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let error = Service::from_config(config(&server, &path)).err();
        let error = error.unwrap_or_else(|| panic!("{} is taken", path.display()));
        assert!(error.to_string().starts_with(message), "{error}");
    }
}

fn certificate(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = certificate("authority");
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
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{set}", set.len());
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                // A client that rejects the certificate hangs up here.
                let Ok(mut stream) = acceptor.accept(connection).await else { continue };
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(response.as_bytes()).await;
            }
        });
        port
    }
}
