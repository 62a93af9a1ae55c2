//! Whole messages out of a stream of bytes (RFC 6455 sections 5 to 8). Pure: no socket, no time.
//!
//! actix-http's parser reads single frames; fragments, the size of the whole, UTF-8 across fragments and the close codes
//! that follow from them are ours.

use actix_http::ws::{CloseReason, OpCode, Parser};
use actix_web_actors::ws::{CloseCode, ProtocolError};
use bytes::{Bytes, BytesMut};

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
struct Partial {
    is_text: bool,
    payload: BytesMut,
    /// How much of the payload is known to be valid UTF-8.
    valid: usize,
    fragments: usize,
}

/// Puts a connection's messages together.
#[derive(Debug)]
pub struct Assembler {
    max_size: usize,
    binary_is_text: bool,
    partial: Option<Box<Partial>>,
    /// Frames read, pieces of messages and control frames among them.
    frames: u64,
}

impl Assembler {
    /// An assembler of messages of at most `max_size` bytes.
    pub fn new(max_size: usize) -> Self {
        Self { max_size, binary_is_text: false, partial: None, frames: 0 }
    }

    /// As [`Assembler::new`], for a surface that reads binary messages as the same text: they must be UTF-8 too.
    pub fn of_text(max_size: usize) -> Self {
        Self { binary_is_text: true, ..Self::new(max_size) }
    }

    /// Frames read so far: each is a sign of life, though it may be a piece of a message that never ends.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Takes the next message or control frame from the front of `buffer`; `None` when that does not hold one yet.
    ///
    /// # Errors
    /// What the client did against the protocol. Nothing can be read after that.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, Violation> {
        loop {
            self.check_header(buffer)?;
            // The header was within its bounds: the parser waits for no more than those.
            let parsed = Parser::parse(buffer, true, self.max_size.max(CONTROL_MAX as usize));
            let Some((is_final, opcode, payload)) = parsed.map_err(violation)? else { return Ok(None) };
            self.frames += 1;
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
                OpCode::Continue => self.go_on(&payload, is_final)?,
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
        let length = match (second & 0x7F, buffer.get(2..4), buffer.get(2..10)) {
            (126, Some(bytes), _) => bytes.iter().fold(0, |length, &byte| (length << 8) | u64::from(byte)),
            (127, _, Some(bytes)) => bytes.iter().fold(0, |length, &byte| (length << 8) | u64::from(byte)),
            (126 | 127, ..) => 0,
            (short, ..) => u64::from(short),
        };
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
        let before = self.partial.as_ref().map_or(0, |partial| partial.payload.len());
        if length > (self.max_size - before) as u64 {
            return Err(Violation::TooBig);
        }
        Ok(())
    }

    fn begin(&mut self, is_text: bool, payload: BytesMut) -> Result<(), Violation> {
        let mut partial = Box::new(Partial { is_text, payload, valid: 0, fragments: 1 });
        partial.check_utf8(false)?;
        self.partial = Some(partial);
        Ok(())
    }

