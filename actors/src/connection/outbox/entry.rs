//! An entry of an outbox: a payload, its session, and the publication that it is.

use std::rc::Rc;

use crate::connection::SlotId;
use crate::model::ids::RoomName;
use crate::publication::Payload;

/// The publication of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its room.
    pub room: RoomName,
    /// Its [number](crate::publication::Publication::number).
    pub number: u64,
    /// Its [number in the chat](crate::publication::Publication::message); 0 when it is no message of a chat.
    pub message: u64,
}

/// A payload, shared by the outboxes of one worker without an atomic.
#[derive(Debug)]
pub struct Content {
    payload: Payload,
    origin: Option<Origin>,
}

impl Content {
    /// A payload that is no publication.
    pub fn of(payload: Payload) -> Rc<Self> {
        Rc::new(Self { payload, origin: None })
    }

    /// A publication.
    pub fn published(payload: Payload, origin: Origin) -> Rc<Self> {
        Rc::new(Self { payload, origin: Some(origin) })
    }

    /// The payload.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }
}

/// A message of a chat that was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwritten {
    /// The room of the chat.
    pub room: RoomName,
    /// The publication.
    pub number: u64,
    /// Its number in the chat.
    pub message: u64,
}

/// What an outbox holds.
#[derive(Debug)]
pub struct Entry {
    /// The session; [`SlotId::NONE`] for the connection's own messages.
    pub(super) session: SlotId,
    content: Rc<Content>,
}

impl Entry {
    /// A payload for `session`.
    pub fn new(session: SlotId, content: Rc<Content>) -> Self {
        Self { session, content }
    }

    /// A message of the connection itself.
    pub fn of_connection(payload: Payload) -> Self {
        Self::new(SlotId::NONE, Content::of(payload))
    }

    /// The payload.
    pub fn payload(&self) -> &Payload {
        &self.content.payload
    }

    /// The publication; `None` for a reply or a notice.
    pub fn origin(&self) -> Option<&Origin> {
        self.content.origin.as_ref()
    }

    /// The entry as an unwritten message of a chat; `None` when it is something else.
    pub(super) fn as_unwritten(&self) -> Option<Unwritten> {
        let Origin { room, number, message } = self.origin().filter(|origin| origin.message > 0)?;
        Some(Unwritten { room: room.clone(), number: *number, message: *message })
    }

    /// The size of the payload, bytes.
    pub(super) fn len(&self) -> usize {
        self.payload().len()
    }
}
