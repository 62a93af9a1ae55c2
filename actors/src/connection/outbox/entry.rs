//! An entry of an outbox: a payload, its session, and the publication that it is.

use std::rc::Rc;

use crate::connection::SlotId;
use crate::connection::retained::Retained;
use crate::model::ids::RoomName;
use crate::publication::{Format, Payload};

/// The publication of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its room.
    pub room: RoomName,
    /// Its [number](crate::publication::Publication::number).
    pub number: u64,
    /// The format of the payload.
    pub format: Format,
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

/// A publication that its session can receive later, if it is not written.
#[derive(Debug)]
pub(in crate::connection) struct Recoverable {
    /// Its data; `None` when `recovery.bytes` has no room for it.
    pub(in crate::connection) copy: Option<Rc<Retained>>,
}

/// What an outbox holds.
#[derive(Debug)]
pub struct Entry {
    /// The session; [`SlotId::NONE`] for the connection's own messages.
    pub(super) session: SlotId,
    content: Rc<Content>,
    pub(super) recoverable: Option<Recoverable>,
}

impl Entry {
    /// A payload for `session`.
    pub fn new(session: SlotId, content: Rc<Content>) -> Self {
        Self { session, content, recoverable: None }
    }

    /// As [`Entry::new`], for a publication that `session` can receive later.
    pub(in crate::connection) fn recoverable(
        session: SlotId,
        content: Rc<Content>,
        recoverable: Option<Recoverable>,
    ) -> Self {
        Self { session, content, recoverable }
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

    /// The size of the payload, bytes.
    pub(super) fn len(&self) -> usize {
        self.payload().len()
    }
}
