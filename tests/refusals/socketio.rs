//! Refusals on Socket.IO: requests of the transport, CONNECTs, and the requests of sessions.

use serde_json::{Value, json};

use super::{CONFIG, RefusalLine, SECRET, assert_logged};
use crate::support::socketio::{POLLING, PollingSession, WEBSOCKET};
use crate::support::token::{now, token, token_with};
use crate::support::{Hub, Sio, SioTransport, Wire};

#[tokio::test]
async fn each_refused_transport_request_logs_one_line_with_its_request_id() {
    let hub = Hub::with(CONFIG);
    let http = hub.http();
    let mut expected = Vec::new();
    let gone = "AAAAAAAAAAAAAAAAAAAAAAAA";
    let unknown = format!("{POLLING}&sid={gone}");
    for (number, (id, method, path, status, code)) in [
        ("transport", "GET", "/socket.io/?EIO=4&transport=pigeon", 400, "INVALID_REQUEST"),
        ("version", "GET", "/socket.io/?EIO=3&transport=polling&token=s3cret-marker", 400, "INVALID_REQUEST"),
        ("no-upgrade", "GET", WEBSOCKET, 400, "INVALID_REQUEST"),
        ("method", "PUT", POLLING, 400, "METHOD_NOT_ALLOWED"),
        ("poll-unknown", "GET", &unknown, 400, "NOT_FOUND"),
        ("post-unknown", "POST", &unknown, 400, "NOT_FOUND"),
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("203.0.113.{number}");
        let request = http.request(method, path).header("X-Request-Id", id).header("X-Forwarded-For", &address);
        let answer = if method == "POST" { request.body("4") } else { request }.send();
        assert_eq!(answer.status, status, "{id}: {answer:?}");
        let line = RefusalLine::request(id, "socket.io", code, "").with("address", address).with("path", "/socket.io/");
        let sid = path.contains("sid=").then(|| gone.get(..8));
        expected.push(line.with("connection", sid.flatten()));
    }
    let origin = ("Origin", "https://evil.example");
    let answer = http.request("GET", POLLING).header(origin.0, origin.1).header("X-Request-Id", "page").send();
    assert_eq!(answer.status, 403, "{answer:?}");
    expected.push(RefusalLine::request("page", "socket.io", "FORBIDDEN", "server.allowed_origins"));

    for (id, path, headers, status, code, rule) in [
        ("ws-page", WEBSOCKET, vec![origin], 403, "FORBIDDEN", "server.allowed_origins"),
        ("ws-transport", POLLING, vec![], 400, "INVALID_REQUEST", ""),
        ("ws-version", WEBSOCKET, vec![("Sec-WebSocket-Version", "7")], 426, "UPGRADE_REQUIRED", ""),
        ("ws-unknown", &format!("{WEBSOCKET}&sid={gone}"), vec![], 400, "NOT_FOUND", ""),
        ("ws-nonsense", &format!("{WEBSOCKET}&sid=nonsense"), vec![], 400, "NOT_FOUND", ""),
    ] {
        let (answer, _) = Wire::upgrade(&hub, path, &[&headers[..], &[("X-Request-Id", id)]].concat()).await;
        assert_eq!((answer.status, answer.header("X-Request-Id")), (status, Some(id)), "{answer:?}");
        expected.push(RefusalLine::request(id, "socket.io", code, rule).with("address", "127.0.0.1"));
    }
    assert_logged(&hub, &expected);
    // Refused handshakes count as refused connections. Requests of an unknown session do not.
    let origins = "hubbub_connections_refused_total{surface=\"socket.io\",reason=\"origin\"}";
    assert_eq!((hub.metric(origins), hub.metric("hubbub_connections_refused_total")), (2.0, 8.0));
}

#[tokio::test]
async fn a_request_that_ends_its_polling_session_logs_one_line_with_both_ids() {
    let hub = Hub::with(CONFIG);
    let mut expected = Vec::new();
    let polling = PollingSession::open(&hub).await;
    polling.send(format!("40{}", json!({"token": token("alice")}))).await;
    for (id, body, status, code, rule) in [
        ("too-large", format!("42[\"{}\"]", "x".repeat(1_000_001)), 413, "PAYLOAD_TOO_LARGE", "socketio.max_payload"),
        ("malformed", format!("9{SECRET}"), 400, "INVALID_REQUEST", ""),
    ] {
        let answer = hub.http().request("POST", &polling.path()).header("X-Request-Id", id).body(body).send();
        assert_eq!(answer.status, status, "{answer:?}");
        let line = RefusalLine::request(id, "socket.io", code, rule);
        expected.push(line.with("connection", polling.sid().get(..8)));
    }
    // An upgrade of a session without a probe.
    let polling = PollingSession::open(&hub).await;
    let headers = [("X-Request-Id", "no-probe")];
    let (answer, mut wire) = Wire::upgrade(&hub, &format!("{WEBSOCKET}&sid={}", polling.sid()), &headers).await;
    assert_eq!(answer.status, 101);
    wire.send_text("4hello").await;
    assert_eq!(wire.close_code().await, Some(1002));
    expected.push(RefusalLine::request("no-probe", "socket.io", "INVALID_REQUEST", ""));
    assert_logged(&hub, &expected);
    assert!(!hub.output().contains(polling.sid()), "the whole sid is a secret");
}

