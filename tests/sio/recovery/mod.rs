//! Connection state recovery on `/`, as Socket.IO specifies it: after a cut, the session resumes, and its client receives the
//! events that it missed.

// The client.
mod client;

// The interpreter of the steps of a case.
mod script;

// The table of cases: connect, cut, publish, return, expect.
mod cases;

// Replay under load, over slow sockets and with rival clients.
mod replay;

// Credentials that recover no session.
mod credentials;

// Sessions that end.
mod ended;

// Rooms and presence of a session that resumes.
mod rooms;

// Sessions of guests.
mod guests;

// A DISCONNECT that arrives after the client's next CONNECT.
mod late_disconnect;

// A CONNECT of an earlier connection that arrives after the client's next CONNECT.
mod late_connect;

// Several packets before the hub's reply.
mod early_packets;

// Unread notifications.
mod notifications;

// What the hub keeps for recovery: its bounds, and how long.
mod memory_bound;

// What a session gets of the events that it missed, and what it does not get.
mod missed;

// Sessions over a restart of the hub.
mod restart;

use serde_json::{Value, json};

use self::client::{ClientState, RecoveryClient};
use crate::support::{DEADLINE, Hub, eventually};

/// The defaults of these tests. The client sends no `User-Agent`, so `auto` would give it no offsets.
const DEFAULTS: [(&str, &str); 6] = [
    ("socketio.offsets", r#""always""#),
    ("server.workers", "2"),
    ("presence.audience", r#""off""#),
    ("limits.push.messages_per_minute", "0"),
    ("limits.push.connections_per_minute", "0"),
    ("limits.http.requests_per_minute", "0"),
];

/// `more`, which consists of dotted keys, and each of the [`DEFAULTS`] that it does not set.
fn config(more: &str) -> String {
    let kept = DEFAULTS.iter().filter(|(key, _)| !more.contains(key));
    let defaults: String = kept.map(|(key, value)| format!("{key} = {value}\n")).collect();
    format!("{defaults}{more}")
}

#[track_caller]
fn hub(more: &str) -> Hub {
    Hub::with(&config(more))
}

/// Stops the hub in order, and starts it again on its data.
async fn restart(hub: Hub) -> Hub {
    tokio::task::spawn_blocking(|| hub.restart_gracefully()).await.unwrap()
}

/// Kills the hub, and starts it again on its data.
async fn crash(hub: Hub) -> Hub {
    tokio::task::spawn_blocking(|| hub.restart()).await.unwrap()
}

/// The first event after a reconnect.
fn reconnect_status(attempt: u32) -> Value {
    let delay = (1_000.0 * 1.5_f64.powi(attempt as i32 - 1)) as u64;
    json!(["system:reconnect_status", {"attempt": attempt, "delay": delay}])
}

fn state_recovered(user: &str) -> Value {
    json!(["system:state_recovered", {"userId": user}])
}

fn recovery_failed() -> Value {
    json!(["system:state_recovery_failed", {"message": "Failed to recover connection state"}])
}

fn greeting(sid: &str) -> Vec<Value> {
    let server = json!({"version": env!("CARGO_PKG_VERSION"), "environment": "production"});
    let welcome = json!({"message": "Welcome to the Socket.IO server", "socketId": sid, "serverInfo": server});
    vec![json!(["connected", {"socketId": sid}]), json!(["system:welcome", welcome])]
}

/// Waits until this many sessions are suspended.
async fn wait_until_suspended(hub: &Hub, sessions: f64) {
    let what = format!("{sessions} sessions are suspended");
    eventually(DEADLINE, &what, || hub.metric("hubbub_suspended_sessions") == sessions).await;
}

/// Waits until the hub has no session, connected or suspended, and stores nothing for one.
async fn wait_until_empty(hub: &Hub) {
    for name in [
        // First: a session that ends may be suspended by then.
        "websocket_connections_active",
        "hubbub_suspended_sessions",
        "hubbub_buffered_messages",
        "hubbub_recovery_bytes",
        "hubbub_rooms",
    ] {
        eventually(DEADLINE, &format!("{name} is 0"), || hub.metric(name) == 0.0).await;
    }
}

#[track_caller]
fn post(hub: &Hub, path: &str, body: &Value) -> Value {
    let answer = hub.http().request("POST", path).key().json(body).send();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Ends all sessions of a user, the suspended ones included.
#[track_caller]
fn disconnect_user(hub: &Hub, user: &str) {
    post(hub, "/api/disconnect", &json!({ "userId": user }));
}

/// Publishes to a room. The result is the event as its members receive it.
#[track_caller]
fn to_room(hub: &Hub, room: &str, n: usize) -> Value {
    let data = json!({"n": n, "in": room});
    post(hub, "/api/room", &json!({"room": room, "event": "to-room", "data": data}));
    json!(["to-room", data])
}

/// As [`to_room`], to a user.
#[track_caller]
fn to_user(hub: &Hub, user: &str, n: usize) -> Value {
    let data = json!({"n": n, "to": user});
    post(hub, "/api/push", &json!({"userId": user, "event": "to-user", "data": data}));
    json!(["to-user", data])
}

/// As [`to_room`], to all users.
#[track_caller]
fn to_all(hub: &Hub, n: usize) -> Value {
    let data = json!({ "n": n });
    post(hub, "/api/broadcast", &json!({"event": "to-all", "data": data}));
    json!(["to-all", data])
}

/// As [`to_room`], one event for each number, in few requests.
#[track_caller]
fn many_to_room(hub: &Hub, room: &str, numbers: std::ops::Range<usize>, text: &str) -> Vec<Value> {
    let data: Vec<_> = numbers.map(|n| json!({"n": n, "text": text})).collect();
    // A request has at most 1 MiB.
    for data in data.chunks((800_000 / (text.len() + 100)).clamp(1, 200)) {
        let command = |data| json!({"room": {"room": room, "event": "many", "data": data}});
        let commands: Vec<_> = data.iter().map(command).collect();
        let answer = post(hub, "/api/batch", &json!({ "commands": commands }));
        assert!(answer["results"].as_array().unwrap().iter().all(|result| result["success"] == true), "{answer}");
    }
    data.into_iter().map(|data| json!(["many", data])).collect()
}
