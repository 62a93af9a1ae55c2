//! A session that resumes is in its rooms again, and is a member of none while it is suspended.

use serde_json::{Value, json};

use super::{RecoveryClient, hub, post, state_recovered, to_room, to_user, wait_until_empty};
use crate::support::{Client, DEADLINE, Hub, Sio, SioTransport, eventually};

/// The members of a room: `[[user, sessions], …]`.
#[track_caller]
fn members(hub: &Hub, room: &str) -> Value {
    let answer = hub.http().request("GET", &format!("/api/rooms/{room}")).key().send();
    assert!(matches!(answer.status, 200 | 404), "{answer:?}");
    let room = answer.json();
    let members = room["members"].as_array().cloned().unwrap_or_default();
    members.iter().map(|member| json!([member["userId"], member["sessions"]])).collect()
}

/// Calls the API of a chat. `null` is no body.
#[track_caller]
fn chat(hub: &Hub, method: &str, id: &str, body: &Value) {
    let http = hub.http();
    let request = http.request(method, &format!("/api/chats/{id}")).key();
    let answer = if body.is_null() { request.send() } else { request.json(body).send() };
    assert!(answer.status < 300, "{answer:?}");
}

/// The next `count` events that were published to rooms, without joins and leaves.
async fn next_publications(client: &mut RecoveryClient, count: usize) -> Vec<Value> {
    let mut received = Vec::new();
    while received.len() < count {
        let event = client.event().await;
        if event[0] == "to-room" {
            received.push(event);
        } else {
            assert!(["user:joined", "user:left", "room:online-update"].iter().any(|name| event[0] == *name), "{event}");
        }
    }
    received
}

#[tokio::test]
async fn a_session_does_not_rejoin_a_topic_that_a_reload_closed_to_its_user() {
    let rules =
        |closed: &str| format!("topics = [{closed}{{pattern = \"*\", subscribe = \"anyone\", publish = \"anyone\"}}]");
    let closed = rules("{pattern = \"two\", subscribe = \"role:editor\", publish = \"anyone\"}, ");
    for transport in SioTransport::BOTH {
        let hub = hub(&rules(""));
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        for room in ["one", "two"] {
            alice.sio.join(room).await;
        }
        let saved = alice.suspend(&hub, transport).await;
        let (missed, _) = (to_room(&hub, "one", 1), to_room(&hub, "two", 2));
        hub.reload(&super::config(&closed));
        let mut alice = saved.resume(&hub, transport).await;
        let left = json!(["room:leave:ack", {"success": true, "room": "two", "code": "FORBIDDEN"}]);
        alice.expect_exactly(&[missed, left]).await;
        assert_eq!((members(&hub, "one"), members(&hub, "two")), (json!([["alice", 1]]), json!([])));
    }
}

