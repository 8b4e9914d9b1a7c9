//! Properties of all inputs. `PROPTEST_CASES` says how many are tried; `make fuzz` tries many.

use std::collections::HashMap;

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, header};
use imaging_study::auth::{AllSites, ClaimPath, KeySource, PatientFilter, Principal, Verifier};
use imaging_study::config::Config;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use table::id::{FhirId, SiteId};
use table::subject::BaseUrl;

use crate::support::*;

/// Scopes that grant everything, something and nothing.
const SCOPES: [&str; 7] = [
    "openid",
    "launch/patient",
    "patient/ImagingStudy.rs",
    "patient/*.read",
    "user/Patient.rs",
    "user/ImagingStudy.r",
    "patient/ImagingStudy.r?status=available",
];

fn patient(id: &str, base_urls: &[&str]) -> PatientFilter {
    let base_urls = base_urls.iter().map(|url| BaseUrl::parse(url).unwrap()).collect();
    PatientFilter { ids: Some(vec![FhirId::parse(id).unwrap()]), base_urls }
}

/// The outcome of a token. None has to wait for a key.
fn authenticated(verifier: &Verifier, headers: &HeaderMap) -> Result<Principal, &'static str> {
    let authenticated = crate::support::authenticated(verifier, headers);
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
            ISSUER,
            AUDIENCE,
            "4",
            "ES256",
            "EdDSA",
            "JWT",
            "sig",
            "verify",
            "patient/*.rs",
            "ADMIN"
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

