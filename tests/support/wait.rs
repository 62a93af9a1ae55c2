//! Waits for a condition, up to a deadline and never for a fixed time.

use std::future::Future;
use std::thread;
use std::time::{Duration, Instant};

/// The longest wait for something that happens at once. It is long, as the machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

/// The time between two checks of a condition.
const INTERVAL: Duration = Duration::from_millis(10);

/// Blocks until `holds`; fails with `what` at the deadline.
#[track_caller]
pub(crate) fn wait_until(deadline: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < deadline, "{what}: not so after {deadline:?}");
        thread::sleep(INTERVAL);
    }
}

/// As [`wait_until`], without blocking the other tasks of the test.
pub(crate) async fn eventually(deadline: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < deadline, "{what}: not so after {deadline:?}");
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The output of the future; fails with `what` at the deadline.
pub(crate) async fn within<T>(deadline: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(deadline, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing within {deadline:?}"),
    }
}
