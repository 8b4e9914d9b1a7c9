//! How fast DynamoDB is called: a bounded number of calls run at once, and a call that fails for now is repeated after a
//! random pause that grows (exponential backoff with full jitter).
//!
//! The SDK's own retries are off for these calls: they share a quota that runs dry under sustained throttling.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use backon::{BackoffBuilder, ExponentialBuilder, Retryable as _};
use table::error::throttles;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// Calls at once, at most.
const MAX_CALLS: usize = 64;

/// The longest first pause before a call is repeated. Each repetition doubles it ...
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// ... up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long a failed call counts as the present state.
const RECENT: Duration = Duration::from_secs(3);

/// Without any success for this time, the next failure is final.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The pace of the calls of one table.
#[derive(Debug)]
pub struct Pace {
    calls: Semaphore,
    /// Ticks once for each write that may start.
    writes: Option<tokio::sync::Mutex<Interval>>,
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_success: Option<Instant>,
    failure: Option<(Obstacle, Instant)>,
}

/// A transient reason for a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// DynamoDB throttles requests.
    Throttling,
    /// DynamoDB does not respond in time.
    Timeout,
    /// DynamoDB cannot be reached, or fails.
    Unavailable,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    /// It is repeated only while it is throttled: after another failure, nobody knows whether DynamoDB has done it.
    ConditionalWrite,
}

impl Pace {
    /// Allows `rate` writes a second, or any number. Gives up after `patience` without any success.
    #[must_use]
    pub fn new(rate: Option<u32>, patience: Duration) -> Self {
        let writes = rate.map(|rate| {
            let mut writes =
                tokio::time::interval((Duration::from_secs(1) / rate.max(1)).max(Duration::from_nanos(1)));
            // Time in which nothing is written is not made up for.
            writes.set_missed_tick_behavior(MissedTickBehavior::Delay);
            tokio::sync::Mutex::new(writes)
        });
        let state = Mutex::new(State::default());
        Self { calls: Semaphore::new(MAX_CALLS), writes, patience, state }
    }

