//! Events: a case of the grammar of `tests/fuzz`, or, of an input that begins with a brace, the input itself.
#![no_main]

use std::cell::LazyCell;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use fuzz::{InProcess, Study, events, generated, may_read};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use serde_json::value::RawValue;

thread_local! {
    static SERVICE: LazyCell<InProcess> = LazyCell::new(|| {
        let service = InProcess::new();
        service.put(events::stored().map(|items| items.head).collect());
        service
    });
}

fuzz_target!(|data: &[u8]| -> Corpus {
    SERVICE.with(
        |service| if data.starts_with(b"{") { as_it_is(service, data) } else { of_grammar(service, data) },
    )
});

fn of_grammar(service: &InProcess, data: &[u8]) -> Corpus {
    let Some(case) = generated(&events::case(), data) else { return Corpus::Reject };
    let (event, secrets) = case.event();
    let checked = service.exchange(&event, &secrets).and_then(|exchange| events::check(&case, exchange));
    checked.unwrap_or_else(|failure| panic!("{failure}: {case:?}"));
    Corpus::Keep
}

fn as_it_is(service: &InProcess, data: &[u8]) -> Corpus {
    let Ok(text) = str::from_utf8(data) else { return Corpus::Reject };
    // Lambda hands on nothing else.
    if serde_json::from_str::<&RawValue>(text).is_err() {
        return Corpus::Reject;
    }
    let exchange = service.exchange(text, &[]).unwrap_or_else(|failure| panic!("{failure}"));
    let claims = signed_claims(text);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs_f64();
    let granted = |study: Study| claims.iter().any(|claims| may_read(claims, study, now));
    match exchange.payload {
        Ok(response) => {
            events::is_served(&response, granted).unwrap_or_else(|failure| panic!("{failure}"));
        }
        Err(_) => assert_eq!(exchange.reason, "event_malformed"),
    }
    Corpus::Keep
}

/// The claims of all tokens in an event that the development key has signed.
fn signed_claims(event: &str) -> Vec<Value> {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let words = event.split(|c| !is_of_token(c)).filter_map(|word| {
        let payload = BASE64_URL_SAFE_NO_PAD.decode(word.split('.').nth(1)?).ok()?;
        let payload = str::from_utf8(&payload).ok()?;
        if local::sign(payload) == word { serde_json::from_str(payload).ok() } else { None }
    });
    words.collect()
}