proptest! {
    #[test]
    fn no_mutation_of_a_token_is_accepted(which in 0..5_usize, mutations in vec(mutation(), 1..4)) {
        let good = [&*ED25519, &P256, &P384, &RSA, &SECRET][which].token(&claims());
        let verifier = verifier();
        prop_assert_eq!(authenticated(&verifier, &bearer(&good)).err(), None);

        let mut mutated = good.clone().into_bytes();
        for mutation in &mutations {
            mutate(&mut mutated, mutation);
        }
        // Spaces between scheme and token are no part of it.
        let trimmed: Vec<u8> = mutated.iter().copied().skip_while(|&byte| byte == b' ').collect();
        prop_assume!(trimmed != good.as_bytes());
        let headers = authorization(&[b"Bearer ", &mutated[..]].concat());
        prop_assert!(authenticated(&verifier, &headers).is_err());
    }

    #[test]
    fn no_flipped_bit_of_a_token_is_accepted(which in 0..5_usize, at in any::<Index>(), bit in 0..8_u32) {
        let good = [&*ED25519, &P256, &P384, &RSA, &SECRET][which].token(&claims());
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
        prop_assert!(authenticated(&verifier(), &bearer(&token.join("."))).is_err());
    }

    #[test]
    fn any_authorization_is_answered(values in vec(vec(any::<u8>(), 0..200), 0..3)) {
        let values = values.into_iter().filter_map(|value| HeaderValue::from_bytes(&value).ok());
        let headers: HeaderMap = values.fold(HeaderMap::new(), |mut headers, value| {
            headers.append(header::AUTHORIZATION, value);
            headers
        });
        prop_assert!(authenticated(&verifier(), &headers).is_err());
    }

    #[test]
    fn any_three_segments_are_answered(segments in vec(vec(any::<u8>(), 0..100), 1..5)) {
        let segments: Vec<String> = segments.iter().map(base64url).collect();
        prop_assert!(authenticated(&verifier(), &bearer(&segments.join("."))).is_err());
    }

    #[test]
    fn any_bytes_that_are_signed_are_answered(header in vec(any::<u8>(), 0..60), payload in vec(any::<u8>(), 0..60)) {
        let header = String::from_utf8_lossy(&header).into_owned();
        prop_assert!(authenticated(&verifier(), &bearer(&ED25519.sign(&header, &payload))).is_err());
        prop_assert!(authenticated(&verifier(), &bearer(&ED25519.sign(&ED25519.header().to_string(), &payload))).is_err());
    }

    #[test]
    fn a_header_is_accepted_only_as_it_should_be(
        header in nearly(&json!({
            "alg": "EdDSA", "kid": "ed", "typ": "JWT", "crit": null, "b64": null, "cty": null, "jku": "x", "jwk": {},
        })),
    ) {
        let token = ED25519.sign(&header.to_string(), claims().to_string().as_bytes());
        if authenticated(&verifier(), &bearer(&token)).is_ok() {
            prop_assert_eq!(&header["alg"], "EdDSA");
            prop_assert!(header.get("kid").is_none_or(|kid| kid == "ed"));
            prop_assert!(["crit", "b64", "cty"].iter().all(|name| header.get(name).is_none()));
            prop_assert!(header.get("typ").is_none_or(|typ| typ == "JWT"));
        }
    }

    #[test]
    fn claims_are_accepted_only_as_they_should_be(
        claims in nearly(&json!({
            "iss": ISSUER, "aud": AUDIENCE, "client_id": AUDIENCE, "exp": NOW, "nbf": NOW, "iat": NOW, "sub": "a",
            "scope": "openid", "siteIds": ["4"], "patient": "7", "role": "USER",
        })),
    ) {
        let token = ED25519.token(&claims);
        if let Ok(principal) = authenticated(&verifier(), &bearer(&token)) {
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
            let patients = principal.authorize(&SiteId::parse("4").unwrap());
            prop_assert!(patients.is_err() || granted);
        }
    }

    #[test]
    fn any_claims_and_any_path_into_them_are_answered(
        claims in any_json(),
        path in "(/[a-zA-Z/~01]{0,6}|[ -~]{0,6})",
        rule in "[a-z/~01]{0,4}=[a-zA-Z]{0,5}",
        site in "[a-z0-9.]{1,4}",
    ) {
        let keys = KeySource::jwks(&jwks([ED25519.jwk()]), &algorithms("EdDSA")).unwrap();
        let mut settings = settings(keys, "EdDSA");
        if let Some(path) = ClaimPath::parse(&path) {
            settings.access.site_claim = path;
        }
        settings.access.all_sites = AllSites::parse(&rule);
        let mut all = crate::support::claims();
        if let Value::Object(members) = claims {
            all.as_object_mut().unwrap().extend(members);
        }
        if let Ok(principal) = authenticated(&verifier_with(settings), &bearer(&ED25519.token(&all))) {
            let _ = principal.authorize(&SiteId::parse(&site).unwrap());
        }
    }

    #[test]
    fn the_same_scopes_grant_the_same_however_they_are_spread(
        scopes in vec(select(SCOPES.to_vec()), 0..6),
        claims in vec(select(vec!["scope", "scp"]), 6),
        starts_entry in vec(any::<bool>(), 6),
        as_list in any::<[bool; 2]>(),
        spaces in vec(select(vec![" ", "  "]), 6),
    ) {
        let grant = |members: Value| {
            let claims = claims_with(&merged(members, &json!({"patient": "7"})));
            let principal = authenticated(&verifier(), &bearer(&ED25519.token(&claims))).unwrap();
            principal.authorize(&SiteId::parse("4").unwrap())
        };
        let mut spread = json!({});
        for (name, as_list) in ["scope", "scp"].into_iter().zip(as_list) {
            let mut entries: Vec<String> = Vec::new();
            for (i, scope) in scopes.iter().enumerate().filter(|(i, _)| claims[*i] == name) {
                match entries.last_mut().filter(|_| !(as_list && starts_entry[i])) {
                    Some(entry) => entry.extend([spaces[i], scope]),
                    None => entries.push(scope.to_string()),
                }
            }
            spread[name] = if as_list { json!(entries) } else { json!(entries.concat()) };
        }
        prop_assert_eq!(grant(spread.clone()), grant(json!({"scope": scopes.join(" ")})), "{}", spread);
    }

    #[test]
    fn a_patient_reads_only_references_that_name_the_patient(
        id in "[0-9a.-]{1,3}",
        reference in "((https?://)?[a-z/]{0,4}Patient/)?[0-9a./-]{0,4}(/_history/[0-9]?)?",
    ) {
        if patient(&id, &["https://a"]).permits(Some(&reference)) {
            let relative = reference.strip_prefix("https://a/").unwrap_or(&reference);
            let mut segments = relative.split('/');
            prop_assert_eq!((segments.next(), segments.next()), (Some("Patient"), Some(&*id)));
            prop_assert!(matches!(
                (segments.next(), segments.next(), segments.next()),
                (None, None, None) | (Some("_history"), Some(_), None)
            ));
        }
    }

    #[test]
    fn any_key_set_is_read(text in any::<String>(), keys in vec(any_json(), 0..4)) {
        let _ = KeySource::jwks(&text, &algorithms(EVERY_ALGORITHM));
        let _ = KeySource::jwks(&jwks(keys), &algorithms(EVERY_ALGORITHM));
    }

    #[test]
    fn nearly_a_key_verifies_nothing_but_its_own(
        key in nearly(&merged(ED25519.jwk(), &json!({"use": "sig", "key_ops": ["verify"], "alg": "EdDSA"}))),
    ) {
        if let Ok(keys) = KeySource::jwks(&jwks([key]), &algorithms("EdDSA")) {
            let verifier = verifier_with(settings(keys, "EdDSA"));
            prop_assert!(authenticated(&verifier, &bearer(&Signer::ed25519("ed").token(&claims()))).is_err());
        }
    }

    #[test]
    fn a_mutated_key_set_is_read(mutations in vec(mutation(), 1..6)) {
        let mut text = jwks([ED25519.jwk(), P256.jwk(), RSA.jwk(), SECRET.jwk()]).into_bytes();
        for mutation in &mutations {
            mutate(&mut text, mutation);
        }
        let _ = KeySource::jwks(&String::from_utf8_lossy(&text), &algorithms(EVERY_ALGORITHM));
    }

    #[test]
    fn any_configuration_is_read(
        values in btree_map(
            select(vec![
                "TABLE_NAME", "JWT_ISSUER", "JWT_AUDIENCE", "JWT_JWKS_URL", "JWT_JWKS_SECRET_ARN", "JWT_JWKS",
                "JWT_ALGORITHMS", "JWT_LEEWAY_SECONDS", "SITE_CLAIM", "ALL_SITES", "SMART_SCOPES", "SUBJECT_BASE_URLS", "CONSISTENT_READ",
                "AWS_ENDPOINT_URL_DYNAMODB",
            ]),
            prop_oneof![
                any::<String>(), "[ -~]{0,20}", "https://[a-z.:/?#@]{0,12}", "arn:[a-z0-9:/-]{0,60}", "[0-9]{1,20}",
            ],
            0..13,
        ),
    ) {
        let environment: HashMap<&str, String> = values.into_iter().collect();
        let _ = Config::from_env(|name| environment.get(name).map(ToString::to_string));
    }
}
