//! The support itself works: a hub starts on a free port, answers, and ends on a signal.

use crate::support::{DEADLINE, Hub};

#[test]
fn a_hub_starts_and_is_ready() {
    let hub = Hub::start();
    assert_eq!(hub.get("/health/ready").status, 200);
    assert_eq!(hub.get("/health").json()["status"], "healthy");
}

#[test]
fn sigterm_ends_the_hub_with_status_0() {
    let mut hub = Hub::start();
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}
