//! Polling clients receive every event that was acknowledged before the hub stops, though a poll fetches only the packets
//! that are queued when it arrives.

use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;

use crate::support::http::Http;
use crate::support::socketio::{SocketPacket, WirePacket, decode_payload};
use crate::support::{Client, DEADLINE, Hub, Sio, SioTransport, eventually};

/// Publishes without pause until the hub stops. The result: the ids of the acknowledged publications.
async fn publish(mut client: Client) -> Vec<String> {
    let mut acknowledged = Vec::new();
    loop {
        let data = json!({"topic": "room", "payload": acknowledged.len()});
        if !client.try_send(json!({"type": "Broadcast", "data": data})).await {
            return acknowledged;
        }
        match client.try_answer().await {
            Ok(answer) if answer["type"] == "Ack" => {
                acknowledged.push(answer["data"]["message_id"].as_str().unwrap().to_owned());
            }
            Ok(answer) => assert_eq!(answer["data"]["code"], "SHUTTING_DOWN", "{answer}"),
            Err(_) => return acknowledged,
        }
    }
}

/// Polls until the close packet, or until the hub is gone, and waits for `latency` between two polls. The result: the data of
/// all packets.
fn poll_to_the_end(http: &Http, path: &str, latency: Duration) -> Vec<Value> {
    let mut received = Vec::new();
    while let Some(answer) = http.request("GET", path).try_send() {
        if answer.status != 200 {
            break;
        }
        for packet in decode_payload(&answer.body) {
            let WirePacket::Text(packet) = packet else { panic!("{packet:?}") };
            match packet.as_str() {
                "1" => return received,
                "2" | "6" => {}
                message => received.push(SocketPacket::parse(&message[1..]).0.data),
            }
        }
        std::thread::sleep(latency);
    }
    received
}

#[tokio::test]
async fn polling_clients_receive_all_acknowledged_events_before_the_hub_stops() {
    let mut hub = Hub::with("[server]\nshutdown_secs = 60\n[limits.raw]\nmessages_per_minute = 0");
    let mut members = Vec::new();
    for n in 0..6 {
        let mut member = Sio::of(&hub, SioTransport::Polling, &format!("member-{n}")).await;
        member.join("room").await;
        let (http, path) = (hub.http(), member.polling().path());
        members.push(tokio::task::spawn_blocking(move || poll_to_the_end(&http, &path, Duration::ZERO)));
    }
    let mut publishers = Vec::new();
    for n in 0..2 {
        let client = Client::of(&hub, &format!("publisher-{n}")).await;
        publishers.push(tokio::spawn(publish(client)));
    }
    eventually(DEADLINE, "there is some load", || hub.counters()["messages_sent"].as_u64().unwrap() > 1_000).await;
    hub.signal("TERM");
    let mut acknowledged = HashSet::new();
    for publisher in publishers {
        acknowledged.extend(publisher.await.unwrap());
    }
    assert!(acknowledged.len() > 50, "{} are no load", acknowledged.len());
    for (n, member) in members.into_iter().enumerate() {
        let received = member.await.unwrap();
        let id = |data: &Value| (data[0] == "Broadcast").then(|| data[1]["message_id"].as_str().unwrap().to_owned());
        let ids: HashSet<_> = received.iter().filter_map(id).collect();
        let missed = acknowledged.difference(&ids).count();
        assert_eq!(missed, 0, "member {n} missed {missed} of {} acknowledged events", acknowledged.len());
        assert_eq!(received.last().unwrap()[0], "disconnected", "member {n}");
    }
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}

#[tokio::test]
async fn the_hub_waits_for_a_polling_client_with_high_latency() {
    let mut hub = Hub::with("[server]\nshutdown_secs = 60\n[limits.http]\nrequests_per_minute = 0");
    let mut member = Sio::of(&hub, SioTransport::Polling, "member").await;
    member.join("room").await;
    let (http, path) = (hub.http(), member.polling().path());
    let latency = Duration::from_millis(150);
    let member = tokio::task::spawn_blocking(move || poll_to_the_end(&http, &path, latency));
    let publisher = tokio::task::spawn_blocking({
        let http = hub.http();
        move || {
            let mut published = 0;
            loop {
                let body = json!({"room": "room", "event": "note", "data": published});
                match http.request("POST", "/api/room").key().json(&body).try_send() {
                    Some(answer) if answer.status == 200 => published += 1,
                    _ => return published,
                }
            }
        }
    });
    eventually(DEADLINE, "there is some load", || hub.counters()["messages_sent"].as_u64().unwrap() > 100).await;
    hub.signal("TERM");
    let published: u64 = publisher.await.unwrap();
    let received = member.await.unwrap();
    let notes: Vec<_> =
        received.iter().filter(|data| data[0] == "note").map(|data| data[1].as_u64().unwrap()).collect();
    assert_eq!(notes.len() as u64, published, "of {published} acknowledged events");
    assert_eq!(received.last().unwrap()[0], "disconnected");
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}
