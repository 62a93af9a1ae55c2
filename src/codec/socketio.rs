//! Socket.IO, protocol revision 5: packets in Engine.IO messages, with strict parsing.
//!
//! The payload of a packet stays JSON text: it is checked, but not parsed into values. Its arguments are a slice of the
//! message, or of its [resolved](hubbub_actors::events::text::resolve_str) text. An array that cannot be read is not malformed: the client gets an
//! reply, and its connection stays open. Binary attachments follow their packet. [`PacketAssembler`] collects them and
//! [`embed`] writes them into the text, the form that the rest of the hub uses. Authorization happens elsewhere.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use bytestring::ByteString;
use hubbub_actors::events::json;
use hubbub_actors::model::fault::Fault;

mod arguments;
mod assembler;
mod binary;
mod encode;

pub use self::arguments::{ARGUMENTS_MAX, EventArguments, event_name};
pub use self::assembler::{PacketAssembler, Whole};
pub use self::binary::{embed, extract};
pub use self::encode::{ack, ack_parts, connect, connect_error, disconnect, emit, emit_parts};
pub use super::engineio::Malformed;

/// Longest name of a namespace, bytes.
pub const NAMESPACE_MAX: usize = 200;

/// Most binary attachments of one packet, in either direction: the limit of an unmodified client. A client closes its
/// connection on a packet with more, so no packet from other clients' data may have more.
pub const ATTACHMENTS_MAX: usize = 10;

pub(super) const ILLEGAL_PAYLOAD: Malformed = Malformed("an illegal payload");
const ILLEGAL_ATTACHMENTS: Malformed = Malformed("illegal attachments");

/// A packet from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// Requests to join a namespace.
    Connect {
        /// The namespace.
        namespace: Namespace,
        /// The client's `auth`, if any. Its first and last characters are those of an object or an empty array. It may
        /// still be invalid JSON.
        data: Option<Bytes>,
    },
    /// Leaves a namespace.
    Disconnect {
        /// The namespace.
        namespace: Namespace,
    },
    /// An event.
    Event {
        /// The namespace.
        namespace: Namespace,
        /// Its name and its arguments.
        event: EventArguments,
        /// The id of the acknowledgement that the client requests.
        ack: Option<u64>,
        /// Number of binary attachments that follow.
        attachments: usize,
    },
    /// An acknowledgement of a server's event.
    Ack {
        /// The namespace.
        namespace: Namespace,
        /// The id that the server gave it.
        id: u64,
        /// JSON text of an array.
        args: Bytes,
        /// Number of binary attachments that follow.
        attachments: usize,
    },
    /// An event or acknowledgement that cannot be read.
    Unreadable {
        /// The namespace.
        namespace: Namespace,
        /// The event's name, if it could be read.
        event: Option<Box<str>>,
        /// The error.
        fault: Box<Fault>,
        /// The id of the acknowledgement that the client requests.
        ack: Option<u64>,
        /// Number of binary attachments that follow.
        attachments: usize,
    },
}

impl Packet {
    /// Number of binary attachments that follow.
    pub fn attachments(&self) -> usize {
        match self {
            Self::Connect { .. } | Self::Disconnect { .. } => 0,
            Self::Event { attachments, .. } | Self::Ack { attachments, .. } | Self::Unreadable { attachments, .. } => {
                *attachments
            }
        }
    }
}

/// The name of a namespace: starts with `/`, at most [`NAMESPACE_MAX`] bytes, no control characters.
///
/// It may be a slice of its message. Store a [detached](Namespace::detached) copy.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Namespace(ByteString);

impl Namespace {
    /// The default namespace, which packets do not name.
    pub const MAIN: Self = Self(ByteString::from_static("/"));

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same name, without a slice of its message.
    pub fn detached(&self) -> Self {
        Self(ByteString::from(self.as_str()))
    }
}

