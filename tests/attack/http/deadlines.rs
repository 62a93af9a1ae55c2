use serde_json::json;
use std::time::Duration;

use super::{HEALTH, code, header};
use crate::support::{API_KEY, Hub, Wire};

/// A hub with a deadline of one second for a head and of one second for a body.
fn with_short_deadlines() -> Hub {
    Hub::with("[server]\nhead_secs = 1\nbody_secs = 1")
}

#[tokio::test]
async fn every_head_on_a_connection_has_a_deadline() {
    let hub = with_short_deadlines();
    for complete in [0, 1, 5] {
        for partial in ["GET /health/live HTTP/1.1\r\nX-Request-Id: r-1\r\nX-A: ", "G"] {
            let mut wire = Wire::connect(&hub).await;
            for _ in 0..complete {
                wire.send(HEALTH).await;
                assert_eq!(wire.response().await.status, 200);
            }
            wire.send(partial.as_bytes()).await;
            let answer = wire.response().await;
            assert_eq!((answer.status, code(&answer)), (408, json!("REQUEST_TIMEOUT")), "{complete} {partial}");
            assert_eq!(header(&answer, "connection"), "close");
            if partial.len() > 1 {
                assert_eq!(header(&answer, "x-request-id"), "r-1");
            }
            wire.wait_closed().await;
        }
    }
    // A client that sent no byte gets no 408: it would read it as the response to its first request.
    let mut silent = Wire::connect(&hub).await;
    assert_eq!(silent.read_to_end().await, "");
}

#[tokio::test]
async fn a_head_sent_byte_by_byte_times_out() {
    let hub = with_short_deadlines();
    let mut wire = Wire::connect(&hub).await;
    wire.send(b"GET /health/live HTTP/1.1\r\nX-A: ").await;
    let response = drip(&mut wire, b"x").await;
    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
}

#[tokio::test]
async fn a_slow_or_stalled_body_times_out_in_both_framings() {
    let hub = with_short_deadlines();
    let rest = format!("Host: hub\r\nX-API-Key: {API_KEY}\r\n");
    for (framing, piece) in [
        ("Content-Length: 1000000\r\n\r\n{", &b"x"[..]),
        ("Content-Length: 1000000\r\n\r\n{", b""),
        ("Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"1\r\nx\r\n"),
        ("Transfer-Encoding: chunked\r\n\r\n", b""),
    ] {
        for line in ["POST /api/room HTTP/1.1", "POST /sessions HTTP/1.1"] {
            let mut wire = Wire::connect(&hub).await;
            let framing = framing.replace("1000000", "8000");
            wire.send(format!("{line}\r\n{rest}{framing}").as_bytes()).await;
            let response = drip(&mut wire, piece).await;
            assert!(response.starts_with("HTTP/1.1 408 "), "{line} {framing}: {response}");
            assert!(response.contains("connection: close") && response.contains("REQUEST_TIMEOUT"), "{response}");
        }
    }
}

/// Sends a piece every 100 ms for 1.5 s. Returns the hub's output until it closes the connection.
async fn drip(wire: &mut Wire, piece: &[u8]) -> String {
    for _ in 0..15 {
        if !piece.is_empty() {
            wire.try_send(piece).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    wire.read_to_end().await
}

#[tokio::test]
async fn an_empty_line_after_a_request_starts_no_head() {
    let hub = with_short_deadlines();
    let mut wire = Wire::connect(&hub).await;
    for _ in 0..2 {
        wire.send(&[HEALTH, b"\r\n"].concat()).await;
        assert_eq!(wire.response().await.status, 200);
        // Longer than the deadline of a head.
        assert!(wire.quiet_for(Duration::from_millis(1_500)).await);
    }
}
