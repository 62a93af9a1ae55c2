//! Pending replies of a session. Replies leave in the order of the requests; messages that wait for a reply follow it.

use super::output_state::{FulfilledReply, PendingReply};
use super::{Connection, SessionHandle, SessionTransport};
use crate::model::ids::RoomName;
use crate::publication::Payload;

/// Pending replies before the transport stops reading. Bounds the work of one client.
pub const PENDING_REPLIES_MAX: usize = 128;

/// Bytes of requests with pending replies, likewise.
pub const PENDING_REPLY_BYTES_MAX: usize = 262_144;

/// Pending [unordered](SessionHandle::reserve_unordered) replies, and bytes of their requests, before another is
/// refused.
pub const UNORDERED_REPLIES_MAX: u16 = 32;

/// The position of a pending reply in the order of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplySlot(u64);

/// A pending reply without an order. It has the bytes of its request.
#[derive(Debug)]
pub struct UnorderedReply(usize);

impl SessionHandle {
    /// Reserves the reply to a request of `weight` bytes. Later requests are answered after it.
    pub fn reserve(&self, weight: usize) -> ReplySlot {
        self.reserve_ordered(weight, false)
    }

    /// As [`SessionHandle::reserve`], for a reply that may be large: no request is taken until it is fulfilled.
    pub fn reserve_large(&self, weight: usize) -> ReplySlot {
        self.reserve_ordered(weight, true)
    }

    fn reserve_ordered(&self, weight: usize, large: bool) -> ReplySlot {
        let mut output = self.output.borrow_mut();
        output.replies.push_back(PendingReply::to(weight, large));
        output.weight += weight;
        output.large += u16::from(large);
        ReplySlot(output.first + output.replies.len() as u64 - 1)
    }

    /// Holds the messages of `rooms` until the reply was sent.
    pub fn defer(&self, rooms: impl IntoIterator<Item = RoomName>, reply_slot: ReplySlot) {
        self.output.borrow_mut().deferred_rooms.extend(rooms.into_iter().map(|room| (room, reply_slot.0)));
    }

    /// The slot of the next reply.
    pub fn next_reply_slot(&self) -> ReplySlot {
        let output = self.output.borrow();
        ReplySlot(output.first + output.replies.len() as u64)
    }

    /// Holds new messages of `room` until the reply was sent. Replaces an earlier reply.
    pub fn defer_from_now(&self, room: &RoomName, reply_slot: ReplySlot) {
        let mut output = self.output.borrow_mut();
        output.deferred_rooms.retain(|(joining, _)| joining != room);
        // A reply that was sent before cannot release them.
        if reply_slot.0 >= output.first {
            output.deferred_rooms.push((room.clone(), reply_slot.0));
        }
    }

    /// Fulfils a reply; without a payload, the client receives none.
    pub fn fulfil(&self, reply_slot: ReplySlot, payload: Option<Payload>) {
        let (was_busy, was_ready) = (self.is_busy(), self.takes_requests());
        self.output.borrow_mut().fulfil(reply_slot.0, payload);
        let mut sent = 0;
        loop {
            let next = self.output.borrow_mut().take_fulfilled();
            let Some(FulfilledReply { number, payload, releases }) = next else { break };
            sent += payload.map_or(0, |payload| u64::from(self.send_ahead(payload)));
            if releases {
                self.release_held(number);
            }
        }
        self.common.stats.sent.add(sent);
        self.note_queue_use();
        self.close_if_due();
        if (was_busy && !self.is_busy()) || (!was_ready && self.takes_requests()) || !self.has_pending_replies() {
            self.with_transport(SessionTransport::resume);
        }
    }

    /// Whether another [unordered](SessionHandle::reserve_unordered) reply fits within [`UNORDERED_REPLIES_MAX`] and
    /// [`PENDING_REPLY_BYTES_MAX`].
    pub fn may_reserve_unordered(&self) -> bool {
        let output = self.output.borrow();
        output.unordered < UNORDERED_REPLIES_MAX && output.unordered_weight < PENDING_REPLY_BYTES_MAX
    }

    /// Reserves an unordered reply to a request of `weight` bytes, for slow work outside the hub. It delays no other
    /// reply and no request. When the hub closes the session, it waits for the reply.
    pub fn reserve_unordered(&self, weight: usize) -> UnorderedReply {
        let mut output = self.output.borrow_mut();
        output.unordered += 1;
        output.unordered_weight += weight;
        UnorderedReply(weight)
    }

    /// Fulfils an unordered reply.
    pub fn fulfil_unordered(&self, UnorderedReply(weight): UnorderedReply, payload: Option<Payload>) {
        if let Some(payload) = payload {
            self.send(payload);
        }
        let mut output = self.output.borrow_mut();
        output.unordered -= 1;
        output.unordered_weight -= weight;
        drop(output);
        self.close_if_due();
    }

    /// Whether an ordered reply is pending.
    pub fn has_pending_replies(&self) -> bool {
        !self.output.borrow().replies.is_empty()
    }

    /// Whether no reply is pending, unordered ones included.
    pub(super) fn has_sent_all_replies(&self) -> bool {
        !self.has_pending_replies() && self.output.borrow().unordered == 0
    }

    /// Whether the session has too many pending replies for another request.
    pub fn is_busy(&self) -> bool {
        let output = self.output.borrow();
        output.replies.len() >= PENDING_REPLIES_MAX || output.weight >= PENDING_REPLY_BYTES_MAX
    }

    /// Whether the next request may be read. Not while half of the outbox is full, nor behind a request with a large
    /// reply, so that the reply fits.
    pub fn takes_requests(&self) -> bool {
        let output = self.output.borrow();
        let has_room = |connection: &Connection| {
            connection.has_room() && (output.answered == 0 || connection.fits_within_half(0, output.answered))
        };
        let is_free = output.large == 0 && self.with_connection(has_room).unwrap_or(true);
        drop(output);
        is_free && !self.is_busy()
    }
}
