//! A room with members of every kind: raw ones, and Socket.IO ones on either transport. Each hears all the others, once,
//! in one order for all.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Client, Hub, Sio, Transport};

/// Members of each kind, and what each of them publishes.
const OF_A_KIND: usize = 2;
const KINDS: usize = 3;
const MEMBERS: usize = OF_A_KIND * KINDS;
const EACH: usize = 100;

/// What a member heard: who published it, which of theirs it was, and its id.
type Heard = Vec<(u64, u64, String)>;

fn publication(member: usize, n: usize) -> Value {
    json!({"topic": "room", "payload": {"member": member, "n": n}})
}

fn note(heard: &mut Heard, data: &Value) {
    let number = |name: &str| data["payload"][name].as_u64().unwrap();
    assert_eq!(data["from_user"], format!("member-{}", number("member")), "{data}");
    heard.push((number("member"), number("n"), data["message_id"].as_str().unwrap().to_owned()));
}

/// Publishes all, each once the one before is acknowledged, and hears all the others.
async fn take_part_raw(mut client: Client, member: usize) -> Heard {
    let mut heard = Heard::new();
    for n in 0..EACH {
        client.send(json!({"type": "Broadcast", "data": publication(member, n), "id": n})).await;
        loop {
            let message = client.next().await;
            if message["type"] == "Broadcast" {
                note(&mut heard, &message["data"]);
            } else {
                assert_eq!((&message["type"], &message["id"]), (&json!("Ack"), &json!(n)), "{message}");
                assert_eq!(message["data"]["recipients"], MEMBERS, "{message}");
                break;
            }
        }
    }
    while heard.len() < (MEMBERS - 1) * EACH {
        note(&mut heard, &client.expect("Broadcast").await["data"]);
    }
    client.expect_silence().await;
    heard
}

async fn take_part(mut client: Sio, member: usize) -> Heard {
    let mut heard = Heard::new();
    for n in 0..EACH {
        let id = client.emit_for_ack("/", "Broadcast", publication(member, n)).await;
        loop {
            let said = client.receive().await;
            if said.event() == Some("Broadcast") {
                note(&mut heard, &said.data[1]);
            } else {
                assert_eq!((said.id, &said.data[0]["recipients"]), (Some(id), &json!(MEMBERS)), "{said:?}");
                break;
            }
        }
    }
    while heard.len() < (MEMBERS - 1) * EACH {
        note(&mut heard, &client.expect("Broadcast").await);
    }
    client.expect_silence().await;
    heard
}

/// Who only listens, and hears them all.
async fn witness(mut client: Client) -> Heard {
    let mut heard = Heard::new();
    while heard.len() < MEMBERS * EACH {
        note(&mut heard, &client.expect("Broadcast").await["data"]);
    }
    client.expect_silence().await;
    heard
}

#[tokio::test]
async fn members_of_every_kind_hear_each_other_in_one_order_and_once() {
    let hub = Hub::with(
        "[server]\nworkers = 2\n[limits.raw]\nmessages_per_minute = 0\n[limits.push]\nmessages_per_minute = 0",
    );
    let mut parts = JoinSet::new();
    let mut watching = Client::of(&hub, "witness").await;
    watching.subscribe(&["room"]).await;
    // All are in before the first says something, so that all of them hear it all.
    let (mut raw, mut namespaced) = (Vec::new(), Vec::new());
    for member in 0..OF_A_KIND {
        let mut client = Client::of(&hub, &format!("member-{member}")).await;
        client.subscribe(&["room"]).await;
        raw.push((client, member));
    }
    for member in OF_A_KIND..MEMBERS {
        let transport = Transport::BOTH[member % 2];
        let mut client = Sio::of(&hub, transport, &format!("member-{member}")).await;
        client.join("room").await;
        namespaced.push((client, member));
    }
    let watching = tokio::spawn(witness(watching));
    for (client, member) in raw {
        parts.spawn(async move { (member, take_part_raw(client, member).await) });
    }
    for (client, member) in namespaced {
        parts.spawn(async move { (member, take_part(client, member).await) });
    }
    let order = watching.await.unwrap();
    for member in 0..MEMBERS as u64 {
        let numbers: Vec<_> = order.iter().filter(|(by, ..)| *by == member).map(|(_, n, _)| *n).collect();
        assert_eq!(numbers, (0..EACH as u64).collect::<Vec<_>>(), "what member {member} published");
    }
    while let Some(part) = parts.join_next().await {
        let (member, heard) = part.unwrap();
        let others: Heard = order.iter().filter(|(by, ..)| *by != member as u64).cloned().collect();
        assert_eq!(heard, others, "member {member} heard something else, or in another order");
    }
}

#[tokio::test]
async fn a_room_is_left_and_entered_on_every_surface_alike() {
    let hub = Hub::start();
    let mut raw = Client::of(&hub, "raw").await;
    raw.subscribe(&["room"]).await;
    let room = |n: u64| {
        let body = json!({"room": "room", "event": "note", "data": {"n": n}});
        let answer = hub.http().request("POST", "/api/room").key().json(&body).send();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["recipients"].as_u64().unwrap()
    };
    for transport in Transport::BOTH {
        let mut member = Sio::of(&hub, transport, "member").await;
        assert_eq!(room(1), 1);
        member.join("room").await;
        assert_eq!(room(2), 2);
        assert_eq!(member.expect("note").await, json!({"n": 2}));
        let id = member.emit_for_ack("/", "room:leave", json!({"room": "room"})).await;
        let left = json!({"success": true, "room": "room"});
        assert_eq!(member.expect("room:leave:ack").await, left);
        let said = member.receive().await;
        assert_eq!((said.id, said.data), (Some(id), json!([left])));
        assert_eq!(room(3), 1);
        member.expect_silence().await;
        for n in 1..=3 {
            assert_eq!(raw.expect("note").await["data"], json!({ "n": n }));
        }
    }
}

#[tokio::test]
async fn nobody_can_fill_what_another_has_unread_with_a_message_larger_than_a_raw_one() {
    let hub = Hub::start();
    let mut bob = Sio::of(&hub, Transport::WebSocket, "bob").await;
    bob.join("lobby").await;
    let mut alice = Sio::of(&hub, Transport::Polling, "alice").await;
    let refusal = json!([{
        "success": false, "error": "`payload` may have 65536 bytes of JSON", "code": "INVALID_REQUEST",
        "details": {"field": "payload"},
    }]);
    for (event, field, whom) in [("Broadcast", "topic", "lobby"), ("DirectMessage", "target_user", "bob")] {
        let id = alice.emit_for_ack("/", event, json!({field: whom, "payload": "x".repeat(65_535)})).await;
        assert_eq!(alice.expect("error").await["details"]["field"], "payload");
        let said = alice.receive().await;
        assert_eq!((said.id, said.data), (Some(id), refusal.clone()));
        let id = alice.emit_for_ack("/", event, json!({field: whom, "payload": "x".repeat(65_534)})).await;
        let said = alice.receive().await;
        assert_eq!((said.id, &said.data[0]["recipients"]), (Some(id), &json!(1)));
        assert_eq!(bob.expect(event).await["payload"], "x".repeat(65_534));
    }
    bob.expect_silence().await;
}
