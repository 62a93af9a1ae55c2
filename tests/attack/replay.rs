//! A replayed request has no second effect, over sessions, surfaces and restarts. A revoked token stays revoked, even
//! when its issuer's clock is ahead.

use serde_json::{Value, json};

use crate::push::signed;
use crate::support::account::{UNLIMITED, sign_in, user};
use crate::support::http::Response;
use crate::support::token::{now, now_ms, token_with};
use crate::support::{Client, Hub, Sio, SioTransport, Wire};

/// All topics with a history of ten messages.
const WITH_HISTORY: &str = r#"
[[topics]]
pattern = "*"
subscribe = "authenticated"
publish = "authenticated"
history = 10
"#;

/// A signed request; each `send` repeats the same bytes.
struct SignedPost {
    nonce: &'static str,
    at: u64,
}

impl SignedPost {
    fn now(nonce: &'static str) -> Self {
        Self { nonce, at: now_ms() }
    }

    #[track_caller]
    fn send(&self, hub: &Hub) -> Response {
        let (http, Self { nonce, at }) = (hub.http(), self);
        let message = format!("POST/api/broadcast{at}{nonce}");
        let request = signed(http.request("POST", "/api/broadcast"), message, nonce, *at, "v1");
        request.header("X-Request-Id", "r-1").json(&json!({"event": "e", "data": 1})).send()
    }