    /// What has kept calls from succeeding in the last seconds.
    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        self.state().failure.filter(|(_, at)| at.elapsed() < RECENT).map(|(obstacle, _)| obstacle)
    }

    /// Sends a call, again and again while the reason for its failure is transient. Before the first success of any
    /// call, only throttling counts as transient: nothing tells yet that the table can be used.
    pub(crate) async fn call<T, E, F>(&self, kind: Kind, send: impl Fn() -> F) -> Result<T, SdkError<E>>
    where
        E: ProvideErrorMetadata,
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        let since = Instant::now();
        let attempt = || self.attempt(kind, &send);
        let transient = |error: &_| {
            obstacle(error).is_some_and(|obstacle| {
                self.may_pass(obstacle, since)
                    && (kind != Kind::ConditionalWrite || obstacle == Obstacle::Throttling)
            })
        };
        attempt.retry(pauses()).when(transient).await
    }

    async fn attempt<T, E, F>(&self, kind: Kind, send: impl Fn() -> F) -> Result<T, SdkError<E>>
    where
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        if kind != Kind::Read
            && let Some(writes) = &self.writes
        {
            writes.lock().await.tick().await;
        }
        // Fails only if the semaphore is closed, which nobody does.
        let _running = self.calls.acquire().await;
        send().await.inspect(|_| self.state().last_success = Some(Instant::now()))
    }

    /// How long to go on without success.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Notes a failure; false if it is time to give up. `since`: when the call was sent first.
    fn may_pass(&self, obstacle: Obstacle, since: Instant) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        state.failure = Some((obstacle, now));
        match state.last_success {
            Some(last) => now - last.max(since) < self.patience,
            None => obstacle == Obstacle::Throttling && now - since < self.patience,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pauses of one call, each a random one up to a limit that doubles ("full jitter").
pub(crate) fn pauses() -> impl Iterator<Item = Duration> + Send + Sync + Unpin {
    let limits = ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .build();
    limits.map(|limit| limit.mul_f64(fastrand::f64()))
}

/// The reason for a failed call, if it is transient.
pub(crate) fn obstacle<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<Obstacle> {
    match error {
        SdkError::TimeoutError(_) => Some(Obstacle::Timeout),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Some(Obstacle::Timeout),
        SdkError::DispatchFailure(failure) if failure.is_io() => Some(Obstacle::Unavailable),
        SdkError::ResponseError(_) => Some(Obstacle::Unavailable),
        SdkError::ServiceError(service) if throttles(service.err().code()) => Some(Obstacle::Throttling),
        SdkError::ServiceError(service) if service.raw().status().is_server_error() => {
            Some(Obstacle::Unavailable)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{Ready, ready};

    use aws_sdk_dynamodb::config::http::HttpResponse;
    use aws_sdk_dynamodb::error::{BoxError, ConnectorError, ErrorMetadata};
    use aws_sdk_dynamodb::operation::get_item::GetItemError;
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    type Failure = SdkError<GetItemError>;

    fn service_error(status: u16, code: &str) -> Failure {
        let error = GetItemError::generic(ErrorMetadata::builder().code(code).build());
        SdkError::service_error(error, HttpResponse::new(status.try_into().unwrap(), "".into()))
    }

    fn throttled() -> Failure {
        service_error(400, "ThrottlingException")
    }

    /// Its output, within an hour of the paused clock.
    async fn in_time<F: Future>(future: F) -> F::Output {
        tokio::time::timeout(Duration::from_hours(1), future).await.expect("it ends")
    }

    /// Fails this often before it succeeds, and counts how often it was sent.
    fn failing(
        times: u32,
        error: fn() -> Failure,
        sent: &Cell<u32>,
    ) -> impl Fn() -> Ready<Result<(), Failure>> {
        move || {
            sent.set(sent.get() + 1);
            assert!(sent.get() < 100_000, "there are no pauses");
            ready(if sent.get() > times { Ok(()) } else { Err(error()) })
        }
    }

    /// The outcome of a call that fails this often before it succeeds, and how often it was sent.
    async fn call_failing(times: u32, pace: &Pace, error: fn() -> Failure) -> (Result<(), Failure>, u32) {
        let sent = Cell::new(0);
        let outcome = in_time(pace.call(Kind::Read, failing(times, error, &sent))).await;
        (outcome, sent.get())
    }

    #[test]
    fn a_transient_failure_is_recognized_by_its_kind() {
        let connector = |error: fn(BoxError) -> ConnectorError| Failure::dispatch_failure(error("x".into()));
        let response = HttpResponse::new(200.try_into().unwrap(), "".into());
        for (error, expected) in [
            (Failure::timeout_error("x"), Some(Obstacle::Timeout)),
            (connector(ConnectorError::timeout), Some(Obstacle::Timeout)),
            (connector(ConnectorError::io), Some(Obstacle::Unavailable)),
            (connector(ConnectorError::user), None),
            (Failure::response_error("x", response), Some(Obstacle::Unavailable)),
            (throttled(), Some(Obstacle::Throttling)),
            (service_error(500, "InternalServerError"), Some(Obstacle::Unavailable)),
            (service_error(400, "ValidationException"), None),
            (Failure::construction_failure("x"), None),
        ] {
            assert_eq!(obstacle(&error), expected, "{error:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_obstacle_is_present_for_three_seconds() {
        let pace = Pace::new(None, PATIENCE);
        assert_eq!(pace.obstacle(), None);
        pace.may_pass(Obstacle::Timeout, Instant::now());
        tokio::time::advance(Duration::from_millis(2_999)).await;
        assert_eq!(pace.obstacle(), Some(Obstacle::Timeout));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(pace.obstacle(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn sixty_four_calls_run_at_once_and_the_others_follow() {
        let pace = Pace::new(None, PATIENCE);
        let (started, gate) = (Cell::new(0), Semaphore::new(0));
        let calls = join_all((0..100).map(|_| {
            pace.call(Kind::Read, || async {
                started.set(started.get() + 1);
                gate.acquire().await.unwrap().forget();
                Ok::<_, Failure>(())
            })
        }));
        let observer = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(started.get(), 64);
            gate.add_permits(3);
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(started.get(), 67);
            gate.add_permits(100);
        };
        let (outcomes, ()) = in_time(async { tokio::join!(calls, observer) }).await;
        assert_eq!((outcomes.len(), started.get()), (100, 100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_waits_for_its_repetition_lets_others_run() {
        let pace = Pace::new(None, PATIENCE);
        let failing = join_all((0..64).map(|_| pace.call(Kind::Read, || ready(Err::<(), _>(throttled())))));
        let other = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            pace.call(Kind::Read, || ready(Ok::<_, Failure>(()))).await
        };
        let failing = tokio::time::timeout(Duration::from_secs(10), failing);
        let (failing, other) = tokio::join!(failing, other);
        assert!(failing.is_err() && other.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn writes_are_spread_evenly_and_reads_are_not() {
        let pace = Pace::new(Some(10), PATIENCE);
        // Time in which nothing is written is not made up for.
        tokio::time::advance(Duration::from_secs(5)).await;
        for (kind, expected) in [(Kind::Write, Duration::from_millis(400)), (Kind::Read, Duration::ZERO)] {
            let since = Instant::now();
            for _ in 0..5 {
                in_time(pace.call(kind, || async { Ok::<_, Failure>(()) })).await.unwrap();
            }
            assert_eq!(since.elapsed(), expected, "{kind:?}");
        }
    }

    #[test]
    fn pauses_are_random_ones_of_up_to_half_a_second() {
        let limits =
            [20, 40, 80, 160, 320].into_iter().chain(std::iter::repeat(500)).map(Duration::from_millis);
        let mut longest = Duration::ZERO;
        for (pause, limit) in pauses().zip(limits).take(1000) {
            assert!(pause <= limit, "{pause:?} of {limit:?}");
            longest = longest.max(pause);
        }
        assert!(longest > Duration::from_millis(450), "{longest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_call_is_repeated() {
        let (outcome, sent) = call_failing(40, &Pace::new(None, PATIENCE), throttled).await;
        assert!(outcome.is_ok());
        assert_eq!(sent, 41);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_cannot_succeed_is_sent_once() {
        let rejected = || service_error(400, "ValidationException");
        let (outcome, sent) = call_failing(1, &Pace::new(None, PATIENCE), rejected).await;
        assert!(outcome.is_err());
        assert_eq!(sent, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_given_up_after_a_time_in_which_it_and_all_others_failed() {
        let pace = Pace::new(None, Duration::from_secs(10));
        // The second time, others have failed for longer already.
        for _ in 0..2 {
            let since = Instant::now();
            let (outcome, _) = call_failing(u32::MAX, &pace, throttled).await;
            assert!(outcome.is_err());
            let elapsed = since.elapsed();
            assert!((Duration::from_secs(10)..Duration::from_secs(11)).contains(&elapsed), "{elapsed:?}");
        }
        let failing = call_failing(u32::MAX, &pace, throttled);
        let others = async {
            loop {
                pace.call(Kind::Read, || ready(Ok::<_, Failure>(()))).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let given_up = tokio::time::timeout(PATIENCE, async {
            tokio::select! {
                _ = failing => {}
                () = others => {}
            }
        });
        assert!(given_up.await.is_err(), "others succeed");
    }

    #[tokio::test(start_paused = true)]
    async fn before_the_first_success_only_throttling_is_outlasted() {
        let no_response = || Failure::timeout_error("x");
        let pace = Pace::new(None, PATIENCE);
        let (outcome, sent) = call_failing(1, &pace, no_response).await;
        assert!((outcome.is_err(), sent) == (true, 1));
        let (outcome, sent) = call_failing(3, &pace, throttled).await;
        assert!((outcome.is_ok(), sent) == (true, 4));
        let (outcome, sent) = call_failing(3, &pace, no_response).await;
        assert!((outcome.is_ok(), sent) == (true, 4));
    }
}
