//! Topics with history over a restart and a crash.

use super::*;

#[tokio::test]
async fn after_a_crash_no_topic_is_recovered() {
    let hub = hub(10, "");
    push(&hub, "feed", &json!(1));
    let position = position(&hub, "feed").await;
    let mut hub = tokio::task::spawn_blocking(|| hub.restart()).await.unwrap();
    let (_, recovered, new) = resume(&hub, "feed", &position).await;
    assert!(!recovered);
    assert_ne!(new["epoch"], position["epoch"]);
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE), Some(0));
}

#[tokio::test]
async fn a_topic_without_history_in_the_new_configuration_is_not_restored() {
    let hub = hub(10, "");
    for topic in ["stays", "goes"] {
        push(&hub, topic, &json!({"ü": [1.50]}));
    }
    let (kept_position, denied_position) = (position(&hub, "stays").await, position(&hub, "goes").await);
    let config = hub.dir().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("pattern = \"*\"", "pattern = \"stays\"")).unwrap();
    let hub = tokio::task::spawn_blocking(|| hub.restart_gracefully()).await.unwrap();
    let (mut client, recovered, position) = resume(&hub, "stays", &before(&kept_position, 1)).await;
    assert_eq!((recovered, position), (true, kept_position));
    let message = crate::support::client::without_time(client.next().await);
    assert_eq!(message, json!({"type": "news", "topic": "stays", "data": {"ü": [1.50]}, "offset": 1}));
    let mut other = Client::of(&hub, "other").await;
    let subscribe = json!({"type": "Subscribe", "data": {"topics": ["goes"], "since": {"goes": denied_position}}});
    let denied = other.ask(subscribe, "Status").await["data"]["details"]["denied"].take();
    assert_eq!(denied, json!([{"topic": "goes", "code": "FORBIDDEN"}]));
    assert_eq!(hub.http().request("GET", "/api/rooms/goes/history").key().send().status, 404);
}

#[tokio::test]
async fn a_large_history_is_stored_by_the_end_and_restored_whole() {
    let hub = hub(1_000, "server.shutdown_secs = 10");
    let mut publisher = Client::of(&hub, "publisher").await;
    let text = "x".repeat(30_000);
    for n in 0..500 {
        publisher.broadcast(&format!("topic-{}", n % 5), json!({"n": n, "text": text})).await;
    }
    drop(publisher);
    let held = hub.metric("hubbub_history_bytes");
    let hub = tokio::task::spawn_blocking(|| hub.restart_gracefully()).await.unwrap();
    assert_eq!(hub.metric("hubbub_history_bytes"), held);
    assert!(!hub.output().contains("could not be stored"), "{}", hub.output());
}
