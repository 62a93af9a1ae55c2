//! A room with clients of all transports: raw WebSocket, and Socket.IO by polling and by WebSocket. Each receives the events of
//! all others once, in one order for all.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Client, Hub, Sio, SioTransport};

/// Members with a raw WebSocket, and members a Socket.IO transport.
const OF_A_KIND: usize = 2;
const KINDS: usize = 3;
const MEMBERS: usize = OF_A_KIND * KINDS;
/// The events that each member publishes.
const EACH: usize = 100;

/// The received events: the publisher, its number among the events of the publisher, and its id.
type ReceivedEvents = Vec<(u64, u64, String)>;

fn publication(member: usize, n: usize) -> Value {
    json!({"topic": "room", "payload": {"member": member, "n": n}})
}

fn record(received: &mut ReceivedEvents, data: &Value) {
    let number = |name: &str| data["payload"][name].as_u64().unwrap();
    assert_eq!(data["from_user"], format!("member-{}", number("member")), "{data}");
    received.push((number("member"), number("n"), data["message_id"].as_str().unwrap().to_owned()));
}

/// Publishes each event when the one before is acknowledged, and receives the events of the others.
async fn publish_and_receive_raw(mut client: Client, member: usize) -> ReceivedEvents {
    let mut received = ReceivedEvents::new();
    for n in 0..EACH {
        client.send(json!({"type": "Broadcast", "data": publication(member, n), "id": n})).await;
        loop {
            let message = client.next().await;
            if message["type"] == "Broadcast" {
                record(&mut received, &message["data"]);
            } else {
                assert_eq!((&message["type"], &message["id"]), (&json!("Ack"), &json!(n)), "{message}");
                assert_eq!(message["data"]["recipients"], MEMBERS, "{message}");
                break;
            }
        }
    }
    while received.len() < (MEMBERS - 1) * EACH {
        record(&mut received, &client.expect("Broadcast").await["data"]);
    }
    client.expect_silence().await;
    received
}

async fn publish_and_receive(mut client: Sio, member: usize) -> ReceivedEvents {
    let mut received = ReceivedEvents::new();
    for n in 0..EACH {
        let id = client.emit_for_ack("/", "Broadcast", publication(member, n)).await;
        loop {
            let packet = client.receive().await;
            if packet.event() == Some("Broadcast") {
                record(&mut received, &packet.data[1]);
            } else {
                assert_eq!((packet.id, &packet.data[0]["recipients"]), (Some(id), &json!(MEMBERS)), "{packet:?}");
                break;
            }
        }
    }
    while received.len() < (MEMBERS - 1) * EACH {
        record(&mut received, &client.expect("Broadcast").await);
    }
    client.expect_silence().await;
    received
}

/// Receives the events of all members.
async fn witness(mut client: Client) -> ReceivedEvents {
    let mut received = ReceivedEvents::new();
    while received.len() < MEMBERS * EACH {
        record(&mut received, &client.expect("Broadcast").await["data"]);
    }
    client.expect_silence().await;
    received
}

#[tokio::test]
async fn members_on_all_transports_receive_each_event_once_in_one_order() {
    let hub = Hub::with(
        "[server]\nworkers = 2\n[limits.raw]\nmessages_per_minute = 0\n[limits.push]\nmessages_per_minute = 0",
    );
    let mut parts = JoinSet::new();
    let mut witnessing = Client::of(&hub, "witness").await;
    witnessing.subscribe(&["room"]).await;
    // All join before the first one publishes.
    let (mut raw, mut namespaced) = (Vec::new(), Vec::new());
    for member in 0..OF_A_KIND {
        let mut client = Client::of(&hub, &format!("member-{member}")).await;
        client.subscribe(&["room"]).await;
        raw.push((client, member));
    }
    for member in OF_A_KIND..MEMBERS {
        let transport = SioTransport::BOTH[member % 2];
        let mut client = Sio::of(&hub, transport, &format!("member-{member}")).await;
        client.join("room").await;
        namespaced.push((client, member));
    }
    let witnessing = tokio::spawn(witness(witnessing));
    for (client, member) in raw {
        parts.spawn(async move { (member, publish_and_receive_raw(client, member).await) });
    }
    for (client, member) in namespaced {
        parts.spawn(async move { (member, publish_and_receive(client, member).await) });
    }
    let order = witnessing.await.unwrap();
    for member in 0..MEMBERS as u64 {
        let numbers: Vec<_> = order.iter().filter(|(by, ..)| *by == member).map(|(_, n, _)| *n).collect();
        assert_eq!(numbers, (0..EACH as u64).collect::<Vec<_>>(), "the events of member {member}");
    }
    while let Some(part) = parts.join_next().await {
        let (member, received) = part.unwrap();
        let others: ReceivedEvents = order.iter().filter(|(by, ..)| *by != member as u64).cloned().collect();
        assert_eq!(received, others, "member {member}");
    }
}

#[tokio::test]
async fn a_room_is_joined_and_left_on_each_transport() {
    let hub = Hub::start();
    let mut raw = Client::of(&hub, "raw").await;
    raw.subscribe(&["room"]).await;
    let room = |n: u64| {
        let body = json!({"room": "room", "event": "note", "data": {"n": n}});
        let answer = hub.http().request("POST", "/api/room").key().json(&body).send();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["recipients"].as_u64().unwrap()
    };
    for transport in SioTransport::BOTH {
        let mut member = Sio::of(&hub, transport, "member").await;
        assert_eq!(room(1), 1);
        member.join("room").await;
        assert_eq!(room(2), 2);
        assert_eq!(member.expect("note").await, json!({"n": 2}));
        let id = member.emit_for_ack("/", "room:leave", json!({"room": "room"})).await;
        let left = json!({"success": true, "room": "room"});
        assert_eq!(member.expect("room:leave:ack").await, left);
        let packet = member.receive().await;
        assert_eq!((packet.id, packet.data), (Some(id), json!([left])));
        assert_eq!(room(3), 1);
        member.expect_silence().await;
        for n in 1..=3 {
            assert_eq!(raw.expect("note").await["data"], json!({ "n": n }));
        }
    }
}

#[tokio::test]
async fn a_socket_io_payload_has_the_bound_of_a_raw_one() {
    let hub = Hub::start();
    let mut bob = Sio::of(&hub, SioTransport::WebSocket, "bob").await;
    bob.join("lobby").await;
    let mut alice = Sio::of(&hub, SioTransport::Polling, "alice").await;
    let refusal = json!([{
        "success": false, "error": "`payload` may have 65536 bytes of JSON", "code": "INVALID_REQUEST",
        "details": {"field": "payload"},
    }]);
    for (event, field, recipient) in [("Broadcast", "topic", "lobby"), ("DirectMessage", "target_user", "bob")] {
        let id = alice.emit_for_ack("/", event, json!({field: recipient, "payload": "x".repeat(65_535)})).await;
        assert_eq!(alice.expect("error").await["details"]["field"], "payload");
        let packet = alice.receive().await;
        assert_eq!((packet.id, packet.data), (Some(id), refusal.clone()));
        let id = alice.emit_for_ack("/", event, json!({field: recipient, "payload": "x".repeat(65_534)})).await;
        let packet = alice.receive().await;
        assert_eq!((packet.id, &packet.data[0]["recipients"]), (Some(id), &json!(1)));
        assert_eq!(bob.expect(event).await["payload"], "x".repeat(65_534));
    }
    bob.expect_silence().await;
}
