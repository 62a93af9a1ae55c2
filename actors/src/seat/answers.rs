//! The answers that a session owes: they leave in the order of the requests, and what waits for one comes behind it.

use std::rc::Rc;

use bytes::Bytes;

use super::{Link, Seat};
use crate::ids::RoomName;
use crate::outbox::{Frame, Offer};

/// Answers a session may owe before its transport stops reading: bounds what one client can have under way.
pub const OWED_MAX: usize = 128;

/// Bytes of requests whose answers a session may owe, likewise.
pub const OWED_BYTES_MAX: usize = 262_144;

/// Answers a session may owe [aside](Seat::owe_aside), and bytes of their requests, before one more is refused.
pub const ASIDE_MAX: usize = 32;

/// An answer that was promised; answers leave in the order the requests came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed(u64);

/// An answer that was promised and is sent whenever it comes; it holds the bytes of its request.
#[derive(Debug)]
pub struct OwedAside(usize);

#[derive(Debug)]
pub(super) struct Promise {
    /// Bytes of the request.
    weight: usize,
    /// It is kept.
    kept: bool,
    /// The answer may be large.
    large: bool,
    /// The answer, where there is something to say.
    frame: Option<Frame>,
}

impl Promise {
    /// What is said behind the answers that are promised.
    pub(super) fn kept(frame: Frame) -> Self {
        Self { weight: 0, kept: true, large: false, frame: Some(frame) }
    }
}

impl Seat {
    /// Promises the answer to a request of `weight` bytes; requests that come later are answered after it.
    pub fn owe(&self, weight: usize) -> Owed {
        self.promise(weight, false)
    }

    /// As [`Seat::owe`], for an answer that may be large: until it is there, no request is taken.
    pub fn owe_large(&self, weight: usize) -> Owed {
        self.promise(weight, true)
    }

    fn promise(&self, weight: usize, large: bool) -> Owed {
        let mut desk = self.desk.borrow_mut();
        desk.promises.push_back(Promise { weight, kept: false, large, frame: None });
        desk.weight += weight;
        desk.large += u32::from(large);
        Owed(desk.first + desk.promises.len() as u64 - 1)
    }

    /// Holds the messages of `rooms` back until the answer `owed` went: it tells of the join.
    pub fn hold(&self, rooms: impl IntoIterator<Item = RoomName>, owed: Owed) {
        self.desk.borrow_mut().joining.extend(rooms.into_iter().map(|room| (room, owed.0)));
    }

    /// The next answer that will be promised.
    pub fn next_owed(&self) -> Owed {
        let desk = self.desk.borrow();
        Owed(desk.first + desk.promises.len() as u64)
    }

    /// Holds the messages of `room` that come from now on back until the answer `owed` went, whatever those before wait
    /// for.
    pub fn hold_from_now(&self, room: &RoomName, owed: Owed) {
        let mut desk = self.desk.borrow_mut();
        desk.joining.retain(|(joining, _)| joining != room);
        // An answer that went already could not let them go.
        if owed.0 >= desk.first {
            desk.joining.push((room.clone(), owed.0));
        }
    }

    /// Keeps a promise; without a frame, there is nothing to say.
    pub fn settle(&self, owed: Owed, frame: Option<Bytes>) {
        let (was_busy, was_ready) = (self.is_busy(), self.takes_requests());
        let mut desk = self.desk.borrow_mut();
        let index = owed.0.checked_sub(desk.first).and_then(|index| usize::try_from(index).ok());
        if let Some(promise) = index.and_then(|index| desk.promises.get_mut(index)) {
            promise.kept = true;
            promise.frame = frame.map(Rc::new);
            let bytes = promise.frame.as_ref().map_or(0, |frame| frame.len());
            desk.answered += bytes;
        }
        let mut sent = 0;
        let mut offer = Offer::Taken;
        while desk.promises.front().is_some_and(|promise| promise.kept) {
            let Some(promise) = desk.promises.pop_front() else { break };
            let number = desk.first;
            desk.first += 1;
            desk.weight -= promise.weight;
            desk.large -= u32::from(promise.large);
            desk.answered -= promise.frame.as_ref().map_or(0, |frame| frame.len());
            if let (Some(frame), Offer::Taken) = (promise.frame, offer) {
                offer = desk.outbox.offer(frame, None);
                sent += 1;
            }
            if !desk.joining.is_empty() {
                desk.joining.retain(|&(_, answer)| answer != number);
                desk.outbox.release(number);
                self.released(number);
            }
        }
        drop(desk);
        self.after(offer, sent);
        self.close_if_due();
        if (was_busy && !self.is_busy()) || (!was_ready && self.takes_requests()) || !self.owes() {
            self.with_link(Link::resume);
        }
    }

    /// Whether one more answer may be owed [aside](Seat::owe_aside): neither [`ASIDE_MAX`] nor [`OWED_BYTES_MAX`] are
    /// reached.
    pub fn may_owe_aside(&self) -> bool {
        let (count, bytes) = self.desk.borrow().aside;
        count < ASIDE_MAX && bytes < OWED_BYTES_MAX
    }

    /// Promises the answer to a request of `weight` bytes that somebody outside may take long for: it is sent when it
    /// comes, and neither holds back other answers nor keeps the session from being asked. When the hub ends the session,
    /// the answer goes first; a client that leaves does not wait for it.
    pub fn owe_aside(&self, weight: usize) -> OwedAside {
        let mut desk = self.desk.borrow_mut();
        desk.aside.0 += 1;
        desk.aside.1 += weight;
        OwedAside(weight)
    }

    /// Keeps such a promise.
    pub fn settle_aside(&self, OwedAside(weight): OwedAside, frame: Option<Bytes>) {
        if let Some(frame) = frame {
            self.answer(frame);
        }
        let mut desk = self.desk.borrow_mut();
        desk.aside.0 -= 1;
        desk.aside.1 -= weight;
        drop(desk);
        self.close_if_due();
    }

    /// Whether an answer is promised that others wait for.
    pub fn owes(&self) -> bool {
        !self.desk.borrow().promises.is_empty()
    }

    /// Whether every answer went, those that are owed aside too.
    pub(super) fn is_settled(&self) -> bool {
        !self.owes() && self.desk.borrow().aside.0 == 0
    }

    /// Whether the session owes so many answers that it should be asked nothing more for now.
    pub fn is_busy(&self) -> bool {
        let desk = self.desk.borrow();
        self.paused.get() || desk.promises.len() >= OWED_MAX || desk.weight >= OWED_BYTES_MAX
    }

    /// Whether the next request may be taken. Not while the client has not read half of what may wait for it, nor behind a
    /// request whose answer may be large: its answer finds room then. For a carrier, the sessions that it carries look at
    /// that.
    pub fn takes_requests(&self) -> bool {
        if self.carrier {
            return !self.is_busy();
        }
        let desk = self.desk.borrow();
        let finds_room = desk.answered == 0 || desk.outbox.has_half_for(0, desk.answered);
        let is_free = desk.large == 0 && desk.outbox.is_under_half() && finds_room;
        drop(desk);
        is_free && !self.is_busy()
    }

    /// Has the client asked nothing more until this is taken back: those for whom the transport reads are busy.
    pub fn pause(&self, paused: bool) {
        if self.paused.replace(paused) && !paused {
            self.with_link(Link::resume);
        }
    }
}
