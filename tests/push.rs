//! What a backend pushes over HTTP, as raw clients hear it.

use serde_json::{Value, json};

use crate::support::client::without_time;
use crate::support::{Client, DEADLINE, Hub, eventually};

/// Posts, and gives the answer's body, which has to say that it went well.
#[track_caller]
fn push(hub: &Hub, path: &str, body: &Value) -> Value {
    let answer = hub.http().request("POST", path).key().json(body).send();
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["success"], true, "{body}");
    assert!(body["timestamp"].is_string(), "the push document prints its times: {body}");
    body
}

#[tokio::test]
async fn a_push_reaches_every_session_of_the_user() {
    let hub = Hub::start();
    let mut here = Client::of(&hub, "42").await;
    let mut there = Client::of(&hub, "42").await;
    let mut other = Client::of(&hub, "7").await;
    let body = json!({"userId": "42", "event": "order:shipped", "data": {"id": 1, "items": [null]}});
    let answer = push(&hub, "/api/push", &body);
    assert_eq!((&answer["recipients"], &answer["delivered"]), (&json!(2), &json!(true)), "{answer}");
    for session in [&mut here, &mut there] {
        let event = without_time(session.expect("order:shipped").await);
        assert_eq!(event, json!({"type": "order:shipped", "data": {"id": 1, "items": [null]}}));
    }
    other.expect_silence().await;
    let nobody = json!({"userId": "nobody", "event": "e", "data": {}});
    let answer = push(&hub, "/api/push", &nobody);
    assert_eq!((&answer["recipients"], &answer["delivered"]), (&json!(0), &json!(false)), "{answer}");
}

#[tokio::test]
async fn a_broadcast_reaches_everybody_once() {
    let hub = Hub::with("[server]\nworkers = 2");
    let mut sessions = Vec::new();
    for n in 0..6 {
        let mut session = Client::of(&hub, &format!("user-{}", n % 4)).await;
        session.subscribe(&["a", "b"]).await;
        sessions.push(session);
    }
    let answer = push(&hub, "/api/broadcast", &json!({"event": "maintenance", "data": {"in": 5}}));
    assert_eq!(answer["recipients"], 6, "{answer}");
    for session in &mut sessions {
        let event = without_time(session.expect("maintenance").await);
        assert_eq!(event, json!({"type": "maintenance", "data": {"in": 5}}));
        session.expect_silence().await;
    }
}

#[tokio::test]
async fn a_room_is_its_members_and_names_itself() {
    let hub = Hub::start();
    let mut member = Client::of(&hub, "member").await;
    member.subscribe(&["lobby"]).await;
    let mut stranger = Client::of(&hub, "stranger").await;
    let body = json!({"room": "lobby", "event": "score", "data": [1, 2]});
    assert_eq!(push(&hub, "/api/room", &body)["recipients"], 1);
    let event = without_time(member.expect("score").await);
    assert_eq!(event, json!({"type": "score", "topic": "lobby", "data": [1, 2]}));
    stranger.expect_silence().await;
}

#[tokio::test]
async fn the_laravel_shape_reaches_a_user_a_room_and_all() {
    let hub = Hub::start();
    let mut user = Client::of(&hub, "42").await;
    let mut member = Client::of(&hub, "7").await;
    member.subscribe(&["lobby"]).await;
    let event = |to: Value| {
        let mut body = json!({"event": "e", "data": {"n": 1}});
        body.as_object_mut().unwrap().extend(to.as_object().unwrap().clone());
        push(&hub, "/api/broadcast", &body)["recipients"].clone()
    };
    assert_eq!(event(json!({"to": "user", "user_id": 42})), 1);
    user.expect("e").await;
    assert_eq!(event(json!({"to": "room", "room": "lobby"})), 1);
    assert_eq!(member.expect("e").await["topic"], "lobby");
    assert_eq!(event(json!({"to": "all"})), 2);
    user.expect("e").await;
    member.expect("e").await;
    user.expect_silence().await;
    member.expect_silence().await;
}

#[tokio::test]
async fn who_is_disconnected_over_http_is_closed_with_4403() {
    let hub = Hub::start();
    let mut here = Client::of(&hub, "mallory").await;
    let mut there = Client::of(&hub, "mallory").await;
    let mut other = Client::of(&hub, "alice").await;
    push(&hub, "/api/disconnect", &json!({"userId": "mallory"}));
    assert_eq!(here.close_code().await, Some(4403));
    assert_eq!(there.close_code().await, Some(4403));
    eventually(DEADLINE, "they are gone", || hub.connections() == 1).await;
    other.expect_silence().await;
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
