//! A client of the chat system on Socket.IO's `/chat` or on a raw WebSocket. An event is `[name, data]` on each transport.

use serde_json::{Value, json};
use std::collections::VecDeque;

use super::hub::Hub;
use super::socketio::{Sio, SioTransport, SocketPacket};
use super::token::token;
use super::wire::{RawFrame, Wire, opcode};

/// The protocol and transport of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChatTransport {
    WebSocket,
    Polling,
    Raw,
}

enum ChatConnection {
    Sio(Sio),
    Raw(Wire),
}

/// Events about users. Their order relative to the events of a chat is undefined.
const PRESENCE: [&str; 4] = ["user:online", "user:offline", "user:status-changed", "users:online"];

/// A packet from the hub.
#[derive(Debug)]
pub(crate) enum ChatPacket {
    /// An event: `[name, data]`.
    Event(Value),
    /// The reply to the request of this number.
    Reply(u64, Value),
    /// A DISCONNECT of the namespace.
    Disconnected,
}

pub(crate) struct ChatClient {
    connection: ChatConnection,
    /// Events that arrived before a reply, and are not read yet.
    events: VecDeque<Value>,
    /// As `events`, about users.
    presence: VecDeque<Value>,
    next_number: u64,
    /// The hub sent a DISCONNECT.
    is_disconnected: bool,
}

impl ChatClient {
    /// A connected client of `user`.
    pub(crate) async fn of(hub: &Hub, transport: ChatTransport, user: &str) -> Self {
        Self::with_token(hub, transport, &token(user)).await
    }

    /// As [`ChatClient::of`], with this token.
    pub(crate) async fn with_token(hub: &Hub, transport: ChatTransport, token: &str) -> Self {
        let connection = match transport {
            ChatTransport::Raw => {
                let (reply, wire) = Wire::upgrade(hub, &format!("/ws?token={token}"), &[]).await;
                assert_eq!(reply.status, 101, "{reply:?}");
                ChatConnection::Raw(wire)
            }
            ChatTransport::WebSocket | ChatTransport::Polling => {
                let transport =
                    if transport == ChatTransport::Polling { SioTransport::Polling } else { SioTransport::WebSocket };
                let mut sio = Sio::open(hub, transport).await;
                sio.connect("/chat", &json!({ "token": token })).await.unwrap();
                ChatConnection::Sio(sio)
            }
        };
        Self::over(connection).await
    }

    /// As [`ChatClient::of`], on a WebSocket with socket buffers of a few KiB.
    pub(crate) async fn with_small_buffers(hub: &Hub, transport: ChatTransport, user: &str) -> Self {
        match transport {
            ChatTransport::Raw => Self::over(ChatConnection::Raw(Wire::with_small_buffer(hub, user).await)).await,
            ChatTransport::WebSocket => {
                let mut sio = Sio::open_with_small_buffers(hub).await;
                sio.connect("/chat", &json!({"token": token(user)})).await.unwrap();
                Self::over(ChatConnection::Sio(sio)).await
            }
            ChatTransport::Polling => panic!("polling has no socket of its own"),
        }
    }

    async fn over(connection: ChatConnection) -> Self {
        let mut client = Self {
            connection,
            events: VecDeque::new(),
            presence: VecDeque::new(),
            next_number: 0,
            is_disconnected: false,
        };
        if let ChatConnection::Raw(wire) = &mut client.connection {
            let welcome = wire.message().await;
            assert_eq!(welcome["data"]["status"], "connected", "{welcome}");
        }
        client
    }

