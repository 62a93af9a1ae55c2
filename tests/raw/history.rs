//! Topics that keep history: every message has its number, and who comes back gets what it missed.

use serde_json::{Value, json};

use crate::support::{Client, Hub};

const RULES: &str = r#"
[[topics]]
pattern = "log.*"
subscribe = "authenticated"
publish = "authenticated"
history = 5
history_secs = 300

[[topics]]
pattern = "*"
subscribe = "authenticated"
publish = "authenticated"
"#;

/// Subscribes to `log.a`, with everything after `since`; the details of the answer.
async fn catch_up(client: &mut Client, since: Option<&Value>) -> Value {
    let mut ask = json!({"type": "Subscribe", "data": {"topics": ["log.a"]}});
    if let Some(position) = since {
        ask["data"]["since"] = json!({"log.a": position});
    }
    client.ask(ask, "Status").await["data"]["details"].take()
}

async fn publish(sender: &mut Client, numbers: std::ops::Range<u64>) {
    for n in numbers {
        sender.broadcast("log.a", json!(n)).await;
    }
}

/// The payloads of the next messages, whose offsets have to follow one another.
async fn payloads(client: &mut Client, count: usize) -> Vec<u64> {
    let (mut payloads, mut last) = (Vec::new(), None);
    for _ in 0..count {
        let message = client.expect("Broadcast").await;
        let offset = message["offset"].as_u64().unwrap_or_else(|| panic!("no offset in {message}"));
        assert!(last.is_none_or(|last| offset == last + 1), "{offset} came after {last:?}");
        last = Some(offset);
        payloads.push(message["data"]["payload"].as_u64().unwrap());
    }
    payloads
}

#[tokio::test]
async fn messages_of_a_topic_with_history_are_numbered_and_others_are_not() {
    let hub = Hub::with(RULES);
    let mut sender = Client::of(&hub, "sender").await;
    let mut member = Client::of(&hub, "member").await;
    let details = catch_up(&mut member, None).await;
    let position = &details["positions"]["log.a"];
    assert!(position["epoch"].is_string() && position["offset"].is_u64(), "{details}");
    assert_eq!(details["recovered"], json!({}));
    publish(&mut sender, 0..3).await;
    let first = member.expect("Broadcast").await;
    assert_eq!(first["offset"].as_u64(), position["offset"].as_u64().map(|offset| offset + 1));
    assert_eq!(payloads(&mut member, 2).await, [1, 2]);

    let plain = member.subscribe(&["plain"]).await;
    assert_eq!(plain["data"]["details"]["positions"], json!({}));
    sender.broadcast("plain", json!(1)).await;
    assert!(member.expect("Broadcast").await.get("offset").is_none());
}

#[tokio::test]
async fn who_comes_back_gets_what_it_missed_before_anything_live() {
    let hub = Hub::with(RULES);
    let mut sender = Client::of(&hub, "sender").await;
    let mut member = Client::of(&hub, "member").await;
    let position = catch_up(&mut member, None).await["positions"]["log.a"].take();
    member.close().await;
    publish(&mut sender, 0..4).await;

    let mut member = Client::of(&hub, "member").await;
    let details = catch_up(&mut member, Some(&position)).await;
    assert_eq!(details["recovered"], json!({"log.a": true}), "{details}");
    publish(&mut sender, 4..6).await;
    assert_eq!(payloads(&mut member, 6).await, [0, 1, 2, 3, 4, 5]);
    member.expect_silence().await;
}

#[tokio::test]
async fn who_missed_nothing_has_recovered() {
    let hub = Hub::with(RULES);
    let mut sender = Client::of(&hub, "sender").await;
    publish(&mut sender, 0..2).await;
    let mut member = Client::of(&hub, "member").await;
    let position = catch_up(&mut member, None).await["positions"]["log.a"].take();
    let mut again = Client::of(&hub, "member").await;
    let details = catch_up(&mut again, Some(&position)).await;
    assert_eq!(details["recovered"], json!({"log.a": true}), "{details}");
    again.expect_silence().await;
    member.expect_silence().await;
}

#[tokio::test]
async fn who_missed_more_than_is_kept_is_told_so() {
    let hub = Hub::with(RULES);
    let mut sender = Client::of(&hub, "sender").await;
    let mut member = Client::of(&hub, "member").await;
    let position = catch_up(&mut member, None).await["positions"]["log.a"].take();
    member.close().await;
    publish(&mut sender, 0..6).await;
    let mut member = Client::of(&hub, "member").await;
    let details = catch_up(&mut member, Some(&position)).await;
    assert_eq!(details["recovered"], json!({"log.a": false}), "{details}");
    assert_eq!(details["topics"], json!(["log.a"]));
}

#[tokio::test]
async fn a_position_of_another_numbering_recovers_nothing() {
    let hub = Hub::with(RULES);
    let mut sender = Client::of(&hub, "sender").await;
    publish(&mut sender, 0..3).await;
    let mut member = Client::of(&hub, "member").await;
    let details = catch_up(&mut member, Some(&json!({"epoch": "another", "offset": 0}))).await;
    assert_eq!(details["recovered"], json!({"log.a": false}), "{details}");
    let mut ahead = details["positions"]["log.a"].clone();
    ahead["offset"] = json!(1_000_000);
    let mut member = Client::of(&hub, "member").await;
    let details = catch_up(&mut member, Some(&ahead)).await;
    assert_eq!(details["recovered"], json!({"log.a": false}), "from the future: {details}");
}

#[tokio::test]
async fn catching_up_in_the_middle_of_a_stream_leaves_no_gap_and_no_duplicate() {
    let hub = Hub::with(&RULES.replace("history = 5", "history = 1000"));
    let mut sender = Client::of(&hub, "sender").await;
    let mut member = Client::of(&hub, "member").await;
    let position = catch_up(&mut member, None).await["positions"]["log.a"].take();
    let stream = tokio::spawn(async move {
        publish(&mut sender, 0..300).await;
        sender
    });
    for _ in 0..10 {
        let mut member = Client::of(&hub, "late").await;
        let details = catch_up(&mut member, Some(&position)).await;
        assert_eq!(details["recovered"], json!({"log.a": true}), "{details}");
        let all: Vec<_> = (0..300).collect();
        assert_eq!(payloads(&mut member, 300).await, all);
        member.close().await;
    }
    stream.await.unwrap();
}
