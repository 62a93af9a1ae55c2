//! A session ends with its token, unless it shows a fresh one of the same user in time.

use serde_json::{Value, json};

use crate::support::client::without_time;
use crate::support::token::{now, token, token_with};
use crate::support::{Client, DEADLINE, Hub, eventually};

const PROMPT: &str = "[auth]\nleeway_secs = 0";

fn authenticate(token: &str) -> Value {
    json!({"type": "Authenticate", "data": {"token": token}, "id": "auth"})
}

/// A session of alice that has some seconds to live.
async fn short_lived(hub: &Hub, seconds: u64) -> (Client, u64) {
    let end = now() + seconds;
    let client = Client::connect(hub, &token_with(json!({"sub": "alice", "exp": end}))).await;
    (client, end)
}

#[tokio::test]
async fn at_its_expiry_a_session_is_told_and_closed_with_4401() {
    let hub = Hub::with(PROMPT);
    let (mut client, end) = short_lived(&hub, 2).await;
    let (messages, code) = client.until_closed().await;
    assert_eq!(code, Some(4401), "{messages:?}");
    let [told] = messages.as_slice() else { panic!("one message, not {messages:?}") };
    let told = without_time(told.clone());
    assert_eq!((&told["type"], &told["data"]["code"]), (&json!("Error"), &json!("TOKEN_EXPIRED")));
    assert!(now() >= end && now() < end + 5, "the end was to come at {end}, and came at {}", now());
}

#[tokio::test]
async fn the_leeway_counts_while_connected_too() {
    let hub = Hub::with("[auth]\nleeway_secs = 2");
    let (mut client, end) = short_lived(&hub, 1).await;
    assert_eq!(client.close_code().await, Some(4401));
    assert!(now() >= end + 2, "ended before the leeway had passed");
}

#[tokio::test]
async fn a_fresh_token_of_the_same_user_extends_the_session() {
    let hub = Hub::with(PROMPT);
    let (mut client, end) = short_lived(&hub, 3).await;
    let later = now() + 3600;
    let fresh = token_with(json!({"sub": "alice", "name": "Alice", "exp": later}));
    let status = without_time(client.ask(authenticate(&fresh), "Status").await);
    assert_eq!(
        status,
        json!({"type": "Status", "id": "auth", "data": {"status": "authenticated", "details": {
            "user": {"id": "alice", "name": "Alice", "roles": []},
            "expires_at": later * 1000,
        }}})
    );
    eventually(DEADLINE, "the old token's end has passed", || now() > end + 1).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn a_token_of_somebody_else_extends_nothing() {
    let hub = Hub::with(PROMPT);
    let (mut client, _) = short_lived(&hub, 3).await;
    let error = client.ask(authenticate(&token("mallory")), "Error").await;
    assert_eq!((&error["data"]["code"], &error["id"]), (&json!("FORBIDDEN"), &json!("auth")), "{error}");
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
async fn a_fresh_token_brings_its_own_rights() {
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
async fn what_comes_right_behind_a_fresh_token_is_judged_by_it() {
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
async fn a_fresh_token_must_have_the_required_permissions_and_closes_what_it_does_not_open() {
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
