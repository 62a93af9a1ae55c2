//! Assembles whole packets: a packet and the binary attachments that follow it in separate messages.

use bytes::Bytes;

use super::{Malformed, Packet, decode};

/// A packet with its attachments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// The packet.
    pub packet: Packet,
    /// Its attachments, as many as it declares.
    pub attachments: Vec<Bytes>,
}

impl Whole {
    /// The bytes of its text and of its attachments.
    pub fn bytes(&self) -> usize {
        let text = match &self.packet {
            Packet::Event { event, .. } => event.text.len(),
            Packet::Ack { args, .. } => args.len(),
            Packet::Connect { .. } | Packet::Disconnect { .. } | Packet::Unreadable { .. } => 0,
        };
        text + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

/// Assembles a connection's packets. Holds at most one incomplete packet.
#[derive(Debug)]
pub struct PacketAssembler {
    max_size: usize,
    partial: Option<Box<PartialPacket>>,
}

/// A packet with missing attachments.
#[derive(Debug)]
struct PartialPacket {
    /// Its text. It is decoded again with the last attachment, so that only one copy of it waits.
    text: Bytes,
    /// Number of its attachments.
    awaited: usize,
    attachments: Vec<Bytes>,
    /// Bytes of the text and the received attachments.
    size: usize,
}

impl PacketAssembler {
    /// An assembler for packets of at most `max_size` bytes, text and attachments together.
    pub fn new(max_size: usize) -> Self {
        Self { max_size, partial: None }
    }

    /// Whether a packet misses attachments.
    pub fn is_waiting(&self) -> bool {
        self.partial.is_some()
    }

    /// Processes a text message: a packet. `None`: attachments follow.
    ///
    /// # Errors
    /// The packet is malformed, or attachments of the previous one are missing.
    pub fn text(&mut self, text: Bytes) -> Result<Option<Whole>, Malformed> {
        if self.partial.take().is_some() {
            return Err(Malformed("text where an attachment is awaited"));
        }
        let size = text.len();
        if size > self.max_size {
            return Err(Malformed("a packet too big"));
        }
        let packet = decode(text.clone())?;
        let awaited = packet.attachments();
        if awaited == 0 {
            return Ok(Some(Whole { packet, attachments: Vec::new() }));
        }
        // A copy, because a slice would keep its read buffer until the attachments arrive.
        let text = Bytes::copy_from_slice(&text);
        self.partial = Some(Box::new(PartialPacket { text, awaited, attachments: Vec::with_capacity(awaited), size }));
        Ok(None)
    }

    /// Processes a binary message: an attachment. Returns the packet after its last attachment.
    ///
    /// # Errors
    /// No attachment is expected, or the packet becomes too large.
    pub fn binary(&mut self, bytes: Bytes) -> Result<Option<Whole>, Malformed> {
        let Some(mut partial) = self.partial.take() else {
            return Err(Malformed("an attachment where none is awaited"));
        };
        partial.size += bytes.len();
        if partial.size > self.max_size {
            return Err(Malformed("a packet too big"));
        }
        if partial.attachments.len() + 1 == partial.awaited {
            partial.attachments.push(bytes);
            let PartialPacket { text, attachments, .. } = *partial;
            return Ok(Some(Whole { packet: decode(text)?, attachments }));
        }
        // A copy, as of the text.
        partial.attachments.push(Bytes::copy_from_slice(&bytes));
        self.partial = Some(partial);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"52-/a,["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;

    fn text(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_packet_is_complete_with_its_last_attachment() {
        let mut assembler = PacketAssembler::new(1000);
        let alone = Whole { packet: decode(text("2[\"a\"]")).unwrap(), attachments: Vec::new() };
        assert_eq!(assembler.text(text("2[\"a\"]")), Ok(Some(alone.clone())));
        assert_eq!(assembler.text(text(TWO)), Ok(None));
        assert!(assembler.is_waiting());
        assert_eq!(assembler.binary(Bytes::from_static(b"\x01")), Ok(None));
        let attachments = vec![Bytes::from_static(b"\x01"), Bytes::new()];
        let whole = Whole { packet: decode(text(TWO)).unwrap(), attachments };
        assert_eq!(assembler.binary(Bytes::new()), Ok(Some(whole)));
        assert!(!assembler.is_waiting());
        assert_eq!(assembler.text(text("2[\"a\"]")), Ok(Some(alone)));
        let Ok(Some(none)) = assembler.text(text("50-[\"a\"]")) else { panic!("no attachments to wait for") };
        assert_eq!(none.packet, decode(text("50-[\"a\"]")).unwrap());
    }

    #[test]
    fn messages_out_of_order_are_rejected() {
        let mut assembler = PacketAssembler::new(1000);
        assert_eq!(assembler.binary(Bytes::new()), Err(Malformed("an attachment where none is awaited")));
        assert_eq!(assembler.text(text(TWO)), Ok(None));
        assert_eq!(assembler.text(text(TWO)), Err(Malformed("text where an attachment is awaited")));
        assert!(!assembler.is_waiting());
        assert!(assembler.text(text("7")).is_err());
    }

    #[test]
    fn text_and_attachments_together_are_bounded() {
        let mut assembler = PacketAssembler::new(TWO.len() + 3);
        assert_eq!(assembler.text(text(TWO)), Ok(None));
        assert_eq!(assembler.binary(Bytes::from_static(b"12")), Ok(None));
        assert_eq!(assembler.binary(Bytes::from_static(b"34")), Err(Malformed("a packet too big")));
        assert!(!assembler.is_waiting());
        assert_eq!(assembler.text(text(TWO)), Ok(None));
        assert_eq!(assembler.binary(Bytes::from_static(b"12")), Ok(None));
        assert!(matches!(assembler.binary(Bytes::from_static(b"3")), Ok(Some(_))));
        let mut small = PacketAssembler::new(TWO.len() - 1);
        assert_eq!(small.text(text(TWO)), Err(Malformed("a packet too big")));
    }

    #[test]
    fn an_incomplete_packet_keeps_no_slice_of_the_read_buffer() {
        let mut assembler = PacketAssembler::new(1000);
        let (message, attachment) = (Bytes::from(TWO.to_owned()), Bytes::from(vec![1, 2, 3]));
        assert_eq!(assembler.text(message.clone()), Ok(None));
        assert_eq!(assembler.binary(attachment.clone()), Ok(None));
        assert!(message.is_unique() && attachment.is_unique());
    }
}
