//! Topic rules that change while sessions are subscribed.

use serde_json::{Value, json};
use std::fs;

use crate::support::http::Response;
use crate::support::{Client, Hub, Sio, SioTransport};

const OPEN: &str = "[[topics]]\npattern = \"*\"\nsubscribe = \"anyone\"\npublish = \"anyone\"\n";
const CLOSED: &str = "[[topics]]\npattern = \"secret*\"\nsubscribe = \"role:editor\"\npublish = \"anyone\"\n\
                      [[topics]]\npattern = \"*\"\nsubscribe = \"anyone\"\npublish = \"anyone\"\n";

#[track_caller]
fn publish(hub: &Hub, room: &str) -> Value {
    let body = json!({"room": room, "event": "e", "data": 1});
    hub.http().request("POST", "/api/room").key().json(&body).send().json()["recipients"].take()
}

#[tokio::test]
async fn a_reload_unsubscribes_and_notifies_sessions_that_lose_a_topic() {
    let hub = Hub::with(OPEN);
    let mut raw = Client::of(&hub, "alice").await;
    raw.subscribe(&["news", "secret"]).await;
    let mut polling = Sio::of(&hub, SioTransport::Polling, "bob").await;
    let mut socket = Sio::of(&hub, SioTransport::WebSocket, "carol").await;
    let editor = crate::support::token::token_with(json!({"sub": "dave", "roles": ["editor"]}));
    let mut editor = Client::connect(&hub, &editor).await;
    editor.subscribe(&["secret"]).await;
    for sio in [&mut polling, &mut socket] {
        sio.join("news").await;
        sio.join("secret").await;
    }
    assert_eq!(publish(&hub, "secret"), json!(4));
    for client in [&mut raw, &mut editor] {
        client.expect("e").await;
    }
    for sio in [&mut polling, &mut socket] {
        sio.expect("e").await;
    }

    let log = hub.reload(CLOSED);
    assert!(log.contains("reloaded changed=") && log.contains("topics.subscribe"), "{log}");
    let rules = "topic rules (the first match applies): \"secret*\" subscribe role:editor, publish anyone; \"*\"";
    assert!(log.contains(rules), "{log}");
    let status = raw.expect("Status").await;
    let details = json!({"topics": ["secret"], "code": "FORBIDDEN"});
    assert_eq!((&status["data"]["status"], &status["data"]["details"]), (&json!("unsubscribed"), &details));
    for sio in [&mut polling, &mut socket] {
        let event = sio.expect("room:leave:ack").await;
        assert_eq!(event, json!({"success": true, "room": "secret", "code": "FORBIDDEN"}));
    }
    assert_eq!((publish(&hub, "secret"), publish(&hub, "news")), (json!(1), json!(3)));
    assert_eq!(editor.expect("e").await["topic"], "secret");
    assert_eq!(raw.expect("e").await["topic"], "news");
    for sio in [&mut polling, &mut socket] {
        sio.expect("e").await;
        sio.expect_silence().await;
    }
    let denied = raw.ask(json!({"type": "Subscribe", "data": {"topics": ["secret"]}}), "Status").await;
    assert_eq!(denied["data"]["details"]["denied"][0]["code"], "FORBIDDEN", "{denied}");

    hub.reload(OPEN);
    raw.subscribe(&["secret"]).await;
    assert_eq!(publish(&hub, "secret"), json!(2));
}

#[tokio::test]
async fn the_history_of_a_topic_follows_the_current_rule() {
    let with_history = |count: u32| format!("{OPEN}history = {count}\n");
    let hub = Hub::with(OPEN);
    let mut alice = Client::of(&hub, "alice").await;
    alice.subscribe(&["news"]).await;
    let history = || -> Response { hub.http().request("GET", "/api/rooms/news/history").key().send() };
    publish(&hub, "news");
    assert_eq!(alice.expect("e").await["offset"], Value::Null);
    hub.reload(&with_history(2));
    for offset in 1..=3 {
        publish(&hub, "news");
        assert_eq!(alice.expect("e").await["offset"], json!(offset));
    }
    let stored = history().json();
    assert_eq!(stored["messages"].as_array().map(Vec::len), Some(2), "{stored}");
    hub.reload(OPEN);
    publish(&hub, "news");
    assert_eq!(alice.expect("e").await["offset"], Value::Null);
}

#[tokio::test]
async fn new_chats_in_the_file_are_created_and_others_stay_unchanged() {
    let hub = Hub::start();
    let chat = |id: &str| hub.http().request("GET", &format!("/api/chats/{id}")).key().send().status;
    assert_eq!((chat("general"), chat("team")), (200, 404));
    let deleted = hub.http().request("DELETE", "/api/chats/general").key().send();
    assert!(deleted.status < 300, "{deleted:?}");
    let general = "[[chats]]\nid = \"general\"\nname = \"General\"\npublic = true\n";
    hub.reload(&format!("{general}[[chats]]\nid = \"team\"\npublic = true\n"));
    assert_eq!((chat("general"), chat("team")), (404, 200), "a deleted chat stays deleted until the next start");
    let mut alice = Client::of(&hub, "alice").await;
    alice.send(json!({"type": "join:chat", "data": {"chatId": "team"}, "id": 1})).await;
    loop {
        let next = alice.next().await;
        if next["id"] == 1 {
            assert_eq!(next["data"]["success"], true, "{next}");
            break;
        }
    }
    assert!(fs::read_to_string(hub.data().join("running.toml")).unwrap().contains("\"chats[1].id\" = \"team\""));
}
