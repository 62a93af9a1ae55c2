//! Publishing with a `client_id`: a repetition from any session of the user gets the first reply.

use super::*;
use crate::idempotency::KEPT_MS;

fn start_hub() -> TestHub {
    TestHub::with(GRACE_MS, None, |settings| {
        settings.messages_per_minute = MessagesPerMinute::default();
        settings.chat_per_minute = ChatPerMinute { messages: 0, typing: 0 };
    })
}

const HELLO: &str = r#"{"topic":"lobby","payload":{"a":1},"client_id":"one"}"#;

/// The message id and the recipients in a reply.
fn acknowledged(line: &str) -> String {
    let (_, data) = line.split_once('{').unwrap_or_else(|| panic!("{line}"));
    let (data, _) = data.split_once('}').unwrap();
    assert!(data.contains("message_id"), "{line}");
    // On `/chat` the reply has `success` too.
    data.replacen("\"success\":true,", "", 1)
}

impl TestClient {
    async fn answer(&self, event: &str, data: &str) -> String {
        self.ask(event, data, Some("1")).await;
        self.line_with("#1").await
    }
}

impl TestHub {
    /// The number of publications.
    fn published(&self) -> u64 {
        self.stats().published.get()
    }
}

#[actix::test]
async fn a_publish_with_a_client_id_is_delivered_once_when_any_session_of_the_user_repeats_it() {
    let hub = start_hub();
    let raw = hub.client(Surface::Raw, "alice").await;
    let first = acknowledged(&raw.answer("Broadcast", HELLO).await);
    assert_eq!(hub.published(), 1);
    for surface in [Surface::Raw, Surface::Root, Surface::Chat] {
        let other = hub.client(surface, "alice").await;
        // White space makes no difference.
        let spaced = HELLO.replace(':', " : ");
        for data in [HELLO, &spaced] {
            assert_eq!(acknowledged(&other.answer("Broadcast", data).await), first);
        }
    }
    assert_eq!(hub.published(), 1);
    hub.clock().advance(KEPT_MS);
    assert_ne!(acknowledged(&raw.answer("Broadcast", HELLO).await), first);
    assert_eq!(hub.published(), 2);
}

#[actix::test]
async fn a_repetition_waits_for_the_first_request() {
    let hub = start_hub();
    let (one, other) = (hub.client(Surface::Raw, "alice").await, hub.client(Surface::Raw, "alice").await);
    one.ask("Broadcast", HELLO, Some("1")).await;
    other.ask("Broadcast", HELLO, Some("1")).await;
    let answers = [one.line_with("#1").await, other.line_with("#1").await];
    assert_eq!(acknowledged(&answers[0]), acknowledged(&answers[1]));
    assert_eq!(hub.published(), 1);
}

#[actix::test]
async fn a_client_id_identifies_one_publish_of_one_user() {
    let hub = start_hub();
    let alice = hub.client(Surface::Raw, "alice").await;
    let first = acknowledged(&alice.answer("Broadcast", HELLO).await);
    for (event, data) in [
        ("Broadcast", r#"{"topic":"lobby","payload":{"a":2},"client_id":"one"}"#),
        ("Broadcast", r#"{"topic":"other","payload":{"a":1},"client_id":"one"}"#),
        ("DirectMessage", r#"{"target_user":"lobby","payload":{"a":1},"client_id":"one"}"#),
    ] {
        assert_eq!(alice.answer(event, data).await, format!("refused {event}: CONFLICT #1"), "{data}");
    }
    let bob = hub.client(Surface::Raw, "bob").await;
    assert_ne!(acknowledged(&bob.answer("Broadcast", HELLO).await), first);
    for client_id in [r#""""#, "1", "null", &format!(r#""{}""#, "x".repeat(65))] {
        let data = format!(r#"{{"topic":"lobby","payload":1,"client_id":{client_id}}}"#);
        assert_eq!(alice.answer("Broadcast", &data).await, "refused Broadcast: INVALID_REQUEST #1", "{client_id}");
    }
}

#[actix::test]
async fn a_refused_publish_frees_its_client_id() {
    let hub = start_hub();
    let alice = hub.client(Surface::Raw, "alice").await;
    let hello = r#"{"target_user":"bob","payload":1,"client_id":"one"}"#;
    assert_eq!(alice.answer("DirectMessage", hello).await, "refused DirectMessage: NOT_FOUND #1");
    assert_eq!(
        alice.answer("Broadcast", r#"{"topic":"user:bob","payload":1,"client_id":"one"}"#).await,
        "refused Broadcast: FORBIDDEN #1"
    );
    let bob = hub.client(Surface::Raw, "bob").await;
    let first = acknowledged(&alice.answer("DirectMessage", hello).await);
    bob.line_with("DirectMessage").await;
    // The repetition gets the first reply, though the user has left.
    drop(bob);
    assert_eq!(acknowledged(&alice.answer("DirectMessage", hello).await), first);
}

#[actix::test]
async fn the_result_of_a_publish_is_stored_though_its_session_ends_before_the_reply() {
    let hub = start_hub();
    let alice = hub.client(Surface::Raw, "alice").await;
    alice.ask("Broadcast", HELLO, Some("1")).await;
    wait_until(|| hub.published() > 0).await;
    drop(alice);
    let back = hub.client(Surface::Raw, "alice").await;
    acknowledged(&back.answer("Broadcast", HELLO).await);
    assert_eq!(hub.published(), 1);
}

#[actix::test]
async fn a_chat_message_with_a_client_id_is_stored_once() {
    let hub = start_hub();
    let general = Chat::new(ChatId::parse("general", "id").unwrap(), String::new(), String::new(), 0).unwrap();
    hub.put_chat(Chat { public: true, ..general }).await.unwrap();
    let hello = r#"{"chatId":"general","content":"hello","client_id":"one"}"#;
    let alice = hub.client(Surface::Raw, "alice").await;
    assert_eq!(alice.answer("message:send", hello).await, "refused message:send: FORBIDDEN #1");
    alice.answer("join:chat", r#"{"chatId":"general"}"#).await;
    let first = alice.answer("message:send", hello).await;
    assert!(first.contains(r#""content":"hello""#), "{first}");
    // A session in no chat gets the first reply too.
    let back = hub.client(Surface::Chat, "alice").await;
    assert_eq!(back.answer("message:send", hello).await, first);
    let other = r#"{"chatId":"general","content":"hello!","client_id":"one"}"#;
    assert_eq!(alice.answer("message:send", other).await, "refused message:send: CONFLICT #1");
    assert_eq!(hub.store().message_counts().await.unwrap().0, 1);
}
