//! Engine.IO, protocol revision 4: packets in WebSocket messages and in the bodies of long polling.
//!
//! The outbox of a client always holds WebSocket frames, on both transports, so an upgrade converts nothing.
//! [`polling_body`] converts frames for polling. The content of messages is the job of [`super::socketio`].

mod base64_text;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use hubbub_actors::events::json;
use hubbub_actors::model::surface::Surface;
use hubbub_actors::publication::{Correlation, Encoder, Event, EventError, Format};
use serde::Serialize;

use super::frame::{self, Opcode};

/// Most packets of one polling request. The smallest Socket.IO event takes 8 bytes, so a client can send half a
/// megabyte of events, but not half a million empty packets.
pub const PACKETS_MAX: usize = 65_536;

/// Most packets of one response to a poll, including attachments: python-engineio refuses more.
pub const ANSWER_PACKETS_MAX: usize = 16;

/// Separates the packets of a polling body.
pub const SEPARATOR: u8 = 0x1E;

/// A ping as a WebSocket frame.
pub const PING: &[u8] = b"\x81\x012";
/// The reply to the probe of an upgrade, as a WebSocket frame.
pub const PROBED: &[u8] = b"\x81\x063probe";

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
pub fn payload(body: Bytes) -> Payload {
    let rest = if std::str::from_utf8(&body).is_ok() { Ok(body) } else { Err(Malformed("not UTF-8")) };
    Payload { rest: Some(rest), left: PACKETS_MAX }
}

/// The packets of a polling request's body: see [`payload`].
#[derive(Debug)]
pub struct Payload {
    /// The unparsed rest; `None` at the end.
    rest: Option<Result<Bytes, Malformed>>,
    left: usize,
}

impl Payload {
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

impl Iterator for Payload {
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

/// A text message, the concatenation of `parts`, as a WebSocket frame.
pub fn message_frame(parts: &[&[u8]]) -> Bytes {
    let mut frames = BytesMut::new();
    append_message(&mut frames, parts.iter().copied());
    frames.freeze()
}

/// Appends a message to `frames`: see [`message_frame`].
pub(super) fn append_message<'a>(frames: &mut BytesMut, parts: impl Iterator<Item = &'a [u8]> + Clone) {
    frame::append(frames, Opcode::Text, std::iter::once(&b"4"[..]).chain(parts));
}

/// The body of a response to a poll: the packets of `frames`. Each item may hold several frames. Control frames only
/// concern a WebSocket and are left out.
///
/// The hub encoded the frames itself. An invalid frame is a bug, and skips the rest of its item.
pub fn polling_body<'a>(frames: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    for mut rest in frames {
        while !rest.is_empty() {
            let Some((opcode, payload, after)) = frame::split(rest) else {
                debug_assert!(false, "not a frame of the hub: {rest:x?}");
                break;
            };
            rest = after;
            if !is_polled(opcode) {
                continue;
            }
            if !body.is_empty() {
                body.push(SEPARATOR);
            }
            if opcode == Opcode::Binary {
                body.push(b'b');
                body.extend_from_slice(STANDARD.encode(payload).as_bytes());
            } else {
                body.extend_from_slice(payload);
            }
        }
    }
    body
}

/// How many bytes at the start of `frames` fit into a response of at most `most` packets, in whole frames, and how many
/// packets [`polling_body`] makes of them. Binary frames stay with the text frame before them, because they are its
/// attachments. An empty response accepts the first text frame with its attachments in any case.
pub fn fit(frames: &[u8], most: usize) -> (usize, usize) {
    let (mut fits, mut packets, mut rest) = ((0, 0), 0, frames);
    while let Some((opcode, _, after)) = frame::split(rest) {
        if opcode != Opcode::Binary {
            fits = (frames.len() - rest.len(), packets);
        }
        packets += usize::from(is_polled(opcode));
        if packets > most && (fits.0 > 0 || most < ANSWER_PACKETS_MAX) {
            return fits;
        }
        rest = after;
    }
    (frames.len(), packets)
}

/// Whether polling has a packet for this opcode.
fn is_polled(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::Text | Opcode::Binary)
}

/// The wire format of bare Engine.IO: an event's data as a message.
pub static ENGINE: EngineWire = EngineWire;

/// See [`ENGINE`].
#[derive(Debug)]
pub struct EngineWire;

impl Encoder for EngineWire {
    fn format(&self) -> Format {
        Format::EngineIo
    }

    fn surface(&self) -> Option<Surface> {
        None
    }

    fn event(&self, event: &Event, _: u64) -> Bytes {
        message_frame(&[&event.data])
    }

    fn answer(&self, _: &str, data: &[u8], _: &Correlation, _: i64) -> Bytes {
        message_frame(&[data])
    }

    fn acknowledgement(&self, data: Option<&[u8]>, _: &Bytes, _: i64) -> Bytes {
        message_frame(&[data.unwrap_or_default()])
    }

    fn refusal(&self, refusal: &EventError<'_>, _: i64) -> Option<Bytes> {
        Some(message_frame(&[refusal.fault.message.as_bytes()]))
    }
}

#[cfg(test)]
mod tests;
