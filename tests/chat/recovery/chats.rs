//! Chats and sessions that change between the cut and the return: joined again, left, closed to the user, ended.

use super::*;

#[tokio::test]
async fn a_client_that_joins_a_chat_before_it_recovers_receives_each_message_once() {
    for transport in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let hub = hub(TWO_WORKERS);
        put(&hub, "other", &json!({"public": true}));
        let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
        for chat in [CHAT, "other"] {
            bob.join(chat).await;
        }
        let (mut old, token) = in_chat(&hub, transport, "alice", CHAT).await;
        old.join("other").await;
        old.reset();
        wait_until_suspended(&hub, 1).await;
        bob.send_message(CHAT, "missed").await;
        bob.send_message("other", "missed elsewhere").await;
        let mut alice = ChatClient::of(&hub, transport, "alice").await;
        alice.join(CHAT).await;
        bob.send_message(CHAT, "live").await;
        bob.send_message("other", "missed there, too").await;
        let [received] = received_by(&hub, CHAT, [&mut alice]).await;
        assert_eq!(contents(&received), ["live"]);
        let recovered = recover(&mut alice, &token).await;
        assert_eq!(recovered.contents(), ["missed", "missed elsewhere", "missed there, too"]);
        assert_eq!(recovered.session["rooms"], json!([CHAT, "other"]));
        bob.send_message(CHAT, "after").await;
        bob.send_message("other", "after").await;
        assert_eq!(contents(&received_by(&hub, CHAT, [&mut alice]).await[0]), ["after", "after"]);
        alice.disconnect().await;
        // The session is suspended again, and can be recovered again.
        wait_until_suspended(&hub, 1).await;
        let mut again = ChatClient::of(&hub, transport, "alice").await;
        recover(&mut again, &recovered.token()).await;
    }
}

#[tokio::test]
async fn a_client_that_joins_and_recovers_at_once_receives_each_message_once() {
    let hub = hub(TWO_WORKERS);
    let mut sender = ChatClient::of(&hub, ChatTransport::WebSocket, "sender").await;
    sender.join(CHAT).await;
    for round in 0..10 {
        let transport = if round % 2 == 0 { ChatTransport::WebSocket } else { ChatTransport::Raw };
        let (old, token) = in_chat(&hub, transport, "alice", CHAT).await;
        old.reset();
        wait_until_suspended(&hub, 1).await;
        let expected: Vec<_> = (0..30).map(|n| format!("{round}-{n}")).collect();
        for content in &expected[..10] {
            sender.send_message(CHAT, content).await;
        }
        let sending_rest = {
            let rest = expected[10..].to_vec();
            tokio::spawn(async move {
                for content in &rest {
                    sender.send_message(CHAT, content).await;
                }
                sender
            })
        };
        let mut alice = ChatClient::of(&hub, transport, "alice").await;
        let joining = alice.send_request("join:chat", json!({"chatId": CHAT})).await;
        let recovering = alice.send_request("connection:recover", json!({"recoveryToken": token})).await;
        assert_eq!(alice.reply(joining).await["success"], true);
        let live_before = alice.take_events();
        let recovered = read_recovery(&mut alice, recovering).await;
        sender = sending_rest.await.unwrap();
        let [live] = received_by(&hub, CHAT, [&mut alice]).await;
        let mut all = recovered.contents();
        all.extend(contents(&live_before));
        all.extend(contents(&live));
        let distinct: HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "a message is repeated: {all:?}");
        assert_eq!(all, expected, "of round {round}, {transport:?}");
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "alice"}));
        sender.take_events();
    }
}

