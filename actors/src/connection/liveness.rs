//! Liveness of a session: heartbeat and token expiry. Each session has a due time, so an idle session costs nothing
//! between two pings.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;

use super::{SessionHandle, SessionTable, SlotId};
use crate::model::close::Close;
use crate::model::fault::{Code, Fault};
use crate::publication::EventError;
use crate::runtime::clock::Expiry;

/// The interval of pings, and the longest silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Time between two pings, ms.
    pub interval_ms: i64,
    /// Silence that ends the session, ms.
    pub timeout_ms: i64,
    /// The ping frame.
    pub ping_frame: &'static [u8],
}

/// Longest time between two checks of an expiry, ms: the wall clock can be set.
const EXPIRY_CHECK_MAX: i64 = 30_000;

/// Idle time before the memory of empty queues is freed, ms. A session with a message every second keeps it.
const IDLE_MS: i64 = 1_000;

/// The liveness of a session.
#[derive(Debug)]
pub(super) struct Liveness {
    heartbeat: Option<Heartbeat>,
    last_activity_at: Cell<i64>,
    pinged_at: Cell<i64>,
    /// When the first ping since the last activity was sent.
    first_ping_at: Cell<i64>,
    /// Pings without a pong.
    unanswered_pings: Cell<u32>,
    expiry: Cell<Expiry>,
    queue_memory: Cell<QueueMemory>,
    /// Whether the transport has paused reading. Then pongs stay unread.
    reads_paused: Cell<bool>,
    /// Whether the client read output since the last ping.
    has_read_output: Cell<bool>,
}

/// Whether a session holds memory for empty queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QueueMemory {
    /// The queues were used since the last check.
    Active,
    /// The queues were not used since the last check.
    Idle,
    /// The memory is freed.
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
            has_read_output: Cell::new(false),
        }
    }

    /// When silence ends the session. The client has at least half of the timeout after the ping, even if the ping was
    /// late.
    fn silence_deadline(&self, heartbeat: Heartbeat) -> i64 {
        let (active_at, pinged_at) = (self.last_activity_at.get(), self.first_ping_at.get());
        if pinged_at < active_at {
            return i64::MAX;
        }
        let for_pong = heartbeat.timeout_ms - heartbeat.interval_ms;
        (active_at + heartbeat.timeout_ms).max(pinged_at + (for_pong + 1) / 2)
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
            self.has_read_output.set(false);
        }
    }
}

impl SessionHandle {
    /// Records activity at `elapsed`, ms by [`crate::runtime::clock::Clock::elapsed_ms`]. For a multiplexed connection
    /// only pongs count.
    pub fn note_activity(&self, elapsed: i64) {
        if !self.multiplexed {
            self.liveness.last_activity_at.set(elapsed);
        }
    }

    /// Records a pong. The next ping follows an interval later (Engine.IO v4, "Heartbeat"). `true` when no other ping
    /// is pending; a pending ping may be older than the last output.
    pub fn note_pong(&self, elapsed: i64) -> bool {
        let life = &self.liveness;
        life.last_activity_at.set(elapsed);
        life.pinged_at.set(elapsed);
        life.unanswered_pings.set(life.unanswered_pings.get().saturating_sub(1));
        life.unanswered_pings.get() == 0
    }

    /// Closes the connection because it exceeded its frames or bytes per second.
    pub fn close_over_budget(&self) {
        if self.closed().is_none() {
            self.common.stats.closed_over_budget.add(1);
            self.close_by(Close::Limit, "limits.frames_per_second, limits.bytes_per_second");
        }
    }

    /// Records whether the transport has paused reading. Silence counts from the end of the pause.
    pub fn set_reads_paused(&self, paused: bool, elapsed: impl FnOnce() -> i64) {
        if self.liveness.reads_paused.replace(paused) && !paused {
            self.liveness.last_activity_at.set(elapsed());
        }
    }

    /// Records that the client read output from a full transport.
    pub fn note_output_read(&self) {
        self.liveness.has_read_output.set(true);
    }

    /// Records that the client polled all its output. This counts as activity only while its input stays unread.
    pub fn note_polled(&self) {
        if self.liveness.reads_paused.get() {
            self.note_output_read();
        }
    }

    /// The close reason of a silent session; `None` keeps it open. Output that was read since the ping counts as
    /// activity, because the ping may wait behind it. A paused session with a full outbox is a slow consumer. Any other
    /// pause is caused by the hub.
    fn silence_close(&self) -> Option<Close> {
        match (self.liveness.has_read_output.replace(false), self.liveness.reads_paused.get()) {
            (true, _) => None,
            (false, false) => Some(Close::NoHeartbeat),
            (false, true) => (!self.is_under_half()).then_some(Close::SlowConsumer),
        }
    }

    /// Sets the token's expiry.
    pub fn expire_at(&self, expiry: Expiry) {
        self.liveness.expiry.set(expiry);
        self.common.due_times.now(self.addr.slot);
    }

    /// The token's expiry.
    pub fn expiry(&self) -> Expiry {
        self.liveness.expiry.get()
    }

    /// Records use of the queues: their memory can be freed once they are empty.
    pub(super) fn note_queue_use(&self) {
        if self.liveness.queue_memory.replace(QueueMemory::Active) == QueueMemory::Released {
            self.common.due_times.now(self.addr.slot);
        }
    }

    /// Frees the memory of empty queues that were idle since the last check.
    fn release_idle_queues(&self) {
        let state = match self.liveness.queue_memory.get() {
            QueueMemory::Active => QueueMemory::Idle,
            QueueMemory::Idle if self.output.borrow_mut().release_idle_memory() => QueueMemory::Released,
            state => state,
        };
        self.liveness.queue_memory.set(state);
    }

    /// Checks the session at `now`, ms since the epoch, and `elapsed`, ms by
    /// [`crate::runtime::clock::Clock::elapsed_ms`]. Expiry uses the earlier of the two clocks; silence and pings use
    /// `elapsed`. Returns the time of the next check, by `elapsed`.
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
    /// Checks all due sessions, and frees the memory of idle queues.
    pub fn sweep(&self, now: i64, elapsed: i64) {
        let mut next = 0;
        while let Some(index) = self.common.due_times.due(next, elapsed) {
            next = index + 1;
            let handle = self.slab.borrow().get(index).cloned();
            let due = handle.map_or(i64::MAX, |handle| {
                handle.release_idle_queues();
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

/// The next check of each session, by slot index. A sweep reads nothing else of sessions that are not due.
#[derive(Debug, Default)]
pub(super) struct DueTimes(RefCell<Vec<i64>>);

impl DueTimes {
    fn set(&self, index: usize, at: i64) {
        let mut due_times = self.0.borrow_mut();
        if index >= due_times.len() {
            due_times.resize(index + 1, i64::MAX);
        }
        if let Some(due) = due_times.get_mut(index) {
            *due = at;
        }
    }

    /// Makes a session due in the next sweep.
    pub(super) fn now(&self, handle: SlotId) {
        self.set(handle.index as usize, i64::MIN);
    }

    /// The first due slot from `next` on.
    fn due(&self, next: usize, elapsed: i64) -> Option<usize> {
        let due_times = self.0.borrow();
        Some(next + due_times.get(next..)?.iter().position(|&due| due <= elapsed)?)
    }
}

#[cfg(test)]
mod tests;
