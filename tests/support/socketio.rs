//! A client of Engine.IO v4 and Socket.IO v5, written from the protocols: by polling, by WebSocket, and from the one to
//! the other. [`PollingSession`] makes single requests, so that they can be made wrong; [`Sio`] speaks whole packets, answers
//! pings and does not care how they travel.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::SocketAddr;

use super::client::PRESENCE;
use super::http::Response;
use super::hub::Hub;
use super::token::token;
use super::wire::{Frame, Wire, opcode};

/// What every query of a polling request begins with.
pub(crate) const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
/// As [`POLLING`], for a WebSocket.
pub(crate) const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

/// What stands between the packets of a polling body.
pub(crate) const SEPARATOR: char = '\u{1e}';

/// How a session is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Polling,
    WebSocket,
}

impl Transport {
    pub(crate) const BOTH: [Self; 2] = [Self::Polling, Self::WebSocket];
}

/// A packet of Engine.IO, with its type in front where it is text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EnginePacket {
    Text(String),
    Binary(Vec<u8>),
}

/// The handshake in an open packet.
#[track_caller]
fn opened(packet: &str) -> Value {
    let text = packet.strip_prefix('0').unwrap_or_else(|| panic!("no open packet: {packet}"));
    serde_json::from_str(text).unwrap()
}

/// The packets of a polling body.
pub(crate) fn decode_payload(body: &str) -> impl Iterator<Item = EnginePacket> {
    body.split(SEPARATOR).map(|packet| match packet.strip_prefix('b') {
        Some(text) => EnginePacket::Binary(STANDARD.decode(text).unwrap()),
        None => EnginePacket::Text(packet.to_owned()),
    })
}

/// A session that is reached by polling, a connection a request.
pub(crate) struct PollingSession {
    address: SocketAddr,
    /// What the hub said of the session as it was opened.
    pub(crate) handshake: Value,
    sid: String,
    /// The poll under way.
    asked: Option<Wire>,
}

impl PollingSession {
    pub(crate) async fn open(hub: &Hub) -> Self {
        Self::open_at(hub.address(), POLLING).await
    }

    /// Opens a session by a query of one's own.
    pub(crate) async fn open_at(address: SocketAddr, path: &str) -> Self {
        let mut wire = Wire::to(address).await;
        wire.request("GET", path, &[], b"").await;
        let answer = wire.response().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let handshake = opened(&answer.body);
        let sid = handshake["sid"].as_str().unwrap().to_owned();
        Self { address, handshake, sid, asked: None }
    }

    pub(crate) fn sid(&self) -> &str {
        &self.sid
    }

    /// The path of its requests.
    pub(crate) fn path(&self) -> String {
        format!("{POLLING}&sid={}", self.sid)
    }

    /// Asks what is said next, and does not wait for it.
    pub(crate) async fn start_poll(&mut self) {
        assert!(self.asked.is_none(), "a poll is under way");
        let mut wire = Wire::to(self.address).await;
        wire.request("GET", &self.path(), &[], b"").await;
        self.asked = Some(wire);
    }

    /// Ends the connection of the poll under way.
    pub(crate) fn abort_poll(&mut self) {
        assert!(self.asked.take().is_some(), "no poll is under way");
    }

    /// The answer to the poll that is under way, or to one that is made now.
    pub(crate) async fn poll(&mut self) -> Response {
        if self.asked.is_none() {
            self.start_poll().await;
        }
        let mut wire = self.asked.take().unwrap();
        wire.response().await
    }

