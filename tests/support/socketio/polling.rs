//! A session by polling, one request at a time, so that a test can send wrong requests; and the WebSocket of a session.

use serde_json::{Value, json};
use std::net::SocketAddr;

use super::packets::read_handshake;
use crate::support::http::Response;
use crate::support::hub::Hub;
use crate::support::wire::Wire;

/// The path and query of a handshake by polling.
pub(crate) const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
/// As [`POLLING`], for a WebSocket.
pub(crate) const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

/// A polling session. Each request has a TCP connection of its own.
pub(crate) struct PollingSession {
    address: SocketAddr,
    /// The parameters in the open packet.
    pub(crate) handshake: Value,
    sid: String,
    /// The connection of the pending poll.
    pending: Option<Wire>,
}

impl PollingSession {
    pub(crate) async fn open(hub: &Hub) -> Self {
        Self::open_at(hub.address(), POLLING).await
    }

    /// Opens a session by a GET of this path.
    pub(crate) async fn open_at(address: SocketAddr, path: &str) -> Self {
        let mut wire = Wire::to(address).await;
        wire.request("GET", path, &[], b"").await;
        let answer = wire.response().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let handshake = read_handshake(&answer.body);
        let sid = handshake["sid"].as_str().unwrap().to_owned();
        Self { address, handshake, sid, pending: None }
    }

    pub(crate) fn sid(&self) -> &str {
        &self.sid
    }

    /// The path of its requests.
    pub(crate) fn path(&self) -> String {
        format!("{POLLING}&sid={}", self.sid)
    }

    /// Sends a poll, and does not wait for the response.
    pub(crate) async fn start_poll(&mut self) {
        assert!(self.pending.is_none(), "a poll is pending");
        let mut wire = Wire::to(self.address).await;
        wire.request("GET", &self.path(), &[], b"").await;
        self.pending = Some(wire);
    }

    pub(super) fn has_pending_poll(&self) -> bool {
        self.pending.is_some()
    }

    /// Closes the connection of the pending poll.
    pub(crate) fn abort_poll(&mut self) {
        assert!(self.pending.take().is_some(), "no poll is pending");
    }

    /// Waits for the response to the pending poll, and closes the connection before it is read.
    pub(crate) async fn lose_response(&mut self) {
        self.pending.take().unwrap().wait_readable().await;
    }

    /// The response to the pending poll, or to a new one.
    pub(crate) async fn poll(&mut self) -> Response {
        if self.pending.is_none() {
            self.start_poll().await;
        }
        let mut wire = self.pending.take().unwrap();
        wire.response().await
    }

    /// As [`PollingSession::poll`]: the body of a successful response.
    pub(crate) async fn poll_body(&mut self) -> String {
        let answer = self.poll().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Sends a body, and returns the response.
    pub(crate) async fn post(&self, body: impl AsRef<[u8]>) -> Response {
        let mut wire = Wire::to(self.address).await;
        wire.request("POST", &self.path(), &[], body.as_ref()).await;
        wire.response().await
    }

    /// Sends a body, and does not wait for the response.
    pub(crate) async fn start_post(&self, body: impl AsRef<[u8]>) -> tokio::task::JoinHandle<Response> {
        let mut wire = Wire::to(self.address).await;
        wire.request("POST", &self.path(), &[], body.as_ref()).await;
        tokio::spawn(async move { wire.response().await })
    }

    /// Sends a body, and asserts that it is accepted.
    pub(crate) async fn send(&self, body: impl AsRef<[u8]>) {
        let answer = self.post(body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{answer:?}");
    }

    /// Opens a WebSocket for the session. The upgrade still needs its packets.
    pub(crate) async fn start_upgrade(&self) -> Wire {
        let mut wire = Wire::to(self.address).await;
        let answer = wire.request_upgrade(self.address, &format!("{WEBSOCKET}&sid={}", self.sid), &[]).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        wire
    }

    /// Asserts that the hub does not know the session.
    pub(crate) async fn assert_gone(&mut self) {
        let answer = self.poll().await;
        assert_eq!((answer.status, answer.json()), (400, unknown_sid()), "a poll of an ended session");
        let answer = self.post("4").await;
        assert_eq!((answer.status, answer.json()), (400, unknown_sid()), "a post to an ended session");
    }
}

/// The error for an unknown session.
pub(crate) fn unknown_sid() -> Value {
    json!({"code": 1, "message": "Session ID unknown"})
}

/// Opens a session on a WebSocket. The result is the connection and the handshake.
pub(crate) async fn open_websocket(address: SocketAddr) -> (Wire, Value) {
    open_websocket_with(address, &[]).await
}

/// As [`open_websocket`], with additional headers.
pub(super) async fn open_websocket_with(address: SocketAddr, headers: &[(&str, &str)]) -> (Wire, Value) {
    let mut wire = Wire::to(address).await;
    let answer = wire.request_upgrade(address, WEBSOCKET, headers).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    let handshake = read_handshake(&wire.text().await);
    (wire, handshake)
}
