//! A client of bytes: it makes its own handshakes and frames, with every mistake that a test needs.

use serde_json::Value;
use socket2::SockRef;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use ureq::http::{HeaderMap, HeaderName, HeaderValue};

use super::client::small_buffer_stream;
use super::http::Response;
use super::hub::Hub;
use super::token::token;
use super::wait::{DEADLINE, within};

/// The key of RFC 6455's example.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The opcodes of frames.
pub(crate) mod opcode {
    pub(crate) const CONTINUATION: u8 = 0x0;
    pub(crate) const TEXT: u8 = 0x1;
    pub(crate) const BINARY: u8 = 0x2;
    pub(crate) const CLOSE: u8 = 0x8;
    pub(crate) const PING: u8 = 0x9;
    pub(crate) const PONG: u8 = 0xA;
}

/// A frame, valid unless a test changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawFrame {
    pub(crate) last: bool,
    pub(crate) reserved: u8,
    pub(crate) opcode: u8,
    pub(crate) masked: bool,
    pub(crate) payload: Vec<u8>,
}

impl RawFrame {
    pub(crate) fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { last: true, reserved: 0, opcode, masked: true, payload: payload.into() }
    }

    pub(crate) fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::TEXT, payload)
    }

    /// Without the FIN bit: more fragments of the message follow.
    pub(crate) fn unfinished(self) -> Self {
        Self { last: false, ..self }
    }

    pub(crate) fn reserved(self, bits: u8) -> Self {
        Self { reserved: bits, ..self }
    }

    pub(crate) fn unmasked(self) -> Self {
        Self { masked: false, ..self }
    }

    /// The close code of a close frame.
    pub(crate) fn close_code(&self) -> Option<u16> {
        let code = self.payload.get(..2)?;
        (self.opcode == opcode::CLOSE).then(|| u16::from_be_bytes([code[0], code[1]]))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mask_bit = if self.masked { 0x80 } else { 0 };
        let mut bytes = vec![u8::from(self.last) << 7 | self.reserved << 4 | self.opcode];
        let length = self.payload.len();
        match length {
            0..=125 => bytes.push(mask_bit | length as u8),
            126..=0xFFFF => {
                bytes.push(mask_bit | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask_bit | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if self.masked {
            let mask = [0x12, 0x34, 0x56, 0x78];
            bytes.extend(mask);
            bytes.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            bytes.extend(&self.payload);
        }
        bytes
    }
}

/// A TCP connection to a hub.
pub(crate) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    /// An upgraded connection of `user`, with its welcome unread.
    pub(crate) async fn of(hub: &Hub, user: &str) -> Self {
        let (answer, wire) = Self::upgrade(hub, &format!("/ws?token={}", token(user)), &[]).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        wire
    }

    /// As [`Wire::of`], on a socket with a small receive buffer.
    pub(crate) async fn with_small_buffer(hub: &Hub, user: &str) -> Self {
        Self::upgrade_with_small_buffer(hub, &format!("/ws?token={}", token(user))).await
    }

    /// As [`Wire::connect`], on such a socket.
    pub(crate) fn connect_with_small_buffer(hub: &Hub) -> Self {
        Self { stream: small_buffer_stream(hub), unread: Vec::new() }
    }

    /// An upgraded connection to this path, on such a socket.
    pub(crate) async fn upgrade_with_small_buffer(hub: &Hub, path: &str) -> Self {
        let mut wire = Self::connect_with_small_buffer(hub);
        let answer = wire.request_upgrade(hub.address(), path, &[]).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        wire
    }

    /// A connection on which nothing is sent yet.
    pub(crate) async fn connect(hub: &Hub) -> Self {
        Self::to(hub.address()).await
    }

    /// As [`Wire::connect`], to this address.
    pub(crate) async fn to(address: SocketAddr) -> Self {
        let stream = within(DEADLINE, "connecting", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, unread: Vec::new() }
    }

    /// Sends a plain request; its [`Wire::response`] is still to be read.
    pub(crate) async fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.stream.peer_addr().unwrap());
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method == "POST" {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let whole = [request.as_bytes(), body].concat();
        self.send(&whole).await;
    }

    /// Requests an upgrade on a new connection.
    pub(crate) async fn upgrade(hub: &Hub, path: &str, headers: &[(&str, &str)]) -> (Response, Self) {
        let mut wire = Self::connect(hub).await;
        let answer = wire.request_upgrade(hub.address(), path, headers).await;
        (answer, wire)
    }

    /// Requests an upgrade. `headers` are added to the usual ones or replace them by name; an empty value removes one.
    pub(crate) async fn request_upgrade(&mut self, hub: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Response {
        let host = hub.to_string();
        let usual = [
            ("Host", host.as_str()),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", KEY),
            ("Sec-WebSocket-Version", "13"),
        ];
        let replaced = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        let mut request = format!("GET {path} HTTP/1.1\r\n");
        let unchanged = usual.iter().filter(|(name, _)| !replaced(name));
        for (name, value) in unchanged.chain(headers).filter(|(_, value)| !value.is_empty()) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        self.send(request.as_bytes()).await;
        self.response().await
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within(DEADLINE, "sending", self.stream.write_all(bytes)).await.unwrap();
    }

    /// Sends; the hub may close the connection meanwhile.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) {
        let _ = within(DEADLINE, "sending", self.stream.write_all(bytes)).await;
    }

    /// Sends `bytes`; `false` when the hub does not take all of them within `patience`.
    pub(crate) async fn push(&mut self, bytes: &[u8], patience: Duration) -> bool {
        let pushed = tokio::time::timeout(patience, self.stream.write_all(bytes)).await;
        pushed.is_ok_and(|written| written.is_ok())
    }

    pub(crate) async fn send_frame(&mut self, frame: &RawFrame) {
        self.send(&frame.encode()).await;
    }

    /// Sends a text message.
    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send_frame(&RawFrame::text(text)).await;
    }

    /// Reads more bytes; `false` at the end.
    async fn fill(&mut self) -> bool {
        self.unread.reserve(16 * 1024);
        // A reset is an end too.
        within(DEADLINE, "bytes", self.stream.read_buf(&mut self.unread)).await.is_ok_and(|read| read > 0)
    }

    /// The next HTTP response, whole.
    pub(crate) async fn response(&mut self) -> Response {
        let head = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                break at;
            }
            let more = self.fill().await;
            assert!(more, "the hub closed the connection after {:?}", String::from_utf8_lossy(&self.unread));
        };
        let text = String::from_utf8(self.unread.drain(..head + 4).collect()).unwrap();
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: HeaderMap = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| {
                let name: HeaderName = name.parse().unwrap();
                (name, HeaderValue::from_str(value.trim()).unwrap())
            })
            .collect();
        let length = headers.get("content-length").map_or(0, |value| value.to_str().unwrap().parse().unwrap());
        while self.unread.len() < length && self.fill().await {}
        let length = length.min(self.unread.len());
        let body = String::from_utf8(self.unread.drain(..length).collect()).unwrap();
        Response { status, headers, body }
    }

    /// The next frame; none at the end of the connection.
    pub(crate) async fn frame(&mut self) -> Option<RawFrame> {
        loop {
            if let Some((frame, length)) = decode(&self.unread) {
                self.unread.drain(..length);
                return Some(frame);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Value {
        loop {
            match self.frame().await {
                Some(frame) if frame.opcode == opcode::TEXT => {
                    return serde_json::from_slice(&frame.payload).unwrap();
                }
                Some(frame) if frame.opcode != opcode::CLOSE => {}
                other => panic!("expected a message, received {other:?}"),
            }
        }
    }

    /// The next message as text.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            match self.frame().await {
                Some(frame) if frame.opcode == opcode::TEXT => return String::from_utf8(frame.payload).unwrap(),
                Some(frame) if matches!(frame.opcode, opcode::PING | opcode::PONG) => {}
                other => panic!("expected text, received {other:?}"),
            }
        }
    }

    /// The close code, after any other frames; none when the connection ends without a close frame.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        while let Some(frame) = self.frame().await {
            if frame.opcode == opcode::CLOSE {
                return frame.close_code();
            }
        }
        None
    }

    /// Everything up to the end of the connection, as text.
    pub(crate) async fn read_to_end(&mut self) -> String {
        let end = async { while self.fill().await {} };
        within(DEADLINE, "the hub closes the connection", end).await;
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    /// Resets the connection, as a crash would: bytes in flight are lost in both directions.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Closes the sending side.
    pub(crate) async fn shut_down_write(&mut self) {
        // The hub may have closed first.
        let _ = within(DEADLINE, "shutting", self.stream.shutdown()).await;
    }

    /// Waits until the hub has closed the connection, and discards the bytes before that.
    pub(crate) async fn wait_closed(&mut self) {
        while self.fill().await {
            self.unread.clear();
        }
    }

    /// Waits until a byte arrives, and does not read it.
    pub(crate) async fn wait_readable(&mut self) {
        let peeked = within(DEADLINE, "a byte", self.stream.peek(&mut [0])).await;
        assert!(peeked.is_ok_and(|bytes| bytes > 0), "the hub closed the connection");
    }

    /// Whether no byte arrives for this long.
    pub(crate) async fn quiet_for(&mut self, time: Duration) -> bool {
        let mut byte = [0];
        tokio::time::timeout(time, self.stream.peek(&mut byte)).await.is_err()
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A frame at the start of `bytes`, and its length with its head.
fn decode(bytes: &[u8]) -> Option<(RawFrame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let masked = second & 0x80 != 0;
    assert!(!masked, "a server's frame is never masked");
    let (start, length) = match second & 0x7F {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()).into()),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()) as usize),
        short => (2, short as usize),
    };
    let payload = bytes.get(start..start + length)?.to_vec();
    let (last, reserved, opcode) = (first & 0x80 != 0, first >> 4 & 0x7, first & 0xF);
    Some((RawFrame { last, reserved, opcode, masked, payload }, start + length))
}
