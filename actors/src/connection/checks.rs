//! The checks of a worker's sessions and connections: expiry, heartbeat, and the memory of idle queues. Each has a due
//! time, so an idle one costs nothing between two checks.

use std::cell::RefCell;

use super::outbox::Outbox;
use super::{Connection, SessionHandle, SessionTable};
use crate::model::close::Close;
use crate::model::fault::{Code, Fault};
use crate::publication::EventError;
use crate::runtime::clock::Expiry;

/// Longest time between two checks of an expiry, ms: the wall clock can be set.
const EXPIRY_CHECK_MAX: i64 = 30_000;

impl SessionHandle {
    /// Sets the token's expiry.
    pub fn expire_at(&self, expiry: Expiry) {
        self.expiry.set(expiry);
        self.common.session_checks.now(self.slot.index());
    }

    /// The token's expiry.
    pub fn expiry(&self) -> Expiry {
        self.expiry.get()
    }

    /// Records use of the replies: their memory can be freed once they are empty.
    pub(super) fn note_queue_use(&self) {
        if self.queue_memory.note_use() {
            self.common.session_checks.now(self.slot.index());
        }
    }

    /// Closes the session if its token has expired at `now`, ms since the epoch, or at `elapsed`, ms by
    /// [`crate::runtime::clock::Clock::elapsed_ms`], whichever is earlier. Returns the time of the next check.
    pub fn check_expiry(&self, now: i64, elapsed: i64) -> i64 {
        if self.closed().is_some() {
            return i64::MAX;
        }
        let expiry = self.expiry.get();
        if expiry.is_over(now, elapsed) {
            let fault = Fault::new(Code::TokenExpired, "The token has expired");
            self.refuse(&EventError::of(&fault, &None), now);
            self.close(Close::TokenExpired);
            return i64::MAX;
        }
        expiry.left(now, elapsed).map_or(i64::MAX, |left| elapsed + left.min(EXPIRY_CHECK_MAX))
    }

    fn check(&self, now: i64, elapsed: i64) -> i64 {
        let due = self.check_expiry(now, elapsed);
        let idle = self.queue_memory.check(|| self.output.borrow_mut().release_idle_memory());
        due.min(idle.map_or(i64::MAX, |idle| elapsed + idle))
    }
}

impl Connection {
    /// Records use of the outbox: its memory can be freed once it is empty.
    pub(super) fn note_queue_use(&self) {
        if self.queue_memory.note_use() {
            self.common.connection_checks.now(self.key.index());
        }
    }

    fn check(&self, elapsed: i64) -> i64 {
        // A ping uses the outbox, so its memory is checked afterwards.
        let due = self.check_heartbeat(elapsed);
        let idle = self.queue_memory.check(|| self.with_outbox(Outbox::release_idle_memory));
        due.min(idle.map_or(i64::MAX, |idle| elapsed + idle))
    }
}

impl SessionTable {
    /// Checks all due sessions and connections.
    pub fn sweep(&self, now: i64, elapsed: i64) {
        self.common.session_checks.run(elapsed, |index| {
            let session = self.slab.borrow().get(index).cloned();
            session.map_or(i64::MAX, |session| session.check(now, elapsed))
        });
        self.common.connection_checks.run(elapsed, |key| {
            let connection = self.common.connections.borrow().get(key).and_then(std::rc::Weak::upgrade);
            connection.map_or(i64::MAX, |connection| connection.check(elapsed))
        });
    }
}

/// The next check of each session or connection, by its index. A sweep reads nothing else of those that are not due.
#[derive(Debug, Default)]
pub(super) struct DueTimes(RefCell<Vec<i64>>);

impl DueTimes {
    /// Runs `check` for everything that is due. It returns the time of its next check.
    fn run(&self, elapsed: i64, check: impl Fn(usize) -> i64) {
        let mut next = 0;
        while let Some(index) = self.due(next, elapsed) {
            next = index + 1;
            let due = check(index);
            self.set(index, due);
        }
    }

    fn set(&self, index: usize, at: i64) {
        let mut due_times = self.0.borrow_mut();
        if index >= due_times.len() {
            due_times.resize(index + 1, i64::MAX);
        }
        if let Some(due) = due_times.get_mut(index) {
            *due = at;
        }
    }

    /// Makes `index` due in the next sweep.
    pub(super) fn now(&self, index: usize) {
        self.set(index, i64::MIN);
    }

    /// The first due index from `next` on.
    pub(super) fn due(&self, next: usize, elapsed: i64) -> Option<usize> {
        let due_times = self.0.borrow();
        Some(next + due_times.get(next..)?.iter().position(|&due| due <= elapsed)?)
    }
}

#[cfg(test)]
mod tests;
