//! The answers that a session owes: they leave in the order of the requests, and what waits for one comes behind it.

use std::rc::Rc;

use bytes::Bytes;

use super::{OutboxSink, SessionHandle};
use crate::connection::outbox::{Frame, Offer};
use crate::model::ids::RoomName;

/// Answers a session may owe before its transport stops reading: bounds what one client can have under way.
pub const PENDING_REPLIES_MAX: usize = 128;

/// Bytes of requests whose answers a session may owe, likewise.
pub const PENDING_REPLY_BYTES_MAX: usize = 262_144;

/// Answers a session may owe [aside](SessionHandle::reserve_unordered), and bytes of their requests, before one more is refused.
pub const UNORDERED_REPLIES_MAX: usize = 32;

/// An answer that was promised; answers leave in the order the requests came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplySlot(u64);

/// An answer that was promised and is sent whenever it comes; it holds the bytes of its request.
#[derive(Debug)]
pub struct UnorderedReply(usize);

#[derive(Debug)]
pub(super) struct PendingReply {
    /// Bytes of the request.
    weight: usize,
    /// It is kept.
    kept: bool,
    /// The answer may be large.
    large: bool,
    /// The answer, where there is something to say.
    frame: Option<Frame>,
}

impl PendingReply {
    /// What is said behind the answers that are promised.
    pub(super) fn kept(frame: Frame) -> Self {
        Self { weight: 0, kept: true, large: false, frame: Some(frame) }
    }
}

impl SessionHandle {
    /// Promises the answer to a request of `weight` bytes; requests that come later are answered after it.
    pub fn reserve(&self, weight: usize) -> ReplySlot {
        self.promise(weight, false)
    }

    /// As [`SessionHandle::reserve`], for an answer that may be large: until it is there, no request is taken.
    pub fn reserve_large(&self, weight: usize) -> ReplySlot {
        self.promise(weight, true)
    }

    fn promise(&self, weight: usize, large: bool) -> ReplySlot {
        let mut output = self.output.borrow_mut();
        output.replies.push_back(PendingReply { weight, kept: false, large, frame: None });
        output.weight += weight;
        output.large += u32::from(large);
        ReplySlot(output.first + output.replies.len() as u64 - 1)
    }

    /// Holds the messages of `rooms` back until the answer `owed` went: it tells of the join.
    pub fn defer(&self, rooms: impl IntoIterator<Item = RoomName>, reply_slot: ReplySlot) {
        self.output.borrow_mut().deferred_rooms.extend(rooms.into_iter().map(|room| (room, reply_slot.0)));
    }

    /// The next answer that will be promised.
    pub fn next_reply_slot(&self) -> ReplySlot {
        let output = self.output.borrow();
        ReplySlot(output.first + output.replies.len() as u64)
    }

    /// Holds the messages of `room` that come from now on back until the answer `owed` went, whatever those before wait
    /// for.
    pub fn defer_from_now(&self, room: &RoomName, reply_slot: ReplySlot) {
        let mut output = self.output.borrow_mut();
        output.deferred_rooms.retain(|(joining, _)| joining != room);
        // An answer that went already could not let them go.
        if reply_slot.0 >= output.first {
            output.deferred_rooms.push((room.clone(), reply_slot.0));
        }
    }

