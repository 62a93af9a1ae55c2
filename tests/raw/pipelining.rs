//! Pipelined requests on one connection: answers come in the order of the requests, and a subscription delivers between
//! its two answers only.

use serde_json::json;

use crate::support::{Client, Hub};

#[tokio::test]
async fn answers_come_in_the_order_of_the_requests() {
    let hub = Hub::start();
    let mut peer = Client::of(&hub, "bob").await;
    let mut client = Client::of(&hub, "alice").await;
    let questions = [
        ("Status", json!({"type": "Subscribe", "data": {"topics": ["a", "b", "c"]}})),
        ("Ack", json!({"type": "Broadcast", "data": {"topic": "a", "payload": 1}})),
        ("Pong", json!({"type": "Ping", "data": {"timestamp": 1}})),
        ("Ack", json!({"type": "DirectMessage", "data": {"target_user": "bob", "payload": 1}})),
        ("Error", json!({"type": "Nonsense", "data": {}})),
        ("Ack", json!({"type": "Broadcast", "data": {"topic": "b", "payload": 1}})),
        ("Status", json!({"type": "Unsubscribe", "data": {"topics": ["a", "b", "c"]}})),
        ("Error", json!({"type": "DirectMessage", "data": {"target_user": "nobody", "payload": 1}})),
    ];
    const ROUNDS: usize = 25;
    for round in 0..ROUNDS {
        for (n, (_, question)) in questions.iter().enumerate() {
            let mut question = question.clone();
            question["id"] = json!(round * questions.len() + n);
            client.feed(question).await;
        }
    }
    client.flush().await;
    for round in 0..ROUNDS {
        for (n, (kind, _)) in questions.iter().enumerate() {
            assert_eq!(client.expect(kind).await["id"], round * questions.len() + n);
        }
    }
    for _ in 0..ROUNDS {
        peer.expect("DirectMessage").await;
    }
}

#[tokio::test]
async fn a_subscription_delivers_every_message_between_its_two_answers() {
    let hub = Hub::with("[server]\nworkers = 2\n[limits.raw]\nmessages_per_minute = 0");
    let mut sender = Client::of(&hub, "sender").await;
    let stream = tokio::spawn(async move {
        for n in 0..3_000_u64 {
            sender.broadcast("t", json!(n)).await;
        }
    });
    let mut runs = Vec::new();
    for n in 0..4 {
        let mut member = Client::of(&hub, &format!("member-{n}")).await;
        runs.push(tokio::spawn(async move {
            for _ in 0..50 {
                member.subscribe(&["t"]).await;
                let first = member.expect("Broadcast").await["data"]["payload"].as_u64().unwrap();
                member.send(json!({"type": "Unsubscribe", "data": {"topics": ["t"]}})).await;
                let mut next = first + 1;
                loop {
                    let message = member.next().await;
                    if message["type"] == "Status" {
                        break;
                    }
                    assert_eq!(message["data"]["payload"], next, "a gap, or one twice");
                    next += 1;
                }
                member.expect_silence().await;
            }
        }));
    }
    for run in runs {
        run.await.unwrap();
    }
    stream.abort();
}

#[tokio::test]
async fn a_message_can_subscribe_to_a_hundred_topics_and_a_session_to_more() {
    let hub = Hub::start();
    let mut member = Client::of(&hub, "member").await;
    let topics: Vec<_> = (0..1_000).map(|n| format!("t{n}")).collect();
    let names: Vec<_> = topics.iter().map(String::as_str).collect();
    for hundred in names.chunks(100) {
        member.subscribe(hundred).await;
    }
    let mut sender = Client::of(&hub, "sender").await;
    for topic in ["t0", "t500", "t999"] {
        assert_eq!(sender.broadcast(topic, json!(1)).await["data"]["recipients"], 1);
        assert_eq!(member.expect("Broadcast").await["data"]["topic"], topic);
    }
}
