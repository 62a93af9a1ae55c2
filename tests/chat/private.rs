//! Private chats: users without access cannot detect them, and members receive events about changes.

use serde_json::{Value, json};

use super::{contents, http, online_update, put, put_private, received_by, room_left, sessions, timeless, unlimited};
use super::{user_joined, user_left};
use crate::support::Hub;
use crate::support::chat_client::{ChatClient, ChatTransport};

const DENIED: &str = "Chat not found or access denied";

fn hub(more: &str) -> Hub {
    Hub::with(&unlimited(&format!("[server]\nworkers = 2\n[presence]\naudience = \"off\"\n{more}")))
}

/// Every request about a chat.
fn requests(chat: &str, message: &str) -> Vec<(&'static str, Value)> {
    let about = |more: Value| {
        let mut data = json!({ "chatId": chat });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    vec![
        ("room:info", about(json!({}))),
        ("room:online", about(json!({}))),
        ("leave:chat", about(json!({}))),
        ("message:send", about(json!({"content": "hello"}))),
        ("message:typing", about(json!({"isTyping": true}))),
        ("message:typing-users", about(json!({}))),
        ("message:history", about(json!({}))),
        ("message:delivered", about(json!({"messageId": message}))),
        ("message:read", about(json!({"messageId": message}))),
    ]
}

#[tokio::test]
async fn a_private_chat_looks_like_an_unknown_one_to_users_without_access() {
    let hub = hub("");
    put_private(&hub, "team", &["alice", "bob"]);
    let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    alice.join("team").await;
    let message = alice.send_message("team", "secret").await;
    let refused = json!({"success": false, "message": DENIED, "code": "NOT_FOUND"});
    for transport in [ChatTransport::WebSocket, ChatTransport::Polling] {
        let mut carol = ChatClient::of(&hub, transport, "carol").await;
        for chat in ["team", "nowhere"] {
            assert_eq!(carol.request("join:chat", json!({ "chatId": chat })).await, refused, "{chat}");
            for (event, data) in requests(chat, &message) {
                assert_eq!(carol.request(event, data).await, refused, "{event} in {chat}");
            }
        }
        let unknown = json!({"success": false, "message": "Message not found", "code": "NOT_FOUND"});
        for id in [message.as_str(), "no-message"] {
            assert_eq!(carol.request("message:delivery-status", json!({ "messageId": id })).await, unknown, "{id}");
        }
        let listed = carol.request("room:list", json!({})).await;
        let ids: Vec<_> = listed["rooms"].as_array().unwrap().iter().map(|room| &room["chatId"]).collect();
        assert_eq!(ids, ["general"]);
    }

    // A participant that has not joined may look, but not send.
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    let outside = json!({"success": false, "message": "User not in this room", "code": "FORBIDDEN"});
    for (event, data) in requests("team", &message) {
        let answer = bob.request(event, data).await;
        if event.starts_with("room:") {
            assert_eq!(answer["success"], true, "{event}: {answer}");
        } else {
            assert_eq!(answer, outside, "{event}");
        }
    }
    assert_eq!(bob.request("message:delivery-status", json!({ "messageId": message })).await, outside);
    // The members receive nothing of this.
    let [received] = received_by(&hub, "team", [&mut alice]).await;
    assert_eq!(received.iter().filter(|event| event[0] != "message:new").count(), 3, "{received:?}");
    assert_eq!(contents(&received), ["secret"]);
}

#[tokio::test]
async fn a_removed_participant_and_the_others_receive_events() {
    let hub = hub("");
    put_private(&hub, "team", &["alice", "bob", "carol"]);
    let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    let mut carol = ChatClient::of(&hub, ChatTransport::Polling, "carol").await;
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    let mut phone = ChatClient::of(&hub, ChatTransport::Raw, "bob").await;
    for member in [&mut alice, &mut carol, &mut bob, &mut phone] {
        member.join("team").await;
    }
    let typing = json!({"chatId": "team", "isTyping": true});
    bob.request_ok("message:typing", typing.clone()).await;
    received_by(&hub, "team", [&mut alice, &mut carol, &mut bob, &mut phone]).await;

    // No participant is removed: all members receive `room:info`.
    let changed = |name: &str, users: usize| {
        json!(["room:info", {"chatId": "team", "roomInfo": {
            "chatId": "team", "name": name, "description": "", "participantCount": users, "onlineCount": users,
            "isActive": true, "lastActivity": "T"}}])
    };
    put(&hub, "team", &json!({"name": "Renamed", "participants": ["alice", "bob", "carol", "dave"]}));
    let received = received_by(&hub, "team", [&mut alice, &mut carol, &mut bob, &mut phone]).await;
    assert_eq!(received, [const { Vec::new() }; 4].map(|_: Vec<Value>| vec![changed("Renamed", 3)]));

    put(&hub, "team", &json!({"name": "Smaller", "participants": ["alice", "carol"]}));
    let received = received_by(&hub, "team", [&mut alice, &mut carol, &mut bob, &mut phone]).await;
    let [to_alice, to_carol, to_bob, to_phone] = received;
    let stopped = json!(["user:typing", {"userId": "bob", "username": "bob", "chatId": "team", "isTyping": false,
                                         "timestamp": "T"}]);
    let mut both = online_update("team", &["alice", "carol"]);
    both[1]["count"] = json!(2);
    let gone = [stopped.clone(), user_left("bob", "team", 2), both, changed("Smaller", 2)];
    assert_eq!(to_alice, gone);
    assert_eq!(to_carol, gone);
    // Bob's sessions leave one after the other; the second one may receive that the first stopped typing.
    let own = |event: &&Value| **event != stopped;
    let to_bob: Vec<_> = to_bob.iter().filter(own).collect();
    let counts = [2, 3].map(|users| room_left("team", DENIED, users));
    assert!(to_bob.len() == 1 && counts.contains(to_bob[0]), "{to_bob:?}");
    let unsubscribed = json!(["Status", {"status": "unsubscribed", "details": {"topics": ["chat:team"]}}]);
    assert_eq!(to_phone.iter().filter(own).collect::<Vec<_>>(), [&unsubscribed]);
    assert_eq!(sessions(&hub, "team"), json!({"alice": 1, "carol": 1}));
    let refused = json!({"success": false, "message": DENIED, "code": "NOT_FOUND"});
    assert_eq!(bob.request("message:typing", typing).await, refused);
    assert_eq!(bob.request("join:chat", json!({"chatId": "team"})).await, refused);

    // Bob is a participant again.
    put(&hub, "team", &json!({"name": "Smaller", "participants": ["alice", "bob", "carol"]}));
    assert_eq!(bob.join("team").await, 3);
    let [to_alice] = received_by(&hub, "team", [&mut alice]).await;
    assert_eq!(to_alice[..2], [changed("Smaller", 2), user_joined("bob", "team", 3)]);
}

#[tokio::test]
async fn all_members_leave_a_deleted_chat_and_a_new_one_has_none_of_its_messages() {
    let hub = hub("");
    put_private(&hub, "team", &["alice", "bob", "carol"]);
    let mut members = Vec::new();
    for (transport, user) in
        [(ChatTransport::WebSocket, "alice"), (ChatTransport::Polling, "bob"), (ChatTransport::WebSocket, "carol")]
    {
        let mut member = ChatClient::of(&hub, transport, user).await;
        member.join("team").await;
        members.push(member);
    }
    let [alice, bob, carol] = &mut members[..] else { panic!("three members") };
    let message = alice.send_message("team", "lost").await;
    received_by(&hub, "team", [alice, bob, carol]).await;
    http(&hub, "DELETE", "/api/chats/team", &Value::Null);
    let received = received_by(&hub, "team", [alice, bob, carol]).await;
    let mut counts = Vec::new();
    for events in received {
        let (own, others): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| event[0] == "room:left");
        assert!(own.len() == 1 && own[0][1]["message"] == DENIED, "{own:?}");
        counts.push(own[0][1]["onlineCount"].as_u64().unwrap());
        // Sessions that leave later receive the leaves of the others.
        let is_leave = |event: &Value| event[0] == "user:left" || event[0] == "room:online-update";
        assert!(others.iter().all(is_leave), "{others:?}");
    }
    counts.sort_unstable();
    assert_eq!(counts, [0, 1, 2]);
    assert_eq!((sessions(&hub, "team"), hub.metric("hubbub_rooms")), (json!({}), 0.0));

    put_private(&hub, "team", &["alice"]);
    assert_eq!(alice.join("team").await, 1);
    let history = alice.request("message:history", json!({"chatId": "team"})).await;
    assert_eq!(history, json!({"success": true, "messages": [], "hasMore": false}));
    let gone = json!({"success": false, "message": "Message not found", "code": "NOT_FOUND"});
    assert_eq!(alice.request("message:delivery-status", json!({ "messageId": message })).await, gone);
    let confirm = json!({"chatId": "team", "messageId": message});
    assert_eq!(alice.request("message:read", confirm).await, gone);
}