    fn go_on(&mut self, payload: &[u8], is_final: bool) -> Result<Option<Incoming>, Violation> {
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

impl Partial {
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
mod tests {
    use super::*;

    /// A client's frame, masked with zeros, which leave the payload as it is.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            short @ ..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
            medium @ ..65_536 => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(medium).unwrap().to_be_bytes());
            }
            long => {
                frame.push(0x80 | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        frame
    }

    fn read(max_size: usize, bytes: &[u8]) -> Result<Vec<Incoming>, Violation> {
        let mut assembler = Assembler::new(max_size);
        let mut buffer = BytesMut::from(bytes);
        let mut all = Vec::new();
        while let Some(incoming) = assembler.next(&mut buffer)? {
            all.push(incoming);
        }
        Ok(all)
    }

    fn text(text: &str) -> Incoming {
        Incoming::Text(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn fragments_make_one_message_and_control_frames_pass_between_them() {
        let bytes = [
            frame(0x01, "é".as_bytes().split_at(1).0),
            frame(0x89, b"ping"),
            frame(0x00, "é".as_bytes().split_at(1).1),
            frame(0x80, b"!"),
            frame(0x82, b"\xff"),
        ]
        .concat();
        let want = vec![
            Incoming::Ping(Bytes::from_static(b"ping")),
            text("é!"),
            Incoming::Binary(Bytes::from_static(b"\xff")),
        ];
        assert_eq!(read(100, &bytes), Ok(want));
    }

    #[test]
    fn bytes_that_come_one_by_one_make_the_same_messages() {
        let bytes = [frame(0x81, b"hello"), frame(0x81, &[b'x'; 300]), frame(0x88, b"\x03\xe8bye")].concat();
        let mut assembler = Assembler::new(1000);
        let mut buffer = BytesMut::new();
        let mut all = Vec::new();
        for byte in bytes {
            buffer.extend_from_slice(&[byte]);
            all.extend(assembler.next(&mut buffer).unwrap());
        }
        assert_eq!(all, vec![text("hello"), text(&"x".repeat(300)), Incoming::Close(Some(1000))]);
    }

    #[test]
    fn the_size_of_the_whole_message_is_bounded_and_judged_by_the_header() {
        assert!(read(10, &frame(0x81, b"0123456789")).is_ok());
        assert_eq!(read(10, &frame(0x81, b"0123456789a")[..2]), Err(Violation::TooBig));
        let parts = [frame(0x01, b"012345"), frame(0x80, b"6789a")].concat();
        assert_eq!(read(10, &parts), Err(Violation::TooBig));
        let huge = [0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(read(10, &huge), Err(Violation::TooBig));
        let more_than_63_bits = [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(read(10, &more_than_63_bits), Err(Violation::TooBig));
    }

    #[test]
    fn the_number_of_fragments_is_bounded_and_an_empty_last_one_is_free() {
        let pieces = |count: usize, last: &[u8]| {
            let mut bytes = frame(0x01, b"x");
            bytes.extend(std::iter::repeat_with(|| frame(0x00, b"x")).take(count - 1).flatten());
            bytes.extend(frame(0x80, last));
            bytes
        };
        let whole = "x".repeat(FRAGMENTS_MAX);
        assert_eq!(read(FRAGMENTS_MAX, &pieces(FRAGMENTS_MAX, b"")), Ok(vec![text(&whole)]));
        assert_eq!(read(FRAGMENTS_MAX, &pieces(FRAGMENTS_MAX - 1, b"x")), Ok(vec![text(&whole)]));
        assert_eq!(read(2 * FRAGMENTS_MAX, &pieces(FRAGMENTS_MAX, b"x")), Err(Violation::TooBig));
    }

    #[test]
    fn what_is_against_the_protocol_ends_with_1002() {
        let mut unmasked = frame(0x81, b"x");
        unmasked[1] &= 0x7f;
        for (what, bytes) in [
            ("reserved bits", frame(0xC1, b"x")),
            ("unmasked", unmasked),
            ("opcode 3", frame(0x83, b"x")),
            ("opcode 11", frame(0x8B, b"x")),
            ("fragmented ping", frame(0x09, b"x")),
            ("long ping", frame(0x89, &[0; 126])),
            ("nothing to continue", frame(0x80, b"x")),
            ("text in text", [frame(0x01, b"a"), frame(0x81, b"b")].concat()),
            ("close of one byte", frame(0x88, b"\x03")),
            ("close with 1005", frame(0x88, &1005_u16.to_be_bytes())),
            ("close with 999", frame(0x88, &999_u16.to_be_bytes())),
        ] {
            assert_eq!(read(1000, &bytes).map_err(|violation| violation.close().0), Err(1002), "{what}");
        }
    }

    #[test]
    fn the_reason_does_not_depend_on_how_the_bytes_arrive() {
        for (what, bytes) in [
            ("unmasked and too big", &[0x81, 0x7e, 0xff, 0xff][..]),
            ("reserved bits and too big", &[0xC1, 0xfe, 0xff, 0xff]),
            ("unknown opcode and too big", &[0x83, 0xfe, 0xff, 0xff]),
            ("masked, known and too big", &[0x81, 0xfe, 0xff, 0xff]),
        ] {
            let at_once = read(10, bytes);
            let mut assembler = Assembler::new(10);
            let mut buffer = BytesMut::new();
            let by_bytes = bytes.iter().find_map(|&byte| {
                buffer.extend_from_slice(&[byte]);
                assembler.next(&mut buffer).err()
            });
            assert!(at_once.is_err(), "{what}");
            assert_eq!(at_once.err(), by_bytes, "{what}");
        }
    }

    #[test]
    fn bad_utf8_ends_with_1007_as_soon_as_it_is_known() {
        assert_eq!(read(100, &frame(0x81, b"\xc3\x28")), Err(Violation::NotUtf8));
        assert_eq!(read(100, &frame(0x81, b"\xc3")), Err(Violation::NotUtf8));
        assert_eq!(read(100, &frame(0x01, b"ok\xff")), Err(Violation::NotUtf8));
        assert_eq!(read(100, &[frame(0x01, b"\xc3"), frame(0x80, b"")].concat()), Err(Violation::NotUtf8));
        assert_eq!(read(100, &frame(0x88, b"\x03\xe8\xff")), Err(Violation::NotUtf8));
        assert_eq!(read(100, &frame(0x88, b"")), Ok(vec![Incoming::Close(None)]));
    }

    #[test]
    fn where_binary_is_text_it_is_utf8_too() {
        let mut buffer = BytesMut::from(&[frame(0x82, b"text"), frame(0x82, b"\xff")].concat()[..]);
        let mut assembler = Assembler::of_text(100);
        assert_eq!(assembler.next(&mut buffer), Ok(Some(text("text"))));
        assert_eq!(assembler.next(&mut buffer), Err(Violation::NotUtf8));
    }
}
