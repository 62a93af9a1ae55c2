//! What a room promises its members: every message, once, in one order for all.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Client, Hub};

const PUBLISHERS: usize = 4;
const EACH: usize = 500;
const MEMBERS: usize = 50;
/// How many messages a publisher has under way.
const WINDOW: usize = 16;

/// Publishes `EACH` messages, a window at a time, and gives the ids of their `Ack`s.
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
        assert_eq!(ack["id"], ids.len(), "answers come in the order of the questions");
        assert_eq!(ack["data"]["recipients"], MEMBERS, "{ack}");
        ids.push(ack["data"]["message_id"].clone());
    }
    ids
}

/// Hears everything: each message's publisher, number and id, as they came.
async fn listen(mut client: Client) -> Vec<(u64, u64, Value)> {
    let mut heard = Vec::with_capacity(PUBLISHERS * EACH);
    while heard.len() < PUBLISHERS * EACH {
        let mut message = client.expect("Broadcast").await;
        let payload = &message["data"]["payload"];
        let number = |name: &str| payload[name].as_u64().unwrap();
        heard.push((number("publisher"), number("n"), message["data"]["message_id"].take()));
    }
    client.expect_silence().await;
    heard
}

#[tokio::test]
async fn every_member_gets_every_message_once_in_the_order_of_all_the_others() {
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
    while let Some(heard) = members.join_next().await {
        let heard = heard.unwrap();
        for (publisher, ids) in acknowledged.iter().enumerate() {
            let from = heard.iter().filter(|(of, ..)| *of == publisher as u64);
            let (numbers, their_ids): (Vec<_>, Vec<_>) = from.map(|(_, n, id)| (*n, id.clone())).unzip();
            assert_eq!(numbers, (0..EACH as u64).collect::<Vec<_>>(), "publisher {publisher}");
            assert_eq!(their_ids, *ids, "publisher {publisher} was told other ids");
        }
        let order = first.get_or_insert_with(|| heard.clone());
        assert_eq!(*order, heard, "two members heard different orders");
    }
}

#[tokio::test]
async fn pushes_and_publications_to_one_room_have_one_order() {
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
