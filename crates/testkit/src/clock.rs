//! The clock of a process, which a test sets on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The wall clock of a function under libfaketime; its monotonic clock is the machine's, as after a rest in Lambda.
pub struct Clock(PathBuf);

impl Clock {
    /// Adds to a function's environment what gives it such a clock. It is kept in a file in `folder`. `LIBFAKETIME` must be
    /// the path of libfaketime.so.1.
    pub fn of(environment: &mut HashMap<String, String>, folder: &Path) -> Self {
        let clock = Self(folder.join("fake-clock"));
        clock.set_on(Duration::ZERO);
        let library = std::env::var("LIBFAKETIME").expect("LIBFAKETIME: the path of libfaketime.so.1");
        let variables = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", clock.0.to_str().expect("a path in UTF-8")),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        environment.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        clock
    }

    /// Sets the clock so far ahead of ours.
    pub fn set_on(&self, ahead: Duration) {
        // Renamed, so that it is never read half-written.
        let new = self.0.with_extension("new");
        std::fs::write(&new, format!("+{}\n", ahead.as_secs())).expect("a writable folder");
        std::fs::rename(new, &self.0).expect("a writable folder");
    }
}
