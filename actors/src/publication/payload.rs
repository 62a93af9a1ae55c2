//! Messages for one client: encoded, but not framed. A WebSocket adds a header to each; long polling joins them.

use std::sync::Arc;

use bytes::Bytes;

/// How a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// UTF-8 text.
    Text,
    /// Binary data.
    Binary,
    /// A ping of a WebSocket. Long polling does not send this kind and the next two.
    Ping,
    /// A pong of a WebSocket.
    Pong,
    /// The close of a WebSocket.
    Close,
}

/// One or more messages that an outbox takes as a whole, in their order. Their bytes are in one buffer, which clones share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    bytes: Bytes,
    parts: Parts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Parts {
    One(MessageKind),
    Several(Arc<[Part]>),
}

/// A message in the buffer of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    kind: MessageKind,
    length: usize,
}

impl Payload {
    /// One message.
    pub fn message(kind: MessageKind, bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), parts: Parts::One(kind) }
    }

    /// One text message, the concatenation of `parts`.
    pub fn text<'a>(parts: impl IntoIterator<Item = &'a [u8], IntoIter: Clone>) -> Self {
        Self::message(MessageKind::Text, joined(parts.into_iter()))
    }

    /// A text message, the concatenation of `text`, and its attachments as binary messages.
    pub fn packet<'a>(text: impl IntoIterator<Item = &'a [u8], IntoIter: Clone>, attachments: &'a [Bytes]) -> Self {
        let text = text.into_iter();
        if attachments.is_empty() {
            return Self::text(text);
        }
        let first = Part { kind: MessageKind::Text, length: text.clone().map(<[u8]>::len).sum() };
        let binary = attachments.iter().map(|bytes| Part { kind: MessageKind::Binary, length: bytes.len() });
        let parts = std::iter::once(first).chain(binary).collect();
        let bytes = joined(text.chain(attachments.iter().map(|bytes| &bytes[..])));
        Self { bytes: bytes.into(), parts: Parts::Several(parts) }
    }

    /// The messages of all `payloads`, in order; `None` without a payload.
    pub fn concat(payloads: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut payloads = payloads.into_iter();
        let first = payloads.next()?;
        let Some(second) = payloads.next() else { return Some(first) };
        let all: Vec<_> = [first, second].into_iter().chain(payloads).collect();
        let parts = all.iter().flat_map(Self::messages).map(|(kind, bytes)| Part { kind, length: bytes.len() });
        let bytes = joined(all.iter().map(|payload| &payload.bytes[..]));
        Some(Self { bytes: bytes.into(), parts: Parts::Several(parts.collect()) })
    }

    /// The messages, in order.
    pub fn messages(&self) -> Messages<'_> {
        match &self.parts {
            Parts::One(kind) => Messages { rest: &self.bytes, one: Some(*kind), several: &[] },
            Parts::Several(parts) => Messages { rest: &self.bytes, one: None, several: parts },
        }
    }

    /// The number of messages.
    pub fn message_count(&self) -> usize {
        match &self.parts {
            Parts::One(_) => 1,
            Parts::Several(parts) => parts.len(),
        }
    }

    /// The bytes of all messages.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The size of all messages, in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether all messages are empty.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// The messages of a [`Payload`].
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    rest: &'a [u8],
    /// The kind of the only message.
    one: Option<MessageKind>,
    several: &'a [Part],
}

impl<'a> Iterator for Messages<'a> {
    type Item = (MessageKind, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(kind) = self.one.take() {
            return Some((kind, self.rest));
        }
        let (&Part { kind, length }, several) = self.several.split_first()?;
        self.several = several;
        let message;
        (message, self.rest) = self.rest.split_at(length);
        Some((kind, message))
    }
}

/// A concatenation in a buffer of its own size.
fn joined<'a>(parts: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.clone().map(<[u8]>::len).sum());
    parts.for_each(|part| bytes.extend_from_slice(part));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(payload: &Payload) -> Vec<(MessageKind, &[u8])> {
        let messages: Vec<_> = payload.messages().collect();
        assert_eq!(messages.len(), payload.message_count());
        assert_eq!(messages.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(), payload.len());
        messages
    }

    #[test]
    fn a_text_is_one_message() {
        assert_eq!(messages(&Payload::text([&b"a"[..], b"", b"bc"])), [(MessageKind::Text, &b"abc"[..])]);
        assert_eq!(messages(&Payload::message(MessageKind::Ping, "")), [(MessageKind::Ping, &b""[..])]);
    }

    #[test]
    fn attachments_follow_their_packet() {
        let payload = Payload::packet([&b"4"[..], b"x"], &[Bytes::from("ab"), Bytes::new()]);
        let wanted = [(MessageKind::Text, &b"4x"[..]), (MessageKind::Binary, b"ab"), (MessageKind::Binary, b"")];
        assert_eq!(messages(&payload), wanted);
    }

    #[test]
    fn payloads_are_joined_in_order() {
        assert_eq!(Payload::concat([]), None);
        let (one, two) = (Payload::text([&b"1"[..]]), Payload::packet([&b"2"[..]], &[Bytes::from("b")]));
        assert_eq!(Payload::concat([one.clone()]), Some(one.clone()));
        let all = Payload::concat([one.clone(), two, one]).unwrap();
        let wanted = [
            (MessageKind::Text, &b"1"[..]),
            (MessageKind::Text, b"2"),
            (MessageKind::Binary, b"b"),
            (MessageKind::Text, b"1"),
        ];
        assert_eq!(messages(&all), wanted);
    }
}
