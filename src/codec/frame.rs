//! WebSocket frames of the hub: final and unmasked (RFC 6455 section 5.2).

use std::ops::Deref;

use hubbub_actors::publication::{MessageKind, Payload};

/// The longest header of an unmasked frame, bytes.
pub const HEADER_MAX: usize = 10;

/// The header of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    bytes: [u8; HEADER_MAX],
    length: usize,
}

impl Header {
    /// The header of a message of `length` bytes.
    pub fn new(kind: MessageKind, length: usize) -> Self {
        let opcode = match kind {
            MessageKind::Text => 0x1,
            MessageKind::Binary => 0x2,
            MessageKind::Close => 0x8,
            MessageKind::Ping => 0x9,
            MessageKind::Pong => 0xA,
        };
        let mut header = Self { bytes: [0; HEADER_MAX], length: 2 };
        header.bytes[0] = 0x80 | opcode;
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ ..126), _) => header.bytes[1] = short,
            (_, Ok(medium)) => {
                header.bytes[1] = 126;
                header.bytes[2..4].copy_from_slice(&medium.to_be_bytes());
                header.length = 4;
            }
            _ => {
                header.bytes[1] = 127;
                header.bytes[2..].copy_from_slice(&(length as u64).to_be_bytes());
                header.length = HEADER_MAX;
            }
        }
        header
    }
}

impl Deref for Header {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The messages of `payload` in frames.
pub fn encode(payload: &Payload) -> Vec<u8> {
    let mut frames = Vec::with_capacity(payload.len() + HEADER_MAX * payload.message_count());
    for (kind, message) in payload.messages() {
        frames.extend_from_slice(&Header::new(kind, message.len()));
        frames.extend_from_slice(message);
    }
    frames
}

/// A close message. `reason` is truncated to the 123 bytes that fit (RFC 6455 section 5.5).
pub fn close(code: u16, reason: &str) -> Payload {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    Payload::message(MessageKind::Close, [&code.to_be_bytes(), &reason.as_bytes()[..end]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_takes_one_three_or_nine_bytes() {
        let cases: [(usize, &[u8]); 6] = [
            (0, b"\x82\0"),
            (1, b"\x82\x01"),
            (125, b"\x82\x7d"),
            (126, b"\x82\x7e\x00\x7e"),
            (0xffff, b"\x82\x7e\xff\xff"),
            (0x1_0000, b"\x82\x7f\0\0\0\0\0\x01\0\0"),
        ];
        for (length, header) in cases {
            assert_eq!(&*Header::new(MessageKind::Binary, length), header);
        }
    }

    #[test]
    fn each_message_has_a_frame() {
        let packet = Payload::packet([&b"a"[..], b"b"], &[vec![7; 2].into()]);
        assert_eq!(encode(&packet), b"\x81\x02ab\x82\x02\x07\x07");
        assert_eq!(encode(&Payload::message(MessageKind::Ping, "")), b"\x89\0");
        assert_eq!(encode(&Payload::message(MessageKind::Pong, "x")), b"\x8a\x01x");
    }

    #[test]
    fn a_reason_is_truncated_at_a_character_boundary() {
        assert_eq!(encode(&close(1000, "bye")), b"\x88\x05\x03\xe8bye");
        assert_eq!(close(1008, &"é".repeat(100)).len(), 2 + 122);
    }
}
