//! The protocols of the clients: handshake, requests, and the meaning of server messages. Pure.

use crate::frame::{self, ParsedFrame, TEXT};
use crate::polling::{PollingSession, SEPARATOR};
use crate::text::position;

/// The key of every handshake and its accept value, from RFC 6455 section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The number of the request to join a room. All other requests have larger numbers.
pub(crate) const JOIN: u64 = 0;

/// The event name of a message published by HTTP.
const PUSHED: &str = "pushed";

/// A key of the hub's API.
pub(crate) const API_KEY: &str = "a-key-that-only-the-bench-knows-0123456789";

/// The protocol of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The hub's envelope on `/ws`.
    Raw,
    /// Socket.IO 5 over Engine.IO 4 on a WebSocket.
    SocketIo,
    /// Socket.IO 5 over Engine.IO 4 by long-polling.
    Polling,
    /// The hub's push API, on a persistent connection.
    Http,
}

/// The meaning of a server message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ServerMessage<'a> {
    /// Engine.IO is open. The client signs in next.
    Opened,
    /// The client is connected; the text of the welcome.
    Welcome(&'a [u8]),
    /// A ping, with the text of its pong.
    Ping(&'static [u8]),
    /// An event of a room.
    Delivery(&'a [u8]),
    /// A reply, with the number of its request if the protocol has one.
    Reply(Option<u64>, &'a [u8]),
    /// An event that no load uses.
    Ignored,
}

impl Protocol {
    /// The sockets of a connection.
    pub(crate) const fn sockets(self) -> usize {
        match self {
            Self::Polling => 2,
            Self::Raw | Self::SocketIo | Self::Http => 1,
        }
    }

    /// The bytes that open a connection.
    pub(crate) fn handshake(self, host: &str, token: &str) -> String {
        let (path, authorization) = match self {
            Self::Raw => ("/ws", format!("Authorization: Bearer {token}\r\n")),
            Self::SocketIo => ("/socket.io/?EIO=4&transport=websocket", String::new()),
            Self::Polling => return PollingSession::default().poll(),
            Self::Http => return String::new(),
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{authorization}\r\n"
        )
    }

    /// The end of the handshake response in `bytes`; `None` while it is incomplete.
    pub(crate) fn accepted(self, bytes: &[u8]) -> Result<Option<usize>, String> {
        if self == Self::Polling {
            // The response is the first one to a poll.
            return Ok(Some(0));
        }
        let Some(end) = position(bytes, b"\r\n\r\n") else { return Ok(None) };
        let head = bytes.get(..end).unwrap_or_default();
        if head.starts_with(b"HTTP/1.1 101 ") && position(head, ACCEPT).is_some() {
            return Ok(Some(end + 4));
        }
        Err(format!("refused: {}", String::from_utf8_lossy(bytes)))
    }

    /// The message that signs in on Socket.IO.
    pub(crate) fn sign_in(token: &str) -> String {
        format!(r#"40{{"token":"{token}"}}"#)
    }

    /// The request to join a room.
    pub(crate) fn join(self, topic: &str) -> String {
        match self {
            Self::Raw | Self::Http => format!(r#"{{"type":"Subscribe","data":{{"topics":["{topic}"]}}}}"#),
            Self::SocketIo | Self::Polling => format!(r#"42{JOIN}["room:join",{{"room":"{topic}"}}]"#),
        }
    }

    /// The request `number` that publishes to a room.
    pub(crate) fn publish(self, topic: &str, payload: &str, number: u64) -> String {
        let data = format!(r#"{{"topic":"{topic}","payload":"{payload}"}}"#);
        match self {
            Self::Raw => format!(r#"{{"type":"Broadcast","data":{data}}}"#),
            Self::SocketIo | Self::Polling => format!(r#"42{number}["Broadcast",{data}]"#),
            Self::Http => {
                let body = format!(r#"{{"room":"{topic}","event":"{PUSHED}","data":{data}}}"#);
                let length = body.len();
                format!(
                    "POST /api/room HTTP/1.1\r\nHost: hub\r\nX-API-Key: {API_KEY}\r\n\
                     Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
                )
            }
        }
    }

    /// The request `number` with a reply and no other effect.
    pub(crate) fn ping(self, number: u64) -> String {
        match self {
            Self::Raw | Self::Http => format!(r#"{{"type":"Ping","data":{{"timestamp":{number}}}}}"#),
            Self::SocketIo | Self::Polling => format!(r#"42{number}["ping",{{"timestamp":{number}}}]"#),
        }
    }

    /// Appends the encoded message to `out`.
    pub(crate) fn encode(self, out: &mut Vec<u8>, text: &[u8]) {
        match self {
            Self::Raw | Self::SocketIo => frame::encode(out, TEXT, text),
            Self::Polling => {
                out.extend_from_slice(text);
                out.push(SEPARATOR);
            }
            Self::Http => out.extend_from_slice(text),
        }
    }

    /// The first message or HTTP response in `bytes`, as a frame; `None` while it is incomplete.
    pub(crate) fn parse(self, bytes: &[u8]) -> Result<Option<ParsedFrame<'_>>, String> {
        match self {
            Self::Raw | Self::SocketIo => frame::parse(bytes),
            Self::Http | Self::Polling => {
                let Some(head) = position(bytes, b"\r\n\r\n") else { return Ok(None) };
                let lines = String::from_utf8_lossy(bytes.get(..head).unwrap_or_default()).to_ascii_lowercase();
                let length: Option<usize> =
                    lines.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
                let end = head + 4 + length.ok_or("a response without Content-Length")?;
                if !lines.starts_with("http/1.1 200 ") {
                    return Err(format!("refused: {}", String::from_utf8_lossy(bytes)));
                }
                Ok(bytes.get(head + 4..end).map(|body| (TEXT, body, end)))
            }
        }
    }

    /// The meaning of a message.
    pub(crate) fn classify(self, text: &[u8]) -> Result<ServerMessage<'_>, String> {
        let message = match self {
            Self::Raw => raw(text),
            Self::SocketIo | Self::Polling => socket_io(text),
            Self::Http => Some(ServerMessage::Reply(None, text)),
        };
        message.ok_or_else(|| format!("unexpected: {}", String::from_utf8_lossy(text)))
    }
}

fn raw(text: &[u8]) -> Option<ServerMessage<'_>> {
    let rest = text.strip_prefix(br#"{"type":""#)?;
    if rest.starts_with(br#"Broadcast","#) || rest.strip_prefix(PUSHED.as_bytes()).is_some() {
        return Some(ServerMessage::Delivery(text));
    }
    if let Some(rest) = rest.strip_prefix(br#"Pong","data":{"timestamp":"#) {
        return Some(ServerMessage::Reply(Some(number(rest)?), text));
    }
    let contains = |part: &[u8]| position(rest, part).is_some();
    if rest.starts_with(br#"Ack","#) {
        Some(ServerMessage::Reply(None, text))
    } else if !rest.starts_with(br#"Status","#) {
        None
    } else if contains(b"\"subscribed\"") {
        contains(b"\"denied\":[]").then_some(ServerMessage::Reply(Some(JOIN), text))
    } else {
        contains(b"\"connected\"").then_some(ServerMessage::Welcome(text))
    }
}

fn socket_io(text: &[u8]) -> Option<ServerMessage<'_>> {
    if let Some(rest) = text.strip_prefix(b"42[\"") {
        let delivers = rest.starts_with(b"Broadcast\",") || rest.starts_with(PUSHED.as_bytes());
        let aside = !delivers && !rest.starts_with(b"error\"");
        return if delivers { Some(ServerMessage::Delivery(text)) } else { aside.then_some(ServerMessage::Ignored) };
    }
    match text {
        b"2" => Some(ServerMessage::Ping(b"3")),
        [b'0', ..] => Some(ServerMessage::Opened),
        [b'4', b'0', ..] => Some(ServerMessage::Welcome(text)),
        [b'4', b'3', rest @ ..] => match number(rest)? {
            JOIN if position(rest, br#""success":false"#).is_some() => None,
            request => Some(ServerMessage::Reply(Some(request), text)),
        },
        _ => None,
    }
}

/// The number at the start of `text`.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    let fold = |number: u64, &byte: &u8| number.checked_mul(10)?.checked_add(u64::from(byte - b'0'));
    text.first().filter(|byte| byte.is_ascii_digit()).and_then(|_| digits.into_iter().try_fold(0, fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_messages_are_classified_on_each_protocol() {
        let (raw, sio) = (Protocol::Raw, Protocol::SocketIo);
        for (protocol, text, message) in [
            (raw, r#"{"type":"Status","data":{"status":"connected"}}"#, Some(ServerMessage::Welcome(b""))),
            (
                raw,
                r#"{"type":"Pong","data":{"timestamp":17},"timestamp":3}"#,
                Some(ServerMessage::Reply(Some(17), b"")),
            ),
            (raw, r#"{"type":"Ack","data":{"recipients":3}}"#, Some(ServerMessage::Reply(None, b""))),
            (raw, r#"{"type":"Status","data":{"status":"subscribed","details":{"denied":[{}]}}}"#, None),
            (raw, r#"{"type":"Error","data":{}}"#, None),
            (sio, r#"0{"sid":"x"}"#, Some(ServerMessage::Opened)),
            (sio, "2", Some(ServerMessage::Ping(b"3"))),
            (sio, r#"40{"sid":"x"}"#, Some(ServerMessage::Welcome(b""))),
            (sio, r#"44{"message":"no"}"#, None),
            (sio, r#"430[{"success":true}]"#, Some(ServerMessage::Reply(Some(JOIN), b""))),
            (sio, r#"430[{"success":false}]"#, None),
            (sio, "430[]", Some(ServerMessage::Reply(Some(JOIN), b""))),
            (sio, r#"42["connected",{}]"#, Some(ServerMessage::Ignored)),
            (sio, r#"42["error",{}]"#, None),
            (sio, r#"42["Broadcast",{"topic":"t"}]"#, Some(ServerMessage::Delivery(b""))),
        ] {
            // Compare the kinds without their texts.
            let got = protocol.classify(text.as_bytes()).ok().map(|message| match message {
                ServerMessage::Reply(number, _) => ServerMessage::Reply(number, b""),
                ServerMessage::Delivery(_) => ServerMessage::Delivery(b""),
                ServerMessage::Welcome(_) => ServerMessage::Welcome(b""),
                other => other,
            });
            assert_eq!(got, message, "{text}");
        }
    }

    #[test]
    fn an_http_response_is_parsed_when_it_is_complete() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        for end in 0..answer.len() {
            assert_eq!(Protocol::Http.parse(&answer[..end]), Ok(None), "{end} bytes");
        }
        let followed = [&answer[..], b"HTTP/1.1"].concat();
        for protocol in [Protocol::Http, Protocol::Polling] {
            assert_eq!(protocol.parse(&followed), Ok(Some((TEXT, &b"ok"[..], answer.len()))));
        }
        assert!(Protocol::Http.parse(b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
