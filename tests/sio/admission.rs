//! Authentication of a CONNECT on `/` and `/chat`, permissions of a guest, and limits of connections.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

use crate::support::socketio::{ObservedEnd, POLLING, SocketPacket, WEBSOCKET, events};
use crate::support::token::{now, token, token_with};
use crate::support::{Client, DEADLINE, Hub, Sio, SioTransport, Wire, eventually};

#[tokio::test]
async fn a_token_is_accepted_in_the_payload_the_query_and_the_header() {
    let hub = Hub::start();
    let token = token("42");
    for transport in SioTransport::BOTH {
        let mut client = Sio::open(&hub, transport).await;
        let connected = client.connect("/", &json!({ "token": token })).await.unwrap();
        let greeting = [client.receive().await, client.receive().await];
        let socket_id = &connected["sid"];
        let server = json!({"version": env!("CARGO_PKG_VERSION"), "environment": "production"});
        let welcome =
            json!({"message": "Welcome to the Socket.IO server", "socketId": socket_id, "serverInfo": server});
        let expected = [json!(["connected", {"socketId": socket_id}]), json!(["system:welcome", welcome])];
        assert_eq!(events(&greeting), expected);
        client.emit("register", json!({"userId": 42})).await;
        assert_eq!(client.expect("register:ack").await, json!({"success": true, "userId": "42"}));
    }
    // The query and the header of the handshake.
    let path = format!("{POLLING}&token={token}");
    let answer = hub.get(&path);
    let sid = serde_json::from_str::<Value>(&answer.body[1..]).unwrap()["sid"].as_str().unwrap().to_owned();
    let session = format!("{POLLING}&sid={sid}");
    assert_eq!(hub.http().request("POST", &session).body("40/chat,").send().body, "ok");
    let body = hub.get(&session).body;
    assert!(body.starts_with("40/chat,{\"sid\":"), "{body}");
    let bearer = format!("Bearer {token}");
    let (answer, mut wire) = Wire::upgrade(&hub, WEBSOCKET, &[("Authorization", &bearer)]).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    assert!(wire.text().await.starts_with('0'));
    wire.send_text("40/chat,").await;
    let connected = wire.text().await;
    assert!(connected.starts_with("40/chat,{\"sid\":"), "{connected}");
}

#[tokio::test]
async fn an_invalid_token_is_a_connect_error() {
    let hub = Hub::with("[auth]\nleeway_secs = 0\nrequired_permissions = [\"connect\"]");
    let expired = token_with(json!({"sub": "alice", "exp": now() - 60}));
    let forged = format!("{}x", token("alice"));
    for transport in SioTransport::BOTH {
        let mut client = Sio::open(&hub, transport).await;
        for namespace in ["/", "/chat"] {
            for (token, code) in
                [("nonsense", "INVALID_TOKEN"), (&forged, "INVALID_TOKEN"), (&expired, "TOKEN_EXPIRED")]
            {
                let error = client.connect(namespace, &json!({ "token": token })).await.unwrap_err();
                assert_eq!(error, json!({"message": "Unauthorized", "data": {"code": code}}), "{namespace} {token}");
            }
            let error = client.connect(namespace, &json!({"token": token("alice")})).await.unwrap_err();
            assert_eq!(error["data"], json!({"code": "FORBIDDEN"}), "{error}");
        }
        let error = client.connect("/", &json!({"token": ["of", "another", "type"]})).await.unwrap_err();
        assert_eq!(error["message"], "Unauthorized", "{error}");
        // A valid token is accepted on the same connection.
        let good = token_with(json!({"sub": "alice", "permissions": ["connect"]}));
        client.connect("/chat", &json!({ "token": good })).await.unwrap();
    }
}

#[tokio::test]
async fn chat_requires_a_token() {
    let hub = Hub::start();
    for auth in [Value::Null, json!({}), json!({"token": null}), json!({"token": ""})] {
        let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
        let error = client.connect("/chat", &auth).await.unwrap_err();
        assert!(error["message"].as_str().unwrap().contains("Unauthorized"), "{error}");
    }
}