    /// Sends a request if the connection is writable, and returns the number of its reply.
    pub(crate) async fn send_request(&mut self, event: &str, data: Value) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        match &mut self.connection {
            ChatConnection::Sio(sio) => drop(sio.try_send(&format!("42/chat,{number}{}", json!([event, data]))).await),
            ChatConnection::Raw(wire) => offer(wire, &json!({"type": event, "data": data, "id": number})).await,
        }
        number
    }

    /// The next packet, or none at the end of the connection. Answers pings, and stores events about users apart.
    pub(crate) async fn receive(&mut self) -> Option<ChatPacket> {
        loop {
            match self.receive_any().await {
                Some(ChatPacket::Event(event)) if is_presence(&event) => self.presence.push_back(event),
                other => return other,
            }
        }
    }

    async fn receive_any(&mut self) -> Option<ChatPacket> {
        match &mut self.connection {
            ChatConnection::Sio(sio) => sio.try_receive_any().await.map(|packet| match packet {
                SocketPacket { kind: SocketPacket::EVENT, mut data, .. } => {
                    assert_eq!(data.as_array().unwrap().len(), 2, "{data}");
                    ChatPacket::Event(data.take())
                }
                SocketPacket { kind: SocketPacket::ACK, id: Some(id), mut data, .. } => {
                    ChatPacket::Reply(id, data[0].take())
                }
                SocketPacket { kind: SocketPacket::DISCONNECT, .. } => {
                    self.is_disconnected = true;
                    ChatPacket::Disconnected
                }
                other => panic!("neither an event nor a reply: {other:?}"),
            }),
            ChatConnection::Raw(wire) => loop {
                let frame = wire.frame().await?;
                match frame.opcode {
                    opcode::TEXT => {
                        let mut message: Value = serde_json::from_slice(&frame.payload).unwrap();
                        let data = message["data"].take();
                        return Some(match message["id"].as_u64() {
                            Some(id) => ChatPacket::Reply(id, data),
                            None => ChatPacket::Event(json!([message["type"], data])),
                        });
                    }
                    opcode::PING => wire.try_send(&RawFrame::new(opcode::PONG, frame.payload).encode()).await,
                    opcode::CLOSE => return None,
                    _ => {}
                }
            },
        }
    }

    /// Sends a request, and returns the reply. Stores the events before it.
    pub(crate) async fn request(&mut self, event: &str, data: Value) -> Value {
        let number = self.send_request(event, data).await;
        self.reply(number).await
    }

    /// The reply of this number. Stores the events before it.
    pub(crate) async fn reply(&mut self, number: u64) -> Value {
        loop {
            match self.receive().await {
                Some(ChatPacket::Event(event)) => self.events.push_back(event),
                Some(ChatPacket::Reply(of, reply)) if of == number => return reply,
                other => panic!("expected reply {number}: {other:?}"),
            }
        }
    }

    /// As [`ChatClient::request`], and asserts that it succeeds.
    pub(crate) async fn request_ok(&mut self, event: &str, data: Value) -> Value {
        let reply = self.request(event, data).await;
        assert_eq!(reply["success"], true, "{event}: {reply}");
        reply
    }

    /// Joins a chat, and returns the number of its users.
    pub(crate) async fn join(&mut self, chat: &str) -> u64 {
        let reply = self.request_ok("join:chat", json!({ "chatId": chat })).await;
        reply["roomInfo"]["participantCount"].as_u64().unwrap()
    }

    /// Sends a message, and returns its id.
    pub(crate) async fn send_message(&mut self, chat: &str, content: &str) -> String {
        let reply = self.request_ok("message:send", json!({"chatId": chat, "content": content})).await;
        reply["sentMessage"]["id"].as_str().unwrap().to_owned()
    }

    /// Requests a recovery token.
    pub(crate) async fn recovery_token(&mut self) -> String {
        let reply = self.request_ok("connection:create-session", json!({})).await;
        reply["recoveryToken"].as_str().unwrap().to_owned()
    }

    /// The next event: `[name, data]`.
    pub(crate) async fn event(&mut self) -> Value {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        match self.receive().await {
            Some(ChatPacket::Event(event)) => event,
            other => panic!("expected an event: {other:?}"),
        }
    }

    /// All events before `last`, without events of the same name.
    pub(crate) async fn events_until(&mut self, last: &Value) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            if event == *last {
                return events;
            }
            if event[0] != last[0] {
                events.push(event);
            }
        }
    }

    /// The stored events.
    pub(crate) fn take_events(&mut self) -> Vec<Value> {
        self.events.drain(..).collect()
    }

    /// The next presence event.
    pub(crate) async fn presence_event(&mut self) -> Value {
        loop {
            while let Some(event) = self.presence.pop_front() {
                // Lists are sent at a bounded rate, so a test cannot expect them.
                if event[0] != "users:online" {
                    return event;
                }
            }
            match self.receive_any().await {
                Some(ChatPacket::Event(event)) if is_presence(&event) => self.presence.push_back(event),
                Some(ChatPacket::Event(event)) => self.events.push_back(event),
                other => panic!("expected a presence event: {other:?}"),
            }
        }
    }

    /// The stored presence events, without lists.
    pub(crate) fn take_presence_events(&mut self) -> Vec<Value> {
        self.presence.drain(..).filter(|event| event[0] != "users:online").collect()
    }

    /// Stores events again.
    pub(crate) fn put_back_events(&mut self, events: Vec<Value>) {
        self.events.extend(events);
    }

    /// Reads to the end of the connection: the remaining events, and whether the hub sent a DISCONNECT.
    pub(crate) async fn read_to_end(&mut self) -> (Vec<Value>, bool) {
        while let Some(packet) = self.receive().await {
            match packet {
                ChatPacket::Event(event) => self.events.push_back(event),
                ChatPacket::Reply(..) | ChatPacket::Disconnected => {}
            }
        }
        (self.take_events(), self.is_disconnected)
    }

    fn wire(&mut self) -> &mut Wire {
        match &mut self.connection {
            ChatConnection::Sio(sio) => sio.wire(),
            ChatConnection::Raw(wire) => wire,
        }
    }

    /// Resets the connection. Bytes in flight are lost.
    pub(crate) fn reset(self) {
        match self.connection {
            ChatConnection::Sio(sio) => sio.into_wire().reset(),
            ChatConnection::Raw(wire) => wire.reset(),
        }
    }

    /// Stops polling, and returns the events that have arrived.
    pub(crate) fn stop_polling(mut self) -> Vec<Value> {
        let ChatConnection::Sio(sio) = &mut self.connection else { panic!("the client does not poll") };
        let packet = sio.take_unread().into_iter().filter(|packet| packet.kind == SocketPacket::EVENT);
        self.events.extend(packet.map(|packet| packet.data));
        self.take_events()
    }

    /// Shuts down the sending side, and returns the events up to the end of the connection.
    pub(crate) async fn half_close(mut self) -> Vec<Value> {
        self.wire().shut_down_write().await;
        self.read_to_end().await.0
    }

    /// Sends a DISCONNECT, as `socket.disconnect()` does; on a raw WebSocket, a close frame.
    pub(crate) async fn disconnect(mut self) {
        match &mut self.connection {
            ChatConnection::Sio(sio) => sio.send("41/chat,").await,
            ChatConnection::Raw(wire) => wire.send_frame(&RawFrame::new(opcode::CLOSE, 1000_u16.to_be_bytes())).await,
        }
    }
}

fn is_presence(event: &Value) -> bool {
    PRESENCE.iter().any(|name| event[0] == *name)
}

async fn offer(wire: &mut Wire, message: &Value) {
    wire.try_send(&RawFrame::text(message.to_string()).encode()).await;
}
