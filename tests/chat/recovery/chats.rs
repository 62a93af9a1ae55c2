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

#[tokio::test]
async fn a_chat_that_was_closed_to_the_user_and_opened_again_is_not_recovered() {
    let hub = hub("");
    for transport in [ChatTransport::WebSocket, ChatTransport::Raw] {
        put_private(&hub, "team", &["alice", "bob"]);
        let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
        let (mut alice, token) = in_chat(&hub, transport, "alice", CHAT).await;
        for chat in [CHAT, "team"] {
            bob.join(chat).await;
        }
        alice.join("team").await;
        alice.reset();
        wait_until_suspended(&hub, 1).await;
        bob.send_message("team", "before").await;
        put_private(&hub, "team", &["bob"]);
        bob.send_message("team", "while it was closed").await;
        put_private(&hub, "team", &["alice", "bob"]);
        bob.send_message("team", "after").await;
        bob.send_message(CHAT, "missed").await;
        assert_eq!(queued(&mut bob).await, 1);
        let mut alice = ChatClient::of(&hub, transport, "alice").await;
        let recovered = recover(&mut alice, &token).await;
        assert_eq!((recovered.contents(), recovered.dropped), (vec!["missed"], None));
        assert_eq!(recovered.session["rooms"], json!([CHAT]));
        assert_eq!(sessions(&hub, "team"), json!({"bob": 1}));
        bob.send_message("team", "not for alice").await;
        assert_eq!(contents(&received_by(&hub, "team", [&mut alice]).await[0]), Vec::<&str>::new());
        alice.join("team").await;
        bob.send_message("team", "live").await;
        assert_eq!(contents(&received_by(&hub, "team", [&mut alice]).await[0]), ["live"]);
        end_all(&hub, &["alice", "bob"]).await;
    }
}

#[tokio::test]
async fn a_message_of_the_session_itself_is_recovered() {
    let hub = hub("");
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (mut alice, token) = in_chat(&hub, ChatTransport::Polling, "alice", CHAT).await;
    // She is cut before a poll fetches it.
    alice.send_request("message:send", json!({"chatId": CHAT, "content": "own"})).await;
    while bob.event().await[0] != "message:new" {}
    alice.stop_polling();
    bob.send_message(CHAT, "missed").await;
    let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    let recovered = recover(&mut alice, &token).await;
    assert_eq!((recovered.contents(), recovered.dropped), (vec!["own", "missed"], None));
    assert_eq!(recovered.messages[0]["userId"], "alice");
    end_all(&hub, &["alice", "bob"]).await;
}

#[tokio::test]
async fn a_busy_chat_does_not_cost_a_session_in_a_quiet_chat_its_messages() {
    const BUSY: usize = 200;
    let hub = hub("[recovery]\nqueue = 20\n");
    put(&hub, "busy", &json!({"public": true}));
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    for chat in [CHAT, "busy"] {
        bob.join(chat).await;
    }
    for transport in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let mut tokens = Vec::new();
        for (user, chats) in [("alice", vec![CHAT]), ("carol", vec!["busy"]), ("dave", vec!["busy", CHAT])] {
            let (mut client, token) = in_chat(&hub, transport, user, chats[0]).await;
            for chat in &chats[1..] {
                client.join(chat).await;
            }
            client.reset();
            tokens.push((user, token));
        }
        wait_until_suspended(&hub, 3).await;
        bob.send_message(CHAT, "first").await;
        for n in 0..BUSY {
            bob.send_message("busy", &n.to_string()).await;
        }
        bob.send_message(CHAT, "second").await;
        bob.take_events();
        assert_eq!(queued(&mut bob).await, 22);
        let newest = |count: usize| (BUSY - count..BUSY).map(|n| n.to_string()).collect::<Vec<_>>();
        for (user, token) in &tokens {
            let mut client = ChatClient::of(&hub, transport, user).await;
            let recovered = recover(&mut client, token).await;
            let expected = match *user {
                "alice" => (vec!["first".to_owned(), "second".to_owned()], None),
                "carol" => (newest(20), Some(BUSY as u64 - 20)),
                // The newest messages of both chats.
                _ => ([newest(19), vec!["second".to_owned()]].concat(), Some(BUSY as u64 + 2 - 20)),
            };
            let contents: Vec<_> = recovered.contents().into_iter().map(str::to_owned).collect();
            assert_eq!((contents, recovered.dropped), expected, "{user}");
            http(&hub, "POST", "/api/disconnect", &json!({ "userId": user }));
        }
        assert_eq!(queued(&mut bob).await, 0);
    }
    end_all(&hub, &["bob"]).await;
}

#[tokio::test]
async fn messages_that_the_bound_of_the_memory_evicted_count_as_dropped() {
    const SENT: usize = 20;
    const CAPACITY: usize = 8;
    // Its data, one encoded form, and an overhead.
    const WEIGHT: usize = 2 * 8_300 + 512;
    let hub = hub(&format!("[recovery]\nbytes = {}\n", CAPACITY * WEIGHT));
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    for transport in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let (alice, token) = in_chat(&hub, transport, "alice", CHAT).await;
        alice.reset();
        wait_until_suspended(&hub, 1).await;
        let sent: Vec<_> = (0..SENT).map(|n| format!("{n}: {}", "x".repeat(8_000))).collect();
        for content in &sent {
            bob.send_message(CHAT, content).await;
        }
        let kept = queued(&mut bob).await.as_u64().unwrap() as usize;
        assert!((CAPACITY..=CAPACITY + 2).contains(&kept), "{kept} are kept");
        let mut alice = ChatClient::of(&hub, transport, "alice").await;
        let recovered = recover(&mut alice, &token).await;
        assert_eq!(recovered.contents(), sent[SENT - kept..]);
        assert_eq!(recovered.dropped, Some((SENT - kept) as u64));
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "alice"}));
        settled(&hub, CHAT, json!({"bob": 1})).await;
        bob.take_events();
    }
    end_all(&hub, &["alice", "bob"]).await;
}