#[tokio::test]
async fn a_guest_can_ping_and_authenticate_and_little_else() {
    let hub = Hub::start();
    let mut raw = Client::of(&hub, "raw").await;
    raw.subscribe(&["lobby"]).await;
    for transport in SioTransport::BOTH {
        let mut guest = Sio::guest(&hub, transport).await;
        guest.expect_silence().await;
        let refused = |room: Option<&str>| {
            let mut body = json!({"success": false, "error": "Authentication required", "code": "PERMISSION_DENIED"});
            if let Some(room) = room {
                body["room"] = room.into();
            }
            body
        };
        guest.emit("room:join", json!({"room": "lobby"})).await;
        assert_eq!(guest.expect("room:join:ack").await, refused(Some("lobby")));
        guest.emit("register", json!({"userId": "alice"})).await;
        assert_eq!(guest.expect("register:ack").await, refused(None));
        guest.emit("Broadcast", json!({"topic": "lobby", "payload": 1})).await;
        assert_eq!(guest.expect("error").await["code"], "PERMISSION_DENIED");
        // A broadcast is not delivered to a guest.
        let all = json!({"event": "note", "data": 1});
        let answer = hub.http().request("POST", "/api/broadcast").key().json(&all).send();
        assert_eq!(answer.json()["recipients"], 1, "{answer:?}");
        raw.expect("note").await;

        guest.emit("authenticate", json!({"token": "nonsense"})).await;
        assert_eq!(guest.expect("authentication_error").await["code"], "AUTH_FAILED");
        let expired = token_with(json!({"sub": "7", "exp": now() - 60}));
        guest.emit("authenticate", json!({ "token": expired })).await;
        assert_eq!(guest.expect("authentication_error").await["code"], "INVALID_TOKEN");

        let token = token_with(json!({"sub": "7", "name": "Seven", "role": "admin", "permissions": ["p"]}));
        guest.emit("authenticate", json!({ "token": token })).await;
        let mut authenticated = guest.expect("authenticated").await;
        assert!(authenticated["socketId"].take().is_string());
        let user = json!({"id": 7, "name": "Seven", "email": null, "role": "admin"});
        assert_eq!(authenticated, json!({"user": user, "permissions": ["p"], "socketId": null}));
        guest.join("lobby").await;
        let push = json!({"userId": 7, "event": "note", "data": {"n": 1}});
        let answer = hub.http().request("POST", "/api/push").key().json(&push).send();
        assert_eq!(answer.json()["recipients"], 1, "{answer:?}");
        assert_eq!(guest.expect("note").await, json!({"n": 1}));
        guest.send("41").await;
        eventually(DEADLINE, "the guest has left", || hub.connections() == 1).await;
    }
    raw.expect_silence().await;
}

#[tokio::test]
async fn a_guest_is_closed_after_the_grace_period_and_not_before() {
    let hub = Hub::with("[auth]\ngrace_secs = 2");
    let started = Instant::now();
    let mut known = Sio::guest(&hub, SioTransport::WebSocket).await;
    known.emit("authenticate", json!({"token": token("alice")})).await;
    known.expect("authenticated").await;
    let error = json!({"error": "Not authenticated in time", "code": "AUTH_FAILED"});
    let mut guests = [Sio::guest(&hub, SioTransport::Polling).await, Sio::guest(&hub, SioTransport::WebSocket).await];
    for (guest, end) in guests.iter_mut().zip([ObservedEnd::ClosePacket, ObservedEnd::Closed(Some(4408))]) {
        let (packet, ended) = guest.read_to_end().await;
        let expected = [
            json!(["authentication_error", error]),
            json!(["disconnected", {"reason": "authentication_timeout"}]),
            json!("41/"),
        ];
        assert_eq!((events(&packet), ended), (expected.to_vec(), end));
    }
    assert!(started.elapsed() >= Duration::from_secs(2), "closed after {:?}", started.elapsed());
    known.expect_silence().await;
}

#[tokio::test]
async fn the_limit_of_connections_of_an_address_counts_opened_ones() {
    let hub = Hub::with("[limits]\nexempt_loopback = false\n[limits.push]\nconnections_per_minute = 3");
    for transport in [SioTransport::Polling, SioTransport::WebSocket, SioTransport::Polling] {
        Sio::of(&hub, transport, "alice").await;
    }
    for answer in [hub.get(POLLING), Wire::upgrade(&hub, WEBSOCKET, &[]).await.0] {
        assert_eq!((answer.status, answer.json()), (429, json!({"code": 3, "message": "Rate limit exceeded"})));
        let wait = answer.header("retry-after").unwrap().parse::<u64>().unwrap();
        assert!((1..=60).contains(&wait), "{answer:?}");
    }
}

#[tokio::test]
async fn guests_have_a_separate_limit_of_connections() {
    let hub = Hub::with("[limits]\nexempt_loopback = false\n[limits.community]\nconnections_per_minute = 2");
    for _ in 0..2 {
        Sio::guest(&hub, SioTransport::WebSocket).await;
    }
    let mut third = Sio::open(&hub, SioTransport::WebSocket).await;
    let mut error = third.connect("/", &Value::Null).await.unwrap_err();
    let wait = error["data"]["details"]["retryAfter"].take();
    assert!(wait.as_u64().is_some_and(|seconds| (1..=60).contains(&seconds)), "{error}");
    let data = json!({"code": "RATE_LIMITED", "retryAfter": wait, "details": {"retryAfter": null}});
    assert_eq!(error, json!({"message": "Rate limit exceeded", "data": data}));
    // The limit does not apply to a CONNECT with a token.
    third.connect("/", &json!({"token": token("alice")})).await.unwrap();
}

