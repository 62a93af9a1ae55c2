//! The messages of a Socket.IO namespace: the hub's events as packets, and a client's packets as requests.
//! [`super::engineio`] transports packets, and [`super::socketio`] encodes them.

use bytes::Bytes;
use bytestring::ByteString;
use hubbub_actors::events::chat::Failed;
use hubbub_actors::events::community::{AuthenticationError, Disconnected};
use hubbub_actors::events::push::{ErrorEvent, RefusedAck};
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::events::{RefusalForm, ServerEvent, json};
use hubbub_actors::model::close::Close;
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::surface::Surface;
use hubbub_actors::publication::{Correlation, Encoder, Event, EventError, Format, Offset, Payload};
use hubbub_actors::session::{Inbound, Request};

use super::quoted;
use super::socketio::{self, EventArguments, Malformed, Packet, Whole};

/// The wire format of `/`.
pub static ROOT: NamespaceWire = NamespaceWire { format: Format::Root, surface: Surface::Root, is_numbered: false };

/// The wire format of `/` with connection state recovery: the last argument of each event is its offset, which the
/// client sends back when it reconnects.
pub static ROOT_NUMBERED: NamespaceWire =
    NamespaceWire { format: Format::RootNumbered, surface: Surface::Root, is_numbered: true };

/// The wire format of `/chat`.
pub static CHAT: NamespaceWire = NamespaceWire { format: Format::Chat, surface: Surface::Chat, is_numbered: false };

/// Encodes the events of a namespace as packets.
#[derive(Debug)]
pub struct NamespaceWire {
    format: Format,
    surface: Surface,
    is_numbered: bool,
}

impl NamespaceWire {
    /// The namespace's name.
    pub const fn namespace(&self) -> &'static str {
        self.surface.as_str()
    }

    /// The surface of the namespace's sessions.
    pub const fn surface(&self) -> Surface {
        self.surface
    }

    /// The last event before the hub closes the connection for this reason, if the namespace has one.
    pub fn close_event(&self, close: Close, timestamp: i64) -> Option<Payload> {
        let close_event = || self.emit(Disconnected::NAME, &json::encode(&Disconnected::new(close, timestamp)));
        Disconnected::ON.contains(&self.surface).then(close_event)
    }

    fn emit(&self, name: &str, data: &[u8]) -> Payload {
        self.emit_with(name, data, b"")
    }

    /// An event with additional arguments.
    fn emit_with(&self, name: &str, data: &[u8], further: &[u8]) -> Payload {
        let name = quoted(name);
        let (data, attachments) = socketio::extract(data);
        let parts = [b"[", name.as_bytes(), b",", &data, further, b"]"];
        socketio::emit_parts(self.namespace(), &parts, None, &attachments)
    }

    fn ack(&self, data: Option<&[u8]>, correlation: &Bytes) -> Payload {
        // `request` made it from a number.
        let id = std::str::from_utf8(correlation).ok().and_then(|id| id.parse().ok()).unwrap_or_default();
        let (data, attachments) = socketio::extract(data.unwrap_or_default());
        socketio::ack_parts(self.namespace(), id, &[b"[", &data, b"]"], &attachments)
    }

    /// The event that reports a refusal on `/`.
    fn refusal_event(&self, refusal: &EventError<'_>, not_done: &[u8], timestamp: i64) -> Payload {
        let EventError { fault, refused, style, .. } = refusal;
        let (code, details) = (refused.code(fault, *style), fault.details());
        match refused {
            RefusalForm::Reply => self.emit(refusal.reply, not_done),
            RefusalForm::Authentication => {
                let error = AuthenticationError { error: fault.message.clone(), code, details };
                self.emit(AuthenticationError::NAME, &json::encode(&error))
            }
            RefusalForm::Invalid
            | RefusalForm::Unread
            | RefusalForm::Validation
            | RefusalForm::EventData
            | RefusalForm::MessageData
            | RefusalForm::ActionData => {
                let message = refused.message(fault);
                let error = ErrorEvent {
                    event: refusal.event.map(str::to_owned),
                    message: message.clone(),
                    error: message,
                    code,
                    details,
                    timestamp: Iso(timestamp),
                };
                self.emit(ErrorEvent::NAME, &json::encode(&error))
            }
        }
    }
}

impl Encoder for NamespaceWire {
    fn format(&self) -> Format {
        self.format
    }

    fn surface(&self) -> Surface {
        self.surface
    }

