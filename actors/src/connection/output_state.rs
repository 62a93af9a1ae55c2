//! The output of a session: its outbox, its pending replies, and its close.

use std::collections::VecDeque;

use super::outbox::{Outbox, OutboxCapacity};
use super::replies::PendingReply;
use crate::model::close::Close;
use crate::model::ids::RoomName;

/// The output of a session.
#[derive(Debug)]
pub(super) struct OutputState {
    pub(super) outbox: Outbox,
    pub(super) replies: VecDeque<PendingReply>,
    /// The number of the first pending reply.
    pub(super) first: u64,
    /// Bytes of the requests in `replies`.
    pub(super) weight: usize,
    /// Pending unordered replies, and the bytes of their requests.
    pub(super) unordered: (usize, usize),
    /// Pending replies that may be large.
    pub(super) large: u32,
    /// Bytes of fulfilled replies that wait for an earlier reply.
    pub(super) answered: usize,
    /// Rooms with messages that wait for a reply, and the number of the reply.
    pub(super) deferred_rooms: Vec<(RoomName, u64)>,
    /// A close that waits for the pending replies.
    pub(super) closing: Option<Close>,
    /// The reason of the close; set once.
    pub(super) closed: Option<Close>,
}

impl OutputState {
    /// No output yet.
    pub(super) fn new(capacity: OutboxCapacity) -> Self {
        Self {
            outbox: Outbox::new(capacity),
            replies: VecDeque::new(),
            first: 0,
            weight: 0,
            unordered: (0, 0),
            large: 0,
            answered: 0,
            deferred_rooms: Vec::new(),
            closing: None,
            closed: None,
        }
    }

    /// Frees the memory of empty queues. `true` when all are empty.
    pub(super) fn release_idle_memory(&mut self) -> bool {
        if self.replies.is_empty() {
            self.replies = VecDeque::new();
        }
        if self.deferred_rooms.is_empty() {
            self.deferred_rooms = Vec::new();
        }
        self.outbox.release_idle_memory() && self.replies.is_empty() && self.deferred_rooms.is_empty()
    }

    /// The number of the reply that the messages of `room` wait for.
    pub(super) fn behind(&self, room: &RoomName) -> Option<u64> {
        self.deferred_rooms.iter().find(|(deferred, _)| deferred == room).map(|&(_, reply)| reply)
    }
}
