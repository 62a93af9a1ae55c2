//! Pings come from the server. A client that does not answer one in time is closed, and never before its time. That the hub
//! closes at the exact time is tested with a manual clock, where the liveness of a session is defined.

use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::support::socketio::{ObservedEnd, PollingSession, SEPARATOR, WirePacket, open_websocket};
use crate::support::wait::within;
use crate::support::wire::{RawFrame, opcode};
use crate::support::{DEADLINE, Hub, Sio, SioTransport};

const SHORT: &str = "[socketio]\nping_interval_ms = 300\nping_timeout_ms = 200";
const INTERVAL: Duration = Duration::from_millis(300);
const TIMEOUT: Duration = Duration::from_millis(200);
const SESSIONS: usize = 9;

#[tokio::test]
async fn a_silent_websocket_is_pinged_and_closed_and_not_before_its_time() {
    let hub = Hub::with(SHORT);
    let mut sessions = JoinSet::new();
    for _ in 0..SESSIONS {
        let started = Instant::now();
        let (mut wire, _) = open_websocket(hub.address()).await;
        sessions.spawn(async move {
            assert_eq!(wire.text().await, "2");
            let pinged = started.elapsed();
            assert!(pinged >= INTERVAL, "pinged after {pinged:?}");
            let frame = wire.frame().await.unwrap();
            assert_eq!((frame.opcode, frame.close_code()), (opcode::CLOSE, Some(4408)), "{frame:?}");
            let closed = started.elapsed();
            assert!(closed >= INTERVAL + TIMEOUT, "closed after {closed:?}");
        });
    }
    while let Some(ended) = sessions.join_next().await {
        ended.unwrap();
    }
    assert_eq!(hub.metric(r#"hubbub_sessions_closed_total{reason="heartbeat_timeout"}"#), SESSIONS as f64);
}

#[tokio::test]
async fn a_polling_session_that_does_not_answer_its_ping_ends_and_not_before_its_time() {
    // The timeout is long enough for a slow client to poll before it.
    let hub = Hub::with("[socketio]\nping_interval_ms = 300\nping_timeout_ms = 2000");
    let timeout = Duration::from_secs(2);
    let mut sessions = JoinSet::new();
    for n in 0..6 {
        let started = Instant::now();
        let mut polling = PollingSession::open(&hub).await;
        let opened = Instant::now();
        sessions.spawn(async move {
            assert_eq!(polling.poll_body().await, "2");
            let pinged = started.elapsed();
            assert!(pinged >= INTERVAL, "pinged after {pinged:?}");
            if n % 2 == 0 {
                // A poll after the timeout finds no session, even before the hub's next sweep.
                sleep_until((opened + INTERVAL + timeout).into()).await;
            } else {
                // A waiting poll is answered with a close packet, after further pings.
                let mut received = String::new();
                while !received.ends_with('1') {
                    received += &polling.poll_body().await;
                }
                let pings = received.trim_end_matches('1');
                assert!(pings.chars().all(|packet| packet == '2' || packet == SEPARATOR), "{received:?}");
                let ended = started.elapsed();
                assert!(ended >= INTERVAL + timeout, "ended after {ended:?}");
            }
            polling.assert_gone().await;
        });
    }
    while let Some(ended) = sessions.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_answers_is_pinged_again_after_an_interval() {
    let hub = Hub::with("[socketio]\nping_interval_ms = 300\nping_timeout_ms = 15000");
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
async fn an_event_does_not_answer_a_ping() {
    let hub = Hub::with(&format!("{SHORT}\n[limits.community]\nmessages_per_minute = 0"));
    let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
    client.connect("/", &Value::Null).await.unwrap();
    // Sends events without pause, and never a pong.
    let closed = async {
        loop {
            client.wire().try_send(&RawFrame::text("420[\"ping\"]").encode()).await;
            if let Some(code) = client.wire().frame().await.and_then(|frame| frame.close_code()) {
                return code;
            }
        }
    };
    assert_eq!(within(DEADLINE, "the connection is closed", closed).await, 4408);
}

#[tokio::test]
async fn a_ping_from_the_client_ends_the_session() {
    let hub = Hub::start();
    for transport in SioTransport::BOTH {
        let mut client = Sio::of(&hub, transport, "alice").await;
        match transport {
            SioTransport::Polling => {
                assert_eq!(client.polling().post("2").await.status, 400);
                client.polling().assert_gone().await;
            }
            SioTransport::WebSocket => {
                client.send("2").await;
                assert_eq!(client.read_to_end().await, (vec![], ObservedEnd::Closed(Some(1002))));
            }
        }
    }
}

#[tokio::test]
async fn an_unsolicited_pong_has_no_effect() {
    let hub = Hub::start();
    for transport in SioTransport::BOTH {
        let mut client = Sio::of(&hub, transport, "alice").await;
        client.send("3").await;
        client.send("6").await;
        client.expect_silence().await;
        client.send("42[\"ping\"]").await;
        client.send("421[\"ping\"]").await;
        assert_eq!(client.packet().await, Some(WirePacket::Text("431[]".to_owned())));
    }
}