#[tokio::test]
async fn with_auto_create_a_first_join_creates_the_chat() {
    let hub = hub("[chat]\nauto_create = true\n");
    put_private(&hub, "team", &["bob"]);
    let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    let mut bob = ChatClient::of(&hub, ChatTransport::Polling, "bob").await;
    // Two clients join at once, and the chat is created once. A later request of the same client waits for the join.
    let (first, second) = (alice.send_request("join:chat", json!({"chatId": "new"})).await, ("message:send", "hello"));
    let sent = alice.send_request(second.0, json!({"chatId": "new", "content": second.1})).await;
    assert_eq!(bob.request("join:chat", json!({"chatId": "new"})).await["success"], true);
    for number in [first, sent] {
        let answer = alice.reply(number).await;
        assert_eq!(answer["success"], true, "{answer}");
    }
    let mut chat = http(&hub, "GET", "/api/chats/new", &Value::Null)["chat"].take();
    chat["createdAt"].take();
    let expected = json!({"chatId": "new", "name": "new", "description": "", "public": true, "participants": [],
                          "createdAt": null});
    assert_eq!(chat, expected);
    let listed = timeless(alice.request("room:list", json!({})).await);
    let room = |id: &str, name: &str, users: usize| json!({"chatId": id, "name": name, "participantCount": users, "lastActivity": "T"});
    assert_eq!(listed, json!({"success": true, "rooms": [room("general", "General", 0), room("new", "new", 2)]}));
    // A private chat stays private, and an invalid id creates no chat.
    let refused = json!({"success": false, "message": DENIED, "code": "NOT_FOUND"});
    assert_eq!(alice.request("join:chat", json!({"chatId": "team"})).await, refused);
    for id in ["", "a\nb", &"x".repeat(196)] {
        let answer = alice.request("join:chat", json!({ "chatId": id })).await;
        assert_eq!(
            (&answer["message"], &answer["details"]["field"]),
            (&json!("Invalid request data"), &json!("chatId"))
        );
    }
    // Other requests create no chat.
    for (event, data) in requests("nowhere", "no-message") {
        assert_eq!(alice.request(event, data).await, refused, "{event}");
    }
    let hub = hub.restart();
    let mut alice = ChatClient::of(&hub, ChatTransport::Raw, "alice").await;
    assert_eq!(alice.join("new").await, 1);
    let history = alice.request("message:history", json!({"chatId": "new"})).await;
    assert_eq!(history["messages"][0]["content"], "hello", "{history}");
}
