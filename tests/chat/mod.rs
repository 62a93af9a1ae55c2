//! The chat system for its members, on every transport: Socket.IO on `/chat` by WebSocket or by polling, and the raw
//! WebSocket.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::chat_client::ChatClient;
use crate::support::{DEADLINE, Hub, eventually};

// Joins, leaves and member counts, with several sessions per user.
mod join_leave;

// Rate limits of messages and typing.
mod limit;

// Private, deleted and automatically created chats.
mod private;

// Messages and receipts after restarts and crashes.
mod persistence;

// Recovery of sessions after a cut.
mod recovery;

// Many clients with random actions; every message is accounted for.
mod soak;

/// Switches off the limits that a test with many requests would reach.
const UNLIMITED: &str = "[limits.http]\nrequests_per_minute = 0\n[limits.raw]\nmessages_per_minute = 0\n\
    [limits.chat]\nmessages_per_minute = 0\ntyping_per_minute = 0\nrequests_per_minute = 0\n";

/// A configuration without these limits, and with `more`.
fn unlimited(more: &str) -> String {
    format!("{UNLIMITED}{more}")
}

/// Calls the HTTP API, and returns the body of the response, which must be a success.
#[track_caller]
fn http(hub: &Hub, method: &str, path: &str, body: &Value) -> Value {
    let http = hub.http();
    let request = http.request(method, path).key();
    let answer = if body.is_null() { request.send() } else { request.json(body).send() };
    assert!(answer.status < 300, "{method} {path}: {answer:?}");
    answer.json()
}

/// Creates or replaces a chat.
#[track_caller]
fn put(hub: &Hub, chat: &str, body: &Value) {
    http(hub, "PUT", &format!("/api/chats/{chat}"), body);
}

/// Creates or replaces a private chat of these users.
#[track_caller]
fn put_private(hub: &Hub, chat: &str, participants: &[&str]) {
    put(hub, chat, &json!({"name": chat, "participants": participants}));
}

/// The members of a chat as `{user: sessions}`. Earlier requests take effect before this returns.
#[track_caller]
fn sessions(hub: &Hub, chat: &str) -> Value {
    let answer = hub.http().request("GET", &format!("/api/rooms/chat:{chat}")).key().send();
    if answer.status == 404 {
        return json!({});
    }
    let members = answer.json()["members"].as_array().unwrap().clone();
    members.iter().map(|member| (member["userId"].as_str().unwrap().to_owned(), member["sessions"].clone())).collect()
}

/// Waits until a chat has these members: `{user: sessions}`.
async fn settled(hub: &Hub, chat: &str, expected: Value) {
    eventually(DEADLINE, "the chat has these sessions", || sessions(hub, chat) == expected).await;
}

/// Everything that these members have received in `chat` so far; nothing more is on its way. It sends an event to
/// all users, which arrives after all earlier events of the chat.
async fn received_by<const N: usize>(hub: &Hub, chat: &str, members: [&mut ChatClient; N]) -> [Vec<Value>; N] {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    sessions(hub, chat);
    let number = json!({"number": NUMBER.fetch_add(1, Ordering::Relaxed)});
    http(hub, "POST", "/api/broadcast", &json!({"event": "so far", "data": number}));
    let (last, mut all) = (json!(["so far", number]), [const { Vec::new() }; N]);
    for (events, member) in all.iter_mut().zip(members) {
        *events = member.events_until(&last).await.into_iter().map(timeless).collect();
    }
    all
}

/// The value with `T` in the place of every ISO time.
fn timeless(value: Value) -> Value {
    match value {
        Value::String(text) if is_time(&text) => json!("T"),
        Value::Array(values) => values.into_iter().map(timeless).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, timeless(value))).collect(),
        other => other,
    }
}

/// Whether the text has the form `2025-01-09T21:30:00.000Z`.
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
    shape == "0000-00-00T00:00:00.000Z"
}

fn room_info(chat: &str, users: usize) -> Value {
    json!({"chatId": chat, "participantCount": users, "isActive": users > 0, "lastActivity": "T"})
}

fn online(user: &str) -> Value {
    json!({"userId": user, "username": user, "status": "online", "lastSeen": "T", "connectedAt": "T"})
}

/// The event that the others receive when a user joins.
fn user_joined(user: &str, chat: &str, users: usize) -> Value {
    let room_info = room_info(chat, users);
    json!(["user:joined", {"userId": user, "username": user, "chatId": chat, "timestamp": "T", "roomInfo": room_info,
                           "onlineCount": users}])
}

/// The event that the others receive when a user leaves.
fn user_left(user: &str, chat: &str, users: usize) -> Value {
    json!(["user:left", {"userId": user, "username": user, "chatId": chat, "timestamp": "T", "onlineCount": users}])
}

/// The event that all members receive when the users change.
fn online_update(chat: &str, users: &[&str]) -> Value {
    let online: Vec<_> = users.iter().map(|user| online(user)).collect();
    json!(["room:online-update", {"chatId": chat, "onlineUsers": online, "count": users.len(), "timestamp": "T"}])
}

/// The event that a session receives when it has joined.
fn room_joined(chat: &str, users: usize) -> Value {
    json!(["room:joined", {"chatId": chat, "roomInfo": room_info(chat, users), "message": "Joined chat successfully",
                           "onlineCount": users}])
}

/// The event that a session receives when it has left.
fn room_left(chat: &str, message: &str, users: usize) -> Value {
    json!(["room:left", {"chatId": chat, "message": message, "onlineCount": users}])
}

/// The contents of the messages among these events.
fn contents(events: &[Value]) -> Vec<&str> {
    let messages = events.iter().filter(|event| event[0] == "message:new");
    messages.map(|event| event[1]["content"].as_str().unwrap()).collect()
}
