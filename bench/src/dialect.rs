//! The wires that a client may speak: how it opens a connection, what it says, and what a server's words mean. Pure.

use crate::frame::{self, Frame, TEXT};

/// The key of every handshake and its answer, which RFC 6455 section 1.3 gives.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The number of the request to join a room. Those of all others are larger.
pub(crate) const JOIN: u64 = 0;

/// What a message by HTTP is called.
const PUSHED: &str = "pushed";

/// A key of the hub's API.
pub(crate) const API_KEY: &str = "a-key-that-only-the-bench-knows-0123456789";

/// A wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The hub's envelope on `/ws`.
    Raw,
    /// Socket.IO 5 over Engine.IO 4 on a WebSocket.
    SocketIo,
    /// The hub's push API, on a connection that stays.
    Http,
}

/// What a server said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// Engine.IO is open: now to sign in.
    Opened,
    /// The client is let in, by these words.
    Welcome(&'a [u8]),
    /// To be answered by these words at once.
    Challenge(&'static [u8]),
    /// A message of a room.
    Delivery(&'a [u8]),
    /// The answer to the request of that number, where the wire numbers them.
    Answer(Option<u64>, &'a [u8]),
    /// Something that no load waits for.
    Aside,
}

impl Dialect {
    /// What opens a connection.
    pub(crate) fn handshake(self, host: &str, token: &str) -> String {
        let (path, authorization) = match self {
            Self::Raw => ("/ws", format!("Authorization: Bearer {token}\r\n")),
            Self::SocketIo => ("/socket.io/?EIO=4&transport=websocket", String::new()),
            Self::Http => return String::new(),
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{authorization}\r\n"
        )
    }

    /// Where the answer to the handshake ends in `bytes`; `None` when it is not there whole.
    pub(crate) fn accepted(self, bytes: &[u8]) -> Result<Option<usize>, String> {
        let Some(end) = position(bytes, b"\r\n\r\n") else { return Ok(None) };
        let head = bytes.get(..end).unwrap_or_default();
        if head.starts_with(b"HTTP/1.1 101 ") && position(head, ACCEPT).is_some() {
            return Ok(Some(end + 4));
        }
        Err(format!("refused: {}", String::from_utf8_lossy(bytes)))
    }

    /// Signs in, on the wire where that is a message.
    pub(crate) fn sign_in(token: &str) -> String {
        format!(r#"40{{"token":"{token}"}}"#)
    }

    /// Asks to join a room.
    pub(crate) fn join(self, topic: &str) -> String {
        match self {
            Self::Raw | Self::Http => format!(r#"{{"type":"Subscribe","data":{{"topics":["{topic}"]}}}}"#),
            Self::SocketIo => format!(r#"42{JOIN}["room:join",{{"room":"{topic}"}}]"#),
        }
    }

    /// Publishes to a room, as request `number`.
    pub(crate) fn publish(self, topic: &str, payload: &str, number: u64) -> String {
        let data = format!(r#"{{"topic":"{topic}","payload":"{payload}"}}"#);
        match self {
            Self::Raw => format!(r#"{{"type":"Broadcast","data":{data}}}"#),
            Self::SocketIo => format!(r#"42{number}["Broadcast",{data}]"#),
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

    /// Asks something, as request `number`, which comes back.
    pub(crate) fn ask(self, number: u64) -> String {
        match self {
            Self::Raw | Self::Http => format!(r#"{{"type":"Ping","data":{{"timestamp":{number}}}}}"#),
            Self::SocketIo => format!(r#"42{number}["ping",{{"timestamp":{number}}}]"#),
        }
    }

    /// What a message is written as.
    pub(crate) fn encode(self, out: &mut Vec<u8>, text: &[u8]) {
        match self {
            Self::Raw | Self::SocketIo => frame::encode(out, TEXT, text),
            Self::Http => out.extend_from_slice(text),
        }
    }

    /// The message at the front of `bytes`, as a frame; `None` when it is not there whole.
    pub(crate) fn parse(self, bytes: &[u8]) -> Result<Option<Frame<'_>>, String> {
        match self {
            Self::Raw | Self::SocketIo => frame::parse(bytes),
            Self::Http => {
                let Some(head) = position(bytes, b"\r\n\r\n") else { return Ok(None) };
                let lines = String::from_utf8_lossy(bytes.get(..head).unwrap_or_default()).to_ascii_lowercase();
                let length: Option<usize> =
                    lines.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
                let end = head + 4 + length.ok_or("an answer without its length")?;
                if !lines.starts_with("http/1.1 200 ") {
                    return Err(format!("refused: {}", String::from_utf8_lossy(bytes)));
                }
                Ok(bytes.get(head + 4..end).map(|body| (TEXT, body, end)))
            }
        }
    }

    /// What `text` means.
    pub(crate) fn hear(self, text: &[u8]) -> Result<Heard<'_>, String> {
        let heard = match self {
            Self::Raw => raw(text),
            Self::SocketIo => socket_io(text),
            Self::Http => Some(Heard::Answer(None, text)),
        };
        heard.ok_or_else(|| format!("unexpected: {}", String::from_utf8_lossy(text)))
    }
}

fn raw(text: &[u8]) -> Option<Heard<'_>> {
    let rest = text.strip_prefix(br#"{"type":""#)?;
    if rest.starts_with(br#"Broadcast","#) || rest.strip_prefix(PUSHED.as_bytes()).is_some() {
        return Some(Heard::Delivery(text));
    }
    if let Some(rest) = rest.strip_prefix(br#"Pong","data":{"timestamp":"#) {
        return Some(Heard::Answer(Some(number(rest)?), text));
    }
    let says = |what: &[u8]| position(rest, what).is_some();
    if rest.starts_with(br#"Ack","#) {
        Some(Heard::Answer(None, text))
    } else if !rest.starts_with(br#"Status","#) {
        None
    } else if says(b"\"subscribed\"") {
        says(b"\"denied\":[]").then_some(Heard::Answer(Some(JOIN), text))
    } else {
        says(b"\"connected\"").then_some(Heard::Welcome(text))
    }
}

fn socket_io(text: &[u8]) -> Option<Heard<'_>> {
    if let Some(rest) = text.strip_prefix(b"42[\"") {
        let delivers = rest.starts_with(b"Broadcast\",") || rest.starts_with(PUSHED.as_bytes());
        let aside = !delivers && !rest.starts_with(b"error\"");
        return if delivers { Some(Heard::Delivery(text)) } else { aside.then_some(Heard::Aside) };
    }
    match text {
        b"2" => Some(Heard::Challenge(b"3")),
        [b'0', ..] => Some(Heard::Opened),
        [b'4', b'0', ..] => Some(Heard::Welcome(text)),
        [b'4', b'3', rest @ ..] => match number(rest)? {
            JOIN if position(rest, br#""success":false"#).is_some() => None,
            request => Some(Heard::Answer(Some(request), text)),
        },
        _ => None,
    }
}

/// The number at the front of `text`.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    let fold = |number: u64, &byte: &u8| number.checked_mul(10)?.checked_add(u64::from(byte - b'0'));
    text.first().filter(|byte| byte.is_ascii_digit()).and_then(|_| digits.into_iter().try_fold(0, fold))
}

/// Where `what` begins in `text`.
pub(crate) fn position(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_is_understood_on_each_wire() {
        let (raw, sio) = (Dialect::Raw, Dialect::SocketIo);
        for (dialect, text, heard) in [
            (raw, r#"{"type":"Status","data":{"status":"connected"}}"#, Some(Heard::Welcome(b""))),
            (raw, r#"{"type":"Pong","data":{"timestamp":17},"timestamp":3}"#, Some(Heard::Answer(Some(17), b""))),
            (raw, r#"{"type":"Ack","data":{"recipients":3}}"#, Some(Heard::Answer(None, b""))),
            (raw, r#"{"type":"Status","data":{"status":"subscribed","details":{"denied":[{}]}}}"#, None),
            (raw, r#"{"type":"Error","data":{}}"#, None),
            (sio, r#"0{"sid":"x"}"#, Some(Heard::Opened)),
            (sio, "2", Some(Heard::Challenge(b"3"))),
            (sio, r#"40{"sid":"x"}"#, Some(Heard::Welcome(b""))),
            (sio, r#"44{"message":"no"}"#, None),
            (sio, r#"430[{"success":true}]"#, Some(Heard::Answer(Some(JOIN), b""))),
            (sio, r#"430[{"success":false}]"#, None),
            (sio, "430[]", Some(Heard::Answer(Some(JOIN), b""))),
            (sio, r#"42["connected",{}]"#, Some(Heard::Aside)),
            (sio, r#"42["error",{}]"#, None),
            (sio, r#"42["Broadcast",{"topic":"t"}]"#, Some(Heard::Delivery(b""))),
        ] {
            // The text is as good as its kind here.
            let got = dialect.hear(text.as_bytes()).ok().map(|heard| match heard {
                Heard::Answer(number, _) => Heard::Answer(number, b""),
                Heard::Delivery(_) => Heard::Delivery(b""),
                Heard::Welcome(_) => Heard::Welcome(b""),
                other => other,
            });
            assert_eq!(got, heard, "{text}");
        }
    }

    #[test]
    fn an_answer_by_http_is_taken_once_it_is_whole() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(Dialect::Http.parse(&answer[..answer.len() - 1]), Ok(None));
        assert_eq!(Dialect::Http.parse(answer), Ok(Some((TEXT, &b"ok"[..], answer.len()))));
        assert!(Dialect::Http.parse(b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
