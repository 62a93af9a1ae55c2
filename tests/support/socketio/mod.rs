//! A client of Engine.IO v4 and Socket.IO v5, written from the protocols. [`PollingSession`] sends single requests; [`Sio`]
//! sends and receives whole packets on either transport, and answers pings.

mod packets;
mod polling;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::SocketAddr;

use self::packets::{prefix, read_handshake};
use self::polling::open_websocket_with;
use super::client::PRESENCE;
use super::hub::Hub;
use super::token::token;
use super::wire::{RawFrame, Wire, opcode};

pub(crate) use self::packets::{SEPARATOR, SocketPacket, WirePacket, decode_payload, events};
pub(crate) use self::polling::{POLLING, PollingSession, WEBSOCKET, open_websocket, unknown_sid};

/// The transport of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SioTransport {
    Polling,
    WebSocket,
}

impl SioTransport {
    pub(crate) const BOTH: [Self; 2] = [Self::Polling, Self::WebSocket];
}

enum EngineConnection {
    Polling(PollingSession),
    Socket(Wire),
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObservedEnd {
    /// A close packet answered a poll.
    ClosePacket,
    /// A poll found no session.
    UnknownSession,
    /// The WebSocket was closed with this code, or without one.
    Closed(Option<u16>),
}

/// A client of Socket.IO.
pub(crate) struct Sio {
    /// The socket id on `/`.
    pub(crate) id: String,
    engine: EngineConnection,
    unread: VecDeque<WirePacket>,
    end: Option<ObservedEnd>,
    next_ack_id: u64,
}

impl Sio {
    /// Opens a session and joins no namespace.
    pub(crate) async fn open(hub: &Hub, transport: SioTransport) -> Self {
        Self::open_at(hub.address(), transport).await
    }

    pub(crate) async fn open_at(address: SocketAddr, transport: SioTransport) -> Self {
        let engine = match transport {
            SioTransport::Polling => EngineConnection::Polling(PollingSession::open_at(address, POLLING).await),
            SioTransport::WebSocket => EngineConnection::Socket(open_websocket(address).await.0),
        };
        Self::over(engine)
    }

    /// As [`Sio::open`], on a WebSocket with additional headers.
    pub(crate) async fn open_with(hub: &Hub, headers: &[(&str, &str)]) -> Self {
        Self::over(EngineConnection::Socket(open_websocket_with(hub.address(), headers).await.0))
    }

    /// As [`Sio::open`], on a WebSocket with socket buffers of a few KiB.
    pub(crate) async fn open_with_small_buffers(hub: &Hub) -> Self {
        let mut wire = Wire::upgrade_with_small_buffer(hub, WEBSOCKET).await;
        read_handshake(&wire.text().await);
        Self::over(EngineConnection::Socket(wire))
    }

    fn over(engine: EngineConnection) -> Self {
        Self { id: String::new(), engine, unread: VecDeque::new(), end: None, next_ack_id: 0 }
    }

    /// A client of `user` on `/` that has read its greeting.
    pub(crate) async fn of(hub: &Hub, transport: SioTransport, user: &str) -> Self {
        Self::with_token(hub, transport, &token(user)).await
    }

    /// As [`Sio::of`], with this token.
    pub(crate) async fn with_token(hub: &Hub, transport: SioTransport, token: &str) -> Self {
        let mut client = Self::open(hub, transport).await;
        client.join_root(&json!({ "token": token })).await;
        client
    }

    /// As [`Sio::of`], without a token.
    pub(crate) async fn guest(hub: &Hub, transport: SioTransport) -> Self {
        let mut client = Self::open(hub, transport).await;
        client.join_root(&Value::Null).await;
        client
    }

    async fn join_root(&mut self, auth: &Value) {
        self.connect("/", auth).await.unwrap_or_else(|error| panic!("the CONNECT was refused: {error}"));
        self.id = self.expect("connected").await["socketId"].as_str().unwrap().to_owned();
        self.expect("system:welcome").await;
    }

    /// A client of `user` on `/chat`.
    pub(crate) async fn of_chat(hub: &Hub, transport: SioTransport, user: &str) -> Self {
        let mut client = Self::open(hub, transport).await;
        client.connect("/chat", &json!({"token": token(user)})).await.unwrap();
        client
    }

    /// Sends a CONNECT. The result is the data of the reply, or of the error.
    pub(crate) async fn connect(&mut self, namespace: &str, auth: &Value) -> Result<Value, Value> {
        let auth = if auth.is_null() { String::new() } else { auth.to_string() };
        self.send(&format!("40{}{auth}", prefix(namespace))).await;
        let packet = self.receive().await;
        assert_eq!(packet.namespace, namespace, "{packet:?}");
        match packet.kind {
            SocketPacket::CONNECT => Ok(packet.data),
            SocketPacket::CONNECT_ERROR => Err(packet.data),
            _ => panic!("neither CONNECT nor CONNECT_ERROR: {packet:?}"),
        }
    }

