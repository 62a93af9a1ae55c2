//! Whether a session lives: its signs of life, the pings that ask for them, its token's expiry; and when a worker has to
//! look at which of its seats, so that one that is idle costs nothing between two pings.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;

use super::{SessionHandle, SessionTable, SlotId};
use crate::model::close::Close;
use crate::model::fault::{Code, Fault};
use crate::publication::EventError;
use crate::runtime::clock::Expiry;

/// How often a sign of life is asked for, and how long silence may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Between two pings, ms.
    pub interval_ms: i64,
    /// Silence that ends the session, ms.
    pub timeout_ms: i64,
    /// The frame that asks for a sign of life.
    pub ping_frame: &'static [u8],
}

/// The longest time until one that can expire is judged again, ms: an expiry is by a clock that can be set.
const EXPIRY_CHECK_MAX: i64 = 30_000;

/// For how long nothing stirs before the memory of empty queues is given back, ms: who gets something every second keeps it.
const IDLE_MS: i64 = 1_000;

/// What is known of a session's life.
#[derive(Debug)]
pub(super) struct Liveness {
    heartbeat: Option<Heartbeat>,
    last_activity_at: Cell<i64>,
    pinged_at: Cell<i64>,
    /// When the first ping since the last sign of life was sent; before that, where none was.
    first_ping_at: Cell<i64>,
    /// Pings that were not answered yet.
    unanswered_pings: Cell<u32>,
    expiry: Cell<Expiry>,
    queue_memory: Cell<QueueMemory>,
    /// The transport does not read what the client sends, its signs of life among it.
    reads_paused: Cell<bool>,
    /// The client took something of what it had left waiting, since it was asked for a sign of life.
    took_output: Cell<bool>,
}

/// Whether a seat holds memory that it does not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QueueMemory {
    /// Something was offered or a promise kept since it was last looked at.
    Active,
    /// Nothing was since then, and something was before.
    Idle,
    /// It holds none.
    Released,
}

impl Liveness {
    pub(super) fn new(heartbeat: Option<Heartbeat>, elapsed: i64, expiry: Expiry) -> Self {
        Self {
            heartbeat,
            last_activity_at: Cell::new(elapsed),
            pinged_at: Cell::new(elapsed),
            first_ping_at: Cell::new(i64::MIN),
            unanswered_pings: Cell::new(0),
            expiry: Cell::new(expiry),
            queue_memory: Cell::new(QueueMemory::Released),
            reads_paused: Cell::new(false),
            took_output: Cell::new(false),
        }
    }

    /// When silence ends the session. Not before it was asked for a sign of life, and where that was late, it has half of
    /// the time to give one at least.
    fn silence_deadline(&self, heartbeat: Heartbeat) -> i64 {
        let (heard, asked) = (self.last_activity_at.get(), self.first_ping_at.get());
        if asked < heard {
            return i64::MAX;
        }
        let to_answer = heartbeat.timeout_ms - heartbeat.interval_ms;
        (heard + heartbeat.timeout_ms).max(asked + (to_answer + 1) / 2)
    }

    /// When the next ping is due.
    fn next_ping_at(&self, heartbeat: Heartbeat) -> i64 {
        self.pinged_at.get() + heartbeat.interval_ms
    }

    fn note_ping(&self, elapsed: i64) {
        self.pinged_at.set(elapsed);
        self.unanswered_pings.set(self.unanswered_pings.get().saturating_add(1));
        if self.first_ping_at.get() < self.last_activity_at.get() {
            self.first_ping_at.set(elapsed);
            self.took_output.set(false);
        }
    }
}

impl SessionHandle {
    /// Notes a sign of life at `elapsed`, ms by [`crate::runtime::clock::Clock::elapsed_ms`]. Of a carrier's client nothing counts
    /// but its answers to pings.
    pub fn note_activity(&self, elapsed: i64) {
        if !self.multiplexed {
            self.liveness.last_activity_at.set(elapsed);
        }
    }

    /// Notes the answer to a ping: the next is asked an interval from now (Engine.IO v4, "Heartbeat"). Whether none is
    /// under way: one that is may have been asked long before what was written last.
    pub fn note_pong(&self, elapsed: i64) -> bool {
        let life = &self.liveness;
        life.last_activity_at.set(elapsed);
        life.pinged_at.set(elapsed);
        life.unanswered_pings.set(life.unanswered_pings.get().saturating_sub(1));
        life.unanswered_pings.get() == 0
    }

    /// Ends the connection because it sent more frames or bytes than one may.
    pub fn close_over_budget(&self) {
        if self.closed().is_none() {
            self.common.stats.closed_over_budget.add(1);
            self.close_by(Close::Limit, "limits.frames_per_second, limits.bytes_per_second");
        }
    }

    /// Notes whether the transport leaves unread what the client sends, signs of life among it, because it may ask nothing
    /// more for now. Its silence counts from the end of that on.
    pub fn set_reads_paused(&self, unread: bool, elapsed: impl FnOnce() -> i64) {
        if self.liveness.reads_paused.replace(unread) && !unread {
            self.liveness.last_activity_at.set(elapsed());
        }
    }

    /// The client took some of what it had left waiting in a transport that was full.
    pub fn note_output_taken(&self) {
        self.liveness.took_output.set(true);
    }

