//! A session's place on its worker: what the worker's fan-out, its pulse and the session's transport share.
//!
//! A seat never leaves its worker's thread. Others reach it through that worker's [`Fanout`], by its [`SessionAddr`].
//!
//! [`Fanout`]: crate::rooms::fanout::Fanout

pub mod encoded;
pub mod handed;
pub mod kept;
mod latency;
mod liveness;
mod memory;
pub mod noted;
pub mod outbox;
mod replies;
pub mod retained;
pub mod sweeper;
pub mod tail;

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use bytes::Bytes;
use slab::Slab;

use crate::connection::noted::Noted;
use crate::connection::outbox::{Frame, Offer, Outbox, OutboxCapacity};
use crate::connection::retained::Ledger;
use crate::events::Surface;
use crate::model::close::Close;
use crate::model::fault::Code;
use crate::model::ids::{RoomName, SessionId, UserId};
use crate::publication::{Encoder, EventError};
use crate::runtime::clock::{Clock, Expiry};
use crate::runtime::counters::Stats;

pub use self::liveness::Heartbeat;
use self::liveness::{DueTimes, Liveness};
use self::memory::Memory;
pub use self::memory::Remains;
use self::replies::PendingReply;
pub use self::replies::{
    PENDING_REPLIES_MAX, PENDING_REPLY_BYTES_MAX, ReplySlot, UNORDERED_REPLIES_MAX, UnorderedReply,
};

/// Where a seat is: on which worker, and which one there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionAddr {
    /// The worker's number.
    pub worker: usize,
    /// The seat on that worker.
    pub slot: SlotId,
}

/// A seat's number on its worker. A number is not given twice: a late message finds nobody rather than somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotId {
    index: u32,
    serial: u32,
}

/// The transport behind a seat, as far as the seat needs it. The transport holds the seat, and the seat the transport,
/// until [`SessionHandle::detach`].
pub trait OutboxSink {
    /// Something waits in the outbox, or it was closed. Called on every change; must be cheap and must not write now.
    fn wake(self: Rc<Self>);

    /// The session owes no answer any more, or not too many or too large ones any more: it can be asked again.
    fn resume(self: Rc<Self>);

    /// The client comes back on another connection. Whether the transport closes the seat by itself, once it has heard what
    /// its client may have sent before: a goodbye among it counts.
    fn supersede(self: Rc<Self>) -> bool {
        false
    }

    /// Whether so many frames more, of `bytes` together, leave half of the room free that it has for what it takes.
    fn fits_within_half(&self, _frames: usize, _bytes: usize) -> bool {
        true
    }

    /// Gives up frames that it took from the outbox, can still do without, and that are wanted back.
    fn recall(&self, _wants: &mut dyn FnMut(&Frame) -> bool) {}
}

#[derive(Debug)]
struct OutputState {
    outbox: Outbox,
    replies: VecDeque<PendingReply>,
    /// The number of the first promise.
    first: u64,
    /// Bytes of the requests in `promises`.
    weight: usize,
    /// Answers that are owed aside, and bytes of their requests.
    unordered: (usize, usize),
    /// Promised answers that may be large.
    large: u32,
    /// Bytes of answers that wait for those promised before.
    answered: usize,
    /// Rooms whose messages wait for an answer, and its number.
    deferred_rooms: Vec<(RoomName, u64)>,
    /// A close that waits for the promises.
    closing: Option<Close>,
    /// Why the session ends; set once.
    closed: Option<Close>,
}

impl OutputState {
    /// Gives the memory of empty queues back; whether all are.
    fn release_idle_memory(&mut self) -> bool {
        if self.replies.is_empty() {
            self.replies = VecDeque::new();
        }
        if self.deferred_rooms.is_empty() {
            self.deferred_rooms = Vec::new();
        }
        self.outbox.release_idle_memory() && self.replies.is_empty() && self.deferred_rooms.is_empty()
    }

    fn behind(&self, room: &RoomName) -> Option<u64> {
        self.deferred_rooms.iter().find(|(joining, _)| joining == room).map(|&(_, answer)| answer)
    }
}