#[tokio::test]
async fn an_address_with_too_many_attempts_is_blocked_from_chat_whatever_its_token() {
    let hub = Hub::with(
        "[limits]\nexempt_loopback = false\n\
         [limits.chat]\nconnection_attempts = 3\nattempts_window_secs = 300\nblock_secs = 900",
    );
    let good = json!({"token": token("alice")});
    let mut one = Sio::open(&hub, SioTransport::WebSocket).await;
    for auth in [json!({"token": "nonsense"}), Value::Null] {
        assert_eq!(one.connect("/chat", &auth).await.unwrap_err()["message"], "Unauthorized");
    }
    one.connect("/chat", &good).await.unwrap();
    for transport in SioTransport::BOTH {
        let mut other = Sio::open(&hub, transport).await;
        for auth in [&good, &json!({"token": "nonsense"})] {
            let mut error = other.connect("/chat", auth).await.unwrap_err();
            let wait = error["data"]["details"]["retryAfter"].take();
            assert!(wait.as_u64().is_some_and(|seconds| (301..=900).contains(&seconds)), "{error}");
            let message = "Too many connection attempts. Please try again later.";
            let data = json!({"code": "RATE_LIMITED", "retryAfter": wait, "details": {"retryAfter": null}});
            assert_eq!(error, json!({ "message": message, "data": data }));
        }
        // Other namespaces stay open, and so do joined sessions.
        other.connect("/", &good).await.unwrap();
    }
    one.request_on("/chat", "Broadcast", json!({"topic": "lobby", "payload": 1})).await;
}

#[tokio::test]
async fn attempts_on_chat_have_no_limit_for_an_exempt_address_or_where_the_limit_is_0() {
    for config in ["", "[limits]\nexempt_loopback = false\n[limits.chat]\nconnection_attempts = 0"] {
        let hub = Hub::with(config);
        for _ in 0..7 {
            let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
            client.connect("/chat", &json!({"token": token("alice")})).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_client_that_sends_connect_too_often_is_refused_even_with_a_valid_token() {
    let hub = Hub::start();
    let good = json!({"token": token("alice")});
    for transport in SioTransport::BOTH {
        let mut client = Sio::open(&hub, transport).await;
        for _ in 0..60 {
            let error = client.connect("/", &json!({"token": "nonsense"})).await.unwrap_err();
            assert_eq!(error["message"], "Unauthorized", "{error}");
        }
        for n in 60..90 {
            client.send(&format!("40{good}")).await;
            let packet = client.receive().await;
            assert_eq!(packet.kind, SocketPacket::CONNECT_ERROR, "attempt {n}: {packet:?}");
            assert_eq!(packet.data["data"]["code"], "RATE_LIMITED", "attempt {n}: {packet:?}");
            let wait = packet.data["data"]["retryAfter"].as_u64();
            assert!(wait.is_some_and(|seconds| (1..=60).contains(&seconds)), "attempt {n}: {packet:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_reconnects_has_the_same_message_limit() {
    let hub = Hub::with(
        "[limits.push]\nmessages_per_minute = 30\n[limits.community]\nmessages_per_minute = 1\n\
         [limits.chat]\nrequests_per_minute = 2",
    );
    let auth = json!({"token": token("alice")});
    for transport in SioTransport::BOTH {
        let mut client = Sio::of(&hub, transport, "alice").await;
        for _ in 0..30 {
            client.expect_silence().await;
        }
        // Without a token another limit applies, with a count of its own.
        client.send("41").await;
        client.connect("/", &Value::Null).await.unwrap();
        client.expect("connected").await;
        client.expect("system:welcome").await;
        client.expect_silence().await;
        client.emit("ping", json!({})).await;
        assert_eq!(client.expect("error").await["code"], "RATE_LIMITED");
        client.send("41").await;
        client.connect("/", &auth).await.unwrap();
        client.expect("connected").await;
        client.expect("system:welcome").await;
        client.emit("ping", json!({})).await;
        assert_eq!(client.expect("error").await["code"], "RATE_LIMITED");
        // Each namespace has its own.
        client.connect("/chat", &auth).await.unwrap();
        client.emit_for_ack("/chat", "Broadcast", json!({"topic": "lobby", "payload": 1})).await;
        assert_eq!(client.receive().await.data[0]["recipients"], 0);
    }
}
