//! Waiting for a condition with a deadline, the only kind of waiting the suites do.

use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take before the test gives up: generous, since the machine may be busy with other builds.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Polls `probe` until it yields a value, and returns it.
///
/// # Panics
/// When [`PATIENCE`] has passed.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe)
}

/// Polls `probe` until it yields a value or `limit` has passed.
///
/// # Panics
/// When `limit` has passed.
pub fn within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Polls `reading` until it has not changed for `quiet`, and returns it.
///
/// # Panics
/// When it still changes after [`PATIENCE`].
pub fn settled<T: PartialEq>(what: &str, quiet: Duration, mut reading: impl FnMut() -> T) -> T {
    let mut last = reading();
    let mut since = Instant::now();
    eventually(what, || {
        let now = reading();
        if now != last {
            last = now;
            since = Instant::now();
        }
        (since.elapsed() >= quiet).then_some(())
    });
    last
}
