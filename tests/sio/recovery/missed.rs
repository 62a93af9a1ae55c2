//! What a session gets of the events that it missed, and what it does not get.

use serde_json::{Value, json};

use super::{RecoveryClient, config, hub, many_to_room, post, to_room, to_user, wait_until_empty};
use crate::support::chat_client::{ChatClient, ChatTransport};
use crate::support::{DEADLINE, Hub, Sio, SioTransport, eventually};

/// Creates a public chat.
#[track_caller]
fn create_chat(hub: &Hub, id: &str) {
    let body = json!({"name": id, "public": true});
    let answer = hub.http().request("PUT", &format!("/api/chats/{id}")).key().json(&body).send();
    assert!(answer.status < 300, "{answer:?}");
}

/// Joins a chat on `/`, and drops the events about the join.
async fn join_chat(hub: &Hub, client: &mut RecoveryClient, id: &str) {
    let room = format!("chat:{id}");
    client.sio.emit("room:join", json!({ "room": room })).await;
    while client.event().await[0] != "room:join:ack" {}
    let last = to_room(hub, &room, 99);
    while client.event().await != last {}
}

#[tokio::test]
async fn a_session_does_not_get_its_own_publications_after_a_cut() {
    let hub = hub("");
    let mut bob = RecoveryClient::of(&hub, SioTransport::WebSocket, "bob").await;
    bob.sio.join("one").await;
    for transport in SioTransport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.sio.join("one").await;
        let received = to_room(&hub, "one", 0);
        for client in [&mut alice, &mut bob] {
            client.expect_exactly(std::slice::from_ref(&received)).await;
        }
        // The other members receive them, and the sender does not.
        let publish = |payload: u64| json!({"topic": "one", "payload": payload});
        alice.sio.request("Broadcast", publish(1)).await;
        alice.sio.request("typing_start", json!({"thread_id": 1})).await;
        assert_eq!(bob.event().await[1]["payload"], 1);
        let saved = alice.suspend(&hub, transport).await;
        bob.sio.request("Broadcast", publish(2)).await;
        let last = to_room(&hub, "one", 3);
        bob.expect_exactly(std::slice::from_ref(&last)).await;
        let mut alice = saved.resume(&hub, transport).await;
        let by_bob = alice.event().await;
        assert_eq!((&by_bob[0], &by_bob[1]["payload"]), (&json!("Broadcast"), &json!(2)), "{by_bob}");
        alice.expect_exactly(&[last]).await;
        alice.disconnect().await;
    }
    bob.disconnect().await;
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn a_session_gets_the_last_state_of_each_typist() {
    let hub = Hub::with_manual_clock(&config(""));
    create_chat(&hub, "c");
    let mut bob = Sio::of(&hub, SioTransport::WebSocket, "bob").await;
    let mut carol = Sio::of(&hub, SioTransport::WebSocket, "carol").await;
    let mut dave = ChatClient::of(&hub, ChatTransport::WebSocket, "dave").await;
    dave.join("c").await;
    let in_thread = |thread: u64| json!({ "thread_id": thread });
    let typing = |user: &str, thread: u64, typing: bool| json!(["user_typing", {"user_id": user, "name": user, "thread_id": thread, "typing": typing}]);
    let in_chat = |typing: bool| json!({"chatId": "c", "isTyping": typing});
    for transport in SioTransport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        join_chat(&hub, &mut alice, "c").await;
        for thread in ["thread:7", "thread:8"] {
            alice.sio.join(thread).await;
        }
        bob.request("typing_start", in_thread(7)).await;
        alice.expect_exactly(&[typing("bob", 7, true)]).await;
        let saved = alice.suspend(&hub, transport).await;
        for event in ["typing_stop", "typing_start", "typing_stop"] {
            bob.request(event, in_thread(7)).await;
        }
        carol.request("typing_start", in_thread(8)).await;
        for is_typing in [true, false, true] {
            dave.request_ok("message:typing", in_chat(is_typing)).await;
        }
        let missed = to_user(&hub, "alice", 1);
        let mut alice = saved.resume(&hub, transport).await;
        alice.expect(&[typing("bob", 7, false), typing("carol", 8, true)]).await;
        let by_dave = alice.event().await;
        assert_eq!((&by_dave[0], &by_dave[1]["userId"]), (&json!("user:typing"), &json!("dave")), "{by_dave}");
        assert_eq!(by_dave[1]["isTyping"], true, "{by_dave}");
        alice.expect(&[missed]).await;
        assert_eq!(alice.event().await[0], "room:online-update");
        alice.sio.expect_silence().await;
        alice.disconnect().await;
        carol.request("typing_stop", in_thread(8)).await;
        dave.request_ok("message:typing", in_chat(false)).await;
    }
}

/// The chat and the users of an update of the present users, in order.
fn users_online(event: &Value) -> (String, Vec<String>) {
    assert_eq!(event[0], "room:online-update", "{event}");
    let users =
        event[1]["onlineUsers"].as_array().unwrap().iter().map(|user| user["userId"].as_str().unwrap().to_owned());
    let mut users: Vec<_> = users.collect();
    users.sort_unstable();
    assert_eq!(event[1]["count"], users.len(), "{event}");
    (event[1]["chatId"].as_str().unwrap().to_owned(), users)
}

