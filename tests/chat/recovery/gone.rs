//! What became of the session and its chats meanwhile: joined again, left, closed to the user, ended.

use super::*;

#[tokio::test]
async fn who_joined_a_chat_again_before_it_recovers_misses_nothing_and_hears_nothing_twice() {
    for way in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let hub = hub(TWO_WORKERS);
        put(&hub, "other", &json!({"public": true}));
        let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
        for chat in [CHAT, "other"] {
            bob.join(chat).await;
        }
        let (mut old, token) = in_chat(&hub, way, "alice", CHAT).await;
        old.join("other").await;
        old.reset();
        parked(&hub, 1).await;
        bob.send_message(CHAT, "missed").await;
        bob.send_message("other", "missed elsewhere").await;
        let mut alice = ChatClient::of(&hub, way, "alice").await;
        alice.join(CHAT).await;
        bob.send_message(CHAT, "live").await;
        bob.send_message("other", "missed there, too").await;
        let [told] = received_by(&hub, CHAT, [&mut alice]).await;
        assert_eq!(contents(&told), ["live"]);
        let went_on = recover(&mut alice, &token).await;
        assert_eq!(went_on.contents(), ["missed", "missed elsewhere", "missed there, too"]);
        assert_eq!(went_on.session["rooms"], json!([CHAT, "other"]));
        bob.send_message(CHAT, "after").await;
        bob.send_message("other", "after").await;
        assert_eq!(contents(&received_by(&hub, CHAT, [&mut alice]).await[0]), ["after", "after"]);
        alice.disconnect().await;
        // That one may come back, too; its time has not passed.
        parked(&hub, 1).await;
        let mut again = ChatClient::of(&hub, way, "alice").await;
        recover(&mut again, &went_on.token()).await;
    }
}

#[tokio::test]
async fn who_joins_and_recovers_in_one_breath_misses_nothing_and_hears_nothing_twice() {
    let hub = hub(TWO_WORKERS);
    let mut talker = ChatClient::of(&hub, ChatTransport::WebSocket, "talker").await;
    talker.join(CHAT).await;
    for round in 0..10 {
        let way = if round % 2 == 0 { ChatTransport::WebSocket } else { ChatTransport::Raw };
        let (old, token) = in_chat(&hub, way, "alice", CHAT).await;
        old.reset();
        parked(&hub, 1).await;
        let expected: Vec<_> = (0..30).map(|n| format!("{round}-{n}")).collect();
        for content in &expected[..10] {
            talker.send_message(CHAT, content).await;
        }
        let talking = {
            let rest = expected[10..].to_vec();
            tokio::spawn(async move {
                for content in &rest {
                    talker.send_message(CHAT, content).await;
                }
                talker
            })
        };
        let mut alice = ChatClient::of(&hub, way, "alice").await;
        let joining = alice.send_request("join:chat", json!({"chatId": CHAT})).await;
        let recovering = alice.send_request("connection:recover", json!({"recoveryToken": token})).await;
        assert_eq!(alice.reply(joining).await["success"], true);
        let live_before = alice.take_events();
        let went_on = recovered(&mut alice, recovering).await;
        talker = talking.await.unwrap();
        let [live] = received_by(&hub, CHAT, [&mut alice]).await;
        let mut all = went_on.contents();
        all.extend(contents(&live_before));
        all.extend(contents(&live));
        let distinct: HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "something came twice: {all:?}");
        assert_eq!(all, expected, "of round {round}, {way:?}");
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "alice"}));
        talker.take_events();
    }
}

#[tokio::test]
async fn a_chat_that_was_closed_to_the_user_meanwhile_is_not_recovered() {
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
    parked(&hub, 1).await;
    for chat in ["team", "gone", CHAT] {
        bob.send_message(chat, &format!("{chat} before")).await;
    }
    put_private(&hub, "team", &["bob"]);
    http(&hub, "DELETE", "/api/chats/gone", &Value::Null);
    for chat in ["team", CHAT] {
        bob.send_message(chat, &format!("{chat} after")).await;
    }
    let mut alice = ChatClient::of(&hub, ChatTransport::Polling, "alice").await;
    let went_on = recover(&mut alice, &token).await;
    assert_eq!(went_on.contents(), ["general before", "general after"]);
    assert_eq!(went_on.session["rooms"], json!([CHAT]));
    bob.send_message("team", "not for her").await;
    bob.send_message(CHAT, "for her").await;
    let [told] = received_by(&hub, CHAT, [&mut alice]).await;
    assert_eq!(contents(&told), ["for her"]);
    let [told] = received_by(&hub, "team", [&mut bob]).await;
    assert!(told.contains(&room_left("gone", "Chat not found or access denied", 0)), "{told:?}");
    alice.disconnect().await;
    drop(bob);
    eventually(DEADLINE, "the connections are gone", || hub.connections() == 0).await;
    parked(&hub, 1).await;
}

