//! The chat document's client class and its usage, unchanged, with `socket.io-client` in Node. The drivers replace only the
//! address and the placeholder token. Also `python-socketio`, which the document does not mention.

use serde_json::{Value, json};
use std::process::Command;

use super::{assert_unchanged, fixture};
use crate::support::chat_client::{ChatClient, ChatTransport};
use crate::support::token::token;
use crate::support::tools::{Program, node_modules, python};
use crate::support::{DEADLINE, Hub, eventually};

#[test]
fn the_code_blocks_equal_the_documents() {
    assert_unchanged(&[
        ("chat/client.mjs", "13e5ea9af8f47579258d375802771672ff2838560ca865c6db5fbd45be454039"),
        ("chat/connect.js", "4546b960931edc1ae24996898a9ef4a177a87748d862e8b02f2719422fa0bb9c"),
    ]);
}

/// Replaces every time and every random id by a placeholder.
fn with_placeholders(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() == 24 && text.ends_with('Z') && text.contains('T') => json!("TIME"),
        Value::String(text) if text.len() >= 32 && text.chars().all(|char| char.is_ascii_hexdigit() || char == '-') => {
            json!("ID")
        }
        Value::Array(values) => values.into_iter().map(with_placeholders).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, with_placeholders(value))).collect(),
        other => other,
    }
}

fn message(user: &str, content: &str, kind: &str) -> Value {
    json!({"id": "ID", "content": content, "type": kind, "chatId": "chat-uuid", "userId": user, "createdAt": "TIME",
           "user": {"id": user, "username": user}})
}

fn typing(user: &str, typing: bool) -> Value {
    json!({"userId": user, "username": user, "chatId": "chat-uuid", "isTyping": typing, "timestamp": "TIME"})
}

fn user_status(user: &str, status: &str) -> Value {
    json!({"userId": user, "username": user, "status": status, "lastSeen": "TIME"})
}

/// The data of the next event of this name.
async fn next(member: &mut ChatClient, name: &str) -> Value {
    loop {
        let mut event = member.event().await;
        if event[0] == name {
            return with_placeholders(event[1].take());
        }
    }
}

async fn drive_node(mode: &str) {
    let hub = Hub::with("[presence]\nlinger_ms = 10\n[limits.http]\nrequests_per_minute = 0");
    let chat = json!({"public": true, "name": "The document's"});
    let created = hub.http().request("PUT", "/api/chats/chat-uuid").key().json(&chat).send();
    assert_eq!(created.status, 201, "{created:?}");
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join("chat-uuid").await;
    let mut node = Command::new("node");
    node.env("NODE_PATH", node_modules(&fixture("socketio"))).arg(fixture("documents/chat.js"));
    let driver = Program::start(node.arg(format!("http://{}", hub.address())).args([&token("alice"), mode]));

    assert_eq!(with_placeholders(bob.presence_event().await), json!(["user:online", user_status("alice", "online")]));
    assert_eq!(next(&mut bob, "user:joined").await["userId"], "alice");
    assert_eq!(next(&mut bob, "message:new").await, message("alice", "Hello, world!", "text"));
    assert_eq!(next(&mut bob, "user:typing").await, typing("alice", true));
    eventually(DEADLINE * 4, "the client is ready", || driver.output().contains("typing\n")).await;
    bob.send_message("chat-uuid", "Hello, alice!").await;
    assert_eq!(next(&mut bob, "message:new").await, message("bob", "Hello, alice!", "text"));
    bob.request_ok("message:typing", json!({"chatId": "chat-uuid", "isTyping": true})).await;
    let carol = ChatClient::of(&hub, ChatTransport::Raw, "carol").await;
    assert_eq!(bob.presence_event().await[1]["userId"], "carol");
    carol.reset();

    assert_eq!(next(&mut bob, "message:new").await, message("alice", "cat.png", "image"));
    assert_eq!(next(&mut bob, "user:typing").await, typing("alice", false));
    assert_eq!(next(&mut bob, "user:left").await["userId"], "alice");
    let report = with_placeholders(driver.report());
    let room_info = json!({"chatId": "chat-uuid", "participantCount": 2, "isActive": true, "lastActivity": "TIME"});
    let hello = message("alice", "Hello, world!", "text");
    let (reply, image) = (message("bob", "Hello, alice!", "text"), message("alice", "cat.png", "image"));
    let transport = if mode == "polling" { "polling" } else { "websocket" };
    let mut expected = json!({
        "connected": true,
        "transport": transport,
        "reply": reply,
        "typing": typing("bob", true),
        "online": user_status("carol", "online"),
        "offline": user_status("carol", "offline"),
        "image": {"success": true, "message": "Message sent successfully", "sentMessage": image},
        "refusals": [
            "User already in this room",
            "Chat not found or access denied",
            "User not in this room",
            "Invalid request data",
        ],
        "secondClient": {"success": true, "message": "Joined chat successfully", "roomInfo": room_info},
        "rooms": ["chat-uuid", "general"],
        "badToken": "Unauthorized",
        "disconnected": "io client disconnect",
        "printed": [
            ["log", "Connected to WebSocket"],
            ["log", "New message:", hello],
            ["log", "New message:", reply],
            ["log", "User typing:", typing("bob", true)],
            ["log", "User online:", user_status("carol", "online")],
            ["log", "User offline:", user_status("carol", "offline")],
            ["log", "New message:", image],
            ["log", "Connected to WebSocket"],
            ["log", "Disconnected from WebSocket"],
            ["log", "Disconnected from WebSocket"],
        ],
    });
    if mode == "any" {
        // The client starts by polling and chooses the time of its upgrade.
        expected["transport"] = report["transport"].clone();
    }
    assert_eq!(report, expected);
}