/// A session's place on its worker.
pub struct SessionHandle {
    session: SessionId,
    addr: SessionAddr,
    encoder: &'static dyn Encoder,
    multiplexed: bool,
    output: RefCell<OutputState>,
    sink: RefCell<Option<Rc<dyn OutboxSink>>>,
    /// Why its connection ended, where that was not the session's end.
    connection_end: Cell<Option<Close>>,
    /// The rule by which it was closed, where that is not the close's usual one.
    closed_by: Cell<Option<&'static str>>,
    /// The log says already why it was closed.
    is_close_logged: Cell<bool>,
    paused: Cell<bool>,
    noted: RefCell<Noted>,
    /// What is kept for when its session comes back.
    memory: RefCell<Option<Box<Memory>>>,
    /// The chats whose messages come here, and which message was the last before.
    chats: RefCell<Option<Box<AHashMap<RoomName, u64>>>>,
    liveness: Liveness,
    /// Whose session hears of users, and in the words of which surface.
    presence_listener: RefCell<Option<(UserId, Surface)>>,
    common: Rc<Common>,
}

/// What all seats of a worker know.
#[derive(Debug)]
struct Common {
    worker: usize,
    clock: Clock,
    stats: Arc<Stats>,
    /// Those whose sessions hear of users.
    presence_listeners: RefCell<AHashSet<SlotId>>,
    /// When each is to be looked at.
    due_times: DueTimes,
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("session", &self.session).field("place", &self.addr).finish_non_exhaustive()
    }
}

impl SessionHandle {
    /// The session that sits here.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Where it is.
    pub fn addr(&self) -> SessionAddr {
        self.addr
    }

