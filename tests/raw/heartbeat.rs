//! The hub pings silent clients and closes clients without a sign of life in time.

use crate::support::wire::{RawFrame, opcode};
use crate::support::{Hub, Wire};

/// A ping each second, and three seconds without a sign of life.
const CONFIG: &str = "[server]\nworkers = 1\nheartbeat_interval_secs = 1\nclient_timeout_secs = 3";
const INTERVAL_MS: i64 = 1_000;
const TIMEOUT_MS: i64 = 3_000;

/// Where the hub counts the sessions that it closed for their silence.
const TIMED_OUT: &str = r#"hubbub_sessions_closed_total{reason="heartbeat_timeout"}"#;

async fn welcomed(hub: &Hub) -> Wire {
    let mut wire = Wire::of(hub, "alice").await;
    assert_eq!(wire.message().await["data"]["status"], "connected");
    wire
}

/// Reads up to the next ping; fails when the connection is closed before.
async fn ping(wire: &mut Wire) -> RawFrame {
    loop {
        let frame = wire.frame().await.expect("the connection is open");
        match frame.opcode {
            opcode::PING => return frame,
            opcode::CLOSE => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_closed_with_4408_at_its_timeout() {
    let hub = Hub::with_manual_clock(CONFIG);
    let mut first = welcomed(&hub).await;
    hub.advance(1);
    let mut second = welcomed(&hub).await;
    hub.advance(INTERVAL_MS);
    for wire in [&mut first, &mut second] {
        ping(wire).await;
    }
    // One sweep checks both clients: the first at its timeout, the second 1 ms before it.
    hub.advance(TIMEOUT_MS - INTERVAL_MS - 1);
    assert_eq!(first.close_code().await, Some(4408));
    first.wait_closed().await;
    assert_eq!(hub.metric(TIMED_OUT), 1.0);
    hub.advance(1);
    assert_eq!(second.close_code().await, Some(4408));
    assert_eq!(hub.metric(TIMED_OUT), 2.0);
}

#[tokio::test]
async fn a_client_that_answers_the_pings_stays() {
    let hub = Hub::with_manual_clock(CONFIG);
    let mut wire = welcomed(&hub).await;
    for _ in 0..3 * TIMEOUT_MS / INTERVAL_MS {
        hub.advance(INTERVAL_MS);
        let ping = ping(&mut wire).await;
        wire.send_frame(&RawFrame::new(opcode::PONG, ping.payload)).await;
    }
}

#[tokio::test]
async fn any_frame_is_a_sign_of_life() {
    let hub = Hub::with_manual_clock(CONFIG);
    let mut wire = welcomed(&hub).await;
    for turn in 0..3 * TIMEOUT_MS / INTERVAL_MS {
        hub.advance(INTERVAL_MS);
        ping(&mut wire).await;
        // Never a pong: a message that is refused, or a ping from the client.
        let frame = if turn % 2 == 0 { RawFrame::text("x") } else { RawFrame::new(opcode::PING, "") };
        wire.send_frame(&frame).await;
    }
}

#[tokio::test]
async fn a_fragment_of_a_message_is_a_sign_of_life() {
    let hub = Hub::with_manual_clock(CONFIG);
    let mut wire = welcomed(&hub).await;
    let mut opcode = opcode::TEXT;
    for _ in 0..3 * TIMEOUT_MS / INTERVAL_MS {
        hub.advance(INTERVAL_MS);
        ping(&mut wire).await;
        wire.send_frame(&RawFrame::new(opcode, " ").unfinished()).await;
        opcode = opcode::CONTINUATION;
    }
    wire.send_frame(&RawFrame::new(opcode::CONTINUATION, r#"{"type":"Ping","data":{"timestamp":1}}"#)).await;
    assert_eq!(wire.message().await["type"], "Pong");
}
