//! The limit of messages a minute: exactly that number is accepted, then messages are refused, then the session ends.

use serde_json::json;

use crate::support::{Client, Hub};

const THREE: &str = "[limits.raw]\nmessages_per_minute = 3";

#[tokio::test]
async fn exactly_the_limit_is_accepted_and_the_rest_refused() {
    let hub = Hub::with(THREE);
    // A subscriber: its only message is the subscription.
    let mut member = Client::of(&hub, "member").await;
    member.subscribe(&["t"]).await;
    let mut sender = Client::of(&hub, "sender").await;
    for n in 0..3 {
        sender.broadcast("t", json!(n)).await;
    }
    let message = json!({"type": "Broadcast", "data": {"topic": "t", "payload": 3}, "id": 9});
    let error = sender.ask(message, "Error").await;
    assert_eq!((&error["data"]["code"], &error["id"]), (&json!("RATE_LIMITED"), &json!(9)), "{error}");
    let wait = error["data"]["details"]["retryAfter"].as_u64().unwrap();
    assert!((1..=60).contains(&wait), "{error}");
    for n in 0..3 {
        assert_eq!(member.expect("Broadcast").await["data"]["payload"], n);
    }
    member.expect_silence().await;
}

#[tokio::test]
async fn ten_times_the_limit_ends_the_connection_with_4429() {
    let hub = Hub::with(THREE);
    let mut sender = Client::of(&hub, "sender").await;
    let message = json!({"type": "Broadcast", "data": {"topic": "t", "payload": 1}});
    for _ in 0..3 {
        sender.ask(message.clone(), "Ack").await;
    }
    for _ in 3..30 {
        sender.ask(message.clone(), "Error").await;
    }
    sender.send(message).await;
    assert_eq!(sender.close_code().await, Some(4429));
}

#[tokio::test]
async fn each_connection_has_a_limit_of_its_own() {
    let hub = Hub::with(THREE);
    for _ in 0..2 {
        let mut sender = Client::of(&hub, "sender").await;
        for n in 0..3 {
            sender.broadcast("t", json!(n)).await;
        }
    }
}

#[tokio::test]
async fn zero_means_no_limit() {
    let hub = Hub::with("[limits.raw]\nmessages_per_minute = 0");
    let mut sender = Client::of(&hub, "sender").await;
    for n in 0..50 {
        sender.broadcast("t", json!(n)).await;
    }
}

#[tokio::test]
async fn invalid_messages_count_too() {
    let hub = Hub::with(THREE);
    let mut sender = Client::of(&hub, "sender").await;
    for code in ["INVALID_REQUEST", "INVALID_REQUEST", "INVALID_REQUEST", "RATE_LIMITED"] {
        sender.text("nonsense").await;
        let error = sender.expect("Error").await;
        assert_eq!(error["data"]["code"], code);
    }
}
