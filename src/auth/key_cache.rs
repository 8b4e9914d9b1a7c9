//! How long a key set is used, and when it is fetched again.
//!
//! A set is *fresh* for ten minutes: it is used without any I/O. Then it is *due*: it is still used at once, and fetched
//! beside the read. Ten minutes later it is *overdue*, and every request waits for the fetch. If fetches fail, the set
//! stays valid for an hour after it was fresh. A token whose key is not in the set may be signed with a newer key, so it
//! triggers a fetch too, but at most one in thirty seconds. Nothing runs in the background: Lambda freezes the environment
//! between invocations. A fetch that a request does not wait for goes on with the next one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::SharedTimeSource;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

use super::error::KeysUnavailable;
use super::key_set::{Algorithms, KeySet};
use super::key_source::{FETCH_TIMEOUT, Origin, Remote};

/// How long a set is used without another fetch. It bounds how long a withdrawn key still verifies tokens; ten minutes
/// is a common choice among JWT libraries.
const FRESH: Duration = Duration::from_mins(10);

/// The age from which on requests wait for the fetch: one that is cut off by each freeze of the environment, or that an
/// attacker delays, must not keep a withdrawn key alive.
const OVERDUE: Duration = Duration::from_mins(20);

/// The age up to which a set is valid while fetches fail. An outage of the issuer should not become an outage of this
/// service, and an attacker who holds a withdrawn key must gain little by causing one: an hour outlasts the usual outage,
/// and access tokens commonly live as long.
const VALID: Duration = Duration::from_mins(70);

/// The minimum time between two fetches while there is a set, counted from the last attempt, failed or not. It bounds
/// the load that tokens with made-up keys put on the issuer, and the delay until a new key is known.
const COOL_DOWN: Duration = Duration::from_secs(30);

/// The minimum time between two fetches while there is no set, and every request waits for one.
const RETRY: Duration = Duration::from_secs(1);

/// The latest key set of an origin.
pub(super) struct KeyCache(Arc<Inner>);

struct Inner {
    /// `None` for a set that was configured: it never expires.
    remote: Option<Box<Remote>>,
    algorithms: Algorithms,
    /// The wall clock, because a monotonic one stops while Lambda freezes the environment.
    clock: SharedTimeSource,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    set: Option<(Arc<KeySet>, SystemTime)>,
    last_attempt: Option<Attempt>,
    running: Option<Running>,
}

#[derive(Clone, Copy)]
struct Attempt {
    at: SystemTime,
    succeeded: bool,
}

/// A fetch that has not ended. All who need it share it.
struct Running {
    started: SystemTime,
    fetch: Shared<BoxFuture<'static, ()>>,
}

/// How old a valid set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Fresh,
    Due,
    Overdue,
}

/// A fetch to wait for. It goes on with the next request if this one does not.
pub(super) struct Fetch {
    pub(super) done: Shared<BoxFuture<'static, ()>>,
    /// Whether this request started it.
    pub(super) is_new: bool,
}

impl KeyCache {
    /// An empty cache of the sets of `origin`, or the set that it is.
    pub(super) fn new(origin: Origin, algorithms: Algorithms, clock: SharedTimeSource) -> Self {
        let (remote, set) = match origin {
            Origin::Remote(remote) => (Some(remote), None),
            Origin::Fixed(set) => (None, Some((set, SystemTime::UNIX_EPOCH))),
        };
        let state = Mutex::new(State { set, ..State::default() });
        Self(Arc::new(Inner { remote, algorithms, clock, state }))
    }

    /// The set, if there is a valid one.
    pub(super) fn set(&self) -> Option<(Arc<KeySet>, Age)> {
        self.0.state().valid_set(&self.0)
    }

    /// The set after a fetch, if it is another than `seen`.
    pub(super) fn newer_than(&self, seen: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        self.set().map(|(set, _)| set).filter(|set| !Arc::ptr_eq(set, seen))
    }

    /// The fetch that is running, or else a new one. `None` while it is too early for another.
    pub(super) fn fetch(&self) -> Option<Fetch> {
        self.0.remote.as_ref()?;
        if let Some(done) = self.running() {
            return Some(Fetch { done, is_new: false });
        }
        let inner = &self.0;
        let mut state = inner.state();
        if !state.time_to_next_fetch(inner).is_zero() {
            return None;
        }
        let started = inner.clock.now();
        state.last_attempt = Some(Attempt { at: started, succeeded: false });
        let done = Arc::clone(inner).fetch(started).boxed().shared();
        state.running = Some(Running { started, fetch: done.clone() });
        Some(Fetch { done, is_new: true })
    }

    /// The fetch that another request has started. One that has run for longer than a fetch may take was frozen with the
    /// environment: it has ended meanwhile, or its connection has died.
    fn running(&self) -> Option<Shared<BoxFuture<'static, ()>>> {
        let (started, fetch) = {
            let state = self.0.state();
            let running = state.running.as_ref()?;
            (running.started, running.fetch.clone())
        };
        let age = self.0.clock.now().duration_since(started);
        if age.is_ok_and(|age| age <= FETCH_TIMEOUT) || fetch.clone().now_or_never().is_some() {
            return Some(fetch);
        }
        self.0.state().forget(started);
        None
    }

    /// Whether the last fetch failed, or there was none.
    pub(super) fn last_fetch_failed(&self) -> bool {
        self.0.remote.is_some() && !self.0.state().last_attempt.is_some_and(|attempt| attempt.succeeded)
    }

    /// The error of a request that needs a newer set than there is.
    pub(super) fn unavailable(&self) -> KeysUnavailable {
        KeysUnavailable { retry_after: self.0.state().time_to_next_fetch(&self.0) }
    }
}

impl Inner {
    async fn fetch(self: Arc<Self>, started: SystemTime) {
        let Some(remote) = &self.remote else { return };
        let result = remote.fetch(&self.algorithms).await;
        let mut state = self.state();
        state.forget(started);
        state.last_attempt = Some(Attempt { at: self.clock.now(), succeeded: result.is_ok() });
        match result {
            Ok(set) => state.set = Some((Arc::new(set), started)),
            Err(error) => {
                drop(state);
                tracing::warn!(cause = %error, "the key set could not be fetched");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic, and the state is consistent at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn valid_set(&mut self, inner: &Inner) -> Option<(Arc<KeySet>, Age)> {
        let (set, since) = self.set.as_mut()?;
        if inner.remote.is_none() {
            return Some((Arc::clone(set), Age::Fresh));
        }
        let now = inner.clock.now();
        let age = match now.duration_since(*since) {
            Ok(age) if age < FRESH => Age::Fresh,
            Ok(age) if age < OVERDUE => Age::Due,
            Ok(age) if age < VALID => Age::Overdue,
            Ok(_) => return None,
            // The clock was set back, so the set's age is unknown.
            Err(_) => {
                *since = now.checked_sub(FRESH).unwrap_or(now);
                Age::Due
            }
        };
        Some((Arc::clone(set), age))
    }

    /// How long the next fetch has to wait. A clock that was set back ends the wait.
    fn time_to_next_fetch(&mut self, inner: &Inner) -> Duration {
        let pause = if self.valid_set(inner).is_none() { RETRY } else { COOL_DOWN };
        let elapsed = self.last_attempt.and_then(|last| inner.clock.now().duration_since(last.at).ok());
        elapsed.map_or(Duration::ZERO, |elapsed| pause.saturating_sub(elapsed))
    }

    fn forget(&mut self, started: SystemTime) {
        self.running = self.running.take().filter(|running| running.started != started);
    }
}