#[tokio::test]
async fn a_chat_that_was_closed_to_the_user_is_not_recovered() {
    let hub = hub("");
    for chat in ["team", "gone"] {
        put_private(&hub, chat, &["alice", "bob"]);
    }
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    let (mut alice, token) = in_chat(&hub, ChatTransport::WebSocket, "alice", CHAT).await;
    for chat in ["team", "gone", CHAT] {
        bob.join(chat).await;
        if chat != CHAT {
            alice.join(chat).await;
        }
    }
    alice.reset();
    wait_until_suspended(&hub, 1).await;
    for chat in ["team", "gone", CHAT] {
        bob.send_message(chat, &format!("{chat} before")).await;
    }
    put_private(&hub, "team", &["bob"]);
    http(&hub, "DELETE", "/api/chats/gone", &Value::Null);
    for chat in ["team", CHAT] {
        bob.send_message(chat, &format!("{chat} after")).await;
    }
    let mut alice = ChatClient::of(&hub, ChatTransport::Polling, "alice").await;
    let recovered = recover(&mut alice, &token).await;
    assert_eq!(recovered.contents(), ["general before", "general after"]);
    assert_eq!(recovered.session["rooms"], json!([CHAT]));
    bob.send_message("team", "not for alice").await;
    bob.send_message(CHAT, "for alice").await;
    let [received] = received_by(&hub, CHAT, [&mut alice]).await;
    assert_eq!(contents(&received), ["for alice"]);
    let [received] = received_by(&hub, "team", [&mut bob]).await;
    assert!(received.contains(&room_left("gone", "Chat not found or access denied", 0)), "{received:?}");
    alice.disconnect().await;
    drop(bob);
    eventually(DEADLINE, "the connections are gone", || hub.connections() == 0).await;
    wait_until_suspended(&hub, 1).await;
}

#[tokio::test]
async fn the_application_ends_the_sessions_of_one_user_alone() {
    let hub = hub("[recovery]\nwindow_secs = 600\n");
    for transport in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let (mut alice, _) = in_chat(&hub, transport, "alice", CHAT).await;
        let (bob, _) = in_chat(&hub, transport, "bob", CHAT).await;
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "alice"}));
        alice.read_to_end().await;
        settled(&hub, CHAT, json!({"bob": 1})).await;
        drop((alice, bob));
        eventually(DEADLINE, "no session is connected", || hub.connections() == 0).await;
        wait_until_suspended(&hub, 1).await;
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "bob"}));
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn typing_ends_with_the_connection_and_is_not_recovered() {
    let hub = hub("");
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (mut alice, token) = in_chat(&hub, ChatTransport::WebSocket, "alice", CHAT).await;
    received_by(&hub, CHAT, [&mut bob]).await;
    alice.request_ok("message:typing", json!({"chatId": CHAT, "isTyping": true})).await;
    alice.reset();
    wait_until_suspended(&hub, 1).await;
    let [received] = received_by(&hub, CHAT, [&mut bob]).await;
    let typing = |typing: bool| {
        json!(["user:typing", {"userId": "alice", "username": "alice", "chatId": CHAT,
                                                       "isTyping": typing, "timestamp": "T"}])
    };
    let left = [user_left("alice", CHAT, 1), online_update(CHAT, &["bob"])];
    assert_eq!(received, [vec![typing(true), typing(false)], left.to_vec()].concat());
    let mut alice = ChatClient::of(&hub, ChatTransport::Raw, "alice").await;
    recover(&mut alice, &token).await;
    let typing = bob.request("message:typing-users", json!({"chatId": CHAT})).await;
    assert_eq!(typing, json!({"success": true, "typingUsers": []}));
}

#[tokio::test]
async fn a_client_without_a_recovery_token_leaves_nothing_behind() {
    let hub = hub(TWO_WORKERS);
    for transport in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let mut client = ChatClient::of(&hub, transport, "alice").await;
        client.join(CHAT).await;
        client.send_message(CHAT, "hello").await;
        client.reset();
    }
    let mut client = ChatClient::of(&hub, ChatTransport::Polling, "alice").await;
    client.join(CHAT).await;
    client.disconnect().await;
    eventually(DEADLINE, "the session is gone", || hub.metric("hubbub_users") == 0.0).await;
    assert_eq!((hub.metric("hubbub_suspended_sessions"), hub.metric("hubbub_rooms")), (0.0, 0.0));
}

#[tokio::test]
async fn a_request_after_a_recovery_is_answered_after_it() {
    let hub = hub(TWO_WORKERS);
    let (old, token) = in_chat(&hub, ChatTransport::WebSocket, "alice", CHAT).await;
    let mut alice = ChatClient::of(&hub, ChatTransport::Raw, "alice").await;
    let recovering = alice.send_request("connection:recover", json!({"recoveryToken": token})).await;
    let sending = alice.send_request("message:send", json!({"chatId": CHAT, "content": "after it"})).await;
    read_recovery(&mut alice, recovering).await;
    assert_eq!(alice.reply(sending).await["success"], true);
    assert_eq!(contents(&received_by(&hub, CHAT, [&mut alice]).await[0]), ["after it"]);
    drop(old);
}
