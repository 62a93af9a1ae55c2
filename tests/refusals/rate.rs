//! A flood of refusals: 60 lines for one address, and a count of the rest.

use serde_json::json;

use super::{CONFIG, lines, refused};
use crate::support::{DEADLINE, Hub, wait_until};

#[test]
fn refusals_left_out_of_the_log_are_counted_and_logged_before_the_exit() {
    let mut hub = Hub::with(CONFIG);
    let http = hub.http();
    for n in 0..100 {
        let answer = http.request("GET", &format!("/nothing/{n}")).header("X-Forwarded-For", "203.0.113.9").send();
        assert_eq!(answer.status, 404);
    }
    http.request("GET", "/nothing/else").header("X-Forwarded-For", "203.0.113.10").send();
    wait_until(DEADLINE, "61 lines are logged", || refused(&hub).len() == 61);
    assert_eq!(hub.metric("hubbub_refusals_unlogged_total"), 40.0);
    assert_eq!(hub.metric("hubbub_refusals_total"), 101.0);
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE), Some(0));
    let summaries = || lines(&hub, "hubbub::refused").into_iter().filter(|line| line["message"] == "refusals left out");
    wait_until(DEADLINE, "the count of omitted lines is logged", || summaries().count() == 1);
    let line = summaries().next().unwrap();
    assert_eq!((&line["omitted"], &line["address"]), (&json!(40), &json!("203.0.113.9")), "{line}");
    assert_eq!(refused(&hub).len(), 61);
}
