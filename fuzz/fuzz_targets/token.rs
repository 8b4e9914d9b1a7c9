//! Tokens: claims, signed by the development key, or, of an input that does not begin with a brace, an
//! `Authorization` header.
#![no_main]

use std::cell::LazyCell;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use fuzz::{STUDIES, may_read};
use http::{HeaderMap, HeaderValue, header};
use imaging_study::auth::{Https, Principal, Verifier};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use table::id::SiteId;
use tokio::runtime::Runtime;

thread_local! {
    static SERVICE: LazyCell<(Verifier, Runtime)> = LazyCell::new(|| {
        let verifier = Verifier::new(fuzz::config().issuers, &Https::new(None), &testkit::aws("http://127.0.0.1:1"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        (verifier, runtime.expect("a runtime"))
    });
}

fuzz_target!(|data: &[u8]| -> Corpus {
    if !data.starts_with(b"{") {
        return of_header(data);
    }
    let Ok(text) = str::from_utf8(data) else { return Corpus::Reject };
    let principal = principal(format!("Bearer {}", local::sign(text)).as_bytes());
    let Ok(claims) = serde_json::from_str::<Value>(text) else {
        assert!(principal.is_none(), "claims that are not JSON");
        return Corpus::Keep;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs_f64();
    for study in STUDIES {
        // Of this issuer only: the other one's tokens have another key.
        let may_read = claims["iss"] == local::ISSUER && may_read(&claims, study, now);
        assert!(!reads(principal.as_ref(), study) || may_read, "{study:?}");
    }
    Corpus::Keep
});

fn reads(principal: Option<&Principal>, study: fuzz::Study) -> bool {
    let site = SiteId::parse(study.site).expect("a site");
    let patients = principal.and_then(|principal| principal.authorize(&site).ok());
    patients.is_some_and(|patients| patients.permits(Some(study.subject)))
}

/// Accepted is what the key has signed, byte for byte.
fn of_header(data: &[u8]) -> Corpus {
    if principal(data).is_some() {
        let token = data.rsplit(|b| *b == b' ').next().expect("a part");
        let payload = token.split(|b| *b == b'.').nth(1).expect("a token has a payload");
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).expect("a payload is base64url");
        let signed = local::sign(str::from_utf8(&payload).expect("claims are UTF-8"));
        assert_eq!(signed.as_bytes(), token);
    }
    Corpus::Keep
}

fn principal(authorization: &[u8]) -> Option<Principal> {
    let headers =
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_bytes(authorization).ok()?)]);
    SERVICE.with(|state| {
        let (verifier, runtime) = &**state;
        let authentication = runtime.block_on(verifier.authenticate(&headers, None)).ok()?;
        Some(authentication.principal)
    })
}
