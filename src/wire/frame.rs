//! WebSocket frames as the hub sends them: whole, unmasked, encoded once (RFC 6455 section 5.2).

use bytes::{BufMut, Bytes, BytesMut};

/// The opcodes the hub sends (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// UTF-8 text.
    Text = 0x1,
    /// Bytes.
    Binary = 0x2,
    /// The closing handshake.
    Close = 0x8,
    /// A question for a sign of life.
    Ping = 0x9,
    /// The answer to one.
    Pong = 0xA,
}

/// A ping without a payload.
pub const PING: &[u8] = b"\x89\0";

/// The longest header of an unmasked frame, bytes.
const HEADER_MAX: usize = 10;

/// A final frame around what `parts` hold, one after the other.
pub fn encode(opcode: Opcode, parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = BytesMut::with_capacity(HEADER_MAX + length);
    frame.put_u8(0x80 | opcode as u8);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => frame.put_u8(short),
        (_, Ok(medium)) => {
            frame.put_u8(126);
            frame.put_u16(medium);
        }
        _ => {
            frame.put_u8(127);
            frame.put_u64(length as u64);
        }
    }
    for part in parts {
        frame.put_slice(part);
    }
    frame.freeze()
}

/// A close frame. `reason` is cut to the 123 bytes that fit (RFC 6455 section 5.5).
pub fn close(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    encode(Opcode::Close, &[&code.to_be_bytes(), &reason.as_bytes()[..end]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_takes_one_three_or_nine_bytes() {
        assert_eq!(&encode(Opcode::Text, &[b"a", b"b"])[..], b"\x81\x02ab");
        let cases: [(usize, &[u8]); 5] = [
            (125, b"\x82\x7d"),
            (126, b"\x82\x7e\x00\x7e"),
            (0xffff, b"\x82\x7e\xff\xff"),
            (0x1_0000, b"\x82\x7f\0\0\0\0\0\x01\0\0"),
            (0, b"\x82\0"),
        ];
        for (length, header) in cases {
            let frame = encode(Opcode::Binary, &[&vec![7; length]]);
            assert_eq!(&frame[..header.len()], header);
            assert_eq!(frame.len(), header.len() + length);
        }
    }

    #[test]
    fn a_reason_is_cut_where_a_character_ends() {
        assert_eq!(&close(1000, "bye")[..], b"\x88\x05\x03\xe8bye");
        let frame = close(1008, &"é".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
    }
}
