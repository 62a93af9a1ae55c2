//! The published `socket.io-client` in Node and in a browser, and `python-socketio`: by polling, by WebSocket, and with an
//! upgrade.

// In a browser.
mod browser;
// In Node, with each supported version.
mod node_client;
// `python-socketio`.
mod python_client;

use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

use super::remove_offset;
use crate::support::tools::node_modules;
use crate::support::{Client, DEADLINE, Hub};

/// The additional events of a client that reconnects: first after a lost connection, then after its own disconnect.
const RECONNECT_EVENTS: [&str; 4] =
    ["system:reconnect_status", "system:state_recovered", "system:reconnect_status", "system:state_recovery_failed"];

pub(crate) fn fixture(name: &str) -> PathBuf {
    super::fixture("socketio").join(name)
}

pub(crate) fn base(hub: &Hub) -> String {
    format!("http://{}", hub.address())
}

/// The supported versions of `socket.io-client`, by their names in `package.json`: the oldest with Engine.IO 4, the oldest
/// 4.x, the last before state recovery, and the newest.
pub(crate) const VERSIONS: [&str; 4] =
    ["socket.io-client-3.1", "socket.io-client-4.0", "socket.io-client-4.4", "socket.io-client"];

/// A driver in Node.
pub(crate) fn node(script: &str) -> Command {
    node_with(VERSIONS[3], script)
}

/// A driver in Node, with one of [`VERSIONS`]; the script requires `./client.js`.
pub(crate) fn node_with(version: &str, script: &str) -> Command {
    let mut node = Command::new("node");
    node.env("NODE_PATH", node_modules(&fixture(""))).env("SOCKETIO_CLIENT", version).arg(fixture(script));
    node
}

/// A raw member that receives the driven client's messages and sends to it.
async fn peer(hub: &Hub) -> Client {
    let mut peer = Client::of(hub, "bob").await;
    peer.subscribe(&["first"]).await;
    peer
}

/// Receives the message of the driven client, and sends it one event over each API.
async fn exchange(hub: &Hub, peer: &mut Client) {
    let message = peer.next_within(DEADLINE * 4).await;
    assert_eq!(message["data"]["payload"], json!({"text": "ünï ☃", "list": [1, 2.5, null]}), "{message}");
    assert_eq!(message["data"]["from_user"], "alice", "{message}");
    let push = |path: &str, body: Value| {
        let answer = hub.http().request("POST", path).key().json(&body).send();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["recipients"].clone()
    };
    let data = json!({"n": [1, {"deep": "ü"}]});
    assert_eq!(push("/api/push", json!({"userId": "alice", "event": "pushed", "data": data})), 1);
    assert_eq!(push("/api/room", json!({"room": "second", "event": "to-room", "data": "text"})), 1);
    peer.broadcast("first", json!({"back": ["to", "you"]})).await;
    peer.broadcast("first", json!({"one": {"$binary": "AP8B"}, "two": [{"$binary": ""}]})).await;
    let message = peer.expect("Broadcast").await;
    assert_eq!(message["data"]["payload"], json!({"$binary": "AAEC/v8="}), "{message}");
}

/// Asserts that a driver received the events of `exchange` and of the contract.
#[track_caller]
fn assert_report(mut report: Value) {
    for ack in ["ack", "bytesAck"] {
        let id = report[ack]["message_id"].take();
        assert!(id.is_string(), "message_id is {id} in {report}");
    }
    let joined = |room: &str| json!({"success": true, "room": room});
    let message = report["broadcast"]["message_id"].take();
    assert!(message.is_string(), "message_id is {message} in {report}");
    let broadcast =
        json!({"topic": "first", "payload": {"back": ["to", "you"]}, "from_user": "bob", "message_id": null});
    for (field, expected) in [
        ("ping", json!("nothing")),
        ("joined", joined("first")),
        ("joinedEvent", joined("first")),
        ("joinedSecond", joined("second")),
        ("ack", json!({"message_id": null, "recipients": 1})),
        ("pushed", json!([{"n": [1, {"deep": "ü"}]}])),
        ("toRoom", json!(["text"])),
        ("broadcast", broadcast),
        ("bytes", json!([[0, 255, 1], []])),
        ("bytesAck", json!({"message_id": null, "recipients": 2})),
        ("otherBytes", json!([0, 1, 2, 254, 255])),
        ("left", joined("second")),
        ("reconnected", json!(true)),
    ] {
        assert_eq!(report[field], expected, "{field} in {report}");
    }
}

/// As [`assert_report`], with the fields that only `socket.io-client` reports.
#[track_caller]
fn assert_node_report(mode: &str, mut report: Value) {
    let transports = match mode {
        "upgrade" => json!(["polling", "websocket"]),
        one => json!([one, one]),
    };
    for event in ["pushed", "toRoom"] {
        remove_offset(&mut report[event]);
    }
    let refused = report["refused"].take();
    assert_eq!((&refused["success"], &refused["code"]), (&json!(false), &json!("INVALID_REQUEST")), "{refused}");
    for (field, expected) in [
        ("transports", transports),
        ("error", json!("INVALID_REQUEST")),
        ("lostReason", json!("forced close")),
        ("disconnectReason", json!("io client disconnect")),
        ("newSession", json!(true)),
        ("recovered", json!([true, false])),
        ("unexpected", json!(RECONNECT_EVENTS)),
    ] {
        assert_eq!(report[field], expected, "{field} in {report}");
    }
    assert_report(report);
}