#[tokio::test]
async fn a_resumed_session_is_in_its_rooms_once_and_can_leave_them() {
    let hub = hub("");
    let mut bob = RecoveryClient::of(&hub, SioTransport::WebSocket, "bob").await;
    bob.sio.join("one").await;
    for transport in SioTransport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        for room in ["one", "two"] {
            alice.sio.join(room).await;
        }
        for _ in 0..3 {
            let saved = alice.suspend(&hub, transport).await;
            assert_eq!((members(&hub, "one"), members(&hub, "two")), (json!([["bob", 1]]), json!([])));
            let missed = to_room(&hub, "one", 1);
            alice = saved.resume(&hub, transport).await;
            alice.expect_exactly(std::slice::from_ref(&missed)).await;
            bob.expect_exactly(&[missed]).await;
            let mut both = members(&hub, "one");
            both.as_array_mut().unwrap().sort_by_key(Value::to_string);
            assert_eq!((both, members(&hub, "two")), (json!([["alice", 1], ["bob", 1]]), json!([["alice", 1]])));
            let answer = post(&hub, "/api/room", &json!({"room": "one", "event": "e", "data": {}}));
            assert_eq!(answer["recipients"], 2, "{answer}");
            for client in [&mut alice, &mut bob] {
                client.expect_exactly(&[json!(["e", {}])]).await;
            }
            assert_eq!(post(&hub, "/api/push", &json!({"userId": "alice", "event": "e", "data": {}}))["recipients"], 1);
            alice.expect_exactly(&[json!(["e", {}])]).await;
        }
        let left = json!({"success": true, "room": "one"});
        assert_eq!(alice.sio.emit_and_expect("room:leave:ack", "room:leave", json!({"room": "one"})).await, left);
        let sent = to_room(&hub, "one", 2);
        alice.sio.expect_silence().await;
        bob.expect_exactly(&[sent]).await;
        // A room that was left before the cut is not joined again.
        let saved = alice.suspend(&hub, transport).await;
        let sent = to_room(&hub, "one", 3);
        let missed = to_room(&hub, "two", 3);
        bob.expect_exactly(&[sent]).await;
        alice = saved.resume(&hub, transport).await;
        alice.expect_exactly(&[missed]).await;
        assert_eq!((members(&hub, "one"), members(&hub, "two")), (json!([["bob", 1]]), json!([["alice", 1]])));
        alice.disconnect().await;
        eventually(DEADLINE, "alice has left", || members(&hub, "two") == json!([])).await;
    }
    bob.disconnect().await;
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn a_session_does_not_rejoin_a_chat_that_was_closed_to_its_user() {
    let hub = hub("");
    let open = json!({"name": "c", "public": true});
    for transport in SioTransport::BOTH {
        for is_deleted in [false, true] {
            chat(&hub, "PUT", "c", &open);
            chat(&hub, "PUT", "stays", &open);
            let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
            for room in ["chat:c", "chat:stays", "one"] {
                alice.sio.emit("room:join", json!({ "room": room })).await;
                while alice.event().await[0] != "room:join:ack" {}
            }
            let saved = alice.suspend(&hub, transport).await;
            let mut missed = Vec::new();
            for n in 0..2 {
                to_room(&hub, "chat:c", n);
                missed.extend([to_room(&hub, "chat:stays", n), to_room(&hub, "one", n)]);
                if n == 0 {
                    match is_deleted {
                        true => chat(&hub, "DELETE", "c", &Value::Null),
                        false => {
                            chat(&hub, "PUT", "c", &json!({"name": "c", "public": false, "participants": ["bob"]}))
                        }
                    }
                }
            }
            let mut alice = saved.resume(&hub, transport).await;
            assert_eq!(next_publications(&mut alice, missed.len()).await, missed);
            assert_eq!(alice.event().await, json!(["room:leave:ack", {"success": true, "room": "chat:c"}]));
            to_room(&hub, "chat:c", 3);
            let live = to_room(&hub, "chat:stays", 3);
            assert_eq!(next_publications(&mut alice, 1).await, [live]);
            assert_eq!((members(&hub, "chat:c"), members(&hub, "chat:stays")), (json!([]), json!([["alice", 1]])));
            // The next resume does not report the closed chat again.
            let saved = alice.suspend(&hub, transport).await;
            let missed = to_room(&hub, "one", 4);
            let mut alice = saved.resume(&hub, transport).await;
            assert_eq!(next_publications(&mut alice, 1).await, [missed]);
            alice.disconnect().await;
            wait_until_empty(&hub).await;
        }
    }
}

