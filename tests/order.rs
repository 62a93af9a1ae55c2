//! The delivery guarantee of a room: every member receives every message once, in one order.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Client, Hub};

const PUBLISHERS: usize = 4;
const EACH: usize = 500;
const MEMBERS: usize = 50;
/// Unacknowledged messages of a publisher.
const WINDOW: usize = 16;

/// Publishes `EACH` messages, at most `WINDOW` unacknowledged, and returns the ids in their `Ack`s.
async fn publish(mut client: Client, publisher: usize) -> Vec<Value> {
    let mut ids = Vec::with_capacity(EACH);
    let mut sent = 0;
    while ids.len() < EACH {
        while sent < EACH && sent - ids.len() < WINDOW {
            let data = json!({"topic": "room", "payload": {"publisher": publisher, "n": sent}});
            client.feed(json!({"type": "Broadcast", "data": data, "id": sent})).await;
            sent += 1;
        }
        client.flush().await;
        let ack = client.expect("Ack").await;
        assert_eq!(ack["id"], ids.len(), "answers arrive in the order of the requests");
        assert_eq!(ack["data"]["recipients"], MEMBERS, "{ack}");
        ids.push(ack["data"]["message_id"].clone());
    }
    ids
}

/// Receives all messages: the publisher, the number and the id of each, in order.
async fn listen(mut client: Client) -> Vec<(u64, u64, Value)> {
    let mut received = Vec::with_capacity(PUBLISHERS * EACH);
    while received.len() < PUBLISHERS * EACH {
        let mut message = client.expect("Broadcast").await;
        let payload = &message["data"]["payload"];
        let number = |name: &str| payload[name].as_u64().unwrap();
        received.push((number("publisher"), number("n"), message["data"]["message_id"].take()));
    }
    client.expect_silence().await;
    received
}

#[tokio::test]
async fn every_member_receives_every_message_once_in_one_order() {
    let hub = Hub::with("[server]\nworkers = 2");
    let mut members = JoinSet::new();
    for n in 0..MEMBERS {
        let mut member = Client::of(&hub, &format!("member-{n}")).await;
        member.subscribe(&["room"]).await;
        members.spawn(listen(member));
    }
    let mut publishers = JoinSet::new();
    for n in 0..PUBLISHERS {
        let client = Client::of(&hub, &format!("publisher-{n}")).await;
        publishers.spawn(async move { (n, publish(client, n).await) });
    }
    let mut acknowledged = vec![Vec::new(); PUBLISHERS];
    while let Some(done) = publishers.join_next().await {
        let (publisher, ids) = done.unwrap();
        acknowledged[publisher] = ids;
    }

    let mut first = None;
    while let Some(received) = members.join_next().await {
        let received = received.unwrap();
        for (publisher, ids) in acknowledged.iter().enumerate() {
            let from = received.iter().filter(|(of, ..)| *of == publisher as u64);
            let (numbers, their_ids): (Vec<_>, Vec<_>) = from.map(|(_, n, id)| (*n, id.clone())).unzip();
            assert_eq!(numbers, (0..EACH as u64).collect::<Vec<_>>(), "publisher {publisher}");
            assert_eq!(their_ids, *ids, "publisher {publisher} received other ids");
        }
        let order = first.get_or_insert_with(|| received.clone());
        assert_eq!(*order, received, "two members received different orders");
    }
}

#[tokio::test]
async fn pushes_and_publications_to_a_room_have_one_order() {
    let hub = Hub::with("[limits.http]\nrequests_per_minute = 0");
    let mut members = Vec::new();
    for n in 0..3 {
        let mut member = Client::of(&hub, &format!("member-{n}")).await;
        member.subscribe(&["lobby"]).await;
        members.push(member);
    }
    let mut sender = Client::of(&hub, "sender").await;
    let pushes = std::thread::spawn({
        let http = hub.http();
        move || {
            for n in 0..100 {
                let body = json!({"room": "lobby", "event": "Broadcast", "data": {"payload": 1000 + n}});
                let answer = http.request("POST", "/api/room").key().json(&body).send();
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        }
    });
    for n in 0..100 {
        sender.broadcast("lobby", json!(n)).await;
    }
    let mut orders = Vec::new();
    for member in &mut members {
        let mut order = Vec::new();
        for _ in 0..200 {
            order.push(member.expect("Broadcast").await["data"]["payload"].as_u64().unwrap());
        }
        orders.push(order);
    }
    pushes.join().unwrap();
    assert!(orders.iter().all(|order| *order == orders[0]), "{orders:?}");
    let (published, pushed): (Vec<u64>, Vec<u64>) = orders[0].iter().partition(|n| **n < 1000);
    assert_eq!(published, (0..100).collect::<Vec<_>>());
    assert_eq!(pushed, (1000..1100).collect::<Vec<_>>());
}
