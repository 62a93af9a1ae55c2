//! Events of the Socket.IO namespaces, sent on the raw WebSocket by their names.

use serde_json::{Value, json};

use crate::support::client::without_time;
use crate::support::token::token;
use crate::support::{Client, Hub};

fn named(event: &str, data: Value) -> Value {
    json!({"type": event, "data": data, "id": event})
}

/// The answer to an event that has its own name as `id`.
async fn answer(client: &mut Client, event: &str, data: Value) -> Value {
    let mut reply = without_time(client.ask(named(event, data), "Reply").await);
    assert_eq!((&reply["type"], &reply["id"]), (&json!("Reply"), &json!(event)), "{reply}");
    reply["data"].take()
}

#[tokio::test]
async fn a_room_is_joined_and_left_like_a_topic() {
    let hub = Hub::start();
    let (mut alice, mut bob) = (Client::of(&hub, "alice").await, Client::of(&hub, "bob").await);
    let request = json!({"room": "lobby"});
    let expected = json!({"success": true, "room": "lobby"});
    assert_eq!(answer(&mut alice, "room:join", request.clone()).await, expected);
    bob.broadcast("lobby", json!("hello")).await;
    assert_eq!(alice.expect("Broadcast").await["data"]["payload"], "hello");
    assert_eq!(answer(&mut alice, "room:leave", request).await, expected);
    bob.broadcast("lobby", json!("anybody?")).await;
    alice.expect_silence().await;
}

#[tokio::test]
async fn a_request_without_an_id_is_answered_only_when_it_is_refused() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    for (event, data) in
        [("ping", json!({})), ("register", json!({"userId": "alice"})), ("room:join", json!({"room": "a"}))]
    {
        client.send(json!({"type": event, "data": data})).await;
    }
    client.send(json!({"type": "room:join", "data": {"room": "user:bob"}})).await;
    let error = client.expect("Error").await;
    assert_eq!((&error["data"]["code"], &error["id"]), (&json!("FORBIDDEN"), &Value::Null), "{error}");
    client.expect_silence().await;
}

#[tokio::test]
async fn ping_register_and_authenticate_are_answered_when_they_have_an_id() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "42").await;
    assert_eq!(answer(&mut client, "ping", json!({"timestamp": 1})).await, json!({}));
    let registered = json!({"success": true, "userId": "42"});
    assert_eq!(answer(&mut client, "register", json!({"userId": 42})).await, registered);
    let authenticated = answer(&mut client, "authenticate", json!({"token": token("42")})).await;
    assert_eq!(
        (&authenticated["user"]["id"], &authenticated["socketId"]),
        (&json!(42), &client.welcome["data"]["details"]["connection_id"])
    );

    for (event, data, code) in [
        ("register", json!({"userId": "43"}), "FORBIDDEN"),
        ("authenticate", json!({"token": token("43")}), "FORBIDDEN"),
        ("authenticate", json!({"token": "nonsense"}), "INVALID_TOKEN"),
        ("authenticate", json!({}), "INVALID_REQUEST"),
    ] {
        let error = client.ask(named(event, data), "Error").await;
        assert_eq!((&error["data"]["code"], &error["id"]), (&json!(code), &json!(event)), "{error}");
    }
}