#[tokio::test]
async fn a_session_does_not_rejoin_a_chat_that_was_closed_to_its_user_and_opened_again() {
    let hub = hub("");
    let of = |participants: &[&str]| json!({"name": "c", "public": false, "participants": participants});
    for transport in SioTransport::BOTH {
        chat(&hub, "PUT", "c", &of(&["alice", "bob"]));
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        for room in ["chat:c", "one"] {
            alice.sio.emit("room:join", json!({ "room": room })).await;
            while alice.event().await[0] != "room:join:ack" {}
        }
        let saved = alice.suspend(&hub, transport).await;
        to_room(&hub, "chat:c", 0);
        chat(&hub, "PUT", "c", &of(&["bob"]));
        to_room(&hub, "chat:c", 1);
        chat(&hub, "PUT", "c", &of(&["alice", "bob"]));
        to_room(&hub, "chat:c", 2);
        let missed = to_room(&hub, "one", 3);
        let mut alice = saved.resume(&hub, transport).await;
        let left = json!(["room:leave:ack", {"success": true, "room": "chat:c"}]);
        alice.expect_exactly(&[missed, left]).await;
        assert_eq!((members(&hub, "chat:c"), members(&hub, "one")), (json!([]), json!([["alice", 1]])));
        to_room(&hub, "chat:c", 4);
        let live = to_room(&hub, "one", 5);
        alice.expect_exactly(&[live]).await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

/// The next presence event of another user: its name, and the user.
async fn next_presence(bob: &mut Sio) -> (String, String) {
    loop {
        let packet = bob.receive_any().await;
        match packet.data[1]["user_id"].as_str() {
            Some(user) if user != "bob" => return (packet.event().unwrap().to_owned(), user.to_owned()),
            _ => {}
        }
    }
}

fn presence(event: &str, user: &str) -> (String, String) {
    (event.to_owned(), user.to_owned())
}

#[tokio::test]
async fn a_short_cut_does_not_change_the_presence_of_a_user() {
    let hub = hub("presence.audience = \"all\"\npresence.linger_ms = 60000");
    let mut bob = Sio::of(&hub, SioTransport::WebSocket, "bob").await;
    let alice = RecoveryClient::of(&hub, SioTransport::WebSocket, "alice").await;
    assert_eq!(next_presence(&mut bob).await, presence("user_online", "alice"));
    let alice = alice.suspend(&hub, SioTransport::WebSocket).await.resume(&hub, SioTransport::WebSocket).await;
    // The next presence event is of carol, so there was none of alice.
    let carol = RecoveryClient::of(&hub, SioTransport::WebSocket, "carol").await;
    assert_eq!(next_presence(&mut bob).await, presence("user_online", "carol"));
    drop((alice, carol));
}

#[tokio::test]
async fn a_suspended_user_is_offline_after_the_linger_time_and_online_when_the_session_resumes() {
    let hub = hub("presence.audience = \"all\"\npresence.linger_ms = 200");
    let mut bob = Sio::of(&hub, SioTransport::WebSocket, "bob").await;
    let alice = RecoveryClient::of(&hub, SioTransport::WebSocket, "alice").await;
    assert_eq!(next_presence(&mut bob).await, presence("user_online", "alice"));
    let saved = alice.suspend(&hub, SioTransport::WebSocket).await;
    assert_eq!(next_presence(&mut bob).await, presence("user_offline", "alice"));
    let state = hub.http().request("GET", "/api/presence/alice").key().send().json();
    assert_eq!((&state["online"], &state["sessions"]), (&json!(false), &json!([])), "{state}");
    let mut alice = saved.connect(&hub, SioTransport::WebSocket, &saved.auth()).await;
    assert_eq!(alice.next_events(4).await[1], state_recovered("alice"));
    assert_eq!(next_presence(&mut bob).await, presence("user_online", "alice"));
    let state = hub.http().request("GET", "/api/presence/alice").key().send().json();
    let sessions = state["sessions"].as_array().unwrap();
    assert_eq!((&state["online"], sessions.len()), (&json!(true), 1), "{state}");
    assert_eq!(sessions[0]["sessionId"], saved.sid.as_str(), "{state}");
}

#[tokio::test]
async fn a_direct_message_to_a_suspended_session_is_acknowledged_and_received_after_the_recovery() {
    let hub = hub("");
    let mut bob = Client::of(&hub, "bob").await;
    let alice = RecoveryClient::of(&hub, SioTransport::WebSocket, "alice").await;
    let saved = alice.suspend(&hub, SioTransport::WebSocket).await;
    let data = json!({"target_user": "alice", "payload": 1, "client_id": "once"});
    let direct = json!({"type": "DirectMessage", "data": data});
    let ack = bob.ask(direct.clone(), "Ack").await;
    assert_eq!(ack["data"]["recipients"], 0, "{ack}");
    let again = bob.ask(direct.clone(), "Ack").await;
    assert_eq!(again["data"]["message_id"], ack["data"]["message_id"]);
    let mut alice = saved.resume(&hub, SioTransport::WebSocket).await;
    let message = json!({"from_user": "bob", "payload": 1, "message_id": ack["data"]["message_id"]});
    alice.expect_exactly(&[json!(["DirectMessage", message])]).await;
    alice.disconnect().await;
    bob.close().await;
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn a_suspended_session_is_no_recipient() {
    let hub = hub("");
    let mut alice = RecoveryClient::of(&hub, SioTransport::WebSocket, "alice").await;
    alice.sio.join("one").await;
    let other = RecoveryClient::of(&hub, SioTransport::Polling, "alice").await;
    let saved = alice.suspend(&hub, SioTransport::WebSocket).await;
    let answer =
        post(&hub, "/api/push", &json!({"userId": "alice", "event": "to-user", "data": {"n": 1, "to": "alice"}}));
    assert_eq!((&answer["recipients"], &answer["delivered"]), (&json!(1), &json!(true)), "{answer}");
    let answer = post(&hub, "/api/room", &json!({"room": "one", "event": "to-room", "data": {"n": 1, "in": "one"}}));
    assert_eq!((&answer["recipients"], &answer["delivered"]), (&json!(0), &json!(false)), "{answer}");
    let last = to_user(&hub, "alice", 2);
    let mut alice = saved.resume(&hub, SioTransport::WebSocket).await;
    let (user, room) = (json!(["to-user", {"n": 1, "to": "alice"}]), json!(["to-room", {"n": 1, "in": "one"}]));
    alice.expect_exactly(&[user, room, last]).await;
    for client in [alice, other] {
        client.disconnect().await;
    }
    wait_until_empty(&hub).await;
}
