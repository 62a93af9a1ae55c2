//! Credentials of a reconnect: wrong private ids, expired tokens, and hubs without recovery. More cases are in
//! [`cases`](super::cases).

use serde_json::{Value, json};

use super::{ClientState, RecoveryClient, greeting, hub, reconnect_status, recovery_failed, to_room, wait_until_empty};
use crate::support::token::{now, token, token_with};
use crate::support::{Client, Hub, Sio, SioTransport};

#[tokio::test]
async fn a_session_with_an_expired_token_resumes_with_a_fresh_one() {
    let hub = hub("auth.leeway_secs = 0");
    for transport in SioTransport::BOTH {
        let short = token_with(json!({"sub": "alice", "exp": now() + 2}));
        let mut alice = RecoveryClient::with_token(&hub, transport, "alice", &short).await;
        alice.sio.join("one").await;
        let (received, _) = alice.sio.read_to_end().await;
        let codes: Vec<_> = received.iter().filter_map(|packet| packet.data[1]["code"].as_str()).collect();
        assert_eq!(codes, ["TOKEN_EXPIRED"], "{received:?}");
        let missed = to_room(&hub, "one", 1);
        let saved = ClientState { token: Some(token("alice")), ..alice.saved };
        let mut alice = saved.resume(&hub, transport).await;
        alice.expect_exactly(&[missed]).await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn an_unknown_private_id_recovers_nothing() {
    let hub = hub("");
    let mut alice = RecoveryClient::of(&hub, SioTransport::WebSocket, "alice").await;
    alice.sio.join("one").await;
    let saved = alice.suspend(&hub, SioTransport::WebSocket).await;
    let missed = to_room(&hub, "one", 1);
    for pid in ["", "x", &"y".repeat(5_000), &saved.pid[1..], &saved.pid.to_lowercase()] {
        if pid == saved.pid {
            continue;
        }
        let wrong = ClientState { pid: pid.to_owned(), ..saved.clone() };
        wrong.fail_to_resume(&hub, SioTransport::WebSocket).await.disconnect().await;
    }
    // A value of another type is ignored.
    for pid in [json!(1), json!(null), json!(["x"]), json!({})] {
        let auth = json!({"token": token("alice"), "pid": pid, "offset": 7});
        let mut client = saved.connect(&hub, SioTransport::WebSocket, &auth).await;
        assert_eq!(client.next_events(2).await, greeting(&client.saved.sid));
        client.disconnect().await;
    }
    // `/chat` has no private ids.
    let mut chat = Sio::open(&hub, SioTransport::WebSocket).await;
    let answer = chat.connect("/chat", &saved.auth()).await.unwrap();
    assert!(answer["sid"] != saved.sid.as_str() && answer.get("pid").is_none(), "{answer}");
    chat.send("41/chat,").await;

    let mut alice = saved.resume(&hub, SioTransport::WebSocket).await;
    alice.expect_exactly(&[missed]).await;
    alice.disconnect().await;
    drop(chat);
    wait_until_empty(&hub).await;
}

/// Connects with this payload: the reply, the hub's first events, and the arguments of an event of a room.
async fn connect_and_join(hub: &Hub, auth: &Value) -> (Value, Vec<Value>, Value) {
    let mut sio = Sio::open(hub, SioTransport::WebSocket).await;
    let answer = sio.connect("/", auth).await.unwrap();
    let mut client = RecoveryClient { sio, saved: ClientState::new("alice", None) };
    let greeting = client.next_events(if auth.get("pid").is_some() { 4 } else { 2 }).await;
    client.sio.join("one").await;
    to_room(hub, "one", 1);
    (answer, greeting, client.sio.receive().await.data)
}

#[tokio::test]
async fn a_client_without_recovery_gets_neither_a_private_id_nor_offsets() {
    let event = json!(["to-room", {"n": 1, "in": "one"}]);
    for config in [
        "recovery.window_secs = 0\nsocketio.offsets = \"never\"",
        "recovery.window_secs = 0\nsocketio.offsets = \"auto\"",
        "socketio.offsets = \"never\"",
        "socketio.offsets = \"auto\"",
    ] {
        let hub = Hub::with(config);
        let (answer, first, in_room) = connect_and_join(&hub, &json!({"token": token("alice")})).await;
        let sid = answer["sid"].as_str().unwrap();
        assert_eq!((&answer, &first), (&json!({ "sid": sid }), &greeting(sid)), "{config}");
        assert_eq!(in_room, event, "{config}");
        // A client that asks for recovery learns that it failed.
        let auth = json!({"token": token("alice"), "pid": "something", "offset": "1"});
        let (answer, first, in_room) = connect_and_join(&hub, &auth).await;
        let sid = answer["sid"].as_str().unwrap();
        let expected = [vec![reconnect_status(1), recovery_failed()], greeting(sid)].concat();
        assert_eq!((&answer, first), (&json!({ "sid": sid }), expected), "{config}");
        assert_eq!(in_room, event, "{config}");
    }
}

#[tokio::test]
async fn without_a_recovery_window_no_client_gets_a_private_id() {
    let hub = hub("recovery.window_secs = 0");
    let (answer, _, in_room) = connect_and_join(&hub, &json!({"token": token("alice")})).await;
    assert_eq!(answer, json!({"sid": answer["sid"]}));
    assert_eq!(in_room, json!(["to-room", {"n": 1, "in": "one"}]));
    // Raw WebSocket clients get no offsets either.
    let mut raw = Client::of(&hub, "bob").await;
    raw.subscribe(&["one"]).await;
    to_room(&hub, "one", 1);
    assert_eq!(raw.expect("to-room").await["data"], json!({"n": 1, "in": "one"}));
}
