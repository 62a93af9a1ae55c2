//! A client of `/` with connection state recovery, written from the protocol. It stores the private id of its session and
//! the offset of the last event that it received, and sends both when it reconnects.

use serde_json::{Value, json};

use super::{greeting, reconnect_status, recovery_failed, state_recovered, wait_until_suspended};
use crate::support::socketio::{SocketPacket, events};
use crate::support::token::token;
use crate::support::wait::within;
use crate::support::{DEADLINE, Hub, Sio, SioTransport};

pub(super) struct RecoveryClient {
    pub(super) sio: Sio,
    pub(super) saved: ClientState,
}

/// The state that a client keeps over a cut.
#[derive(Debug, Clone)]
pub(super) struct ClientState {
    pub(super) user: String,
    pub(super) token: Option<String>,
    pub(super) sid: String,
    pub(super) pid: String,
    /// The offset of the last event that the client received.
    pub(super) offset: Option<String>,
}

impl RecoveryClient {
    /// A connected client of `user` that has read its greeting.
    pub(super) async fn of(hub: &Hub, transport: SioTransport, user: &str) -> Self {
        Self::with_token(hub, transport, user, &token(user)).await
    }

    pub(super) async fn with_token(hub: &Hub, transport: SioTransport, user: &str, token: &str) -> Self {
        let saved = ClientState::new(user, Some(token));
        saved.connect_and_read_greeting(hub, transport, &json!({ "token": token })).await
    }

    /// A client without a token. `user` is the user that it becomes later.
    pub(super) async fn guest(hub: &Hub, transport: SioTransport, user: &str) -> Self {
        ClientState::new(user, None).connect_and_read_greeting(hub, transport, &Value::Null).await
    }

    /// The next packet, presence events included. Stores the offset of an event and removes it from the arguments.
    pub(super) async fn receive(&mut self) -> SocketPacket {
        let mut packet = within(DEADLINE, "a packet arrives", self.sio.receive_any()).await;
        if packet.event().is_some() {
            let arguments = packet.data.as_array_mut().unwrap();
            if arguments.len() == 3 {
                let offset = arguments.pop().unwrap();
                let offset = offset.as_str().unwrap();
                // An unread notification has a second number.
                let mut numbers = offset.split('.').map(|number| u64::from_str_radix(number, 16));
                assert!(numbers.all(|number| number.is_ok()), "offset {offset} of {packet:?}");
                self.saved.offset = Some(offset.to_owned());
            } else {
                assert_eq!(arguments.len(), 2, "{packet:?}");
            }
        }
        packet
    }

    /// The next event: `[name, data]`.
    pub(super) async fn event(&mut self) -> Value {
        let packet = self.receive().await;
        assert_eq!((packet.kind, packet.namespace.as_str()), (SocketPacket::EVENT, "/"), "{packet:?}");
        packet.data
    }

    /// Asserts that these events come next.
    pub(super) async fn expect(&mut self, expected: &[Value]) {
        let mut received = Vec::new();
        while received.len() < expected.len() {
            received.push(self.event().await);
        }
        assert_eq!(received, expected);
    }

    /// Asserts that these events come next, and nothing after them.
    pub(super) async fn expect_exactly(&mut self, expected: &[Value]) {
        self.expect(expected).await;
        self.sio.expect_silence().await;
    }

    /// The next `count` events that the hub sends by itself, without their timestamps.
    pub(super) async fn next_events(&mut self, count: usize) -> Vec<Value> {
        let mut packets = Vec::new();
        for _ in 0..count {
            packets.push(self.sio.receive().await);
        }
        events(&packets)
    }

    /// Ends the connection without a DISCONNECT. A WebSocket is reset, and bytes in flight are lost. A polling client sends
    /// a close packet, as one does that changes its transport.
    pub(super) async fn cut(mut self, transport: SioTransport) -> ClientState {
        match transport {
            SioTransport::WebSocket => self.sio.into_wire().reset(),
            SioTransport::Polling => self.sio.send("1").await,
        }
        self.saved
    }

    /// As [`RecoveryClient::cut`], and waits until the hub has suspended the session.
    pub(super) async fn suspend(self, hub: &Hub, transport: SioTransport) -> ClientState {
        let before = hub.metric("hubbub_suspended_sessions");
        let saved = self.cut(transport).await;
        wait_until_suspended(hub, before + 1.0).await;
        saved
    }

    /// Sends a DISCONNECT, as `socket.disconnect()` does.
    pub(super) async fn disconnect(mut self) -> ClientState {
        self.sio.send("41").await;
        self.saved
    }
}

impl ClientState {
    pub(super) fn new(user: &str, token: Option<&str>) -> Self {
        let (sid, pid) = (String::new(), String::new());
        Self { user: user.to_owned(), token: token.map(str::to_owned), sid, pid, offset: None }
    }

    /// The payload of the CONNECT that asks for recovery.
    pub(super) fn auth(&self) -> Value {
        let mut auth = json!({ "pid": self.pid });
        if let Some(token) = &self.token {
            auth["token"] = token.as_str().into();
        }
        if let Some(offset) = &self.offset {
            auth["offset"] = offset.as_str().into();
        }
        auth
    }

    /// Connects with this payload. The greeting is not read yet.
    pub(super) async fn connect(&self, hub: &Hub, transport: SioTransport, auth: &Value) -> RecoveryClient {
        let mut sio = Sio::open(hub, transport).await;
        let answer = sio.connect("/", auth).await.unwrap_or_else(|error| panic!("the CONNECT was refused: {error}"));
        let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}")).to_owned();
        let (sid, pid) = (text("sid"), text("pid"));
        sio.id.clone_from(&sid);
        RecoveryClient { sio, saved: Self { sid, pid, ..self.clone() } }
    }

    async fn connect_and_read_greeting(&self, hub: &Hub, transport: SioTransport, auth: &Value) -> RecoveryClient {
        let mut client = self.connect(hub, transport, auth).await;
        let received = client.next_events(2).await;
        assert_eq!(received, greeting(&client.saved.sid));
        client
    }

    /// Reconnects, and the session resumes. The missed events come next.
    pub(super) async fn resume(&self, hub: &Hub, transport: SioTransport) -> RecoveryClient {
        self.resume_at_attempt(hub, transport, 1).await
    }

    /// As [`ClientState::resume`], at this attempt since the cut.
    pub(super) async fn resume_at_attempt(&self, hub: &Hub, transport: SioTransport, attempt: u32) -> RecoveryClient {
        let mut client = self.connect(hub, transport, &self.auth()).await;
        let received = client.next_events(4).await;
        let status = vec![reconnect_status(attempt), state_recovered(&self.user)];
        assert_eq!(received, [status, greeting(&self.sid)].concat());
        assert_eq!((&client.saved.sid, &client.saved.pid), (&self.sid, &self.pid));
        client
    }

    /// Reconnects, and the session does not resume: the client gets another one.
    pub(super) async fn fail_to_resume(&self, hub: &Hub, transport: SioTransport) -> RecoveryClient {
        let mut client = self.connect(hub, transport, &self.auth()).await;
        assert_ne!(client.saved.pid, self.pid, "the client has its old session");
        let received = client.next_events(4).await;
        assert_eq!(received, [vec![reconnect_status(1), recovery_failed()], greeting(&client.saved.sid)].concat());
        client
    }
}
