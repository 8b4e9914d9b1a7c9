//! How fast DynamoDB is called. As many calls run at once as it accepts: each success raises the limit a little, each
//! refusal lowers it (additive increase, multiplicative decrease). Refused calls are repeated after a pause.
//!
//! The SDK's own retries are off for these calls: they share a quota that runs dry under sustained throttling.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use table::error::throttles;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Calls at once, at most.
const MAX_CALLS: f64 = 64.0;
/// Calls at once in the beginning.
const FIRST_CALLS: f64 = 16.0;
/// A refusal multiplies the limit by this.
const DECREASE: f64 = 0.7;
/// The limit is lowered once in this time at most: calls that were sent together are refused together.
const DECREASE_INTERVAL: Duration = Duration::from_millis(50);

/// The pause before a call is repeated is a random one of up to this time, doubled with each repetition ...
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// ... to this at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long a refusal counts as the present state.
const RECENT: Duration = Duration::from_secs(3);

/// Without any success for this time, the next refusal is final.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The pace of the calls of one table.
#[derive(Debug)]
pub struct Pace {
    state: Mutex<State>,
    ended: Notify,
    patience: Duration,
    /// Between two writes.
    interval: Option<Duration>,
}

#[derive(Debug)]
struct State {
    limit: f64,
    running: u32,
    last_success: Instant,
    last_decrease: Instant,
    next_write: Instant,
    refusal: Option<(Obstacle, Instant)>,
}

/// Why DynamoDB does not do what it is asked, for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It throttles requests.
    Throttling,
    /// It does not answer in time.
    Timeout,
    /// It cannot be reached, or fails.
    Unavailable,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
}

impl Pace {
    /// Up to `rate` writes a second, or as many as DynamoDB accepts; gives up after `patience` without any success.
    #[must_use]
    pub fn new(rate: Option<u32>, patience: Duration) -> Self {
        Self {
            state: Mutex::new(State::new(Instant::now())),
            ended: Notify::new(),
            patience,
            interval: rate.map(|rate| Duration::from_secs(1) / rate.max(1)),
        }
    }

    /// What has kept calls from succeeding in the last seconds.
    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        self.state().refusal.filter(|(_, at)| at.elapsed() < RECENT).map(|(obstacle, _)| obstacle)
    }

    /// Sends a call, again and again while DynamoDB only refuses it for now.
    pub(crate) async fn call<T, E, F>(&self, kind: Kind, send: impl Fn() -> F) -> Result<T, SdkError<E>>
    where
        E: ProvideErrorMetadata,
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            if kind == Kind::Write {
                self.next_write().await;
            }
            let running = self.start().await;
            let outcome = send().await;
            drop(running);
            let error = match outcome {
                Ok(output) => {
                    self.succeeded();
                    return Ok(output);
                }
                Err(error) => error,
            };
            let Some(obstacle) = obstacle(&error) else { return Err(error) };
            if self.refused(obstacle, since) {
                return Err(error);
            }
            tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sends a call, once more only if it is throttled: for the first one, which shows whether the table can be used.
    pub(crate) async fn probe<T, E, F>(&self, send: impl Fn() -> F) -> Result<T, SdkError<E>>
    where
        E: ProvideErrorMetadata,
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        let since = Instant::now();
        loop {
            match send().await {
                Err(error) if obstacle(&error) == Some(Obstacle::Throttling) => {
                    if self.refused(Obstacle::Throttling, since) {
                        return Err(error);
                    }
                    tokio::time::sleep(LONGEST_PAUSE.mul_f64(fastrand::f64())).await;
                }
                outcome => return outcome,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next of the writes that are spread evenly over each second.
    async fn next_write(&self) {
        let Some(interval) = self.interval else { return };
        let turn = {
            let mut state = self.state();
            let turn = state.next_write.max(Instant::now());
            state.next_write = turn + interval;
            turn
        };
        tokio::time::sleep_until(turn).await;
    }

    /// Waits until another call may run.
    async fn start(&self) -> Running<'_> {
        loop {
            let ended = self.ended.notified();
            {
                let mut state = self.state();
                if f64::from(state.running) + 1.0 <= state.limit {
                    state.running += 1;
                    return Running(self);
                }
            }
            ended.await;
        }
    }

    fn succeeded(&self) {
        self.state().succeeded(Instant::now());
        self.ended.notify_one();
    }

    /// Lowers the limit; true if it is time to give up. `since`: when the call was sent first.
    fn refused(&self, obstacle: Obstacle, since: Instant) -> bool {
        let now = Instant::now();
        self.state().refused(obstacle, now) >= self.patience && now - since >= self.patience
    }
}

impl State {
    fn new(now: Instant) -> Self {
        Self {
            limit: FIRST_CALLS,
            running: 0,
            last_success: now,
            last_decrease: now,
            next_write: now,
            refusal: None,
        }
    }