    /// The body that a poll is answered with.
    pub(crate) async fn poll_body(&mut self) -> String {
        let answer = self.poll().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Sends a body; the answer.
    pub(crate) async fn post(&self, body: impl AsRef<[u8]>) -> Response {
        let mut wire = Wire::to(self.address).await;
        wire.request("POST", &self.path(), &[], body.as_ref()).await;
        wire.response().await
    }

    /// Sends a body, and does not wait for the answer.
    pub(crate) async fn start_post(&self, body: impl AsRef<[u8]>) -> tokio::task::JoinHandle<Response> {
        let mut wire = Wire::to(self.address).await;
        wire.request("POST", &self.path(), &[], body.as_ref()).await;
        tokio::spawn(async move { wire.response().await })
    }

    /// Sends a body that is taken.
    pub(crate) async fn send(&self, body: impl AsRef<[u8]>) {
        let answer = self.post(body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{answer:?}");
    }

    /// A WebSocket that asks to serve the session from now on.
    pub(crate) async fn start_upgrade(&self) -> Wire {
        let mut wire = Wire::to(self.address).await;
        let answer = wire.request_upgrade(self.address, &format!("{WEBSOCKET}&sid={}", self.sid), &[]).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        wire
    }

    /// That the hub knows nothing of the session any more.
    pub(crate) async fn assert_gone(&mut self) {
        let answer = self.poll().await;
        assert_eq!((answer.status, answer.json()), (400, unknown_sid()), "a poll of a session that is gone");
        let answer = self.post("4").await;
        assert_eq!((answer.status, answer.json()), (400, unknown_sid()), "a post to a session that is gone");
    }
}

/// What is said of a session that there is not.
pub(crate) fn unknown_sid() -> Value {
    json!({"code": 1, "message": "Session ID unknown"})
}

/// A session that is opened on a WebSocket, and its handshake.
pub(crate) async fn open_websocket(address: SocketAddr) -> (Wire, Value) {
    socket_with(address, &[]).await
}

/// As [`open_websocket`], by a request with these headers besides.
async fn socket_with(address: SocketAddr, headers: &[(&str, &str)]) -> (Wire, Value) {
    let mut wire = Wire::to(address).await;
    let answer = wire.request_upgrade(address, WEBSOCKET, headers).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    let handshake = opened(&wire.text().await);
    (wire, handshake)
}

enum Engine {
    Polling(PollingSession),
    Socket(Wire),
}

/// What the hub says in a namespace.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SocketPacket {
    /// The type of the packet, as its digit.
    pub(crate) kind: char,
    pub(crate) namespace: String,
    /// The id of an acknowledgement.
    pub(crate) id: Option<u64>,
    /// What it holds; `null` when that is nothing.
    pub(crate) data: Value,
    pub(crate) attachments: Vec<Vec<u8>>,
}

impl SocketPacket {
    pub(crate) const CONNECT: char = '0';
    pub(crate) const DISCONNECT: char = '1';
    pub(crate) const EVENT: char = '2';
    pub(crate) const ACK: char = '3';
    pub(crate) const CONNECT_ERROR: char = '4';
    pub(crate) const BINARY_EVENT: char = '5';

    /// Reads a packet; with it, how many attachments follow.
    pub(crate) fn parse(text: &str) -> (Self, usize) {
        let (kind, mut rest) = (text.chars().next().unwrap(), &text[1..]);
        let mut attachments = 0;
        if matches!(kind, '5' | '6') {
            let (number, behind) = rest.split_once('-').unwrap();
            attachments = number.parse().unwrap();
            rest = behind;
        }
        let mut namespace = "/";
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        }
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let id = rest[..digits].parse().ok();
        let data = match &rest[digits..] {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")),
        };
        (Self { kind, namespace: namespace.to_owned(), id, data, attachments: Vec::new() }, attachments)
    }

    /// The name of an event.
    pub(crate) fn event(&self) -> Option<&str> {
        matches!(self.kind, Self::EVENT | Self::BINARY_EVENT).then(|| self.data[0].as_str().unwrap())
    }
}

/// Events on `/` without their timestamps, which no test can foretell and which have to be there.
#[track_caller]
pub(crate) fn events(said: &[SocketPacket]) -> Vec<Value> {
    said.iter()
        .map(|said| match said.kind {
            SocketPacket::DISCONNECT => json!(format!("41{}", said.namespace)),
            _ => {
                let mut data = said.data.clone();
                if let Some(fields) = data[1].as_object_mut() {
                    let stamp = fields.remove("timestamp").unwrap_or_default();
                    let iso = stamp.as_str().is_some_and(|stamp| stamp.ends_with('Z') && stamp.len() == 24);
                    assert!(iso || data[0] == "authentication_error", "timestamp is {stamp} in {said:?}");
                }
                data
            }
        })
        .collect()
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// A poll was told so, by a close packet.
    ClosePacket,
    /// There was nothing to poll any more.
    UnknownSession,
    /// The WebSocket was closed with this code, or just ended.
    Closed(Option<u16>),
}