    /// Keeps a promise; without a frame, there is nothing to say.
    pub fn fulfil(&self, reply_slot: ReplySlot, frame: Option<Bytes>) {
        let (was_busy, was_ready) = (self.is_busy(), self.takes_requests());
        let mut output = self.output.borrow_mut();
        let index = reply_slot.0.checked_sub(output.first).and_then(|index| usize::try_from(index).ok());
        if let Some(promise) = index.and_then(|index| output.replies.get_mut(index)) {
            promise.kept = true;
            promise.frame = frame.map(Rc::new);
            let bytes = promise.frame.as_ref().map_or(0, |frame| frame.len());
            output.answered += bytes;
        }
        let mut sent = 0;
        let mut offer = Offer::Taken;
        while output.replies.front().is_some_and(|promise| promise.kept) {
            let Some(promise) = output.replies.pop_front() else { break };
            let number = output.first;
            output.first += 1;
            output.weight -= promise.weight;
            output.large -= u32::from(promise.large);
            output.answered -= promise.frame.as_ref().map_or(0, |frame| frame.len());
            if let (Some(frame), Offer::Taken) = (promise.frame, offer) {
                offer = output.outbox.offer(frame, None);
                sent += 1;
            }
            if !output.deferred_rooms.is_empty() {
                output.deferred_rooms.retain(|&(_, answer)| answer != number);
                output.outbox.release(number);
                self.released(number);
            }
        }
        drop(output);
        self.handle_offer(offer, sent);
        self.close_if_due();
        if (was_busy && !self.is_busy()) || (!was_ready && self.takes_requests()) || !self.has_pending_replies() {
            self.with_sink(OutboxSink::resume);
        }
    }

    /// Whether one more answer may be owed [aside](SessionHandle::reserve_unordered): neither [`UNORDERED_REPLIES_MAX`] nor [`PENDING_REPLY_BYTES_MAX`] are
    /// reached.
    pub fn may_reserve_unordered(&self) -> bool {
        let (count, bytes) = self.output.borrow().unordered;
        count < UNORDERED_REPLIES_MAX && bytes < PENDING_REPLY_BYTES_MAX
    }

    /// Promises the answer to a request of `weight` bytes that somebody outside may take long for: it is sent when it
    /// comes, and neither holds back other answers nor keeps the session from being asked. When the hub ends the session,
    /// the answer goes first; a client that leaves does not wait for it.
    pub fn reserve_unordered(&self, weight: usize) -> UnorderedReply {
        let mut output = self.output.borrow_mut();
        output.unordered.0 += 1;
        output.unordered.1 += weight;
        UnorderedReply(weight)
    }

    /// Keeps such a promise.
    pub fn fulfil_unordered(&self, UnorderedReply(weight): UnorderedReply, frame: Option<Bytes>) {
        if let Some(frame) = frame {
            self.send(frame);
        }
        let mut output = self.output.borrow_mut();
        output.unordered.0 -= 1;
        output.unordered.1 -= weight;
        drop(output);
        self.close_if_due();
    }

    /// Whether an answer is promised that others wait for.
    pub fn has_pending_replies(&self) -> bool {
        !self.output.borrow().replies.is_empty()
    }

    /// Whether every answer went, those that are owed aside too.
    pub(super) fn has_sent_all_replies(&self) -> bool {
        !self.has_pending_replies() && self.output.borrow().unordered.0 == 0
    }

    /// Whether the session owes so many answers that it should be asked nothing more for now.
    pub fn is_busy(&self) -> bool {
        let output = self.output.borrow();
        self.paused.get() || output.replies.len() >= PENDING_REPLIES_MAX || output.weight >= PENDING_REPLY_BYTES_MAX
    }

    /// Whether the next request may be taken. Not while the client has not read half of what may wait for it, nor behind a
    /// request whose answer may be large: its answer finds room then. For a carrier, the sessions that it carries look at
    /// that.
    pub fn takes_requests(&self) -> bool {
        if self.multiplexed {
            return !self.is_busy();
        }
        let output = self.output.borrow();
        let finds_room = output.answered == 0 || output.outbox.fits_within_half(0, output.answered);
        let is_free = output.large == 0 && output.outbox.is_under_half() && finds_room;
        drop(output);
        is_free && !self.is_busy()
    }

    /// Has the client asked nothing more until this is taken back: those for whom the transport reads are busy.
    pub fn pause(&self, paused: bool) {
        if self.paused.replace(paused) && !paused {
            self.with_sink(OutboxSink::resume);
        }
    }
}
