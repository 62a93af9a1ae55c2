//! The hub's counters: atomics that the delivery path updates once per batch and that a scrape reads.
//!
//! A new counter is one row of `stats!`, with its field, its metric's name and its help. Requests are counted by event
//! already: [`Stats::events`], the metric `socket_server_events_total{event}`.

use crate::events::ClientEvent;
use crate::events::table::CLIENT;
use crate::facts::{ChatChange, Fact, Observer};
use crate::model::surface::Transport;
use crate::refusal_log::counts::{ByCode, RefusedConnections};
use crate::runtime::count::Count;
use crate::runtime::latency::Latency;
use crate::runtime::minute::Minute;

/// One counter for each event of the table.
#[derive(Debug)]
pub struct ByEvent(Box<[Count]>);

impl Default for ByEvent {
    fn default() -> Self {
        Self(CLIENT.iter().map(|_| Count::increasing()).collect())
    }
}

impl ByEvent {
    /// Counts one event `E`.
    pub fn count<E: ClientEvent>(&self) {
        if let Some(count) = self.0.get(E::INDEX) {
            count.add(1);
        }
    }

    /// The names of the events, with their current counts.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLIENT.iter().map(|row| row.name).zip(self.0.iter().map(Count::get))
    }
}

impl Stats {
    /// Events that the hub received since its start: from clients, refused events included, and from backends over
    /// HTTP.
    pub fn handled(&self) -> u64 {
        self.received.get() + self.commanded.get()
    }

    /// The counter of sessions that connected with or without a token, on this transport.
    pub fn connected(&self, with_token: bool, transport: Transport) -> &Count {
        match (with_token, transport) {
            (true, Transport::WebSocket) => &self.users_by_websocket,
            (true, Transport::Polling) => &self.users_by_polling,
            (false, Transport::WebSocket) => &self.guests_by_websocket,
            (false, Transport::Polling) => &self.guests_by_polling,
        }
    }
}

/// How the values of a metric change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterKind {
    /// It only increases, from 0.
    Counter,
    /// It increases and decreases.
    Gauge,
}

impl CounterKind {
    /// A counter at 0.
    fn count(self) -> Count {
        match self {
            Self::Counter => Count::increasing(),
            Self::Gauge => Count::default(),
        }
    }
}

/// A metric with counters of [`Stats`] as its values.
#[derive(Debug)]
pub struct CounterMetric {
    /// Its name.
    pub name: &'static str,
    /// How its values change.
    pub kind: CounterKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// One sentence, with the unit.
    pub help: &'static str,
    /// Its counters.
    pub series: &'static [Series],
}

/// One counter of a metric.
#[derive(Debug)]
pub struct Series {
    /// The values of the metric's labels.
    pub values: &'static [&'static str],
    /// The counter.
    pub count: fn(&Stats) -> &Count,
}

