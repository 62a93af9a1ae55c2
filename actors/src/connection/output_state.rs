//! The state of a session's output: its outbox, its reply slots, and the rooms whose publications wait for a reply.

use std::collections::VecDeque;

use super::outbox::Outbox;
use super::replies::PendingReply;
use crate::model::close::Close;
use crate::model::ids::RoomName;

/// Outbox, reply slots and deferred rooms of a session.
#[derive(Debug)]
pub(super) struct OutputState {
    pub(super) outbox: Outbox,
    pub(super) replies: VecDeque<PendingReply>,
    /// The number of the first reply slot.
    pub(super) first: u64,
    /// Bytes of the requests in `replies`.
    pub(super) weight: usize,
    /// Reserved unordered replies, and bytes of their requests.
    pub(super) unordered: (usize, usize),
    /// Reserved replies that may be large.
    pub(super) large: u32,
    /// Bytes of replies that wait for earlier replies.
    pub(super) answered: usize,
    /// Rooms whose publications wait for a reply, and its number.
    pub(super) deferred_rooms: Vec<(RoomName, u64)>,
    /// A close that waits for the replies.
    pub(super) closing: Option<Close>,
    /// The reason of the end; set once.
    pub(super) closed: Option<Close>,
}

impl OutputState {
    /// Releases the memory of empty queues. Returns whether all are empty.
    pub(super) fn rest(&mut self) -> bool {
        if self.replies.is_empty() {
            self.replies = VecDeque::new();
        }
        if self.deferred_rooms.is_empty() {
            self.deferred_rooms = Vec::new();
        }
        self.outbox.rest() && self.replies.is_empty() && self.deferred_rooms.is_empty()
    }

    pub(super) fn behind(&self, room: &RoomName) -> Option<u64> {
        self.deferred_rooms.iter().find(|(joining, _)| joining == room).map(|&(_, answer)| answer)
    }
}