    /// Sends a text packet of Engine.IO.
    pub(crate) async fn send(&mut self, packet: &str) {
        assert!(self.try_send(packet).await, "{packet} was refused");
    }

    /// As [`Sio::send`], without an assertion. False if a POST is refused.
    pub(crate) async fn try_send(&mut self, packet: &str) -> bool {
        match &mut self.engine {
            EngineConnection::Polling(polling) => polling.post(packet).await.status == 200,
            EngineConnection::Socket(wire) => {
                wire.try_send(&RawFrame::text(packet).encode()).await;
                true
            }
        }
    }

    /// Sends a packet and its attachments.
    pub(crate) async fn send_with_attachments(&mut self, packet: &str, attachments: &[&[u8]]) {
        match &mut self.engine {
            EngineConnection::Polling(polling) => {
                let mut body = packet.to_owned();
                for bytes in attachments {
                    body.push(SEPARATOR);
                    body.push('b');
                    body.push_str(&STANDARD.encode(bytes));
                }
                polling.send(body).await;
            }
            EngineConnection::Socket(wire) => {
                wire.send_frame(&RawFrame::text(packet)).await;
                for &bytes in attachments {
                    wire.send_frame(&RawFrame::new(opcode::BINARY, bytes)).await;
                }
            }
        }
    }

    /// Emits an event on `/`.
    pub(crate) async fn emit(&mut self, event: &str, data: Value) {
        self.send(&format!("42{}", json!([event, data]))).await;
    }

    /// Emits an event with an acknowledgement id, and returns the id.
    pub(crate) async fn emit_for_ack(&mut self, namespace: &str, event: &str, data: Value) -> u64 {
        let id = self.next_ack_id;
        self.next_ack_id += 1;
        self.send(&format!("42{}{id}{}", prefix(namespace), json!([event, data]))).await;
        id
    }

    /// Emits an event on `/`, and returns its acknowledgement, which must be the next packet.
    pub(crate) async fn request(&mut self, event: &str, data: Value) -> Value {
        self.request_on("/", event, data).await
    }

    /// As [`Sio::request`], on another namespace.
    pub(crate) async fn request_on(&mut self, namespace: &str, event: &str, data: Value) -> Value {
        let id = self.emit_for_ack(namespace, event, data).await;
        let packet = self.receive().await;
        assert_eq!(
            (packet.kind, packet.id),
            (SocketPacket::ACK, Some(id)),
            "waited for an acknowledgement: {packet:?}"
        );
        packet.data
    }

    /// Emits an event on `/`, and returns the data of the next event, which must be `answer`.
    pub(crate) async fn emit_and_expect(&mut self, answer: &str, event: &str, data: Value) -> Value {
        self.emit(event, data).await;
        self.expect(answer).await
    }

    /// Joins a room on `/`.
    pub(crate) async fn join(&mut self, room: &str) {
        let id = self.emit_for_ack("/", "room:join", json!({ "room": room })).await;
        let joined = json!({"success": true, "room": room});
        assert_eq!(self.expect("room:join:ack").await, joined);
        let packet = self.receive().await;
        assert_eq!((packet.id, packet.data), (Some(id), json!([joined])));
    }

    /// The next packet of Engine.IO; none at the end. Answers pings and skips noops.
    pub(crate) async fn packet(&mut self) -> Option<WirePacket> {
        loop {
            if let Some(packet) = self.unread.pop_front() {
                match packet {
                    WirePacket::Text(text) if text == "2" => {
                        self.try_send("3").await;
                    }
                    WirePacket::Text(text) if text == "6" => {}
                    WirePacket::Text(text) if text == "1" => self.end = Some(ObservedEnd::ClosePacket),
                    packet => return Some(packet),
                }
                continue;
            }
            if self.end.is_some() {
                return None;
            }
            self.fetch().await;
        }
    }

    async fn fetch(&mut self) {
        match &mut self.engine {
            EngineConnection::Polling(polling) => {
                let answer = polling.poll().await;
                if answer.status == 200 {
                    self.unread.extend(decode_payload(&answer.body));
                } else {
                    assert_eq!((answer.status, answer.json()), (400, unknown_sid()));
                    self.end = Some(ObservedEnd::UnknownSession);
                }
            }
            EngineConnection::Socket(wire) => match wire.frame().await {
                Some(frame) if frame.opcode == opcode::TEXT => {
                    self.unread.push_back(WirePacket::Text(String::from_utf8(frame.payload).unwrap()));
                }
                Some(frame) if frame.opcode == opcode::BINARY => {
                    self.unread.push_back(WirePacket::Binary(frame.payload));
                }
                Some(frame) if frame.opcode == opcode::CLOSE => {
                    self.end = Some(ObservedEnd::Closed(frame.close_code()))
                }
                Some(_) => {}
                None => self.end = Some(ObservedEnd::Closed(None)),
            },
        }
    }