    /// The wire its client reads.
    pub fn encoder(&self) -> &'static dyn Encoder {
        self.encoder
    }

    /// Whether it carries other sessions, and ends after them.
    pub fn is_multiplexed(&self) -> bool {
        self.multiplexed
    }

    /// Puts the transport behind the seat and lets it write what waits.
    pub fn attach(&self, link: Rc<dyn OutboxSink>) {
        *self.sink.borrow_mut() = Some(link);
        self.wake();
    }

    /// Lets the transport go.
    pub fn detach(&self) {
        self.sink.borrow_mut().take();
    }

    /// The connection ended: nothing more is sent.
    pub fn end_connection(&self) {
        self.keep();
        self.detach();
    }

    /// The session was cut off and may come back. What is promised or waits to be written is given up.
    pub fn suspend(&self) {
        self.keep();
        self.set_presence_listener(None);
        let mut output = self.output.borrow_mut();
        output.replies = VecDeque::new();
        (output.large, output.answered) = (0, 0);
        output.deferred_rooms = Vec::new();
        drop(output);
        self.close(Close::Left);
    }

    /// The messages of a chat come here from that of this [number](crate::publication::Publication::number) on, which does not.
    pub fn join_chat(&self, chat: RoomName, number: u64) {
        self.chats.borrow_mut().get_or_insert_default().insert(chat, number);
    }

    /// The messages of a room do not come here any more.
    pub fn leave_chat(&self, room: &RoomName) {
        let mut chats = self.chats.borrow_mut();
        if let Some(entered) = chats.as_deref_mut() {
            entered.remove(room);
            if entered.is_empty() {
                *chats = None;
            }
        }
    }

    /// Which message of a chat was the last that did not come here; `None` where none do.
    pub fn last_before_join(&self, chat: &RoomName) -> Option<u64> {
        self.chats.borrow().as_ref()?.get(chat).copied()
    }

    /// Offers a delivery of `room`; says whether it was taken, for who delivers to many counts them all at once.
    pub fn deliver(&self, room: &RoomName, frame: Frame) -> bool {
        self.deliver_after(self.behind(room), frame, None)
    }

    /// Offers a frame. With `accepted_us`, marks it for measurement, unless it waits for an answer.
    fn deliver_after(&self, behind: Option<u64>, frame: Frame, accepted_us: Option<u64>) -> bool {
        let mut output = self.output.borrow_mut();
        let offer = output.outbox.offer(frame, behind);
        if let (Offer::Taken, None, Some(accepted_us)) = (offer, behind, accepted_us) {
            output.outbox.mark(accepted_us);
        }
        drop(output);
        self.handle_offer(offer, 0);
        offer == Offer::Taken
    }

    /// The answer that the messages of `room` wait for, if they do.
    fn behind(&self, room: &RoomName) -> Option<u64> {
        self.output.borrow().behind(room)
    }

    /// Sends an answer or a notice of the hub, after those promised before.
    pub fn send(&self, frame: Bytes) {
        let frame = Rc::new(frame);
        let mut output = self.output.borrow_mut();
        if output.replies.is_empty() {
            let offer = output.outbox.offer(frame, None);
            drop(output);
            self.handle_offer(offer, 1);
        } else {
            output.answered += frame.len();
            output.replies.push_back(PendingReply::kept(frame));
        }
    }

    /// Sends a refusal.
    pub fn refuse(&self, refusal: &EventError<'_>, now: i64) {
        if let Some(frame) = self.refusal(refusal, now) {
            self.send(frame);
        }
    }

    /// Counts a refusal and makes its frame, where its client is told.
    pub fn refusal(&self, refusal: &EventError<'_>, now: i64) -> Option<Bytes> {
        self.common.stats.errors.add(1);
        match refusal.fault.code {
            Code::RateLimited | Code::LimitReached => self.common.stats.rate_limited.add(1),
            Code::Overloaded => self.common.stats.overloads.add(1),
            _ => {}
        }
        self.encoder.refusal(refusal, now)
    }

    /// Sends a frame of the transport, past the answers that are promised.
    pub fn send_ahead(&self, frame: Frame) {
        self.forward(frame, None);
    }

    /// Ends the session for the reason that waited for its answers, once they went.
    fn close_if_due(&self) {
        let due = if self.has_sent_all_replies() { self.output.borrow_mut().closing.take() } else { None };
        if let Some(close) = due {
            self.close(close);
        }
    }

    /// Draws the consequence of an offer of `frames` frames.
    fn handle_offer(&self, offer: Offer, frames: u64) {
        match offer {
            Offer::Taken => {
                if frames > 0 {
                    self.common.stats.sent.add(frames);
                }
                self.note_queue_use();
                self.wake();
            }
            Offer::Overflowed { dropped } => {
                self.common.stats.slow_consumers.add(1);
                self.common.stats.dropped_slow_consumer.add(dropped as u64);
                self.close(Close::SlowConsumer);
            }
            Offer::Closed => {}
        }
    }

    /// Ends the session: what is in the outbox is written, then the reason. The first reason stands.
    pub fn close(&self, close: Close) {
        let mut output = self.output.borrow_mut();
        if output.closed.is_none() {
            output.closed = Some(close);
            drop(output);
            self.keep();
            self.with_outbox(|outbox| outbox.close());
            self.wake();
        }
    }

    /// Ends the session because its client goes on with it on another connection; unless it left on this one before.
    pub fn supersede(&self) {
        let link = self.sink.borrow().clone();
        if !link.is_some_and(OutboxSink::supersede) {
            self.close(Close::Recovered);
        }
    }

    /// As [`SessionHandle::close`], by the rule that the log is to name.
    pub fn close_by(&self, close: Close, rule: &'static str) {
        if self.closed().is_none() {
            self.closed_by.set(Some(rule));
        }
        self.close(close);
    }

    /// The rule by which it was closed, where that is not the close's usual one.
    pub fn closed_by(&self) -> Option<&'static str> {
        self.closed_by.get()
    }

    /// Notes that the log says why it was or will be closed: by the request that was refused, or by a session that it
    /// carries.
    pub fn mark_close_logged(&self) {
        self.is_close_logged.set(true);
    }

    /// Whether the log says already why it was closed.
    pub fn is_close_logged(&self) -> bool {
        self.is_close_logged.get()
    }

    /// Ends the session as `carrier`, which carries it, was ended.
    pub fn close_as(&self, carrier: &Self) {
        let Some(close) = carrier.closed() else { return };
        if self.closed().is_none() {
            self.closed_by.set(carrier.closed_by());
            self.is_close_logged.set(carrier.is_close_logged());
        }
        self.close(close);
    }

    /// As [`SessionHandle::close`], once every promised answer went.
    pub fn close_after_replies(&self, close: Close) {
        if self.has_sent_all_replies() {
            self.close(close);
        } else {
            self.output.borrow_mut().closing = Some(close);
        }
    }

    /// Why the session ends, once that is decided.
    pub fn closed(&self) -> Option<Close> {
        self.output.borrow().closed
    }

    /// Notes why the connection ends, where nobody closed the session: its client's doing. The first reason stands.
    pub fn note_end(&self, close: Close) {
        self.connection_end.set(self.connection_end.get().or(Some(close)));
    }

    /// Why the session ended, or else its connection; `None` where that just went, or nothing did.
    pub fn end_reason(&self) -> Option<Close> {
        self.closed().or(self.connection_end.get())
    }

    /// The notifications that something came about.
    pub fn noted(&self) -> RefMut<'_, Noted> {
        self.noted.borrow_mut()
    }

    /// From here on the session, which is this user's, hears of users, in the words of this surface; without, of none.
    pub fn set_presence_listener(&self, listener: Option<(UserId, Surface)>) {
        if listener.is_some() {
            self.common.presence_listeners.borrow_mut().insert(self.addr.slot);
        } else {
            self.common.presence_listeners.borrow_mut().remove(&self.addr.slot);
        }
        *self.presence_listener.borrow_mut() = listener;
    }

    /// In the words of which surface the session hears of users, if it does; of `except`, who is its own user, it does not.
    pub fn presence_surface(&self, except: Option<&UserId>) -> Option<Surface> {
        let listener = self.presence_listener.borrow();
        listener.as_ref().filter(|(own, _)| except != Some(own)).map(|&(_, surface)| surface)
    }

    /// Whether the outbox is less than half full.
    pub fn is_under_half(&self) -> bool {
        self.output.borrow().outbox.is_under_half()
    }

    /// Whether so many frames more, of `bytes` together, leave the half of what may wait free that what comes next may need.
    pub fn has_half_for(&self, frames: usize, bytes: usize) -> bool {
        let link = self.sink.borrow().clone();
        self.with_outbox(|outbox| outbox.fits_within_half(frames, bytes))
            && link.is_none_or(|link| link.fits_within_half(frames, bytes))
    }

    /// Lets the transport take from the outbox.
    pub fn with_outbox<T>(&self, take: impl FnOnce(&mut Outbox) -> T) -> T {
        take(&mut self.output.borrow_mut().outbox)
    }

    fn wake(&self) {
        self.with_sink(OutboxSink::wake);
    }

    fn with_sink(&self, act: impl FnOnce(Rc<dyn OutboxSink>)) {
        let link = self.sink.borrow().clone();
        if let Some(link) = link {
            act(link);
        }
    }
}