    fn succeeded(&mut self, now: Instant) {
        self.limit = (self.limit + 1.0 / self.limit).min(MAX_CALLS);
        self.last_success = now;
    }

    /// Lowers the limit, and says how long there has been no success.
    fn refused(&mut self, obstacle: Obstacle, now: Instant) -> Duration {
        self.refusal = Some((obstacle, now));
        if now - self.last_decrease >= DECREASE_INTERVAL {
            self.limit = (self.limit * DECREASE).max(1.0);
            self.last_decrease = now;
        }
        now - self.last_success
    }
}

/// A call that runs.
struct Running<'p>(&'p Pace);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.state().running -= 1;
        self.0.ended.notify_one();
    }
}

/// What kept a call from succeeding, if trying again may help.
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

    /// What comes of it within an hour of the paused clock.
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

    /// What comes of a call that fails this often before it succeeds, and how often it was sent.
    async fn call_failing(times: u32, pace: &Pace, error: fn() -> Failure) -> (Result<(), Failure>, u32) {
        let sent = Cell::new(0);
        let outcome = in_time(pace.call(Kind::Read, failing(times, error, &sent))).await;
        (outcome, sent.get())
    }

    #[test]
    fn the_limit_falls_under_refusals_and_rises_with_successes() {
        let mut now = Instant::now();
        let mut state = State::new(now);
        for _ in 0..100 {
            now += DECREASE_INTERVAL;
            state.refused(Obstacle::Throttling, now);
        }
        assert!((state.limit - 1.0).abs() < f64::EPSILON, "{state:?}");
        for _ in 0..10_000 {
            state.succeeded(now);
        }
        assert!((state.limit - MAX_CALLS).abs() < f64::EPSILON, "{state:?}");
        // Calls that were sent together are refused together: one decrease.
        for _ in 0..10 {
            state.refused(Obstacle::Throttling, now + DECREASE_INTERVAL);
        }
        assert!((state.limit - MAX_CALLS * DECREASE).abs() < f64::EPSILON, "{state:?}");
    }

    #[test]
    fn a_success_restarts_the_time_without_one() {
        let start = Instant::now();
        let mut state = State::new(start);
        assert_eq!(state.refused(Obstacle::Timeout, start + PATIENCE), PATIENCE);
        state.succeeded(start + PATIENCE);
        assert_eq!(state.refused(Obstacle::Timeout, start + PATIENCE), Duration::ZERO);
    }

    #[test]
    fn a_failure_that_may_pass_is_told_by_its_kind() {
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
        pace.refused(Obstacle::Timeout, Instant::now());
        tokio::time::advance(Duration::from_millis(2_999)).await;
        assert_eq!(pace.obstacle(), Some(Obstacle::Timeout));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(pace.obstacle(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn sixteen_calls_run_at_once_in_the_beginning_and_the_others_follow() {
        let pace = Pace::new(None, PATIENCE);
        let (started, gate) = (Cell::new(0), Semaphore::new(0));
        let calls = join_all((0..40).map(|_| {
            pace.call(Kind::Read, || async {
                started.set(started.get() + 1);
                gate.acquire().await.unwrap().forget();
                Ok::<_, Failure>(())
            })
        }));
        let observer = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(started.get(), 16);
            gate.add_permits(3);
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(started.get(), 19);
            gate.add_permits(40);
        };
        let (outcomes, ()) = in_time(async { tokio::join!(calls, observer) }).await;
        assert_eq!((outcomes.len(), started.get()), (40, 40));
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

    #[tokio::test(start_paused = true)]
    async fn a_refused_call_is_repeated_after_pauses_that_grow() {
        let since = Instant::now();
        let (outcome, sent) = call_failing(40, &Pace::new(None, PATIENCE), throttled).await;
        assert!(outcome.is_ok());
        assert_eq!(sent, 41);
        // At random, between nothing and half a second each.
        let elapsed = since.elapsed();
        assert!((Duration::from_secs(3)..Duration::from_secs(20)).contains(&elapsed), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_cannot_succeed_is_sent_once() {
        let refused = || service_error(400, "ValidationException");
        let (outcome, sent) = call_failing(1, &Pace::new(None, PATIENCE), refused).await;
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
                pace.succeeded();
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
    async fn a_probe_outlasts_throttling_and_nothing_else() {
        let pace = Pace::new(None, Duration::from_secs(10));
        for (fails, error, succeeds, expected) in
            [(3, throttled as fn() -> Failure, true, 4), (1, || Failure::timeout_error("x"), false, 1)]
        {
            let sent = Cell::new(0);
            let probed = in_time(pace.probe(failing(fails, error, &sent))).await;
            assert_eq!(probed.is_ok(), succeeds);
            assert_eq!(sent.get(), expected);
        }
        let since = Instant::now();
        let probed = pace.probe(|| async { Err::<(), _>(throttled()) });
        assert!(in_time(probed).await.is_err());
        assert!(since.elapsed() >= Duration::from_secs(10));
    }
}
