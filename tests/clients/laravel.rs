//! The laravel document's PHP, unchanged, with Guzzle: its service, provider, controllers and command. A frontend of the
//! community document receives their events.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{assert_unchanged, fixture};
use crate::support::token::token_with;
use crate::support::tools::{Program, php};
use crate::support::{Hub, Sio, SioTransport};

/// The key in Laravel's `.env`. The hub is configured with its hash.
const KEY: &str = "mechamap_ws_a_key_of_the_backend";

#[test]
fn the_code_equals_the_document() {
    assert_unchanged(&[
        ("laravel/RealtimeNotificationService.php", "f434249485d91d060b9ce10c1d4dbc54da2abe92929ccf3c61845a1a5c92aeae"),
        ("laravel/RealtimeServiceProvider.php", "0fda9c0b62613121044bd1429143ca7f38594056af94de860248e40408a4d867"),
        ("laravel/websocket.php", "691ec3694820a63c71da8a9c8d3251332b289d9af23c0a8ea6182fb94b628337"),
        ("laravel/NotificationController.php", "4f31343bab2ddf892139c6dc56287ed5519048568ca14a08162bbaceba004a28"),
        ("laravel/ThreadReplyController.php", "94cc69808d67132a0e975f55706aa926802117fed247f722f829d8fce71d59b4"),
        ("laravel/HealthController.php", "d1fe85e4c8dbb570810f717d7f2b2d12689661eb896ed5aa8527af7439f8ea26"),
        ("laravel/TestRealtimeConnection.php", "702fede269cbde4be8023374883b7ba58d3a4f64a21d2bdae4a5010a6b5277bf"),
    ]);
}

fn hub() -> Hub {
    let hash = hex::encode(Sha256::digest(KEY));
    Hub::with(&format!("[[api.keys]]\nname = \"laravel\"\nsha256 = \"{hash}\""))
}

/// Runs all of the document's code with this `.env`. Returns the results.
#[track_caller]
fn laravel(url: &str, key: &str) -> Value {
    let mut php = php();
    php.arg(fixture("laravel/drive.php")).env("WEBSOCKET_SERVER_URL", url).env("WEBSOCKET_API_KEY", key);
    Program::start(&mut php).report()
}

/// A frontend that connects as a guest and then authenticates.
async fn frontend(hub: &Hub, transport: SioTransport, claims: Value) -> Sio {
    let mut client = Sio::guest(hub, transport).await;
    client.emit("authenticate", json!({"token": token_with(claims)})).await;
    client.expect("authenticated").await;
    client
}

/// Removes a time in ISO format with this many characters.
#[track_caller]
fn remove_time(data: &mut Value, field: &str, length: usize) {
    let time = data[field].take();
    assert!(time.as_str().is_some_and(|time| time.len() == length && time.ends_with('Z')), "{field} is {time}");
}

#[tokio::test]
async fn a_frontend_receives_the_events_of_laravel() {
    let hub = hub();
    let mut user = frontend(&hub, SioTransport::WebSocket, json!({"sub": 1, "name": "John Doe"})).await;
    let mut participant = frontend(&hub, SioTransport::Polling, json!({"userId": 2})).await;
    let mut other = frontend(&hub, SioTransport::WebSocket, json!({"user_id": "3"})).await;
    participant.join("thread:456").await;

    let mut results = laravel(&format!("http://{}", hub.address()), KEY);
    assert_eq!(results["health"]["data"]["status"], "healthy", "{results}");
    results["health"]["data"] = Value::Null;
    let notification_id = results["logged"][0][2]["notification_id"].take();
    assert_eq!(
        results,
        json!({
            "guzzle": 7,
            "notification": {"success": true, "message": "Notification sent"},
            "reply": true,
            "update": true,
            "health": {"status": "success", "message": "Connection successful", "data": null},
            "status": 0,
            "printed": [
                ["info", "Testing realtime server connection..."],
                ["info", "‚úÖ Connection successful!"],
                ["line", "Server status: healthy"],
            ],
            "logged": [
                ["info", "Realtime notification sent successfully", {"user_id": 1, "notification_id": null}],
            ],
        })
    );

    let mut notification = user.expect("notification").await;
    remove_time(&mut notification, "timestamp", 27);
    let jane = json!({"id": 2, "name": "Jane Smith", "avatar": "/images/users/avatars/jane.jpg"});
    assert_eq!(
        notification,
        json!({
            "id": notification_id,
            "type": "thread_reply",
            "title": "New reply to your thread",
            "message": "Someone replied to your thread",
            "data": {"thread_id": 456, "reply_id": 789, "user": jane},
            "timestamp": null,
            "read": false,
        })
    );
    let mut reply = participant.expect("new_reply").await;
    remove_time(&mut reply, "created_at", 27);
    let mut author = jane.clone();
    author["role"] = json!("member");
    let content = "Great tips! Thänks ☃";
    assert_eq!(
        reply,
        json!({"reply_id": 789, "thread_id": 456, "content": content, "author": author, "created_at": null})
    );
    let mut update = participant.expect("thread_updated").await;
    remove_time(&mut update, "updated_at", 27);
    let by = json!({"id": 1, "name": "John Doe"});
    let title = "Updated PLC Programming Tips";
    assert_eq!(update, json!({"thread_id": 456, "title": title, "updated_by": by, "updated_at": null}));
    for client in [&mut user, &mut participant, &mut other] {
        client.expect_silence().await;
    }
}

#[tokio::test]
async fn laravel_gets_401_for_a_wrong_key() {
    let hub = hub();
    let mut user = frontend(&hub, SioTransport::WebSocket, json!({"sub": 1})).await;
    // The hash of a key is no key.
    for key in ["another-key", &hex::encode(Sha256::digest(KEY))] {
        let results = laravel(&format!("http://{}", hub.address()), key);
        let outcomes = [&results["notification"]["success"], &results["update"], &results["status"]];
        assert_eq!(outcomes, [&json!(false), &json!(false), &json!(0)], "{results}");
        let [level, message, details] = [&results["logged"][0][0], &results["logged"][0][1], &results["logged"][0][2]];
        assert_eq!((level, message), (&json!("warning"), &json!("Failed to send realtime notification")), "{results}");
        let response: Value = serde_json::from_str(details["response"].as_str().unwrap()).unwrap();
        assert_eq!((&details["status"], &response["code"]), (&json!(401), &json!("INVALID_API_KEY")), "{results}");
    }
    user.expect_silence().await;
}

#[tokio::test]
async fn laravel_continues_when_the_hub_is_down() {
    let hub = hub();
    let address = format!("http://{}", hub.address());
    drop(hub);
    let results = laravel(&address, KEY);
    let outcomes = [&results["notification"]["success"], &results["reply"], &results["update"], &results["status"]];
    assert_eq!(outcomes, [&json!(false), &json!(true), &json!(false), &json!(1)], "{results}");
    let logged: Vec<_> = results["logged"].as_array().unwrap().iter().map(|line| (&line[0], &line[1])).collect();
    let error = json!("error");
    let messages =
        ["Error sending realtime notification", "Error sending new reply notification", "Error sending thread update"];
    assert_eq!(logged, messages.map(Value::from).each_ref().map(|message| (&error, message)), "{results}");
}