/// What a new seat starts with.
#[derive(Debug)]
pub struct SessionSpec {
    /// The session.
    pub session: SessionId,
    /// The wire its client reads.
    pub encoder: &'static dyn Encoder,
    /// The bound of its outbox.
    pub bound: OutboxCapacity,
    /// Its heartbeat; `None` where its connection has one that serves several sessions.
    pub heartbeat: Option<Heartbeat>,
    /// Whether it is a connection that carries other sessions, and ends after them.
    pub multiplexed: bool,
    /// When its token ends it.
    pub expiry: Expiry,
    /// The time, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    pub elapsed: i64,
}

/// The seats of one worker.
#[derive(Debug)]
pub struct SessionTable {
    slab: RefCell<Slab<Rc<SessionHandle>>>,
    serial: Cell<u32>,
    /// What is kept for those who may come back.
    ledger: Rc<Ledger>,
    /// The seats of those who were cut off, in that order; some may be gone.
    suspended: RefCell<VecDeque<SlotId>>,
    common: Rc<Common>,
}

impl SessionTable {
    /// No seats yet, on worker number `worker`; `retained_max` bytes may be kept there for sessions that may come back.
    /// `clock` measures how long publications take.
    pub fn new(worker: usize, retained_max: usize, stats: Arc<Stats>, clock: Clock) -> Self {
        let ledger = Ledger::new(retained_max, stats.clone());
        let (slab, suspended) = (RefCell::default(), RefCell::default());
        let (presence_listeners, dues) = Default::default();
        let common = Rc::new(Common { worker, clock, stats, presence_listeners, due_times: dues });
        Self { slab, serial: Cell::new(0), ledger, suspended, common }
    }

