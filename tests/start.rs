//! A hub starts on a port that the system chooses, answers, and ends on SIGTERM.

use crate::support::{DEADLINE, Hub};

#[test]
fn a_hub_starts_and_is_ready() {
    let hub = Hub::start();
    assert_eq!(hub.get("/health/ready").status, 200);
    assert_eq!(hub.get("/health").json()["status"], "healthy");
}

#[test]
fn a_hub_exits_with_0_on_sigterm() {
    let mut hub = Hub::start();
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}
