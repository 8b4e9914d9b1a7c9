//! Reads while what the service depends on misbehaves.

mod keys;
mod store;

use std::sync::Mutex;

/// Rows that run at the same time.
const THREADS: usize = 6;

/// Tries all rows, and panics with all failures.
fn for_each<R: Sync>(rows: &[R], try_row: impl AsyncFn(&R) -> Result<(), String> + Sync) {
    let next = Mutex::new(rows.iter());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let row = next.lock().unwrap().next();
                    let Some(row) = row else { break };
                    // Each has a runtime of its own, because time is skipped for all tasks of a runtime.
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    if let Err(failure) = runtime.block_on(try_row(row)) {
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} rows:\n{}", failures.len(), rows.len(), failures.join("\n"));
}
