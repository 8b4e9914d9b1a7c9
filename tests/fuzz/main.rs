//! Events and stored items, generated from a grammar and damaged at random, against the real binary.
//!
//! What may be served is decided by [`oracle`], which was written from the rules and not from the code. `FUZZ_CASES`
//! sets how many cases each test tries (1,000 without it), and `FUZZ_SEED` repeats a run: every run prints its seed.
//! `fuzz/` makes cases of the same grammar from what libFuzzer gives it, and checks them in the same way.

#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "public for fuzz/ only"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

pub mod events;
pub mod items;
pub mod oracle;

use std::cell::RefCell;

#[cfg(test)]
use proptest::prop_oneof;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::Value;
use testkit::runtime_api::Function;
use tokio::runtime::Runtime;

#[cfg(not(test))]
use crate::prop_oneof;

/// Lambda's limit on the response to one invocation.
const MAX_PAYLOAD_BYTES: usize = 6_291_556;

/// Tries `check` on values of `strategy`; on failure, panics with the simplest value that fails.
fn for_each<S: Strategy>(
    runtime: &Runtime,
    strategy: S,
    check: impl AsyncFnMut(S::Value) -> Result<(), String>,
) {
    let variable = |name| std::env::var(name).ok().map(|value| value.parse::<u64>().expect(name));
    let cases = variable("FUZZ_CASES").unwrap_or(1_000);
    let seed = variable("FUZZ_SEED").unwrap_or_else(random_seed);
    eprintln!("FUZZ_SEED={seed} FUZZ_CASES={cases}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: u32::try_from(cases).expect("FUZZ_CASES"),
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let check = RefCell::new(check);
    let outcome =
        runner.run(&strategy, |case| runtime.block_on(check.borrow_mut()(case)).map_err(TestCaseError::fail));
    if let Err(failure) = outcome {
        panic!("FUZZ_SEED={seed}: {failure}");
    }
}

fn random_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_nanos().to_le_bytes()[..8].try_into().map(u64::from_le_bytes).unwrap()
}

/// What came of one event.
pub struct Exchange {
    /// The response, or the error that was reported for the invocation.
    pub payload: Result<Value, String>,
    /// The `reason` of the audit line.
    pub reason: String,
}

/// Hands `event` to the function. Fails on what no event may cause: a panic, no audit line or more than one, a
/// response that Lambda does not accept, or a log line or reported error with one of `secrets` in it.
async fn exchange(function: &mut Function, event: String, secrets: &[String]) -> Result<Exchange, String> {
    let sent = function.exchange(event).await.payload;
    let reason = loop {
        let line = function.line().await.ok_or("the function ended")?;
        if let Some(reason) = audited(&line, secrets)? {
            break reason;
        }
    };
    Ok(Exchange { payload: payload(&sent, secrets)?, reason })
}

/// The `reason` of a log line, if it is an audit line.
pub fn audited(line: &str, secrets: &[String]) -> Result<Option<String>, String> {
    if let Some(length) = leaked(line, secrets) {
        return Err(format!("a log line repeats {length} bytes of a secret"));
    }
    let line: Value = serde_json::from_str(line).map_err(|_| "a log line is not JSON")?;
    if line["message"] == "panicked" {
        return Err(format!("a panic at {}", line["at"]));
    }
    if line["target"] != "imaging_study::audit" {
        return Ok(None);
    }
    match line["reason"].as_str().ok_or("an audit line without a reason")? {
        "panicked" => Err("a panic".to_owned()),
        reason => Ok(Some(reason.to_owned())),
    }
}

/// What was sent for an event, or the error that was reported.
pub fn payload(
    sent: &Result<impl AsRef<[u8]>, impl AsRef<[u8]>>,
    secrets: &[String],
) -> Result<Result<Value, String>, String> {
    match sent.as_ref().map(AsRef::as_ref).map_err(AsRef::as_ref) {
        Ok(bytes) if bytes.len() > MAX_PAYLOAD_BYTES => Err("the response is too large".to_owned()),
        Ok(bytes) => {
            let response = serde_json::from_slice(bytes).map_err(|_| "the response is not JSON")?;
            accepted_by_lambda(&response)?;
            Ok(Ok(response))
        }
        Err(bytes) => {
            let error = String::from_utf8_lossy(bytes).into_owned();
            if let Some(length) = leaked(&error, secrets) {
                return Err(format!("the reported error repeats {length} bytes of a secret"));
            }
            Ok(Err(error))
        }
    }
}

/// The length of a secret that is in the text.
fn leaked(text: &str, secrets: &[String]) -> Option<usize> {
    secrets.iter().find(|secret| text.contains(*secret)).map(String::len)
}

/// The response format that API Gateway's proxy integrations accept.
fn accepted_by_lambda(response: &Value) -> Result<(), String> {
    let is_map = |value: &Value, is_value: fn(&Value) -> bool| match value {
        Value::Null => true,
        Value::Object(members) => members.values().all(is_value),
        _ => false,
    };
    let strings = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    let fine = response["statusCode"].as_u64().is_some_and(|status| (200..600).contains(&status))
        && is_map(&response["headers"], Value::is_string)
        && is_map(&response["multiValueHeaders"], strings)
        && (response["body"].is_string() || response["body"].is_null())
        && response["isBase64Encoded"].is_boolean();
    if fine { Ok(()) } else { Err("Lambda does not accept the response".to_owned()) }
}

/// A header of a response in either payload format.
fn header<'a>(response: &'a Value, name: &str) -> Option<&'a str> {
    let of = |map: &'a Value| {
        let (_, value) = map.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        value.as_str().or_else(|| value.as_array()?.first()?.as_str())
    };
    of(&response["headers"]).or_else(|| of(&response["multiValueHeaders"]))
}
