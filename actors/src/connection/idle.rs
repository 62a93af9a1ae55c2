//! Frees the memory of empty queues once they were not used for a while.

use std::cell::Cell;

/// Idle time before the memory of empty queues is freed, ms. A queue with a message every second keeps it.
pub(super) const IDLE_MS: i64 = 1_000;

/// Whether empty queues hold memory.
#[derive(Debug, Default)]
pub(super) struct QueueMemory(Cell<State>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// The queues were used since the last check.
    Active,
    /// The queues were not used since the last check.
    Idle,
    /// The memory is freed.
    #[default]
    Released,
}

impl QueueMemory {
    /// Records use of the queues. `true`: checks must begin.
    pub(super) fn note_use(&self) -> bool {
        self.0.replace(State::Active) == State::Released
    }

    /// Checks the queues. `release` frees the memory of empty ones, and returns whether all were empty. Returns the time
    /// until the next check, ms; `None` when the memory is freed.
    pub(super) fn check(&self, release: impl FnOnce() -> bool) -> Option<i64> {
        let state = match self.0.get() {
            State::Active => State::Idle,
            State::Idle if release() => State::Released,
            state => state,
        };
        self.0.set(state);
        (state != State::Released).then_some(IDLE_MS)
    }
}