/// A client of Socket.IO.
pub(crate) struct Sio {
    /// The id that `connected` told on `/`.
    pub(crate) id: String,
    engine: Engine,
    unheard: VecDeque<EnginePacket>,
    end: Option<SessionEnd>,
    asked: u64,
}

impl Sio {
    /// A session that is in no namespace.
    pub(crate) async fn open(hub: &Hub, transport: Transport) -> Self {
        Self::open_at(hub.address(), transport).await
    }

    pub(crate) async fn open_at(address: SocketAddr, transport: Transport) -> Self {
        let engine = match transport {
            Transport::Polling => Engine::Polling(PollingSession::open_at(address, POLLING).await),
            Transport::WebSocket => Engine::Socket(open_websocket(address).await.0),
        };
        Self::over(engine)
    }

    /// As [`Sio::open`], on a WebSocket that was asked for with these headers besides.
    pub(crate) async fn open_with(hub: &Hub, headers: &[(&str, &str)]) -> Self {
        Self::over(Engine::Socket(socket_with(hub.address(), headers).await.0))
    }

    /// As [`Sio::open`], on a WebSocket that is full after a few KiB.
    pub(crate) async fn open_with_small_buffers(hub: &Hub) -> Self {
        let mut wire = Wire::upgrade_with_small_buffer(hub, WEBSOCKET).await;
        opened(&wire.text().await);
        Self::over(Engine::Socket(wire))
    }

    fn over(engine: Engine) -> Self {
        Self { id: String::new(), engine, unheard: VecDeque::new(), end: None, asked: 0 }
    }

    /// A client of `user` on `/`, greeted.
    pub(crate) async fn of(hub: &Hub, transport: Transport, user: &str) -> Self {
        Self::with_token(hub, transport, &token(user)).await
    }

    /// A client with this token on `/`, greeted.
    pub(crate) async fn with_token(hub: &Hub, transport: Transport, token: &str) -> Self {
        let mut client = Self::open(hub, transport).await;
        client.join_root(&json!({ "token": token })).await;
        client
    }

    /// A client without a token on `/`, greeted.
    pub(crate) async fn guest(hub: &Hub, transport: Transport) -> Self {
        let mut client = Self::open(hub, transport).await;
        client.join_root(&Value::Null).await;
        client
    }

    async fn join_root(&mut self, auth: &Value) {
        self.connect("/", auth).await.unwrap_or_else(|error| panic!("was not let in: {error}"));
        self.id = self.expect("connected").await["socketId"].as_str().unwrap().to_owned();
        self.expect("system:welcome").await;
    }

    /// A client of `user` on `/chat`.
    pub(crate) async fn of_chat(hub: &Hub, transport: Transport, user: &str) -> Self {
        let mut client = Self::open(hub, transport).await;
        client.connect("/chat", &json!({"token": token(user)})).await.unwrap();
        client
    }

    /// Asks to be let into a namespace; what it is told there, or why it is not let in.
    pub(crate) async fn connect(&mut self, namespace: &str, auth: &Value) -> Result<Value, Value> {
        let auth = if auth.is_null() { String::new() } else { auth.to_string() };
        self.send(&format!("40{}{auth}", prefix(namespace))).await;
        let said = self.receive().await;
        assert_eq!(said.namespace, namespace, "{said:?}");
        match said.kind {
            SocketPacket::CONNECT => Ok(said.data),
            SocketPacket::CONNECT_ERROR => Err(said.data),
            _ => panic!("neither let in nor refused: {said:?}"),
        }
    }

    /// Sends a text packet of Engine.IO.
    pub(crate) async fn send(&mut self, packet: &str) {
        assert!(self.try_send(packet).await, "{packet} was refused");
    }

    /// As [`Sio::send`]; whether it was taken, as far as can be told.
    pub(crate) async fn try_send(&mut self, packet: &str) -> bool {
        match &mut self.engine {
            Engine::Polling(polling) => polling.post(packet).await.status == 200,
            Engine::Socket(wire) => {
                wire.try_send(&Frame::text(packet).encode()).await;
                true
            }
        }
    }

