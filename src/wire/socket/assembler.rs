//! Packets whole: a packet and the binary attachments that come behind it, in messages of their own.

use bytes::Bytes;

use super::{Malformed, Packet, decode};

/// A packet with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// The packet.
    pub packet: Packet,
    /// Its attachments, as many as it says.
    pub attachments: Vec<Bytes>,
}

/// Puts a connection's packets together. Idle, it holds nothing; otherwise one packet that is not finished.
#[derive(Debug)]
pub struct Assembler {
    max_size: usize,
    partial: Option<Box<Partial>>,
}

/// A packet of which attachments are awaited.
#[derive(Debug)]
struct Partial {
    whole: Whole,
    /// Bytes of the packet's text and of the attachments that came.
    size: usize,
}

impl Assembler {
    /// An assembler of packets of at most `max_size` bytes, text and attachments together.
    pub fn new(max_size: usize) -> Self {
        Self { max_size, partial: None }
    }

    /// Whether a packet waits for attachments.
    pub fn is_waiting(&self) -> bool {
        self.partial.is_some()
    }

    /// Takes a message of text: a packet. `None` when attachments are to follow.
    ///
    /// # Errors
    /// When it is no packet, or attachments of the last one are awaited.
    pub fn text(&mut self, text: Bytes) -> Result<Option<Whole>, Malformed> {
        if self.partial.take().is_some() {
            return Err(Malformed("text where an attachment is awaited"));
        }
        let size = text.len();
        if size > self.max_size {
            return Err(Malformed("a packet too big"));
        }
        let packet = decode(text)?;
        if packet.attachments() == 0 {
            return Ok(Some(Whole { packet, attachments: Vec::new() }));
        }
        let attachments = Vec::with_capacity(packet.attachments());
        let whole = Whole { packet: packet.detached(), attachments };
        self.partial = Some(Box::new(Partial { whole, size }));
        Ok(None)
    }

    /// Takes a message of bytes: an attachment. Gives the packet when it was the last one.
    ///
    /// # Errors
    /// When no attachment is awaited, or the whole becomes too big.
    pub fn binary(&mut self, bytes: Bytes) -> Result<Option<Whole>, Malformed> {
        let Some(mut partial) = self.partial.take() else {
            return Err(Malformed("an attachment where none is awaited"));
        };
        partial.size += bytes.len();
        if partial.size > self.max_size {
            return Err(Malformed("a packet too big"));
        }
        let Partial { whole, .. } = &mut *partial;
        if whole.attachments.len() + 1 == whole.packet.attachments() {
            whole.attachments.push(bytes);
            return Ok(Some(partial.whole));
        }
        // A copy: a slice would keep the buffer that it was read into for as long as the next one does not come.
        whole.attachments.push(Bytes::copy_from_slice(&bytes));
        self.partial = Some(partial);
        Ok(None)
    }
}
