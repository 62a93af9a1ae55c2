//! Socket.IO, revision 5 of the protocol: packets in Engine.IO messages, read strictly.
//!
//! What a packet carries stays JSON text, checked but never made into values: a packet's arguments are a slice of the
//! message, or of its [resolved](resolve) text. A payload that is an array but cannot be read is not malformed: the client
//! gets an answer, and its connection stays open. Binary attachments come behind their packet; [`Assembler`] waits for
//! them, and [`embed`] writes them into the text, because that is what the rest of the hub speaks. Knows nothing of
//! sessions: who may do what is not asked here.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use bytestring::ByteString;
use hubbub_actors::events::json;
use hubbub_actors::events::text::resolve;
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::ids::EVENT_NAMES_RESERVED;
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

mod assembler;
mod binary;
mod encode;

pub use self::assembler::{PacketAssembler, Whole};
pub use self::binary::{embed, extract};
pub use self::encode::{ack, ack_parts, connect, connect_error, disconnect, emit, emit_parts};
pub use super::engineio::Malformed;

/// Longest name of a namespace, bytes.
pub const NAMESPACE_MAX: usize = 200;

/// Binary attachments of one packet, in either direction: as many as an unmodified client takes. A packet with more makes
/// a client close its connection, so that none may be made of what somebody else sent.
pub const ATTACHMENTS_MAX: usize = 10;

/// Arguments of one event, its name among them.
pub const ARGUMENTS_MAX: usize = 1024;

const ILLEGAL_PAYLOAD: Malformed = Malformed("an illegal payload");
const ILLEGAL_ATTACHMENTS: Malformed = Malformed("illegal attachments");

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// Asks to be let into a namespace.
    Connect {
        /// Which.
        namespace: Namespace,
        /// The client's `auth`, if it sent any: an object's or an empty array's text by its first and last character, and
        /// whether it is JSON is not checked yet.
        data: Option<Bytes>,
    },
    /// Leaves a namespace.
    Disconnect {
        /// Which.
        namespace: Namespace,
    },
    /// An event.
    Event {
        /// Where.
        namespace: Namespace,
        /// JSON text of an array: the event's name and its arguments. See [`event`].
        args: Bytes,
        /// What the client calls the answer that it waits for.
        ack: Option<u64>,
        /// How many binary attachments follow.
        attachments: usize,
    },
    /// The answer to an event of the server's.
    Ack {
        /// Where.
        namespace: Namespace,
        /// What the server called it.
        id: u64,
        /// JSON text of an array.
        args: Bytes,
        /// How many binary attachments follow.
        attachments: usize,
    },
    /// An event or the answer to one that cannot be read.
    Unreadable {
        /// Where.
        namespace: Namespace,
        /// The event's name, where that could be read.
        event: Option<Box<str>>,
        /// What is wrong with it.
        fault: Box<Fault>,
        /// What the client calls the answer that it waits for.
        ack: Option<u64>,
        /// How many binary attachments follow.
        attachments: usize,
    },
}

impl Packet {
    /// How many binary attachments follow.
    pub fn attachments(&self) -> usize {
        match self {
            Self::Connect { .. } | Self::Disconnect { .. } => 0,
            Self::Event { attachments, .. } | Self::Ack { attachments, .. } | Self::Unreadable { attachments, .. } => {
                *attachments
            }
        }
    }

    /// The same packet, no slice of the message it came in.
    fn detached(mut self) -> Self {
        let (Self::Connect { namespace, .. }
        | Self::Disconnect { namespace }
        | Self::Event { namespace, .. }
        | Self::Ack { namespace, .. }
        | Self::Unreadable { namespace, .. }) = &mut self;
        *namespace = namespace.detached();
        if let Self::Connect { data: Some(text), .. } | Self::Event { args: text, .. } | Self::Ack { args: text, .. } =
            &mut self
        {
            *text = Bytes::copy_from_slice(text);
        }
        self
    }
}

/// The name of a namespace: starts with `/`, at most [`NAMESPACE_MAX`] bytes, no control characters.
///
/// It may be a slice of the message it came in; who keeps it for longer keeps a copy.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Namespace(ByteString);