#[tokio::test]
async fn each_refused_connect_logs_one_line_with_the_start_of_the_sid() {
    let hub = Hub::with(CONFIG);
    let mut expected = Vec::new();
    for (number, (namespace, auth, surface, code, rule)) in [
        ("/admin", json!({"token": SECRET}), "socket.io", "NOT_FOUND", ""),
        ("/", json!({"token": SECRET}), "/", "INVALID_TOKEN", "token"),
        ("/", json!({"token": token_with(json!({"sub": "a", "exp": now() - 5}))}), "/", "TOKEN_EXPIRED", "token exp"),
        ("/chat", Value::Null, "/chat", "INVALID_TOKEN", "token"),
        ("/chat", json!({"token": SECRET}), "/chat", "INVALID_TOKEN", "token"),
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("203.0.113.{number}");
        let (mut wire, sid) = opened(&hub, &address).await;
        let namespace = if namespace == "/" { String::new() } else { format!("{namespace},") };
        let auth = if auth.is_null() { String::new() } else { auth.to_string() };
        wire.send_text(&format!("40{namespace}{auth}")).await;
        assert!(wire.text().await.starts_with("44"));
        expected.push(RefusalLine::connection(&sid[..8], surface, code, rule).with("address", address));
    }
    // Guests of one address: at most three at once, and two in a minute.
    let mut guests = Vec::new();
    for n in 0..3 {
        let (mut wire, sid) = opened(&hub, "198.51.100.1").await;
        wire.send_text("40").await;
        let answer = wire.text().await;
        assert_eq!(answer.starts_with("44"), n == 2, "{answer}");
        guests.push((wire, sid));
    }
    let sid = &guests[2].1[..8];
    expected.push(RefusalLine::connection(sid, "/", "RATE_LIMITED", "limits.community.connections_per_minute"));
    assert_logged(&hub, &expected);
}

/// A WebSocket connection without a namespace, and its `sid`.
async fn opened(hub: &Hub, address: &str) -> (Wire, String) {
    let (answer, mut wire) = Wire::upgrade(hub, WEBSOCKET, &[("X-Forwarded-For", address)]).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    let handshake: Value = serde_json::from_str(wire.text().await.strip_prefix('0').unwrap()).unwrap();
    (wire, handshake["sid"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn each_refused_request_on_a_namespace_logs_one_line_with_its_session() {
    let hub = Hub::with(CONFIG);
    let mut expected = Vec::new();
    for (namespace, event, data, code, rule) in [
        ("/", "room:join", json!({"room": "news.today"}), "FORBIDDEN", "topics \"news.*\" subscribe"),
        ("/", "register", json!({"userId": "bob"}), "FORBIDDEN", "token sub"),
        ("/", "client:event", json!({"data": SECRET}), "INVALID_EVENT_DATA", ""),
        ("/", "client:action", json!({"action": "fly"}), "UNKNOWN_ACTION", ""),
        ("/", "authenticate", json!({"token": SECRET}), "AUTH_FAILED", "token"),
        ("/", "shout", json!({"text": SECRET}), "INVALID_REQUEST", ""),
        ("/", "DirectMessage", json!({"target_user": "nobody", "payload": SECRET}), "NOT_FOUND", ""),
        ("/chat", "join:chat", json!({"chatId": "none"}), "NOT_FOUND", "chat participants"),
        ("/chat", "message:send", json!({"chatId": "general", "content": SECRET}), "FORBIDDEN", ""),
        ("/chat", "message:send", json!({"chatId": "general"}), "INVALID_REQUEST", ""),
        ("/chat", "room:join", json!({"room": "news.today"}), "FORBIDDEN", "topics \"news.*\" subscribe"),
    ] {
        let (mut client, id) = match namespace {
            "/" => {
                let client = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
                let id = client.id.clone();
                (client, id)
            }
            _ => {
                let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
                let joined = client.connect(namespace, &json!({"token": token("alice")})).await.unwrap();
                (client, joined["sid"].as_str().unwrap().to_owned())
            }
        };
        // Other tests assert the error event.
        client.emit_for_ack(namespace, event, data).await;
        client.receive().await;
        let line = RefusalLine::connection(&id, namespace, code, rule);
        expected.push(line.with("event", event).with("user", "alice").with("address", "127.0.0.1"));
    }
    let mut guest = Sio::guest(&hub, SioTransport::WebSocket).await;
    guest.emit_and_expect("room:join:ack", "room:join", json!({"room": "lobby"})).await;
    expected.push(RefusalLine::connection(&guest.id, "/", "PERMISSION_DENIED", "token").with("user", Value::Null));
    assert_logged(&hub, &expected);
}

#[tokio::test]
async fn a_connection_with_too_many_connects_is_logged_with_the_start_of_its_sid() {
    let hub = Hub::with(CONFIG);
    let (mut wire, sid) = opened(&hub, "203.0.113.1").await;
    let connect = format!("40{}", json!({"token": token("alice")}));
    for n in 0..61 {
        wire.send_text(&connect).await;
        let answer = loop {
            let text = wire.text().await;
            if text.starts_with("40") || text.starts_with("44") {
                break text;
            }
        };
        assert_eq!(answer.starts_with("44"), n == 60, "{n}: {answer}");
        wire.send_text("41").await;
    }
    let rule = "60 CONNECTs of a connection in a minute";
    assert_logged(
        &hub,
        &[RefusalLine::connection(&sid[..8], "/", "RATE_LIMITED", rule).with("address", "203.0.113.1")],
    );
}
