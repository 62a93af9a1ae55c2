//! Connections that the hub closes: one log line each, with the close code and the rule that decided.

use serde_json::json;

use super::{RefusalLine, assert_logged};
use crate::support::token::{now, token_with};
use crate::support::wire::{RawFrame, opcode};
use crate::support::{Client, Hub, Sio, SioTransport, Wire};

const CONFIG: &str = r#"
[log]
format = "json"
[server]
heartbeat_interval_secs = 1
client_timeout_secs = 2
[auth]
leeway_secs = 0
grace_secs = 1
[limits]
outbox_bytes = 300000
frames_per_second = 20
[limits.raw]
messages_per_minute = 3
[socketio]
connect_timeout_ms = 1000
max_payload = 20000
"#;

/// Opens a connection of `user`. Returns it and its session id.
async fn wire(hub: &Hub, user: &str) -> (Wire, String) {
    let mut wire = Wire::of(hub, user).await;
    let welcome = wire.message().await;
    (wire, welcome["data"]["details"]["connection_id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn each_raw_connection_that_the_hub_closes_logs_one_line() {
    let hub = Hub::with(CONFIG);
    let mut expected = Vec::new();
    let mut closed = |id: &str, close: u16, code: &'static str, rule: &str| {
        expected.push(RefusalLine::connection(id, "raw", code, rule).with("close", close).with("user", "alice"));
    };

    for (frame, close, code, rule) in [
        (RawFrame::text("x".repeat(70_000)), 1009, "PAYLOAD_TOO_LARGE", "server.max_frame_size"),
        (RawFrame::text(*b"\xFF\xFE"), 1007, "INVALID_REQUEST", ""),
        (RawFrame::text("{}").reserved(7), 1002, "INVALID_REQUEST", ""),
        (RawFrame::text("{}").unmasked(), 1002, "INVALID_REQUEST", ""),
        (RawFrame::new(opcode::CONTINUATION, "{}"), 1002, "INVALID_REQUEST", ""),
    ] {
        let (mut wire, id) = wire(&hub, "alice").await;
        wire.try_send(&frame.encode()).await;
        assert_eq!(wire.close_code().await, Some(close), "{code}");
        closed(&id, close, code, rule);
    }

    let (mut silent, id) = wire(&hub, "alice").await;
    assert_eq!(silent.close_code().await, Some(4408));
    closed(&id, 4408, "REQUEST_TIMEOUT", "server.client_timeout_secs");

    let (mut flooding, id) = wire(&hub, "alice").await;
    let frames = RawFrame::new(opcode::PONG, "").encode().repeat(500);
    flooding.try_send(&frames).await;
    assert_eq!(flooding.close_code().await, Some(4429));
    closed(&id, 4429, "RATE_LIMITED", "limits.frames_per_second, limits.bytes_per_second");

    let expires = token_with(json!({"sub": "alice", "exp": now() + 2}));
    let mut expiring = Client::connect(&hub, &expires).await;
    let id = expiring.welcome["data"]["details"]["connection_id"].as_str().unwrap().to_owned();
    assert_eq!(expiring.close_code().await, Some(4401));
    closed(&id, 4401, "TOKEN_EXPIRED", "token exp");

    let mut kicked = Client::of(&hub, "alice").await;
    let id = kicked.welcome["data"]["details"]["connection_id"].as_str().unwrap().to_owned();
    hub.http().request("POST", "/api/disconnect").key().json(&json!({"userId": "alice"})).send();
    assert_eq!(kicked.close_code().await, Some(4403));
    closed(&id, 4403, "FORBIDDEN", "POST /api/disconnect");

    let mut revoked = Client::of(&hub, "alice").await;
    let id = revoked.welcome["data"]["details"]["connection_id"].as_str().unwrap().to_owned();
    hub.http().request("POST", "/api/revoke").key().json(&json!({"userId": "alice"})).send();
    assert_eq!(revoked.close_code().await, Some(4401));
    closed(&id, 4401, "INVALID_TOKEN", "token revoked");

    // A client that closes its own connection is not refused.
    Client::of(&hub, "bob").await.close().await;
    assert_logged(&hub, &expected);
}

#[tokio::test]
async fn each_message_above_the_limit_logs_one_line_and_a_flood_closes_the_connection() {
    let hub = Hub::with(CONFIG);
    let (mut flooding, id) = wire(&hub, "alice").await;
    let ping = RawFrame::text(r#"{"type":"Ping","data":{"timestamp":1}}"#).encode();
    flooding.try_send(&ping.repeat(31)).await;
    assert_eq!(flooding.close_code().await, Some(4429));
    let closed = |line: &serde_json::Value| line["close"] == 4429;
    crate::support::wait_until(crate::support::DEADLINE, "the close is logged", || {
        super::refused(&hub).iter().any(closed)
    });
    let lines = super::refused(&hub);
    assert_eq!(lines.iter().filter(|line| closed(line)).count(), 1);
    assert_eq!(
        lines.iter().filter(|line| !closed(line)).count(),
        27,
        "28 of 31 are over the limit of 3, and the last of them closes the connection"
    );
    for line in lines {
        assert_eq!(
            (&line["connection"], &line["rule"]),
            (&json!(id), &json!("limits.raw.messages_per_minute")),
            "{line}"
        );
        assert_eq!(line["code"], "RATE_LIMITED");
    }
}

#[tokio::test]
async fn each_socket_io_connection_that_the_hub_closes_logs_one_line() {
    let hub = Hub::with(CONFIG);
    let mut expected = Vec::new();

    let mut grace = Sio::guest(&hub, SioTransport::WebSocket).await;
    let id = grace.id.clone();
    grace.read_to_end().await;
    expected.push(RefusalLine::connection(&id, "/", "PERMISSION_DENIED", "auth.grace_secs").with("close", 4408));

    let mut large = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
    large.wire().try_send(&RawFrame::text(format!("42[\"{}\"]", "x".repeat(30_000))).encode()).await;
    expected.push(
        RefusalLine::connection(&large.id.clone(), "/", "PAYLOAD_TOO_LARGE", "socketio.max_payload")
            .with("close", 1009),
    );
    large.read_to_end().await;

    let mut broken = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
    broken.wire().send_text("9").await;
    expected.push(RefusalLine::connection(&broken.id.clone(), "/", "INVALID_REQUEST", "").with("user", "alice"));
    broken.read_to_end().await;

    let mut kicked = Sio::of(&hub, SioTransport::WebSocket, "bob").await;
    hub.http().request("POST", "/api/disconnect").key().json(&json!({"userId": "bob"})).send();
    kicked.read_to_end().await;
    expected.push(
        RefusalLine::connection(&kicked.id.clone(), "/", "FORBIDDEN", "POST /api/disconnect").with("close", 4403),
    );

    // The id of a connection without a namespace is the start of its `sid`.
    for (packet, code, rule) in
        [("42[\"hello\"]", "INVALID_REQUEST", ""), ("", "REQUEST_TIMEOUT", "socketio.connect_timeout_ms")]
    {
        let (mut wire, handshake) = crate::support::socketio::open_websocket(hub.address()).await;
        if !packet.is_empty() {
            wire.send_text(packet).await;
        }
        wire.wait_closed().await;
        let sid = handshake["sid"].as_str().unwrap();
        expected.push(RefusalLine::connection(&sid[..8], "socket.io", code, rule));
        assert!(!hub.output().contains(sid), "the whole sid is a secret");
    }
    assert_logged(&hub, &expected);
}

#[tokio::test]
async fn a_slow_reader_logs_one_line() {
    let hub = Hub::with(&CONFIG.replace("client_timeout_secs = 2", "client_timeout_secs = 20"));
    let mut slow = Wire::with_small_buffer(&hub, "alice").await;
    let welcome = slow.message().await;
    let id = welcome["data"]["details"]["connection_id"].as_str().unwrap();
    let payload = json!({"userId": "alice", "event": "e", "data": "x".repeat(100_000)});
    let expected = RefusalLine::connection(id, "raw", "LIMIT_REACHED", "limits.outbox_bytes, limits.outbox_frames");
    for _ in 0..30 {
        hub.http().request("POST", "/api/push").key().json(&payload).send();
    }
    assert_eq!(slow.close_code().await, Some(1008));
    assert_logged(&hub, &[expected.with("close", 1008)]);
}
