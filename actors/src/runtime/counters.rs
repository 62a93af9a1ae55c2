//! What the hub counts: plain atomics, added to once a batch on the delivery path and read when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::events::ClientEvent;
use crate::events::table::CLIENT;
use crate::model::surface::Transport;
use crate::refusal_log::counts::{ByCode, RefusedConnections};
use crate::runtime::latency::Latency;
use crate::runtime::minute::Minute;

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

/// A number for each event of the table.
#[derive(Debug)]
pub struct ByEvent(Box<[Count]>);

impl Default for ByEvent {
    fn default() -> Self {
        Self(CLIENT.iter().map(|_| Count::default()).collect())
    }
}

impl ByEvent {
    /// Counts one event `E`.
    pub fn count<E: ClientEvent>(&self) {
        if let Some(count) = self.0.get(E::INDEX) {
            count.add(1);
        }
    }

    /// The events by their names, and the numbers now.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLIENT.iter().map(|row| row.name).zip(self.0.iter().map(Count::get))
    }
}

impl Stats {
    /// Events that the hub was given since its start: by clients, refused ones included, and by backends over HTTP.
    pub fn handled(&self) -> u64 {
        self.received.get() + self.commanded.get()
    }

    /// The sessions that came like this.
    pub fn connected(&self, with_token: bool, transport: Transport) -> &Count {
        match (with_token, transport) {
            (true, Transport::WebSocket) => &self.known_by_websocket,
            (true, Transport::Polling) => &self.known_by_polling,
            (false, Transport::WebSocket) => &self.guests_by_websocket,
            (false, Transport::Polling) => &self.guests_by_polling,
        }
    }
}

macro_rules! stats {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// The hub's counters, since its start.
        #[derive(Debug, Default)]
        pub struct Stats {
            $($(#[$doc])* pub $field: Count,)*
            /// Events of the table that clients sent, refused ones included.
            pub events: ByEvent,
            /// What is counted by [`Stats::handled`], second by second.
            pub minute: Minute,
            /// From the acceptance of a publication to its writing, for a sample of the deliveries.
            pub delivery_latency: Latency,
            /// Refusals, by code: those that are logged, or would be.
            pub refusals: ByCode,
            /// Connections refused, by where and why.
            pub connections_refused: RefusedConnections,
        }

        impl Stats {
            /// Every single counter, by its name.
            pub const COUNTS: &[(&'static str, fn(&Self) -> &Count)] =
                &[$((stringify!($field), |stats| &stats.$field),)*];
        }
    };
}

stats! {
    /// Sessions there are now.
    sessions,
    /// When those connected, ms since the epoch, all added up.
    sessions_since,
    /// Sessions there ever were.
    sessions_opened,
    /// Those that came with a token, on a WebSocket.
    known_by_websocket,
    /// Those that came with one, by polling.
    known_by_polling,
    /// Those that came without, on a WebSocket.
    guests_by_websocket,
    /// Those that came without, by polling.
    guests_by_polling,
    /// Users with at least one session.
    users,
    /// Rooms with a member, without those the hub keeps for itself.
    rooms,
    /// Messages that came from clients, refused ones included.
    received,
    /// Events that backends published over HTTP.
    commanded,
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
    /// Connections that have not joined a namespace yet.
    pending_connections,
    /// Such connections that were closed to give way to newer ones.
    closed_for_newcomers,
    /// Connections closed because no request came after their handshake.
    closed_unused,
    /// Connections closed because they sent more frames or bytes than one may.
    closed_over_budget,
    /// Messages refused because a queue inside was full.
    overloads,
    /// Messages and connections refused by a limit.
    rate_limited,
    /// Refusals that the log leaves out because there were too many.
    refusals_unlogged,
    /// Events of connections that the monitor's mailbox had no place for.
    observations_dropped,
    /// Refused connections that were not remembered because there were too many.
    observations_suppressed,
    /// Notifications that were kept.
    notifications_kept,
    /// Notifications that were delivered again, behind a connect.
    notifications_redelivered,
    /// Notifications that users said were read.
    notifications_read,
    /// Notifications that gave way to newer ones or became too old.
    notifications_pruned,
    /// Users who type in a chat, counted in each.
    typing,
    /// Receipts that in a large chat only the author was told of.
    receipts_narrowed,
    /// Users who came into a chat or went, of whom the others were told by an update alone.
    comings_untold,
    /// Sessions that were cut off and may come back.
    suspended,
    /// Messages kept for those.
    parked_messages,
    /// What is kept for those who may come back, and was sent last to those who are there, in bytes.
    retained_bytes,
    /// Such sessions that came back.
    recovered,
    /// Clients that came back for a session and were told that it does not go on.
    not_recovered,
    /// Such sessions that gave way to newer ones.
    parked_evicted,
    /// What the messages that are kept for those who missed them are counted as, in bytes.
    history_bytes,
    /// Histories of rooms that gave way to others.
    histories_evicted,
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