impl Namespace {
    /// The namespace that need not be named.
    pub const MAIN: Self = Self(ByteString::from_static("/"));

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same name, no slice of the message it came in.
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

/// Reads a packet from the text of an Engine.IO message. The arguments are a slice of it unless escapes were resolved.
///
/// # Errors
/// When it is no packet that a client may send. The protocol has no answer to that but the end of the connection. An
/// array that cannot be read is [`Packet::Unreadable`] and no error.
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
    let payload = || text.as_bytes().slice_ref(rest.as_bytes());
    match (kind, id) {
        ("0", None) if rest.is_empty() => Ok(Packet::Connect { namespace, data: None }),
        ("0", None) if encloses(rest, '{', '}') || json::object(rest.as_bytes()) == b"{}" => {
            Ok(Packet::Connect { namespace, data: Some(payload()) })
        }
        ("1", None) if rest.is_empty() => Ok(Packet::Disconnect { namespace }),
        ("2" | "5", ack) if rest.starts_with('[') => match arguments(payload())? {
            Ok(args) => Ok(Packet::Event { namespace, args, ack, attachments }),
            Err(fault) => {
                Ok(Packet::Unreadable { namespace, event: event_name(rest.as_bytes()), fault, ack, attachments })
            }
        },
        ("3" | "6", Some(id)) if rest.starts_with('[') => match array(rest.as_bytes()) {
            Ok(_) => Ok(Packet::Ack { namespace, id, args: payload(), attachments }),
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

/// The name of an event and the JSON text of each further argument: slices of `args`, which are an event's. A number is a
/// name by its text, as the reference server has it.
///
/// # Errors
/// When they are not.
pub fn event(args: &Bytes) -> Result<(Box<str>, Vec<Bytes>), Malformed> {
    let items: Vec<&RawValue> = serde_json::from_slice(args).map_err(|_| ILLEGAL_PAYLOAD)?;
    let (name, items) = items.split_first().ok_or(ILLEGAL_PAYLOAD)?;
    let name = name_of(name.get()).map_err(|_| ILLEGAL_PAYLOAD)?;
    Ok((name.into(), items.iter().map(|item| args.slice_ref(item.get().as_bytes())).collect()))
}

/// The name of an event, the first of its arguments, as far as it can be read.
pub fn event_name(args: &[u8]) -> Option<Box<str>> {
    let first = args.trim_ascii_start().strip_prefix(b"[")?;
    // What follows the name is not looked at.
    let name = <&RawValue>::deserialize(&mut serde_json::Deserializer::from_slice(first)).ok()?;
    name_of(name.get()).ok().map(Into::into)
}

/// Takes the first `length` bytes, if there are so many and a character ends there.
fn take<'a>(rest: &mut &'a str, length: usize) -> Option<&'a str> {
    let (taken, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(taken)
}

/// Takes the digits at the front, if there are any. Each number has one spelling.
fn number(rest: &mut &str) -> Result<Option<u64>, ()> {
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    match take(rest, length).unwrap_or_default() {
        "" => Ok(None),
        digits if digits.len() > 1 && digits.starts_with('0') => Err(()),
        digits => digits.parse().map(Some).map_err(|_| ()),
    }
}

/// Takes the number of attachments and the dash behind it.
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

/// Takes the namespace, if one is named, and the comma behind it. What follows a question mark is no part of the name.
fn namespace(text: &ByteString, rest: &mut &str) -> Result<Namespace, Malformed> {
    if !rest.starts_with('/') {
        return Ok(Namespace::MAIN);
    }
    let (name, behind) = rest.split_once(',').unwrap_or((rest, ""));
    *rest = behind;
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

/// The arguments of an event, its name the first of them, with their escapes resolved; or what is wrong with them.
///
/// # Errors
/// When the event has a name that no client of the libraries sends.
fn arguments(payload: Bytes) -> Result<Result<Bytes, Box<Fault>>, Malformed> {
    let args = resolve(payload);
    let named = array(&args).and_then(|Array { first, count }| {
        if count > ARGUMENTS_MAX {
            let words = format!("`data`: an event has at most {ARGUMENTS_MAX} arguments, its name among them");
            return Err(Fault::field("data", words));
        }
        let first = first.ok_or_else(|| Fault::field("event", "`event` is missing"))?;
        name_of(first.get())
    });
    match named {
        Ok(name) if EVENT_NAMES_RESERVED.contains(&&*name) => Err(ILLEGAL_PAYLOAD),
        Ok(_) => Ok(Ok(args)),
        Err(fault) => Ok(Err(Box::new(fault))),
    }
}

/// Reads the text of an array.
fn array(text: &[u8]) -> Result<Array<'_>, Fault> {
    serde_json::from_slice(text).map_err(|error| {
        let words = format!("`data`: the arguments of the event are not JSON: {error}");
        Fault::field("data", words)
    })
}

/// The name of an event that is written as `json`: a string, or a number by its text.
fn name_of(json: &str) -> Result<Cow<'_, str>, Fault> {
    match serde_json::from_str(json) {
        Ok(BorrowedText(name)) => Ok(name),
        Err(_) if json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => Ok(json.into()),
        Err(_) => Err(Fault::field("event", "`event`: expected a string")),
    }
}

/// Borrowed unless it holds escapes, which a plain `Cow` would copy always.
#[derive(serde::Deserialize)]
struct BorrowedText<'a>(#[serde(borrow)] Cow<'a, str>);

/// The first item of an array, if it has any, and how many there are.
struct Array<'a> {
    first: Option<&'a RawValue>,
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Array<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Array<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Array<'de>, A::Error> {
                let first: Option<&RawValue> = items.next_element()?;
                let mut count = usize::from(first.is_some());
                while items.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Array { first, count })
            }
        }
        deserializer.deserialize_seq(Items)
    }
}

#[cfg(test)]
mod tests;