#[tokio::test]
async fn the_chat_documents_class_chats_with_default_transports() {
    drive_node("any").await;
}

#[tokio::test]
async fn the_chat_documents_class_chats_by_polling() {
    drive_node("polling").await;
}

#[tokio::test]
async fn the_chat_documents_class_chats_by_websocket() {
    drive_node("websocket").await;
}

#[tokio::test]
async fn python_chats_and_recovers_by_every_transport() {
    let interpreter = python(&fixture("socketio/requirements.txt"));
    for mode in ["polling", "websocket", "upgrade"] {
        // The hub notices a lost polling client when its heartbeat times out.
        let hub = Hub::with(
            "[presence]\naudience = \"off\"\n[limits.chat]\nrequests_per_minute = 0\n\
             [socketio]\nping_interval_ms = 1500\nping_timeout_ms = 1500",
        );
        let mut bob = ChatClient::of(&hub, ChatTransport::Raw, "bob").await;
        bob.join("general").await;
        let mut python = Command::new(&interpreter);
        python.env("PYTHONDONTWRITEBYTECODE", "1").arg(fixture("socketio/chat_python.py"));
        let driver = Program::start(python.args([&format!("http://{}", hub.address()), mode, &token("alice")]));
        eventually(DEADLINE * 4, "alice is typing", || hub.metric("hubbub_chat_typists") == 1.0).await;
        assert_eq!(next(&mut bob, "user:joined").await["userId"], "alice");
        bob.send_message("general", "for alice").await;
        assert_eq!(next(&mut bob, "message:read").await["userId"], "alice");
        assert_eq!(next(&mut bob, "user:left").await["userId"], "alice");
        for content in ["missed", "missed, too"] {
            bob.send_message("general", content).await;
        }
        let report = with_placeholders(driver.report());
        let room_info = json!({"chatId": "general", "participantCount": 2, "isActive": true, "lastActivity": "TIME"});
        let joined = "Joined chat successfully";
        let unauthorized = json!({"message": "Unauthorized", "data": {"code": "INVALID_TOKEN"}});
        let expected = json!({
            "badToken": [unauthorized],
            "transport": if mode == "polling" { "polling" } else { "websocket" },
            "joined": {"success": true, "message": joined, "roomInfo": room_info},
            "roomJoined": {"chatId": "general", "roomInfo": room_info, "message": joined, "onlineCount": 2},
            "secondJoin": {"success": false, "message": "User already in this room", "code": "CONFLICT"},
            "ownMessage": [true, true, "ünï ☃"],
            "token": true,
            "read": {"success": true, "message": "Read confirmation recorded"},
            "status": [["alice"], ["alice"]],
            "recovered": [true, "Connection recovered successfully", ["general"]],
            "queued": ["missed", "missed, too"],
            "history": ["ünï ☃", "for alice", "missed", "missed, too"],
            "left": {"success": true, "message": "Left chat successfully"},
        });
        assert_eq!(report, expected, "{mode}");
    }
}
