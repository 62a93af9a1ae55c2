//! The position of a topic without members and messages: how long it is kept, and what bounds it.

use super::*;

/// Subscribes to each topic and leaves it; the positions.
async fn visit(client: &mut Client, topics: &[&str]) -> Vec<Value> {
    let mut positions = Vec::new();
    for topic in topics {
        positions.push(subscribe(client, topic, None).await["positions"][topic].take());
        client.ask(json!({"type": "Unsubscribe", "data": {"topics": [topic]}}), "Status").await;
    }
    positions
}

/// The epoch that a backend reads; `None` when the topic has no position.
fn epoch(hub: &Hub, topic: &str) -> Option<Value> {
    let answer = hub.http().request("GET", &format!("/api/rooms/{topic}/history")).key().send();
    if answer.status == 404 {
        return None;
    }
    let mut page = answer.json();
    assert_eq!((answer.status, &page["messages"]), (200, &json!([])));
    Some(page["epoch"].take())
}

/// The topics that have a position.
fn kept<'a>(hub: &Hub, topics: &[&'a str]) -> Vec<&'a str> {
    topics.iter().copied().filter(|topic| epoch(hub, topic).is_some()).collect()
}

async fn rooms(hub: &Hub, count: f64) {
    eventually(DEADLINE, "the rooms are counted", || hub.metric("hubbub_rooms") == count).await;
}

#[tokio::test]
async fn a_client_that_was_cut_off_from_an_empty_topic_gets_what_came_meanwhile() {
    let hub = hub(10, "");
    for numbers in [0..0, 0..3] {
        let mut reader = Client::of(&hub, "reader").await;
        let before = subscribe(&mut reader, "quiet", None).await["positions"]["quiet"].take();
        assert_eq!(before["offset"], 0);
        drop(reader);
        rooms(&hub, 0.0).await;
        let count = numbers.end;
        for n in numbers {
            push(&hub, "quiet", &json!(n));
        }
        let (mut reader, recovered, position) = resume(&hub, "quiet", &before).await;
        assert_eq!((recovered, position), (true, json!({"epoch": before["epoch"], "offset": count})));
        for n in 0..count {
            let message = reader.next().await;
            assert_eq!((&message["offset"], &message["data"]), (&json!(n + 1), &json!(n)));
        }
        reader.close().await;
        rooms(&hub, 0.0).await;
    }
}

#[tokio::test]
async fn an_empty_topic_keeps_its_position_for_the_longer_of_both_times() {
    for (history_secs, window_secs, kept_ms) in [(0, 90, 90_000), (60, 90, 90_000), (90, 60, 90_000), (90, 0, 90_000)] {
        let rule = format!("[[topics]]\npattern = \"*\"\nhistory = 10\nhistory_secs = {history_secs}");
        let hub = Hub::with_manual_clock(&format!("recovery.window_secs = {window_secs}\n{rule}"));
        let mut client = Client::of(&hub, "client").await;
        let before = visit(&mut client, &["quiet"]).await.remove(0);
        // The topic has fallen empty before this is answered.
        assert!(epoch(&hub, "quiet").is_some());
        hub.advance(kept_ms - 1);
        assert_eq!(epoch(&hub, "quiet").as_ref(), Some(&before["epoch"]), "{rule}");
        hub.advance(1);
        eventually(DEADLINE, "the position is forgotten", || hub.metric("hubbub_history_bytes") == 0.0).await;
        assert_eq!(epoch(&hub, "quiet"), None);
        let (_, recovered, position) = resume(&hub, "quiet", &before).await;
        assert!(!recovered);
        assert_ne!(position["epoch"], before["epoch"]);
    }
}

