//! How long a key set is used, and when it is fetched again.
//!
//! A set is *fresh* for ten minutes: it is used without any I/O. After that it is fetched again. If the fetch fails, the
//! old set stays valid for another hour. A token whose key is not in the set may be signed with a newer key, so it
//! triggers a fetch too, but at most one in thirty seconds. Nothing runs in the background: Lambda freezes the environment
//! between invocations.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::SharedTimeSource;

use super::error::KeysUnavailable;
use super::key_set::{Algorithms, KeySet};
use super::key_source::{Origin, Remote};

/// How long a set is used without another fetch. It bounds how long a withdrawn key still verifies tokens; ten minutes
/// is a common choice among JWT libraries.
const FRESH: Duration = Duration::from_mins(10);

/// How long after that a set stays valid while fetches fail. An outage of the issuer should not become an outage of this
/// service, and an attacker who holds a withdrawn key must gain little by causing one: an hour outlasts the usual outage,
/// and access tokens commonly live as long.
const STALE: Duration = Duration::from_hours(1);

/// The minimum time between two fetches while there is a set, counted from the last attempt, failed or not. It bounds
/// the load that tokens with made-up keys put on the issuer, and the delay until a new key is known.
const COOL_DOWN: Duration = Duration::from_secs(30);

/// The minimum time between two fetches while there is no set, and every request waits for one.
const RETRY: Duration = Duration::from_secs(1);

/// The latest key set of an origin.
pub(super) struct KeyCache {
    /// `None` for a set that was configured: it never expires.
    remote: Option<Box<Remote>>,
    algorithms: Algorithms,
    /// The wall clock, because a monotonic one stops while Lambda freezes the environment.
    clock: SharedTimeSource,
    state: Mutex<CacheState>,
    /// Held during a fetch, so that concurrent misses share it.
    fetch_lock: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct CacheState {
    set: Option<(Arc<KeySet>, SystemTime)>,
    last_attempt: Option<Attempt>,
}

#[derive(Clone, Copy)]
struct Attempt {
    at: SystemTime,
    succeeded: bool,
}

enum Freshness {
    Fresh(Arc<KeySet>),
    Stale(Arc<KeySet>),
    None,
}

/// Outcome of [`KeyCache::refresh`].
pub(super) enum RefreshOutcome {
    /// There is a newer set.
    Newer(Arc<KeySet>),
    /// The last fetch succeeded, and it is too early for another.
    NotDue,
    /// The last fetch failed.
    Failed(KeysUnavailable),
}

impl KeyCache {
    /// An empty cache of the sets of `origin`, or the set that it is.
    pub(super) fn new(origin: Origin, algorithms: Algorithms, clock: SharedTimeSource) -> Self {
        let mut state = CacheState::default();
        let remote = match origin {
            Origin::Remote(remote) => Some(remote),
            Origin::Fixed(set) => {
                state.set = Some((set, SystemTime::UNIX_EPOCH));
                None
            }
        };
        Self {
            remote,
            algorithms,
            clock,
            state: Mutex::new(state),
            fetch_lock: tokio::sync::Mutex::default(),
        }
    }

    /// The set to verify with.
    pub(super) async fn current(&self) -> Result<Arc<KeySet>, KeysUnavailable> {
        let _guard = match self.freshness() {
            Freshness::Fresh(set) => return Ok(set),
            // While one request fetches, the others use the old set.
            Freshness::Stale(set) => match self.fetch_lock.try_lock() {
                Ok(guard) => guard,
                Err(_) => return Ok(set),
            },
            Freshness::None => self.fetch_lock.lock().await,
        };
        if let Freshness::Fresh(set) = self.freshness() {
            return Ok(set);
        }
        self.fetch_if_due().await;
        match self.freshness() {
            Freshness::Fresh(set) | Freshness::Stale(set) => Ok(set),
            Freshness::None => Err(self.unavailable()),
        }
    }

    /// A newer set than `seen`, which lacks a token's key.
    pub(super) async fn refresh(&self, seen: &Arc<KeySet>) -> RefreshOutcome {
        if self.remote.is_none() {
            return RefreshOutcome::NotDue;
        }
        let _guard = self.fetch_lock.lock().await;
        if let Some(newer) = self.other_than(seen) {
            return RefreshOutcome::Newer(newer);
        }
        self.fetch_if_due().await;
        match self.other_than(seen) {
            Some(newer) => RefreshOutcome::Newer(newer),
            None if self.state().last_attempt.is_some_and(|attempt| attempt.succeeded) => {
                RefreshOutcome::NotDue
            }
            None => RefreshOutcome::Failed(self.unavailable()),
        }
    }

    fn freshness(&self) -> Freshness {
        let now = self.clock.now();
        match &mut self.state().set {
            None => Freshness::None,
            Some((set, _)) if self.remote.is_none() => Freshness::Fresh(Arc::clone(set)),
            Some((set, since)) => match now.duration_since(*since) {
                Ok(age) if age < FRESH => Freshness::Fresh(Arc::clone(set)),
                Ok(age) if age < FRESH + STALE => Freshness::Stale(Arc::clone(set)),
                Ok(_) => Freshness::None,
                // The clock was set back, so the set's age is unknown. Treat it as just expired.
                Err(_) => {
                    *since = now.checked_sub(FRESH).unwrap_or(now);
                    Freshness::Stale(Arc::clone(set))
                }
            },
        }
    }

    fn other_than(&self, seen: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        self.state().set.as_ref().map(|(set, _)| Arc::clone(set)).filter(|set| !Arc::ptr_eq(set, seen))
    }

    fn unavailable(&self) -> KeysUnavailable {
        KeysUnavailable { retry_after: self.time_to_next_fetch() }
    }

    /// How long the next fetch has to wait. A clock that was set back ends the wait.
    fn time_to_next_fetch(&self) -> Duration {
        let pause = if matches!(self.freshness(), Freshness::None) { RETRY } else { COOL_DOWN };
        let last = self.state().last_attempt;
        let elapsed = last.and_then(|last| self.clock.now().duration_since(last.at).ok());
        elapsed.map_or(Duration::ZERO, |elapsed| pause.saturating_sub(elapsed))
    }

    /// Fetches once the cool-down is over. Only for the holder of `fetch_lock`.
    async fn fetch_if_due(&self) {
        let Some(remote) = &self.remote else { return };
        if !self.time_to_next_fetch().is_zero() {
            return;
        }
        let started = self.clock.now();
        // Recorded before the wait, because the caller may be dropped during it.
        self.state().last_attempt = Some(Attempt { at: started, succeeded: false });
        let result = remote.fetch(&self.algorithms).await;
        self.state().last_attempt = Some(Attempt { at: self.clock.now(), succeeded: result.is_ok() });
        match result {
            Ok(set) => self.state().set = Some((Arc::new(set), started)),
            Err(error) => tracing::warn!(cause = %error, "the key set could not be fetched"),
        }
    }

    fn state(&self) -> MutexGuard<'_, CacheState> {
        // Nothing under this lock can panic, and the state is consistent at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
