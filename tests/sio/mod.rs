//! `/socket.io/`: Engine.IO v4 and Socket.IO v5 as a client written from the protocols meets them, and what a connection
//! means to the hub. That other people's clients work is in `clients`.

// How a session is opened, and how not.
mod handshake;

// Pages of other origins.
mod cors;

// Requests: payloads, overlaps, sizes.
mod polling;

// More packets than one answer carries.
mod burst;

// The TCP connections of polls: their ends, and several requests on one.
mod connections;

// Pings, and silence.
mod heartbeat;

// From requests to a WebSocket.
mod upgrade;

// As that, without a probe.
mod bare_upgrade;

// Packets of Socket.IO, namespaces, and what is none.
mod packets;

// CONNECTs and DISCONNECTs for one namespace, in any order.
mod namespaces;

// Who is let into the hub's namespaces, and as whom.
mod admission;

// What a client is told when the hub ends its session.
mod leave;

// What is still delivered to those who poll when the hub goes away.
mod drain;

// A room with members of every kind.
mod room;

// As many polls as there may be connections.
mod crowd;

// A thousand clients that vanish.
mod vanish;

// A session that nobody polls.
mod unread;

// Sessions that were cut off and go on.
mod recovery;

use serde_json::json;

use crate::support::Hub;

/// Pushes `count` events to a user with one session, each of 900,000 bytes: more than the buffers of a socket hold.
#[track_caller]
fn push_large(hub: &Hub, user: &str, count: usize) {
    let push = json!({"userId": user, "event": "large", "data": "x".repeat(900_000)});
    for _ in 0..count {
        let answer = hub.http().request("POST", "/api/push").key().json(&push).send();
        assert_eq!(answer.json()["recipients"], 1, "{answer:?}");
    }
}
