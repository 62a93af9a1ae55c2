//! The hub pings who is silent, keeps who answers, and cuts who does not.

use std::time::{Duration, Instant};

use crate::support::wire::{Frame, opcode};
use crate::support::{Hub, Wire};

/// A ping a second, and two seconds of patience.
const QUICK: &str = "[server]\nheartbeat_interval_secs = 1\nclient_timeout_secs = 2";

async fn welcomed(hub: &Hub) -> Wire {
    let mut wire = Wire::of(hub, "alice").await;
    assert_eq!(wire.message().await["data"]["status"], "connected");
    wire
}

#[tokio::test]
async fn who_says_nothing_at_all_is_cut_with_4408() {
    let hub = Hub::with(QUICK);
    // The hub counts from the connect; a busy machine may show the welcome later.
    let silent_since = Instant::now();
    let mut wire = welcomed(&hub).await;
    let mut pings = 0;
    let code = loop {
        let frame = wire.frame().await.expect("a close frame comes before the end");
        match frame.opcode {
            opcode::PING => pings += 1,
            _ => break frame.close_code(),
        }
    };
    let silence = silent_since.elapsed();
    assert_eq!(code, Some(4408));
    assert!(pings >= 1, "was cut without having been asked");
    assert!(silence >= Duration::from_millis(1_900), "was cut after {silence:?}");
    assert!(silence < Duration::from_secs(10), "was cut after {silence:?}");
    wire.wait_closed().await;
}

#[tokio::test]
async fn who_answers_the_pings_stays() {
    let hub = Hub::with(QUICK);
    let mut wire = welcomed(&hub).await;
    let since = Instant::now();
    // Longer than two times the patience.
    while since.elapsed() < Duration::from_secs(5) {
        let ping = wire.frame().await.unwrap();
        assert_eq!(ping.opcode, opcode::PING, "{ping:?}");
        wire.send_frame(&Frame::new(opcode::PONG, ping.payload)).await;
    }
}

#[tokio::test]
async fn any_frame_is_a_sign_of_life() {
    let hub = Hub::with(QUICK);
    let mut wire = welcomed(&hub).await;
    let since = Instant::now();
    let mut turn = 0;
    while since.elapsed() < Duration::from_secs(5) {
        let ping = wire.frame().await.unwrap();
        assert_ne!(ping.opcode, opcode::CLOSE, "{ping:?}");
        if ping.opcode == opcode::PING {
            // Never a pong: a message that is refused, or a ping of one's own.
            turn += 1;
            let frame = if turn % 2 == 0 { Frame::text("x") } else { Frame::new(opcode::PING, "") };
            wire.send_frame(&frame).await;
        }
    }
}

#[tokio::test]
async fn a_piece_of_a_message_is_a_sign_of_life_too() {
    let hub = Hub::with(QUICK);
    let mut wire = welcomed(&hub).await;
    let since = Instant::now();
    let mut opcode = opcode::TEXT;
    while since.elapsed() < Duration::from_secs(5) {
        let ping = wire.frame().await.unwrap();
        assert_ne!(ping.opcode, opcode::CLOSE, "after {:?}: {ping:?}", since.elapsed());
        wire.send_frame(&Frame::new(opcode, " ").unfinished()).await;
        opcode = opcode::CONTINUATION;
    }
    wire.send_frame(&Frame::new(opcode::CONTINUATION, r#"{"type":"Ping","data":{"timestamp":1}}"#)).await;
    assert_eq!(wire.message().await["type"], "Pong");
}
