//! A client of the raw surface that sends and receives whole JSON messages. Every wait has a deadline.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::hub::Hub;
use super::token::token;
use super::wait::{DEADLINE, within};

/// The presence events. They are skipped where a test waits for another message, as clients connect in no fixed order.
pub(super) const PRESENCE: [&str; 6] =
    ["user_online", "user_offline", "user:online", "user:offline", "user:status-changed", "users:online"];

/// A connected raw client.
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    /// The first message, `Status` with `connected`.
    pub(crate) welcome: Value,
}

impl Client {
    /// Connects as `user` and reads the welcome.
    pub(crate) async fn of(hub: &Hub, user: &str) -> Self {
        Self::connect(hub, &token(user)).await
    }

    /// As [`Client::of`], with this token in the `Authorization` header.
    pub(crate) async fn connect(hub: &Hub, token: &str) -> Self {
        let stream = TcpStream::connect(hub.address()).await.unwrap();
        Self::over(stream, hub, token).await
    }

    /// As [`Client::connect`], on this socket.
    pub(crate) async fn over(stream: TcpStream, hub: &Hub, token: &str) -> Self {
        let mut request = hub.ws("/ws").into_client_request().unwrap();
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("Authorization", bearer);
        Self::shake_hands(stream, request).await
    }

    /// Opens `path` with these headers and reads the welcome.
    pub(crate) async fn open(hub: &Hub, path: &str, headers: &[(&'static str, &str)]) -> Self {
        let mut request = hub.ws(path).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(hub.address()).await.unwrap();
        Self::shake_hands(stream, request).await
    }

    async fn shake_hands(stream: TcpStream, request: tungstenite::handshake::client::Request) -> Self {
        stream.set_nodelay(true).unwrap();
        let shaken = within(DEADLINE, "the handshake", client_async(request, stream)).await;
        let (socket, _) = match shaken {
            Ok(shaken) => shaken,
            Err(tungstenite::Error::Http(answer)) => {
                let body = answer.body().as_deref().map(String::from_utf8_lossy);
                panic!("the upgrade was refused: {} {body:?}", answer.status())
            }
            Err(error) => panic!("the handshake failed: {error}"),
        };
        let mut client = Self { socket, welcome: Value::Null };
        client.welcome = client.expect("Status").await;
        assert_eq!(client.welcome["data"]["status"], "connected", "{}", client.welcome);
        client
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.frame(Message::text(message.to_string())).await;
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.frame(Message::text(text)).await;
    }

    pub(crate) async fn frame(&mut self, frame: Message) {
        within(DEADLINE, "sending", self.socket.send(frame)).await.unwrap();
    }

    /// Sends; `false` when the connection is closed.
    pub(crate) async fn try_send(&mut self, message: Value) -> bool {
        let sent = self.socket.send(Message::text(message.to_string()));
        within(DEADLINE, "sending", sent).await.is_ok()
    }

    /// The next message, or the close code at the end of the connection.
    pub(crate) async fn try_next(&mut self) -> Result<Value, Option<u16>> {
        let mut code = None;
        while let Some(frame) = self.next_frame().await {
            match frame {
                Message::Text(text) => {
                    let message = serde_json::from_str(&text).unwrap();
                    if !is_presence(&message) {
                        return Ok(message);
                    }
                }
                Message::Close(Some(frame)) => code = Some(frame.code.into()),
                _ => {}
            }
        }
        Err(code)
    }

    /// As [`Client::try_next`], without the notice of a shutdown.
    pub(crate) async fn try_answer(&mut self) -> Result<Value, Option<u16>> {
        loop {
            match self.try_next().await {
                Ok(message) if is_draining(&message) => {}
                other => return other,
            }
        }
    }

    /// Sends into the socket's buffer, without waiting for it to be written.
    pub(crate) async fn feed(&mut self, message: Value) {
        let fed = self.socket.feed(Message::text(message.to_string()));
        within(DEADLINE, "sending", fed).await.unwrap();
    }

    pub(crate) async fn flush(&mut self) {
        within(DEADLINE, "flushing", self.socket.flush()).await.unwrap();
    }

    /// As [`Client::next`], with a deadline of its own.
    pub(crate) async fn next_within(&mut self, deadline: Duration) -> Value {
        loop {
            let frame = within(deadline, "a message", self.socket.next()).await;
            if let Some(Ok(Message::Text(text))) = &frame {
                let message: Value = serde_json::from_str(text).unwrap();
                if !is_presence(&message) {
                    return message;
                }
            }
            let alive = matches!(frame, Some(Ok(Message::Text(_) | Message::Ping(_))));
            assert!(alive, "expected a message, received {frame:?}");
        }
    }

    /// The next frame; none at the end of the connection.
    async fn next_frame(&mut self) -> Option<Message> {
        match within(DEADLINE, "a message", self.socket.next()).await {
            Some(Ok(frame)) => Some(frame),
            Some(Err(_)) | None => None,
        }
    }

    /// The next message that is no presence event.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            let message = self.next_with_presence().await;
            if !is_presence(&message) {
                return message;
            }
        }
    }