#[tokio::test]
async fn a_session_that_the_application_ended_is_over() {
    let hub = hub("[recovery]\nwindow_secs = 600\n");
    for way in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let (mut alice, token) = in_chat(&hub, way, "alice", CHAT).await;
        let (bob, _) = in_chat(&hub, way, "bob", CHAT).await;
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "alice"}));
        alice.read_to_end().await;
        settled(&hub, CHAT, json!({"bob": 1})).await;
        let mut alice = ChatClient::of(&hub, way, "alice").await;
        let answer = alice.request("connection:recover", json!({ "recoveryToken": token })).await;
        assert_eq!(answer["code"], "NOT_FOUND", "{way:?}: {answer}");

        // Also one that was cut off when it was ended.
        alice.join(CHAT).await;
        let token = alice.recovery_token().await;
        alice.reset();
        parked(&hub, 1).await;
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "alice"}));
        let mut alice = ChatClient::of(&hub, way, "alice").await;
        let answer = alice.request("connection:recover", json!({ "recoveryToken": token })).await;
        assert_eq!(answer["code"], "NOT_FOUND", "{way:?}: {answer}");
        parked(&hub, 0).await;
        drop((alice, bob));
        eventually(DEADLINE, "the connections are gone", || hub.connections() == 0).await;
        // Bob's may come back; nobody ended that.
        parked(&hub, 1).await;
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "bob"}));
        assert_nothing_left(&hub).await;
    }
}

#[tokio::test]
async fn one_who_leaves_its_chats_first_has_nothing_queued() {
    let hub = hub(TWO_WORKERS);
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (mut alice, token) = in_chat(&hub, ChatTransport::Raw, "alice", CHAT).await;
    alice.request_ok("leave:chat", json!({"chatId": CHAT})).await;
    alice.reset();
    parked(&hub, 1).await;
    bob.send_message(CHAT, "not for her").await;
    assert_eq!(hub.metric("hubbub_parked_messages"), 0.0);
    let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    let went_on = recover(&mut alice, &token).await;
    assert_eq!((went_on.contents(), &went_on.session["rooms"]), (vec![], &json!([])));
    let typing = json!({"chatId": CHAT, "isTyping": true});
    assert_eq!(alice.request("message:typing", typing).await["message"], "User not in this room");
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
    parked(&hub, 1).await;
    let [told] = received_by(&hub, CHAT, [&mut bob]).await;
    let typing = |typing: bool| {
        json!(["user:typing", {"userId": "alice", "username": "alice", "chatId": CHAT,
                                                       "isTyping": typing, "timestamp": "T"}])
    };
    let gone = [user_left("alice", CHAT, 1), online_update(CHAT, &["bob"])];
    assert_eq!(told, [vec![typing(true), typing(false)], gone.to_vec()].concat());
    let mut alice = ChatClient::of(&hub, ChatTransport::Raw, "alice").await;
    recover(&mut alice, &token).await;
    let typing = bob.request("message:typing-users", json!({"chatId": CHAT})).await;
    assert_eq!(typing, json!({"success": true, "typingUsers": []}));
}

#[tokio::test]
async fn whoever_goes_without_a_token_leaves_nothing() {
    let hub = hub(TWO_WORKERS);
    for way in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let mut member = ChatClient::of(&hub, way, "alice").await;
        member.join(CHAT).await;
        member.send_message(CHAT, "hello").await;
        member.reset();
    }
    let mut member = ChatClient::of(&hub, ChatTransport::Polling, "alice").await;
    member.join(CHAT).await;
    member.disconnect().await;
    eventually(DEADLINE, "the session is gone", || hub.metric("hubbub_users") == 0.0).await;
    assert_eq!((hub.metric("hubbub_parked_sessions"), hub.metric("hubbub_rooms")), (0.0, 0.0));
}

#[tokio::test]
async fn what_is_asked_behind_a_recovery_is_answered_behind_it() {
    let hub = hub(TWO_WORKERS);
    let (old, token) = in_chat(&hub, ChatTransport::WebSocket, "alice", CHAT).await;
    let mut alice = ChatClient::of(&hub, ChatTransport::Raw, "alice").await;
    let recovering = alice.send_request("connection:recover", json!({"recoveryToken": token})).await;
    let sending = alice.send_request("message:send", json!({"chatId": CHAT, "content": "behind it"})).await;
    recovered(&mut alice, recovering).await;
    assert_eq!(alice.reply(sending).await["success"], true);
    assert_eq!(contents(&received_by(&hub, CHAT, [&mut alice]).await[0]), ["behind it"]);
    drop(old);
}
