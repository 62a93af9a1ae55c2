//! Replies and refusals on all surfaces.

use super::*;

#[actix::test]
async fn on_the_raw_surface_other_replies_answer_only_requests_with_an_id() {
    let hub = TestHub::start(GRACE_MS);
    let client = hub.client(Surface::Raw, "alice").await;
    client.ask("room:join", r#"{"room":"lobby"}"#, Some("1")).await;
    client.ask("room:join", r#"{"room":"lobby"}"#, None).await;
    client.ask("ping", "{}", None).await;
    client.ask("ping", "{}", Some("2")).await;
    client.ask("room:leave", r#"{"room":"lobby"}"#, Some("3")).await;
    client.ask("room:leave", r#"{"room":"lobby"}"#, None).await;
    client.ask("register", r#"{"userId":"bob"}"#, None).await;
    client.ask("Ping", r#"{"timestamp":1}"#, Some("4")).await;
    assert_eq!(
        client.receive().await,
        [
            r#"#1: {"success":true,"room":"lobby"}"#,
            "#2: done",
            r#"#3: {"success":true,"room":"lobby"}"#,
            "refused register: FORBIDDEN",
            r#"Pong {"timestamp":1} #4"#,
        ]
    );
}

#[actix::test]
async fn a_reply_on_a_namespace_is_an_event_and_an_acknowledgement_if_requested() {
    let hub = TestHub::start(GRACE_MS);
    let client = hub.client(Surface::Root, "42").await;
    client.ask("register", r#"{"userId":42}"#, None).await;
    client.ask("room:join", r#"{"room":"lobby"}"#, Some("0")).await;
    client.ask("ping", r#"{"timestamp":1}"#, Some("1")).await;
    client.ask("Broadcast", r#"{"topic":"lobby","payload":1}"#, None).await;
    client.ask("ping", "{}", None).await;
    let [registered, joined, acknowledged, pinged, limited] = client.receive().await;
    assert_eq!(registered, r#"register:ack {"success":true,"userId":"42"}"#);
    assert_eq!(joined, r#"room:join:ack {"success":true,"room":"lobby"} #0"#);
    assert_eq!(acknowledged, r#"#0: {"success":true,"room":"lobby"}"#);
    assert_eq!(pinged, "#1: done");
    assert_eq!(
        limited, "refused ping: RATE_LIMITED",
        "the fifth message of a push client; the publish was not acknowledged"
    );
}

#[actix::test]
async fn a_refused_join_contains_its_room_and_all_surfaces_have_the_limit_of_rooms() {
    let hub = TestHub::start(GRACE_MS);
    let client = hub.client(Surface::Raw, "alice").await;
    for room in ["a", "b", "c", "$all", "user:bob"] {
        client.ask("room:join", &format!(r#"{{"room":"{room}"}}"#), Some("1")).await;
    }
    client.ask("room:join", r#"{"room":""}"#, None).await;
    client.ask("room:join", "{}", None).await;
    client.ask("room:leave", r#"{"room":"user:alice"}"#, Some("2")).await;
    assert_eq!(
        client.receive().await,
        [
            r#"#1: {"success":true,"room":"a"}"#,
            r#"#1: {"success":true,"room":"b"}"#,
            "refused c: LIMIT_REACHED #1",
            "refused $all: FORBIDDEN #1",
            "refused user:bob: FORBIDDEN #1",
            "refused : INVALID_REQUEST",
            "refused room:join: INVALID_REQUEST",
            r#"#2: {"success":true,"room":"user:alice"}"#,
        ]
    );
    let alice = PublishTarget::User(UserId::parse("alice", "user").unwrap());
    assert_eq!(hub.publish(alice, "still").await, 1, "a session never leaves the room of its user");
}

#[actix::test]
async fn members_on_all_surfaces_receive_broadcasts() {
    let hub = TestHub::start(GRACE_MS);
    let (raw, root) = (hub.client(Surface::Raw, "alice").await, hub.client(Surface::Root, "bob").await);
    let chat = hub.client(Surface::Chat, "carol").await;
    raw.ask("Subscribe", r#"{"topics":["lobby"]}"#, None).await;
    root.ask("room:join", r#"{"room":"lobby"}"#, None).await;
    let ([_], [_]) = (raw.receive().await, root.receive().await);
    for (sender, members) in [(&raw, vec![&root]), (&root, vec![&raw]), (&chat, vec![&raw, &root])] {
        sender.ask("Broadcast", r#"{"topic":"lobby","payload":[1]}"#, Some("7")).await;
        for member in members {
            let [line] = member.receive().await;
            assert!(line.starts_with(r#"Broadcast {"topic":"lobby","payload":[1],"from_user":"#), "{line}");
        }
        let [acknowledged] = sender.receive().await;
        let ack = if std::ptr::eq(sender, &raw) { "Ack {" } else { "#7: {" };
        assert!(acknowledged.starts_with(ack), "{acknowledged}");
    }
}

#[actix::test]
async fn a_member_leaves_a_chat_that_becomes_private_and_gets_a_notice() {
    let hub = TestHub::start(GRACE_MS);
    let chat = Chat::new(ChatId::parse("c", "id").unwrap(), String::new(), String::new(), 0).unwrap();
    hub.put_chat(Chat { public: true, ..chat.clone() }).await.unwrap();
    let client = hub.client(Surface::Root, "alice").await;
    client.ask("room:join", r#"{"room":"chat:c"}"#, None).await;
    let [joined, update] = client.receive().await;
    assert_eq!(joined, r#"room:join:ack {"success":true,"room":"chat:c"}"#);
    assert!(update.starts_with(r#"room:online-update {"chatId":"c","onlineUsers":[{"userId":"alice""#), "{update}");
    hub.put_chat(Chat { public: false, ..chat }).await.unwrap();
    assert_eq!(client.receive().await, [r#"room:leave:ack {"success":true,"room":"chat:c"}"#]);
}

#[actix::test]
async fn a_session_renews_its_token_and_refuses_the_token_of_another_user() {
    let hub = TestHub::start(GRACE_MS);
    let client = hub.client(Surface::Root, "alice").await;
    client.ask("authenticate", r#"{"token":"bob"}"#, None).await;
    client.ask("authenticate", r#"{"token":"alice"}"#, None).await;
    let [refused, renewed] = client.receive().await;
    assert_eq!(refused, "refused authenticate: FORBIDDEN");
    assert!(renewed.starts_with(r#"authenticated {"user":{"id":"alice""#), "{renewed}");
    assert_eq!((hub.sessions_of("alice"), hub.sessions_of("bob")), (1, 0));
}
