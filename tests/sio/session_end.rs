//! The last packets of a session that the hub ends. A client that must not return gets a DISCONNECT, after which it does not
//! reconnect by itself. Without a DISCONNECT, a client reconnects.

use serde_json::{Value, json};

use crate::support::account::{sign_in, sign_out, user};
use crate::support::socketio::{ObservedEnd, events};
use crate::support::token::{now, token, token_with};
use crate::support::{Client, DEADLINE, Hub, Sio, SioTransport, eventually};

/// The end of a session on each transport. A WebSocket is closed with this code.
fn ends(code: u16) -> [(SioTransport, ObservedEnd); 2] {
    [(SioTransport::Polling, ObservedEnd::ClosePacket), (SioTransport::WebSocket, ObservedEnd::Closed(Some(code)))]
}

fn disconnected(reason: &str) -> Value {
    json!(["disconnected", {"reason": reason}])
}

/// Asserts that a client on `/` receives these events, then `disconnected` with this reason, then a DISCONNECT.
async fn assert_disconnected(client: &mut Sio, before: &[Value], reason: &str, end: ObservedEnd) {
    let (packets, ended) = client.read_to_end().await;
    let expected = [before, &[disconnected(reason), json!("41/")]].concat();
    assert_eq!((events(&packets), ended), (expected, end));
    if end == ObservedEnd::ClosePacket {
        client.polling().assert_gone().await;
    }
}

#[tokio::test]
async fn a_client_that_the_application_disconnects_gets_a_disconnect() {
    let hub = Hub::start();
    for is_polling in [true, false] {
        for (transport, end) in ends(4403) {
            let mut client = Sio::of(&hub, transport, "alice").await;
            let mut other = Sio::of(&hub, transport, "bob").await;
            if is_polling {
                client.start_poll().await;
            }
            let kick = json!({"userId": "alice"});
            let answer = hub.http().request("POST", "/api/disconnect").key().json(&kick).send();
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_disconnected(&mut client, &[], "server_disconnect", end).await;
            other.expect_silence().await;
        }
    }
}

#[tokio::test]
async fn a_client_that_is_disconnected_from_one_namespace_stays_in_another() {
    let hub = Hub::start();
    for (transport, end) in ends(4403) {
        let mut client = Sio::of(&hub, transport, "alice").await;
        client.connect("/chat", &json!({"token": token("bob")})).await.unwrap();
        let kick = |user: &str| {
            let answer = hub.http().request("POST", "/api/disconnect").key().json(&json!({"userId": user})).send();
            assert_eq!(answer.status, 200, "{answer:?}");
        };
        kick("alice");
        let packets = [client.receive().await, client.receive().await];
        assert_eq!(events(&packets), [disconnected("server_disconnect"), json!("41/")]);
        // An event that the client sends before it knows is ignored.
        client.send("42[\"ping\"]").await;
        let id = client.emit_for_ack("/chat", "Broadcast", json!({"topic": "lobby", "payload": 1})).await;
        assert_eq!(client.receive().await.id, Some(id));
        // The client may connect again.
        client.connect("/", &json!({"token": token("alice")})).await.unwrap();
        client.expect("connected").await;
        client.expect("system:welcome").await;
        kick("alice");
        let packets = [client.receive().await, client.receive().await];
        assert_eq!(events(&packets), [disconnected("server_disconnect"), json!("41/")]);
        kick("bob");
        let (packets, ended) = client.read_to_end().await;
        assert_eq!((events(&packets), ended), (vec![json!("41/chat")], end));
    }
}

#[tokio::test]
async fn a_client_receives_an_error_and_a_disconnect_when_its_token_expires() {
    let hub = Hub::with("[auth]\nleeway_secs = 0");
    let expires = now() + 3;
    let mut clients = Vec::new();
    for (transport, end) in ends(4401) {
        let token = token_with(json!({"sub": "alice", "exp": expires}));
        clients.push((Sio::with_token(&hub, transport, &token).await, end));
    }
    // A fresh token in time keeps the session.
    let mut fresh =
        Sio::with_token(&hub, SioTransport::Polling, &token_with(json!({"sub": "7", "exp": expires}))).await;
    fresh.emit("authenticate", json!({"token": token("7")})).await;
    fresh.expect("authenticated").await;
    for (client, end) in &mut clients {
        let error = json!({
            "event": null, "message": "The token has expired", "error": "The token has expired", "code": "TOKEN_EXPIRED",
        });
        assert_disconnected(client, &[json!(["error", error])], "token_expired", *end).await;
    }
    assert!(now() >= expires, "disconnected before the token expired");
    fresh.expect_silence().await;
}

