use serde_json::json;

use super::{HEALTH, header};
use crate::support::token::token;
use crate::support::{API_KEY, Hub, Wire};

#[tokio::test]
async fn offers_of_http_2_are_ignored_and_keep_the_connection() {
    let hub = Hub::start();
    let body = json!({"room": "lobby", "event": "greeting", "data": 1}).to_string();
    for offer in [
        &[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAEA")][..],
        &[("Connection", "upgrade")],
        &[("Connection", "Upgrade"), ("Upgrade", "websocket")],
    ] {
        let mut wire = Wire::connect(&hub).await;
        for _ in 0..20 {
            let headers = [offer, &[("X-API-Key", API_KEY)]].concat();
            wire.request("POST", "/api/room", &headers, body.as_bytes()).await;
            let answer = wire.response().await;
            let names = ["connection", "upgrade"].map(|name| header(&answer, name));
            assert_eq!((answer.status, names), (200, ["", ""]), "{offer:?}");
        }
        let closing = [("Connection", "close, upgrade"), ("Upgrade", "h2c")];
        wire.request("GET", "/health/live", &closing, b"").await;
        let answer = wire.response().await;
        assert_eq!((answer.status, header(&answer, "connection")), (200, "close"));
        wire.wait_closed().await;
    }
}

#[tokio::test]
async fn a_websocket_offer_is_accepted_among_others_but_not_over_http_1_0() {
    let hub = Hub::start();
    let path = format!("/ws?token={}", token("alice"));
    let (answer, _) = Wire::upgrade(&hub, &path, &[("Upgrade", "h2c, websocket")]).await;
    assert_eq!((answer.status, header(&answer, "upgrade")), (101, "websocket"));
    let mut old = Wire::connect(&hub).await;
    let headers = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
               Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    old.send(format!("GET {path} HTTP/1.0\r\nHost: h\r\n{headers}").as_bytes()).await;
    assert_eq!(old.response().await.status, 426);
}

#[tokio::test]
async fn responses_to_pipelined_requests_precede_the_upgrade() {
    let hub = Hub::start();
    let mut wire = Wire::connect(&hub).await;
    wire.send(&HEALTH.repeat(3)).await;
    let path = format!("/ws?token={}", token("alice"));
    let upgrade = wire.request_upgrade(hub.address(), &path, &[]).await;
    assert_eq!(upgrade.status, 200);
    for status in [200, 200, 101] {
        assert_eq!(wire.response().await.status, status);
    }
    assert_eq!(wire.message().await["type"], "Status");
}
