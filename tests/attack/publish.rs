//! A token without the right to publish writes to no client. Each surface refuses in its own format.

use serde_json::{Value, json};

use crate::support::client::without_time;
use crate::support::token::token_with;
use crate::support::{Client, Hub, Sio, SioTransport};

fn read_only_token(user: &str) -> String {
    token_with(json!({"sub": user, "topics": {"publish": []}}))
}

const REFUSED_EVENTS: [(&str, &str, &str); 6] = [
    ("Broadcast", r#"{"topic": "lobby", "payload": 1}"#, "Not allowed to publish to `lobby`"),
    ("DirectMessage", r#"{"target_user": "bob", "payload": 1}"#, "Not allowed to publish to `user:bob`"),
    ("typing_start", r#"{"thread_id": 7}"#, "Not allowed to publish to `thread:7`"),
    ("client:event", r#"{"type": "e"}"#, "The token does not allow publishing"),
    ("client:message", r#"{"content": "m"}"#, "The token does not allow publishing"),
    ("client:action", r#"{"action": "echo"}"#, "The token does not allow publishing"),
];

#[tokio::test]
async fn a_token_without_publish_rights_writes_to_no_client() {
    let hub = Hub::start();
    let mut bob = Client::of(&hub, "bob").await;
    bob.subscribe(&["lobby", "thread:7"]).await;
    let mut raw = Client::connect(&hub, &read_only_token("alice")).await;
    let mut root = Sio::with_token(&hub, SioTransport::WebSocket, &read_only_token("alice")).await;
    for (event, data, message) in REFUSED_EVENTS {
        let data: Value = serde_json::from_str(data).unwrap();
        let refused = raw.ask(json!({"type": event, "data": data, "id": 1}), "Error").await;
        let expected = json!({"type": "Error", "id": 1, "data": {"code": "FORBIDDEN", "message": message}});
        assert_eq!(without_time(refused), expected);

        let mut refused = root.emit_and_expect("error", event, data).await;
        // The community document's code for its events.
        let code = if event == "typing_start" { "PERMISSION_DENIED" } else { "FORBIDDEN" };
        assert!(refused["timestamp"].take().is_string(), "{refused}");
        let expected = json!({"event": event, "message": message, "error": message, "code": code, "timestamp": null});
        assert_eq!(refused, expected);
    }
    let mut chat = Sio::open(&hub, SioTransport::WebSocket).await;
    chat.connect("/chat", &json!({"token": read_only_token("alice")})).await.unwrap();
    let refused = chat.request_on("/chat", "presence:update-status", json!({"status": "away"})).await;
    let message = "The token does not allow publishing";
    assert_eq!(refused, json!([{"success": false, "message": message, "code": "FORBIDDEN"}]));
    bob.expect_silence().await;
    // It still subscribes.
    raw.subscribe(&["lobby"]).await;
}
