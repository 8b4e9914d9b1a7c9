//! Several issuers: each token is verified by the rules and the keys of the issuer that it claims to come from, alone.

use std::time::Duration;

use futures_util::FutureExt as _;
use imaging_study::auth::{AllSites, Forbidden, Https, Issuer, Issuers, KeySource, SmartScopes, Verifier};
use serde_json::{Value, json};
use table::id::SiteId;

use super::support::*;

const A: &str = "https://a.example";
const B: &str = "https://b.example";

fn issuer(iss: Option<&str>, keys: &[Value], algorithms: &str) -> Issuer {
    let keys = KeySource::jwks(&jwks(keys.to_vec()), &self::algorithms(algorithms)).unwrap();
    Issuer { iss: iss.map(str::to_owned), ..settings(keys, algorithms) }
}

fn verifier(issuers: Vec<Issuer>) -> Verifier {
    Verifier::new(Issuers::Several(issuers), &Https::new(None), &aws(NO_AWS, &Clock::new()))
}

fn of(iss: &str, changes: &Value) -> Value {
    merged(claims_with(&json!({ "iss": iss })), changes)
}

/// The code of a token's error, or `ok`; and whether it reads site 4.
async fn read(verifier: &Verifier, token: &str) -> &'static str {
    match outcome(verifier, token).await {
        Ok(principal) => {
            principal.authorize(&SiteId::parse("4").unwrap()).map_or_else(Forbidden::code, |_| "ok")
        }
        Err(code) => code,
    }
}

