//! A raw WebSocket and a single HTTP request. A failure of the network is a result, not an error.

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

/// A connected raw WebSocket.
pub(super) struct RawConnection {
    socket: WebSocketStream<TcpStream>,
    /// The timeout of a read and of a write.
    timeout: Duration,
}

impl RawConnection {
    /// Connects. `None` if the hub refuses or the connection fails.
    pub(super) async fn open(address: SocketAddr, token: &str, io_timeout: Duration) -> Option<Self> {
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        request.headers_mut().insert("Authorization", format!("Bearer {token}").parse().unwrap());
        let open = async {
            let stream = TcpStream::connect(address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            Some(client_async(request, stream).await.ok()?.0)
        };
        let socket = timeout(DEADLINE, open).await.ok().flatten()?;
        Some(Self { socket, timeout: io_timeout })
    }

    /// Sends. Returns whether the connection accepted the bytes.
    pub(super) async fn send(&mut self, message: &Value) -> bool {
        let sent = self.socket.send(Message::text(message.to_string()));
        timeout(self.timeout, sent).await.is_ok_and(|sent| sent.is_ok())
    }

    /// The next message. `None` when the connection ends or times out.
    pub(super) async fn next(&mut self) -> Option<Value> {
        loop {
            match timeout(self.timeout, self.socket.next()).await.ok()??.ok()? {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }
}

/// The result of a POST.
pub(super) enum PostOutcome {
    /// The connection was refused.
    NotConnected,
    /// No complete response arrived. The hub may have accepted the request.
    NoResponse,
    Answered {
        status: u16,
        /// The hub repeated the stored response of this idempotency key.
        replayed: bool,
    },
}

/// Posts on a connection of its own, with an idempotency key if one is given.
pub(super) async fn post(
    address: SocketAddr,
    path: &str,
    key: Option<&str>,
    body: &Value,
    response_timeout: Duration,
) -> PostOutcome {
    let Ok(mut stream) = TcpStream::connect(address).await else { return PostOutcome::NotConnected };
    let body = body.to_string();
    let key = key.map_or(String::new(), |key| format!("Idempotency-Key: {key}\r\n"));
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-API-Key: {API_KEY}\r\n{key}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut response = Vec::new();
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut response).await
    };
    // A reset after a complete response does not matter.
    let _ = timeout(response_timeout, exchange).await;
    parse(&response).unwrap_or(PostOutcome::NoResponse)
}

/// Parses a complete response.
fn parse(bytes: &[u8]) -> Option<PostOutcome> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let head = head.to_ascii_lowercase();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let length: usize = header("content-length")?.parse().ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    (body.len() == length).then(|| PostOutcome::Answered { status, replayed: header("idempotency-replayed").is_some() })
}
