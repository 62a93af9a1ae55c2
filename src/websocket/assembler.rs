//! Whole messages out of a stream of bytes (RFC 6455 sections 5 to 8). Pure: no socket, no time.
//!
//! actix-http's parser reads single frames; fragments, the size of the whole, UTF-8 across fragments and the close codes
//! that follow from them are ours.

use actix_http::ws::{CloseReason, OpCode, Parser};
use actix_web_actors::ws::{CloseCode, ProtocolError};
use bytes::{Bytes, BytesMut};
use hubbub_actors::model::close::Close;

/// Fragments that one message may come in. An empty one that only says that the message is over is not counted: some
/// clients cut a message into full pieces and close it so.
pub const FRAGMENTS_MAX: usize = 65_536;

/// Longest payload of a control frame, bytes (RFC 6455 section 5.5).
const CONTROL_MAX: u64 = 125;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A text message, valid UTF-8.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// Asks for a pong with the same payload.
    Ping(Bytes),
    /// A sign of life.
    Pong,
    /// The closing handshake, and the code it gave.
    Close(Option<u16>),
}

/// What a client did against the protocol; the connection ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// 1002.
    Protocol(&'static str),
    /// 1007.
    NotUtf8,
    /// 1009.
    TooBig,
}

impl Violation {
    /// Why the connection ends.
    pub const fn end(self) -> Close {
        match self {
            Self::Protocol(_) => Close::Malformed,
            Self::NotUtf8 => Close::NotUtf8,
            Self::TooBig => Close::TooLarge,
        }
    }

    /// The close code and its words.
    pub const fn close(self) -> (u16, &'static str) {
        match self {
            Self::Protocol(words) => (1002, words),
            Self::NotUtf8 => (1007, "invalid UTF-8"),
            Self::TooBig => (1009, "message too big"),
        }
    }
}

/// A message of which more fragments come.
#[derive(Debug)]
struct PartialMessage {
    is_text: bool,
    payload: BytesMut,
    /// How much of the payload is known to be valid UTF-8.
    valid: usize,
    fragments: usize,
}

/// Puts a connection's messages together.
#[derive(Debug)]
pub struct MessageAssembler {
    max_size: usize,
    binary_is_text: bool,
    partial: Option<Box<PartialMessage>>,
    /// Frames read, pieces of messages and control frames among them; begins again at 0 behind the largest number.
    frames: u32,
}

impl MessageAssembler {
    /// An assembler of messages of at most `max_size` bytes.
    pub fn new(max_size: usize) -> Self {
        Self { max_size, binary_is_text: false, partial: None, frames: 0 }
    }

    /// As [`Assembler::new`], for a surface that reads binary messages as the same text: they must be UTF-8 too.
    pub fn of_text(max_size: usize) -> Self {
        Self { binary_is_text: true, ..Self::new(max_size) }
    }

    /// Sets the bound of the messages that come from now on, and of one that is not finished.
    pub fn set_max_size(&mut self, max_size: usize) {
        self.max_size = max_size;
    }

    /// Frames read since `frames` was [`Assembler::frames`]: each is a sign of life, though it may be a piece of a message
    /// that never ends.
    pub fn frames_since(&self, frames: u32) -> u32 {
        self.frames.wrapping_sub(frames)
    }