    /// Sends a packet and the bytes that belong to it.
    pub(crate) async fn send_with_attachments(&mut self, packet: &str, attachments: &[&[u8]]) {
        match &mut self.engine {
            Engine::Polling(polling) => {
                let mut body = packet.to_owned();
                for bytes in attachments {
                    body.push(SEPARATOR);
                    body.push('b');
                    body.push_str(&STANDARD.encode(bytes));
                }
                polling.send(body).await;
            }
            Engine::Socket(wire) => {
                wire.send_frame(&Frame::text(packet)).await;
                for &bytes in attachments {
                    wire.send_frame(&Frame::new(opcode::BINARY, bytes)).await;
                }
            }
        }
    }

    /// Emits an event on `/`.
    pub(crate) async fn emit(&mut self, event: &str, data: Value) {
        self.send(&format!("42{}", json!([event, data]))).await;
    }

    /// Emits an event and wants it acknowledged; the id of that.
    pub(crate) async fn emit_for_ack(&mut self, namespace: &str, event: &str, data: Value) -> u64 {
        let id = self.asked;
        self.asked += 1;
        self.send(&format!("42{}{id}{}", prefix(namespace), json!([event, data]))).await;
        id
    }

    /// Emits an event on `/`; what acknowledges it, which has to be the next that is said.
    pub(crate) async fn request(&mut self, event: &str, data: Value) -> Value {
        self.request_on("/", event, data).await
    }

    /// As [`Sio::request`], on another namespace.
    pub(crate) async fn request_on(&mut self, namespace: &str, event: &str, data: Value) -> Value {
        let id = self.emit_for_ack(namespace, event, data).await;
        let said = self.receive().await;
        assert_eq!((said.kind, said.id), (SocketPacket::ACK, Some(id)), "waited for an acknowledgement: {said:?}");
        said.data
    }

    /// Emits an event on `/`; the data of the event that answers it, which has to be this one.
    pub(crate) async fn emit_and_expect(&mut self, answer: &str, event: &str, data: Value) -> Value {
        self.emit(event, data).await;
        self.expect(answer).await
    }

    /// Joins a room.
    pub(crate) async fn join(&mut self, room: &str) {
        let id = self.emit_for_ack("/", "room:join", json!({ "room": room })).await;
        let joined = json!({"success": true, "room": room});
        assert_eq!(self.expect("room:join:ack").await, joined);
        let said = self.receive().await;
        assert_eq!((said.id, said.data), (Some(id), json!([joined])));
    }

