//! The pending replies of a session, and what waits for them.

use std::collections::VecDeque;

use super::replies::PendingReply;
use crate::model::close::Close;
use crate::model::ids::RoomName;

/// What a session is to send after its pending replies.
#[derive(Debug, Default)]
pub(super) struct OutputState {
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
}

impl OutputState {
    /// Frees the memory of empty queues. `true` when all are empty.
    pub(super) fn release_idle_memory(&mut self) -> bool {
        if self.replies.is_empty() {
            self.replies = VecDeque::new();
        }
        if self.deferred_rooms.is_empty() {
            self.deferred_rooms = Vec::new();
        }
        self.replies.is_empty() && self.deferred_rooms.is_empty()
    }

    /// The number of the reply that the messages of `room` wait for.
    pub(super) fn behind(&self, room: &RoomName) -> Option<u64> {
        self.deferred_rooms.iter().find(|(deferred, _)| deferred == room).map(|&(_, reply)| reply)
    }
}
