//! Notifications: stored for offline users, and delivered until they are read.

mod race;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::client::without_time;
use crate::support::http::Response;
use crate::support::token::token;
use crate::support::{Client, DEADLINE, Hub, Sio, SioTransport, eventually};

/// No rate limit on pushes.
const UNLIMITED: &str = "[limits.http]\nrequests_per_minute = 0";

#[track_caller]
fn post(hub: &Hub, path: &str, body: &Value) -> Response {
    hub.http().request("POST", path).key().json(body).send()
}

/// Sends a notification, which must be stored, and returns its id.
#[track_caller]
fn notify(hub: &Hub, user: &str, data: Value) -> Value {
    let answer = post(hub, "/api/push", &json!({"userId": user, "event": "notification", "data": data}));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["notificationId"].take()
}

/// Waits until the store has answered earlier requests, as far as a client can observe it.
#[track_caller]
fn wait_for_store(hub: &Hub) {
    for _ in 0..3 {
        assert_eq!(hub.get("/status").status, 200);
    }
}

fn read(id: &Value) -> Value {
    json!({"type": "notification_read", "data": {"notification_id": id}})
}

/// Checks the data of `notification_updated`, and returns its time.
#[track_caller]
fn read_at(mut updated: Value, id: &Value) -> String {
    let at = updated["read_at"].take();
    assert_eq!(updated, json!({"notification_id": id, "read": true, "read_at": null}));
    let at = at.as_str().unwrap().to_owned();
    let shape: String = at.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z");
    at
}

#[tokio::test]
async fn a_notification_read_on_one_device_is_read_on_all_and_not_delivered_again() {
    let hub = Hub::start();
    let first = json!({"id": "notif_1", "type": "thread_reply", "title": "New reply", "read": false});
    let second = json!({"id": 7, "title": "Another"});
    for data in [&first, &second] {
        notify(&hub, "42", data.clone());
    }
    let mut phone = Client::of(&hub, "42").await;
    let mut laptop = Sio::of(&hub, SioTransport::WebSocket, "42").await;
    for data in [&first, &second] {
        assert_eq!(without_time(phone.next().await), json!({"type": "notification", "data": data}));
        assert_eq!(laptop.expect("notification").await, *data);
    }
    laptop.emit("notification_read", json!({"notification_id": "notif_1"})).await;
    let at = read_at(laptop.expect("notification_updated").await, &json!("notif_1"));
    assert_eq!(read_at(phone.expect("notification_updated").await["data"].take(), &json!("notif_1")), at);
    // The id may be a string; events have it as in the data. A request with an `id` gets a `Reply` too.
    let mut again = read(&json!("7"));
    again["id"] = json!("r-1");
    phone.send(again).await;
    let mut received = [phone.next().await, phone.next().await];
    received.sort_unstable_by_key(|message| message["type"].to_string());
    let [mut reply, mut updated] = received;
    assert_eq!((&reply["type"], &reply["id"]), (&json!("Reply"), &json!("r-1")));
    assert_eq!((&updated["type"], &updated["id"]), (&json!("notification_updated"), &Value::Null));
    let at = read_at(updated["data"].take(), &json!(7));
    assert_eq!(read_at(reply["data"].take(), &json!(7)), at);
    assert_eq!(read_at(laptop.expect("notification_updated").await, &json!(7)), at);
    phone.close().await;

    let mut phone = Client::of(&hub, "42").await;
    let mut tablet = Sio::of(&hub, SioTransport::WebSocket, "42").await;
    wait_for_store(&hub);
    phone.expect_silence().await;
    tablet.expect_silence().await;
    assert_eq!(hub.metric("hubbub_notifications_kept_total"), 2.0);
    assert_eq!(hub.metric("hubbub_notifications_redelivered_total"), 4.0);
    assert_eq!(hub.metric("hubbub_notifications_read_total"), 2.0);
    assert_eq!(hub.metric("hubbub_notifications_pruned_total"), 0.0);
}

