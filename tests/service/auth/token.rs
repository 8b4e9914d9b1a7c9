//! The rules for tokens, at the handler: each attack changes one thing about a token that is accepted.

use std::sync::LazyLock;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use imaging_study::auth::{Issuer, KeySource, Principal};
use serde_json::{Value, json};
use testkit::log::Log;
use tracing::level_filters::LevelFilter;

use super::api::Api;
use super::support::*;

/// Requests that must be rejected: the name of each, its headers and the reason.
macro_rules! rejected {
    ($test:ident: $($name:ident: $headers:expr => $reason:literal,)*) => {
        #[tokio::test]
        async fn $test() {
            let api = Api::new(verifier()).await;
            for (name, headers, reason) in [$((stringify!($name), $headers, $reason)),*] {
                api.get(headers.clone()).await.assert_unauthorized(name, reason, &headers);
            }
        }
    };
}

fn with_claims(changes: &Value) -> HeaderMap {
    bearer(&P256.token(&claims_with(changes)))
}

/// With one more claim as JSON text, which need not be text that a serializer writes.
fn with_claim_text(member: &str) -> HeaderMap {
    with_payload(claims().to_string().replacen('{', &format!("{{{member},"), 1).as_bytes())
}

fn with_payload(payload: &[u8]) -> HeaderMap {
    bearer(&P256.sign(&P256.header().to_string(), payload))
}

fn with_header(changes: &Value) -> HeaderMap {
    with_header_text(&merged(P256.header(), changes).to_string())
}

fn with_header_text(header: &str) -> HeaderMap {
    bearer(&P256.sign(header, claims().to_string().as_bytes()))
}

/// A good token with its three segments changed.
fn with_segments(change: impl Fn(&str, &str, &str) -> String) -> HeaderMap {
    let token = P256.token(&claims());
    let segments: Vec<&str> = token.split('.').collect();
    bearer(&change(segments[0], segments[1], segments[2]))
}

/// A good token with another signature.
fn with_signature(change: impl Fn(&[u8]) -> Vec<u8>) -> HeaderMap {
    with_segments(|h, p, s| format!("{h}.{p}.{}", base64url(change(&from_base64url(s)))))
}

/// A token of another algorithm's name, "signed" by no more than these bytes.
fn signed_by_nobody(alg: &str, signature: &str) -> HeaderMap {
    let header = json!({"alg": alg, "kid": P256.kid}).to_string();
    bearer(&format!("{}.{}.{signature}", base64url(header), base64url(claims().to_string())))
}

/// The confusion of a public RSA key with an HMAC secret, under the `kid` of the RSA key.
fn hmac_by(secret: &[u8]) -> HeaderMap {
    bearer(&Signer::hmac("HS256", &RSA.kid, secret).token(&claims()))
}