macro_rules! stats {
    (
        metrics {$(
            $kind:ident $name:literal $([$($label:literal),+])? $help:literal {
                $($field:ident $([$($value:literal),+])?),+ $(,)?
            }
        )*}
        unlisted {$($unlisted_help:literal { $unlisted:ident })*}
    ) => {
        /// The hub's counters since its start.
        #[derive(Debug)]
        pub struct Stats {
            $($(
                #[doc = $help]
                $(#[doc = concat!("\n\nLabels:", $(" `", $value, "`",)+ ".")])?
                pub $field: Count,
            )+)*
            $(#[doc = $unlisted_help] pub $unlisted: Count,)*
            /// Events of the table that clients sent, refused ones included.
            pub events: ByEvent,
            /// The events of [`Stats::handled`], second by second.
            pub minute: Minute,
            /// Time from accepting a publication to writing it, for a sample of the deliveries.
            pub delivery_latency: Latency,
            /// Refusals by code, logged or omitted by the log's rate limit.
            pub refusals: ByCode,
            /// Connections refused, by surface and reason.
            pub connections_refused: RefusedConnections,
        }

        impl Default for Stats {
            fn default() -> Self {
                Self {
                    $($($field: CounterKind::$kind.count(),)+)*
                    $($unlisted: Count::default(),)*
                    events: ByEvent::default(),
                    minute: Minute::default(),
                    delivery_latency: Latency::default(),
                    refusals: ByCode::default(),
                    connections_refused: RefusedConnections::default(),
                }
            }
        }

        impl Stats {
            /// The metrics that show the counters.
            pub const METRICS: &[CounterMetric] = &[$(CounterMetric {
                name: $name,
                kind: CounterKind::$kind,
                labels: &[$($($label),+)?],
                help: $help,
                series: &[$(Series { values: &[$($($value),+)?], count: |stats| &stats.$field }),+],
            }),*];

            /// Every counter, by its name.
            pub const COUNTS: &[(&'static str, fn(&Self) -> &Count)] = &[
                $($((stringify!($field), |stats: &Self| &stats.$field),)+)*
                $((stringify!($unlisted), |stats: &Self| &stats.$unlisted),)*
            ];
        }
    };
}

stats! {
    // kind, name, labels, help, { field, values of the labels }
    metrics {
        Gauge "websocket_connections_active"
            "Open sessions on all surfaces." { sessions }
        Counter "websocket_connections_total"
            "Sessions opened on all surfaces since the start." { sessions_opened }
        Counter "socket_server_connections_total" ["authenticated", "transport"]
            "Sessions opened since the start, by whether they had a token and by transport." {
                users_by_websocket ["true", "websocket"],
                users_by_polling ["true", "polling"],
                guests_by_websocket ["false", "websocket"],
                guests_by_polling ["false", "polling"],
        }
        Gauge "hubbub_connections_pending"
            "Open Socket.IO connections that have not joined a namespace yet." { pending_connections }
        Counter "hubbub_refusals_unlogged_total"
            "Refusals left out of the log because of the bound for each source." { refusals_unlogged }
        Counter "hubbub_connections_closed_total" ["reason"]
            "Connections closed by the hub, by reason." {
                closed_over_budget ["budget"],
                closed_for_newcomers ["newcomers"],
                closed_unused ["unused"],
        }
        Counter "hubbub_sessions_closed_total" ["reason"]
            "Sessions closed by the hub, by reason." {
                slow_consumers ["slow_consumer"],
                heartbeat_timeouts ["heartbeat_timeout"],
        }
        Counter "hubbub_observations_lost_total" ["reason"]
            "Connection events that monitoring:events does not show, by reason." {
                observations_dropped ["overload"],
                observations_suppressed ["flood"],
        }
        Gauge "hubbub_debugging_sessions"
            "Sessions in debug mode." { debugging }
        Counter "hubbub_messages_received_total"
            "Messages received from clients, refused ones included." { received }
        Counter "hubbub_messages_published_total"
            "Messages accepted for a room, a user or all users." { published }
        Counter "hubbub_backend_events_total"
            "Events that backends published over HTTP." { commanded }
        Counter "hubbub_frames_sent_total"
            "Frames put into outboxes: deliveries and replies." { sent }
        Counter "hubbub_dropped_frames_total" ["reason"]
            "Frames discarded from outboxes before they were sent, by reason." {
                dropped_slow_consumer ["slow_consumer"],
        }
        Counter "hubbub_errors_total"
            "Refusals sent to clients." { errors }
        Counter "hubbub_rate_limited_total"
            "Messages and connections refused because of a limit." { rate_limited }
        Gauge "hubbub_users"
            "Users with at least one open session." { users }
        Gauge "hubbub_rooms"
            "Rooms with a member or a suspended session." { rooms }
        Counter "hubbub_room_joins_total"
            "Sessions that joined a room, recovered sessions included, without internal rooms." { joins }
        Counter "hubbub_room_leaves_total"
            "Sessions that left a room or were suspended in it, without internal rooms." { leaves }
        Counter "hubbub_chat_changes_total" ["change"]
            "Changes of chats since the start, by kind, without chats that the start creates from the configuration." {
                chats_created ["created"],
                chats_replaced ["replaced"],
                chats_deleted ["deleted"],
        }
        Gauge "hubbub_history_bytes"
            "Memory of the histories of all topics, in bytes." { history_bytes }
        Counter "hubbub_histories_evicted_total"
            "Topic histories discarded because the memory for histories was full." { histories_evicted }
        Counter "hubbub_presence_changes_total" ["outcome"]
            "Changes of users between online and offline and of their status, by outcome of the announcement." {
                presence_announced ["announced"],
                presence_coalesced ["coalesced"],
                presence_suppressed ["suppressed"],
        }
        Counter "hubbub_presence_deliveries_total"
            "Frames sent to announce presence: online, offline, status changes, and lists in users:online." {
                presence_deliveries,
        }
        Gauge "hubbub_chat_typists"
            "Typing users, counted once for each chat." { typing }
        Counter "hubbub_chat_join_leave_suppressed_total"
            "Joins and leaves of a chat that were announced only by room:online-update." { join_leave_suppressed }
        Counter "hubbub_chat_receipts_narrowed_total"
            "Receipts in large chats that were sent only to the author of the message." { receipts_narrowed }
        Counter "hubbub_notifications_kept_total"
            "Notifications written to the store, repeated ones included." { notifications_kept }
        Counter "hubbub_notifications_redelivered_total"
            "Unread notifications delivered when their user connected." { notifications_redelivered }
        Counter "hubbub_notifications_read_total"
            "Notifications marked as read by their user." { notifications_read }
        Counter "hubbub_notifications_pruned_total"
            "Notifications deleted because of their age or their number." { notifications_pruned }
        Gauge "hubbub_suspended_sessions"
            "Sessions that lost their connection and can be recovered." { suspended }
        Gauge "hubbub_buffered_messages"
            "Publications buffered for sessions that may be recovered." { buffered_messages }
        Gauge "hubbub_recovery_bytes"
            "Memory of the publications buffered for recovery, in bytes." { recovery_bytes }
        Counter "hubbub_recovery_evicted_total"
            "Publications buffered for recovery that a bound evicted." { log_evicted }
        Counter "hubbub_sessions_recovered_total"
            "Sessions recovered after a lost connection." { recovered }
        Counter "hubbub_sessions_not_recovered_total"
            "Attempts of clients on / to recover a session that failed." { not_recovered }
        Counter "hubbub_sessions_evicted_total"
            "Sessions discarded before the end of their recovery window to make room." { suspended_evicted }
    }
    // Counters that no metric shows directly.
    unlisted {
        "Sum of the times at which the open sessions connected, in ms since the Unix epoch." { sessions_since }
        "Messages refused because a queue was full; its metric adds the store's." { overloads }
    }
}

impl Observer for Stats {
    fn observe(&self, fact: Fact<'_>) {
        match fact {
            Fact::Joined { room, .. } => self.joins.add(u64::from(!room.is_internal())),
            Fact::Left { room, .. } => self.leaves.add(u64::from(!room.is_internal())),
            Fact::Online(_) => self.users.add(1),
            Fact::Offline(_) => self.users.sub(1),
            Fact::Published { .. } => self.published.add(1),
            Fact::ChatChanged { change: ChatChange::Created, .. } => self.chats_created.add(1),
            Fact::ChatChanged { change: ChatChange::Replaced, .. } => self.chats_replaced.add(1),
            Fact::ChatChanged { change: ChatChange::Deleted, .. } => self.chats_deleted.add(1),
            // The registry, the session and the log of refusals count these in more detail.
            Fact::SessionOpened(_) | Fact::SessionClosed(_) | Fact::RequestRefused(_) | Fact::ConnectionRefused(_) => {}
        }
    }
}
