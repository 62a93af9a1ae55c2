//! The header of a WebSocket frame: final and unmasked (RFC 6455 section 5.2). The store has messages in this form, too,
//! because a frame has its own length.

use std::ops::Deref;

use super::MessageKind;

/// The longest header of an unmasked frame, bytes.
pub const FRAME_HEADER_MAX: usize = 10;

/// The header of a frame.
#[derive(Debug, Clone, Copy)]
pub struct FrameHeader {
    bytes: [u8; FRAME_HEADER_MAX],
    length: usize,
}

impl FrameHeader {
    /// The header of a message of `length` bytes.
    pub fn new(kind: MessageKind, length: usize) -> Self {
        let opcode = match kind {
            MessageKind::Text => 0x1,
            MessageKind::Binary => 0x2,
            MessageKind::Close => 0x8,
            MessageKind::Ping => 0x9,
            MessageKind::Pong => 0xA,
        };
        let mut header = Self { bytes: [0; FRAME_HEADER_MAX], length: 2 };
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
                header.length = FRAME_HEADER_MAX;
            }
        }
        header
    }
}

impl Deref for FrameHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
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
            assert_eq!(&*FrameHeader::new(MessageKind::Binary, length), header);
        }
    }
}