#[tokio::test]
async fn a_session_gets_the_present_users_of_its_chats_and_no_past_changes() {
    let hub = hub("");
    for chat in ["c", "d"] {
        create_chat(&hub, chat);
    }
    let in_room = |chat: &str, user: &str| {
        let answer = hub.http().request("GET", &format!("/api/rooms/chat:{chat}")).key().send().json();
        answer["members"].as_array().is_some_and(|members| members.iter().any(|member| member["userId"] == user))
    };
    for transport in SioTransport::BOTH {
        // Another session of alice stays in the chat `c`, so there she does not join anew.
        let mut phone = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
        phone.join("c").await;
        let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
        bob.join("d").await;
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        for chat in ["c", "d"] {
            join_chat(&hub, &mut alice, chat).await;
        }
        let saved = alice.suspend(&hub, transport).await;
        let mut missed = Vec::new();
        for (n, chat) in ["c", "d"].into_iter().enumerate() {
            let mut carol = ChatClient::of(&hub, ChatTransport::WebSocket, "carol").await;
            carol.join(chat).await;
            missed.push(to_room(&hub, &format!("chat:{chat}"), n));
            carol.disconnect().await;
            eventually(DEADLINE, "carol has left", || !in_room(chat, "carol")).await;
        }
        bob.join("c").await;
        let mut alice = saved.resume(&hub, transport).await;
        alice.expect(&missed).await;
        let mut updates = [alice.event().await, alice.event().await].map(|event| users_online(&event));
        updates.sort_unstable();
        let both = || vec!["alice".to_owned(), "bob".to_owned()];
        assert_eq!(updates, [("c".to_owned(), both()), ("d".to_owned(), both())]);
        // Bob has received the update of the chat that alice joined anew. No second one follows it.
        let is_last =
            |event: &Value| event[0] == "room:online-update" && event[1]["chatId"] == "d" && event[1]["count"] == 2;
        while !is_last(&bob.event().await) {}
        let last = to_room(&hub, "chat:d", 9);
        alice.expect_exactly(&[last]).await;
        alice.disconnect().await;
        for client in [phone, bob] {
            client.disconnect().await;
        }
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn a_busy_room_does_not_cost_a_session_in_a_quiet_room_its_recovery() {
    const BUSY: usize = 2_000;
    let hub = hub("recovery.queue = 20");
    for transport in SioTransport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.sio.join("quiet").await;
        let mut bob = RecoveryClient::of(&hub, SioTransport::WebSocket, "bob").await;
        bob.sio.join("busy").await;
        let (alice, bob) = (alice.suspend(&hub, transport).await, bob.suspend(&hub, SioTransport::WebSocket).await);
        let evicted = hub.metric("hubbub_recovery_evicted_total");
        let first = to_room(&hub, "quiet", 1);
        many_to_room(&hub, "busy", 0..BUSY, "x");
        let second = to_room(&hub, "quiet", 2);
        assert!(hub.metric("hubbub_recovery_evicted_total") - evicted >= (BUSY - 100) as f64);
        let mut alice = alice.resume(&hub, transport).await;
        alice.expect_exactly(&[first, second]).await;
        let bob = bob.fail_to_resume(&hub, SioTransport::WebSocket).await;
        for client in [alice, bob] {
            client.disconnect().await;
        }
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn a_session_in_a_busy_room_and_in_a_quiet_one_needs_both() {
    let hub = hub("recovery.queue = 20");
    let mut alice = RecoveryClient::of(&hub, SioTransport::WebSocket, "alice").await;
    for room in ["quiet", "busy"] {
        alice.sio.join(room).await;
    }
    let saved = alice.suspend(&hub, SioTransport::WebSocket).await;
    many_to_room(&hub, "busy", 0..21, "x");
    to_room(&hub, "quiet", 1);
    let mut alice = saved.fail_to_resume(&hub, SioTransport::WebSocket).await;
    alice.sio.expect_silence().await;
    alice.disconnect().await;
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn a_room_that_is_joined_again_is_replayed_from_the_second_join() {
    let hub = hub("");
    for transport in SioTransport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.sio.join("one").await;
        alice.sio.join("two").await;
        let received = to_room(&hub, "two", 0);
        alice.expect_exactly(&[received]).await;
        let left = json!({"success": true, "room": "one"});
        assert_eq!(alice.sio.emit_and_expect("room:leave:ack", "room:leave", json!({"room": "one"})).await, left);
        to_room(&hub, "one", 1);
        alice.sio.join("one").await;
        let saved = alice.suspend(&hub, transport).await;
        let missed = to_room(&hub, "one", 2);
        let mut alice = saved.resume(&hub, transport).await;
        alice.expect_exactly(&[missed]).await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn a_direct_message_and_a_message_to_all_are_replayed_in_one_order() {
    let hub = hub("");
    let mut bob = RecoveryClient::of(&hub, SioTransport::WebSocket, "bob").await;
    for transport in SioTransport::BOTH {
        let alice = RecoveryClient::of(&hub, transport, "alice").await;
        let saved = alice.suspend(&hub, transport).await;
        let mut expected = Vec::new();
        for n in 0..4 {
            let data = json!({ "n": n });
            if n % 2 == 0 {
                bob.sio.request("DirectMessage", json!({"target_user": "alice", "payload": data})).await;
                expected.push(("DirectMessage", n));
            } else {
                post(&hub, "/api/broadcast", &json!({"event": "to-all", "data": data}));
                bob.expect(&[json!(["to-all", data])]).await;
                expected.push(("to-all", n));
            }
        }
        let mut alice = saved.resume(&hub, transport).await;
        for (name, n) in expected {
            let event = alice.event().await;
            let data = if name == "to-all" { &event[1] } else { &event[1]["payload"] };
            assert_eq!((&event[0], &data["n"]), (&json!(name), &json!(n)), "{event}");
        }
        alice.sio.expect_silence().await;
        alice.disconnect().await;
    }
    bob.disconnect().await;
    wait_until_empty(&hub).await;
}
