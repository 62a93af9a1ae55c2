//! WebSocket frames of the hub.

use hubbub_actors::publication::{FRAME_HEADER_MAX, FrameHeader, MessageKind, Payload};

/// The messages of `payload` in frames.
pub fn encode(payload: &Payload) -> Vec<u8> {
    let mut frames = Vec::with_capacity(payload.len() + FRAME_HEADER_MAX * payload.message_count());
    for (kind, message) in payload.messages() {
        frames.extend_from_slice(&FrameHeader::new(kind, message.len()));
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
