//! How fast DynamoDB is called. As many calls run at once as it accepts: each success raises the limit a little, each
//! refusal lowers it (additive increase, multiplicative decrease). Refused calls are repeated after a pause.
//!
//! The SDK's own retries are off for these calls: they share a quota that runs dry under sustained throttling.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use imaging_study::store::throttles;
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
    use super::*;

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
}