/// The same under the `kid` of the trusted HMAC key.
fn hmac_under_its_own_kid(secret: &[u8]) -> HeaderMap {
    bearer(&Signer::hmac("HS256", &SECRET.kid, secret).token(&claims()))
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

/// Two `Authorization` headers.
fn repeated(first: &str, second: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.append(AUTHORIZATION, HeaderValue::from_str(first).unwrap());
    headers.append(AUTHORIZATION, HeaderValue::from_str(second).unwrap());
    headers
}

/// A token of the attacker's own key under a trusted name, with additional header members.
fn by_impostor(changes: &Value) -> HeaderMap {
    let header = merged(P256.header(), changes);
    bearer(&IMPOSTOR.sign(&header.to_string(), claims().to_string().as_bytes()))
}

/// A token whose header says one thing and whose signer is another.
fn signed_by(signer: &Signer, header: &str) -> HeaderMap {
    bearer(&signer.sign(header, claims().to_string().as_bytes()))
}

/// The required claims and these members.
fn with_bare_claims(members: &str) -> HeaderMap {
    with_payload(format!(r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}",{members}}}"#).as_bytes())
}

fn other_header(name: &'static str, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
}

fn good() -> String {
    P256.token(&claims())
}

/// A signer of the attacker's own under a name that is trusted.
static IMPOSTOR: LazyLock<Signer> = LazyLock::new(|| Signer::p256(&P256.kid));

rejected! {
    what_jsonwebtoken_alone_accepts_is_rejected:
    aud_missing: with_claims(&json!({"aud": null})) => "audience_wrong",
    aud_number: with_claims(&json!({"aud": 123})) => "audience_wrong",
    aud_object: with_claims(&json!({"aud": {}})) => "audience_wrong",
    aud_null:
        with_payload(br#"{"iss":"https://issuer.example","aud":null,"exp":1800000300}"#)
        => "audience_wrong",
    aud_list_with_a_number: with_claims(&json!({"aud": [1, AUDIENCE]})) => "audience_wrong",
    iss_missing: with_claims(&json!({"iss": null})) => "issuer_wrong",
    iss_number: with_claims(&json!({"iss": 5})) => "issuer_wrong",
    iss_list_with_ours: with_claims(&json!({"iss": ["https://evil.example", ISSUER]})) => "issuer_wrong",
    nbf_in_the_future: with_claims(&json!({"nbf": NOW + 31})) => "token_not_yet_valid",
    iat_in_the_far_future: with_claims(&json!({"iat": NOW + 31})) => "issued_in_future",
    iat_string: with_claims(&json!({"iat": NOW.to_string()})) => "time_malformed",
    exp_in_thirty_billion_years: with_claims(&json!({"exp": 1e18})) => "time_malformed",
    exp_fraction_past_the_leeway: with_claims(&json!({"exp": 1_799_999_969.9})) => "token_expired",
    exp_59_seconds_ago: with_claims(&json!({"exp": NOW - 59})) => "token_expired",
    crit_list: with_header(&json!({"crit": ["x"]})) => "header_unsupported",
    crit_b64_false: with_header(&json!({"crit": ["b64"], "b64": false})) => "header_unsupported",
    crit_empty: with_header(&json!({"crit": []})) => "header_unsupported",
    crit_null: with_header_text(r#"{"alg":"ES256","kid":"p256","crit":null}"#) => "header_unsupported",
    typ_dpop: with_header(&json!({"typ": "dpop+jwt"})) => "type_refused",
    cty_jwt: with_header(&json!({"cty": "JWT"})) => "header_unsupported",
    claim_twice: with_claim_text(r#""siteIds":["5"]"#) => "claims_malformed",
}

rejected! {
    a_token_with_a_header_that_is_not_allowed_is_rejected:
    crit_string: with_header(&json!({"crit": "x"})) => "header_unsupported",
    crit_that_names_what_is_understood: with_header(&json!({"crit": ["alg"]})) => "header_unsupported",
    b64_true: with_header(&json!({"b64": true})) => "header_unsupported",
    b64_false_without_crit: with_header(&json!({"b64": false})) => "header_unsupported",
    cty_empty: with_header(&json!({"cty": ""})) => "header_unsupported",
    typ_id_token: with_header(&json!({"typ": "id_token+jwt"})) => "type_refused",
    typ_logout: with_header(&json!({"typ": "logout+jwt"})) => "type_refused",
    typ_empty: with_header(&json!({"typ": ""})) => "type_refused",
    typ_other_media_type: with_header(&json!({"typ": "text/at+jwt"})) => "type_refused",
    typ_application_twice: with_header(&json!({"typ": "application/application/jwt"})) => "type_refused",
    typ_number: with_header(&json!({"typ": 1})) => "header_malformed",
    typ_null: with_header_text(r#"{"alg":"ES256","kid":"p256","typ":null}"#) => "header_malformed",
    alg_missing: with_header_text(r#"{"kid":"p256"}"#) => "header_malformed",
    alg_number: with_header(&json!({"alg": 256})) => "header_malformed",
    alg_list: with_header(&json!({"alg": ["ES256"]})) => "header_malformed",
    alg_lower_case: with_header(&json!({"alg": "es256"})) => "algorithm_refused",
    alg_not_configured: with_header(&json!({"alg": "RS512"})) => "algorithm_refused",
    alg_unknown: with_header(&json!({"alg": "ES512"})) => "algorithm_refused",
    alg_of_encryption: with_header(&json!({"alg": "RSA-OAEP", "enc": "A128GCM"})) => "algorithm_refused",
    alg_none: signed_by_nobody("none", "") => "algorithm_refused",
    alg_none_with_a_signature: signed_by_nobody("none", "AAAA") => "algorithm_refused",
    alg_none_in_other_case: signed_by_nobody("nOnE", "") => "algorithm_refused",
    alg_empty: signed_by_nobody("", "") => "algorithm_refused",
    alg_twice: with_header_text(r#"{"alg":"none","alg":"ES256","kid":"p256"}"#) => "header_malformed",
    alg_twice_by_escape:
        with_header_text(r#"{"alg":"ES256","\u0061lg":"none","kid":"p256"}"#)
        => "header_malformed",
    kid_twice: with_header_text(r#"{"alg":"ES256","kid":"p256","kid":"ed"}"#) => "header_malformed",
    nested_member_twice:
        with_header_text(r#"{"alg":"ES256","kid":"p256","x":{"a":1,"a":2}}"#)
        => "header_malformed",
    header_list: with_header_text(r#"[{"alg":"ES256","kid":"p256"}]"#) => "header_malformed",
    header_empty: with_header_text("") => "header_malformed",
    header_with_more_after_it: with_header_text(r#"{"alg":"ES256","kid":"p256"}{}"#) => "header_malformed",
    header_with_a_byte_order_mark:
        with_header_text("\u{feff}{\"alg\":\"ES256\",\"kid\":\"p256\"}")
        => "header_malformed",
    header_nested_without_end:
        with_header_text(&format!(r#"{{"alg":"ES256","kid":"p256","x":{}"#, "[".repeat(3000)))
        => "header_malformed",
}

rejected! {
    a_token_that_brings_its_key_or_names_one_that_is_not_trusted_is_rejected:
    jwk_of_the_attacker: by_impostor(&json!({"jwk": IMPOSTOR.jwk()})) => "signature_invalid",
    jwk_without_kid: by_impostor(&json!({"kid": null, "jwk": IMPOSTOR.jwk()})) => "signature_invalid",
    jku_of_the_attacker:
        by_impostor(&json!({"jku": "https://evil.example/jwks.json"}))
        => "signature_invalid",
    x5u_of_the_attacker: by_impostor(&json!({"x5u": "https://evil.example/x5u.pem"})) => "signature_invalid",
    x5c_of_the_attacker: by_impostor(&json!({"x5c": ["AAAA"]})) => "signature_invalid",
    another_key_under_a_trusted_kid: bearer(&IMPOSTOR.token(&claims())) => "signature_invalid",
    kid_unknown: with_header(&json!({"kid": "p257"})) => "key_unknown",
    kid_in_other_case: with_header(&json!({"kid": "P256"})) => "key_unknown",
    kid_empty: with_header(&json!({"kid": ""})) => "key_unknown",
    kid_path: with_header(&json!({"kid": "../../../../dev/null"})) => "key_unknown",
    kid_sql: with_header(&json!({"kid": "x' UNION SELECT 'key' --"})) => "key_unknown",
    kid_url: with_header(&json!({"kid": "https://evil.example/jwks.json"})) => "key_unknown",
    kid_with_a_nul: with_header(&json!({"kid": "p256\u{0}"})) => "key_unknown",
    kid_of_256_bytes: with_header(&json!({"kid": "k".repeat(256)})) => "key_unknown",
    kid_of_257_bytes: with_header(&json!({"kid": "k".repeat(257)})) => "header_malformed",
    kid_number: with_header(&json!({"kid": 256})) => "header_malformed",
    kid_null: with_header_text(r#"{"alg":"ES256","kid":null}"#) => "header_malformed",
    kid_object: with_header(&json!({"kid": {"p256": true}})) => "header_malformed",
}

rejected! {
    a_token_signed_by_an_algorithm_that_its_key_is_not_for_is_rejected:
    rsa_key_as_pkcs1_der_for_hmac: hmac_by(&RSA.public_rsa_ders()[0]) => "algorithm_refused",
    rsa_key_as_spki_der_for_hmac: hmac_by(&RSA.public_rsa_ders()[1]) => "algorithm_refused",
    rsa_key_as_pem_for_hmac: hmac_by(pem(&RSA.public_rsa_ders()[1]).as_bytes()) => "algorithm_refused",
    rsa_key_as_pem_without_line_end_for_hmac:
        hmac_by(pem(&RSA.public_rsa_ders()[1]).trim_end().as_bytes())
        => "algorithm_refused",
    rsa_key_as_jwk_for_hmac: hmac_by(RSA.jwk().to_string().as_bytes()) => "algorithm_refused",
    rsa_modulus_for_hmac: hmac_by(RSA.jwk()["n"].as_str().unwrap().as_bytes()) => "algorithm_refused",
    rsa_key_as_pem_for_the_hmac_key:
        hmac_under_its_own_kid(pem(&RSA.public_rsa_ders()[1]).as_bytes())
        => "signature_invalid",
    rsa_key_as_jwk_for_the_hmac_key:
        hmac_under_its_own_kid(RSA.jwk().to_string().as_bytes())
        => "signature_invalid",
    empty_secret_for_the_hmac_key: hmac_under_its_own_kid(b"") => "signature_invalid",
    pss_by_a_key_of_pkcs1: bearer(&RSA.with("PS256").token(&claims())) => "algorithm_refused",
    hmac_key_named_for_es256: signed_by(&P256, r#"{"alg":"ES256","kid":"secret"}"#) => "algorithm_refused",
    es256_key_named_for_es384: signed_by(&P384, r#"{"alg":"ES384","kid":"p256"}"#) => "algorithm_refused",
    es256_signature_said_to_be_eddsa:
        signed_by(&P256, r#"{"alg":"EdDSA","kid":"ed"}"#)
        => "signature_invalid",
    es256_signature_said_to_be_hs256:
        signed_by(&P256, r#"{"alg":"HS256","kid":"secret"}"#)
        => "signature_invalid",
}

rejected! {
    a_token_with_a_wrong_signature_is_rejected:
    signature_missing: with_segments(|h, p, _| format!("{h}.{p}.")) => "signature_invalid",
    signature_of_zeros: with_signature(|_| vec![0; 64]) => "signature_invalid",
    signature_in_der: with_signature(|_| vec![0x30, 6, 2, 1, 0, 2, 1, 0]) => "signature_invalid",
    signature_cut_short: with_signature(|signature| signature[..63].to_vec()) => "signature_invalid",
    signature_with_a_byte_after_it:
        with_signature(|signature| [signature, &[0]].concat())
        => "signature_invalid",
    signature_twice: with_signature(|signature| signature.repeat(2)) => "signature_invalid",
    payload_of_another_token:
        with_segments(|h, _, s| format!("{h}.{}.{s}", base64url(claims_with(&json!({"sub": "admin"})).to_string())))
        => "signature_invalid",
    payload_in_other_white_space:
        with_segments(|h, _, s| format!("{h}.{}.{s}", base64url(format!("{} ", claims()))))
        => "signature_invalid",
}

rejected! {
    a_token_that_is_not_three_segments_of_base64url_is_rejected:
    one_segment: bearer("abc") => "token_malformed",
    two_segments: with_segments(|h, p, _| format!("{h}.{p}")) => "token_malformed",
    four_segments: with_segments(|h, p, s| format!("{h}.{p}.{s}.")) => "token_malformed",
    five_segments: with_segments(|h, p, s| format!("{h}.{p}.{s}.{p}.{s}")) => "token_malformed",
    five_segments_of_encryption:
        bearer("eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..AAAA.AAAA.AAAA")
        => "token_malformed",
    json_serialization:
        with_segments(|h, p, s| json!({"protected": h, "payload": p, "signature": s}).to_string())
        => "token_malformed",
    json_serialization_general:
        with_segments(|h, p, s| json!({"payload": p, "signatures": [{"protected": h, "signature": s}]}).to_string())
        => "token_malformed",
    padding: with_segments(|h, p, s| format!("{h}.{p}.{s}==")) => "token_malformed",
    padding_of_the_header: with_segments(|h, p, s| format!("{h}=.{p}.{s}")) => "token_malformed",
    plain_base64_alphabet: with_segments(|h, p, s| format!("{h}.{p}.+/{}", &s[2..])) => "token_malformed",
    trailing_bits_that_are_not_zero:
        with_segments(|h, p, s| format!("{h}.{p}.{}", &s.replace(|_| true, "B")[..86]))
        => "token_malformed",
    space_within: with_segments(|h, p, s| format!("{h}. {p}.{s}")) => "token_malformed",
    space_after: with_segments(|h, p, s| format!("{h}.{p}.{s} ")) => "token_malformed",
    percent_encoded: with_segments(|h, p, s| format!("{h}%2E{p}%2E{s}")) => "token_malformed",
    quoted: with_segments(|h, p, s| format!("\"{h}.{p}.{s}\"")) => "token_malformed",
    beyond_8_kib: with_claims(&json!({"x": "x".repeat(8000)})) => "token_oversized",
    a_mebibyte: bearer(&"a".repeat(1 << 20)) => "token_oversized",
}

rejected! {
    a_request_without_exactly_one_bearer_token_in_authorization_is_rejected:
    no_authorization: HeaderMap::new() => "token_missing",
    basic: authorization(b"Basic dTpw") => "scheme_unsupported",
    scheme_alone: authorization(b"Bearer") => "token_malformed",
    scheme_and_space: authorization(b"Bearer ") => "token_malformed",
    no_scheme: authorization(good().as_bytes()) => "scheme_unsupported",
    scheme_and_tab: authorization(format!("Bearer\t{}", good()).as_bytes()) => "scheme_unsupported",
    scheme_and_colon: authorization(format!("Bearer: {}", good()).as_bytes()) => "scheme_unsupported",
    dpop_scheme: authorization(format!("DPoP {}", good()).as_bytes()) => "scheme_unsupported",
    two_headers:
        repeated(&format!("Bearer {}", good()), &format!("Bearer {}", good()))
        => "authorization_repeated",
    two_headers_of_two_schemes:
        repeated("Basic dTpw", &format!("Bearer {}", good()))
        => "authorization_repeated",
    joined_by_a_comma:
        authorization(format!("Bearer {0}, Bearer {0}", good()).as_bytes())
        => "token_malformed",
    joined_to_another_scheme:
        authorization(format!("Basic dTpw, Bearer {}", good()).as_bytes())
        => "scheme_unsupported",
    two_tokens: authorization(format!("Bearer {0} {0}", good()).as_bytes()) => "token_malformed",
    bytes_that_are_no_utf_8: authorization(b"Bearer \xff\xfe.a.b") => "token_malformed",
    letters_beyond_ascii: authorization("Bearer ä.ö.ü".as_bytes()) => "token_malformed",
    token_in_a_cookie: other_header("cookie", &format!("access_token={}", good())) => "token_missing",
    token_in_a_header_of_its_own:
        other_header("x-authorization", &format!("Bearer {}", good()))
        => "token_missing",
    token_in_proxy_authorization:
        other_header("proxy-authorization", &format!("Bearer {}", good()))
        => "token_missing",
}

rejected! {
    a_token_with_claims_that_are_not_allowed_is_rejected:
    claims_not_json: with_payload(b"site=4") => "claims_malformed",
    claims_empty: with_payload(b"") => "claims_malformed",
    claims_list: with_payload(format!("[{}]", claims()).as_bytes()) => "claims_malformed",
    claims_string: with_payload(json!(claims().to_string()).to_string().as_bytes()) => "claims_malformed",
    claims_nested_token: with_payload(good().as_bytes()) => "claims_malformed",
    claims_not_utf_8:
        with_payload(b"{\"iss\":\"https://issuer.example\",\"sub\":\"\xff\"}")
        => "claims_malformed",
    claims_in_utf_16:
        with_payload(&claims().to_string().encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>())
        => "claims_malformed",
    claims_with_half_a_surrogate: with_claim_text(r#""x":"\ud800""#) => "claims_malformed",
    claims_with_more_after_them:
        with_payload(format!("{}{}", claims(), claims()).as_bytes())
        => "claims_malformed",
    exp_twice: with_claim_text(r#""exp":9999999999"#) => "claims_malformed",
    iss_twice_by_escape: with_claim_text(r#""\u0069ss":"https://evil.example""#) => "claims_malformed",
    nested_claim_twice: with_claim_text(r#""app":{"role":"USER","role":"ADMIN"}"#) => "claims_malformed",
    iss_of_another: with_claims(&json!({"iss": "https://evil.example"})) => "issuer_wrong",
    iss_with_a_slash_more: with_claims(&json!({"iss": "https://issuer.example/"})) => "issuer_wrong",
    iss_in_other_case: with_claims(&json!({"iss": "https://ISSUER.example"})) => "issuer_wrong",
    iss_with_white_space: with_claims(&json!({"iss": "https://issuer.example "})) => "issuer_wrong",
    iss_that_begins_like_ours:
        with_claims(&json!({"iss": "https://issuer.example.evil.example"}))
        => "issuer_wrong",
    iss_star: with_claims(&json!({"iss": "*"})) => "issuer_wrong",
    iss_null: with_payload(br#"{"iss":null,"aud":"imaging-study","exp":1800000300}"#) => "issuer_wrong",
    aud_of_another: with_claims(&json!({"aud": "imaging-study-2"})) => "audience_wrong",
    aud_list_of_others: with_claims(&json!({"aud": ["a", "b"]})) => "audience_wrong",
    aud_empty: with_claims(&json!({"aud": []})) => "audience_wrong",
    aud_with_spaces_for_a_list: with_claims(&json!({"aud": "imaging-study other"})) => "audience_wrong",
    aud_in_other_case: with_claims(&json!({"aud": "Imaging-Study"})) => "audience_wrong",
    aud_star: with_claims(&json!({"aud": "*"})) => "audience_wrong",
    aud_of_another_with_our_client_id:
        with_claims(&json!({"aud": "other", "client_id": AUDIENCE}))
        => "audience_wrong",
    aud_empty_with_our_client_id:
        with_claims(&json!({"aud": [], "client_id": AUDIENCE}))
        => "audience_wrong",
    client_id_of_another: with_claims(&json!({"aud": null, "client_id": "other"})) => "audience_wrong",
    client_id_list: with_claims(&json!({"aud": null, "client_id": [AUDIENCE]})) => "audience_wrong",
    exp_missing: with_claims(&json!({"exp": null})) => "expiry_missing",
    exp_null: with_bare_claims(r#""exp":null"#) => "time_malformed",
    exp_string: with_claims(&json!({"exp": (NOW + 300).to_string()})) => "time_malformed",
    exp_list: with_claims(&json!({"exp": [NOW + 300]})) => "time_malformed",
    exp_true: with_claims(&json!({"exp": true})) => "time_malformed",
    exp_negative: with_claims(&json!({"exp": -1})) => "time_malformed",
    exp_beyond_the_largest_integer: with_claims(&json!({"exp": u64::MAX})) => "time_malformed",
    exp_1e30: with_claims(&json!({"exp": 1e30})) => "time_malformed",
    exp_infinite: with_bare_claims(r#""exp":1e999"#) => "claims_malformed",
    exp_in_milliseconds: with_claims(&json!({"exp": (NOW + 300) * 1000})) => "time_malformed",
    exp_at_the_end_of_the_leeway: with_claims(&json!({"exp": NOW - 30})) => "token_expired",
    exp_zero: with_claims(&json!({"exp": 0})) => "token_expired",
    nbf_string: with_claims(&json!({"nbf": "0"})) => "time_malformed",
    nbf_null: with_claim_text(r#""nbf":null"#) => "time_malformed",
    nbf_negative: with_claims(&json!({"nbf": -1})) => "time_malformed",
    iat_null: with_bare_claims(r#""exp":1800000300,"iat":null"#) => "time_malformed",
    token_use_id: with_claims(&json!({"token_use": "id"})) => "type_refused",
    token_use_refresh: with_claims(&json!({"token_use": "refresh"})) => "type_refused",
    token_use_not_a_string: with_claims(&json!({"token_use": ["access"]})) => "type_refused",
    claim_typ_id: with_claims(&json!({"typ": "ID"})) => "type_refused",
    claim_typ_refresh: with_claims(&json!({"typ": "Refresh"})) => "type_refused",
    claim_typ_offline: with_claims(&json!({"typ": "Offline"})) => "type_refused",
    claim_typ_logout: with_claims(&json!({"typ": "Logout"})) => "type_refused",
    sub_number: with_claims(&json!({"sub": 1})) => "subject_malformed",
    sub_null: with_bare_claims(r#""exp":1800000300,"sub":null"#) => "subject_malformed",
    cnf_empty: with_claim_text(r#""cnf":null"#) => "proof_required",
    scope_number: with_claims(&json!({"scope": 1})) => "scope_malformed",
    scp_with_a_number: with_claims(&json!({"scp": ["user/*.rs", 1]})) => "scope_malformed",
}

/// Requests that must be accepted.
macro_rules! accepted {
    ($test:ident: $($name:ident: $headers:expr,)*) => {
        #[tokio::test]
        async fn $test() {
            for (name, headers) in [$((stringify!($name), $headers)),*] {
                let reply = Api::new(verifier()).await.get(headers.clone()).await;
                assert_eq!(reply.line["reason"], "ok", "{name}");
                assert_eq!((reply.status.as_u16(), reply.reads), (200, 1), "{name}");
                assert_eq!(reply.line["issuer"], ISSUER, "{name}");
                reply.assert_discreet(&headers);
            }
        }
    };
}

accepted! {
    every_allowed_form_of_a_token_is_accepted:
    ed25519: bearer(&ED25519.token(&claims())),
    es256: bearer(&P256.token(&claims())),
    es384: bearer(&P384.token(&claims())),
    rs256: bearer(&RSA.token(&claims())),
    hs256: bearer(&SECRET.token(&claims())),
    no_kid_where_one_key_fits: signed_by(&P256, r#"{"alg":"ES256"}"#),
    no_typ: with_header_text(r#"{"alg":"ES256","kid":"p256"}"#),
    typ_access_token: with_header(&json!({"typ": "at+jwt"})),
    typ_media_type: with_header(&json!({"typ": "application/AT+JWT"})),
    typ_lower_case: with_header(&json!({"typ": "jwt"})),
    header_members_that_are_not_followed:
        with_header(&json!({"jku": "https://evil.example", "jwk": 5, "x5c": "A", "x5t": "A", "other": null})),
    aud_list_with_ours: with_claims(&json!({"aud": ["other", AUDIENCE]})),
    client_id_where_there_is_no_aud: with_claims(&json!({"aud": null, "client_id": AUDIENCE})),
    exp_within_the_leeway: with_claims(&json!({"exp": NOW - 29})),
    exp_fraction: with_claims(&json!({"exp": 1_800_000_000.5})),
    exp_at_the_end_of_9999: with_claims(&json!({"exp": 253_402_300_799_u64})),
    nbf_within_the_leeway: with_claims(&json!({"nbf": NOW + 30, "iat": NOW + 30})),
    nbf_zero: with_claims(&json!({"nbf": 0, "iat": 0})),
    no_sub_and_no_iat: with_claims(&json!({"sub": null, "iat": null})),
    scheme_in_upper_case: authorization(format!("BEARER {}", good()).as_bytes()),
    scheme_and_several_spaces: authorization(format!("bearer   {}", good()).as_bytes()),
    white_space_within_the_json: with_payload(format!("\n{} \t", claims()).as_bytes()),
}

/// Keys that must not be used although their signatures are valid: the signer, and changes to its JWK.
macro_rules! unusable_key {
    ($test:ident: $($name:ident: $signer:expr, $changes:tt,)*) => {
        #[tokio::test]
        async fn $test() {
            for (name, signer, changes) in [$((stringify!($name), $signer, json!($changes))),*] {
                let unusable = merged(signer.jwk(), &changes);
                let verifier = verifier_of(&jwks([unusable, ED25519.jwk()]), "ES256,ES384,RS256,EdDSA,HS256");
                let headers = bearer(&signer.token(&claims()));
                let reply = Api::new(verifier).await.get(headers.clone()).await;
                reply.assert_unauthorized(name, "key_unknown", &headers);
            }
        }
    };
}

unusable_key! {
    a_token_signed_by_a_key_that_must_not_be_used_is_rejected:
    key_for_encryption: P256.clone(), {"use": "enc"},
    key_that_only_signs: P256.clone(), {"key_ops": ["sign"]},
    key_that_does_nothing: P256.clone(), {"key_ops": []},
    p384_key_labelled_es256: P384.clone(), {"alg": "ES256"},
    p256_key_labelled_es384: P256.clone(), {"alg": "ES384"},
    p256_key_labelled_p384: P256.clone(), {"crv": "P-384"},
    rsa_key_labelled_hs256: RSA.clone(), {"alg": "HS256"},
    rsa_key_labelled_with_an_algorithm_of_encryption: RSA.clone(), {"alg": "RSA-OAEP"},
    key_with_a_kid_that_is_a_number: P256.clone(), {"kid": 5},
    key_with_its_private_half: P256.clone(), {"d": "AAAA"},
    empty_secret: Signer::hmac("HS256", "short", b""), {},
    one_byte_secret: Signer::hmac("HS256", "short", b"x"), {},
    secret_of_31_bytes: Signer::hmac("HS256", "short", &[7; 31]), {},
    secret_that_is_the_rsa_key_in_pem: Signer::hmac("HS256", "pem", pem(&RSA.public_rsa_ders()[1]).as_bytes()), {},
}

#[tokio::test]
async fn a_token_in_the_query_is_ignored() {
    let path = format!("/site/4/fhir/imaging-study/a?access_token={}", good());
    let reply = Api::new(verifier()).await.get_path(&path, HeaderMap::new()).await;
    reply.assert_unauthorized("in the query", "token_missing", &bearer(&good()));
}

#[tokio::test]
async fn iss_must_be_a_string_even_if_it_is_not_checked() {
    let set = jwks([P256.jwk()]);
    let keys = KeySource::jwks(&set, &algorithms("ES256")).unwrap();
    let verifier = verifier_with(Issuer { iss: None, ..settings(keys, "ES256") });
    for (iss, expected) in [
        (json!(null), Ok(None)),
        (json!("https://other.example"), Ok(Some("https://other.example"))),
        (json!(5), Err("issuer_wrong")),
        (json!([ISSUER]), Err("issuer_wrong")),
    ] {
        let result = outcome(&verifier, &P256.token(&claims_with(&json!({"iss": iss})))).await;
        assert_eq!(result.as_ref().map(Principal::issuer).map_err(|word| *word), expected, "{iss}");
    }
}

#[tokio::test]
async fn aud_must_be_strings_even_if_it_is_not_checked() {
    let set = jwks([P256.jwk()]);
    let keys = KeySource::jwks(&set, &algorithms("ES256")).unwrap();
    let verifier = verifier_with(Issuer { audiences: None, ..settings(keys, "ES256") });
    for (aud, expected) in [
        (json!(null), None),
        (json!("other"), None),
        (json!([]), None),
        (json!(5), Some("audience_wrong")),
        (json!([5]), Some("audience_wrong")),
    ] {
        let result = outcome(&verifier, &P256.token(&claims_with(&json!({"aud": aud})))).await;
        assert_eq!(result.err(), expected, "{aud}");
    }
}

#[tokio::test]
async fn any_of_several_audiences_is_accepted() {
    let set = jwks([P256.jwk()]);
    let keys = KeySource::jwks(&set, &algorithms("ES256")).unwrap();
    let audiences = Some(vec!["first".to_owned(), "second".to_owned()]);
    let verifier = verifier_with(Issuer { audiences, ..settings(keys, "ES256") });
    for (aud, expected) in [("first", None), ("second", None), ("first,second", Some("audience_wrong"))] {
        let result = outcome(&verifier, &P256.token(&claims_with(&json!({"aud": aud})))).await;
        assert_eq!(result.err(), expected, "{aud}");
    }
}

#[tokio::test]
async fn without_leeway_a_token_expires_at_exp() {
    let keys = KeySource::jwks(&jwks([P256.jwk()]), &algorithms("ES256")).unwrap();
    let verifier = verifier_with(Issuer { leeway: Duration::ZERO, ..settings(keys, "ES256") });
    for (exp, expected) in [(NOW, Some("token_expired")), (NOW + 1, None)] {
        let result = outcome(&verifier, &P256.token(&claims_with(&json!({"exp": exp})))).await;
        assert_eq!(result.err(), expected, "{exp}");
    }
}

#[tokio::test]
async fn a_check_that_is_switched_off_is_logged_at_the_start() {
    let log = Log::default();
    let _listening = log.listen(LevelFilter::TRACE);
    let settings = || settings(KeySource::jwks(&jwks([P256.jwk()]), &algorithms("ES256")).unwrap(), "ES256");
    verifier_with(settings());
    assert_eq!(log.take(), "");
    verifier_with(Issuer { iss: None, audiences: None, ..settings() });
    let warnings = log.take();
    assert!(warnings.contains("(JWT_ISSUER=*)") && warnings.contains("(JWT_AUDIENCE=*)"), "{warnings}");
}
