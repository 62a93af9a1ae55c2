//! Connections that may fail at any time, which is an answer and no error: the raw WebSocket, and one HTTP request.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{API_KEY, DEADLINE};

/// A raw WebSocket that is up.
pub(super) struct Line {
    socket: WebSocketStream<TcpStream>,
    /// How long it may say nothing until it is taken for dead.
    patience: Duration,
}

impl Line {
    /// One that was let in; none where that was refused or came to nothing.
    pub(super) async fn open(address: SocketAddr, token: &str, patience: Duration) -> Option<Self> {
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        request.headers_mut().insert("Authorization", format!("Bearer {token}").parse().unwrap());
        let open = async {
            let stream = TcpStream::connect(address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            Some(client_async(request, stream).await.ok()?.0)
        };
        let socket = timeout(DEADLINE, open).await.ok().flatten()?;
        Some(Self { socket, patience })
    }

    /// Sends; whether the connection still took it.
    pub(super) async fn send(&mut self, message: &Value) -> bool {
        let sent = self.socket.send(Message::text(message.to_string()));
        timeout(self.patience, sent).await.is_ok_and(|sent| sent.is_ok())
    }

    /// The next message; none when the connection has ended, or says nothing any more.
    pub(super) async fn next(&mut self) -> Option<Value> {
        loop {
            match timeout(self.patience, self.socket.next()).await.ok()??.ok()? {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }
}

/// What came of a request.
pub(super) enum Posted {
    /// Nobody was there to take it.
    Away,
    /// It may have been taken; no whole answer came.
    Lost,
    Answered {
        status: u16,
        /// It had been answered before, by its name.
        again: bool,
    },
}

/// Posts on a connection of its own, under a name where one is given.
pub(super) async fn post(
    address: SocketAddr,
    path: &str,
    name: Option<&str>,
    body: &Value,
    patience: Duration,
) -> Posted {
    let Ok(mut stream) = TcpStream::connect(address).await else { return Posted::Away };
    let body = body.to_string();
    let name = name.map_or(String::new(), |name| format!("Idempotency-Key: {name}\r\n"));
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-API-Key: {API_KEY}\r\n{name}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut answer = Vec::new();
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut answer).await
    };
    // A reset behind the answer takes nothing of it away.
    let _ = timeout(patience, exchange).await;
    answered(&answer).unwrap_or(Posted::Lost)
}

/// What a whole answer says.
fn answered(bytes: &[u8]) -> Option<Posted> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let head = head.to_ascii_lowercase();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let length: usize = header("content-length")?.parse().ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    (body.len() == length).then(|| Posted::Answered { status, again: header("idempotency-replayed").is_some() })
}