    /// The next message, presence events included.
    pub(crate) async fn next_with_presence(&mut self) -> Value {
        serde_json::from_str(&self.next_text().await).unwrap()
    }

    /// The next message as text.
    pub(crate) async fn next_text(&mut self) -> String {
        loop {
            match self.next_frame().await {
                Some(Message::Text(text)) => return text.to_string(),
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("expected a message, received {other:?}"),
            }
        }
    }

    /// The next message, which has to be of this type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let message = self.next().await;
        assert_eq!(message["type"], kind, "expected {kind}, received {message}");
        message
    }

    /// Sends a message; the answer, which has to be of this type.
    pub(crate) async fn ask(&mut self, message: Value, kind: &str) -> Value {
        self.send(message).await;
        self.expect(kind).await
    }

    /// Subscribes to topics, which all have to be accepted; the `Status` of the answer.
    pub(crate) async fn subscribe(&mut self, topics: &[&str]) -> Value {
        let subscribe = json!({"type": "Subscribe", "data": {"topics": topics}});
        let status = self.ask(subscribe, "Status").await;
        assert_eq!(status["data"]["status"], "subscribed", "{status}");
        assert_eq!(status["data"]["details"]["topics"], json!(topics), "{status}");
        status
    }

    /// Publishes; the `Ack`.
    pub(crate) async fn broadcast(&mut self, topic: &str, payload: Value) -> Value {
        let message = json!({"type": "Broadcast", "data": {"topic": topic, "payload": payload}});
        self.ask(message, "Ack").await
    }

    /// Asserts that no message is on its way to this client: the next one is the answer to a `Ping` sent now.
    pub(crate) async fn expect_silence(&mut self) {
        self.send(json!({"type": "Ping", "data": {"timestamp": 0}, "id": "silence"})).await;
        let next = self.next().await;
        assert_eq!(next["id"], "silence", "expected no message, received {next}");
    }

    /// Reads to the end of the connection: the messages, and the close code.
    pub(crate) async fn until_closed(&mut self) -> (Vec<Value>, Option<u16>) {
        let (mut messages, mut code) = (Vec::new(), None);
        while let Some(frame) = self.next_frame().await {
            match frame {
                Message::Text(text) => messages.push(serde_json::from_str(&text).unwrap()),
                Message::Close(Some(frame)) => code = Some(frame.code.into()),
                _ => {}
            }
        }
        (messages, code)
    }

    /// Reads to the end of the connection; the close code.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        self.until_closed().await.1
    }

    /// Closes, and waits until the hub has closed too.
    pub(crate) async fn close(mut self) {
        // The hub may have closed first.
        let _ = within(DEADLINE, "closing", self.socket.close(None)).await;
        self.until_closed().await;
    }
}

/// A socket with a receive buffer of 4 KiB: it is soon full when the client does not read.
pub(crate) fn small_buffer_stream(hub: &Hub) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&hub.address().into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    TcpStream::from_std(socket.into()).unwrap()
}

/// Whether this message is the notice of a shutdown.
pub(crate) fn is_draining(message: &Value) -> bool {
    message["type"] == "Status" && message["data"]["status"] == "draining"
}

fn is_presence(message: &Value) -> bool {
    PRESENCE.iter().any(|name| message["type"] == *name)
}

/// A message without its `timestamp`, which has to be present.
#[track_caller]
pub(crate) fn without_time(mut message: Value) -> Value {
    let stamp = message.as_object_mut().unwrap().remove("timestamp");
    let stamp = stamp.unwrap_or_else(|| panic!("no timestamp in {message}"));
    assert!(stamp.as_u64().is_some_and(|ms| ms > 1_600_000_000_000), "timestamp is {stamp}");
    message
}
