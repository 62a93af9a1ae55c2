//! `/socket.io/`: Engine.IO v4 and Socket.IO v5, tested with a client that is written from the protocols. Tests with the
//! official clients are in `clients`.

// Handshakes, and refused requests.
mod handshake;

// Cross-origin requests of browsers.
mod cors;

// Polling requests: payloads, overlaps, sizes.
mod polling;

// The number of packets in a response to a poll.
mod packets_per_poll;

// The TCP connections of polls: their ends, and several requests on one.
mod poll_connections;

// Pings and timeouts.
mod heartbeat;

// Upgrades from polling to a WebSocket.
mod upgrade;

// Upgrades without a probe.
mod upgrade_without_probe;

// Socket.IO packets and namespaces, and broken packets.
mod packets;

// CONNECT and DISCONNECT packets of one namespace, in any order.
mod namespaces;

// Authentication of a CONNECT, guests, and limits.
mod admission;

// The last packets of a session that the hub ends.
mod session_end;

// Delivery to polling clients while the hub drains.
mod drain;

// A room with clients of all transports.
mod room;

// Many waiting polls.
mod many_polls;

// A thousand clients that are lost in the middle of a request.
mod lost_clients;

// A session that is not polled.
mod unpolled;

// Connection state recovery.
mod recovery;

use serde_json::json;

use crate::support::Hub;

/// Pushes `count` events of 900,000 bytes each to a user with one session. They exceed the buffers of a socket.
#[track_caller]
fn push_large(hub: &Hub, user: &str, count: usize) {
    let push = json!({"userId": user, "event": "large", "data": "x".repeat(900_000)});
    for _ in 0..count {
        let answer = hub.http().request("POST", "/api/push").key().json(&push).send();
        assert_eq!(answer.json()["recipients"], 1, "{answer:?}");
    }
}
