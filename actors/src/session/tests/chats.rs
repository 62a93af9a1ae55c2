//! Chats: a session's limits and token apply to them, and a busy hub recovers their messages.

use super::*;

async fn create_chat(hub: &TestHub, id: &str) {
    let chat = Chat::new(ChatId::parse(id, "id").unwrap(), String::new(), String::new(), 0).unwrap();
    hub.put_chat(Chat { public: true, ..chat }).await.unwrap();
}

/// The lines up to the one that begins with this.
async fn lines_until(client: &TestClient, beginning: &str) -> Vec<String> {
    client.receive_until(|line| line.starts_with(beginning)).await
}

#[actix::test]
async fn each_chat_of_a_subscription_after_the_first_counts_as_a_message() {
    let hub = TestHub::with(GRACE_MS, None, |settings| {
        settings.rooms_per_session = 100;
        settings.topics_per_request = 100;
        settings.messages_per_minute.raw = 5;
    });
    let ids: Vec<String> = (0..7).map(|number| format!("c{number}")).collect();
    for id in &ids {
        create_chat(&hub, id).await;
    }
    let client = hub.client(Surface::Raw, "alice").await;
    let topics: Vec<String> = ids.iter().map(|id| format!("chat:{id}")).collect();
    client.ask("Subscribe", &serde_json::json!({ "topics": topics }).to_string(), Some("1")).await;
    let lines = lines_until(&client, r#"Status {"status":"subscribed""#).await;
    let status = lines.iter().find(|line| line.starts_with("Status")).unwrap();
    let denied = r#""denied":[{"topic":"chat:c5","code":"RATE_LIMITED","details":{"retryAfter":60}},{"topic":"chat:c6","code":"RATE_LIMITED","details":{"retryAfter":60}}]"#;
    assert!(status.contains(denied), "{status}");
}

#[actix::test]
async fn a_user_without_access_does_not_create_a_chat() {
    let hub = TestHub::with(GRACE_MS, None, |settings| settings.auto_create_chats = true);
    let narrowed = Identity { subscribe: Some(vec![Pattern::new("news.*")]), ..identity("mallory") };
    let client = hub.open(Surface::Chat, AuthState::Known(Arc::new(narrowed))).await.unwrap();
    client.ask("join:chat", r#"{"chatId":"made"}"#, Some("1")).await;
    lines_until(&client, "refused join:chat: NOT_FOUND #1").await;
    assert!(!hub.chats().exists("made"));
}

#[actix::test]
async fn joins_on_all_sessions_of_a_user_create_at_most_the_limit_of_chats() {
    let hub = TestHub::with(GRACE_MS, None, |settings| {
        (settings.auto_create_chats, settings.chats_per_user, settings.rooms_per_session) = (true, 3, 100);
        settings.messages_per_minute.chat = 0;
    });
    let alice = [hub.client(Surface::Chat, "alice").await, hub.client(Surface::Chat, "alice").await];
    for (number, client) in alice.iter().enumerate() {
        for chat in 0..4 {
            client.ask("join:chat", &format!(r#"{{"chatId":"c{number}-{chat}"}}"#), Some("1")).await;
        }
    }
    let mut refused = 0;
    for client in &alice {
        client.ask("presence:stats", "{}", Some("2")).await;
        let lines = lines_until(client, "#2: ").await;
        refused += lines.iter().filter(|line| *line == "refused join:chat: LIMIT_REACHED #1").count();
    }
    assert_eq!((refused, hub.chats().count()), (5, 3));
    let made = (0..4).map(|chat| format!("c0-{chat}")).find(|chat| hub.chats().exists(chat)).unwrap();
    let join = format!(r#"{{"chatId":"{made}"}}"#);
    let bob = hub.client(Surface::Chat, "bob").await;
    bob.ask("join:chat", &join, Some("3")).await;
    bob.ask("join:chat", r#"{"chatId":"new"}"#, Some("4")).await;
    lines_until(&bob, "#4: ").await;
    hub.delete_chat(ChatId::parse(&made, "id").unwrap()).await.unwrap();
    alice[1].ask("join:chat", r#"{"chatId":"again"}"#, Some("5")).await;
    lines_until(&alice[1], "#5: ").await;
    assert_eq!(hub.chats().count(), 4);
}

#[actix::test]
async fn a_session_in_more_chats_than_a_mailbox_holds_is_recovered_completely() {
    let hub = TestHub::with(GRACE_MS, None, |settings| {
        settings.mailbox = 8;
        settings.rooms_per_session = 100;
        settings.messages_per_minute = MessagesPerMinute::default();
        settings.chat_per_minute = ChatPerMinute::default();
        settings.presence.audience = presence::PresenceAudience::Off;
    });
    let ids: Vec<String> = (0..20).map(|number| format!("c{number:02}")).collect();
    let join = |id: &str| serde_json::json!({ "chatId": id }).to_string();
    let (bob, alice) = (hub.client(Surface::Chat, "bob").await, hub.client(Surface::Chat, "alice").await);
    for id in &ids {
        create_chat(&hub, id).await;
        for client in [&bob, &alice] {
            client.ask("join:chat", &join(id), Some("1")).await;
            lines_until(client, "#1").await;
        }
    }
    bob.ask("connection:create-session", "{}", Some("2")).await;
    let lines = lines_until(&bob, "#2").await;
    let token = lines.iter().find_map(|line| line.split(r#""recoveryToken":""#).nth(1)).unwrap()[..64].to_owned();
    drop(bob);
    wait_until(|| hub.stats().suspended.get() == 1).await;
    for id in &ids {
        let message = serde_json::json!({ "chatId": id, "content": "x" }).to_string();
        alice.ask("message:send", &message, Some("3")).await;
        lines_until(&alice, "#3").await;
    }
    let bob = hub.client(Surface::Chat, "bob").await;
    bob.ask("connection:recover", &serde_json::json!({ "recoveryToken": token }).to_string(), Some("4")).await;
    let lines = lines_until(&bob, "#4").await;
    let recovered = lines.iter().find(|line| line.starts_with("connection:recovered")).unwrap();
    assert!(recovered.ends_with(r#""queuedMessages":20}"#), "{recovered}");
    assert!(ids.iter().all(|id| recovered.contains(id.as_str())), "{recovered}");
}

#[actix::test]
async fn a_recovery_token_follows_the_messages_that_it_does_not_cover() {
    let hub = TestHub::start(GRACE_MS);
    let alice = hub.client(Surface::Chat, "alice").await;
    create_chat(&hub, "c").await;
    alice.ask("join:chat", r#"{"chatId":"c"}"#, Some("1")).await;
    lines_until(&alice, "#1: ").await;
    alice.ask("connection:create-session", "{}", Some("2")).await;
    // It reaches the chat before the session asks for the token.
    let event = Event { name: EventName::of_hub("early"), topic: None, data: "1".into(), timestamp: 0, offset: None };
    drop(hub.inner.rooms().publish(RoomName::parse("chat:c", "room").unwrap(), event, None));
    let lines = lines_until(&alice, "#2: ").await;
    let at = |beginning: &str| lines.iter().position(|line| line.starts_with(beginning));
    assert!(at("early").is_some_and(|early| early < at("connection:recovery-token").unwrap()), "{lines:?}");
}
