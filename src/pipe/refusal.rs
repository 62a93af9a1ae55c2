//! The answer to an upgrade that is refused, on a socket that no HTTP app owns any more.

use std::io;
use std::time::Duration;

use actix_http::StatusCode;
use actix_http::header::{HeaderName, HeaderValue};
use actix_rt::net::TcpStream;
use actix_rt::time::timeout;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long a refused client may take to read why.
const TIME: Duration = Duration::from_secs(1);

/// Answers a refused upgrade and closes, once the client has read it or took too long.
pub async fn refuse(
    socket: TcpStream,
    status: StatusCode,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    body: &[u8],
) {
    // Who hangs up meanwhile knows that it is refused.
    let _ = timeout(TIME, answer(socket, status, headers, body)).await;
}

async fn answer(
    mut socket: TcpStream,
    status: StatusCode,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    body: &[u8],
) -> io::Result<()> {
    let length = body.len();
    let mut answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        answer.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
    }
    answer.push_str("\r\n");
    socket.write_all(answer.as_bytes()).await?;
    socket.write_all(body).await?;
    socket.shutdown().await?;
    // A socket closed with unread bytes is reset, and the answer may be lost with it.
    let mut rest = [0; 512];
    while socket.read(&mut rest).await? > 0 {}
    Ok(())
}
