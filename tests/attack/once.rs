//! What was done once is not done twice, over sessions, surfaces and restarts; and what was revoked stays so, whatever the
//! clock of its issuer says.

use serde_json::{Value, json};

use crate::push::signed;
use crate::support::account::{UNLIMITED, sign_in, user};
use crate::support::http::Response;
use crate::support::token::{now, now_ms, token_with};
use crate::support::{Client, Hub, Sio, Transport, Wire};

/// A topic that keeps what is published.
const KEPT: &str = r#"
[[topics]]
pattern = "*"
subscribe = "authenticated"
publish = "authenticated"
history = 10
"#;

/// A signed request as it was sent: sending it again replays it.
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

const USED: &str = "X-Request-Nonce was used before";
const LOST: &str = "The request was signed before the hub started; sign it again";

#[test]
fn a_nonce_is_used_up_over_planned_restarts() {
    let hub = Hub::start();
    let (sent, late) = (SignedPost::now("n-1"), SignedPost::now("n-2"));
    sent.passes(&hub);
    sent.is_refused(&hub, USED);
    let hub = hub.restart_gracefully();
    sent.is_refused(&hub, USED);
    // What was signed before the restart and comes only now is new.
    late.passes(&hub);
    let hub = hub.restart_gracefully();
    sent.is_refused(&hub, USED);
    late.is_refused(&hub, USED);
}

#[test]
fn after_a_crash_what_was_signed_before_the_start_is_refused() {
    let hub = Hub::start();
    let (sent, late) = (SignedPost::now("n-1"), SignedPost::now("n-2"));
    sent.passes(&hub);
    let hub = hub.restart();
    for lost in [&sent, &late] {
        lost.is_refused(&hub, LOST);
    }
    let new = SignedPost::now("n-3");
    new.passes(&hub);
    // A planned restart after it brings no nonce back.
    let hub = hub.restart_gracefully();
    sent.is_refused(&hub, LOST);
    new.is_refused(&hub, USED);
}

/// Posts to the topic under a name; the answer, and whether it was given before.
#[track_caller]
fn post(hub: &Hub, name: &str, body: &Value) -> (u16, String, bool) {
    let http = hub.http();
    let request = http.request("POST", "/api/room").key().header("Idempotency-Key", name);
    let answer = request.header("X-Request-Id", "r-1").json(body).send();
    let again = answer.header("Idempotency-Replayed").is_some();
    (answer.status, answer.body, again)
}

/// How many messages the topic keeps.
#[track_caller]
fn kept(hub: &Hub) -> usize {
    let answer = hub.http().request("GET", "/api/rooms/orders/history").key().send();
    answer.json()["messages"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_named_request_is_done_once_over_planned_restarts() {
    let hub = Hub::with(KEPT);
    let order = json!({"room": "orders", "event": "order", "data": {"n": 1}});
    let (status, first, again) = post(&hub, "order-1", &order);
    assert_eq!((status, again), (200, false), "{first}");
    let hub = hub.restart_gracefully();
    assert_eq!(post(&hub, "order-1", &order), (200, first.clone(), true));
    let (status, ..) = post(&hub, "order-1", &json!({"room": "orders", "event": "order", "data": {"n": 2}}));
    assert_eq!(status, 409);
    let hub = hub.restart_gracefully();
    assert_eq!(post(&hub, "order-1", &order), (200, first, true));
    assert_eq!(kept(&hub), 1);
    assert_eq!(hub.metric("hubbub_idempotency_entries"), 1.0);
}

#[test]
fn a_crash_forgets_the_names_of_requests() {
    let hub = Hub::with(KEPT);
    let order = json!({"room": "orders", "event": "order", "data": {"n": 1}});
    assert_eq!(post(&hub, "order-1", &order).0, 200);
    let hub = hub.restart();
    let (status, _, again) = post(&hub, "order-1", &order);
    assert_eq!((status, again, kept(&hub)), (200, false, 1));
}

#[test]
fn a_refused_request_frees_its_name() {
    let hub = Hub::with(KEPT);
    assert_eq!(post(&hub, "order-1", &json!({"room": "orders"})).0, 400);
    let order = json!({"room": "orders", "event": "order", "data": 1});
    let (status, _, again) = post(&hub, "order-1", &order);
    assert_eq!((status, again, kept(&hub)), (200, false, 1));
}

#[test]
fn a_key_that_floods_its_share_pushes_out_no_other_keys_answer() {
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
    // Ten keys: 1,000 answers each.
    for number in 0..1_050 {
        assert!(!post("busy", &number.to_string()));
    }
    assert!(post("quiet", "mine"));
    assert!(!post("busy", "0"), "its own oldest went");
    assert_eq!(hub.metric("hubbub_idempotency_forgotten_total"), 51.0);
    assert_eq!(hub.metric("hubbub_idempotency_entries"), 1_001.0);
}

fn hello() -> Value {
    json!({"topic": "orders", "payload": {"text": "hello"}, "client_id": "c-1"})
}

/// Publishes under a name; the data of the `Ack`.
async fn publish(client: &mut Client, data: Value) -> Value {
    client.ask(json!({"type": "Broadcast", "data": data, "id": 1}), "Ack").await["data"].take()
}

#[tokio::test]
async fn a_publish_that_its_client_named_is_delivered_once_over_sessions_surfaces_and_a_restart() {
    let hub = Hub::with(&format!("[server]\nworkers = 2\n{KEPT}"));
    let mut listener = Client::of(&hub, "bob").await;
    listener.subscribe(&["orders"]).await;
    let mut raw = Client::of(&hub, "alice").await;
    let first = publish(&mut raw, hello()).await;
    assert_eq!(listener.expect("Broadcast").await["data"]["message_id"], first["message_id"]);

    let mut other = Client::of(&hub, "alice").await;
    assert_eq!(publish(&mut other, hello()).await, first);
    let mut on_chat = first.clone();
    on_chat["success"] = json!(true);
    for transport in Transport::BOTH {
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
    assert_eq!(kept(&hub), 1);
    let mut another = Client::of(&hub, "carol").await;
    assert_ne!(publish(&mut another, hello()).await["message_id"], first["message_id"]);
    assert_eq!(kept(&hub), 2);
}

#[tokio::test]
async fn a_bad_client_id_is_named() {
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

/// The status of an upgrade with this token, and why it was refused.
async fn upgrade(hub: &Hub, token: &str) -> (u16, Option<String>) {
    let (answer, _) = Wire::upgrade(hub, &format!("/ws?token={token}"), &[]).await;
    let message = (answer.status != 101).then(|| answer.json()["error"]["message"].as_str().unwrap().to_owned());
    (answer.status, message)
}

#[tokio::test]
async fn a_token_whose_issuers_clock_is_ahead_does_not_outlive_its_revocation() {
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
async fn a_sign_in_right_after_a_revocation_holds() {
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
