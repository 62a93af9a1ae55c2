//! Publishes that their clients name: whoever of the user's sessions sends one again gets the first answer again.

use super::*;
use crate::idempotency::KEPT_MS;

fn bench() -> TestHub {
    TestHub::with(LONG, None, |settings| {
        settings.messages_per_minute = MessagesPerMinute::default();
        settings.chat_per_minute = ChatPerMinute { messages: 0, typing: 0 };
    })
}

const HELLO: &str = r#"{"topic":"lobby","payload":{"a":1},"client_id":"one"}"#;

/// The id and the recipients that an answer says.
fn acknowledged(line: &str) -> String {
    let (_, data) = line.split_once('{').unwrap_or_else(|| panic!("{line}"));
    let (data, _) = data.split_once('}').unwrap();
    assert!(data.contains("message_id"), "{line}");
    // `/chat` says besides that it succeeded.
    data.replacen("\"success\":true,", "", 1)
}

impl TestClient {
    /// The first line with `text`, once it is there; what came before it is let go.
    async fn line_with(&self, text: &str) -> String {
        let heard = async {
            loop {
                if let Some(line) = self.take().into_iter().find(|line| line.contains(text)) {
                    return line;
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(DEADLINE, heard).await.unwrap_or_else(|_| panic!("waited for {text}"))
    }

    async fn answer(&self, event: &str, data: &str) -> String {
        self.ask(event, data, Some("1")).await;
        self.line_with("#1").await
    }
}

impl TestHub {
    /// How often something was published.
    fn published(&self) -> u64 {
        self.hub.stats().published.get()
    }
}

#[actix::test]
async fn a_named_publish_is_delivered_once_whichever_session_of_the_user_repeats_it() {
    let bench = bench();
    let raw = bench.client(Surface::Raw, "alice").await;
    let first = acknowledged(&raw.answer("Broadcast", HELLO).await);
    assert_eq!(bench.published(), 1);
    for surface in [Surface::Raw, Surface::Root, Surface::Chat] {
        let other = bench.client(surface, "alice").await;
        // Written in another way, it is the same.
        let spaced = HELLO.replace(':', " : ");
        for data in [HELLO, &spaced] {
            assert_eq!(acknowledged(&other.answer("Broadcast", data).await), first);
        }
    }
    assert_eq!(bench.published(), 1);
    bench.hub.clock().advance(KEPT_MS);
    assert_ne!(acknowledged(&raw.answer("Broadcast", HELLO).await), first);
    assert_eq!(bench.published(), 2);
}

#[actix::test]
async fn a_repetition_waits_for_the_first_that_is_under_way() {
    let bench = bench();
    let (one, other) = (bench.client(Surface::Raw, "alice").await, bench.client(Surface::Raw, "alice").await);
    one.ask("Broadcast", HELLO, Some("1")).await;
    other.ask("Broadcast", HELLO, Some("1")).await;
    let answers = [one.line_with("#1").await, other.line_with("#1").await];
    assert_eq!(acknowledged(&answers[0]), acknowledged(&answers[1]));
    assert_eq!(bench.published(), 1);
}

#[actix::test]
async fn a_name_stands_for_one_publish_of_one_user() {
    let bench = bench();
    let alice = bench.client(Surface::Raw, "alice").await;
    let first = acknowledged(&alice.answer("Broadcast", HELLO).await);
    for (event, data) in [
        ("Broadcast", r#"{"topic":"lobby","payload":{"a":2},"client_id":"one"}"#),
        ("Broadcast", r#"{"topic":"other","payload":{"a":1},"client_id":"one"}"#),
        ("DirectMessage", r#"{"target_user":"lobby","payload":{"a":1},"client_id":"one"}"#),
    ] {
        assert_eq!(alice.answer(event, data).await, format!("refused {event}: CONFLICT #1"), "{data}");
    }
    let bob = bench.client(Surface::Raw, "bob").await;
    assert_ne!(acknowledged(&bob.answer("Broadcast", HELLO).await), first);
    for client_id in [r#""""#, "1", "null", &format!(r#""{}""#, "x".repeat(65))] {
        let data = format!(r#"{{"topic":"lobby","payload":1,"client_id":{client_id}}}"#);
        assert_eq!(alice.answer("Broadcast", &data).await, "refused Broadcast: INVALID_REQUEST #1", "{client_id}");
    }
}

#[actix::test]
async fn a_refused_publish_frees_its_name() {
    let bench = bench();
    let alice = bench.client(Surface::Raw, "alice").await;
    let hello = r#"{"target_user":"bob","payload":1,"client_id":"one"}"#;
    assert_eq!(alice.answer("DirectMessage", hello).await, "refused DirectMessage: NOT_FOUND #1");
    assert_eq!(
        alice.answer("Broadcast", r#"{"topic":"user:bob","payload":1,"client_id":"one"}"#).await,
        "refused Broadcast: FORBIDDEN #1"
    );
    let bob = bench.client(Surface::Raw, "bob").await;
    let first = acknowledged(&alice.answer("DirectMessage", hello).await);
    bob.line_with("DirectMessage").await;
    // The answer is the first one's, also when the user has left.
    drop(bob);
    assert_eq!(acknowledged(&alice.answer("DirectMessage", hello).await), first);
}

#[actix::test]
async fn a_named_publish_is_known_also_when_its_session_ended_before_the_answer() {
    let bench = bench();
    let alice = bench.client(Surface::Raw, "alice").await;
    alice.ask("Broadcast", HELLO, Some("1")).await;
    let published = async {
        while bench.published() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, published).await.unwrap();
    drop(alice);
    let back = bench.client(Surface::Raw, "alice").await;
    acknowledged(&back.answer("Broadcast", HELLO).await);
    assert_eq!(bench.published(), 1);
}

#[actix::test]
async fn a_named_chat_message_is_kept_once() {
    let bench = bench();
    let general = Chat::new(ChatId::parse("general", "id").unwrap(), String::new(), String::new(), 0).unwrap();
    bench.hub.put_chat(Chat { public: true, ..general }).await.unwrap();
    let hello = r#"{"chatId":"general","content":"hello","client_id":"one"}"#;
    let alice = bench.client(Surface::Raw, "alice").await;
    assert_eq!(alice.answer("message:send", hello).await, "refused message:send: FORBIDDEN #1");
    alice.answer("join:chat", r#"{"chatId":"general"}"#).await;
    let first = alice.answer("message:send", hello).await;
    assert!(first.contains(r#""content":"hello""#), "{first}");
    // In no chat, it asks for what it was told before.
    let back = bench.client(Surface::Chat, "alice").await;
    assert_eq!(back.answer("message:send", hello).await, first);
    let other = r#"{"chatId":"general","content":"hello!","client_id":"one"}"#;
    assert_eq!(alice.answer("message:send", other).await, "refused message:send: CONFLICT #1");
    assert_eq!(bench.hub.store().message_counts().await.unwrap().0, 1);
}
