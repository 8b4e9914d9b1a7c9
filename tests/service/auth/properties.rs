//! Properties of all inputs. `PROPTEST_CASES` says how many are tried; `make fuzz` tries many.

use std::cell::Cell;

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, header};
use imaging_study::Config as ServiceConfig;
use imaging_study::auth::{KeySource, PatientFilter, Principal, Verifier};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use table::id::{FhirId, SiteId};
use table::subject::BaseUrl;

use super::support::*;

fn patient(id: &str, base_urls: &[&str]) -> PatientFilter {
    let base_urls = base_urls.iter().map(|url| BaseUrl::parse(url).unwrap()).collect();
    PatientFilter { ids: Some(vec![FhirId::parse(id).unwrap()]), base_urls }
}

/// The outcome of a token. None has to wait for a key.
fn authenticated(verifier: &Verifier, headers: &HeaderMap) -> Result<Principal, &'static str> {
    let authenticated = super::support::authenticated(verifier, headers);
    code(authenticated.now_or_never().expect("the keys are there"))
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (NOW - 100..NOW + 100).prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(vec![
            ISSUER, AUDIENCE, "4", "ES256", "EdDSA", "JWT", "sig", "verify", "patient/*.rs", "ADMIN"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map("[a-zA-Z/~]{0,8}", inner, 0..6).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// An object with these members: mostly valid (missing, if null), else missing or anything.
fn nearly(good: &Value) -> impl Strategy<Value = Value> + use<> {
    let good: Vec<_> = good.as_object().unwrap().clone().into_iter().collect();
    let members: Vec<_> = good
        .into_iter()
        .map(|(name, value)| {
            let good = Some(value).filter(|value| !value.is_null());
            let value = prop_oneof![16 => Just(good), 1 => Just(None), 2 => any_json().prop_map(Some)];
            value.prop_map(move |value| value.map(|value| (name.clone(), value)))
        })
        .collect();
    members.prop_map(|members| members.into_iter().flatten().collect())
}

#[derive(Clone, Debug)]
enum Mutation {
    Replace(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Swap(Index, Index),
    CutAt(Index),
    Repeat(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = || prop_oneof![select(b"ABab01-_.=+/ ,\"{".to_vec()), 0x20..=0x7e_u8, 0x80..=0xff_u8];
    prop_oneof![
        4 => (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        2 => (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        2 => any::<Index>().prop_map(Mutation::Remove),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Mutation::Swap(a, b)),
        1 => any::<Index>().prop_map(Mutation::CutAt),
        1 => any::<Index>().prop_map(Mutation::Repeat),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let length = bytes.len();
    if length == 0 {
        return;
    }
    match mutation {
        Mutation::Replace(at, byte) => bytes[at.index(length)] = *byte,
        Mutation::Insert(at, byte) => bytes.insert(at.index(length + 1), *byte),
        Mutation::Remove(at) => drop(bytes.remove(at.index(length))),
        Mutation::Swap(a, b) => bytes.swap(a.index(length), b.index(length)),
        Mutation::CutAt(at) => bytes.truncate(at.index(length)),
        Mutation::Repeat(at) => bytes.extend_from_within(at.index(length)..),
    }
}

/// Tries `property` on values of `strategy`. It tells whether its assertions had something to say about the value; to so
/// many of a hundred they must.
fn for_each<S: Strategy>(
    percent: u32,
    strategy: S,
    property: impl Fn(S::Value) -> Result<bool, TestCaseError>,
) {
    let config = Config { source_file: Some(file!()), ..Config::default() };
    let (cases, applied) = (config.cases, Cell::new(0));
    let outcome = TestRunner::new(config).run(&strategy, |value| {
        applied.set(applied.get() + u32::from(property(value)?));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let applied = applied.get();
    assert!(applied * 100 >= cases * percent, "it applied to {applied} of {cases}: the generator has rotted");
}

/// A token of a key of each kind.
fn good_token() -> impl Strategy<Value = String> {
    (0..5_usize).prop_map(|which| [&*ED25519, &P256, &P384, &RSA, &SECRET][which].token(&claims()))
}

/// Bytes that a header may have.
fn visible() -> impl Strategy<Value = u8> {
    prop_oneof![0x20..=0x7e_u8, 0x80..=0xff_u8]
}

#[test]
fn no_mutation_of_a_token_is_accepted() {
    for_each(6, (good_token(), vec(mutation(), 1..4)), |(good, mutations)| {
        let verifier = verifier();
        prop_assert_eq!(authenticated(&verifier, &bearer(&good)).err(), None);
        let mut mutated = good.clone().into_bytes();
        for mutation in &mutations {
            mutate(&mut mutated, mutation);
        }
        // Spaces between scheme and token are no part of it.
        let trimmed: Vec<u8> = mutated.iter().copied().skip_while(|&byte| byte == b' ').collect();
        if trimmed == good.as_bytes() {
            return Ok(false);
        }
        let headers = authorization(&[b"Bearer ", &mutated[..]].concat());
        let rejected = authenticated(&verifier, &headers).err();
        prop_assert!(rejected.is_some());
        Ok(rejected == Some("signature_invalid"))
    });
}

#[test]
fn no_flipped_bit_of_a_token_is_accepted() {
    for_each(50, (good_token(), any::<Index>(), 0..8_u32), |(good, at, bit)| {
        let mut segments: Vec<Vec<u8>> = good.split('.').map(from_base64url).collect();
        let mut at = at.index(segments.iter().map(Vec::len).sum());
        for segment in &mut segments {
            if at < segment.len() {
                segment[at] ^= 1 << bit;
                break;
            }
            at -= segment.len();
        }
        let token: Vec<String> = segments.iter().map(base64url).collect();
        let rejected = authenticated(&verifier(), &bearer(&token.join("."))).err();
        prop_assert!(rejected.is_some());
        Ok(rejected == Some("signature_invalid"))
    });
}

#[test]
fn no_random_authorization_header_is_accepted() {
    let value = (select(vec!["Bearer ", "bearer ", "Basic ", ""]), vec(visible(), 0..200));
    for_each(15, vec(value, 0..3), |values| {
        let mut headers = HeaderMap::new();
        for (scheme, rest) in values {
            let value = HeaderValue::from_bytes(&[scheme.as_bytes(), &rest].concat()).unwrap();
            headers.append(header::AUTHORIZATION, value);
        }
        let rejected = authenticated(&verifier(), &headers).err();
        prop_assert!(rejected.is_some());
        Ok(rejected == Some("token_malformed"))
    });
}

#[test]
fn no_random_segments_are_accepted() {
    for_each(10, vec(vec(any::<u8>(), 0..100), 1..5), |segments| {
        let segments: Vec<String> = segments.iter().map(base64url).collect();
        let rejected = authenticated(&verifier(), &bearer(&segments.join("."))).err();
        prop_assert!(rejected.is_some());
        Ok(rejected == Some("header_malformed"))
    });
}

#[test]
fn no_random_bytes_are_accepted_even_if_they_are_signed() {
    for_each(90, (vec(any::<u8>(), 0..60), vec(any::<u8>(), 0..60)), |(header, payload)| {
        let rejected =
            |header: &str| authenticated(&verifier(), &bearer(&ED25519.sign(header, &payload))).err();
        prop_assert!(rejected(&String::from_utf8_lossy(&header)).is_some());
        let with_good_header = rejected(&ED25519.header().to_string());
        prop_assert!(with_good_header.is_some());
        Ok(with_good_header == Some("claims_malformed"))
    });
}

#[test]
fn a_token_is_accepted_only_with_a_header_as_it_should_be() {
    let header = nearly(&json!({
        "alg": "EdDSA", "kid": "ed", "typ": "JWT", "crit": null, "b64": null, "cty": null, "jku": "x", "jwk": {},
    }));
    for_each(20, header, |header| {
        let token = ED25519.sign(&header.to_string(), claims().to_string().as_bytes());
        let accepted = authenticated(&verifier(), &bearer(&token)).is_ok();
        if accepted {
            prop_assert_eq!(&header["alg"], "EdDSA");
            prop_assert!(header.get("kid").is_none_or(|kid| kid == "ed"));
            prop_assert!(["crit", "b64", "cty"].iter().all(|name| header.get(name).is_none()));
            prop_assert!(header.get("typ").is_none_or(|typ| typ == "JWT"));
        }
        Ok(accepted)
    });
}

#[test]
fn a_token_is_accepted_only_with_claims_as_they_should_be() {
    let claims = nearly(&json!({
        "iss": ISSUER, "aud": AUDIENCE, "client_id": AUDIENCE, "exp": NOW, "nbf": NOW, "iat": NOW, "sub": "a",
        "scope": "openid", "siteIds": ["4"], "patient": "7", "role": "USER",
    }));
    for_each(10, claims, |claims| {
        let principal = authenticated(&verifier(), &bearer(&ED25519.token(&claims)));
        let Ok(principal) = principal else { return Ok(false) };
        prop_assert_eq!(&claims["iss"], ISSUER);
        let audience = claims.get("aud").unwrap_or(&claims["client_id"]);
        let ours = |value: &Value| value == AUDIENCE;
        prop_assert!(ours(audience) || audience.as_array().is_some_and(|all| all.iter().any(ours)));
        let now = json!(NOW).as_f64();
        prop_assert!(claims["exp"].as_f64() > now.map(|now| now - 30.0));
        for name in ["nbf", "iat"] {
            prop_assert!(claims.get(name).is_none_or(|time| time.as_f64() <= now.map(|now| now + 30.0)));
        }
        prop_assert!(claims.get("sub").is_none_or(Value::is_string));
        prop_assert!(claims.get("cnf").is_none());
        let sites = &claims["siteIds"];
        let four = |value: &Value| value == "4" || value == &json!(4);
        let granted = four(sites) || sites.as_array().is_some_and(|all| all.iter().any(four));
        prop_assert!(principal.authorize(&SiteId::parse("4").unwrap()).is_err() || granted);
        Ok(true)
    });
}

#[test]
fn a_patient_reads_only_references_that_name_the_patient() {
    let id = "[0-9a.-]{1,3}";
    let reference = (
        prop_oneof![
            2 => select(vec!["", "https://a/"]),
            1 => select(vec!["http://a/", "https://a", "https://a/x/", "https://ab/", "/", "a/"]),
        ],
        prop_oneof![3 => Just("Patient/"), 1 => select(vec!["patient/", "Group/", "Patient//", ""])],
        prop_oneof![3 => Just(None), 1 => id.prop_map(Some)],
        prop_oneof![
            2 => select(vec!["", "/_history/1"]),
            1 => select(vec!["/_history/", "/_history", "/", "/x", "0", "#"]),
        ],
    );
    for_each(10, (id, reference), |(id, (base, resource, other, end))| {
        let reference = format!("{base}{resource}{}{end}", other.as_ref().unwrap_or(&id));
        let names_the_patient = ["", "https://a/"].contains(&base)
            && resource == "Patient/"
            && format!("{}{end}", other.as_ref().unwrap_or(&id)).split('/').next() == Some(&*id)
            && (end.is_empty() || end == "/_history/1" || end == "0");
        prop_assert_eq!(
            patient(&id, &["https://a"]).permits(Some(&reference)),
            names_the_patient,
            "{}",
            reference
        );
        Ok(names_the_patient)
    });
}

#[test]
fn a_key_that_is_nearly_right_verifies_nothing_but_its_own_tokens() {
    let key = merged(ED25519.jwk(), &json!({"use": "sig", "key_ops": ["verify"], "alg": "EdDSA"}));
    let impostor = Signer::ed25519("ed");
    for_each(20, nearly(&key), |key| {
        let Ok(keys) = KeySource::jwks(&jwks([key]), &algorithms("EdDSA")) else { return Ok(false) };
        let verifier = verifier_with(settings(keys, "EdDSA"));
        prop_assert!(authenticated(&verifier, &bearer(&impostor.token(&claims()))).is_err());
        Ok(authenticated(&verifier, &bearer(&ED25519.token(&claims()))).is_ok())
    });
}

#[test]
fn a_damaged_key_set_verifies_nothing_but_tokens_of_the_keys_that_are_left() {
    let signers = [&*ED25519, &P256, &P384, &RSA, &SECRET];
    let set = jwks(signers.map(Signer::jwk));
    let impostors = [Signer::ed25519("ed"), Signer::p256("p256"), Signer::p384("p384")];
    for_each(15, vec(mutation(), 1..6), |mutations| {
        let mut text = set.clone().into_bytes();
        for mutation in &mutations {
            mutate(&mut text, mutation);
        }
        let keys = KeySource::jwks(&String::from_utf8_lossy(&text), &algorithms(EVERY_ALGORITHM));
        let Ok(keys) = keys else { return Ok(false) };
        let verifier = verifier_with(settings(keys, EVERY_ALGORITHM));
        for impostor in &impostors {
            prop_assert!(authenticated(&verifier, &bearer(&impostor.token(&claims()))).is_err());
        }
        Ok(signers.iter().any(|signer| authenticated(&verifier, &bearer(&signer.token(&claims()))).is_ok()))
    });
}

#[test]
fn a_configuration_is_read_as_it_is_or_rejected_by_the_name_of_a_variable() {
    let environment = nearly(&json!({
        "TABLE_NAME": "ImagingStudies", "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE, "JWT_JWKS_URL": null,
        "JWT_JWKS_SECRET_ARN": null, "JWT_JWKS": jwks([ED25519.jwk()]), "JWT_ALGORITHMS": "EdDSA",
        "JWT_LEEWAY_SECONDS": "30", "SITE_CLAIM": "siteIds", "ALL_SITES": "role=ADMIN", "SMART_SCOPES": "optional",
        "SUBJECT_BASE_URLS": "https://a", "CONSISTENT_READ": "true", "AWS_ENDPOINT_URL_DYNAMODB": null,
    }));
    for_each(10, environment, |environment| {
        let value = |name: &str| match environment.get(name)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        match ServiceConfig::from_env(value) {
            Ok(config) => {
                prop_assert_eq!(Some(config.table_name), value("TABLE_NAME"));
                prop_assert_eq!(
                    config.consistent_read,
                    value("CONSISTENT_READ").is_some_and(|value| value == "true")
                );
                Ok(true)
            }
            Err(error) => {
                let message = error.to_string();
                let name = message.split([':', ' ']).next().unwrap();
                prop_assert!(name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{}", message);
                Ok(false)
            }
        }
    });
}
