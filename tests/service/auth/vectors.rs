//! Signatures made elsewhere: Project Wycheproof's vectors.
//!
//! They are verified like every token. Hardly any of their payloads are claims that could be accepted here, but claims are
//! read only after the signature is verified: a rejection because of the claims means that the signature is valid.

use std::collections::BTreeMap;
use std::fs;

use imaging_study::auth::KeySource;
use serde_json::{Value, json};

use super::support::*;

/// Whether a key of `set` verifies the signature of `token`.
async fn verifies(set: &Value, token: &str) -> bool {
    match KeySource::jwks(&set.to_string(), &algorithms(EVERY_ALGORITHM)) {
        Ok(keys) => {
            let verifier = verifier_with(settings(keys, EVERY_ALGORITHM));
            let about_claims = ["claims_malformed", "issuer_wrong", "audience_wrong"];
            outcome(&verifier, token).await.err().is_none_or(|code| about_claims.contains(&code))
        }
        Err(_) => false,
    }
}

/// Runs a file of vectors. Returns how many there are, and the ids of those that end otherwise than the file says.
async fn deviations(file: &str) -> (usize, Vec<u64>) {
    let text = fs::read_to_string(testkit::data_folder("VECTORS_DIR").join(file)).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let mut count = 0;
    let mut deviations = Vec::new();
    for group in vectors["testGroups"].as_array().unwrap() {
        let key = group.get("public").unwrap_or(&group["private"]);
        let set = if key.get("keys").is_some() { key.clone() } else { json!({"keys": [key]}) };
        for test in group["tests"].as_array().unwrap() {
            count += 1;
            // Some are in the JSON serialization, which is an object.
            let token = test["jws"].as_str().map_or_else(|| test["jws"].to_string(), str::to_owned);
            if verifies(&set, &token).await != (test["result"] == "valid") {
                deviations.push(test["tcId"].as_u64().unwrap());
            }
        }
    }
    (count, deviations)
}

#[tokio::test]
#[ignore = "needs VECTORS_DIR, a folder with the JSON Web Signature and key vectors of Project Wycheproof"]
async fn collected_signatures_of_wycheproof_agree_but_for_known_vectors() {
    let known = BTreeMap::from([
        (346, "says PS384 with a key whose alg is PS256 (RFC 7517 §4.4)"),
        (347, "ES512, which is not supported"),
        (350, "says PS384 with a key whose alg is PS256 (RFC 7517 §4.4)"),
        (351, "ES512, which is not supported"),
        (367, "the same bytes as 357, which is valid"),
        (370, "the same bytes as 357, which is valid"),
        (372, "base64url with characters that RFC 4648 §5 does not have"),
        (373, "base64url with characters that RFC 4648 §5 does not have"),
    ]);
    let (count, deviations) = deviations("json_web_signature_test.json").await;
    assert_eq!((count, deviations), (401, known.into_keys().collect()));
}

#[tokio::test]
#[ignore = "needs VECTORS_DIR, a folder with the JSON Web Signature and key vectors of Project Wycheproof"]
async fn collected_keys_of_wycheproof_agree_but_for_known_vectors() {
    let known = BTreeMap::from([
        (1, "a set of symmetric and other keys, which may be configured here, but not come from a URL"),
        (7, "a key of a generator with a weakness (ROCA), which is not looked for"),
    ]);
    let (count, deviations) = deviations("json_web_key_test.json").await;
    assert_eq!((count, deviations), (26, known.into_keys().collect()));
}
