//! WebSocket frames of the hub: final, unmasked, encoded once (RFC 6455 section 5.2).

use bytes::{BufMut, Bytes, BytesMut};

/// The opcodes that the hub sends (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// UTF-8 text.
    Text = 0x1,
    /// Binary data.
    Binary = 0x2,
    /// The closing handshake.
    Close = 0x8,
    /// A ping.
    Ping = 0x9,
    /// A pong.
    Pong = 0xA,
}

/// A ping without a payload.
pub const PING: &[u8] = b"\x89\0";

/// The longest header of an unmasked frame, bytes.
const HEADER_MAX: usize = 10;

/// A final frame with the concatenation of `parts` as payload.
pub fn encode(opcode: Opcode, parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = BytesMut::with_capacity(HEADER_MAX + length);
    append(&mut frame, opcode, parts.iter().copied());
    frame.freeze()
}

/// Appends a final frame with the payload `parts` to `frames`.
pub fn append<'a>(frames: &mut BytesMut, opcode: Opcode, parts: impl Iterator<Item = &'a [u8]> + Clone) {
    let length: usize = parts.clone().map(<[u8]>::len).sum();
    frames.reserve(HEADER_MAX + length);
    frames.put_u8(0x80 | opcode as u8);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => frames.put_u8(short),
        (_, Ok(medium)) => {
            frames.put_u8(126);
            frames.put_u16(medium);
        }
        _ => {
            frames.put_u8(127);
            frames.put_u64(length as u64);
        }
    }
    for part in parts {
        frames.put_slice(part);
    }
}

/// The first frame in `bytes`: its opcode, its payload, and the bytes after it. `None` if it is not a frame from
/// [`encode`].
pub fn split(bytes: &[u8]) -> Option<(Opcode, &[u8], &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let opcode = match first {
        0x81 => Opcode::Text,
        0x82 => Opcode::Binary,
        0x88 => Opcode::Close,
        0x89 => Opcode::Ping,
        0x8A => Opcode::Pong,
        _ => return None,
    };
    let (length, rest) = match second {
        short @ ..126 => (usize::from(short), rest),
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::try_from(u64::from_be_bytes(*length)).ok()?, rest)
        }
        _ => return None,
    };
    let (payload, rest) = rest.split_at_checked(length)?;
    Some((opcode, payload, rest))
}

/// A close frame. `reason` is truncated to the 123 bytes that fit (RFC 6455 section 5.5).
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
    fn consecutive_frames_are_split() {
        let long = vec![7; 0x1_0000];
        let wanted: [(Opcode, &[u8]); 6] = [
            (Opcode::Text, b"a"),
            (Opcode::Binary, &long[..126]),
            (Opcode::Ping, b""),
            (Opcode::Text, &long),
            (Opcode::Pong, b"b"),
            (Opcode::Close, b"\x03\xe8"),
        ];
        let bytes = wanted.map(|(opcode, payload)| encode(opcode, &[payload])).concat();
        let mut rest = &bytes[..];
        for (opcode, payload) in wanted {
            let (found, bytes, after) = split(rest).unwrap();
            assert_eq!((found, bytes), (opcode, payload));
            rest = after;
        }
        assert_eq!(rest, b"");
    }

    #[test]
    fn frames_that_the_hub_does_not_send_are_not_split() {
        for bytes in [
            &b""[..],
            b"\x81",
            b"\x81\x02a",
            b"\x81\x7e\x00",
            b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x01\x01a",
            b"\x80\x01a",
            b"\xc1\x01a",
            b"\x81\x81\0\0\0\0a",
        ] {
            assert_eq!(split(bytes), None, "{bytes:x?}");
        }
    }

    #[test]
    fn a_reason_is_truncated_at_a_character_boundary() {
        assert_eq!(&close(1000, "bye")[..], b"\x88\x05\x03\xe8bye");
        let frame = close(1008, &"é".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
    }
}
