//! A message on its way out: serialised once, framed at most once per wire, shared by all who get it.

use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;

use crate::events::wording::Audience;
use crate::events::{Refused, Surface};
use crate::model::fault::Fault;
use crate::model::ids::{EventName, NotificationId, RoomName};

/// An event that goes to members, as published and numbered.
#[derive(Debug, Clone)]
pub struct Event {
    /// The event's name on the wire.
    pub name: EventName,
    /// The room it was published to; `None` for what goes to a user or to everybody.
    pub topic: Option<RoomName>,
    /// Its data, JSON text.
    pub data: Bytes,
    /// When it was accepted, ms since the epoch.
    pub timestamp: i64,
    /// Its number in the room's history, where the room keeps one.
    pub offset: Option<u64>,
}

/// What a client named its request by; it comes back as it came. Raw: the JSON text of `id`. Socket.IO: the ack's number.
pub type Correlation = Option<Bytes>;

/// How many wires there can be: each has a slot in a delivery's frames.
pub const WIRES: usize = 5;

/// A wire format: turns what the hub says into the bytes that one kind of client reads.
pub trait Encoder: Send + Sync + fmt::Debug {
    /// Which slot of a delivery's frames is this wire's, below [`WIRES`].
    fn slot(&self) -> usize;

    /// The surface whose sessions read it; `None` for a wire that carries those of others.
    fn surface(&self) -> Option<Surface>;

    /// The bytes of an event for members; `number` is its [place](Publication::number) among all that were published, 0 where
    /// it has none.
    fn event(&self, event: &Event, number: u64) -> Bytes;

    /// Whether its events carry their number, by which a client that comes back says what it got last.
    fn is_numbered(&self) -> bool {
        false
    }

    /// The bytes of the hub's event `name` with the JSON text `data` to one client, made at `timestamp` (ms since the
    /// epoch). `correlation` is the request that it answers, for a wire whose events name it.
    fn answer(&self, name: &str, data: &[u8], correlation: &Correlation, timestamp: i64) -> Bytes;

    /// The bytes that answer the request `correlation` with the JSON text `data`, by no event of their own. Without data
    /// there is nothing to say but that it was done.
    fn acknowledgement(&self, data: Option<&[u8]>, correlation: &Bytes, timestamp: i64) -> Bytes;

    /// The bytes of a refusal; `None` when its client is told nothing.
    fn refusal(&self, refusal: &EventError<'_>, timestamp: i64) -> Option<Bytes>;
}

/// What is refused, and why.
#[derive(Debug, Clone, Copy)]
pub struct EventError<'a> {
    /// Why.
    pub fault: &'a Fault,
    /// The event that is refused; `None` where it could not be read, or where nothing was asked.
    pub event: Option<&'a str>,
    /// How `/` is told.
    pub refused: Refused,
    /// The document that has the codes for `/`.
    pub audience: Audience,
    /// The name of the event that would have answered.
    pub reply: &'static str,
    /// The room that was asked for, where that is part of the refusal.
    pub room: Option<&'a str>,
    /// What the client named its request by.
    pub correlation: &'a Correlation,
}

impl<'a> EventError<'a> {
    /// A refusal that answers no request that could be read.
    pub fn of(fault: &'a Fault, correlation: &'a Correlation) -> Self {
        Self {
            fault,
            event: None,
            refused: Refused::Invalid,
            audience: Audience::Push,
            reply: "",
            room: None,
            correlation,
        }
    }
}

/// An event and its frames, one for each wire that asked for it.
#[derive(Debug)]
pub struct Publication {
    event: Event,
    notification: Option<NotificationId>,
    number: u64,
    accepted_us: Option<u64>,
    frames: [OnceLock<Bytes>; WIRES],
}

impl Publication {
    /// An event that nobody has framed yet.
    pub fn new(event: Event) -> Self {
        Self::for_notification(event, None)
    }

    /// As [`Publication::new`], for an event that is about a notification of its user.
    pub fn for_notification(event: Event, notification: Option<NotificationId>) -> Self {
        Self { event, notification, number: 0, accepted_us: None, frames: [const { OnceLock::new() }; WIRES] }
    }

    /// The same with its place among all that its shard publishes: a later one has a larger number, and no two have the
    /// same, whatever shard published them, and before which start of the hub.
    #[must_use]
    pub fn with_number(self, number: u64) -> Self {
        Self { number, ..self }
    }

    /// The same with the time at which it was accepted, in µs by [`Clock::elapsed_us`](crate::runtime::clock::Clock::elapsed_us).
    #[must_use]
    pub fn with_accepted_us(self, at_us: u64) -> Self {
        Self { accepted_us: Some(at_us), ..self }
    }

    /// The same with its number in its room's history.
    #[must_use]
    pub fn with_offset(mut self, offset: u64) -> Self {
        self.event.offset = Some(offset);
        self
    }

    /// Its number in its room's history, where the room keeps one.
    pub fn offset(&self) -> Option<u64> {
        self.event.offset
    }

    /// The same to be kept for long: its data is no part of a longer text that would stay with it, and nobody has framed
    /// it.
    #[must_use]
    pub fn detached(&self) -> Self {
        let event = Event { data: Bytes::copy_from_slice(&self.event.data), ..self.event.clone() };
        Self::for_notification(event, self.notification.clone()).with_number(self.number)
    }

    /// Its place among all that its shard published; 0 where it came from none.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When it was accepted, in µs; `None` for a replayed one.
    pub fn accepted_us(&self) -> Option<u64> {
        self.accepted_us
    }

    /// Its event's name.
    pub fn name(&self) -> &EventName {
        &self.event.name
    }

    /// The room that it was published to, where it is told.
    pub fn topic(&self) -> Option<&RoomName> {
        self.event.topic.as_ref()
    }

    /// Its event's data, JSON text.
    pub fn data(&self) -> &Bytes {
        &self.event.data
    }

    /// When its event was accepted, ms since the epoch.
    pub fn timestamp(&self) -> i64 {
        self.event.timestamp
    }

    /// The notification that it is about.
    pub fn notification(&self) -> Option<&NotificationId> {
        self.notification.as_ref()
    }

    /// The event's bytes on `wire`; framed by the first who asks, on any worker.
    pub fn frame(&self, wire: &dyn Encoder) -> Bytes {
        match self.frames.get(wire.slot()) {
            Some(slot) => slot.get_or_init(|| wire.event(&self.event, self.number)).clone(),
            None => wire.event(&self.event, self.number),
        }
    }
}
