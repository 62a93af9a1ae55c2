//! A client of the chat system, whichever way it speaks: it asks, hears, and goes without a word. What it hears is
//! `[name, data]` on every wire.

use serde_json::{Value, json};
use std::collections::VecDeque;

use super::hub::Hub;
use super::socketio::{Sio, SocketPacket, Transport};
use super::token::token;
use super::wire::{Frame, Wire, opcode};

/// How a client reaches the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChatTransport {
    WebSocket,
    Polling,
    Raw,
}

enum Line {
    Sio(Sio),
    Raw(Wire),
}

/// What is said of users, whatever chats they are in. It has no order with what is said in a chat.
const PRESENCE: [&str; 4] = ["user:online", "user:offline", "user:status-changed", "users:online"];

/// What comes from the hub.
#[derive(Debug)]
pub(crate) enum ChatPacket {
    /// An event: `[name, data]`.
    Event(Value),
    /// The answer to the request of that number.
    Reply(u64, Value),
    /// The hub put the client out of the namespace.
    Disconnected,
}

/// The client.
pub(crate) struct ChatClient {
    line: Line,
    heard: VecDeque<Value>,
    /// Of these, what is said of users.
    presence: VecDeque<Value>,
    asked: u64,
    /// The hub said that the session is over.
    put_out: bool,
}

impl ChatClient {
    /// A client of `user`, let in.
    pub(crate) async fn of(hub: &Hub, way: ChatTransport, user: &str) -> Self {
        Self::with_token(hub, way, &token(user)).await
    }

    /// A client with this token, let in.
    pub(crate) async fn with_token(hub: &Hub, way: ChatTransport, token: &str) -> Self {
        let line = match way {
            ChatTransport::Raw => {
                let (answer, wire) = Wire::upgrade(hub, &format!("/ws?token={token}"), &[]).await;
                assert_eq!(answer.status, 101, "{answer:?}");
                Line::Raw(wire)
            }
            ChatTransport::WebSocket | ChatTransport::Polling => {
                let transport = if way == ChatTransport::Polling { Transport::Polling } else { Transport::WebSocket };
                let mut sio = Sio::open(hub, transport).await;
                sio.connect("/chat", &json!({ "token": token })).await.unwrap();
                Line::Sio(sio)
            }
        };
        Self::over(line).await
    }

    /// As [`ChatClient::of`], by a WebSocket that is full after a few KiB.
    pub(crate) async fn with_small_buffers(hub: &Hub, way: ChatTransport, user: &str) -> Self {
        match way {
            ChatTransport::Raw => Self::over(Line::Raw(Wire::with_small_buffer(hub, user).await)).await,
            ChatTransport::WebSocket => {
                let mut sio = Sio::open_with_small_buffers(hub).await;
                sio.connect("/chat", &json!({"token": token(user)})).await.unwrap();
                Self::over(Line::Sio(sio)).await
            }
            ChatTransport::Polling => panic!("polling has no socket of its own"),
        }
    }

    async fn over(line: Line) -> Self {
        let mut member = Self { line, heard: VecDeque::new(), presence: VecDeque::new(), asked: 0, put_out: false };
        if let Line::Raw(wire) = &mut member.line {
            let welcome = wire.message().await;
            assert_eq!(welcome["data"]["status"], "connected", "{welcome}");
        }
        member
    }

    /// Sends a request, as far as the connection takes it; the number of its answer.
    pub(crate) async fn send_request(&mut self, event: &str, data: Value) -> u64 {
        let number = self.asked;
        self.asked += 1;
        match &mut self.line {
            Line::Sio(sio) => drop(sio.try_send(&format!("42/chat,{number}{}", json!([event, data]))).await),
            Line::Raw(wire) => offer(wire, &json!({"type": event, "data": data, "id": number})).await,
        }
        number
    }

    /// What comes next; none at the end of the connection. Pings are answered, and what is said of users is kept apart.
    pub(crate) async fn receive(&mut self) -> Option<ChatPacket> {
        loop {
            match self.next_with_presence().await {
                Some(ChatPacket::Event(event)) if is_presence(&event) => self.presence.push_back(event),
                other => return other,
            }
        }
    }

