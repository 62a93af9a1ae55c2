//! What a client is told when the hub ends its session. One that is not wanted any more is put out of the namespace, and
//! does not come back by itself; one whose connection only ends does.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

use crate::support::account::{sign_in, sign_out, user};
use crate::support::socketio::{SessionEnd, events};
use crate::support::token::{now, token, token_with};
use crate::support::{Client, DEADLINE, Hub, Sio, Transport, eventually};

/// How a session ends on each transport, when a WebSocket is closed with this code.
fn ends(code: u16) -> [(Transport, SessionEnd); 2] {
    [(Transport::Polling, SessionEnd::ClosePacket), (Transport::WebSocket, SessionEnd::Closed(Some(code)))]
}

fn disconnected(reason: &str) -> Value {
    json!(["disconnected", {"reason": reason}])
}

/// That a client is put out of `/` for this reason, after it was told this much.
async fn assert_put_out(client: &mut Sio, before: &[Value], reason: &str, end: SessionEnd) {
    let (said, ended) = client.read_to_end().await;
    let told = [before, &[disconnected(reason), json!("41/")]].concat();
    assert_eq!((events(&said), ended), (told, end));
    if end == SessionEnd::ClosePacket {
        client.polling().assert_gone().await;
    }
}

#[tokio::test]
async fn one_who_is_disconnected_by_the_application_is_put_out() {
    let hub = Hub::start();
    for waits in [true, false] {
        for (transport, end) in ends(4403) {
            let mut client = Sio::of(&hub, transport, "alice").await;
            let mut other = Sio::of(&hub, transport, "bob").await;
            if waits {
                client.start_poll().await;
            }
            let kick = json!({"userId": "alice"});
            let answer = hub.http().request("POST", "/api/disconnect").key().json(&kick).send();
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_put_out(&mut client, &[], "server_disconnect", end).await;
            other.expect_silence().await;
        }
    }
}

#[tokio::test]
async fn one_who_is_put_out_of_a_namespace_stays_in_another() {
    let hub = Hub::start();
    for (transport, end) in ends(4403) {
        let mut client = Sio::of(&hub, transport, "alice").await;
        client.connect("/chat", &json!({"token": token("bob")})).await.unwrap();
        let kick = |user: &str| {
            let answer = hub.http().request("POST", "/api/disconnect").key().json(&json!({"userId": user})).send();
            assert_eq!(answer.status, 200, "{answer:?}");
        };
        kick("alice");
        let said = [client.receive().await, client.receive().await];
        assert_eq!(events(&said), [disconnected("server_disconnect"), json!("41/")]);
        // What it says there before it knows is not held against it.
        client.send("42[\"ping\"]").await;
        let id = client.emit_for_ack("/chat", "Broadcast", json!({"topic": "lobby", "payload": 1})).await;
        assert_eq!(client.receive().await.id, Some(id));
        // It may come back by itself.
        client.connect("/", &json!({"token": token("alice")})).await.unwrap();
        client.expect("connected").await;
        client.expect("system:welcome").await;
        kick("alice");
        let said = [client.receive().await, client.receive().await];
        assert_eq!(events(&said), [disconnected("server_disconnect"), json!("41/")]);
        kick("bob");
        let (said, ended) = client.read_to_end().await;
        assert_eq!((events(&said), ended), (vec![json!("41/chat")], end));
    }
}

#[tokio::test]
async fn one_whose_token_expires_is_told_and_put_out() {
    let hub = Hub::with("[auth]\nleeway_secs = 0");
    let expires = now() + 3;
    let mut clients = Vec::new();
    for (transport, end) in ends(4401) {
        let token = token_with(json!({"sub": "alice", "exp": expires}));
        clients.push((Sio::with_token(&hub, transport, &token).await, end));
    }
    // With a fresh token in time, it goes on.
    let mut fresh = Sio::with_token(&hub, Transport::Polling, &token_with(json!({"sub": "7", "exp": expires}))).await;
    fresh.emit("authenticate", json!({"token": token("7")})).await;
    fresh.expect("authenticated").await;
    for (client, end) in &mut clients {
        let error = json!({
            "event": null, "message": "The token has expired", "error": "The token has expired", "code": "TOKEN_EXPIRED",
        });
        assert_put_out(client, &[json!(["error", error])], "token_expired", *end).await;
    }
    assert!(now() >= expires, "put out before its time");
    fresh.expect_silence().await;
}

