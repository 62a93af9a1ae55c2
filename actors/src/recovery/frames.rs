//! Payloads in the store: each message is an unmasked WebSocket frame, which has its own length (RFC 6455 section 5.2).

use bytes::Bytes;

use crate::publication::{FRAME_HEADER_MAX, FrameHeader, MessageKind, Payload};

/// The first byte of a final frame of text, and of binary data.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// The payload as frames. Publications have no control messages.
pub(super) fn encode(payload: &Payload) -> Bytes {
    let mut frames = Vec::with_capacity(payload.len() + FRAME_HEADER_MAX * payload.message_count());
    for (kind, message) in payload.messages() {
        frames.extend_from_slice(&FrameHeader::new(kind, message.len()));
        frames.extend_from_slice(message);
    }
    frames.into()
}

/// Reads a payload of at least one message; `None` if the bytes are not from [`encode`].
pub(super) fn decode(mut frames: Bytes) -> Option<Payload> {
    let mut messages = Vec::new();
    while !frames.is_empty() {
        let (kind, length, header) = header(&frames)?;
        if length > frames.len() - header {
            return None;
        }
        let _header = frames.split_to(header);
        messages.push(Payload::message(kind, frames.split_to(length)));
    }
    Payload::concat(messages)
}

/// The kind and the length of the first message, and the length of its header.
fn header(frames: &[u8]) -> Option<(MessageKind, usize, usize)> {
    let (&[first, second], rest) = frames.split_first_chunk()?;
    let kind = match first {
        TEXT => MessageKind::Text,
        BINARY => MessageKind::Binary,
        _ => return None,
    };
    let (length, header) = match second {
        short @ ..126 => (usize::from(short), 2),
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?, 10),
        _ => return None,
    };
    Some((kind, length, header))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_as_it_was_written() {
        for size in [0, 125, 126, 0xFFFF, 0x1_0000] {
            let text = vec![b'x'; size];
            let packet = Payload::packet([&text[..]], &[Bytes::from(vec![7; size]), Bytes::new()]);
            for payload in [Payload::text([&text[..]]), packet] {
                assert_eq!(decode(encode(&payload)), Some(payload), "{size} bytes");
            }
        }
        assert_eq!(encode(&Payload::text([&b"42"[..]])), &b"\x81\x0242"[..]);
    }

    #[test]
    fn damaged_bytes_are_not_a_payload() {
        for bytes in [
            &b""[..],
            b"\x81",
            b"\x81\x02a",
            b"\x81\x7e\x00",
            b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x01\x01a",
            b"\x89\x00",
            b"\xc1\x01a",
            b"\x81\x81\0\0\0\0a",
        ] {
            assert_eq!(decode(Bytes::from_static(bytes)), None, "{bytes:x?}");
        }
    }
}
