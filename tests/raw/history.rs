//! Topics with history: a client that resumes gets the missed messages once and in order, before any new one, or a
//! report that they are lost. The memory is bounded.

use serde_json::{Value, json};

use crate::support::{Client, DEADLINE, Hub, eventually};

mod load;
mod pages;
mod positions;
mod restart;

const UNLIMITED: &str = "
    limits.outbox_bytes = 8000000
    limits.raw.messages_per_minute = 0
    limits.http.requests_per_minute = 0
";

/// A hub where each topic keeps `history` messages, with `more` in its configuration.
#[track_caller]
fn hub(history: u32, more: &str) -> Hub {
    Hub::with(&format!("{UNLIMITED}{more}\n[[topics]]\npattern = \"*\"\nhistory = {history}"))
}

/// Subscribes to a topic; the details of the answer.
async fn subscribe(client: &mut Client, topic: &str, since: Option<&Value>) -> Value {
    let since = since.map_or(json!({}), |since| json!({topic: since}));
    let ask = json!({"type": "Subscribe", "data": {"topics": [topic], "since": since}});
    client.ask(ask, "Status").await["data"]["details"].take()
}

/// A client that resumes a topic after `since`; whether the topic is recovered, and its position.
async fn resume(hub: &Hub, topic: &str, since: &Value) -> (Client, bool, Value) {
    let mut client = Client::of(hub, "reader").await;
    let mut details = subscribe(&mut client, topic, Some(since)).await;
    let recovered = details["recovered"][topic].as_bool().unwrap();
    (client, recovered, details["positions"][topic].take())
}

/// The position of a topic.
async fn position(hub: &Hub, topic: &str) -> Value {
    let mut client = Client::of(hub, "observer").await;
    let position = subscribe(&mut client, topic, None).await["positions"][topic].take();
    client.close().await;
    position
}

/// The position `count` messages before this one.
fn before(position: &Value, count: u64) -> Value {
    json!({"epoch": position["epoch"], "offset": position["offset"].as_u64().unwrap() - count})
}

fn push(hub: &Hub, room: &str, data: &Value) {
    let body = json!({"room": room, "event": "news", "data": data});
    let answer = hub.http().request("POST", "/api/room").key().json(&body).send();
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_topic_is_recovered_only_when_its_history_has_every_missed_message() {
    let hub = hub(10, "");
    for n in 1..=25 {
        push(&hub, "fast", &json!(n));
    }
    let position = position(&hub, "fast").await;
    assert_eq!(position["offset"], 25);
    for (missed, is_recovered) in [(0, true), (1, true), (10, true), (11, false), (25, false)] {
        let (mut client, recovered, stated) = resume(&hub, "fast", &before(&position, missed)).await;
        assert_eq!((recovered, &stated), (is_recovered, &position), "{missed} missed");
        for n in 26 - if is_recovered { missed } else { 0 }..=25 {
            let message = client.next().await;
            assert_eq!(
                (&message["offset"], &message["data"], &message["topic"]),
                (&json!(n), &json!(n), &json!("fast"))
            );
        }
        client.expect_silence().await;
    }
    let elsewhere = json!({"epoch": "0", "offset": 25});
    assert!(!resume(&hub, "fast", &elsewhere).await.1, "another epoch");
    assert!(!resume(&hub, "fast", &json!({"epoch": position["epoch"], "offset": 26})).await.1, "there is no 26");
}

#[tokio::test]
async fn broadcasts_have_offsets_and_follow_the_replayed_messages() {
    let hub = hub(10, "");
    let mut alice = Client::of(&hub, "alice").await;
    let mut bob = Client::of(&hub, "bob").await;
    let first = subscribe(&mut bob, "room", None).await["positions"]["room"].take();
    assert_eq!(first["offset"], 0);
    alice.broadcast("room", json!("one")).await;
    assert_eq!(bob.expect("Broadcast").await["offset"], 1);
    alice.broadcast("room", json!("two")).await;
    let (mut late, recovered, position) = resume(&hub, "room", &first).await;
    assert_eq!((recovered, &position["offset"]), (true, &json!(2)));
    alice.broadcast("room", json!("three")).await;
    for (n, payload) in [(1, "one"), (2, "two"), (3, "three")] {
        let message = late.expect("Broadcast").await;
        assert_eq!((&message["offset"], &message["data"]["payload"]), (&json!(n), &json!(payload)));
        assert_eq!(message["data"]["from_user"], "alice");
    }
}

#[tokio::test]
async fn an_invalid_position_is_refused_by_its_path_and_nothing_is_joined() {
    let hub = hub(10, "");
    let mut client = Client::of(&hub, "alice").await;
    for (position, field) in [
        (json!({"epoch": "e", "offset": -1}), "since.a.offset"),
        (json!({"epoch": "e", "offset": 0.5}), "since.a.offset"),
        (json!({"epoch": 1, "offset": 1}), "since.a.epoch"),
        (json!({"epoch": "e", "offset": 1, "more": 1}), "since.a.more"),
        (json!([]), "since.a"),
    ] {
        let ask = json!({"type": "Subscribe", "data": {"topics": ["a"], "since": {"a": position}}});
        let error = client.ask(ask, "Error").await;
        assert_eq!(error["data"]["details"]["field"], field, "{error}");
    }
    push(&hub, "a", &json!(1));
    client.expect_silence().await;
}

#[tokio::test]
async fn a_message_is_deleted_at_its_age_and_the_position_of_an_empty_topic_later() {
    let hub = Hub::with_manual_clock("[[topics]]\npattern = \"*\"\nhistory = 10\nhistory_secs = 60");
    push(&hub, "brief", &json!(1));
    hub.advance(59_999);
    push(&hub, "other", &json!(1));
    assert!(hub.metric("hubbub_history_bytes") > 0.0);
    assert_eq!(hub.http().request("GET", "/api/rooms/brief/history").key().send().json()["messages"][0]["offset"], 1);
    // Beyond the age of both. Two positions are kept.
    hub.advance(61_000);
    eventually(DEADLINE, "all messages are deleted", || hub.metric("hubbub_history_bytes") == 1_024.0).await;
    let read = || hub.http().request("GET", "/api/rooms/brief/history").key().send();
    assert_eq!(read().json()["messages"], json!([]));
    hub.advance(121_000);
    eventually(DEADLINE, "both positions are forgotten", || hub.metric("hubbub_history_bytes") == 0.0).await;
    assert_eq!(read().status, 404);
}

#[tokio::test]
async fn the_histories_of_all_topics_are_bounded_in_bytes() {
    let hub = hub(1_000, "limits.history_bytes = 1000000");
    let topics = 300;
    let text = "x".repeat(1_000);
    let mut publisher = Client::of(&hub, "publisher").await;
    for round in 0..10 {
        for topic in 0..topics {
            publisher.broadcast(&format!("topic-{topic}"), json!({"round": round, "text": text})).await;
        }
        assert!(hub.metric("hubbub_history_bytes") <= 1_000_000.0);
    }
    assert!(hub.metric("hubbub_history_bytes") > 500_000.0);
    assert!(hub.metric("hubbub_histories_evicted_total") > 100.0);
    let is_kept = |topic: u32| {
        let answer = hub.http().request("GET", &format!("/api/rooms/topic-{topic}/history")).key().send();
        answer.status == 200
    };
    assert!(is_kept(topics - 1));
    // A topic with a message of 1,000 bytes is counted as more than 2,000.
    let count = (0..topics).filter(|&topic| is_kept(topic)).count();
    assert!((1..500).contains(&count), "{count}");
}