#[tokio::test]
async fn one_whose_sign_in_ends_is_put_out_at_once() {
    let hub = Hub::with(crate::support::account::UNLIMITED);
    user(&hub, "alice");
    for (transport, end) in ends(4401) {
        let signed_in = sign_in(&hub, "alice");
        let mut client = Sio::with_token(&hub, transport, &signed_in.access).await;
        let mut other = Sio::with_token(&hub, transport, &sign_in(&hub, "alice").access).await;
        let answer = sign_out(&hub, &signed_in.id, &signed_in.access);
        assert!(matches!(answer.status, 200 | 204), "{answer:?}");
        let asked = Instant::now();
        assert_put_out(&mut client, &[], "token_revoked", end).await;
        assert!(asked.elapsed() < Duration::from_secs(3), "took {:?}", asked.elapsed());
        let mut again = Sio::open(&hub, transport).await;
        let error = again.connect("/", &json!({"token": signed_in.access})).await.unwrap_err();
        assert_eq!(error, json!({"message": "Unauthorized", "data": {"code": "INVALID_TOKEN"}}));
        other.expect_silence().await;
    }
}

#[tokio::test]
async fn one_who_says_ten_times_too_much_is_put_out() {
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
        assert_put_out(&mut client, &[], "rate_limit", end).await;
    }
}

#[tokio::test]
async fn all_are_told_that_the_hub_goes_away_and_none_is_put_out() {
    let mut hub = Hub::with("[server]\nshutdown_secs = 10");
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
    // The polls came before this answer.
    assert_eq!(hub.get("/health").status, 200);
    hub.signal("TERM");
    for (n, (client, namespaces, end)) in members.iter_mut().enumerate() {
        let (mut said, ended) = client.read_to_end().await;
        if n % 4 == 0 {
            assert_eq!(said.remove(0).event(), Some("Broadcast"), "what was accepted is delivered");
        }
        for (namespace, mut said) in namespaces.iter().zip(said.drain(..namespaces.len())) {
            assert_eq!((said.event(), said.namespace.as_str()), (Some("system:draining"), *namespace), "client {n}");
            let after = said.data[1]["reconnect_after_ms"].take();
            assert!(after.as_u64().is_some_and(|after| after <= 1_000), "client {n} is to come back after {after}");
            assert!(said.data[1]["timestamp"].is_string(), "{said:?}");
        }
        let told = if namespaces.is_empty() { vec![] } else { vec![disconnected("server_shutdown")] };
        assert_eq!((events(&said), ended), (told, *end), "client {n}");
    }
    assert_eq!(sender.close_code().await, Some(1001));
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}

#[tokio::test]
async fn one_whose_connection_ends_is_not_told_anything_any_more() {
    let hub = Hub::with("[socketio]\nping_interval_ms = 300\nping_timeout_ms = 200");
    for (transport, end) in
        [(Transport::Polling, SessionEnd::UnknownSession), (Transport::WebSocket, SessionEnd::Closed(Some(4408)))]
    {
        let mut client = Sio::of(&hub, transport, "alice").await;
        eventually(DEADLINE, "the silent client is gone", || hub.connections() == 0).await;
        if transport == Transport::WebSocket {
            // All that came is the ping that it did not answer.
            assert_eq!(client.wire().text().await, "2");
        }
        let (said, ended) = client.read_to_end().await;
        assert!(said.iter().all(|said| said.event() == Some("disconnected")), "{said:?}");
        assert_eq!(ended, end);
    }
}
