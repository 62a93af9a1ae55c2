//! A Socket.IO client of one namespace over a plain WebSocket, its packets written out.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::wait::within;
use crate::support::{DEADLINE, Hub};

/// A client that is in its namespace.
pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What stands before the data of its packets, as `/chat,`.
    namespace: String,
}

impl Socket {
    /// A client that connects to `/` with a token, greeted.
    pub(super) async fn with_token(hub: &Hub, token: &str) -> Self {
        Self::join(hub, "", json!({ "token": token })).await.greeted().await
    }

    /// A client that connects to `/` without one, greeted.
    pub(super) async fn guest(hub: &Hub) -> Self {
        Self::join(hub, "", json!({})).await.greeted().await
    }

    /// A client of `/chat`.
    pub(super) async fn of_chat(hub: &Hub, token: &str) -> Self {
        Self::join(hub, "/chat,", json!({ "token": token })).await
    }

    async fn join(hub: &Hub, namespace: &str, auth: Value) -> Self {
        let address = hub.ws("/socket.io/?EIO=4&transport=websocket");
        let (stream, _) = within(DEADLINE, "the handshake", connect_async(address)).await.unwrap();
        let mut socket = Self { stream, namespace: namespace.to_owned() };
        assert!(socket.packet().await.starts_with('0'));
        socket.send(&format!("40{namespace}{auth}")).await;
        let joined = socket.packet().await;
        assert!(joined.starts_with(&format!("40{namespace}{{\"sid\":")), "{joined}");
        socket
    }

    async fn greeted(mut self) -> Self {
        self.expect("connected").await;
        self.expect("system:welcome").await;
        self
    }

    async fn send(&mut self, packet: &str) {
        within(DEADLINE, "sending", self.stream.send(Message::text(packet))).await.unwrap();
    }

    /// The next packet, pings left out.
    async fn packet(&mut self) -> String {
        loop {
            let frame = within(DEADLINE, "a packet", self.stream.next()).await.unwrap().unwrap();
            match frame {
                Message::Text(text) if text.as_str() == "2" => self.send("3").await,
                Message::Text(text) => return text.to_string(),
                other => panic!("waited for a packet, but there came {other:?}"),
            }
        }
    }

    pub(super) async fn emit(&mut self, event: &str, data: &Value) {
        let packet = format!("42{}{}", self.namespace, json!([event, data]));
        self.send(&packet).await;
    }

    /// Emits and asks for an acknowledgement, whose arguments come back. Nothing may come before.
    pub(super) async fn ask(&mut self, event: &str, data: &Value) -> Value {
        let packet = format!("42{}7{}", self.namespace, json!([event, data]));
        self.send(&packet).await;
        let answer = self.packet().await;
        let arguments = answer.strip_prefix(&format!("43{}7", self.namespace));
        serde_json::from_str(arguments.unwrap_or_else(|| panic!("no acknowledgement: {answer}"))).unwrap()
    }

    /// The data of the next event, which has to have this name.
    pub(super) async fn expect(&mut self, event: &str) -> Value {
        let packet = self.packet().await;
        let packet = packet.strip_prefix(&format!("42{}", self.namespace)).unwrap_or_else(|| panic!("{packet}"));
        let [name, data] = serde_json::from_str::<[Value; 2]>(packet).unwrap();
        assert_eq!(name, event, "{data}");
        data
    }

    /// That nothing is on its way to this client.
    pub(super) async fn expect_silence(&mut self) {
        assert_eq!(self.ask("ping", &json!({})).await, json!([]));
    }
}
