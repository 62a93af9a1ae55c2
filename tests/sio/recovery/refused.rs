//! Who goes on with a session: its own user, with its private id and a saved that the hub remembers.

use serde_json::{Value, json};

use super::{
    RecoveryClient, SavedSession, greeting, hub, reconnect_status, recovery_failed, to_room, wait_until_empty,
};
use crate::support::token::{now, token, token_with};
use crate::support::{Client, Hub, Sio, Transport};

/// A session of alice in a room, cut off, and what it missed.
async fn suspend(hub: &Hub, transport: Transport) -> (SavedSession, Value) {
    let mut alice = RecoveryClient::of(hub, transport, "alice").await;
    alice.sio.join("one").await;
    let saved = alice.suspend(hub, transport).await;
    (saved, to_room(hub, "one", 1))
}

#[tokio::test]
async fn somebody_else_recovers_nothing_and_takes_nothing() {
    let hub = hub("");
    for transport in Transport::BOTH {
        let (saved, missed) = suspend(&hub, transport).await;
        let theirs = SavedSession { user: "bob".to_owned(), token: Some(token("bob")), ..saved.clone() };
        let mut bob = theirs.fail_to_resume(&hub, transport).await;
        assert_ne!(bob.saved.sid, saved.sid);
        bob.sio.expect_silence().await;
        // Nor does one who shows no token.
        let nobodys = SavedSession { token: None, ..saved.clone() };
        let mut guest = nobodys.fail_to_resume(&hub, transport).await;
        assert_ne!(guest.saved.sid, saved.sid);
        guest.sio.expect_silence().await;

        let mut alice = saved.connect(&hub, transport, &saved.auth()).await;
        let told = alice.next_events(4).await;
        assert_eq!(told[1], json!(["system:state_recovered", {"userId": "alice"}]), "{told:?}");
        alice.expect_exactly(&[missed]).await;
        for client in [alice, bob, guest] {
            client.disconnect().await;
        }
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn a_session_that_lives_is_not_ended_by_somebody_else() {
    let hub = hub("");
    let mut alice = RecoveryClient::of(&hub, Transport::WebSocket, "alice").await;
    alice.sio.join("one").await;
    for token in [Some(token("bob")), None] {
        SavedSession { user: "bob".to_owned(), token, ..alice.saved.clone() }
            .fail_to_resume(&hub, Transport::WebSocket)
            .await;
    }
    let live = to_room(&hub, "one", 1);
    alice.expect_exactly(&[live]).await;
}

#[tokio::test]
async fn a_client_that_was_refused_and_comes_again_is_told_how_often_it_came() {
    let hub = hub("auth.leeway_secs = 0");
    let expired = token_with(json!({"sub": "alice", "exp": now() - 60}));
    for transport in Transport::BOTH {
        let (saved, missed) = suspend(&hub, transport).await;
        let mut sio = Sio::open(&hub, transport).await;
        for (token, code) in [("nonsense", "INVALID_TOKEN"), (&*expired, "TOKEN_EXPIRED")] {
            let auth = SavedSession { token: Some(token.to_owned()), ..saved.clone() }.auth();
            let error = sio.connect("/", &auth).await.unwrap_err();
            assert_eq!(error, json!({"message": "Unauthorized", "data": {"code": code}}));
        }
        let mut alice = saved.resume_at_attempt(&hub, transport, 3).await;
        alice.expect_exactly(&[missed]).await;
        // The next cut is another.
        let saved = alice.suspend(&hub, transport).await;
        let alice = saved.resume(&hub, transport).await;
        alice.disconnect().await;
        drop(sio);
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn one_whose_token_ran_out_goes_on_with_a_fresh_one() {
    let hub = hub("auth.leeway_secs = 0");
    for transport in Transport::BOTH {
        let short = token_with(json!({"sub": "alice", "exp": now() + 2}));
        let mut alice = RecoveryClient::with_token(&hub, transport, "alice", &short).await;
        alice.sio.join("one").await;
        let (told, _) = alice.sio.read_to_end().await;
        let codes: Vec<_> = told.iter().filter_map(|said| said.data[1]["code"].as_str()).collect();
        assert_eq!(codes, ["TOKEN_EXPIRED"], "{told:?}");
        let missed = to_room(&hub, "one", 1);
        let saved = SavedSession { token: Some(token("alice")), ..alice.saved };
        let mut alice = saved.resume(&hub, transport).await;
        alice.expect_exactly(&[missed]).await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn what_no_session_has_recovers_nothing() {
    let hub = hub("");
    let (saved, missed) = suspend(&hub, Transport::WebSocket).await;
    for pid in ["", "x", &"y".repeat(5_000), &saved.pid[1..], &saved.pid.to_lowercase()] {
        if pid == saved.pid {
            continue;
        }
        let client =
            SavedSession { pid: pid.to_owned(), ..saved.clone() }.fail_to_resume(&hub, Transport::WebSocket).await;
        client.disconnect().await;
    }
    // What is no text is no private id.
    for pid in [json!(1), json!(null), json!(["x"]), json!({})] {
        let auth = json!({"token": token("alice"), "pid": pid, "offset": 7});
        let mut client = saved.connect(&hub, Transport::WebSocket, &auth).await;
        assert_eq!(client.next_events(2).await, greeting(&client.saved.sid));
        client.disconnect().await;
    }
    // On `/chat` there is none.
    let mut chat = Sio::open(&hub, Transport::WebSocket).await;
    let answer = chat.connect("/chat", &saved.auth()).await.unwrap();
    assert!(answer["sid"] != saved.sid.as_str() && answer.get("pid").is_none(), "{answer}");
    chat.send("41/chat,").await;

    let mut alice = saved.resume(&hub, Transport::WebSocket).await;
    alice.expect_exactly(&[missed]).await;
    alice.disconnect().await;
    drop(chat);
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn an_event_that_was_never_sent_is_no_place_to_go_on_from() {
    let hub = hub("");
    for offset in ["1", "no number", "", "ffffffffffffffff", "-1", "0"] {
        let mut alice = RecoveryClient::of(&hub, Transport::WebSocket, "alice").await;
        alice.sio.join("one").await;
        let received = to_room(&hub, "one", 1);
        alice.expect_exactly(&[received]).await;
        let mut saved = alice.suspend(&hub, Transport::WebSocket).await;
        to_room(&hub, "one", 2);
        saved.last = Some(offset.to_owned());
        let mut alice = saved.fail_to_resume(&hub, Transport::WebSocket).await;
        to_room(&hub, "one", 3);
        // It is in no room.
        alice.sio.expect_silence().await;
        alice.disconnect().await;
    }
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn one_that_was_not_recovered_is_at_its_next_cut() {
    let hub = hub("");
    for transport in Transport::BOTH {
        let (saved, _) = suspend(&hub, transport).await;
        // It still names the last event that it got in a session of before.
        let stale = SavedSession { pid: "another".to_owned(), last: Some("77".to_owned()), ..saved };
        let mut alice = stale.fail_to_resume(&hub, transport).await;
        alice.sio.join("two").await;
        let saved = alice.suspend(&hub, transport).await;
        assert_eq!(saved.last.as_deref(), Some("77"));
        let missed = to_room(&hub, "two", 1);
        let mut alice = saved.resume(&hub, transport).await;
        alice.expect_exactly(&[missed]).await;
        alice.disconnect().await;
    }
}

#[tokio::test]
async fn one_that_named_a_wrong_event_is_recovered_at_its_next_cut() {
    let hub = hub("");
    let (saved, _) = suspend(&hub, Transport::WebSocket).await;
    let stale = SavedSession { last: Some("77".to_owned()), ..saved };
    let mut alice = stale.fail_to_resume(&hub, Transport::WebSocket).await;
    alice.sio.join("two").await;
    let saved = alice.suspend(&hub, Transport::WebSocket).await;
    let missed = to_room(&hub, "two", 1);
    let mut alice = saved.resume(&hub, Transport::WebSocket).await;
    alice.expect_exactly(&[missed]).await;
    alice.disconnect().await;
    wait_until_empty(&hub).await;
}

/// What a client is answered and told that says this, and what it hears of a room that it joins.
async fn plain(hub: &Hub, auth: &Value) -> (Value, Vec<Value>, Vec<Value>) {
    let mut sio = Sio::open(hub, Transport::WebSocket).await;
    let answer = sio.connect("/", auth).await.unwrap();
    let saved = SavedSession::new("alice", None);
    let mut client = RecoveryClient { sio, saved };
    let told = client.next_events(if auth.get("pid").is_some() { 4 } else { 2 }).await;
    client.sio.join("one").await;
    to_room(hub, "one", 1);
    let received = client.sio.receive().await.data;
    (answer, told, received.as_array().unwrap().clone())
}

#[tokio::test]
async fn who_does_not_expect_it_or_where_it_is_off_has_neither_private_id_nor_numbers() {
    for config in [
        "recovery.window_secs = 0\nsocketio.offsets = \"never\"",
        "recovery.window_secs = 0\nsocketio.offsets = \"auto\"",
        "socketio.offsets = \"never\"",
        "socketio.offsets = \"auto\"",
    ] {
        let hub = Hub::with(config);
        let (answer, told, received) = plain(&hub, &json!({"token": token("alice")})).await;
        let sid = answer["sid"].as_str().unwrap();
        assert_eq!((&answer, &told), (&json!({ "sid": sid }), &greeting(sid)), "{config}");
        assert_eq!(received, [json!("to-room"), json!({"n": 1, "in": "one"})], "{config}");
        // Who asks for it all the same is told.
        let (answer, told, received) =
            plain(&hub, &json!({"token": token("alice"), "pid": "something", "offset": "1"})).await;
        let sid = answer["sid"].as_str().unwrap();
        let expected = [vec![reconnect_status(1), recovery_failed()], greeting(sid)].concat();
        assert_eq!((&answer, told), (&json!({ "sid": sid }), expected), "{config}");
        assert_eq!(received.len(), 2, "{config}");
    }
}

#[tokio::test]
async fn where_it_is_off_a_client_that_expects_it_has_no_private_id() {
    let hub = hub("recovery.window_secs = 0");
    let (answer, _, received) = plain(&hub, &json!({"token": token("alice")})).await;
    assert_eq!(answer, json!({"sid": answer["sid"]}));
    assert_eq!(received, [json!("to-room"), json!({"n": 1, "in": "one"})]);
    // Nor has it a number on another surface.
    let mut raw = Client::of(&hub, "bob").await;
    raw.subscribe(&["one"]).await;
    to_room(&hub, "one", 1);
    assert_eq!(raw.expect("to-room").await["data"], json!({"n": 1, "in": "one"}));
}