    /// What is kept for sessions that may come back.
    pub fn ledger(&self) -> &Rc<Ledger> {
        &self.ledger
    }

    /// Where what happens to them is counted.
    pub fn stats(&self) -> &Stats {
        &self.common.stats
    }

    /// The worker whose they are.
    pub fn worker(&self) -> usize {
        self.common.worker
    }

    /// The places of the seats that are taken first on each of `workers`, one after the other.
    pub(crate) fn first_addrs(workers: usize) -> impl Iterator<Item = SessionAddr> {
        (0..).flat_map(move |index: u32| {
            (0..workers)
                .map(move |worker| SessionAddr { worker, slot: SlotId { index, serial: index.wrapping_add(1) } })
        })
    }

    /// Seats a session.
    pub fn insert(&self, seating: SessionSpec) -> Rc<SessionHandle> {
        let mut slab = self.slab.borrow_mut();
        let entry = slab.vacant_entry();
        self.serial.set(self.serial.get().wrapping_add(1));
        // Connections are bounded far below 2^32 by the descriptors of the process.
        let key = SlotId { index: u32::try_from(entry.key()).unwrap_or(u32::MAX), serial: self.serial.get() };
        let handle = Rc::new(SessionHandle {
            session: seating.session,
            addr: SessionAddr { worker: self.common.worker, slot: key },
            encoder: seating.encoder,
            multiplexed: seating.multiplexed,
            output: RefCell::new(OutputState {
                outbox: Outbox::new(seating.bound),
                replies: VecDeque::new(),
                first: 0,
                weight: 0,
                unordered: (0, 0),
                large: 0,
                answered: 0,
                deferred_rooms: Vec::new(),
                closing: None,
                closed: None,
            }),
            sink: RefCell::new(None),
            connection_end: Cell::new(None),
            closed_by: Cell::new(None),
            is_close_logged: Cell::new(false),
            paused: Cell::new(false),
            noted: RefCell::default(),
            memory: RefCell::default(),
            chats: RefCell::default(),
            liveness: Liveness::new(seating.heartbeat, seating.elapsed, seating.expiry),
            presence_listener: RefCell::default(),
            common: self.common.clone(),
        });
        self.common.due_times.now(key);
        entry.insert(handle.clone());
        handle
    }

    /// The seat `key`, while its session lasts.
    pub fn get(&self, key: SlotId) -> Option<Rc<SessionHandle>> {
        let slab = self.slab.borrow();
        slab.get(key.index as usize).filter(|handle| handle.addr.slot == key).cloned()
    }

    /// Frees the seat `key`.
    pub fn release(&self, key: SlotId) {
        let handle = self.get(key);
        if let Some(handle) = handle {
            self.slab.borrow_mut().remove(key.index as usize);
            handle.set_presence_listener(None);
            handle.detach();
        }
    }

    /// The seats whose sessions hear of users.
    pub(crate) fn presence_listeners(&self) -> Ref<'_, AHashSet<SlotId>> {
        self.common.presence_listeners.borrow()
    }

    /// A place nobody sits at, for tests of what only carries one.
    #[cfg(test)]
    pub(crate) fn any_addr() -> SessionAddr {
        Self::addr_of(0)
    }

    /// As [`SessionTable::any_addr`], one for each number.
    #[cfg(test)]
    pub(crate) fn addr_of(index: u32) -> SessionAddr {
        SessionAddr { worker: 0, slot: SlotId { index, serial: 0 } }
    }

    /// Calls `visit` with every seat. It may close seats, but no seat is taken or freed meanwhile.
    pub fn for_each(&self, mut visit: impl FnMut(&SessionHandle)) {
        for (_, handle) in self.slab.borrow().iter() {
            visit(handle);
        }
    }
}

#[cfg(test)]
mod tests;
