//! Signatures made elsewhere: Project Wycheproof's vectors, and the examples of the RFCs.
//!
//! They are verified like every token. Hardly any of their payloads are claims that could be accepted here, but claims are
//! read only after the signature is verified: a rejection because of the claims means that the signature is valid.

use std::collections::BTreeMap;
use std::fs;

use imaging_study::auth::KeySource;
use serde_json::{Value, json};

use crate::support::*;

/// Whether a key of `set` verifies the signature of `token`.
async fn verifies(set: &Value, token: &str) -> bool {
    match KeySource::jwks(&set.to_string(), &algorithms(EVERY_ALGORITHM)) {
        Ok(keys) => {
            signature_is_valid(outcome(&verifier_with(settings(keys, EVERY_ALGORITHM)), token).await.err())
        }
        Err(_) => false,
    }
}

fn signature_is_valid(error: Option<&str>) -> bool {
    let about_claims = ["claims_malformed", "issuer_wrong", "audience_wrong"];
    error.is_none_or(|code| about_claims.contains(&code))
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

/// RFC 7515 §A.1 to A.3: the same claims, signed in three ways.
const JOE: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[tokio::test]
async fn rfc_7515_a_1_hs256() {
    let key = json!({
        "kty": "oct",
        "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    });
    let header = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9";
    known_answer("HS256", &key, header, JOE, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").await;
}

#[tokio::test]
async fn rfc_7515_a_2_rs256() {
    let key = json!({
        "kty": "RSA",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR\
              T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB\
              dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia\
              GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
        "e": "AQAB",
    });
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5ju\
                     jGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07\
                     Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipU\
                     TI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    known_answer("RS256", &key, "eyJhbGciOiJSUzI1NiJ9", JOE, signature).await;
}

#[tokio::test]
async fn rfc_7515_a_3_es256() {
    let key = json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    known_answer("ES256", &key, "eyJhbGciOiJFUzI1NiJ9", JOE, signature).await;
}

/// RFC 7515 §A.5: not signed at all.
#[tokio::test]
async fn rfc_7515_a_5_unsecured() {
    let verifier = verifier();
    let error = outcome(&verifier, &format!("eyJhbGciOiJub25lIn0.{JOE}.")).await.err();
    assert_eq!(error, Some("algorithm_refused"));
}

/// RFC 7520 §4: the payload of its examples.
const BILBO: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUg\
                     cm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0\
                     IGJlIHN3ZXB0IG9mZiB0by4";

/// RFC 7520 §3.3, which names no algorithm.
fn bilbos_key() -> Value {
    json!({
        "kty": "RSA",
        "kid": "bilbo.baggins@hobbiton.example",
        "use": "sig",
        "n": "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRB\
              SFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD\
              1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_\
              qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw",
        "e": "AQAB",
    })
}

#[tokio::test]
async fn rfc_7520_4_1_rs256() {
    let header = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9";
    let signature = "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII\
                     7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1\
                     Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-Zn\
                     mKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg";
    known_answer("RS256", &bilbos_key(), header, BILBO, signature).await;
}

#[tokio::test]
async fn rfc_7520_4_2_ps384() {
    let header = "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9";
    let signature = "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5\
                     dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8\
                     P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQS\
                     UmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw";
    known_answer("PS384", &bilbos_key(), header, BILBO, signature).await;
}

#[tokio::test]
async fn rfc_7520_4_4_hs256() {
    let key = json!({
        "kty": "oct",
        "kid": "018c0ae5-4d9b-471b-bfd6-eef314bc7037",
        "use": "sig",
        "alg": "HS256",
        "k": "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
    });
    let header = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9";
    known_answer("HS256", &key, header, BILBO, "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0").await;
}

#[tokio::test]
async fn rfc_8037_a_4_eddsa() {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let payload = "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    known_answer("EdDSA", &key, "eyJhbGciOiJFZERTQSJ9", payload, signature).await;
}

/// RFC 7797 §4.2: a payload that is not encoded, which RFC 7797 §7 forbids for tokens.
#[tokio::test]
async fn rfc_7797_4_2_unencoded_payload() {
    let header = "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19";
    let verifier = verifier();
    let token = format!("{header}..A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY");
    assert_eq!(outcome(&verifier, &token).await.err(), Some("header_unsupported"));
}

/// An example is valid, and no longer is when the last byte of its payload changes.
async fn known_answer(algorithm: &str, key: &Value, header: &str, payload: &str, signature: &str) {
    let keys = KeySource::jwks(&jwks([key.clone()]), &algorithms(algorithm)).unwrap();
    let verifier = verifier_with(settings(keys, algorithm));
    let good = outcome(&verifier, &format!("{header}.{payload}.{signature}")).await.err();
    assert!(signature_is_valid(good), "{good:?}");

    let mut other = from_base64url(payload);
    *other.last_mut().unwrap() ^= 1;
    let bad = outcome(&verifier, &format!("{header}.{}.{signature}", base64url(other))).await.err();
    assert_eq!(bad, Some("signature_invalid"));
}
