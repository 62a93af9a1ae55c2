//! The response to a refused upgrade, on a socket that no HTTP service owns.

use std::io;
use std::time::Duration;

use actix_http::StatusCode;
use actix_http::header::{HeaderName, HeaderValue};
use actix_rt::net::TcpStream;
use actix_rt::time::timeout;
use tokio::io::AsyncWriteExt;

use crate::http_stream::linger::{self, Lingering};

/// How long writing the response to a refused client may take.
const TIME: Duration = Duration::from_secs(1);

/// Answers a refused upgrade and closes the socket. Lingers while the client may be sending.
pub async fn refuse(
    mut socket: TcpStream,
    lingering: &Lingering,
    status: StatusCode,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    body: &[u8],
) {
    let answer = answer(status, headers, body);
    // A disconnected client needs no response.
    if let Ok(Ok(())) = timeout(TIME, write(&mut socket, &answer)).await {
        linger::close(socket, lingering).await;
    }
}

async fn write(socket: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    socket.write_all(answer).await?;
    socket.shutdown().await
}

fn answer(status: StatusCode, headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>, body: &[u8]) -> Vec<u8> {
    // An `Upgrade` header needs its connection option (RFC 9110 section 7.8).
    let connection = if status == StatusCode::UPGRADE_REQUIRED { "close, upgrade" } else { "close" };
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: {connection}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}