impl Deref for Namespace {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// Parses a packet from the text of an Engine.IO message. The arguments are a slice of it unless escapes were resolved.
///
/// # Errors
/// A packet that a client must not send. The protocol has no reply for it, so the connection is closed. An array that
/// cannot be read is [`Packet::Unreadable`] instead.
pub fn decode(text: Bytes) -> Result<Packet, Malformed> {
    let text = ByteString::try_from(text).map_err(|_| Malformed("not UTF-8"))?;
    let mut rest = &text[..];
    if rest.is_empty() {
        return Err(Malformed("an empty packet"));
    }
    let kind = take(&mut rest, 1).unwrap_or_default();
    let attachments = match kind {
        "5" | "6" => attachments(&mut rest)?,
        _ => 0,
    };
    let namespace = namespace(&text, &mut rest)?;
    let id = number(&mut rest).map_err(|()| Malformed("an illegal acknowledgement id"))?;
    let payload = || text.slice_ref(rest);
    match (kind, id) {
        ("0", None) if rest.is_empty() => Ok(Packet::Connect { namespace, data: None }),
        ("0", None) if encloses(rest, '{', '}') || json::object(rest.as_bytes()) == b"{}" => {
            Ok(Packet::Connect { namespace, data: Some(payload().into_bytes()) })
        }
        ("1", None) if rest.is_empty() => Ok(Packet::Disconnect { namespace }),
        ("2" | "5", ack) if rest.starts_with('[') => match arguments::of_event(payload())? {
            Ok(event) => Ok(Packet::Event { namespace, event, ack, attachments }),
            Err(fault) => Ok(Packet::Unreadable { namespace, event: event_name(&payload()), fault, ack, attachments }),
        },
        ("3" | "6", Some(id)) if rest.starts_with('[') => match arguments::array(rest) {
            Ok(_) => Ok(Packet::Ack { namespace, id, args: payload().into_bytes(), attachments }),
            Err(fault) => {
                Ok(Packet::Unreadable { namespace, event: None, fault: fault.into(), ack: None, attachments })
            }
        },
        ("3" | "6", None) => Err(Malformed("an acknowledgement without an id")),
        ("0" | "1" | "2" | "5" | "3" | "6", _) => Err(ILLEGAL_PAYLOAD),
        ("4", _) => Err(Malformed("a packet type of the server's")),
        _ => Err(Malformed("an unknown packet type")),
    }
}

/// Takes the first `length` bytes. `None` if there are fewer, or no character ends there.
fn take<'a>(rest: &mut &'a str, length: usize) -> Option<&'a str> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

/// Takes the digits at the front, if any. Leading zeros are invalid.
fn number(rest: &mut &str) -> Result<Option<u64>, ()> {
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    match take(rest, length).unwrap_or_default() {
        "" => Ok(None),
        digits if digits.len() > 1 && digits.starts_with('0') => Err(()),
        digits => digits.parse().map(Some).map_err(|_| ()),
    }
}

/// Takes the number of attachments and the dash after it.
fn attachments(rest: &mut &str) -> Result<usize, Malformed> {
    let count = number(rest).ok().flatten().and_then(|count| usize::try_from(count).ok()).ok_or(ILLEGAL_ATTACHMENTS)?;
    if take(rest, 1) != Some("-") {
        return Err(ILLEGAL_ATTACHMENTS);
    }
    if count > ATTACHMENTS_MAX {
        return Err(Malformed("too many attachments"));
    }
    Ok(count)
}

/// Takes the namespace, if one is named, and the comma after it. A question mark ends the name.
fn namespace(text: &ByteString, rest: &mut &str) -> Result<Namespace, Malformed> {
    if !rest.starts_with('/') {
        return Ok(Namespace::MAIN);
    }
    let (name, after) = rest.split_once(',').unwrap_or((rest, ""));
    *rest = after;
    let name = name.split_once('?').map_or(name, |(name, _)| name);
    if name.len() > NAMESPACE_MAX || name.chars().any(char::is_control) {
        return Err(Malformed("an illegal namespace"));
    }
    Ok(if name == "/" { Namespace::MAIN } else { Namespace(text.slice_ref(name)) })
}

/// Whether `text` begins with `first` and ends with `last`.
fn encloses(text: &str, first: char, last: char) -> bool {
    text.starts_with(first) && text.ends_with(last)
}

#[cfg(test)]
mod tests;
