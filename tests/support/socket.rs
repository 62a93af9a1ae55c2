//! A Socket.IO client of packets, over a plain WebSocket: no library, nothing hidden.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::hub::Hub;
use super::token::token;
use super::wait::{DEADLINE, within};

/// A socket on `/`.
pub(crate) struct Socket {
    socket: WebSocketStream<TcpStream>,
    /// The id that `connected` told.
    pub(crate) id: String,
}

impl Socket {
    /// A socket of `user`, greeted.
    pub(crate) async fn of(hub: &Hub, user: &str) -> Self {
        let stream = TcpStream::connect(hub.address()).await.unwrap();
        let shaken = client_async(hub.ws("/socket.io/?EIO=4&transport=websocket"), stream);
        let (socket, _) = within(DEADLINE, "the handshake", shaken).await.unwrap();
        let mut this = Self { socket, id: String::new() };
        let open = this.packet().await;
        assert!(open.starts_with("0{"), "{open}");
        this.send(&format!("40{}", json!({"token": token(user)}))).await;
        let joined = this.packet().await;
        assert!(joined.starts_with("40{"), "{joined}");
        this.id = this.expect("connected").await["socketId"].as_str().unwrap().to_owned();
        this.expect("system:welcome").await;
        this
    }

    async fn send(&mut self, packet: &str) {
        within(DEADLINE, "sending", self.socket.send(Message::text(packet))).await.unwrap();
    }

    /// Sends an event.
    pub(crate) async fn emit(&mut self, event: &str, data: &Value) {
        self.send(&format!("42{}", json!([event, data]))).await;
    }

    /// Sends an event and leaves the namespace, all at once, and hangs up.
    pub(crate) async fn say_and_leave(mut self, event: &str, data: &Value) {
        for packet in [format!("42{}", json!([event, data])), "41".to_owned()] {
            self.socket.feed(Message::text(packet)).await.unwrap();
        }
        within(DEADLINE, "closing", self.socket.close(None)).await.unwrap();
    }

    /// Sends an event and asks for its acknowledgement by `id`.
    pub(crate) async fn emit_with_ack(&mut self, event: &str, data: &Value, id: u32) {
        self.send(&format!("42{id}{}", json!([event, data]))).await;
    }

    /// Sends an event with one attachment.
    pub(crate) async fn emit_binary(&mut self, event: &str, data: &Value, attachment: &'static [u8]) {
        self.send(&format!("451-{}", json!([event, data]))).await;
        within(DEADLINE, "sending", self.socket.send(Message::binary(attachment))).await.unwrap();
    }

    /// The next frame of bytes.
    pub(crate) async fn attachment(&mut self) -> Vec<u8> {
        match within(DEADLINE, "an attachment", self.socket.next()).await {
            Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
            other => panic!("waited for an attachment, but there came {other:?}"),
        }
    }

    /// The next packet, other people's coming and going and the connection's own pings left out.
    pub(crate) async fn packet(&mut self) -> String {
        loop {
            match within(DEADLINE, "a packet", self.socket.next()).await {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => self.send("3").await,
                Some(Ok(Message::Text(text))) if text.starts_with("42[\"user_o") => {}
                Some(Ok(Message::Text(text))) => return text.to_string(),
                other => panic!("waited for a packet, but there came {other:?}"),
            }
        }
    }

    /// The data of the next event, which has to be this one.
    pub(crate) async fn expect(&mut self, event: &str) -> Value {
        let packet = self.packet().await;
        let data = packet.strip_prefix("42").and_then(|text| serde_json::from_str::<Vec<Value>>(text).ok());
        match data.as_deref() {
            Some([name, data]) if name == event => data.clone(),
            _ => panic!("waited for {event}, but there came {packet}"),
        }
    }

    /// Sends an event and gives the data of the answer, which has to be this event.
    pub(crate) async fn ask(&mut self, event: &str, data: &Value, answer: &str) -> Value {
        self.emit(event, data).await;
        self.expect(answer).await
    }

    /// What acknowledges `id`, which has to come next.
    pub(crate) async fn expect_ack(&mut self, id: u32) -> Value {
        let packet = self.packet().await;
        let argument = packet.strip_prefix(&format!("43{id}["));
        let argument =
            argument.unwrap_or_else(|| panic!("waited for the acknowledgement {id}, but there came {packet}"));
        serde_json::from_str(argument.strip_suffix(']').unwrap()).unwrap()
    }
}
