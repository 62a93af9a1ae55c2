//! A session that is not polled holds at most a full outbox, and ends when that is full. Other sessions are not affected.

use serde_json::json;

use crate::support::{Client, DEADLINE, Hub, Sio, SioTransport, eventually};

const PAYLOAD: usize = 40_000;
const MESSAGES: usize = 600;
const CLOSED: &str = r#"hubbub_sessions_closed_total{reason="slow_consumer"}"#;
/// The growth of the hub's memory that is allowed, in KiB. Without a bound, each of three unpolled sessions would hold 24 MB.
const GROWTH_KIB: u64 = 8 * 1024;

#[tokio::test]
async fn an_unpolled_session_is_closed_and_does_not_affect_others() {
    let hub = Hub::with("[limits.raw]\nmessages_per_minute = 0");
    let mut raw = Client::of(&hub, "raw").await;
    raw.subscribe(&["room"]).await;
    let mut socket = Sio::of(&hub, SioTransport::WebSocket, "socket").await;
    socket.join("room").await;
    let mut polled = Sio::of(&hub, SioTransport::Polling, "polled").await;
    polled.join("room").await;
    let mut sender = Client::of(&hub, "sender").await;
    // Allocates the buffers of each connection before the memory is measured.
    sender.broadcast("room", json!({"n": 0, "text": "x".repeat(PAYLOAD)})).await;
    let mut unread = Vec::new();
    for n in 0..3 {
        let mut client = Sio::of(&hub, SioTransport::Polling, &format!("unread-{n}")).await;
        client.join("room").await;
        unread.push(client);
    }
    let (before, mut most) = (hub.rss_kib(), 0);
    for n in 0..MESSAGES {
        if n > 0 {
            sender.broadcast("room", json!({"n": n, "text": "x".repeat(PAYLOAD)})).await;
        }
        assert_eq!(raw.expect("Broadcast").await["data"]["payload"]["n"], n);
        assert_eq!(socket.expect("Broadcast").await["payload"]["n"], n);
        assert_eq!(polled.expect("Broadcast").await["payload"]["n"], n);
        most = most.max(hub.rss_kib());
    }
    assert!(most < before + GROWTH_KIB, "the hub grew from {before} to {most} KiB");
    assert_eq!(hub.metric(CLOSED), 3.0);
    eventually(DEADLINE, "the unpolled sessions have ended", || hub.connections() == 4).await;
    assert_eq!(sender.broadcast("room", json!(1)).await["data"]["recipients"], 3);
    for client in &mut unread {
        client.polling().assert_gone().await;
    }
}

#[tokio::test]
async fn a_poll_in_time_fetches_all_waiting_events_in_order() {
    let hub = Hub::start();
    let mut member = Sio::of(&hub, SioTransport::Polling, "member").await;
    member.join("room").await;
    let mut sender = Client::of(&hub, "sender").await;
    let almost_all = 1_048_576 / (PAYLOAD + 1_000);
    for n in 0..almost_all {
        sender.broadcast("room", json!({"n": n, "text": "x".repeat(PAYLOAD)})).await;
    }
    for n in 0..almost_all {
        assert_eq!(member.expect("Broadcast").await["payload"]["n"], n);
    }
    member.expect_silence().await;
    assert_eq!(hub.metric(CLOSED), 0.0);
}

#[tokio::test]
async fn a_session_that_sends_and_never_polls_is_closed() {
    let hub = Hub::with(
        "[limits]\nframes_per_second = 0\n[limits.push]\nmessages_per_minute = 0\n\
         [socketio]\nping_interval_ms = 1000\nping_timeout_ms = 3000",
    );
    let mut client = Sio::of(&hub, SioTransport::Polling, "unpolled").await;
    let body = vec!["420[\"ping\",{}]"; 60_000].join("\u{1e}");
    let before = hub.rss_kib();
    let polling = client.polling();
    let mut posts = 0;
    while polling.post(&body).await.status == 200 {
        posts += 1;
        assert!(posts < 2, "requests are accepted while more than half an outbox waits for a poll");
    }
    polling.assert_gone().await;
    let after = hub.rss_kib();
    assert!(after < before + GROWTH_KIB, "the hub grew from {before} to {after} KiB");
    assert_eq!(hub.metric(CLOSED), 1.0);
    eventually(DEADLINE, "no session is left", || hub.connections() == 0).await;
}
