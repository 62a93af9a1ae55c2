//! Pings are the server's; who does not answer one is gone when its time is over, not before and not much later.

use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::support::socketio::{EnginePacket, PollingSession, SessionEnd, open_websocket};
use crate::support::wire::{Frame, opcode};
use crate::support::{Hub, Sio, Transport};

const SHORT: &str = "[socketio]\nping_interval_ms = 300\nping_timeout_ms = 200";
const INTERVAL: Duration = Duration::from_millis(300);
const TIMEOUT: Duration = Duration::from_millis(200);
/// What a worker may be late.
const LATE: Duration = Duration::from_millis(150);
/// Sessions of which more than half have to be met on time, as the machine may be busy.
const SESSIONS: usize = 9;

/// That nothing happened before `due`, and most things not much later.
#[track_caller]
fn assert_sharp(what: &str, due: Duration, mut took: Vec<Duration>) {
    took.sort();
    assert!(took[0] >= due, "{what}: was due at {due:?}, and came at {took:?}");
    assert!(took[took.len() / 2] <= due + LATE, "{what}: was due at {due:?}, and came at {took:?}");
}

#[tokio::test]
async fn a_silent_websocket_is_pinged_and_closed_on_time() {
    let hub = Hub::with(SHORT);
    let mut sessions = JoinSet::new();
    for _ in 0..SESSIONS {
        let before = Instant::now();
        let (mut wire, _) = open_websocket(hub.address()).await;
        sessions.spawn(async move {
            let opened = Instant::now();
            assert_eq!(wire.text().await, "2");
            // The hub's clock started between the two.
            let pinged = (before.elapsed(), opened.elapsed());
            let frame = wire.frame().await.unwrap();
            assert_eq!((frame.opcode, frame.close_code()), (opcode::CLOSE, Some(4408)), "{frame:?}");
            (pinged, (before.elapsed(), opened.elapsed()))
        });
    }
    let (mut pinged, mut closed) = (Vec::new(), Vec::new());
    while let Some(ended) = sessions.join_next().await {
        let (ping, close) = ended.unwrap();
        assert!(ping.0 >= INTERVAL && close.0 >= INTERVAL + TIMEOUT, "too early: {ping:?}, {close:?}");
        pinged.push(ping.0);
        closed.push(close.0);
    }
    assert_sharp("the ping", INTERVAL, pinged);
    assert_sharp("the close", INTERVAL + TIMEOUT, closed);
    assert_eq!(hub.metric(r#"hubbub_sessions_closed_total{reason="heartbeat_timeout"}"#), SESSIONS as f64);
}

#[tokio::test]
async fn a_polling_session_that_does_not_answer_its_ping_is_gone_right_when_its_time_is_over() {
    let hub = Hub::with(SHORT);
    let mut sessions = JoinSet::new();
    for n in 0..6 {
        let before = Instant::now();
        let mut polling = PollingSession::open(&hub).await;
        let opened = Instant::now();
        sessions.spawn(async move {
            assert_eq!(polling.poll_body().await, "2");
            let pinged = before.elapsed();
            assert!(pinged >= INTERVAL, "pinged after {pinged:?}");
            if n % 2 == 0 {
                // One who asks right then learns that it is too late, whenever the hub looks by itself.
                sleep_until((opened + INTERVAL + TIMEOUT).into()).await;
                polling.assert_gone().await;
            } else {
                // A poll that waits is told.
                assert_eq!(polling.poll_body().await, "1");
                let ended = before.elapsed();
                assert!(ended >= INTERVAL + TIMEOUT, "ended after {ended:?}");
                polling.assert_gone().await;
            }
        });
    }
    while let Some(ended) = sessions.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn who_answers_lives_and_is_pinged_again_an_interval_later() {
    let hub = Hub::with("[socketio]\nping_interval_ms = 300\nping_timeout_ms = 5000");
    let (mut wire, _) = open_websocket(hub.address()).await;
    let mut polling = PollingSession::open(&hub).await;
    let mut answered = (Instant::now(), Instant::now());
    for n in 0..4 {
        assert_eq!(wire.text().await, "2");
        let waited = answered.0.elapsed();
        assert!(n == 0 || waited >= INTERVAL, "pinged again after {waited:?}");
        answered.0 = Instant::now();
        wire.send_text("3").await;
        assert_eq!(polling.poll_body().await, "2");
        let waited = answered.1.elapsed();
        assert!(n == 0 || waited >= INTERVAL, "pinged again after {waited:?}");
        answered.1 = Instant::now();
        polling.send("3").await;
    }
}

#[tokio::test]
async fn only_a_pong_is_an_answer() {
    let hub = Hub::with(&format!("{SHORT}\n[limits.community]\nmessages_per_minute = 0"));
    let mut client = Sio::open(&hub, Transport::WebSocket).await;
    let opened = Instant::now();
    client.connect("/", &Value::Null).await.unwrap();
    let mut ended = None;
    while ended.is_none() {
        // Says something all the time, and hears its answers, but never says that.
        client.wire().try_send(&Frame::text("420[\"ping\"]").encode()).await;
        ended = client.wire().frame().await.and_then(|frame| frame.close_code());
        assert!(opened.elapsed() < Duration::from_secs(5), "lives without an answer");
    }
    assert_eq!(ended, Some(4408));
}

#[tokio::test]
async fn a_ping_of_the_client_ends_the_session() {
    let hub = Hub::start();
    for transport in Transport::BOTH {
        let mut client = Sio::of(&hub, transport, "alice").await;
        match transport {
            Transport::Polling => {
                assert_eq!(client.polling().post("2").await.status, 400);
                client.polling().assert_gone().await;
            }
            Transport::WebSocket => {
                client.send("2").await;
                assert_eq!(client.read_to_end().await, (vec![], SessionEnd::Closed(Some(1002))));
            }
        }
    }
}

#[tokio::test]
async fn a_pong_that_nobody_asked_for_does_no_harm() {
    let hub = Hub::start();
    for transport in Transport::BOTH {
        let mut client = Sio::of(&hub, transport, "alice").await;
        client.send("3").await;
        client.send("6").await;
        client.expect_silence().await;
        client.send("42[\"ping\"]").await;
        client.send("421[\"ping\"]").await;
        assert_eq!(client.packet().await, Some(EnginePacket::Text("431[]".to_owned())));
    }
}
