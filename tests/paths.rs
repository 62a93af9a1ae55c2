//! Paths with a trailing slash, the base path, and listening addresses.

use serde_json::json;
use std::net::SocketAddr;

use crate::push::signed;
use crate::support::socketio::{POLLING, PollingSession, WEBSOCKET};
use crate::support::token::{now_ms, token};
use crate::support::{Client, DEADLINE, Hub, Wire, wait_until};

#[tokio::test]
async fn a_trailing_slash_changes_nothing() {
    let hub = Hub::start();
    let alice = Client::open(&hub, &format!("/ws/?token={}", token("alice")), &[]).await;
    for path in ["/health", "/health/live", "/health/ready", "/status", "/info", "/metrics", "/ws", "/api/rooms"] {
        let ask = |path: &str| hub.http().request("GET", path).key().send();
        let (with, without) = (ask(&format!("{path}/")), ask(path));
        assert_eq!(with.status, without.status, "{path}");
        assert_ne!(with.status, 404, "{path}");
    }
    assert_eq!(hub.get("/health/?verbose=1").status, 200);
    let push = json!({"userId": "alice", "event": "e", "data": 1});
    let answer = hub.http().request("POST", "/api/push/").key().json(&push).send();
    assert_eq!((answer.status, &answer.json()["recipients"]), (200, &json!(1)), "{answer:?}");
    // The signature covers the path as sent.
    for (path, nonce) in [("/api/push/", "nonce-with"), ("/api/push", "nonce-without")] {
        let (http, time) = (hub.http(), now_ms());
        let request = http.request("POST", path).json(&push);
        let answer = signed(request, format!("POST{path}{time}{nonce}"), nonce, time, "v1").send();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    for path in ["/health//", "//health", "//", "/nowhere/"] {
        assert_eq!(hub.get(path).status, 404, "{path}");
    }
    // `*` is not a path under the empty base path.
    let mut wire = Wire::connect(&hub).await;
    wire.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = wire.response().await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["message"]),
        (404, &json!("No endpoint at this path")),
        "{answer:?}"
    );
    let presence = hub.http().request("GET", "/api/presence/alice/").key().send();
    assert_eq!((presence.status, &presence.json()["userId"]), (200, &json!("alice")));
    drop(alice);
}

#[tokio::test]
async fn all_routes_are_under_the_base_path() {
    let hub = Hub::unready("[server]\nbase_path = \"/realtime/hub/\"");
    wait_until(DEADLINE, "the hub is ready", || hub.get("/realtime/hub/health/ready").status == 200);
    let mut alice = Client::open(&hub, &format!("/realtime/hub/ws?token={}", token("alice")), &[]).await;
    let polling = PollingSession::open_at(hub.address(), &format!("/realtime/hub{POLLING}")).await;
    let (answer, _) = Wire::upgrade(&hub, &format!("/realtime/hub{WEBSOCKET}"), &[]).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    assert!(!polling.sid().is_empty());

    for path in ["/realtime/hub", "/realtime/hub/"] {
        let root = hub.get(path).json();
        assert_eq!(root["endpoints"]["push"], "/realtime/hub/api/push", "{root}");
        let address = hub.address();
        assert_eq!(root["websocket"]["url"], format!("ws://{address}"), "{root}");
        assert_eq!(root["websocket"]["path"], "/realtime/hub/socket.io/", "{root}");
        assert_eq!(root["websocket"]["raw"], format!("ws://{address}/realtime/hub/ws"), "{root}");
    }
    let (http, time) = (hub.http(), now_ms());
    let path = "/realtime/hub/api/push";
    let request = http.request("POST", path).json(&json!({"userId": "alice", "event": "e", "data": 1}));
    let answer = signed(request, format!("POST{path}{time}nonce-1"), "nonce-1", time, "v1").send();
    assert_eq!((answer.status, &answer.json()["recipients"]), (200, &json!(1)), "{answer:?}");
    alice.expect("e").await;

    for path in ["/", "/health", "/ws", "/socket.io/?EIO=4&transport=polling", "/realtime/hubs/health", "/realtime"] {
        let answer = hub.get(path);
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &json!("NOT_FOUND")), "{path}");
    }
    // The body of a refusal depends on the path, also for an unreadable request.
    let unknown = hub.get("/realtime/hub/api/nowhere").json();
    assert_eq!((&unknown["success"], &unknown["code"]), (&json!(false), &json!("NOT_FOUND")), "{unknown}");
    let mut wire = Wire::connect(&hub).await;
    wire.send(b"GET /realtime/hub/api/rooms HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    assert_eq!(wire.response().await.json()["success"], json!(false));
    let (answer, _) = Wire::upgrade(&hub, "/realtime/hub/ws", &[("X-Request-Id", "no-token")]).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    wait_until(DEADLINE, "the log names the whole path", || {
        let log = hub.output();
        let line = log.lines().find(|line| line.contains("requestId=no-token"));
        line.is_some_and(|line| line.contains("path=/realtime/hub/ws") && line.contains("surface=raw"))
    });
    assert!(hub.output().contains("/realtime/hub/ws, /realtime/hub/socket.io/"), "{}", hub.output());
}

/// Fails unless both surfaces and plain HTTP work at each of these addresses.
async fn assert_served_at(hub: &Hub, addresses: &[SocketAddr]) {
    for &address in addresses {
        for path in [&format!("/ws?token={}", token("alice")), WEBSOCKET] {
            let mut wire = Wire::to(address).await;
            let answer = wire.request_upgrade(address, path, &[]).await;
            assert_eq!(answer.status, 101, "{path} at {address}: {answer:?}; {}", hub.output());
        }
        let mut wire = Wire::to(address).await;
        wire.request("GET", "/health", &[], b"").await;
        assert_eq!(wire.response().await.status, 200, "{address}");
    }
}

#[tokio::test]
async fn localhost_listens_on_ipv4_and_ipv6_and_brackets_are_optional() {
    let hub = Hub::with("[server]\nhost = \"localhost\"\nworkers = 2");
    let port = hub.address().port();
    let (v4, v6) = (SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)));
    // Repeated, so that each worker gets a connection.
    assert_served_at(&hub, &[v4, v6, v4, v6]).await;
    assert!(hub.output().contains(&format!("listening on http://{v4} and http://{v6}")), "{}", hub.output());

    for host in ["::1", "[::1]"] {
        let hub = Hub::with(&format!("[server]\nhost = {host:?}"));
        assert!(hub.address().is_ipv6(), "{host}");
        assert_served_at(&hub, &[hub.address()]).await;
    }
}