    /// The next packet with its attachments, presence events left out; none at the end.
    pub(crate) async fn try_receive(&mut self) -> Option<SocketPacket> {
        loop {
            let packet = self.try_receive_any().await?;
            if !is_presence(&packet) {
                return Some(packet);
            }
        }
    }

    /// As [`Sio::try_receive`], presence events included.
    pub(crate) async fn try_receive_any(&mut self) -> Option<SocketPacket> {
        let packet = self.packet().await?;
        let WirePacket::Text(text) = &packet else { panic!("an attachment without a packet: {packet:?}") };
        let text = text.strip_prefix('4').unwrap_or_else(|| panic!("no message: {text}"));
        let (mut received, attachments) = SocketPacket::parse(text);
        for _ in 0..attachments {
            match self.packet().await {
                Some(WirePacket::Binary(bytes)) => received.attachments.push(bytes),
                other => panic!("expected an attachment: {other:?}"),
            }
        }
        Some(received)
    }

    pub(crate) async fn receive(&mut self) -> SocketPacket {
        self.try_receive().await.unwrap_or_else(|| panic!("the session ended: {:?}", self.end))
    }

    /// As [`Sio::receive`], presence events included.
    pub(crate) async fn receive_any(&mut self) -> SocketPacket {
        self.try_receive_any().await.unwrap_or_else(|| panic!("the session ended: {:?}", self.end))
    }

    /// The data of the next packet, which must be this event on `/`.
    pub(crate) async fn expect(&mut self, event: &str) -> Value {
        self.expect_on("/", event).await
    }

    /// As [`Sio::expect`], on another namespace.
    pub(crate) async fn expect_on(&mut self, namespace: &str, event: &str) -> Value {
        let mut packet = if PRESENCE.contains(&event) { self.receive_any().await } else { self.receive().await };
        assert_eq!(
            (packet.event(), packet.namespace.as_str()),
            (Some(event), namespace),
            "waited for {event}: {packet:?}"
        );
        assert_eq!(packet.data.as_array().unwrap().len(), 2, "{packet:?}");
        packet.data[1].take()
    }

    /// Asserts that no packet is queued for this client, which is on `/`.
    pub(crate) async fn expect_silence(&mut self) {
        assert_eq!(self.request("ping", json!({})).await, json!([]), "expected nothing");
    }

    /// Reads to the end of the session: the remaining packets, and the kind of end.
    pub(crate) async fn read_to_end(&mut self) -> (Vec<SocketPacket>, ObservedEnd) {
        let mut packets = Vec::new();
        while let Some(packet) = self.try_receive().await {
            packets.push(packet);
        }
        (packets, self.end.unwrap())
    }

    /// Starts a poll; on a WebSocket, does nothing.
    pub(crate) async fn start_poll(&mut self) {
        if let EngineConnection::Polling(polling) = &mut self.engine {
            polling.start_poll().await;
        }
    }

    /// Upgrades to a WebSocket as the protocol requires: the pending poll ends before the upgrade packet is sent.
    pub(crate) async fn upgrade(&mut self) {
        let EngineConnection::Polling(polling) = &mut self.engine else { panic!("the session is on a WebSocket") };
        if !polling.has_pending_poll() {
            polling.start_poll().await;
        }
        let mut wire = polling.start_upgrade().await;
        wire.send_frame(&RawFrame::text("2probe")).await;
        assert_eq!(wire.text().await, "3probe");
        let last = polling.poll_body().await;
        self.unread.extend(decode_payload(&last));
        wire.send_frame(&RawFrame::text("5")).await;
        self.engine = EngineConnection::Socket(wire);
    }

    /// The polling session.
    pub(crate) fn polling(&mut self) -> &mut PollingSession {
        match &mut self.engine {
            EngineConnection::Polling(polling) => polling,
            EngineConnection::Socket(_) => panic!("the session is on a WebSocket"),
        }
    }

    /// The packets that arrived and were not received yet.
    pub(crate) fn take_unread(&mut self) -> Vec<SocketPacket> {
        let socket_packet = |packet| match packet {
            WirePacket::Text(text) => text.strip_prefix('4').map(|text| SocketPacket::parse(text).0),
            WirePacket::Binary(_) => None,
        };
        self.unread.drain(..).filter_map(socket_packet).collect()
    }

    pub(crate) fn wire(&mut self) -> &mut Wire {
        match &mut self.engine {
            EngineConnection::Polling(_) => panic!("the session is on no WebSocket"),
            EngineConnection::Socket(wire) => wire,
        }
    }

    pub(crate) fn into_wire(self) -> Wire {
        match self.engine {
            EngineConnection::Polling(_) => panic!("the session is on no WebSocket"),
            EngineConnection::Socket(wire) => wire,
        }
    }
}

fn is_presence(packet: &SocketPacket) -> bool {
    packet.event().is_some_and(|event| PRESENCE.contains(&event))
}
