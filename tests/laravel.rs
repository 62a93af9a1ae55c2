//! The laravel document: the requests of its `RealtimeNotificationService`.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::push::untimed;
use crate::support::client::without_time;
use crate::support::http::Response;
use crate::support::{Client, Hub};

/// The key in the `.env` of Laravel; the hub has only its hash.
const KEY: &str = "mechamap_ws_a_key_of_the_backend";

fn hub() -> Hub {
    let hash = hex::encode(Sha256::digest(KEY));
    Hub::with(&format!("[[api.keys]]\nname = \"laravel\"\nsha256 = \"{hash}\""))
}

#[track_caller]
fn broadcast(hub: &Hub, body: Value) -> Response {
    hub.http().request("POST", "/api/broadcast").header("X-WebSocket-API-Key", KEY).json(&body).send()
}

#[tokio::test]
async fn send_notification_to_user_is_delivered_to_a_user_by_number() {
    let hub = hub();
    let mut user = Client::of(&hub, "7").await;
    let mut other = Client::of(&hub, "8").await;
    let notification = json!({
        "id": "notif_1",
        "type": "thread_reply",
        "title": "New reply to your thread",
        "data": {"thread_id": 456},
        "read": false,
    });
    let answer = broadcast(&hub, json!({"event": "notification", "to": "user", "user_id": 7, "data": notification}));
    let body = json!({"success": true, "recipients": 1, "delivered": true, "notificationId": "notif_1"});
    assert_eq!((answer.status, untimed(&answer)), (200, body));
    assert_eq!(without_time(user.next().await), json!({"type": "notification", "data": notification}));
    other.expect_silence().await;
}

#[tokio::test]
async fn send_thread_update_is_delivered_to_the_participants() {
    let hub = hub();
    let mut participant = Client::of(&hub, "7").await;
    participant.subscribe(&["thread:456"]).await;
    let mut other = Client::of(&hub, "8").await;
    for (event, thread_id) in [("thread_updated", json!(456)), ("new_reply", json!("456"))] {
        let answer = broadcast(
            &hub,
            json!({"event": event, "to": "thread", "thread_id": thread_id, "data": {"thread_id": 456}}),
        );
        assert_eq!(
            (answer.status, untimed(&answer)),
            (200, json!({"success": true, "recipients": 1, "delivered": true}))
        );
        assert_eq!(
            without_time(participant.next().await),
            json!({"type": event, "topic": "thread:456", "data": {"thread_id": 456}})
        );
    }
    other.expect_silence().await;
}

#[tokio::test]
async fn a_broadcast_is_delivered_to_a_room_or_to_all_clients() {
    let hub = hub();
    let mut member = Client::of(&hub, "7").await;
    member.subscribe(&["lobby"]).await;
    let mut other = Client::of(&hub, "8").await;
    let to_room = broadcast(&hub, json!({"event": "e", "to": "room", "room": "lobby", "data": 1}));
    assert_eq!(untimed(&to_room)["recipients"], 1);
    let to_all = broadcast(&hub, json!({"event": "f", "to": "all", "data": 2}));
    assert_eq!(untimed(&to_all)["recipients"], 2);
    assert_eq!(without_time(member.next().await), json!({"type": "e", "topic": "lobby", "data": 1}));
    for client in [&mut member, &mut other] {
        assert_eq!(without_time(client.next().await), json!({"type": "f", "data": 2}));
    }
}

#[tokio::test]
async fn a_request_without_a_user_is_refused_and_not_delivered_to_all() {
    let hub = hub();
    let mut client = Client::of(&hub, "7").await;
    for (body, field) in [
        (json!({"event": "e", "to": "user", "data": 1}), "user_id"),
        (json!({"event": "e", "to": "user", "user_id": null, "data": 1}), "user_id"),
        (json!({"event": "e", "user_id": 7, "data": 1}), "to"),
        (json!({"event": "e", "to": "users", "user_id": 7, "data": 1}), "to"),
    ] {
        let answer = broadcast(&hub, body);
        assert_eq!((answer.status, &answer.json()["details"]), (400, &json!({"field": field})));
    }
    client.expect_silence().await;
}

#[test]
fn test_connection_finds_a_healthy_hub() {
    let hub = hub();
    let answer = hub.get("/health");
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("healthy")));
}
