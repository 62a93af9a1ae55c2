//! A published event and its payloads. The event is serialised once, encoded at most once per format, and shared by all
//! recipients. This module does not know connections or rooms.

mod encoder;
mod event_error;
mod format;
mod frame_header;
mod payload;

use std::sync::OnceLock;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::encoder::{Correlation, Encoder};
pub use self::event_error::EventError;
pub use self::format::{Format, PerFormat};
pub use self::frame_header::{FRAME_HEADER_MAX, FrameHeader};
pub use self::payload::{MessageKind, Messages, Payload};
use crate::model::ids::{EventName, NotificationId, RoomName};

/// An event for the members of a room, for one user, or for everybody.
#[derive(Debug, Clone)]
pub struct Event {
    /// The event's name on the wire.
    pub name: EventName,
    /// The room that the envelope on `/ws` names beside the data. `None` when the data name the room (`Broadcast`), and
    /// for an event to one user or to everybody.
    pub topic: Option<RoomName>,
    /// Its data, JSON text.
    pub data: Bytes,
    /// When the hub accepted it, ms since the epoch.
    pub timestamp: i64,
    /// Its offset in the room's history, if the room keeps one.
    pub offset: Option<u64>,
}

/// A position in what a client on `/` received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offset {
    /// The [number](Publication::number) of a publication; with `notice`, the last one before the notification. 0: none.
    pub number: u64,
    /// The number of an unread notification, which is no publication.
    pub notice: Option<i64>,
}

impl Offset {
    /// An event without an offset.
    pub const NONE: Self = Self::of(0);

    /// The offset of a publication.
    pub const fn of(number: u64) -> Self {
        Self { number, notice: None }
    }
}

/// An event and its payloads, at most one per format.
#[derive(Debug)]
pub struct Publication {
    event: Event,
    notification: Option<NotificationId>,
    number: u64,
    message: u64,
    accepted_us: Option<u64>,
    payloads: PerFormat<OnceLock<Payload>>,
}

impl Publication {
    /// An event that is not encoded yet.
    pub fn new(event: Event) -> Self {
        Self::for_notification(event, None)
    }

    /// As [`Publication::new`], for an event about a notification.
    pub fn for_notification(event: Event, notification: Option<NotificationId>) -> Self {
        Self { event, notification, number: 0, message: 0, accepted_us: None, payloads: PerFormat::default() }
    }

    /// Sets the publication number. Numbers grow with every numbered publication of the hub, over restarts, too.
    #[must_use]
    pub fn with_number(self, number: u64) -> Self {
        Self { number, ..self }
    }

    /// Sets the number among the messages of its chat.
    #[must_use]
    pub fn with_message(self, message: u64) -> Self {
        Self { message, ..self }
    }

    /// Sets when the hub accepted it, in µs by [`Clock::elapsed_us`](crate::runtime::clock::Clock::elapsed_us).
    #[must_use]
    pub fn with_accepted_us(self, at_us: u64) -> Self {
        Self { accepted_us: Some(at_us), ..self }
    }

    /// Sets the offset in the room's history.
    #[must_use]
    pub fn with_offset(mut self, offset: u64) -> Self {
        self.event.offset = Some(offset);
        self
    }

    /// Its size in the lag of a worker, bytes: its data, and 128 bytes for the rest.
    pub(crate) fn lag_weight(&self) -> usize {
        self.event.data.len() + 128
    }

    /// The offset in the room's history, if the room keeps one.
    pub fn offset(&self) -> Option<u64> {
        self.event.offset
    }

    /// A copy for long storage. It is not encoded, and its data does not keep a larger buffer alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        let event = Event { data: Bytes::copy_from_slice(&self.event.data), ..self.event.clone() };
        let detached = Self::for_notification(event, self.notification.clone());
        detached.with_number(self.number).with_message(self.message)
    }

    /// The number among all publications of the hub; 0 for a presence announcement, and for an event that follows from the
    /// members of a room.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The number among the messages of its chat; 0 when it is no message, or no session can recover it. A chat counts
    /// from the time at which the first such session joins it.
    pub fn message(&self) -> u64 {
        self.message
    }

    /// When the hub accepted it, in µs; `None` for a replayed publication.
    pub fn accepted_us(&self) -> Option<u64> {
        self.accepted_us
    }

    /// The event's name.
    pub fn name(&self) -> &EventName {
        &self.event.name
    }

    /// The room that the envelope on `/ws` names: [`Event::topic`].
    pub fn topic(&self) -> Option<&RoomName> {
        self.event.topic.as_ref()
    }

    /// The event's data, JSON text.
    pub fn data(&self) -> &Bytes {
        &self.event.data
    }

    /// When the hub accepted the event, ms since the epoch.
    pub fn timestamp(&self) -> i64 {
        self.event.timestamp
    }

    /// The notification that the event is about.
    pub fn notification(&self) -> Option<&NotificationId> {
        self.notification.as_ref()
    }

    /// The payload in the encoder's format. The first call on any worker encodes it; later calls share the bytes.
    pub fn payload(&self, encoder: &dyn Encoder) -> Payload {
        self.payloads.get(encoder.format()).get_or_init(|| encoder.event(&self.event, Offset::of(self.number))).clone()
    }
}