#[tokio::test]
async fn a_notification_read_right_before_a_disconnect_is_read() {
    let hub = Hub::start();
    let mut desktop = Client::of(&hub, "42").await;
    for transport in SioTransport::BOTH {
        for n in 0..5 {
            let id = json!(format!("{transport:?}-{n}"));
            notify(&hub, "42", json!({"id": id}));
            assert_eq!(desktop.expect("notification").await["data"]["id"], id);
            let mut passing = Sio::of(&hub, transport, "42").await;
            assert_eq!(passing.expect("notification").await["id"], id);
            // Both packets arrive together: in one body, or one after the other.
            let (read, leave) = (format!("42{}", json!(["notification_read", {"notification_id": id}])), "41");
            match transport {
                SioTransport::Polling => passing.polling().send(format!("{read}\u{1e}{leave}")).await,
                SioTransport::WebSocket => {
                    passing.send(&read).await;
                    passing.send(leave).await;
                }
            }
            let updated = desktop.expect("notification_updated").await["data"].take();
            read_at(updated, &id);
        }
    }
}

#[tokio::test]
async fn an_acknowledged_notification_and_its_read_state_survive_a_crash() {
    let hub = Hub::start();
    let (first, second) = (json!({"id": 1}), json!({"id": 2}));
    notify(&hub, "alice", first.clone());
    notify(&hub, "alice", second.clone());
    let hub = hub.restart();
    notify(&hub, "alice", json!({"id": 3}));
    let mut alice = Client::of(&hub, "alice").await;
    for data in [&first, &second, &json!({"id": 3})] {
        assert_eq!(alice.expect("notification").await["data"], *data);
    }
    alice.ask(read(&json!(1)), "notification_updated").await;
    alice.ask(read(&json!(3)), "notification_updated").await;
    let hub = hub.restart();
    let mut alice = Client::of(&hub, "alice").await;
    assert_eq!(alice.expect("notification").await["data"], second);
    wait_for_store(&hub);
    alice.expect_silence().await;
}

#[tokio::test]
async fn a_client_that_authenticates_later_receives_unread_notifications_after_the_answer() {
    let hub = Hub::start();
    notify(&hub, "42", json!({"id": 1}));
    let mut guest = Sio::guest(&hub, SioTransport::WebSocket).await;
    guest.expect_silence().await;
    guest.emit("authenticate", json!({"token": token("42")})).await;
    assert_eq!(guest.expect("authenticated").await["user"]["id"], 42);
    assert_eq!(guest.expect("notification").await, json!({"id": 1}));
    // A new token of the same user is not a new connect.
    guest.emit("authenticate", json!({"token": token("42")})).await;
    guest.expect("authenticated").await;
    guest.expect_silence().await;
}

#[tokio::test]
async fn the_chat_namespace_receives_new_notifications_but_no_backlog() {
    let hub = Hub::start();
    notify(&hub, "alice", json!({"id": 1}));
    let mut chat = Sio::of_chat(&hub, SioTransport::WebSocket, "alice").await;
    notify(&hub, "alice", json!({"id": 2}));
    assert_eq!(chat.expect_on("/chat", "notification").await, json!({"id": 2}));
}

#[tokio::test]
async fn a_notification_without_an_id_gets_one() {
    let hub = Hub::start();
    let mut here = Client::of(&hub, "alice").await;
    let id = notify(&hub, "alice", json!({"title": "Hello"}));
    assert!(id.as_str().unwrap().starts_with("notif_"), "{id}");
    let data = json!({"id": id, "title": "Hello"});
    assert_eq!(here.expect("notification").await["data"], data);
    let mut later = Client::of(&hub, "alice").await;
    assert_eq!(later.expect("notification").await["data"], data);
    later.ask(read(&id), "notification_updated").await;
    here.expect("notification_updated").await;
}

