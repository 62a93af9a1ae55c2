//! The handshake on `/ws`. A refusal is a plain HTTP response, as nothing is upgraded yet.

use serde_json::json;

use crate::support::client::without_time;
use crate::support::http::Response;
use crate::support::token::{token, token_with};
use crate::support::{Client, Hub, Wire};

mod admission;
mod tokens;

/// Requests an upgrade that has to be refused.
async fn refused(hub: &Hub, path: &str, headers: &[(&str, &str)]) -> Response {
    let (answer, _) = Wire::upgrade(hub, path, headers).await;
    assert_ne!(answer.status, 101, "accepted: {path} {headers:?}");
    answer
}

/// Asserts the status of a refusal, and the raw document's error body with this code.
#[track_caller]
fn assert_refusal(answer: &Response, status: u16, code: &str) {
    let body = answer.json();
    assert_eq!((answer.status, &body["error"]["code"]), (status, &json!(code)), "{answer:?}");
    let keys: Vec<_> = body["error"].as_object().unwrap().keys().collect();
    assert!(body["error"]["message"].is_string(), "{body}");
    assert!(keys.iter().all(|key| ["code", "message", "details"].contains(&key.as_str())), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
}

#[tokio::test]
async fn a_handshake_with_another_version_is_answered_with_the_supported_one() {
    let hub = Hub::start();
    let path = format!("/ws?token={}", token("alice"));
    for version in ["8", "7", "14", "x"] {
        let answer = refused(&hub, &path, &[("Sec-WebSocket-Version", version)]).await;
        assert_refusal(&answer, 426, "UPGRADE_REQUIRED");
        assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_handshake_without_a_key_is_a_bad_request() {
    let hub = Hub::start();
    let path = format!("/ws?token={}", token("alice"));
    for key in ["", "short", "not base64 at all!!!!!!!"] {
        let answer = refused(&hub, &path, &[("Sec-WebSocket-Key", key)]).await;
        assert_eq!(answer.status, 400, "{key:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_handshake_with_two_keys_is_a_bad_request_that_names_the_header() {
    let hub = Hub::start();
    let (path, key) = (format!("/ws?token={}", token("alice")), "dGhlIHNhbXBsZSBub25jZQ==");
    for other in [key, "AAAAAAAAAAAAAAAAAAAAAA=="] {
        let answer = refused(&hub, &path, &[("Sec-WebSocket-Key", key), ("Sec-WebSocket-Key", other)]).await;
        assert_refusal(&answer, 400, "INVALID_REQUEST");
        assert_eq!(answer.json()["error"]["details"]["field"], "Sec-WebSocket-Key", "{answer:?}");
    }
}

#[tokio::test]
async fn a_handshake_over_http_1_0_is_answered_with_426() {
    let hub = Hub::start();
    let mut wire = Wire::connect(&hub).await;
    let head = format!(
        "GET /ws?token={} HTTP/1.0\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        token("alice"),
        hub.address()
    );
    wire.send(head.as_bytes()).await;
    assert_refusal(&wire.response().await, 426, "UPGRADE_REQUIRED");
}

#[tokio::test]
async fn a_plain_request_is_answered_with_426() {
    let hub = Hub::start();
    let answer = hub.http().request("GET", "/ws").bearer(&token("alice")).send();
    assert_refusal(&answer, 426, "UPGRADE_REQUIRED");
}

#[tokio::test]
async fn the_welcome_has_the_user_the_connection_and_the_time() {
    let hub = Hub::with_manual_clock("");
    let claims = json!({"sub": "u1", "username": "ann", "name": "Ann", "roles": ["admin", "editor"]});
    let client = Client::connect(&hub, &token_with(claims)).await;
    let mut welcome = without_time(client.welcome);
    let details = &mut welcome["data"]["details"];
    assert!(details["connection_id"].take().as_str().is_some_and(|id| !id.is_empty()));
    assert_eq!(
        welcome,
        json!({"type": "Status", "data": {"status": "connected", "details": {
            "connection_id": null,
            "server_time": hub.clock().now_ms(),
            "protocol_version": "1.0",
            "user": {"id": "u1", "name": "Ann", "roles": ["admin", "editor"]},
        }}})
    );
}

#[tokio::test]
async fn a_message_sent_with_the_handshake_is_received() {
    let hub = Hub::start();
    let mut wire = Wire::connect(&hub).await;
    let ping = crate::support::wire::RawFrame::text(r#"{"type":"Ping","data":{"timestamp":7}}"#);
    let mut bytes = format!(
        "GET /ws?token={} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        token("alice"),
        hub.address()
    )
    .into_bytes();
    bytes.extend(ping.encode());
    wire.send(&bytes).await;
    assert_eq!(wire.response().await.status, 101);
    assert_eq!(wire.message().await["type"], "Status");
    let pong = without_time(wire.message().await);
    assert_eq!(pong, json!({"type": "Pong", "data": {"timestamp": 7}}));
}

#[tokio::test]
async fn headers_are_parsed_by_the_rules_of_http() {
    let hub = Hub::start();
    let path = format!("/ws?other=1&token={}&more", token("alice").replace('.', "%2E"));
    let variants: [&[(&str, &str)]; 3] = [
        &[("Connection", "keep-alive, Upgrade"), ("Upgrade", "WebSocket")],
        &[("connection", "UPGRADE"), ("UPGRADE", "websocket")],
        &[("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")],
    ];
    for headers in variants {
        let (answer, mut wire) = Wire::upgrade(&hub, &path, headers).await;
        assert_eq!(answer.status, 101, "{headers:?}: {answer:?}");
        assert_eq!(answer.header("Sec-WebSocket-Extensions"), None, "no extension is supported");
        assert_eq!(wire.message().await["type"], "Status");
    }
    let bearer = format!("bearer {}", token("alice"));
    Client::open(&hub, "/ws", &[("authorization", &bearer)]).await;
}

#[tokio::test]
async fn a_connection_can_upgrade_after_another_request() {
    let hub = Hub::start();
    let mut wire = Wire::connect(&hub).await;
    wire.send(format!("GET /health/live HTTP/1.1\r\nHost: {}\r\n\r\n", hub.address()).as_bytes()).await;
    assert_eq!(wire.response().await.status, 200);
    let answer = wire.request_upgrade(hub.address(), &format!("/ws?token={}", token("alice")), &[]).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(wire.message().await["type"], "Status");
}

#[tokio::test]
async fn other_paths_are_not_upgraded() {
    let hub = Hub::start();
    let answer = refused(&hub, &format!("/nowhere?token={}", token("alice")), &[]).await;
    assert_refusal(&answer, 404, "NOT_FOUND");
    // Some clients offer this with every plain request; a server may ignore it.
    let offer = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")];
    let answer = refused(&hub, "/health", &offer).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}