#[tokio::test]
async fn kept_positions_make_way_for_the_rooms_of_their_user() {
    let hub = hub(10, "limits.rooms_per_user = 3\nlimits.rooms_per_session = 0");
    let (mut alice, mut bob) = (Client::of(&hub, "alice").await, Client::of(&hub, "bob").await);
    visit(&mut bob, &["of-bob"]).await;
    visit(&mut alice, &["a", "b", "c", "d"]).await;
    let all = ["of-bob", "a", "b", "c", "d"];
    assert_eq!(kept(&hub, &all), ["of-bob", "b", "c", "d"]);
    assert_eq!(subscribe(&mut alice, "fresh", None).await["denied"], json!([]));
    assert_eq!(kept(&hub, &all), ["of-bob", "c", "d"]);
    // A topic that is joined again is one room.
    assert_eq!(subscribe(&mut alice, "c", None).await["denied"], json!([]));
    assert_eq!(subscribe(&mut alice, "d", None).await["denied"], json!([]));
    assert_eq!(kept(&hub, &all), ["of-bob", "c", "d"]);
    let limit = json!([{"topic": "e", "code": "LIMIT_REACHED", "details": {"limit": "limits.rooms_per_user"}}]);
    assert_eq!(subscribe(&mut alice, "e", None).await["denied"], limit);
}

#[tokio::test]
async fn kept_positions_make_way_for_the_rooms_of_the_hub() {
    let hub = hub(10, "limits.rooms = 3\nlimits.rooms_per_user = 3");
    let (mut alice, mut bob) = (Client::of(&hub, "alice").await, Client::of(&hub, "bob").await);
    visit(&mut alice, &["a", "b", "c"]).await;
    for (topic, left) in [("x", vec!["b", "c"]), ("y", vec!["c"]), ("z", vec![])] {
        assert_eq!(subscribe(&mut bob, topic, None).await["denied"], json!([]));
        assert_eq!(kept(&hub, &["a", "b", "c"]), left);
    }
    let limit = json!([{"topic": "a", "code": "LIMIT_REACHED", "details": {"limit": "limits.rooms"}}]);
    assert_eq!(subscribe(&mut alice, "a", None).await["denied"], limit);
}

#[tokio::test]
async fn a_client_that_names_and_leaves_topics_fills_no_memory() {
    let hub = hub(10, "limits.history_bytes = 10240\nlimits.rooms_per_user = 0");
    let mut client = Client::of(&hub, "client").await;
    for number in 0..100 {
        visit(&mut client, &[&format!("topic-{number}")]).await;
        assert!(hub.metric("hubbub_history_bytes") <= 10_240.0);
    }
    assert_eq!(hub.metric("hubbub_history_bytes"), 10_240.0, "20 positions of 512 bytes");
    assert_eq!(kept(&hub, &["topic-79", "topic-80", "topic-99"]), ["topic-80", "topic-99"]);
}

#[tokio::test]
async fn an_empty_topic_keeps_its_position_over_a_planned_restart_and_not_over_a_crash() {
    let hub = hub(10, "");
    let mut client = Client::of(&hub, "client").await;
    let left = visit(&mut client, &["left"]).await.remove(0);
    let joined = subscribe(&mut client, "joined", None).await["positions"]["joined"].take();
    push(&hub, "numbered", &json!(1));
    let numbered = position(&hub, "numbered").await;
    let hub = tokio::task::spawn_blocking(|| hub.restart_gracefully()).await.unwrap();
    push(&hub, "left", &json!("after the restart"));
    let (mut reader, recovered, position) = resume(&hub, "left", &left).await;
    assert_eq!((recovered, position), (true, json!({"epoch": left["epoch"], "offset": 1})));
    assert_eq!(reader.next().await["data"], "after the restart");
    for (topic, before) in [("joined", &joined), ("numbered", &numbered)] {
        let (_, recovered, position) = resume(&hub, topic, before).await;
        assert_eq!((recovered, &position), (true, before), "{topic}");
    }
    let hub = tokio::task::spawn_blocking(|| hub.restart()).await.unwrap();
    for (topic, before) in [("left", &left), ("joined", &joined), ("numbered", &numbered)] {
        let (_, recovered, position) = resume(&hub, topic, before).await;
        assert!(!recovered, "{topic}");
        assert_eq!(position["offset"], 0);
        assert_ne!(position["epoch"], before["epoch"]);
    }
}