#[tokio::test]
async fn a_repeated_id_replaces_the_stored_notification_unless_it_was_read() {
    let hub = Hub::start();
    for (id, n) in [(1, 1), (2, 2), (1, 3)] {
        notify(&hub, "alice", json!({"id": id, "n": n}));
    }
    let mut alice = Client::of(&hub, "alice").await;
    assert_eq!(alice.expect("notification").await["data"], json!({"id": 2, "n": 2}));
    assert_eq!(alice.expect("notification").await["data"], json!({"id": 1, "n": 3}));
    alice.ask(read(&json!(1)), "notification_updated").await;
    notify(&hub, "alice", json!({"id": "1", "n": 4}));
    assert_eq!(alice.expect("notification").await["data"], json!({"id": "1", "n": 4}));
    let mut again = Client::of(&hub, "alice").await;
    assert_eq!(again.expect("notification").await["data"], json!({"id": 2, "n": 2}));
    wait_for_store(&hub);
    again.expect_silence().await;
}

#[tokio::test]
async fn a_second_read_changes_nothing_and_notifications_of_others_are_not_found() {
    let hub = Hub::start();
    notify(&hub, "alice", json!({"id": "a"}));
    notify(&hub, "bob", json!({"id": "b"}));
    let mut alice = Client::of(&hub, "alice").await;
    alice.expect("notification").await;
    let first = alice.ask(read(&json!("a")), "notification_updated").await["data"].take();
    let second = alice.ask(read(&json!("a")), "notification_updated").await["data"].take();
    assert_eq!(first, second);
    for id in [json!("b"), json!(5)] {
        let error = alice.ask(read(&id), "Error").await;
        let message = "There is no such notification";
        assert_eq!(error["data"], json!({"code": "NOT_FOUND", "message": message}));
    }
    let error = alice.ask(read(&json!(1.5)), "Error").await;
    assert_eq!(
        (&error["data"]["code"], &error["data"]["details"]),
        (&json!("INVALID_REQUEST"), &json!({"field": "notification_id"}))
    );
    let mut bob = Sio::of(&hub, SioTransport::WebSocket, "bob").await;
    assert_eq!(bob.expect("notification").await, json!({"id": "b"}));
    bob.emit("notification_read", json!({"notification_id": "a"})).await;
    let error = bob.expect("error").await;
    assert_eq!((&error["event"], &error["code"]), (&json!("notification_read"), &json!("NOT_FOUND")));
    bob.emit("notification_read", json!({"notification_id": null})).await;
    assert_eq!(bob.expect("error").await["code"], "VALIDATION_ERROR");
}

#[tokio::test]
async fn each_session_may_read_thirty_notifications_a_minute() {
    let hub = Hub::start();
    notify(&hub, "alice", json!({"id": 1}));
    let mut raw = Client::of(&hub, "alice").await;
    let mut socket = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
    raw.expect("notification").await;
    socket.expect("notification").await;
    for _ in 0..30 {
        raw.ask(read(&json!(1)), "notification_updated").await;
        socket.expect("notification_updated").await;
    }
    let error = raw.ask(read(&json!(1)), "Error").await;
    assert_eq!(error["data"]["code"], "RATE_LIMITED");
    assert!((1..=60).contains(&error["data"]["details"]["retryAfter"].as_u64().unwrap()), "{error}");
    // The limit applies to no other event and to no other session.
    raw.expect_silence().await;
    socket.emit("notification_read", json!({"notification_id": 1})).await;
    socket.expect("notification_updated").await;
}