    /// The next packet of Engine.IO; none at the end. Pings are answered, and packets that say nothing are left out.
    pub(crate) async fn packet(&mut self) -> Option<EnginePacket> {
        loop {
            if let Some(packet) = self.unheard.pop_front() {
                match packet {
                    EnginePacket::Text(text) if text == "2" => {
                        self.try_send("3").await;
                    }
                    EnginePacket::Text(text) if text == "6" => {}
                    EnginePacket::Text(text) if text == "1" => self.end = Some(SessionEnd::ClosePacket),
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
            Engine::Polling(polling) => {
                let answer = polling.poll().await;
                if answer.status == 200 {
                    self.unheard.extend(decode_payload(&answer.body));
                } else {
                    assert_eq!((answer.status, answer.json()), (400, unknown_sid()));
                    self.end = Some(SessionEnd::UnknownSession);
                }
            }
            Engine::Socket(wire) => match wire.frame().await {
                Some(frame) if frame.opcode == opcode::TEXT => {
                    self.unheard.push_back(EnginePacket::Text(String::from_utf8(frame.payload).unwrap()));
                }
                Some(frame) if frame.opcode == opcode::BINARY => {
                    self.unheard.push_back(EnginePacket::Binary(frame.payload));
                }
                Some(frame) if frame.opcode == opcode::CLOSE => self.end = Some(SessionEnd::Closed(frame.close_code())),
                Some(_) => {}
                None => self.end = Some(SessionEnd::Closed(None)),
            },
        }
    }

    /// The next that is said, whole, other people's coming and going left out; none at the end.
    pub(crate) async fn try_receive(&mut self) -> Option<SocketPacket> {
        loop {
            let said = self.try_receive_any().await?;
            if !is_presence(&said) {
                return Some(said);
            }
        }
    }

    /// As [`Sio::try_receive`], other people's coming and going included.
    pub(crate) async fn try_receive_any(&mut self) -> Option<SocketPacket> {
        let packet = self.packet().await?;
        let EnginePacket::Text(text) = &packet else { panic!("bytes that nobody announced: {packet:?}") };
        let text = text.strip_prefix('4').unwrap_or_else(|| panic!("no message: {text}"));
        let (mut said, attachments) = SocketPacket::parse(text);
        for _ in 0..attachments {
            match self.packet().await {
                Some(EnginePacket::Binary(bytes)) => said.attachments.push(bytes),
                other => panic!("waited for bytes, but there came {other:?}"),
            }
        }
        Some(said)
    }

    pub(crate) async fn receive(&mut self) -> SocketPacket {
        self.try_receive().await.unwrap_or_else(|| panic!("the session ended: {:?}", self.end))
    }

    /// The next that is said, other people's coming and going included.
    pub(crate) async fn receive_any(&mut self) -> SocketPacket {
        self.try_receive_any().await.unwrap_or_else(|| panic!("the session ended: {:?}", self.end))
    }

    /// The data of the next that is said, which has to be this event on `/`.
    pub(crate) async fn expect(&mut self, event: &str) -> Value {
        self.expect_on("/", event).await
    }

    /// As [`Sio::expect`], on another namespace.
    pub(crate) async fn expect_on(&mut self, namespace: &str, event: &str) -> Value {
        let mut said = if PRESENCE.contains(&event) { self.receive_any().await } else { self.receive().await };
        assert_eq!((said.event(), said.namespace.as_str()), (Some(event), namespace), "waited for {event}: {said:?}");
        assert_eq!(said.data.as_array().unwrap().len(), 2, "{said:?}");
        said.data[1].take()
    }

    /// That nothing is on its way to this client, which is on `/`.
    pub(crate) async fn expect_silence(&mut self) {
        assert_eq!(self.request("ping", json!({})).await, json!([]), "expected nothing");
    }

    /// Reads on to the end: what still came, and how it ended.
    pub(crate) async fn read_to_end(&mut self) -> (Vec<SocketPacket>, SessionEnd) {
        let mut said = Vec::new();
        while let Some(one) = self.try_receive().await {
            said.push(one);
        }
        (said, self.end.unwrap())
    }

    /// Makes a poll now whose answer is waited for later; on a WebSocket, nothing.
    pub(crate) async fn start_poll(&mut self) {
        if let Engine::Polling(polling) = &mut self.engine {
            polling.start_poll().await;
        }
    }

    /// Goes over to a WebSocket, as the protocol has it: with a poll under way, until nothing can be lost.
    pub(crate) async fn upgrade(&mut self) {
        let Engine::Polling(polling) = &mut self.engine else { panic!("is on a WebSocket already") };
        if polling.asked.is_none() {
            polling.start_poll().await;
        }
        let mut wire = polling.start_upgrade().await;
        wire.send_frame(&Frame::text("2probe")).await;
        assert_eq!(wire.text().await, "3probe");
        let last = polling.poll_body().await;
        self.unheard.extend(decode_payload(&last));
        wire.send_frame(&Frame::text("5")).await;
        self.engine = Engine::Socket(wire);
    }

    /// The session's id.
    pub(crate) fn polling(&mut self) -> &mut PollingSession {
        match &mut self.engine {
            Engine::Polling(polling) => polling,
            Engine::Socket(_) => panic!("is on a WebSocket"),
        }
    }

    /// What has come and was not heard yet.
    pub(crate) fn take_unread(&mut self) -> Vec<SocketPacket> {
        let said = |packet| match packet {
            EnginePacket::Text(text) => text.strip_prefix('4').map(|text| SocketPacket::parse(text).0),
            EnginePacket::Binary(_) => None,
        };
        self.unheard.drain(..).filter_map(said).collect()
    }

    pub(crate) fn wire(&mut self) -> &mut Wire {
        match &mut self.engine {
            Engine::Polling(_) => panic!("is on no WebSocket"),
            Engine::Socket(wire) => wire,
        }
    }

    pub(crate) fn into_wire(self) -> Wire {
        match self.engine {
            Engine::Polling(_) => panic!("is on no WebSocket"),
            Engine::Socket(wire) => wire,
        }
    }
}

fn is_presence(said: &SocketPacket) -> bool {
    said.event().is_some_and(|event| PRESENCE.contains(&event))
}

/// A namespace as packets have it.
fn prefix(namespace: &str) -> String {
    if namespace == "/" { String::new() } else { format!("{namespace},") }
}
