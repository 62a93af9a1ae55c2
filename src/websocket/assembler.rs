//! Whole messages from a stream of bytes (RFC 6455 sections 5 to 8). Pure: no socket, no time.
//!
//! actix-http's parser reads single frames. Fragments, message sizes, UTF-8 across fragments and the resulting close
//! codes are handled here.

use actix_http::ws::{CloseReason, OpCode, Parser};
use actix_web_actors::ws::{CloseCode, ProtocolError};
use bytes::{Bytes, BytesMut};
use hubbub_actors::model::close::Close;

/// Most fragments of one message. An empty final fragment is not counted, because some clients end a message of full
/// fragments with one.
pub const FRAGMENTS_MAX: usize = 65_536;

/// Longest payload of a control frame, bytes (RFC 6455 section 5.5).
const CONTROL_MAX: u64 = 125;

/// A message or control frame of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A text message, valid UTF-8.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A ping; its pong has the same payload.
    Ping(Bytes),
    /// A pong.
    Pong,
    /// The closing handshake, with the client's close code.
    Close(Option<u16>),
}

/// A protocol violation by a client. It ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// Close code 1002.
    Protocol(&'static str),
    /// Close code 1007.
    NotUtf8,
    /// Close code 1009.
    TooBig,
}

impl Violation {
    /// The reason in the log.
    pub const fn end(self) -> Close {
        match self {
            Self::Protocol(_) => Close::Malformed,
            Self::NotUtf8 => Close::NotUtf8,
            Self::TooBig => Close::TooLarge,
        }
    }

    /// The close code and reason.
    pub const fn close(self) -> (u16, &'static str) {
        match self {
            Self::Protocol(reason) => (1002, reason),
            Self::NotUtf8 => (1007, "invalid UTF-8"),
            Self::TooBig => (1009, "message too big"),
        }
    }
}

/// A message without its final fragment.
#[derive(Debug)]
struct PartialMessage {
    is_text: bool,
    payload: BytesMut,
    /// Bytes of the payload that are known to be valid UTF-8.
    valid: usize,
    fragments: usize,
}

/// Assembles a connection's messages.
#[derive(Debug)]
pub struct MessageAssembler {
    max_size: usize,
    binary_is_text: bool,
    partial: Option<Box<PartialMessage>>,
    /// Frames read, including fragments and control frames. Wraps around.
    frames: u32,
}

impl MessageAssembler {
    /// An assembler of messages of at most `max_size` bytes.
    pub fn new(max_size: usize) -> Self {
        Self { max_size, binary_is_text: false, partial: None, frames: 0 }
    }

    /// Like [`MessageAssembler::new`], for a surface that treats binary messages as text: they must be UTF-8 too.
    pub fn of_text(max_size: usize) -> Self {
        Self { binary_is_text: true, ..Self::new(max_size) }
    }

    /// Sets the bound of later messages, and of an unfinished one.
    pub fn set_max_size(&mut self, max_size: usize) {
        self.max_size = max_size;
    }

    /// Frames read since `frames`, an earlier value of [`MessageAssembler::frames`]. Each frame is client activity,
    /// even a fragment of an endless message.
    pub fn frames_since(&self, frames: u32) -> u32 {
        self.frames.wrapping_sub(frames)
    }

    /// The frame counter: see [`MessageAssembler::frames_since`].
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Takes the next message or control frame from the front of `buffer`. `None`: it is incomplete.
    ///
    /// # Errors
    /// A protocol violation. Nothing can be read after it, except after [`Violation::TooBig`]: the frame is still in
    /// `buffer` and can be read with a larger bound.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, Violation> {
        loop {
            self.check_header(buffer)?;
            // The header is within bounds, so the parser waits for no more than those.
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

    /// Checks a frame's header before its payload arrives.
    fn check_header(&self, buffer: &[u8]) -> Result<(), Violation> {
        let [first, second, ..] = *buffer else { return Ok(()) };
        let is_final = first & 0x80 != 0;
        let opcode = first & 0x0F;
        // Checked before the length, which may be incomplete: the reason must not depend on how the bytes arrive.
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
    /// Fails as soon as the text cannot become valid UTF-8 (RFC 6455 section 8.1).
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

/// The payload length in a frame's header; 0 while the header is incomplete. The only valid encoding is the shortest,
/// with at most 63 bits (RFC 6455 section 5.2).
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
        Err(_) => Err(Violation::Protocol("an invalid close frame")),
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
