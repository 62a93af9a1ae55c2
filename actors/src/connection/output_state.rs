//! The pending replies of a session, and what waits for them.

use std::collections::VecDeque;

use crate::model::close::Close;
use crate::model::ids::RoomName;
use crate::publication::Payload;

/// A reply that is not sent yet.
#[derive(Debug)]
pub(super) struct PendingReply {
    /// Bytes of the request.
    weight: usize,
    /// Whether the reply is fulfilled.
    is_fulfilled: bool,
    /// Whether the reply may be large.
    large: bool,
    /// Its messages, if it has any.
    payload: Option<Payload>,
}

impl PendingReply {
    /// A reply to a request of `weight` bytes.
    pub(super) fn to(weight: usize, large: bool) -> Self {
        Self { weight, is_fulfilled: false, large, payload: None }
    }

    /// A notice behind the pending replies.
    pub(super) fn fulfilled(payload: Payload) -> Self {
        Self { weight: 0, is_fulfilled: true, large: false, payload: Some(payload) }
    }
}

/// The next reply to send.
pub(super) struct FulfilledReply {
    /// Its number.
    pub(super) number: u64,
    pub(super) payload: Option<Payload>,
    /// Messages may wait for it.
    pub(super) releases: bool,
}

/// What a session is to send after its pending replies.
#[derive(Debug, Default)]
pub(super) struct OutputState {
    pub(super) replies: VecDeque<PendingReply>,
    /// The number of the first pending reply.
    pub(super) first: u64,
    /// Bytes of the requests in `replies`.
    pub(super) weight: usize,
    /// Pending unordered replies.
    pub(super) unordered: u16,
    /// Bytes of the requests of the unordered replies.
    pub(super) unordered_weight: usize,
    /// Pending replies that may be large.
    pub(super) large: u16,
    /// Bytes of fulfilled replies that wait for an earlier reply.
    pub(super) answered: usize,
    /// Rooms with messages that wait for a reply, and the number of the reply.
    pub(super) deferred_rooms: Vec<(RoomName, u64)>,
    /// On a numbered wire: the last pending reply that a publication with a number waits for.
    pub(super) numbers_wait_for: Option<u64>,
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

    /// As [`OutputState::behind`], for a publication with this number on a numbered wire. Numbers leave in ascending
    /// order: behind a publication that waits for a reply, all later ones wait for that reply or a later one. A
    /// publication without a number (0) follows the earlier ones, and holds none back.
    pub(super) fn behind_in_order(&mut self, room: &RoomName, number: u64) -> Option<u64> {
        let behind = self.behind(room).max(self.numbers_wait_for);
        if number > 0 {
            self.numbers_wait_for = behind;
        }
        behind
    }

    /// The number of the last pending reply.
    pub(super) fn last_reply(&self) -> Option<u64> {
        (!self.replies.is_empty()).then(|| self.first + self.replies.len() as u64 - 1)
    }

    /// Drops the pending replies: the client receives none of them.
    pub(super) fn drop_replies(&mut self) {
        self.replies = VecDeque::new();
        (self.large, self.answered) = (0, 0);
        self.deferred_rooms = Vec::new();
        self.numbers_wait_for = None;
    }

    /// Fulfils the reply with this number.
    pub(super) fn fulfil(&mut self, number: u64, payload: Option<Payload>) {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(pending) = index.and_then(|index| self.replies.get_mut(index)) {
            self.answered += payload.as_ref().map_or(0, Payload::len);
            pending.is_fulfilled = true;
            pending.payload = payload;
        }
    }

    /// Takes the first reply, if it is fulfilled.
    pub(super) fn take_fulfilled(&mut self) -> Option<FulfilledReply> {
        self.replies.front().filter(|pending| pending.is_fulfilled)?;
        let PendingReply { weight, large, payload, .. } = self.replies.pop_front()?;
        let number = self.first;
        self.first += 1;
        self.weight -= weight;
        self.large -= u16::from(large);
        self.answered -= payload.as_ref().map_or(0, Payload::len);
        let releases = !self.deferred_rooms.is_empty() || self.numbers_wait_for.is_some();
        self.deferred_rooms.retain(|&(_, reply)| reply != number);
        self.numbers_wait_for.take_if(|reply| *reply == number);
        Some(FulfilledReply { number, payload, releases })
    }
}