    #[track_caller]
    fn passes(&self, hub: &Hub) {
        let answer = self.send(hub);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    #[track_caller]
    fn is_refused(&self, hub: &Hub, error: &str) {
        let answer = self.send(hub);
        let body = json!({"success": false, "error": error, "code": "INVALID_SIGNATURE", "requestId": "r-1"});
        assert_eq!((answer.status, answer.json()), (401, body), "{}", self.nonce);
    }
}

const USED_NONCE: &str = "X-Request-Nonce was used before";
const SIGNED_BEFORE_START: &str = "The request was signed before the hub started; sign it again";

#[test]
fn a_used_nonce_stays_used_over_planned_restarts() {
    let hub = Hub::start();
    let (sent, late) = (SignedPost::now("n-1"), SignedPost::now("n-2"));
    sent.passes(&hub);
    sent.is_refused(&hub, USED_NONCE);
    let hub = hub.restart_gracefully();
    sent.is_refused(&hub, USED_NONCE);
    // A request signed before the restart and first sent after it passes.
    late.passes(&hub);
    let hub = hub.restart_gracefully();
    sent.is_refused(&hub, USED_NONCE);
    late.is_refused(&hub, USED_NONCE);
}

#[test]
fn requests_signed_before_a_crash_are_refused() {
    let hub = Hub::start();
    let (sent, late) = (SignedPost::now("n-1"), SignedPost::now("n-2"));
    sent.passes(&hub);
    let hub = hub.restart();
    for lost in [&sent, &late] {
        lost.is_refused(&hub, SIGNED_BEFORE_START);
    }
    let new = SignedPost::now("n-3");
    new.passes(&hub);
    // A later planned restart makes no nonce valid again.
    let hub = hub.restart_gracefully();
    sent.is_refused(&hub, SIGNED_BEFORE_START);
    new.is_refused(&hub, USED_NONCE);
}

/// Posts to the topic with this idempotency key. Returns status, body, and whether the response is a replay.
#[track_caller]
fn post(hub: &Hub, key: &str, body: &Value) -> (u16, String, bool) {
    let http = hub.http();
    let request = http.request("POST", "/api/room").key().header("Idempotency-Key", key);
    let answer = request.header("X-Request-Id", "r-1").json(body).send();
    let replayed = answer.header("Idempotency-Replayed").is_some();
    (answer.status, answer.body, replayed)
}

/// The number of messages in the topic's history.
#[track_caller]
fn stored(hub: &Hub) -> usize {
    let answer = hub.http().request("GET", "/api/rooms/orders/history").key().send();
    answer.json()["messages"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_request_with_an_idempotency_key_runs_once_over_planned_restarts() {
    let hub = Hub::with(WITH_HISTORY);
    let order = json!({"room": "orders", "event": "order", "data": {"n": 1}});
    let (status, first, replayed) = post(&hub, "order-1", &order);
    assert_eq!((status, replayed), (200, false), "{first}");
    let hub = hub.restart_gracefully();
    assert_eq!(post(&hub, "order-1", &order), (200, first.clone(), true));
    let (status, ..) = post(&hub, "order-1", &json!({"room": "orders", "event": "order", "data": {"n": 2}}));
    assert_eq!(status, 409);
    let hub = hub.restart_gracefully();
    assert_eq!(post(&hub, "order-1", &order), (200, first, true));
    assert_eq!(stored(&hub), 1);
    assert_eq!(hub.metric("hubbub_idempotency_entries"), 1.0);
}

#[test]
fn a_crash_forgets_idempotency_keys() {
    let hub = Hub::with(WITH_HISTORY);
    let order = json!({"room": "orders", "event": "order", "data": {"n": 1}});
    assert_eq!(post(&hub, "order-1", &order).0, 200);
    let hub = hub.restart();
    let (status, _, replayed) = post(&hub, "order-1", &order);
    assert_eq!((status, replayed, stored(&hub)), (200, false, 1));
}

#[test]
fn a_refused_request_frees_its_idempotency_key() {
    let hub = Hub::with(WITH_HISTORY);
    assert_eq!(post(&hub, "order-1", &json!({"room": "orders"})).0, 400);
    let order = json!({"room": "orders", "event": "order", "data": 1});
    let (status, _, replayed) = post(&hub, "order-1", &order);
    assert_eq!((status, replayed, stored(&hub)), (200, false, 1));
}

#[test]
fn an_api_key_that_fills_its_share_evicts_no_other_keys_responses() {
    let key = |name: &str| {
        format!("[[api.keys]]\nname = \"{name}\"\nkey = \"{name}-0123456789abcdef0123\"\nper_minute = 0\n")
    };
    let names = ["quiet", "busy", "a", "b", "c", "d", "e", "f", "g", "h"];
    let hub = Hub::with(&format!("{UNLIMITED}\n{}", names.map(key).concat()));
    let http = hub.http();
    let post = |key: &str, name: &str| {
        let request =
            http.request("POST", "/api/broadcast").header("X-API-Key", &format!("{key}-0123456789abcdef0123"));
        let answer = request.header("Idempotency-Key", name).json(&json!({"event": "e", "data": 1})).send();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.header("Idempotency-Replayed").is_some()
    };
    assert!(!post("quiet", "mine"));
    // Each of ten API keys has a share of 1,000 responses.
    for number in 0..1_050 {
        assert!(!post("busy", &number.to_string()));
    }
    assert!(post("quiet", "mine"));
    assert!(!post("busy", "0"), "its own oldest response was evicted");
    assert_eq!(hub.metric("hubbub_idempotency_forgotten_total"), 51.0);
    assert_eq!(hub.metric("hubbub_idempotency_entries"), 1_001.0);
}

fn hello() -> Value {
    json!({"topic": "orders", "payload": {"text": "hello"}, "client_id": "c-1"})
}

/// Publishes with a `client_id`. Returns the data of the `Ack`.
async fn publish(client: &mut Client, data: Value) -> Value {
    client.ask(json!({"type": "Broadcast", "data": data, "id": 1}), "Ack").await["data"].take()
}

#[tokio::test]
async fn a_client_id_is_delivered_once_over_sessions_surfaces_and_a_restart() {
    let hub = Hub::with(&format!("[server]\nworkers = 2\n{WITH_HISTORY}"));
    let mut listener = Client::of(&hub, "bob").await;
    listener.subscribe(&["orders"]).await;
    let mut raw = Client::of(&hub, "alice").await;
    let first = publish(&mut raw, hello()).await;
    assert_eq!(listener.expect("Broadcast").await["data"]["message_id"], first["message_id"]);

    let mut other = Client::of(&hub, "alice").await;
    assert_eq!(publish(&mut other, hello()).await, first);
    let mut on_chat = first.clone();
    on_chat["success"] = json!(true);
    for transport in SioTransport::BOTH {
        let mut root = Sio::of(&hub, transport, "alice").await;
        assert_eq!(root.request("Broadcast", hello()).await, json!([first]));
        let mut chat = Sio::of_chat(&hub, transport, "alice").await;
        assert_eq!(chat.request_on("/chat", "Broadcast", hello()).await, json!([on_chat]));
    }
    let changed = json!({"topic": "orders", "payload": {"text": "bye"}, "client_id": "c-1"});
    let refused = other.ask(json!({"type": "Broadcast", "data": changed, "id": 2}), "Error").await;
    assert_eq!(refused["data"]["code"], "CONFLICT", "{refused}");
    listener.expect_silence().await;
    assert_eq!(hub.metric("hubbub_client_ids"), 1.0);

    let hub = hub.restart_gracefully();
    let mut back = Client::of(&hub, "alice").await;
    assert_eq!(publish(&mut back, hello()).await, first);
    assert_eq!(stored(&hub), 1);
    let mut another = Client::of(&hub, "carol").await;
    assert_ne!(publish(&mut another, hello()).await["message_id"], first["message_id"]);
    assert_eq!(stored(&hub), 2);
}

#[tokio::test]
async fn a_bad_client_id_is_reported_by_field() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    for bad in [json!(""), json!(7), json!(null), json!("x".repeat(65))] {
        let data = json!({"topic": "orders", "payload": 1, "client_id": bad});
        let refused = client.ask(json!({"type": "Broadcast", "data": data}), "Error").await;
        assert_eq!(
            (&refused["data"]["code"], &refused["data"]["details"]["field"]),
            (&json!("INVALID_REQUEST"), &json!("client_id")),
            "{bad}"
        );
    }
}

/// Requests an upgrade with this token. Returns the status, and the message of a refusal.
async fn upgrade(hub: &Hub, token: &str) -> (u16, Option<String>) {
    let (answer, _) = Wire::upgrade(hub, &format!("/ws?token={token}"), &[]).await;
    let message = (answer.status != 101).then(|| answer.json()["error"]["message"].as_str().unwrap().to_owned());
    (answer.status, message)
}

#[tokio::test]
async fn a_token_from_a_fast_clock_stays_revoked() {
    let hub = Hub::start();
    let ahead = token_with(json!({"sub": "alice", "iat": now() + 4}));
    let mut client = Client::connect(&hub, &ahead).await;
    let answer = hub.http().request("POST", "/api/revoke").key().json(&json!({"userId": "alice"})).send();
    assert_eq!((answer.status, &answer.json()["closed"]), (200, &json!(1)));
    assert_eq!(client.close_code().await, Some(4401));
    assert_eq!(upgrade(&hub, &ahead).await, (401, Some("The token was revoked".into())));
    let hub = hub.restart();
    assert_eq!(upgrade(&hub, &ahead).await, (401, Some("The token was revoked".into())));

    let future = token_with(json!({"sub": "bob", "iat": now() + 100_000}));
    let message = "The token's `iat` lies in the future; check the clock of its issuer";
    assert_eq!(upgrade(&hub, &future).await, (401, Some(message.into())));
}

#[tokio::test]
async fn a_sign_in_right_after_a_revocation_is_valid() {
    let hub = Hub::with(UNLIMITED);
    let id = user(&hub, "alice");
    let old = sign_in(&hub, "alice").access;
    assert_eq!(upgrade(&hub, &old).await.0, 101);
    let answer = hub.http().request("POST", "/api/revoke").key().json(&json!({"userId": id})).send();
    assert_eq!(answer.status, 200, "{answer:?}");
    let new = sign_in(&hub, "alice").access;
    assert_eq!(upgrade(&hub, &old).await.0, 401);
    assert_eq!(upgrade(&hub, &new).await.0, 101);
}