#[tokio::test]
async fn a_sign_out_disconnects_the_clients_of_its_session_long_before_their_tokens_expire() {
    let hub = Hub::with(crate::support::account::UNLIMITED);
    user(&hub, "alice");
    for (transport, end) in ends(4401) {
        let signed_in = sign_in(&hub, "alice");
        let mut client = Sio::with_token(&hub, transport, &signed_in.access).await;
        let mut other = Sio::with_token(&hub, transport, &sign_in(&hub, "alice").access).await;
        let answer = sign_out(&hub, &signed_in.id, &signed_in.access);
        assert!(matches!(answer.status, 200 | 204), "{answer:?}");
        assert_disconnected(&mut client, &[], "token_revoked", end).await;
        let mut again = Sio::open(&hub, transport).await;
        let error = again.connect("/", &json!({"token": signed_in.access})).await.unwrap_err();
        assert_eq!(error, json!({"message": "Unauthorized", "data": {"code": "INVALID_TOKEN"}}));
        other.expect_silence().await;
    }
}

#[tokio::test]
async fn a_client_at_ten_times_its_message_limit_gets_a_disconnect() {
    let hub = Hub::with("[limits.push]\nmessages_per_minute = 3");
    for (transport, end) in ends(4429) {
        let mut client = Sio::of(&hub, transport, "alice").await;
        for n in 0..30 {
            client.emit("room:leave", json!({"room": "r"})).await;
            let mut answer = client.expect("room:leave:ack").await;
            if n < 3 {
                assert_eq!(answer, json!({"success": true, "room": "r"}));
            } else {
                let wait = answer["details"]["retryAfter"].take().as_u64().unwrap();
                assert!((1..=60).contains(&wait), "retryAfter is {wait}");
                let (error, details) = ("Rate limit exceeded", json!({"retryAfter": null}));
                let refused =
                    json!({"success": false, "room": "r", "error": error, "code": "RATE_LIMITED", "details": details});
                assert_eq!(answer, refused);
            }
        }
        client.emit("room:leave", json!({"room": "r"})).await;
        assert_disconnected(&mut client, &[], "rate_limit", end).await;
    }
}

#[tokio::test]
async fn a_hub_that_stops_announces_it_to_all_clients_and_sends_no_disconnect() {
    let mut hub = Hub::with("[server]\nshutdown_secs = 60");
    let mut members = Vec::new();
    for (transport, end) in ends(1001) {
        let mut client = Sio::of(&hub, transport, "alice").await;
        client.join("lobby").await;
        let mut both = Sio::of(&hub, transport, "bob").await;
        both.connect("/chat", &json!({"token": token("bob")})).await.unwrap();
        let guest = Sio::guest(&hub, transport).await;
        let (root, chat): (&[_], &[_]) = (&["/"], &["/", "/chat"]);
        members.extend([(client, root, end), (both, chat, end), (guest, root, end)]);
        members.push((Sio::open(&hub, transport).await, &[], end));
    }
    let mut sender = Client::of(&hub, "sender").await;
    assert_eq!(sender.broadcast("lobby", json!(1)).await["data"]["recipients"], 2);
    for (client, ..) in &mut members {
        client.start_poll().await;
    }
    // The hub has read the polls before this request.
    assert_eq!(hub.get("/health").status, 200);
    hub.signal("TERM");
    for (n, (client, namespaces, end)) in members.iter_mut().enumerate() {
        let (mut packets, ended) = client.read_to_end().await;
        if n % 4 == 0 {
            assert_eq!(packets.remove(0).event(), Some("Broadcast"), "an acknowledged event is delivered");
        }
        for (namespace, mut packet) in namespaces.iter().zip(packets.drain(..namespaces.len())) {
            assert_eq!(
                (packet.event(), packet.namespace.as_str()),
                (Some("system:draining"), *namespace),
                "client {n}"
            );
            let after = packet.data[1]["reconnect_after_ms"].take();
            assert!(after.as_u64().is_some_and(|after| after <= 1_000), "client {n} must reconnect after {after} ms");
            assert!(packet.data[1]["timestamp"].is_string(), "{packet:?}");
        }
        let expected = if namespaces.is_empty() { vec![] } else { vec![disconnected("server_shutdown")] };
        assert_eq!((events(&packets), ended), (expected, *end), "client {n}");
    }
    assert_eq!(sender.close_code().await, Some(1001));
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}

#[tokio::test]
async fn a_client_receives_no_packet_after_its_heartbeat_timeout() {
    let hub = Hub::with("[socketio]\nping_interval_ms = 300\nping_timeout_ms = 2000");
    for (transport, end) in [
        (SioTransport::Polling, ObservedEnd::UnknownSession),
        (SioTransport::WebSocket, ObservedEnd::Closed(Some(4408))),
    ] {
        let mut client = Sio::of(&hub, transport, "alice").await;
        eventually(DEADLINE, "the session has ended", || hub.connections() == 0).await;
        if transport == SioTransport::WebSocket {
            // The client did not answer this ping.
            assert_eq!(client.wire().text().await, "2");
        }
        let (packets, ended) = client.read_to_end().await;
        assert!(packets.iter().all(|packet| packet.event() == Some("disconnected")), "{packets:?}");
        assert_eq!(ended, end);
    }
}
