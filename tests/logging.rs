//! The log: a reader that stops.

use serde_json::json;

use crate::support::{Client, DEADLINE, Hub, Wire, eventually, wait_until};

/// A log whose lines are many: each request makes some.
const LOUD: &str = "[log]\nlevel = \"info,actix_http=trace,mio=trace\"\n[limits.http]\nrequests_per_minute = 0";

/// Asks for something until lines of the log have been dropped.
fn fill_log(hub: &Hub) {
    let http = hub.http();
    wait_until(DEADLINE * 4, "lines are dropped", || {
        for _ in 0..200 {
            assert_eq!(http.get("/health/live").status, 200);
        }
        hub.metric("hubbub_log_lines_dropped_total") > 0.0
    });
}

#[tokio::test]
async fn while_nobody_reads_the_log_all_else_goes_on_and_what_is_dropped_is_counted() {
    let mut hub = Hub::with_unread_log(LOUD);
    let mut client = Client::of(&hub, "alice").await;
    fill_log(&hub);
    client.ask(json!({"type": "Ping", "data": {"timestamp": 1}}), "Pong").await;
    let refused = hub.metric("hubbub_connections_refused_total");
    for _ in 0..3 {
        let (answer, _) = Wire::upgrade(&hub, "/ws?token=bad", &[]).await;
        assert_eq!(answer.status, 401);
    }
    assert_eq!(hub.metric("hubbub_connections_refused_total"), refused + 3.0, "refusals are counted all the same");
    let waiting = hub.metric("hubbub_log_queue_lines");
    assert!((1.0..=16_384.0).contains(&waiting), "{waiting}");
    assert!(hub.metric("hubbub_log_queue_bytes") <= f64::from(4 << 20));

    // Somebody reads again.
    hub.read_log();
    eventually(DEADLINE * 2, "the log says what it lacks", || {
        hub.said().lines().any(|line| line.contains(" WARN  hubbub::logging: lines of the log were dropped"))
    })
    .await;
    eventually(DEADLINE, "the queue is empty", || hub.metric("hubbub_log_queue_lines") < 1_000.0).await;
}

#[test]
fn a_hub_whose_log_nobody_reads_ends_when_it_is_told_to() {
    let mut hub = Hub::with_unread_log(LOUD);
    fill_log(&hub);
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE), Some(0));
}

#[test]
fn a_hub_whose_reader_has_gone_goes_on() {
    let mut hub = Hub::with_unread_log(LOUD);
    hub.close_log();
    fill_log(&hub);
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE), Some(0));
}