    fn event(&self, event: &Event, Offset { number, notice }: Offset) -> Payload {
        let offset = match notice {
            _ if !self.is_numbered => None,
            Some(notice) => Some(format!(",\"{number:x}.{notice:x}\"")),
            None => (number > 0).then(|| format!(",\"{number:x}\"")),
        };
        match offset {
            Some(offset) => self.emit_with(event.name.as_str(), &event.data, offset.as_bytes()),
            None => self.emit(event.name.as_str(), &event.data),
        }
    }

    fn is_numbered(&self) -> bool {
        self.is_numbered
    }

    fn answer(&self, name: &str, data: &[u8], _: &Correlation, _: i64) -> Payload {
        self.emit(name, data)
    }

    fn acknowledgement(&self, data: Option<&[u8]>, correlation: &Bytes, _: i64) -> Payload {
        self.ack(data, correlation)
    }

    fn refusal(&self, refusal: &EventError<'_>, timestamp: i64) -> Option<Payload> {
        let acked = |data: &[u8]| refusal.correlation.as_ref().map(|id| self.ack(Some(data), id));
        if self.surface == Surface::Chat {
            // An event reports what no client requested, such as an expired token, and events that could not be read.
            let has_event = refusal.event.is_none() || refusal.refused == RefusalForm::Unread;
            let is_unsolicited = has_event && refusal.correlation.is_none();
            let sent = is_unsolicited.then(|| self.refusal_event(refusal, b"", timestamp));
            return sent.or_else(|| acked(&json::encode(&Failed::new(refusal.fault))));
        }
        let not_done = json::encode(&RefusedAck::new(refusal.fault, refusal.refused, refusal.style, refusal.room));
        Payload::concat(
            [Some(self.refusal_event(refusal, &not_done, timestamp)), acked(&not_done)].into_iter().flatten(),
        )
    }
}

/// An offset that the hub never gives out.
pub const NO_OFFSET: Offset = Offset::of(u64::MAX);

/// Reads an offset that a client sent back: the number of a publication in hexadecimal digits; for an unread
/// notification, a dot and its number follow. [`NO_OFFSET`] for another text.
pub fn offset(text: &str) -> Offset {
    let (number, notice) = text.split_once('.').map_or((text, None), |(number, notice)| (number, Some(notice)));
    let notice = notice.map(|notice| hexadecimal(notice).and_then(|notice| i64::try_from(notice).ok()));
    match (hexadecimal(number), notice) {
        (Some(number), None) => Offset::of(number),
        (Some(number), Some(Some(notice))) => Offset { number, notice: Some(notice) },
        (None, _) | (_, Some(None)) => NO_OFFSET,
    }
}

fn hexadecimal(digits: &str) -> Option<u64> {
    // Digits only, because `from_str_radix` accepts a sign.
    let is_number = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| is_number)
}

/// Reads an event as a request. Its data is the first argument, or `{}`; further arguments are ignored. A malformed
/// event is part of the result, because the connection stays open.
pub fn request(whole: Whole) -> Inbound {
    let named = |ack: Option<u64>| ack.map(|id| Bytes::from(id.to_string()));
    let (event, correlation) = match whole.packet {
        Packet::Event { event, ack, .. } => (event, named(ack)),
        Packet::Unreadable { event, fault, ack, .. } => {
            return Inbound::Malformed { event, fault: *fault, correlation: named(ack) };
        }
        Packet::Connect { .. } | Packet::Disconnect { .. } | Packet::Ack { .. } => {
            let fault = Fault::field("event", "The packet is not an event");
            return Inbound::Malformed { event: None, fault, correlation: None };
        }
    };
    // A shallow copy for the error path.
    let name = event.name.clone();
    match embed(event, &whole.attachments) {
        Ok(EventArguments { name: event, data, .. }) => {
            let data = data.filter(|data| &**data != "null").unwrap_or(ByteString::from_static("{}"));
            Inbound::Request(Request { event, data, correlation })
        }
        Err(Malformed(why)) => {
            let fault = Fault::field("data", format!("The event cannot be read: {why}"));
            Inbound::Malformed { event: Some((*name).into()), fault, correlation }
        }
    }
}

/// The arguments with the attachments in them.
fn embed(event: EventArguments, attachments: &[Bytes]) -> Result<EventArguments, Malformed> {
    if attachments.is_empty() {
        return Ok(event);
    }
    let text = socketio::embed(event.text.into_bytes(), attachments)?;
    let text = ByteString::try_from(text).map_err(|_| socketio::ILLEGAL_PAYLOAD)?;
    EventArguments::read(text).map_err(|_| socketio::ILLEGAL_PAYLOAD)
}

#[cfg(test)]
mod tests;
