//! Tokens that are valid but do not grant the read, and reads for which there are no keys.

use http::{HeaderMap, StatusCode, header};
use imaging_study::auth::{AllSites, KeySource};
use serde_json::{Value, json};
use table::subject::BaseUrl;

use super::api::{Api, http_api_event};
use super::support::*;

fn with(changes: &Value) -> HeaderMap {
    bearer(&P256.token(&claims_with(changes)))
}

#[tokio::test]
async fn a_site_that_is_not_granted_is_404() {
    let api = Api::new(verifier()).await;
    let headers = with(&json!({"siteIds": ["40", "04", 3]}));
    let reply = api.get(headers.clone()).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(reply.body, r#"{"message":"Not Found","statusCode":404}"#);
    assert_eq!(reply.line["reason"], "site_not_granted");
    assert_eq!(reply.reads, 0);
    reply.assert_discreet(&headers);
}

#[tokio::test]
async fn a_token_without_a_site_claim_grants_no_site() {
    let reply = Api::new(verifier()).await.get(with(&json!({"siteIds": null}))).await;
    assert_eq!(reply.line["reason"], "site_claim_missing");
}

#[tokio::test]
async fn a_site_in_percent_encoding_is_the_site_that_it_decodes_to() {
    let api = Api::new(verifier()).await;
    assert_eq!(api.get_at("%34", with(&json!({}))).await.line["reason"], "ok");
    assert_eq!(api.get_at("4", with(&json!({"siteIds": "%34"}))).await.line["reason"], "site_not_granted");
    assert_eq!(
        api.get_at("%2534", with(&json!({"siteIds": "%34"}))).await.line["reason"],
        "site_id_malformed"
    );
}

#[tokio::test]
async fn the_configured_claim_grants_every_site() {
    let keys = KeySource::jwks(&jwks([P256.jwk()]), &algorithms("ES256")).unwrap();
    let mut settings = settings(keys, "ES256");
    settings.access.all_sites = AllSites::parse("role=ADMIN");
    let api = Api::new(verifier_with(settings)).await;
    assert_eq!(api.get(with(&json!({"siteIds": [], "role": "ADMIN"}))).await.status, StatusCode::OK);
    assert_eq!(api.get(with(&json!({"siteIds": [], "role": "USER"}))).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn scopes_that_do_not_grant_the_read_are_403() {
    let api = Api::new(verifier()).await;
    let headers = with(&json!({"scope": "user/Patient.rs user/ImagingStudy.dus"}));
    let reply = api.get(headers.clone()).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(reply.line["reason"], "scope_insufficient");
    assert_eq!(reply.headers[header::WWW_AUTHENTICATE], r#"Bearer error="insufficient_scope""#);
    assert_eq!(reply.reads, 0);
    reply.assert_discreet(&headers);
    // Nor does it tell whether the site is granted.
    let other_site = api.get_at("5", headers).await;
    assert_eq!((reply.status, &reply.body), (other_site.status, &other_site.body));
}

#[tokio::test]
async fn a_patient_reads_their_own_study_and_no_other() {
    let api = Api::new(verifier()).await;
    let own = api.get(with(&json!({"scope": "patient/*.rs", "patient": "7"}))).await;
    assert_eq!(own.status, StatusCode::OK);
    let headers = with(&json!({"scope": "patient/*.rs", "patient": "77"}));
    let other = api.get(headers.clone()).await;
    assert_eq!(other.status, StatusCode::FORBIDDEN);
    assert_eq!(other.line["reason"], "patient_not_granted");
    other.assert_discreet(&headers);
}

#[tokio::test]
async fn a_token_without_keys_to_verify_it_is_503_not_401() {
    let issuer = Server::https().await;
    issuer.set("/keys", Behavior::status(500, CONFIDENTIAL));
    let clock = Clock::new();
    let settings = settings(keys_at(&issuer), "ES256");
    let api = Api::new(verifier_at(settings, &clock)).await;

    let headers = with(&json!({}));
    let reply = api.get(headers.clone()).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.headers[header::RETRY_AFTER], "1");
    assert_eq!(reply.headers.get(header::WWW_AUTHENTICATE), None);
    assert_eq!(reply.body, r#"{"message":"Service Unavailable","statusCode":503}"#);
    assert_eq!(reply.line["reason"], "keys_unavailable");
    assert!(reply.log.contains("the response has status 500, not 200"), "{}", reply.log);
    reply.assert_discreet(&headers);

    issuer.set("/keys", Behavior::json(jwks([P256.jwk()])));
    clock.forward(1);
    assert_eq!(api.get(headers).await.status, StatusCode::OK);
}

#[tokio::test]
async fn retry_after_is_the_time_to_the_next_fetch() {
    let issuer = Server::https().await;
    issuer.set("/keys", Behavior::json(jwks([P256.jwk()])));
    let clock = Clock::new();
    let api = Api::new(verifier_at(settings(keys_at(&issuer), "ES256,ES384"), &clock)).await;
    assert_eq!(api.get(with(&json!({}))).await.status, StatusCode::OK);

    issuer.set("/keys", Behavior::status(500, ""));
    let unknown_key = bearer(&P384.token(&claims_with(&json!({"exp": NOW + 3600}))));
    for (passed, retry_after) in [(30, "30"), (12, "18"), (17, "1"), (1, "30")] {
        clock.forward(passed);
        let reply = api.get(unknown_key.clone()).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(reply.headers[header::RETRY_AFTER], retry_after, "after {passed} s");
    }
    assert_eq!(api.get(with(&json!({}))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_rejected_key_set_is_logged_with_the_reason_and_without_its_content() {
    let secret = SECRET.jwk();
    for (delivered, reason) in [
        (CONFIDENTIAL.to_owned(), "not a JWK Set"),
        (json!({"keys": CONFIDENTIAL}).to_string(), "not a JWK Set"),
        (jwks([json!({"kty": CONFIDENTIAL, "kid": CONFIDENTIAL})]), "unsupported_kty"),
        (jwks([secret, json!({"kty": "EC", "crv": CONFIDENTIAL})]), "alg_not_allowed, unsupported_crv"),
        (jwks([json!({"kty": "EC", "crv": "P-256", "alg": CONFIDENTIAL})]), "alg_not_allowed"),
        (jwks([json!({"kty": "RSA", "n": CONFIDENTIAL, "e": 3})]), "malformed"),
        (jwks([]), "no keys"),
    ] {
        let issuer = Server::https().await;
        issuer.set("/keys", Behavior::json(delivered));
        let api = Api::new(verifier_with(settings(keys_at(&issuer), "ES256,RS256"))).await;
        let headers = with(&json!({}));
        let reply = api.get(headers.clone()).await;
        assert_eq!(reply.line["reason"], "keys_unavailable");
        let message = format!("{}: the key set is rejected: ", issuer.url("/keys"));
        assert!(reply.log.contains(&message) && reply.log.contains(reason), "{reason}: {}", reply.log);
        reply.assert_discreet(&headers);
    }
}

#[tokio::test]
async fn unusable_keys_are_counted_in_the_log() {
    let issuer = Server::https().await;
    let unusable =
        [json!({"kty": "EC", "use": "enc", "kid": CONFIDENTIAL}), json!({"kty": "AKP", "pub": CONFIDENTIAL})];
    issuer.set("/keys", Behavior::json(jwks(unusable.into_iter().chain([P256.jwk()]))));
    let api = Api::new(verifier_with(settings(keys_at(&issuer), "ES256"))).await;
    let headers = with(&json!({}));
    let reply = api.get(headers.clone()).await;
    assert_eq!(reply.line["reason"], "ok");
    let counted =
        r#""message":"keys were skipped","skipped":2,"used":1,"reasons":"use_not_sig, unsupported_kty""#;
    assert!(reply.log.contains(counted), "{}", reply.log);
    reply.assert_discreet(&headers);
}

#[tokio::test]
async fn keys_and_table_connection_are_ready_after_the_start() {
    let issuer = Server::https().await;
    issuer.set("/keys", Behavior::json(jwks([P256.jwk()])));
    let api = Api::new(verifier_with(settings(keys_at(&issuer), "ES256"))).await;
    api.warm_up().await;
    assert_eq!((issuer.requests(), api.reads()), (1, 1));
    assert_eq!(api.get(with(&json!({}))).await.status, StatusCode::OK);
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn a_failed_preload_is_logged_and_the_next_request_fetches_the_keys() {
    let issuer = Server::https().await;
    let clock = Clock::new();
    let verifier = verifier_at(settings(keys_at(&issuer), "ES256"), &clock);
    let api = Api::new(verifier).await;
    let log = api.warm_up().await;
    assert!(log.contains("the key set could not be fetched"), "{log}");
    issuer.set("/keys", Behavior::json(jwks([P256.jwk()])));
    clock.forward(1);
    assert_eq!(api.get(with(&json!({}))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_absolute_subject_is_a_patient_of_the_configured_servers_only() {
    for (base_urls, subject, reason) in [
        (&[] as &[&str], "Patient/7", "ok"),
        (&[], "https://other.example/fhir/Patient/7", "patient_not_granted"),
        (&["https://fhir.example/r4"], "https://other.example/fhir/Patient/7", "patient_not_granted"),
        (&["https://fhir.example/r4"], "https://fhir.example/r4/Patient/7", "ok"),
        (&["https://fhir.example/r4"], "https://fhir.example/r4/Patient/8", "patient_not_granted"),
        (&["https://fhir.example/r4"], "https://fhir.example/r4b/Patient/7", "patient_not_granted"),
    ] {
        let mut settings =
            settings(KeySource::jwks(&jwks([P256.jwk()]), &algorithms("ES256")).unwrap(), "ES256");
        settings.access.subject_base_urls =
            base_urls.iter().map(|url| BaseUrl::parse(url).unwrap()).collect();
        let api = Api::with_subject(verifier_with(settings), subject).await;
        let headers = with(&json!({"scope": "patient/*.rs", "patient": "7"}));
        assert_eq!(api.invoke(&http_api_event(&headers, None)).await.line["reason"], reason, "{subject}");
    }
}
