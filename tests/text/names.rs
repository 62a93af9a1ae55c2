//! Names with invisible characters.

use serde_json::json;

use crate::support::token::token;
use crate::support::{Client, Hub, Sio, SioTransport, Wire};

#[tokio::test]
async fn names_with_invisible_characters_are_refused_on_every_surface() {
    let hub = Hub::start();
    let hidden = ["a\u{200b}b", "a\u{202e}b", "a\u{e0041}b", "\u{feff}", "a\u{ad}", "a\u{2060}b", " ", "\u{3000}"];
    let mut raw = Client::of(&hub, "alice").await;
    let mut root = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
    let mut chat = Sio::of_chat(&hub, SioTransport::WebSocket, "alice").await;
    for name in hidden {
        let subscribe = json!({"type": "Subscribe", "data": {"topics": [name, "fine"]}});
        let status = raw.ask(subscribe, "Status").await["data"]["details"].take();
        assert_eq!((&status["topics"], &status["denied"][0]["topic"]), (&json!(["fine"]), &json!(name)), "{status}");
        let direct = json!({"type": "DirectMessage", "data": {"target_user": name, "payload": 1}});
        assert_eq!(raw.ask(direct, "Error").await["data"]["details"]["field"], "target_user");
        root.emit("room:join", json!({"room": name})).await;
        assert_eq!(root.expect("room:join:ack").await["details"]["field"], "room");
        root.emit("typing_start", json!({"thread_id": name})).await;
        assert_eq!(root.expect("error").await["details"]["field"], "thread_id");
        assert_eq!(chat.request_on("/chat", "join:chat", json!({"chatId": name})).await[0]["success"], false);

        for (path, body, field) in [
            ("/api/push", json!({"userId": name, "event": "e", "data": 1}), "userId"),
            ("/api/room", json!({"room": name, "event": "e", "data": 1}), "room"),
            ("/api/broadcast", json!({"to": "thread", "thread_id": name, "event": "e", "data": 1}), "thread_id"),
            ("/api/disconnect", json!({"userId": name}), "userId"),
        ] {
            let answer = hub.http().request("POST", path).key().json(&body).send();
            assert_eq!((answer.status, &answer.json()["details"]["field"]), (400, &json!(field)), "{answer:?}");
        }
        let mut sio = Sio::open(&hub, SioTransport::WebSocket).await;
        let refused = sio.connect("/chat", &json!({"token": token(name)})).await.unwrap_err();
        assert_eq!(refused["message"], "Unauthorized", "{refused}");
        let (answer, _) = Wire::upgrade(&hub, &format!("/ws?token={}", token(name)), &[]).await;
        assert_eq!(answer.status, 401, "{name:?}: {answer:?}");
    }
    let answer = hub.http().request("PUT", "/api/chats/a%E2%80%8Bb").key().json(&json!({})).send();
    assert_eq!((answer.status, &answer.json()["details"]["field"]), (400, &json!("chatId")), "{answer:?}");
    // Scripts and emoji need these two characters.
    raw.subscribe(&["👩\u{200d}💻", "می\u{200c}خواهم"]).await;
    Client::of(&hub, "👩\u{200d}💻").await;
}

#[test]
fn a_chat_of_an_earlier_version_with_an_invisible_name_can_be_read_and_deleted() {
    let hub = Hub::start();
    let http = hub.http();
    let made = http.request("PUT", "/api/chats/old").key().json(&json!({"participants": ["old"]})).send();
    assert_eq!(made.status, 201, "{made:?}");
    let data = hub.data();
    let dir = hub.shut_down();
    let store = rusqlite::Connection::open(data.join("hubbub.db")).unwrap();
    let renamed = "PRAGMA foreign_keys = OFF; UPDATE chats SET id = 'a\u{200b}b' WHERE id = 'old';
        UPDATE chat_participants SET chat_id = 'a\u{200b}b', user_id = 'u\u{200b}u';";
    store.execute_batch(renamed).unwrap();
    drop(store);

    let hub = Hub::in_dir(dir);
    let request = |method: &str| hub.http().request(method, "/api/chats/a%E2%80%8Bb").key().send();
    let chat = request("GET");
    let fields = (&chat.json()["chat"]["chatId"], &chat.json()["chat"]["participants"]);
    assert_eq!((chat.status, fields), (200, (&json!("a\u{200b}b"), &json!(["u\u{200b}u"]))), "{chat:?}");
    assert_eq!(request("DELETE").status, 200);
    assert_eq!(request("GET").status, 404);
}
