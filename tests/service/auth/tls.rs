//! Which servers a key set is fetched from: the certificate must be that of the URL's host, by a trusted authority.

use std::path::Path;
use std::process::Stdio;

use http::StatusCode;
use imaging_study::auth::{Https, KeySource, Verifier};
use imaging_study::{Config, Service};
use lambda_http::{Body, Request};
use rcgen::{CertificateParams, date_time_ymd};
use serde_json::json;
use testkit::process::command;
use testkit::tls::Authority;

use super::support::*;

/// Whether keys are fetched from this URL by a verifier with this `ca_bundle`.
async fn fetches(url: &str, ca_bundle: Option<&str>) -> bool {
    let source = KeySource::url(url).unwrap();
    let ca_bundle = ca_bundle.map(|pem| pem.as_bytes().to_vec());
    let verifier =
        Verifier::new(settings(source, "ES256"), &Https::new(ca_bundle), &aws(NO_AWS, &Clock::new()));
    verifier.load_keys().await.is_ok()
}

#[tokio::test]
async fn an_authority_of_the_ca_bundle_is_trusted() {
    let (authority, other) = (Authority::new(), Authority::new());
    let url = server(&authority, &certificate("localhost")).await.url("/keys");
    assert!(fetches(&url, Some(&authority.root)).await);
    assert!(fetches(&url, Some(&format!("{}\n{}", other.root, authority.root))).await);
}

#[tokio::test]
async fn an_authority_that_is_not_in_the_ca_bundle_is_not_trusted() {
    let url = server(&Authority::new(), &certificate("localhost")).await.url("/keys");
    assert!(!fetches(&url, Some(&Authority::new().root)).await);
    assert!(!fetches(&url, None).await);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_rejected() {
    let authority = Authority::new();
    let url = server(&authority, &certificate("issuer.example")).await.url("/keys");
    assert!(!fetches(&url, Some(&authority.root)).await);
}

#[tokio::test]
async fn an_expired_certificate_is_rejected() {
    let authority = Authority::new();
    let mut expired = certificate("localhost");
    expired.not_after = date_time_ymd(2020, 1, 1);
    let url = server(&authority, &expired).await.url("/keys");
    assert!(!fetches(&url, Some(&authority.root)).await);
}

/// The system's authorities are read once per process, so each case needs a process of its own.
#[tokio::test]
async fn the_authorities_of_the_system_are_trusted_unless_a_ca_bundle_replaces_them() {
    let authority = Authority::new();
    let url = server(&authority, &certificate("localhost")).await.url("/keys");
    assert!(fetches_in_own_process(&url, &authority, None).await);
    assert!(!fetches_in_own_process(&url, &authority, Some(&Authority::new())).await);
}

const URL: &str = "KEYS_URL";
const BUNDLE: &str = "KEYS_CA_BUNDLE";

async fn fetches_in_own_process(url: &str, system: &Authority, bundle: Option<&Authority>) -> bool {
    let roots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("system-authorities.pem");
    std::fs::write(&roots, &system.root).unwrap();
    let status = command(std::env::current_exe().unwrap().as_ref())
        .args(["--exact", "auth::tls::keys_are_fetched_in_own_process", "--ignored"])
        .env(URL, url)
        .env(BUNDLE, bundle.map_or("", |authority| &authority.root))
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
#[ignore = "runs in a process that the_authorities_of_the_system_are_trusted_unless_a_ca_bundle_replaces_them starts"]
async fn keys_are_fetched_in_own_process() {
    let url = std::env::var(URL).unwrap();
    let bundle = std::env::var(BUNDLE).unwrap();
    assert!(fetches(&url, Some(bundle.as_str()).filter(|pem| !pem.is_empty())).await);
}

/// The configuration of a service that fetches its keys from this server and trusts the authorities of this file.
fn config(server: &Server, bundle: &Path) -> Config {
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
async fn the_authorities_in_the_file_that_jwt_ca_bundle_names_are_trusted() {
    let server = Server::https().await;
    server.set("/keys", Behavior::json(jwks([P256.jwk()])));
    let bundle = Path::new(env!("CARGO_TARGET_TMPDIR")).join("jwt-ca-bundle.pem");
    std::fs::write(&bundle, Server::ca_bundle()).unwrap();
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
    let server = Server::https().await;
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

/// A server for `localhost` that publishes keys, with this certificate by `authority`.
async fn server(authority: &Authority, certificate: &CertificateParams) -> Server {
    let server = Server::with_certificate("localhost", authority, certificate).await;
    server.set("/keys", Behavior::json(jwks([P256.jwk()])));
    server
}
