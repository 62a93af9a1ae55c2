//! A join with `since`: missed messages follow the reply once, in order, before live messages.

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::events::json::parse;
use crate::events::raw::Subscribe;
use crate::hub::Part;
use crate::model::ids::RoomName;
use crate::rooms::rules::HistoryRule;

/// A hub with a history of `messages` messages a topic, except for topics that begin with `plain`.
fn start_hub(messages: usize, age_ms: Option<i64>) -> TestHub {
    TestHub::with(GRACE_MS, None, |settings| {
        let keeps = TopicRule { history: Some(HistoryRule { messages, age_ms }), ..settings.rules.0[0].clone() };
        settings.rules.0[0].pattern = Pattern::new("plain*");
        settings.rules.0.push(keeps);
        settings.rooms_per_session = 10;
    })
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name, "room").unwrap()
}

impl TestHub {
    /// Publishes each of these numbers to a room.
    async fn publish_numbers(&self, room: &str, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            let (name, data) = (EventName::of_hub("x"), Bytes::from(number.to_string()));
            self.inner.publish(PublishTarget::Room(super::history::room(room)), name, data).await.unwrap();
        }
    }

    async fn epoch(&self, name: &str) -> String {
        self.history(&room(name), Part::Newest, 1).await.unwrap().unwrap().epoch.to_string()
    }
}

/// A request for topics, each with the last offset that the client received.
fn since(epoch: &str, topics: &[(&str, u64)]) -> String {
    let names: Vec<_> = topics.iter().map(|(topic, _)| topic).collect();
    let since = topics.iter().map(|(topic, offset)| (topic.to_string(), json!({"epoch": epoch, "offset": offset})));
    json!({"topics": names, "since": since.collect::<serde_json::Map<_, _>>()}).to_string()
}

/// The details of a reply.
fn details(line: &str) -> Value {
    let mut status: Value = serde_json::from_str(line.strip_prefix("Status ").unwrap()).unwrap();
    status["details"].take()
}

/// The position of a topic in a reply, and whether all missed messages follow.
fn recovery_of(line: &str, topic: &str) -> (Option<u64>, Option<bool>) {
    let details = details(line);
    (details["positions"][topic]["offset"].as_u64(), details["recovered"][topic].as_bool())
}

#[actix::test]
async fn missed_messages_follow_the_reply_before_new_ones() {
    let hub = start_hub(10, None);
    hub.publish_numbers("news", 1..=4).await;
    let epoch = hub.epoch("news").await;
    let alice = hub.client(Surface::Raw, "alice").await;
    alice.ask("Subscribe", &since(&epoch, &[("news", 2)]), None).await;
    let [status, third, fourth] = alice.receive().await;
    assert_eq!(
        details(&status),
        json!({
            "topics": ["news"],
            "denied": [],
            "positions": {"news": {"epoch": epoch, "offset": 4}},
            "recovered": {"news": true},
        })
    );
    assert_eq!([third, fourth], ["3: x 3", "4: x 4"]);
    hub.publish_numbers("news", [5]).await;
    assert_eq!(alice.receive().await, ["5: x 5"]);
}

