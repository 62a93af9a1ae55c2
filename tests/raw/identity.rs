//! Users are identified by their ids alone, and ids are compared as text.

use serde_json::{Value, json};

use crate::support::client::without_time;
use crate::support::token::token_with;
use crate::support::{Client, Hub};

fn direct(target: Value, payload: Value) -> Value {
    json!({"type": "DirectMessage", "data": {"target_user": target, "payload": payload}})
}

async fn as_user(hub: &Hub, claims: Value) -> Client {
    Client::connect(hub, &token_with(claims)).await
}

#[tokio::test]
async fn a_direct_message_is_delivered_to_every_session_of_its_user_only() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    let mut bob = Client::of(&hub, "bob").await;
    let mut bob_too = Client::of(&hub, "bob").await;
    let mut carol = Client::of(&hub, "carol").await;

    let ack = without_time(alice.ask(direct(json!("bob"), json!({"a": null})), "Ack").await);
    let id = ack["data"]["message_id"].clone();
    assert_eq!(ack, json!({"type": "Ack", "data": {"message_id": id, "recipients": 2}}));
    for session in [&mut bob, &mut bob_too] {
        let data = json!({"from_user": "alice", "payload": {"a": null}, "message_id": id});
        let message = without_time(session.expect("DirectMessage").await);
        assert_eq!(message, json!({"type": "DirectMessage", "data": data}));
    }
    alice.expect_silence().await;
    carol.expect_silence().await;
}

#[tokio::test]
async fn a_direct_message_to_an_unknown_user_is_not_found() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    let mut message = direct(json!("nobody"), json!(1));
    message["id"] = json!("m1");
    let error = without_time(alice.ask(message, "Error").await);
    assert_eq!((&error["data"]["code"], &error["id"]), (&json!("NOT_FOUND"), &json!("m1")), "{error}");
}

#[tokio::test]
async fn a_direct_message_to_its_own_sender_is_delivered() {
    let hub = Hub::start();
    let mut here = Client::of(&hub, "alice").await;
    let mut there = Client::of(&hub, "alice").await;
    here.send(direct(json!("alice"), json!("note"))).await;
    // The answer and the message arrive in any order.
    let (first, second) = (here.next().await, here.next().await);
    let (ack, message) = if first["type"] == "Ack" { (first, second) } else { (second, first) };
    assert_eq!(ack["data"]["recipients"], 2, "{ack}");
    assert_eq!(message["type"], "DirectMessage", "{message}");
    assert_eq!(message["data"]["payload"], "note");
    assert_eq!(there.expect("DirectMessage").await["data"]["from_user"], "alice");
}

#[tokio::test]
async fn two_users_with_the_same_name_are_different_users() {
    let hub = Hub::start();
    let mut one = as_user(&hub, json!({"sub": "1", "name": "Sam"})).await;
    let mut two = as_user(&hub, json!({"sub": "2", "name": "Sam"})).await;
    let mut alice = Client::of(&hub, "alice").await;
    assert_eq!(two.welcome["data"]["details"]["user"]["name"], "Sam");

    let ack = alice.ask(direct(json!("2"), json!("for two")), "Ack").await;
    assert_eq!(ack["data"]["recipients"], 1);
    assert_eq!(two.expect("DirectMessage").await["data"]["payload"], "for two");
    one.expect_silence().await;
    let error = alice.ask(direct(json!("Sam"), json!(1)), "Error").await;
    assert_eq!(error["data"]["code"], "NOT_FOUND");
}

#[tokio::test]
async fn a_number_and_its_text_are_the_same_user_in_every_claim() {
    let hub = Hub::start();
    let mut sessions = Vec::new();
    for claims in [
        json!({"sub": 42}),
        json!({"sub": "42"}),
        json!({"userId": 42}),
        json!({"user_id": "42"}),
        json!({"sub": "42", "userId": "7", "user_id": 8}),
        json!({"userId": 42, "user_id": 8}),
    ] {
        let session = as_user(&hub, claims.clone()).await;
        let user = &session.welcome["data"]["details"]["user"]["id"];
        assert_eq!(user, "42", "{claims}");
        sessions.push(session);
    }
    let mut alice = Client::of(&hub, "alice").await;
    for target in [json!(42), json!("42")] {
        let ack = alice.ask(direct(target.clone(), json!(target)), "Ack").await;
        assert_eq!(ack["data"]["recipients"], 6, "{target}");
        for session in &mut sessions {
            assert_eq!(session.expect("DirectMessage").await["data"]["payload"], target);
        }
    }
    let mut forty_two = sessions.remove(0);
    forty_two.ask(direct(json!("alice"), json!(1)), "Ack").await;
    assert_eq!(alice.expect("DirectMessage").await["data"]["from_user"], "42");
}

#[tokio::test]
async fn the_name_and_the_roles_are_those_of_the_token() {
    let hub = Hub::start();
    let users = [
        (json!({"sub": "u"}), json!({"id": "u", "name": "u", "roles": []})),
        (json!({"sub": "u", "username": "un"}), json!({"id": "u", "name": "un", "roles": []})),
        (json!({"sub": "u", "username": "un", "name": "N"}), json!({"id": "u", "name": "N", "roles": []})),
        (json!({"sub": "u", "role": "admin"}), json!({"id": "u", "name": "u", "roles": ["admin"]})),
        (json!({"sub": "u", "roles": ["a", "b"]}), json!({"id": "u", "name": "u", "roles": ["a", "b"]})),
    ];
    for (claims, user) in users {
        let session = as_user(&hub, claims).await;
        assert_eq!(session.welcome["data"]["details"]["user"], user);
    }
}