    /// Where the counting of frames stands: see [`Assembler::frames_since`].
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Takes the next message or control frame from the front of `buffer`; `None` when that does not hold one yet.
    ///
    /// # Errors
    /// What the client did against the protocol. Nothing can be read after that, except after a [`Violation::TooBig`]: the
    /// frame is still in `buffer`, and can be read under a larger bound.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, Violation> {
        loop {
            self.check_header(buffer)?;
            // The header was within its bounds: the parser waits for no more than those.
            let parsed = Parser::parse(buffer, true, self.max_size.max(CONTROL_MAX as usize));
            let Some((is_final, opcode, payload)) = parsed.map_err(violation)? else { return Ok(None) };
            self.frames = self.frames.wrapping_add(1);
            let payload = payload.unwrap_or_default();
            let incoming = match opcode {
                OpCode::Ping => Some(Incoming::Ping(payload.freeze())),
                OpCode::Pong => Some(Incoming::Pong),
                OpCode::Close => Some(Incoming::Close(close_code(&payload)?)),
                OpCode::Text | OpCode::Binary if is_final => {
                    let is_text = self.binary_is_text || opcode == OpCode::Text;
                    if is_text && std::str::from_utf8(&payload).is_err() {
                        return Err(Violation::NotUtf8);
                    }
                    Some(whole(is_text, payload))
                }
                OpCode::Text | OpCode::Binary => {
                    let is_text = self.binary_is_text || opcode == OpCode::Text;
                    self.begin(is_text, payload)?;
                    None
                }
                OpCode::Continue => self.continue_message(&payload, is_final)?,
                OpCode::Bad => return Err(Violation::Protocol("unknown opcode")),
            };
            if incoming.is_some() {
                return Ok(incoming);
            }
        }
    }

    /// Judges a frame by its header, before its payload is waited for.
    fn check_header(&self, buffer: &[u8]) -> Result<(), Violation> {
        let [first, second, ..] = *buffer else { return Ok(()) };
        let is_final = first & 0x80 != 0;
        let opcode = first & 0x0F;
        // Before the length, of which not all may be there: the reason must not depend on how the bytes arrive.
        if first & 0x70 != 0 {
            return Err(Violation::Protocol("not a frame of this protocol"));
        }
        if second & 0x80 == 0 {
            return Err(Violation::Protocol("frames of clients are masked"));
        }
        if matches!(opcode, 3..=7 | 11..) {
            return Err(Violation::Protocol("unknown opcode"));
        }
        if opcode >= 8 {
            if !is_final || second & 0x7F > 125 {
                return Err(Violation::Protocol("a control frame is whole and short"));
            }
            return Ok(());
        }
        match (opcode, &self.partial) {
            (0, None) => return Err(Violation::Protocol("nothing to continue")),
            (1 | 2, Some(_)) => return Err(Violation::Protocol("the last message is not finished")),
            _ => {}
        }
        let length = declared_length(second & 0x7F, buffer)?;
        let before = self.partial.as_ref().map_or(0, |partial| partial.payload.len());
        if length > self.max_size.saturating_sub(before) as u64 {
            return Err(Violation::TooBig);
        }
        Ok(())
    }

    fn begin(&mut self, is_text: bool, payload: BytesMut) -> Result<(), Violation> {
        let mut partial = Box::new(PartialMessage { is_text, payload, valid: 0, fragments: 1 });
        partial.check_utf8(false)?;
        self.partial = Some(partial);
        Ok(())
    }

    fn continue_message(&mut self, payload: &[u8], is_final: bool) -> Result<Option<Incoming>, Violation> {
        let Some(mut partial) = self.partial.take() else {
            return Err(Violation::Protocol("nothing to continue"));
        };
        partial.fragments += usize::from(!(is_final && payload.is_empty()));
        if partial.fragments > FRAGMENTS_MAX {
            return Err(Violation::TooBig);
        }
        partial.payload.extend_from_slice(payload);
        partial.check_utf8(is_final)?;
        if is_final {
            return Ok(Some(whole(partial.is_text, partial.payload)));
        }
        self.partial = Some(partial);
        Ok(None)
    }
}

impl PartialMessage {
    /// Fails as soon as text can not become valid UTF-8 any more (RFC 6455 section 8.1).
    fn check_utf8(&mut self, is_final: bool) -> Result<(), Violation> {
        if !self.is_text {
            return Ok(());
        }
        match std::str::from_utf8(&self.payload[self.valid..]) {
            Ok(_) => self.valid = self.payload.len(),
            Err(error) if error.error_len().is_none() && !is_final => self.valid += error.valid_up_to(),
            Err(_) => return Err(Violation::NotUtf8),
        }
        Ok(())
    }
}

/// The payload length that a frame's header declares; 0 while the header is not complete. A length has one encoding, the
/// shortest, and at most 63 bits (RFC 6455 section 5.2).
fn declared_length(short: u8, buffer: &[u8]) -> Result<u64, Violation> {
    let extended = match short {
        126 => buffer.get(2..4),
        127 => buffer.get(2..10),
        short => return Ok(u64::from(short)),
    };
    let Some(bytes) = extended else { return Ok(0) };
    let length = bytes.iter().fold(0, |length, &byte| (length << 8) | u64::from(byte));
    let least = if short == 126 { 126 } else { 65_536 };
    if length < least || length > i64::MAX.unsigned_abs() {
        return Err(Violation::Protocol("a frame length that is not the shortest encoding"));
    }
    Ok(length)
}

fn whole(is_text: bool, payload: BytesMut) -> Incoming {
    if is_text { Incoming::Text(payload.freeze()) } else { Incoming::Binary(payload.freeze()) }
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    match Parser::try_parse_close_payload(payload) {
        Ok(reason) => Ok(reason.map(|CloseReason { code, .. }: CloseReason| u16::from(code as CloseCode))),
        Err(_) if payload.len() > 2 && std::str::from_utf8(&payload[2..]).is_err() => Err(Violation::NotUtf8),
        Err(_) => Err(Violation::Protocol("a close frame that says nothing valid")),
    }
}

fn violation(error: ProtocolError) -> Violation {
    match error {
        ProtocolError::UnmaskedFrame => Violation::Protocol("frames of clients are masked"),
        ProtocolError::InvalidOpcode(_) | ProtocolError::BadOpCode => Violation::Protocol("unknown opcode"),
        ProtocolError::Overflow => Violation::TooBig,
        ProtocolError::InvalidLength(_) => Violation::Protocol("a control frame is whole and short"),
        _ => Violation::Protocol("not a frame of this protocol"),
    }
}

#[cfg(test)]
mod tests;
