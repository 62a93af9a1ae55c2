//! What was acknowledged before the hub goes away reaches those who poll as well, though a poll fetches only what there
//! was when it came.

use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;

use crate::support::http::Http;
use crate::support::socketio::{EnginePacket, SocketPacket, decode_payload};
use crate::support::{Client, DEADLINE, Hub, Sio, Transport, eventually};

/// Publishes without pause until the hub goes away; the ids of all that was acknowledged.
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

/// Polls until it is told that nothing follows, or nobody is there to say so; what it heard. As one who is far away, it
/// takes its time from one poll to the next.
fn poll_to_the_end(http: &Http, path: &str, distance: Duration) -> Vec<Value> {
    let mut heard = Vec::new();
    while let Some(answer) = http.request("GET", path).try_send() {
        if answer.status != 200 {
            break;
        }
        for packet in decode_payload(&answer.body) {
            let EnginePacket::Text(packet) = packet else { panic!("{packet:?}") };
            match packet.as_str() {
                "1" => return heard,
                "2" | "6" => {}
                message => heard.push(SocketPacket::parse(&message[1..]).0.data),
            }
        }
        std::thread::sleep(distance);
    }
    heard
}

#[tokio::test]
async fn what_was_acknowledged_reaches_those_who_poll_before_the_end() {
    let mut hub = Hub::with("[server]\nshutdown_secs = 10\n[limits.raw]\nmessages_per_minute = 0");
    let mut members = Vec::new();
    for n in 0..6 {
        let mut member = Sio::of(&hub, Transport::Polling, &format!("member-{n}")).await;
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
        let heard = member.await.unwrap();
        let id = |data: &Value| (data[0] == "Broadcast").then(|| data[1]["message_id"].as_str().unwrap().to_owned());
        let ids: HashSet<_> = heard.iter().filter_map(id).collect();
        let missed = acknowledged.difference(&ids).count();
        assert_eq!(missed, 0, "member {n} missed {missed} of {} that were acknowledged", acknowledged.len());
        assert_eq!(heard.last().unwrap()[0], "disconnected", "member {n}");
    }
    assert_eq!(hub.exit_status(Duration::from_secs(12)), Some(0), "{}", hub.output());
}

#[tokio::test]
async fn one_who_polls_from_afar_is_waited_for_as_well() {
    let mut hub = Hub::with("[server]\nshutdown_secs = 10\n[limits.http]\nrequests_per_minute = 0");
    let mut member = Sio::of(&hub, Transport::Polling, "member").await;
    member.join("room").await;
    let (http, path) = (hub.http(), member.polling().path());
    let far = Duration::from_millis(150);
    let member = tokio::task::spawn_blocking(move || poll_to_the_end(&http, &path, far));
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
    let heard = member.await.unwrap();
    let notes: Vec<_> = heard.iter().filter(|data| data[0] == "note").map(|data| data[1].as_u64().unwrap()).collect();
    assert_eq!(notes.len() as u64, published, "of {published} that were acknowledged");
    assert_eq!(heard.last().unwrap()[0], "disconnected");
    assert_eq!(hub.exit_status(Duration::from_secs(12)), Some(0), "{}", hub.output());
}
