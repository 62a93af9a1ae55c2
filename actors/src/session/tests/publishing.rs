//! The claim `topics.publish` of a token applies to every event that writes to others.

use bytes::Bytes;

use super::*;
use crate::events::Writes;
use crate::events::table::CLIENT;

/// A hub without rate limits.
fn start_hub() -> TestHub {
    TestHub::with(GRACE_MS, None, |settings| {
        settings.messages_per_minute = MessagesPerMinute::default();
        settings.chat_per_minute = ChatPerMinute { messages: 0, typing: 0 };
        settings.notifications_per_minute = 0;
        settings.typing_per_minute = 0;
    })
}

/// Valid data of each event that writes to others.
pub(super) fn data(event: &str) -> &'static str {
    match event {
        "Broadcast" => r#"{"topic":"news.sport","payload":1}"#,
        "DirectMessage" => r#"{"target_user":"bob","payload":1}"#,
        "typing_start" | "typing_stop" => r#"{"thread_id":7}"#,
        "client:event" => r#"{"type":"e","data":1}"#,
        "client:message" => r#"{"content":"m"}"#,
        "client:action" => r#"{"action":"echo"}"#,
        "message:send" => r#"{"chatId":"general","content":"hello"}"#,
        "message:typing" => r#"{"chatId":"general","isTyping":true}"#,
        "message:delivered" | "message:read" => r#"{"chatId":"general","messageId":"m"}"#,
        "presence:update-status" => r#"{"status":"away"}"#,
        // An event that writes to others needs a row above if it has required fields.
        _ => "{}",
    }
}

impl TestHub {
    /// The reply to `event` in a session with the publish claim `topics`.
    async fn answer(&self, surface: Surface, topics: &[&str], event: &str) -> String {
        let publish = Some(topics.iter().map(|topic| Pattern::new(*topic)).collect());
        let identity = Identity { publish, ..identity("alice") };
        let client = self.open(surface, AuthState::Known(Arc::new(identity))).await.unwrap();
        client.receive_greeting(surface).await;
        client.ask(event, data(event), Some("1")).await;
        client.line_with("#1").await
    }
}

#[actix::test]
async fn a_token_that_may_publish_nothing_sends_no_event_that_writes_to_others() {
    let hub = start_hub();
    for row in CLIENT {
        for &surface in row.on {
            let answer = hub.answer(surface, &[], row.name).await;
            let is_refused = answer.starts_with("refused") && answer.contains("FORBIDDEN");
            assert_eq!(is_refused, row.writes != Writes::Nothing, "{} on {surface:?}: {answer}", row.name);
        }
    }
}

#[actix::test]
async fn each_event_is_matched_against_the_topic_that_it_writes_to() {
    let hub = start_hub();
    let topics = ["news.*", "user:bob", "thread:7", "chat:general"];
    for row in CLIENT.iter().filter(|row| row.writes != Writes::Nothing) {
        let own = match row.writes {
            Writes::Topic => "news.*",
            Writes::User => "user:bob",
            Writes::Thread => "thread:7",
            Writes::Chat => "chat:general",
            Writes::Any | Writes::Nothing => "elsewhere",
        };
        let is_refused = |answer: &str| answer.contains("FORBIDDEN");
        // The session is in no chat. An allowed write is refused for that reason only.
        let allowed = hub.answer(row.on[0], &[own], row.name).await;
        assert!(!is_refused(&allowed), "{} by `{own}`: {allowed}", row.name);
        for other in topics.into_iter().filter(|topic| *topic != own && row.writes != Writes::Any) {
            let answer = hub.answer(row.on[0], &[other], row.name).await;
            assert!(is_refused(&answer), "{} by `{other}`: {answer}", row.name);
        }
    }
}

#[actix::test]
async fn a_publish_has_an_unknown_outcome_if_its_room_panics() {
    let hub = start_hub();
    let alice = hub.client(Surface::Raw, "alice").await;
    hub.rooms().panic_room_actor();
    alice.ask("Broadcast", r#"{"topic":"news","payload":1}"#, Some("1")).await;
    assert_eq!(alice.receive().await, ["refused Broadcast: OUTCOME_UNKNOWN #1"]);
    let published = hub.inner.publish(PublishTarget::Everybody, EventName::of_hub("e"), Bytes::from_static(b"1")).await;
    assert_eq!(published.unwrap_err().code, Code::OutcomeUnknown);
}

#[actix::test]
async fn a_token_without_the_claim_may_publish() {
    let hub = start_hub();
    let alice = hub.client(Surface::Raw, "alice").await;
    let bob = hub.client(Surface::Raw, "bob").await;
    alice.ask("DirectMessage", r#"{"target_user":"bob","payload":1}"#, Some("1")).await;
    assert!(bob.receive::<1>().await[0].starts_with("DirectMessage"));
}
