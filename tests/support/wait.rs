//! Waiting for something to become true, never longer than a deadline and never for a fixed time.

use std::future::Future;
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that ought to happen at once. Generous, as the machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Blocks until `holds`; fails with `what` when it does not by the deadline.
#[track_caller]
pub(crate) fn wait_until(deadline: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < deadline, "{what}: not so after {deadline:?}");
        thread::sleep(LOOK);
    }
}

/// As [`wait_until`], while the other clients of the test go on.
pub(crate) async fn eventually(deadline: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < deadline, "{what}: not so after {deadline:?}");
        tokio::time::sleep(LOOK).await;
    }
}

/// The future's result; fails with `what` when it does not come by the deadline.
pub(crate) async fn within<T>(deadline: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(deadline, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing within {deadline:?}"),
    }
}