#[tokio::test]
async fn a_token_is_verified_by_the_keys_of_its_own_issuer_alone() {
    let same_kid = |signer: &Signer| merged(signer.jwk(), &json!({ "kid": "key" }));
    let [key_a, key_b] = [Signer::p256("key"), Signer::p256("key")];
    let verifier = verifier(vec![
        issuer(Some(A), &[same_kid(&key_a), P384.jwk()], "ES256,ES384"),
        issuer(Some(B), &[same_kid(&key_b), ED25519.jwk()], "ES256,EdDSA"),
    ]);
    for (token, expected) in [
        (key_a.token(&of(A, &json!({}))), "ok"),
        (key_b.token(&of(B, &json!({}))), "ok"),
        (P384.token(&of(A, &json!({}))), "ok"),
        (ED25519.token(&of(B, &json!({}))), "ok"),
        (key_b.token(&of(A, &json!({}))), "signature_invalid"),
        (key_a.token(&of(B, &json!({}))), "signature_invalid"),
        // A's key or algorithm, which B does not have.
        (P384.token(&of(B, &json!({}))), "algorithm_refused"),
        (ED25519.token(&of(A, &json!({}))), "algorithm_refused"),
        (key_a.token(&of("https://c.example", &json!({}))), "issuer_wrong"),
        (key_a.token(&of("https://A.example", &json!({}))), "issuer_wrong"),
        (key_a.token(&of("https://a.example/", &json!({}))), "issuer_wrong"),
        (key_a.token(&of(A, &json!({ "iss": [A] }))), "issuer_wrong"),
        (key_a.token(&of(A, &json!({ "iss": null }))), "issuer_wrong"),
        (key_a.sign(&key_a.header().to_string(), b"[]"), "claims_malformed"),
    ] {
        assert_eq!(read(&verifier, &token).await, expected);
    }
    let twice = format!(r#"{{"iss":"{B}",{}"#, &of(A, &json!({})).to_string()[1..]);
    let token = key_b.sign(&key_b.header().to_string(), twice.as_bytes());
    assert_eq!(read(&verifier, &token).await, "claims_malformed");
}

#[tokio::test]
async fn one_of_several_issuers_may_be_for_tokens_without_iss() {
    let verifier =
        verifier(vec![issuer(None, &[P384.jwk()], "ES384"), issuer(Some(A), &[P256.jwk()], "ES256")]);
    let without = json!({ "iss": null });
    assert_eq!(read(&verifier, &P384.token(&of(A, &without))).await, "ok");
    assert_eq!(read(&verifier, &P256.token(&of(A, &without))).await, "algorithm_refused");
    assert_eq!(read(&verifier, &P384.token(&of("", &json!({})))).await, "issuer_wrong");
    assert_eq!(read(&verifier, &P384.token(&of(A, &json!({})))).await, "algorithm_refused");
}

#[tokio::test]
async fn claims_mean_what_the_tokens_own_issuer_means_by_them() {
    let mut a = issuer(Some(A), &[P256.jwk()], "ES256");
    a.access.all_sites = AllSites::parse("role=ADMIN");
    let mut b = issuer(Some(B), &[P256.jwk()], "ES256");
    b.audiences = Some(vec!["b".to_owned()]);
    b.access.scopes.requirement = SmartScopes::Required;
    let verifier = verifier(vec![a, b]);
    let admin = json!({ "siteIds": "9", "role": "ADMIN" });
    let for_b = |changes: Value| of(B, &merged(json!({ "aud": "b", "scope": "user/*.rs" }), &changes));
    for (claims, expected) in [
        (of(A, &admin), "ok"),
        (for_b(admin), "site_not_granted"),
        (for_b(json!({})), "ok"),
        (for_b(json!({ "aud": AUDIENCE })), "audience_wrong"),
        (for_b(json!({ "scope": "openid" })), "scope_insufficient"),
        (of(A, &json!({ "aud": "b" })), "audience_wrong"),
        (of(A, &json!({ "scope": "openid" })), "ok"),
    ] {
        assert_eq!(read(&verifier, &P256.token(&claims)).await, expected, "{claims}");
    }
}

#[tokio::test]
async fn an_issuer_speaks_for_its_own_sites_only() {
    let sites = |ids: &[&str]| Some(ids.iter().map(|id| SiteId::parse(id).unwrap()).collect());
    let mut a = issuer(Some(A), &[P256.jwk()], "ES256");
    a.access.only_sites = sites(&["4", "5"]);
    a.access.all_sites = AllSites::parse("role=ADMIN");
    let mut b = issuer(Some(B), &[P256.jwk()], "ES256");
    b.access.only_sites = sites(&["6"]);
    let verifier = verifier(vec![a, b]);
    for (claims, reads) in [
        (of(A, &json!({ "siteIds": ["4", "6"] })), &["4"][..]),
        (of(A, &json!({ "siteIds": null, "role": "ADMIN" })), &["4", "5"]),
        (of(B, &json!({ "siteIds": ["4", "5", "6"] })), &["6"]),
        (of(B, &json!({ "siteIds": "4" })), &[]),
    ] {
        let principal = outcome(&verifier, &P256.token(&claims)).await.unwrap();
        let granted: Vec<_> = ["3", "4", "5", "6"]
            .into_iter()
            .filter(|site| principal.authorize(&SiteId::parse(site).unwrap()).is_ok())
            .collect();
        assert_eq!(granted, reads, "{claims}");
    }
}

/// A verifier of two issuers whose keys are at these servers.
fn fetching(a: &Server, b: &Server) -> Verifier {
    let at = |iss: &str, server: &Server| Issuer {
        iss: Some(iss.to_owned()),
        ..settings(KeySource::url(&server.url("/keys")).unwrap(), "ES256,ES384")
    };
    let https = Https::new(Some(Server::ca_bundle()));
    Verifier::new(Issuers::Several(vec![at(A, a), at(B, b)]), &https, &aws(NO_AWS, &Clock::new()))
}

#[tokio::test]
async fn an_outage_of_one_issuer_does_not_touch_the_tokens_of_another() {
    let [a, b] = [Server::https().await, Server::https().await];
    a.set("/keys", Behavior::status(500, ""));
    b.set("/keys", Behavior::json(jwks([P256.jwk()])));
    let verifier = fetching(&a, &b);
    assert!(verifier.load_keys().await.is_err());
    assert_eq!(read(&verifier, &P256.token(&of(B, &json!({})))).now_or_never(), Some("ok"));
    assert_eq!(read(&verifier, &P256.token(&of(A, &json!({})))).await, "keys_unavailable");
    assert_eq!((a.requests(), b.requests()), (1, 1));
}

#[tokio::test]
async fn the_key_sets_of_several_issuers_are_loaded_side_by_side() {
    let [a, b] = [Server::https().await, Server::https().await];
    let slow = Duration::from_millis(500);
    a.skip_time();
    b.skip_time();
    a.set("/keys", Behavior::json(jwks([P256.jwk()])).after(slow));
    b.set("/keys", Behavior::json(jwks([P384.jwk()])).after(slow));
    let started = tokio::time::Instant::now();
    fetching(&a, &b).load_keys().await.unwrap();
    assert!(started.elapsed() < 2 * slow, "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_unknown_issuer_is_rejected_without_asking_anybody() {
    let [a, b] = [Server::https().await, Server::https().await];
    let verifier = fetching(&a, &b);
    assert_eq!(read(&verifier, &P256.token(&of("https://c.example", &json!({})))).await, "issuer_wrong");
    assert_eq!((a.requests(), b.requests()), (0, 0));
}