    /// The client was given all that waited for it. That is a sign of life only while those that it sends are unread.
    pub fn note_polled(&self) {
        if self.liveness.reads_paused.get() {
            self.note_output_taken();
        }
    }

    /// Why a silence of too long ends the session; `None` where it does not. That its client took since it was asked what it
    /// had left waiting is a sign of life: the question may be behind that. One that is not read because it takes nothing is
    /// a slow consumer; that it is not read for any other reason is the hub's doing.
    fn silence_close(&self) -> Option<Close> {
        match (self.liveness.took_output.replace(false), self.liveness.reads_paused.get()) {
            (true, _) => None,
            (false, false) => Some(Close::NoHeartbeat),
            (false, true) => (!self.is_under_half()).then_some(Close::SlowConsumer),
        }
    }

    /// Sets when the session's token ends it.
    pub fn expire_at(&self, expiry: Expiry) {
        self.liveness.expiry.set(expiry);
        self.common.due_times.now(self.addr.slot);
    }

    /// When the session's token ends it.
    pub fn expiry(&self) -> Expiry {
        self.liveness.expiry.get()
    }

    /// Something was offered, or a promise kept: the memory for it can be given back once it is gone.
    pub(super) fn note_queue_use(&self) {
        if self.liveness.queue_memory.replace(QueueMemory::Active) == QueueMemory::Released {
            self.common.due_times.now(self.addr.slot);
        }
    }

    /// Gives the memory of empty queues back, where nothing stirred since the last time.
    fn rest(&self) {
        let rest = match self.liveness.queue_memory.get() {
            QueueMemory::Active => QueueMemory::Idle,
            QueueMemory::Idle if self.output.borrow_mut().release_idle_memory() => QueueMemory::Released,
            as_it_is => as_it_is,
        };
        self.liveness.queue_memory.set(rest);
    }

    /// Judges the session at `now`, ms since the epoch, and `elapsed`, ms by [`crate::runtime::clock::Clock::elapsed_ms`]: expiry by
    /// whichever of the two ends it first, silence and ping by `elapsed`. Says when there will be something to judge again, by `elapsed`.
    pub fn check_liveness(&self, now: i64, elapsed: i64) -> i64 {
        let life = &self.liveness;
        if self.closed().is_some() {
            return i64::MAX;
        }
        if life.expiry.get().is_over(now, elapsed) {
            let fault = Fault::new(Code::TokenExpired, "The token has expired");
            self.refuse(&EventError::of(&fault, &None), now);
            self.close(Close::TokenExpired);
            return i64::MAX;
        }
        let left = life.expiry.get().left(now, elapsed);
        let expiry = left.map_or(i64::MAX, |left| elapsed + left.min(EXPIRY_CHECK_MAX));
        let Some(heartbeat) = life.heartbeat else { return expiry };
        if elapsed >= life.silence_deadline(heartbeat) {
            match self.silence_close() {
                None => life.last_activity_at.set(elapsed),
                Some(Close::SlowConsumer) => {
                    let offer = self.with_outbox(|outbox| outbox.overflow());
                    self.handle_offer(offer, 0);
                    return i64::MAX;
                }
                Some(close) => {
                    self.common.stats.heartbeat_timeouts.add(1);
                    self.close(close);
                    return i64::MAX;
                }
            }
        }
        if elapsed >= life.next_ping_at(heartbeat) {
            life.note_ping(elapsed);
            self.send_ahead(Rc::new(Bytes::from_static(heartbeat.ping_frame)));
        }
        life.silence_deadline(heartbeat).min(life.next_ping_at(heartbeat)).min(expiry)
    }
}

impl SessionTable {
    /// Judges those seats that are due, as [`SessionHandle::judge`] does; and has those rest that can.
    pub fn sweep(&self, now: i64, elapsed: i64) {
        let mut next = 0;
        while let Some(index) = self.common.due_times.due(next, elapsed) {
            next = index + 1;
            let handle = self.slab.borrow().get(index).cloned();
            let due = handle.map_or(i64::MAX, |handle| {
                handle.rest();
                let due = handle.check_liveness(now, elapsed);
                if handle.liveness.queue_memory.get() == QueueMemory::Released {
                    due
                } else {
                    due.min(elapsed + IDLE_MS)
                }
            });
            self.common.due_times.set(index, due);
        }
    }
}

/// When each seat of a worker is to be looked at next, by its index: all that a sweep reads of those that are not due.
#[derive(Debug, Default)]
pub(super) struct DueTimes(RefCell<Vec<i64>>);

impl DueTimes {
    fn set(&self, index: usize, at: i64) {
        let mut dues = self.0.borrow_mut();
        if index >= dues.len() {
            dues.resize(index + 1, i64::MAX);
        }
        if let Some(due) = dues.get_mut(index) {
            *due = at;
        }
    }

    /// Has a seat looked at in the next sweep.
    pub(super) fn now(&self, handle: SlotId) {
        self.set(handle.index as usize, i64::MIN);
    }

    /// The first seat from `next` on that is due.
    fn due(&self, next: usize, elapsed: i64) -> Option<usize> {
        let dues = self.0.borrow();
        Some(next + dues.get(next..)?.iter().position(|&due| due <= elapsed)?)
    }
}

#[cfg(test)]
mod tests;