    async fn next_with_presence(&mut self) -> Option<ChatPacket> {
        match &mut self.line {
            Line::Sio(sio) => sio.try_receive_any().await.map(|said| match said {
                SocketPacket { kind: SocketPacket::EVENT, mut data, .. } => {
                    assert_eq!(data.as_array().unwrap().len(), 2, "{data}");
                    ChatPacket::Event(data.take())
                }
                SocketPacket { kind: SocketPacket::ACK, id: Some(id), mut data, .. } => {
                    ChatPacket::Reply(id, data[0].take())
                }
                SocketPacket { kind: SocketPacket::DISCONNECT, .. } => {
                    self.put_out = true;
                    ChatPacket::Disconnected
                }
                other => panic!("neither an event nor an answer: {other:?}"),
            }),
            Line::Raw(wire) => loop {
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
                    opcode::PING => wire.try_send(&Frame::new(opcode::PONG, frame.payload).encode()).await,
                    opcode::CLOSE => return None,
                    _ => {}
                }
            },
        }
    }

    /// Asks; what is heard meanwhile is kept.
    pub(crate) async fn request(&mut self, event: &str, data: Value) -> Value {
        let number = self.send_request(event, data).await;
        self.reply(number).await
    }

    /// The answer of this number; what is heard meanwhile is kept.
    pub(crate) async fn reply(&mut self, number: u64) -> Value {
        loop {
            match self.receive().await {
                Some(ChatPacket::Event(event)) => self.heard.push_back(event),
                Some(ChatPacket::Reply(of, answer)) if of == number => return answer,
                other => panic!("waited for answer {number}, but there came {other:?}"),
            }
        }
    }

    /// Asks for what is not to be refused.
    pub(crate) async fn request_ok(&mut self, event: &str, data: Value) -> Value {
        let answer = self.request(event, data).await;
        assert_eq!(answer["success"], true, "{event}: {answer}");
        answer
    }

    /// Joins a chat; how many users are in it.
    pub(crate) async fn join(&mut self, chat: &str) -> u64 {
        let answer = self.request_ok("join:chat", json!({ "chatId": chat })).await;
        answer["roomInfo"]["participantCount"].as_u64().unwrap()
    }

    /// Says something; the id of the message.
    pub(crate) async fn send_message(&mut self, chat: &str, content: &str) -> String {
        let answer = self.request_ok("message:send", json!({"chatId": chat, "content": content})).await;
        answer["sentMessage"]["id"].as_str().unwrap().to_owned()
    }

    /// Asks for a token for recovery.
    pub(crate) async fn recovery_token(&mut self) -> String {
        let answer = self.request_ok("connection:create-session", json!({})).await;
        answer["recoveryToken"].as_str().unwrap().to_owned()
    }

    /// The next event: `[name, data]`.
    pub(crate) async fn event(&mut self) -> Value {
        if let Some(event) = self.heard.pop_front() {
            return event;
        }
        match self.receive().await {
            Some(ChatPacket::Event(event)) => event,
            other => panic!("waited for an event, but there came {other:?}"),
        }
    }

    /// All events up to this one, which is left out as are those of its name before.
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

    /// What was heard and not asked for yet.
    pub(crate) fn take_events(&mut self) -> Vec<Value> {
        self.heard.drain(..).collect()
    }

    /// The next that is said of a user who comes or goes.
    pub(crate) async fn presence_event(&mut self) -> Value {
        loop {
            while let Some(event) = self.presence.pop_front() {
                // A list may come or not, as fast as things change.
                if event[0] != "users:online" {
                    return event;
                }
            }
            match self.next_with_presence().await {
                Some(ChatPacket::Event(event)) if is_presence(&event) => self.presence.push_back(event),
                Some(ChatPacket::Event(event)) => self.heard.push_back(event),
                other => panic!("waited for a user to come or go, but there came {other:?}"),
            }
        }
    }

    /// What was said of users who came or went, and not asked for yet.
    pub(crate) fn take_presence_events(&mut self) -> Vec<Value> {
        self.presence.drain(..).filter(|event| event[0] != "users:online").collect()
    }

    /// Puts events back that were taken.
    pub(crate) fn put_back_events(&mut self, events: Vec<Value>) {
        self.heard.extend(events);
    }

    /// Reads to the end of the connection: what still came of events, and whether the hub put the client out.
    pub(crate) async fn read_to_end(&mut self) -> (Vec<Value>, bool) {
        while let Some(heard) = self.receive().await {
            match heard {
                ChatPacket::Event(event) => self.heard.push_back(event),
                ChatPacket::Reply(..) | ChatPacket::Disconnected => {}
            }
        }
        (self.take_events(), self.put_out)
    }

    fn wire(&mut self) -> &mut Wire {
        match &mut self.line {
            Line::Sio(sio) => sio.wire(),
            Line::Raw(wire) => wire,
        }
    }

    /// Goes without a word: the connection is reset, and what was on its way is lost.
    pub(crate) fn reset(self) {
        match self.line {
            Line::Sio(sio) => sio.into_wire().reset(),
            Line::Raw(wire) => wire.reset(),
        }
    }

    /// Polls no more, and says nothing of it; what has come by then.
    pub(crate) fn stop_polling(mut self) -> Vec<Value> {
        let Line::Sio(sio) = &mut self.line else { panic!("does not poll") };
        let said = sio.take_unread().into_iter().filter(|said| said.kind == SocketPacket::EVENT);
        self.heard.extend(said.map(|said| said.data));
        self.take_events()
    }

    /// Sends no more, and hears what the hub still says: the events, in order, up to the end of the connection.
    pub(crate) async fn half_close(mut self) -> Vec<Value> {
        self.wire().shut_down_write().await;
        self.read_to_end().await.0
    }

    /// Leaves the namespace, as `socket.disconnect()` does; on the raw wire, closes.
    pub(crate) async fn disconnect(mut self) {
        match &mut self.line {
            Line::Sio(sio) => sio.send("41/chat,").await,
            Line::Raw(wire) => wire.send_frame(&Frame::new(opcode::CLOSE, 1000_u16.to_be_bytes())).await,
        }
    }
}

fn is_presence(event: &Value) -> bool {
    PRESENCE.iter().any(|name| event[0] == *name)
}

async fn offer(wire: &mut Wire, message: &Value) {
    wire.try_send(&Frame::text(message.to_string()).encode()).await;
}
