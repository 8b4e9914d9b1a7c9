//! Key sets that are due for renewal: the token is let through, and the fetch runs beside the read.

use std::time::Duration;

use futures_util::FutureExt as _;
use imaging_study::auth::{AuthError, TokenError};
use tokio::time::Instant;

use super::sources::{FRESH, Published};
use super::support::*;

/// In seconds.
const OVERDUE: u64 = 20 * 60;

/// An issuer whose key set was fetched so long ago, and which now behaves otherwise.
async fn fetched(seconds_ago: u64, now: Behavior) -> Published {
    let issuer = Published::new([P256.jwk()]).await;
    issuer.verifier.load_keys().await.unwrap();
    issuer.clock.forward(seconds_ago);
    issuer.respond(now);
    issuer
}

/// The outcome of a request whose read takes so long.
async fn reading(issuer: &Published, signer: &Signer, read: Duration) -> Result<(), AuthError> {
    let headers = bearer(&issuer.token(signer));
    let authentication = issuer.verifier.authenticate(&headers, None).await?;
    Ok(authentication.beside(tokio::time::sleep(read)).await?)
}

fn keys(keys: impl IntoIterator<Item = serde_json::Value>, after_ms: u64) -> Behavior {
    Behavior::json(jwks(keys)).after(Duration::from_millis(after_ms))
}

#[tokio::test]
async fn a_due_key_set_verifies_tokens_without_waiting_for_its_fetch() {
    let issuer = fetched(FRESH, Behavior::status(500, "")).await;
    let headers = bearer(&issuer.token(&P256));
    let authentication = issuer.verifier.authenticate(&headers, None).now_or_never();
    assert!(authentication.expect("no wait").is_ok());
}

#[tokio::test]
async fn a_request_that_needs_no_read_starts_no_fetch_of_a_due_key_set() {
    let issuer = fetched(FRESH, Behavior::status(500, "")).await;
    let headers = bearer(&issuer.token(&P256));
    drop(issuer.verifier.authenticate(&headers, None).await);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(issuer.server.requests(), 1);
}

#[tokio::test]
async fn the_fetch_of_a_due_key_set_runs_beside_the_read() {
    let issuer = fetched(FRESH, keys([P256.jwk()], 400)).await;
    let started = Instant::now();
    assert_eq!(reading(&issuer, &P256, Duration::from_millis(400)).await, Ok(()));
    assert!(started.elapsed() < Duration::from_millis(750), "{:?}", started.elapsed());
    assert_eq!(issuer.server.requests(), 2);
    // The set is fresh again.
    assert_eq!(reading(&issuer, &P256, Duration::ZERO).await, Ok(()));
    assert_eq!(issuer.server.requests(), 2);
}

#[tokio::test]
async fn a_withdrawn_key_does_not_verify_the_response_in_which_the_fetch_arrives() {
    for read_ms in [0, 200] {
        let issuer = fetched(FRESH, keys([P384.jwk()], 50)).await;
        let read = reading(&issuer, &P256, Duration::from_millis(read_ms)).await;
        assert_eq!(read, Err(AuthError::Token(TokenError::KeyUnknown)), "{read_ms}");
    }
}

#[tokio::test]
async fn a_silent_issuer_delays_one_request_by_300_milliseconds_and_the_next_ones_not_at_all() {
    let issuer = fetched(FRESH, keys([P256.jwk()], 60_000)).await;
    let started = Instant::now();
    assert_eq!(reading(&issuer, &P256, Duration::from_millis(20)).await, Ok(()));
    let waited = started.elapsed();
    assert!((320..1_000).contains(&waited.as_millis()), "{waited:?}");
    let headers = bearer(&issuer.token(&P256));
    for _ in 0..10 {
        let authentication = issuer.verifier.authenticate(&headers, None).await.ok().unwrap();
        assert_eq!(authentication.beside(async {}).now_or_never(), Some(Ok(())));
    }
    assert_eq!(issuer.server.requests(), 2);
}

#[tokio::test]
async fn an_issuer_that_always_takes_longer_than_the_wait_is_renewed_all_the_same() {
    let issuer = fetched(FRESH, keys([P384.jwk()], 500)).await;
    assert_eq!(reading(&issuer, &P256, Duration::ZERO).await, Ok(()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let read = reading(&issuer, &P256, Duration::from_millis(20)).await;
    assert_eq!(read, Err(AuthError::Token(TokenError::KeyUnknown)));
    assert_eq!(reading(&issuer, &P384, Duration::ZERO).await, Ok(()));
    assert_eq!(issuer.server.requests(), 2);
}

#[tokio::test]
async fn a_token_that_a_due_key_set_rejects_waits_for_the_fetch() {
    for (age, signer) in [(FRESH, &*P384), (FRESH, &Signer::p256("p256"))] {
        let issuer = fetched(age, keys([signer.jwk()], 500)).await;
        assert_eq!(reading(&issuer, signer, Duration::ZERO).await, Ok(()), "{}", signer.kid);
        assert_eq!(issuer.server.requests(), 2);
    }
}

#[tokio::test]
async fn every_request_waits_for_the_fetch_of_an_overdue_key_set() {
    let issuer = fetched(OVERDUE, keys([P384.jwk()], 500)).await;
    let headers = bearer(&issuer.token(&P256));
    let error = issuer.verifier.authenticate(&headers, None).await.err();
    assert_eq!(error, Some(AuthError::Token(TokenError::KeyUnknown)));
    assert_eq!(issuer.server.requests(), 2);
}

#[tokio::test]
async fn a_fetch_that_was_frozen_for_longer_than_a_fetch_may_take_starts_anew() {
    let issuer = fetched(FRESH, keys([P256.jwk()], 60_000)).await;
    assert_eq!(reading(&issuer, &P256, Duration::ZERO).await, Ok(()));
    issuer.publish([P384.jwk()]);
    issuer.clock.forward(31);
    assert_eq!(reading(&issuer, &P384, Duration::ZERO).await, Ok(()));
    assert_eq!(issuer.server.requests(), 3);
}
