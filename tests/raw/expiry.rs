//! A session ends when its token expires, unless its client sends a fresh token of the same user in time.

use serde_json::{Value, json};

use crate::support::client::without_time;
use crate::support::token::{now, token, token_with};
use crate::support::{Client, Hub};

const NO_LEEWAY: &str = "[server]\nworkers = 1\n[auth]\nleeway_secs = 0";

fn authenticate(token: &str) -> Value {
    json!({"type": "Authenticate", "data": {"token": token}, "id": "auth"})
}

/// A session of alice with a token that expires in some seconds.
async fn expiring_in(hub: &Hub, seconds: f64) -> Client {
    let token = token_with(json!({"sub": "alice", "exp": hub.now() as f64 + seconds}));
    Client::connect(hub, &token).await
}

#[tokio::test]
async fn at_its_expiry_a_session_gets_an_error_and_is_closed_with_4401() {
    let hub = Hub::with_manual_clock(NO_LEEWAY);
    let (mut first, mut second) = (expiring_in(&hub, 1.999).await, expiring_in(&hub, 2.0).await);
    // One sweep judges both of them.
    hub.advance(1_999);
    assert_eq!(first.close_code().await, Some(4401));
    second.expect_silence().await;
    hub.advance(1);
    let (messages, code) = second.until_closed().await;
    assert_eq!(code, Some(4401), "{messages:?}");
    let [error] = messages.as_slice() else { panic!("one message, not {messages:?}") };
    let error = without_time(error.clone());
    assert_eq!((&error["type"], &error["data"]["code"]), (&json!("Error"), &json!("TOKEN_EXPIRED")));
}

#[tokio::test]
async fn the_leeway_counts_while_connected_too() {
    let hub = Hub::with_manual_clock("[server]\nworkers = 1\n[auth]\nleeway_secs = 2");
    let (mut first, mut second) = (expiring_in(&hub, 0.999).await, expiring_in(&hub, 1.0).await);
    hub.advance(2_999);
    assert_eq!(first.close_code().await, Some(4401));
    second.expect_silence().await;
    hub.advance(1);
    assert_eq!(second.close_code().await, Some(4401));
}

#[tokio::test]
async fn a_fresh_token_of_the_same_user_extends_the_session() {
    let hub = Hub::with_manual_clock(NO_LEEWAY);
    let (mut client, mut unchanged) = (expiring_in(&hub, 3.0).await, expiring_in(&hub, 3.0).await);
    let later = hub.now() + 3600;
    let fresh = token_with(json!({"sub": "alice", "name": "Alice", "exp": later}));
    let status = without_time(client.ask(authenticate(&fresh), "Status").await);
    assert_eq!(
        status,
        json!({"type": "Status", "id": "auth", "data": {"status": "authenticated", "details": {
            "user": {"id": "alice", "name": "Alice", "roles": []},
            "expires_at": later * 1000,
        }}})
    );
    hub.advance(5_000);
    assert_eq!(unchanged.close_code().await, Some(4401));
    client.expect_silence().await;
}

#[tokio::test]
async fn a_token_of_another_user_does_not_extend_the_session() {
    let hub = Hub::with_manual_clock(NO_LEEWAY);
    let mut client = expiring_in(&hub, 3.0).await;
    let error = client.ask(authenticate(&token("mallory")), "Error").await;
    assert_eq!((&error["data"]["code"], &error["id"]), (&json!("FORBIDDEN"), &json!("auth")), "{error}");
    hub.advance(3_000);
    let (messages, code) = client.until_closed().await;
    assert_eq!(code, Some(4401), "{messages:?}");
}

#[tokio::test]
async fn a_bad_token_is_refused_and_changes_nothing() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    let expired = token_with(json!({"sub": "alice", "exp": now() - 60}));
    let error = client.ask(authenticate(&expired), "Error").await;
    assert_eq!(error["data"]["code"], "TOKEN_EXPIRED", "{error}");
    let error = client.ask(authenticate("nonsense"), "Error").await;
    assert_eq!(error["data"]["code"], "INVALID_TOKEN", "{error}");
    client.expect_silence().await;
}

#[tokio::test]
async fn a_fresh_token_replaces_the_rights_of_the_session() {
    let hub = Hub::with("[[topics]]\npattern = \"*\"\nsubscribe = \"role:admin\"\npublish = \"anyone\"");
    let mut client = Client::of(&hub, "alice").await;
    let subscribe = json!({"type": "Subscribe", "data": {"topics": ["t"]}});
    let status = client.ask(subscribe, "Status").await;
    assert_eq!(status["data"]["details"]["topics"], json!([]), "{status}");
    let promoted = token_with(json!({"sub": "alice", "role": "admin"}));
    client.ask(authenticate(&promoted), "Status").await;
    client.subscribe(&["t"]).await;
}

#[tokio::test]
async fn requests_after_a_fresh_token_are_checked_against_it() {
    let hub = Hub::with("[[topics]]\npattern = \"*\"\nsubscribe = \"role:admin\"\npublish = \"role:admin\"");
    let mut client = Client::of(&hub, "alice").await;
    let promoted = token_with(json!({"sub": "alice", "role": "admin"}));
    client.feed(authenticate(&promoted)).await;
    client.feed(json!({"type": "Subscribe", "data": {"topics": ["t"]}})).await;
    client.feed(json!({"type": "Broadcast", "data": {"topic": "t", "payload": 1}})).await;
    client.flush().await;
    assert_eq!(client.expect("Status").await["data"]["status"], "authenticated");
    assert_eq!(client.expect("Status").await["data"]["details"]["topics"], json!(["t"]));
    client.expect("Ack").await;
}

#[tokio::test]
async fn a_fresh_token_needs_the_required_permissions_and_leaves_topics_that_it_does_not_allow() {
    let hub = Hub::with("auth.required_permissions = [\"chat\"]");
    let granted = |topics: serde_json::Value| {
        token_with(json!({"sub": "alice", "permissions": ["chat"], "topics": {"subscribe": topics}}))
    };
    let mut client = Client::connect(&hub, &granted(json!(["*"]))).await;
    client.subscribe(&["news.a", "chat.b"]).await;

    let error = client.ask(authenticate(&token_with(json!({"sub": "alice"}))), "Error").await;
    assert_eq!(error["data"]["code"], "FORBIDDEN", "{error}");

    client.ask(authenticate(&granted(json!(["news.*"]))), "Status").await;
    let reached = |room: &str| {
        let push = json!({"room": room, "event": "e", "data": 1});
        hub.http().request("POST", "/api/room").key().json(&push).send().json()["recipients"].clone()
    };
    assert_eq!(reached("chat.b"), 0);
    assert_eq!(reached("news.a"), 1);
}
