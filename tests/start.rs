//! A hub starts on a port of its own, answers, and ends when told to.

use crate::support::{DEADLINE, Hub};

#[test]
fn a_hub_starts_and_is_ready() {
    let hub = Hub::start();
    assert_eq!(hub.get("/health/ready").status, 200);
    assert_eq!(hub.get("/health").json()["status"], "healthy");
}

#[test]
fn a_hub_told_to_end_exits_with_0() {
    let mut hub = Hub::start();
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}
