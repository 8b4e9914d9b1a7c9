//! Certificate-bound tokens (RFC 8705 §3) and the client certificates that API Gateway reports with mutual TLS.

use http::StatusCode;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::api::{Api, http_api_event, rest_api_event};
use super::support::*;

/// A client certificate, and the thumbprint that a token is bound to it by.
struct Certificate {
    pem: String,
    thumbprint: String,
}

impl Certificate {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["client.example".to_owned()]).unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), thumbprint: base64url(Sha256::digest(certificate.der())) }
    }

    /// The `cnf` of tokens that are bound to this certificate.
    fn cnf(&self) -> Value {
        json!({"x5t#S256": self.thumbprint})
    }
}

/// The reason in the audit line of events in both formats, with this `cnf` and this certificate.
async fn reason(cnf: &Value, certificate: Option<&str>) -> Value {
    let headers = bearer(&P256.token(&claims_with(&json!({"cnf": cnf}))));
    let mut reasons = Vec::new();
    for event in [http_api_event(&headers, certificate), rest_api_event(&headers, certificate)] {
        let reply = Api::new(verifier()).await.invoke(&event).await;
        let expected = if reply.line["reason"] == "ok" { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!((reply.status, reply.reads), (expected, usize::from(expected == StatusCode::OK)));
        reply.assert_discreet(&headers);
        reasons.push(reply.line["reason"].clone());
    }
    assert_eq!(reasons[0], reasons[1], "both formats have the same outcome");
    reasons.remove(0)
}

#[tokio::test]
async fn a_bound_token_is_accepted_with_its_certificate() {
    let own = Certificate::new();
    assert_eq!(reason(&own.cnf(), Some(&own.pem)).await, "ok");
}

#[tokio::test]
async fn a_bound_token_is_rejected_with_another_certificate() {
    assert_eq!(
        reason(&Certificate::new().cnf(), Some(&Certificate::new().pem)).await,
        "certificate_mismatch"
    );
}

#[tokio::test]
async fn a_bound_token_is_rejected_without_a_certificate() {
    assert_eq!(reason(&Certificate::new().cnf(), None).await, "proof_required");
    assert_eq!(reason(&Certificate::new().cnf(), Some("")).await, "proof_required");
}

#[tokio::test]
async fn an_unbound_token_needs_no_certificate_and_may_come_with_one() {
    assert_eq!(reason(&Value::Null, None).await, "ok");
    assert_eq!(reason(&Value::Null, Some(&Certificate::new().pem)).await, "ok");
    assert_eq!(reason(&Value::Null, Some("damaged")).await, "ok");
}

#[tokio::test]
async fn the_first_certificate_of_a_chain_is_that_of_the_client() {
    let (own, authority) = (Certificate::new(), Certificate::new());
    let chain = format!("{}{}", own.pem, authority.pem);
    assert_eq!(reason(&own.cnf(), Some(&chain)).await, "ok");
    assert_eq!(reason(&authority.cnf(), Some(&chain)).await, "certificate_mismatch");
}

#[tokio::test]
async fn the_certificate_may_have_text_around_it_and_other_line_ends() {
    let own = Certificate::new();
    for pem in [
        format!("subject=CN=client.example\n{}", own.pem),
        own.pem.replace('\n', "\r\n"),
        own.pem.trim_end().to_owned(),
    ] {
        assert_eq!(reason(&own.cnf(), Some(&pem)).await, "ok");
    }
}

#[tokio::test]
async fn a_bound_token_is_rejected_with_a_damaged_certificate() {
    let own = Certificate::new();
    let middle = own.pem.len() / 2;
    for pem in [
        "damaged".to_owned(),
        own.thumbprint.clone(),
        own.pem.replace("-----END CERTIFICATE-----", ""),
        own.pem.replace("CERTIFICATE", "PUBLIC KEY"),
        format!("{}*{}", &own.pem[..middle], &own.pem[middle..]),
    ] {
        assert_eq!(reason(&own.cnf(), Some(&pem)).await, "proof_required");
    }
    // Valid base64 of other bytes.
    let other = own.pem.replacen("MII", "MIJ", 1);
    assert_eq!(reason(&own.cnf(), Some(&other)).await, "certificate_mismatch");
}

#[tokio::test]
async fn a_token_with_any_other_confirmation_is_rejected() {
    let own = Certificate::new();
    let thumbprint = &own.thumbprint;
    for cnf in [
        json!({}),
        json!([]),
        json!(true),
        json!(thumbprint),
        json!([own.cnf()]),
        json!({"jkt": thumbprint}),
        json!({"x5t": thumbprint}),
        json!({"x5t#s256": thumbprint}),
        json!({"x5t#S256": thumbprint, "jkt": "A"}),
        json!({"x5t#S256": thumbprint, "jwk": {}}),
        json!({"x5t#S256": thumbprint, "kid": null}),
        json!({"x5t#S256": [thumbprint]}),
        json!({"x5t#S256": {"value": thumbprint}}),
        json!({"x5t#S256": 5}),
        json!({"x5t#S256": null}),
    ] {
        assert_eq!(reason(&cnf, Some(&own.pem)).await, "proof_required", "{}", cnf.to_string().len());
    }
}

#[tokio::test]
async fn the_thumbprint_of_a_certificate_is_compared_exactly() {
    let own = Certificate::new();
    let hex = hex::encode(from_base64url(&own.thumbprint));
    for thumbprint in [
        String::new(),
        format!("{}=", own.thumbprint),
        own.thumbprint.to_ascii_lowercase() + "x",
        own.thumbprint[1..].to_owned(),
        own.thumbprint.repeat(2),
        hex,
    ] {
        assert_eq!(reason(&json!({"x5t#S256": thumbprint}), Some(&own.pem)).await, "certificate_mismatch");
    }
}

#[tokio::test]
async fn a_client_certificate_in_a_header_is_ignored() {
    let own = Certificate::new();
    let headers = bearer(&P256.token(&claims_with(&json!({"cnf": own.cnf()}))));
    let mut event = http_api_event(&headers, None);
    event["headers"]["x-amzn-mtls-clientcert"] = own.pem.replace('\n', "%0A").into();
    event["headers"]["x-client-cert"] = own.pem.replace('\n', "").into();
    let reply = Api::new(verifier()).await.invoke(&event).await;
    assert_eq!(reply.line["reason"], "proof_required");
}
