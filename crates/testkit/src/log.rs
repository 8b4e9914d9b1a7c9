//! A log in memory.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, Once};

use imaging_study::audit::subscriber;
use serde_json::Value;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;

/// What was written, shared by all clones.
#[derive(Clone, Debug)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Default for Log {
    /// An empty log. From the first one on, `tracing` has a global subscriber that takes every line and writes none:
    /// without it, a thread whose subscriber goes away can make another thread miss a line.
    fn default() -> Self {
        static KEEP_INTEREST: Once = Once::new();
        KEEP_INTEREST.call_once(|| {
            tracing::subscriber::set_global_default(subscriber(LevelFilter::TRACE, io::sink))
                .expect("nothing else sets one");
        });
        Self(Arc::default())
    }
}

impl Log {
    /// Takes what the function would log at `level`, on this thread, until the guard is dropped.
    pub fn listen(&self, level: LevelFilter) -> DefaultGuard {
        let log = self.clone();
        tracing::subscriber::set_default(subscriber(level, move || log.clone()))
    }

    /// The text so far.
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes().clone()).expect("a log is text")
    }

    /// The text since the last call.
    pub fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.bytes())).expect("a log is text")
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().expect("no writer panics")
    }
}

/// The audit lines of a log. Fails over a line that is not JSON.
pub fn audit_lines(log: &str) -> Vec<Value> {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("every line is JSON"));
    lines.filter(|line| line["target"] == "imaging_study::audit").collect()
}

/// The one audit line of a log.
pub fn audit_line(log: &str) -> Value {
    let mut lines = audit_lines(log);
    assert_eq!(lines.len(), 1, "one audit line for one request: {lines:?}");
    lines.remove(0)
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