#[tokio::test]
async fn the_newest_hundred_are_stored_and_delivered_oldest_first() {
    let hub = Hub::with(UNLIMITED);
    let commands: Vec<Value> =
        (1..=130).map(|id| json!({"push": {"userId": "alice", "event": "notification", "data": {"id": id}}})).collect();
    let answer = post(&hub, "/api/batch", &json!({ "commands": commands }));
    let results = answer.json()["results"].take();
    assert_eq!((&results[0]["notificationId"], &results[129]["notificationId"]), (&json!(1), &json!(130)));
    let mut alice = Client::of(&hub, "alice").await;
    for id in 31..=130 {
        assert_eq!(alice.expect("notification").await["data"]["id"], id);
    }
    wait_for_store(&hub);
    alice.expect_silence().await;
    assert_eq!(hub.metric("hubbub_notifications_pruned_total"), 30.0);
}

#[tokio::test]
async fn large_notifications_are_delivered_up_to_the_bound_and_the_rest_after_a_read() {
    let hub = Hub::with(UNLIMITED);
    let text = "x".repeat(16_000);
    for id in 0..40 {
        notify(&hub, "alice", json!({"id": id, "text": text}));
    }
    let mut alice = Client::of(&hub, "alice").await;
    for id in 8..40 {
        assert_eq!(alice.next().await["data"]["id"], id);
    }
    wait_for_store(&hub);
    alice.expect_silence().await;
    for id in 32..40 {
        alice.ask(read(&json!(id)), "notification_updated").await;
    }
    let mut alice = Client::of(&hub, "alice").await;
    for id in 0..32 {
        assert_eq!(alice.next().await["data"]["id"], id);
    }
    let data = json!({"text": text.repeat(9)});
    let answer = post(&hub, "/api/push", &json!({"userId": 1, "event": "notification", "data": data}));
    assert_eq!((answer.status, &answer.json()["code"]), (413, &json!("PAYLOAD_TOO_LARGE")));
}

#[tokio::test]
async fn notifications_to_a_room_or_to_everybody_are_not_stored_and_have_any_data() {
    let hub = Hub::start();
    let mut here = Client::of(&hub, "alice").await;
    here.subscribe(&["lobby"]).await;
    for (path, body) in [
        ("/api/broadcast", json!({"event": "notification", "data": [1]})),
        ("/api/room", json!({"room": "lobby", "event": "notification", "data": {"id": 1}})),
    ] {
        let answer = post(&hub, path, &body);
        assert_eq!((answer.status, &answer.json()["notificationId"]), (200, &Value::Null));
        here.expect("notification").await;
    }
    let mut later = Client::of(&hub, "alice").await;
    wait_for_store(&hub);
    later.expect_silence().await;
    let answer = post(&hub, "/api/push", &json!({"userId": "alice", "event": "notification", "data": [1]}));
    assert_eq!((answer.status, &answer.json()["details"]), (400, &json!({"field": "data"})));
}

#[tokio::test]
async fn an_unwritable_store_refuses_notifications_and_still_delivers_the_backlog() {
    let hub = Hub::with(UNLIMITED);
    notify(&hub, "alice", json!({"id": 1}));
    let blocker = Connection::open(hub.data().join("hubbub.db")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let push = json!({"userId": "alice", "event": "notification", "data": {"id": 2}});
    // The first push detects the failure; after it, the hub delivers no notification that it cannot store.
    assert_eq!(post(&hub, "/api/push", &push).json()["code"], "STORE_UNAVAILABLE");
    let mut alice = Client::of(&hub, "alice").await;
    assert_eq!(alice.expect("notification").await["data"], json!({"id": 1}));
    let refused = post(&hub, "/api/push", &push);
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("STORE_UNAVAILABLE")));
    assert_eq!(alice.ask(read(&json!(1)), "Error").await["data"]["code"], "STORE_UNAVAILABLE");
    wait_for_store(&hub);
    alice.expect_silence().await;
    blocker.execute_batch("ROLLBACK").unwrap();
    eventually(DEADLINE, "the store writes again", || hub.get("/health/ready").status == 200).await;
    assert_eq!(post(&hub, "/api/push", &push).status, 200);
    assert_eq!(alice.expect("notification").await["data"], json!({"id": 2}));
}
