//! What the hub counts: plain atomics, added to once a batch on the delivery path and read when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number that only grows, or goes up and down.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes `n` away; only for numbers that go up and down.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! stats {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// The hub's counters, since its start.
        #[derive(Debug, Default)]
        pub struct Stats {
            $($(#[$doc])* pub $field: Count,)*
        }
    };
}

stats! {
    /// Sessions there are now.
    sessions,
    /// Sessions there ever were.
    sessions_opened,
    /// Users with at least one session.
    users,
    /// Rooms with a member, without those the hub keeps for itself.
    rooms,
    /// Messages that came from clients, refused ones included.
    received,
    /// Frames put into outboxes: deliveries and answers.
    sent,
    /// Messages accepted for a room, a user or everybody.
    published,
    /// Answers that were a refusal.
    errors,
    /// Sessions closed because they did not read what they were sent.
    slow_consumers,
    /// Frames that were waiting in an outbox when it overflowed.
    dropped_slow_consumer,
    /// Sessions closed because nothing was heard from them.
    heartbeat_timeouts,
    /// Messages refused because a queue inside was full.
    overloads,
    /// Messages and connections refused by a limit.
    rate_limited,
    /// Sessions in debug mode.
    debugging,
    /// Users' comings and goings that others were told of.
    presence_told,
    /// Frames that took.
    presence_deliveries,
    /// Comings and goings that took each other back before anybody was told.
    presence_coalesced,
    /// Comings and goings that nobody was told of because there were too many.
    presence_suppressed,
}