#[actix::test]
async fn an_unrecoverable_position_replays_nothing() {
    let hub = start_hub(3, None);
    hub.publish_numbers("news", 1..=5).await;
    let epoch = hub.epoch("news").await;
    // The oldest stored message is 3.
    for (epoch, offset, follow) in [
        (epoch.as_str(), 5, Some(0)),
        (&epoch, 2, Some(3)),
        (&epoch, 1, None),
        (&epoch, 0, None),
        (&epoch, 6, None),
        (&epoch, u64::MAX, None),
        ("another", 4, None),
    ] {
        let client = hub.client(Surface::Raw, "alice").await;
        client.ask("Subscribe", &since(epoch, &[("news", offset)]), None).await;
        client.ask("Ping", r#"{"timestamp":1}"#, None).await;
        let mut lines = Vec::new();
        while lines.len() < 2 + follow.unwrap_or(0) {
            lines.extend(client.take());
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(recovery_of(&lines[0], "news"), (Some(5), Some(follow.is_some())), "{epoch} {offset}");
        let missed: Vec<_> = lines[1..].iter().filter(|line| line.contains(": x ")).cloned().collect();
        let expected: Vec<_> = (6 - follow.unwrap_or(0)..=5).map(|number| format!("{number}: x {number}")).collect();
        assert_eq!(missed, expected, "{epoch} {offset}");
    }
}

#[actix::test]
async fn a_topic_without_history_has_no_position_and_recovers_nothing() {
    let hub = start_hub(3, None);
    hub.publish_numbers("plain", 1..=2).await;
    let alice = hub.client(Surface::Raw, "alice").await;
    alice.ask("Subscribe", &since("e", &[("plain", 1)]), None).await;
    let [status] = alice.receive().await;
    assert_eq!((&details(&status)["positions"], recovery_of(&status, "plain").1), (&json!({}), Some(false)));
    hub.publish_numbers("plain", [3]).await;
    assert_eq!(alice.receive().await, ["x 3"]);
    assert!(hub.history(&room("plain"), Part::Newest, 1).await.unwrap().is_none());
}

#[actix::test]
async fn missed_messages_of_all_topics_fill_at_most_half_of_the_outbox_frames() {
    // The outbox holds 100 frames.
    let hub = start_hub(100, None);
    hub.publish_numbers("a", 1..=51).await;
    hub.publish_numbers("b", 1..=20).await;
    let (epoch_of_a, epoch_of_b) = (hub.epoch("a").await, hub.epoch("b").await);
    let subscribe = async |offset_of_a: u64| {
        let client = hub.client(Surface::Raw, "alice").await;
        let position = |epoch: &str, offset| json!({"epoch": epoch, "offset": offset});
        let since = json!({"a": position(&epoch_of_a, offset_of_a), "b": position(&epoch_of_b, 0)});
        client.ask("Subscribe", &json!({"topics": ["a", "b"], "since": since}).to_string(), None).await;
        client.ask("Ping", r#"{"timestamp":1}"#, None).await;
        let lines = client.receive_until(|line| line.starts_with("Pong")).await;
        assert_eq!(client.handle.closed(), None);
        (recovery_of(&lines[0], "a").1, recovery_of(&lines[0], "b").1, lines.len() - 2)
    };
    assert_eq!(subscribe(0).await, (Some(false), Some(true), 20));
    assert_eq!(subscribe(1).await, (Some(true), Some(false), 50));
    assert_eq!(subscribe(21).await, (Some(true), Some(true), 50));
    assert_eq!(subscribe(20).await, (Some(true), Some(false), 31));
}

#[actix::test]
async fn missed_messages_fill_at_most_half_of_the_outbox_bytes() {
    let hub = start_hub(100, None);
    let large = |bytes: usize| Bytes::from(format!("\"{}\"", "x".repeat(bytes - 2)));
    // The line has an offset, a name, two separators and an end: together half of 65,536 bytes.
    for (data, fits) in [(32_768 - 6, true), (32_768 - 5, false)] {
        let name = format!("of {data}");
        hub.inner.publish(PublishTarget::Room(room(&name)), EventName::of_hub("x"), large(data)).await.unwrap();
        let epoch = hub.epoch(&name).await;
        let alice = hub.client(Surface::Raw, "alice").await;
        alice.ask("Subscribe", &since(&epoch, &[(&name, 0)]), None).await;
        if fits {
            let [status, missed] = alice.receive().await;
            assert_eq!((recovery_of(&status, &name).1, missed.len()), (Some(true), 32_768 - 1));
        } else {
            let [status] = alice.receive().await;
            assert_eq!(recovery_of(&status, &name).1, Some(false));
        }
    }
}

#[actix::test]
async fn a_member_receives_the_position_and_whether_messages_were_missed() {
    let hub = start_hub(10, None);
    let alice = hub.client(Surface::Raw, "alice").await;
    alice.ask("Subscribe", r#"{"topics":["news"]}"#, None).await;
    let [status] = alice.receive().await;
    assert_eq!(recovery_of(&status, "news"), (Some(0), None));
    hub.publish_numbers("news", 1..=2).await;
    assert_eq!(alice.receive().await, ["1: x 1", "2: x 2"]);
    let epoch = hub.epoch("news").await;
    for (offset, recovered) in [(2, true), (1, false), (3, false)] {
        alice.ask("Subscribe", &since(&epoch, &[("news", offset)]), None).await;
        let [status] = alice.receive().await;
        assert_eq!(recovery_of(&status, "news"), (Some(2), Some(recovered)), "{offset}");
    }
    alice.ask("Subscribe", r#"{"topics":["news"]}"#, None).await;
    let [status] = alice.receive().await;
    assert_eq!(recovery_of(&status, "news"), (Some(2), None));
    hub.publish_numbers("news", [3]).await;
    assert_eq!(alice.receive().await, ["3: x 3"]);
}

#[actix::test]
async fn own_messages_are_numbered_and_replayed() {
    let hub = start_hub(10, None);
    let alice = hub.client(Surface::Raw, "alice").await;
    alice.ask("Subscribe", r#"{"topics":["news"]}"#, None).await;
    let [_] = alice.receive().await;
    alice.ask("Broadcast", r#"{"topic":"news","payload":1}"#, None).await;
    let [ack] = alice.receive().await;
    assert!(ack.starts_with("Ack") && ack.contains(r#""recipients":0"#), "{ack}");
    drop(alice);
    let epoch = hub.epoch("news").await;
    let again = hub.client(Surface::Raw, "alice").await;
    again.ask("Subscribe", &since(&epoch, &[("news", 0)]), None).await;
    let [status, own] = again.receive().await;
    assert_eq!(recovery_of(&status, "news"), (Some(1), Some(true)));
    assert!(own.starts_with("1: Broadcast {"), "{own}");
}

#[actix::test]
async fn missed_messages_of_concurrent_requests_follow_the_reply_to_each() {
    let hub = start_hub(10, None);
    hub.publish_numbers("news", 1..=2).await;
    let epoch = hub.epoch("news").await;
    let alice = hub.client(Surface::Raw, "alice").await;
    let again = since(&epoch, &[("news", 1)]);
    alice.ask("Subscribe", &again, Some("1")).await;
    alice.ask("Unsubscribe", r#"{"topics":["news"]}"#, Some("2")).await;
    alice.ask("Subscribe", &again, Some("3")).await;
    alice.ask("Subscribe", &again, Some("4")).await;
    let lines: [String; 6] = alice.receive().await;
    let ends: Vec<_> = lines.iter().map(|line| &line[line.len() - 2..]).collect();
    assert_eq!(ends, ["#1", " 2", "#2", "#3", " 2", "#4"], "{lines:?}");
    let recovered = [0, 3, 5].map(|index| recovery_of(&lines[index][..lines[index].len() - 3], "news").1);
    assert_eq!(recovered, [Some(true), Some(true), Some(false)]);
}

#[actix::test]
async fn old_messages_are_not_recovered_and_a_forgotten_position_has_a_new_epoch() {
    let hub = start_hub(10, Some(5_000));
    hub.publish_numbers("news", [1]).await;
    let epoch = hub.epoch("news").await;
    hub.clock().advance(4_999);
    hub.publish_numbers("news", [2]).await;
    hub.clock().advance(1);
    let alice = hub.client(Surface::Raw, "alice").await;
    alice.ask("Subscribe", &since(&epoch, &[("news", 0)]), None).await;
    let [status] = alice.receive().await;
    assert_eq!(recovery_of(&status, "news"), (Some(2), Some(false)));
    // While the topic has a member, the epoch stays, though no message is stored.
    hub.clock().advance(5_000);
    let bob = hub.client(Surface::Raw, "bob").await;
    bob.ask("Subscribe", &since(&epoch, &[("news", 2)]), None).await;
    let [status] = bob.receive().await;
    assert_eq!(recovery_of(&status, "news"), (Some(2), Some(true)));
    for client in [alice, bob] {
        client.ask("Unsubscribe", r#"{"topics":["news"]}"#, None).await;
        let [_] = client.receive().await;
    }
    // The recovery window is longer than the age.
    let window_ms = hub.settings().recovery.window_ms;
    hub.clock().advance(window_ms - 1);
    assert_eq!(hub.epoch("news").await, epoch);
    hub.clock().advance(1);
    wait_until(|| hub.stats().history_bytes.get() == 0).await;
    assert!(hub.history(&room("news"), Part::Newest, 1).await.unwrap().is_none());
    hub.publish_numbers("news", [3]).await;
    assert_ne!(hub.epoch("news").await, epoch);
}

#[actix::test]
async fn history_is_counted_and_bounded() {
    let hub = TestHub::with(GRACE_MS, None, |settings| {
        settings.rules.0[0].history = Some(HistoryRule { messages: 10, age_ms: None });
        settings.history_bytes = 10_000;
    });
    let stats = hub.stats();
    for number in 0..100 {
        hub.publish_numbers(&format!("topic-{number}"), [1]).await;
        assert!(stats.history_bytes.get() <= 10_000);
    }
    assert!(stats.history_bytes.get() > 8_000);
    let evicted = stats.histories_evicted.get();
    assert!((90..100).contains(&evicted), "{evicted}");
    assert!(hub.history(&room("topic-0"), Part::Newest, 1).await.unwrap().is_none());
    assert!(hub.history(&room("topic-99"), Part::Newest, 1).await.unwrap().is_some());
}

#[actix::test]
async fn socketio_joins_replay_nothing_and_live_messages_have_offsets() {
    let hub = start_hub(10, None);
    hub.publish_numbers("news", [1]).await;
    let alice = hub.client(Surface::Root, "alice").await;
    alice.ask("room:join", r#"{"room":"news"}"#, Some("1")).await;
    let lines: [String; 2] = alice.receive().await;
    assert!(lines[0].contains("room:join:ack"), "{lines:?}");
    hub.publish_numbers("news", [2]).await;
    assert_eq!(alice.receive().await, ["2: x 2"]);
}

#[test]
fn an_invalid_position_is_refused_with_its_path() {
    for (position, field) in [
        (json!({"epoch": "e", "offset": -1}), "since.news.offset"),
        (json!({"epoch": "e", "offset": 1.5}), "since.news.offset"),
        (json!({"epoch": "e", "offset": "1"}), "since.news.offset"),
        (json!({"epoch": 7, "offset": 1}), "since.news.epoch"),
        (json!({"epoch": "e"}), "since.news.offset"),
        (json!({"offset": 1}), "since.news.epoch"),
        (json!({"epoch": "e", "offset": 1, "ofset": 2}), "since.news.ofset"),
        (json!(7), "since.news"),
        (json!(null), "since.news"),
    ] {
        let request = json!({"topics": ["news"], "since": {"news": position}});
        let fault = parse::<Subscribe>(request.to_string().as_bytes()).unwrap_err();
        assert_eq!(fault.field.as_deref(), Some(field), "{request}: {}", fault.message);
    }
    for since in [json!([1]), json!("news"), json!(null)] {
        let fault = parse::<Subscribe>(json!({"topics": [], "since": since}).to_string().as_bytes()).unwrap_err();
        assert_eq!(fault.field.as_deref(), Some("since"), "{since}");
    }
}
