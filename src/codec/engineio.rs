//! Engine.IO, protocol revision 4: packets in WebSocket messages and in the bodies of long polling.
//!
//! The outbox of a client holds messages without frames. [`polling_body`] joins them for polling; a WebSocket frames them
//! as it writes. The content of messages is the job of [`super::socketio`].

mod base64_text;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hubbub_actors::events::json;
use hubbub_actors::publication::{MessageKind, Payload};
use serde::Serialize;

/// Most packets of one polling request. The smallest Socket.IO event takes 8 bytes, so a client can send half a
/// megabyte of events, but not half a million empty packets.
pub const PACKETS_MAX: usize = 65_536;

/// Most packets of one response to a poll, including attachments: python-engineio refuses more.
pub const ANSWER_PACKETS_MAX: usize = 16;

/// Separates the packets of a polling body.
pub const SEPARATOR: u8 = 0x1E;

/// A ping.
pub const PING: &str = "2";
/// The reply to the probe of an upgrade.
pub const PROBED: &[u8] = b"3probe";

/// An Engine.IO packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnginePacket {
    /// The payload. Only the server sends it.
    Open,
    /// Closes the transport.
    Close,
    /// A ping; its pong has the same payload.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// A text message, valid UTF-8 if the packet was.
    Message(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// Completes an upgrade to a WebSocket.
    Upgrade,
    /// No operation.
    Noop,
}

/// A protocol violation by a client, with its reason for the log and the close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl Malformed {
    /// The reason.
    pub const fn reason(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// Parses the packet of a WebSocket text message or of an item of a polling body, which is UTF-8. Text is a slice of
/// it. Binary data is base64 after a `b`: always on polling, and on a WebSocket from clients that avoid binary frames.
///
/// # Errors
/// The packet is malformed.
pub fn decode(text: Bytes) -> Result<EnginePacket, Malformed> {
    let Some(kind) = text.first() else { return Err(Malformed("an empty packet")) };
    let bare = |packet| if text.len() == 1 { Ok(packet) } else { Err(Malformed("a packet that bears no payload")) };
    match kind {
        // Its payload has no meaning from a client.
        b'0' => Ok(EnginePacket::Open),
        b'1' => bare(EnginePacket::Close),
        b'2' => Ok(EnginePacket::Ping(text.slice(1..))),
        b'3' => Ok(EnginePacket::Pong(text.slice(1..))),
        b'4' => Ok(EnginePacket::Message(text.slice(1..))),
        b'5' => bare(EnginePacket::Upgrade),
        b'6' => bare(EnginePacket::Noop),
        b'b' => match base64_text::decode(&text[1..]) {
            Some(bytes) => Ok(EnginePacket::Binary(bytes.into())),
            None => Err(Malformed("not base64")),
        },
        _ => Err(Malformed("an unknown packet type")),
    }
}

/// Parses the packets of a polling request's body one by one, at most [`PACKETS_MAX`]. The first error is the last
/// item.
pub fn packets(body: Bytes) -> Packets {
    let rest = if std::str::from_utf8(&body).is_ok() { Ok(body) } else { Err(Malformed("not UTF-8")) };
    Packets { rest: Some(rest), left: PACKETS_MAX }
}

/// The packets of a polling request's body: see [`packets`].
#[derive(Debug)]
pub struct Packets {
    /// The unparsed rest; `None` at the end.
    rest: Option<Result<Bytes, Malformed>>,
    left: usize,
}

impl Packets {
    fn item(&mut self, mut rest: Bytes) -> Result<EnginePacket, Malformed> {
        if self.left == 0 {
            return Err(Malformed("too many packets"));
        }
        self.left -= 1;
        let item = match memchr::memchr(SEPARATOR, &rest) {
            Some(end) => {
                let item = rest.split_to(end);
                self.rest = Some(Ok(rest.slice(1..)));
                item
            }
            None => rest,
        };
        let packet = decode(item);
        if packet.is_err() {
            self.rest = None;
        }
        packet
    }
}

impl Iterator for Packets {
    type Item = Result<EnginePacket, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.rest.take()?.and_then(|rest| self.item(rest)))
    }
}

/// The payload of an open packet.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct OpenPayload<'a> {
    /// The session's id.
    pub sid: &'a str,
    /// The transports to which the session can be upgraded.
    pub upgrades: &'a [&'a str],
    /// Interval of the server's pings.
    #[serde(rename = "pingInterval")]
    pub ping_interval_ms: u64,
    /// Time limit of a pong.
    #[serde(rename = "pingTimeout")]
    pub ping_timeout_ms: u64,
    /// The largest body of a polling request, bytes.
    #[serde(rename = "maxPayload")]
    pub max_payload: u64,
}

/// The text of an open packet.
pub fn open(payload: &OpenPayload<'_>) -> Bytes {
    [b"0", &json::encode(payload)[..]].concat().into()
}

/// A text message, the concatenation of `parts`.
pub fn message<'a>(parts: impl IntoIterator<Item = &'a [u8], IntoIter: Clone>) -> Payload {
    packet(parts, &[])
}

/// A text message, the concatenation of `parts`, and its attachments.
pub(super) fn packet<'a>(
    parts: impl IntoIterator<Item = &'a [u8], IntoIter: Clone>,
    attachments: &'a [Bytes],
) -> Payload {
    Payload::packet(std::iter::once(&b"4"[..]).chain(parts), attachments)
}

/// The body of a response to a poll. Control messages concern a WebSocket only and are left out.
pub fn polling_body<'a>(messages: impl Iterator<Item = (MessageKind, &'a [u8])> + Clone) -> Vec<u8> {
    let polled = messages.filter(|&(kind, _)| is_polled(kind));
    let length = |(kind, message): (MessageKind, &[u8])| match kind {
        MessageKind::Binary => 2 + base64::encoded_len(message.len(), true).unwrap_or_default(),
        _ => 1 + message.len(),
    };
    let mut body = Vec::with_capacity(polled.clone().map(length).sum());
    for (kind, message) in polled {
        if !body.is_empty() {
            body.push(SEPARATOR);
        }
        if kind == MessageKind::Binary {
            body.push(b'b');
            body.extend_from_slice(STANDARD.encode(message).as_bytes());
        } else {
            body.extend_from_slice(message);
        }
    }
    body
}

/// How many of the messages fit into a response of at most [`ANSWER_PACKETS_MAX`] packets. Binary messages stay with the
/// text message before them, because they are its attachments. The first text message with its attachments always fits.
pub fn fit(kinds: impl Iterator<Item = MessageKind>) -> usize {
    let (mut fits, mut packets, mut count) = (0, 0, 0);
    for kind in kinds {
        if kind != MessageKind::Binary {
            fits = count;
        }
        packets += usize::from(is_polled(kind));
        if packets > ANSWER_PACKETS_MAX && fits > 0 {
            return fits;
        }
        count += 1;
    }
    count
}

/// Whether polling has a packet for this kind.
fn is_polled(kind: MessageKind) -> bool {
    matches!(kind, MessageKind::Text | MessageKind::Binary)
}

#[cfg(test)]
mod tests;
