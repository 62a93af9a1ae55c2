//! Sessions on `/chat` and `/ws` that are cut and recovered by a token. No message is lost after the cut, none is repeated,
//! and nothing is left over.

// The table of cases: cut, send, return, expect.
mod cases;

// Sessions that resume on other transports, over full sockets, and for rival clients.
mod resume;

// Recovery tokens.
mod tokens;

// Cuts while others send.
mod load;

// Chats that are joined, left or closed between the cut and the return.
mod chats;

use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinHandle;

use super::{
    contents, http, is_time, online_update, put, put_private, received_by, room_left, sessions, settled, timeless,
    unlimited,
};
use super::{user_joined, user_left};
use crate::support::chat_client::{ChatClient, ChatTransport};
use crate::support::token::{now, token_with};
use crate::support::{DEADLINE, Hub, eventually};

const CHAT: &str = "general";
const RECOVERED: &str = "Connection recovered successfully";

fn hub(more: &str) -> Hub {
    Hub::with(&unlimited(&format!("[presence]\naudience = \"off\"\n{more}")))
}

const TWO_WORKERS: &str = "[server]\nworkers = 2\n";

/// The result of a recovery.
struct RecoveryResult {
    /// The session in the reply.
    session: Value,
    /// The missed messages.
    messages: Vec<Value>,
    dropped: Option<u64>,
}

impl RecoveryResult {
    fn contents(&self) -> Vec<&str> {
        self.messages.iter().map(|message| message["content"].as_str().unwrap()).collect()
    }

    fn token(&self) -> String {
        self.session["recoveryToken"].as_str().unwrap().to_owned()
    }
}

/// Recovers a session. Asserts that the events before the reply match the reply.
async fn recover(client: &mut ChatClient, token: &str) -> RecoveryResult {
    let number = client.send_request("connection:recover", json!({ "recoveryToken": token })).await;
    read_recovery(client, number).await
}

/// Reads the reply of this number, and the events of the recovery.
async fn read_recovery(client: &mut ChatClient, number: u64) -> RecoveryResult {
    let mut reply = client.reply(number).await;
    assert_eq!((&reply["success"], &reply["message"]), (&json!(true), &json!(RECOVERED)), "{reply}");
    let session = reply["session"].take();
    assert_eq!(session["messageQueue"], json!([]), "{session}");
    let mut events = client.take_events();
    let at = events.iter().position(|event| event[0] == "connection:recovered").unwrap();
    let event = events.remove(at);
    let (mut messages, mut dropped) = (Vec::new(), None);
    if let Some(queued) = events.get_mut(at).filter(|event| event[0] == "connection:queued-messages") {
        dropped = queued[1]["dropped"].as_u64();
        let Value::Array(replayed) = queued[1]["messages"].take() else { panic!("{queued}") };
        assert_eq!(queued[1]["count"], replayed.len(), "{queued}");
        assert!(!replayed.is_empty() || dropped.is_some(), "{queued}");
        messages = replayed;
        events.remove(at);
    }
    let expected = json!({"message": RECOVERED, "rooms": session["rooms"], "queuedMessages": messages.len()});
    assert_eq!(event[1], expected);
    client.put_back_events(events);
    RecoveryResult { session, messages, dropped }
}

async fn assert_invalid(client: &mut ChatClient, token: &str) {
    let answer = client.request("connection:recover", json!({ "recoveryToken": token })).await;
    assert_eq!(answer, json!({"success": false, "message": "Invalid recovery token", "code": "NOT_FOUND"}));
}

/// Waits until this many sessions are suspended.
async fn wait_until_suspended(hub: &Hub, sessions: u32) {
    let what = format!("{sessions} sessions are suspended");
    eventually(DEADLINE, &what, || hub.metric("hubbub_suspended_sessions") == f64::from(sessions)).await;
}

/// Waits until the hub has no session, connected or suspended, and stores nothing for one.
async fn wait_until_empty(hub: &Hub) {
    // The connections first: a session that ends may be suspended by then.
    let names = [
        "websocket_connections_active",
        "hubbub_suspended_sessions",
        "hubbub_buffered_messages",
        "hubbub_recovery_bytes",
        "hubbub_rooms",
    ];
    eventually(DEADLINE, "the hub is empty", || names.iter().all(|name| hub.metric(name) == 0.0)).await;
}

/// Ends the sessions of these users, connected or suspended, and waits until the hub is empty.
async fn end_all(hub: &Hub, users: &[&str]) {
    for user in users {
        http(hub, "POST", "/api/disconnect", &json!({ "userId": user }));
    }
    wait_until_empty(hub).await;
}

/// The messages that are queued for suspended sessions, as `client` is told.
async fn queued(client: &mut ChatClient) -> Value {
    client.request_ok("connection:stats", json!({})).await["stats"]["queuedMessages"].take()
}

/// A client in a chat, and its recovery token.
async fn in_chat(hub: &Hub, transport: ChatTransport, user: &str, chat: &str) -> (ChatClient, String) {
    let mut client = ChatClient::of(hub, transport, user).await;
    client.join(chat).await;
    let token = client.recovery_token().await;
    (client, token)
}
