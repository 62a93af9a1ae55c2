//! Engine.IO, revision 4 of the protocol: packets in WebSocket messages and in the bodies of long polling.
//!
//! What waits for a client is always WebSocket frames, whatever its transport, so that an upgrade has nothing to convert:
//! [`polling_body`] turns them into what polling carries. Knows nothing of what a message says: that is [`super::socketio`].

mod base64_text;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use hubbub_actors::events::Surface;
use hubbub_actors::events::json;
use hubbub_actors::publication::{Correlation, Encoder, Event, EventError, Format};
use serde::Serialize;

use super::frame::{self, Opcode};

/// Packets that one polling request may carry. The smallest Socket.IO event takes 8 bytes of a body, so that a client
/// gets by with this for half a megabyte of them; a body full of empty packets does not make half a million.
pub const PACKETS_MAX: usize = 65_536;

/// Packets that one answer to a poll carries, attachments counted: python-engineio refuses more.
pub const ANSWER_PACKETS_MAX: usize = 16;

/// Stands between the packets of a polling body.
pub const SEPARATOR: u8 = 0x1E;

/// A ping as a WebSocket frame.
pub const PING: &[u8] = b"\x81\x012";
/// A noop as a WebSocket frame: ends a poll that waits, without saying anything.
pub const NOOP: &[u8] = b"\x81\x016";
/// A close packet as a WebSocket frame.
pub const CLOSE: &[u8] = b"\x81\x011";
/// The answer to the probe of an upgrade, as a WebSocket frame.
pub const PROBED: &[u8] = b"\x81\x063probe";

/// The payload of the ping that probes a WebSocket before an upgrade.
pub const PROBE: &[u8] = b"probe";

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// The handshake; only the server sends it.
    Open,
    /// The transport is to be closed.
    Close,
    /// Asks for a pong with the same payload.
    Ping(Bytes),
    /// The answer to a ping.
    Pong(Bytes),
    /// A message of text. UTF-8 where the packet was.
    Message(Bytes),
    /// A message of bytes.
    Binary(Bytes),
    /// The WebSocket takes over.
    Upgrade,
    /// Nothing.
    Noop,
}

/// What a client sent against the protocol, in words for the log and the close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl Malformed {
    /// The words.
    pub const fn words(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// Reads the packet of a WebSocket text message or an item of a polling body, which is UTF-8. Text is a slice of it, bytes
/// come as base64 behind a `b`: always when polling, on a WebSocket from clients that are told to avoid binary frames.
///
/// # Errors
/// When it is no packet.
pub fn decode(text: Bytes) -> Result<Packet, Malformed> {
    let Some(kind) = text.first() else { return Err(Malformed("an empty packet")) };
    let bare = |packet| if text.len() == 1 { Ok(packet) } else { Err(Malformed("a packet that bears no payload")) };
    match kind {
        // What a client says in it would be ignored anyway.
        b'0' => Ok(Packet::Open),
        b'1' => bare(Packet::Close),
        b'2' => Ok(Packet::Ping(text.slice(1..))),
        b'3' => Ok(Packet::Pong(text.slice(1..))),
        b'4' => Ok(Packet::Message(text.slice(1..))),
        b'5' => bare(Packet::Upgrade),
        b'6' => bare(Packet::Noop),
        b'b' => match base64_text::decode(&text[1..]) {
            Some(bytes) => Ok(Packet::Binary(bytes.into())),
            None => Err(Malformed("not base64")),
        },
        _ => Err(Malformed("an unknown packet type")),
    }
}

/// Reads the packets of a polling request's body one by one: at most [`PACKETS_MAX`]. The first error is the last item.
pub fn payload(body: Bytes) -> Payload {
    let rest = if std::str::from_utf8(&body).is_ok() { Ok(body) } else { Err(Malformed("not UTF-8")) };
    Payload { rest: Some(rest), left: PACKETS_MAX }
}

/// The packets of a polling request's body: see [`payload`].
#[derive(Debug)]
pub struct Payload {
    /// What was not read yet; `None` at the end.
    rest: Option<Result<Bytes, Malformed>>,
    left: usize,
}

impl Payload {
    fn item(&mut self, mut rest: Bytes) -> Result<Packet, Malformed> {
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
    type Item = Result<Packet, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.rest.take()?.and_then(|rest| self.item(rest)))
    }
}

/// What an open packet says.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Handshake<'a> {
    /// The session's id.
    pub sid: &'a str,
    /// The transports that this one may be upgraded to.
    pub upgrades: &'a [&'a str],
    /// How often the server pings.
    #[serde(rename = "pingInterval")]
    pub ping_interval_ms: u64,
    /// How long it waits for the pong.
    #[serde(rename = "pingTimeout")]
    pub ping_timeout_ms: u64,
    /// The largest body of a polling request, bytes.
    #[serde(rename = "maxPayload")]
    pub max_payload: u64,
}

/// The text of an open packet.
pub fn open(handshake: &Handshake<'_>) -> Bytes {
    [b"0", &json::encode(handshake)[..]].concat().into()
}

/// A pong as a WebSocket frame.
pub fn pong_frame(payload: &[u8]) -> Bytes {
    frame::encode(Opcode::Text, &[b"3", payload])
}

/// A message of the text that `parts` hold one after the other, as a WebSocket frame.
pub fn message_frame(parts: &[&[u8]]) -> Bytes {
    let mut frames = BytesMut::new();
    append_message(&mut frames, parts.iter().copied());
    frames.freeze()
}

/// Puts a message behind the `frames` that are there: see [`message_frame`].
pub(super) fn append_message<'a>(frames: &mut BytesMut, parts: impl Iterator<Item = &'a [u8]> + Clone) {
    frame::append(frames, Opcode::Text, std::iter::once(&b"4"[..]).chain(parts));
}

/// A message of bytes as a WebSocket frame.
pub fn binary_frame(bytes: &[u8]) -> Bytes {
    frame::encode(Opcode::Binary, &[bytes])
}

/// The body of an answer to a poll: the messages and packets of `frames`, each of which may hold several frames one behind
/// the other. Control frames mean something to a WebSocket only, and are left out.
///
/// The frames are the hub's own: what is no frame ends the reading of its item, and is a bug.
pub fn polling_body<'a>(frames: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    for mut rest in frames {
        while !rest.is_empty() {
            let Some((opcode, payload, behind)) = frame::split(rest) else {
                debug_assert!(false, "not a frame of the hub: {rest:x?}");
                break;
            };
            rest = behind;
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

/// How many bytes at the start of `frames`, each whole, fit into an answer of at most `most` packets, and how many packets
/// [`polling_body`] makes of them. Bytes are not split from the text before them, whose attachments they are. An answer that
/// holds nothing yet takes the first text with its attachments in any case.
pub fn fit(frames: &[u8], most: usize) -> (usize, usize) {
    let (mut fits, mut packets, mut rest) = ((0, 0), 0, frames);
    while let Some((opcode, _, behind)) = frame::split(rest) {
        if opcode != Opcode::Binary {
            fits = (frames.len() - rest.len(), packets);
        }
        packets += usize::from(is_polled(opcode));
        if packets > most && (fits.0 > 0 || most < ANSWER_PACKETS_MAX) {
            return fits;
        }
        rest = behind;
    }
    (frames.len(), packets)
}

/// Whether polling has a packet for such a frame.
fn is_polled(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::Text | Opcode::Binary)
}

/// The wire of bare Engine.IO: what an event holds, as a message, and nothing else.
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
