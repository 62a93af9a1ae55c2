//! The settings of the hub at its start and after a reload. The reader of the configuration checks the values.

use std::sync::Arc;

use crate::connection::outbox::OutboxCapacity;
use crate::connection::{Heartbeat, ProofOfLife};
use crate::presence;
use crate::publication::MessageKind;
use crate::rooms::LagLimit;
use crate::rooms::actor::messages::RoomSettings;
use crate::rooms::publication_log::LogLimits;
use crate::rooms::rules::Rules;
use crate::runtime::clock::Clock;

/// The current settings.
pub type CurrentSettings = arc_swap::Guard<Arc<Settings>>;

/// The settings at the start, and later by [`Hub::reconfigure`](super::Hub::reconfigure).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Worker threads.
    pub workers: usize,
    /// The environment that clients see: `production`.
    pub environment: String,
    /// The most connections at once.
    pub max_connections: usize,
    /// The bound of a central actor's mailbox, in messages.
    pub mailbox: usize,
    /// What may wait for one worker.
    pub lag: LagLimit,
    /// The bound of a session's outbox.
    pub outbox: OutboxCapacity,
    /// The most rooms that clients create, without internal rooms.
    pub rooms: usize,
    /// The most rooms that one user creates.
    pub rooms_per_user: usize,
    /// The bytes of all histories together.
    pub history_bytes: usize,
    /// The most rooms of one session.
    pub rooms_per_session: usize,
    /// The most bytes of one payload that a client publishes.
    pub payload_max: usize,
    /// The most topics in one request.
    pub topics_per_request: usize,
    /// Messages a minute.
    pub messages_per_minute: MessagesPerMinute,
    /// The chat limits of a user.
    pub chat_per_minute: ChatPerMinute,
    /// `notification_read` events a minute of one session; 0: no limit.
    pub notifications_per_minute: u32,
    /// The most connections of one guest; 0: no limit.
    pub connections_per_user: u32,
    /// Typing events a minute of one session; 0: no limit.
    pub typing_per_minute: u32,
    /// Typing ends this long after the last typing event, ms.
    pub typing_ms: i64,
    /// Presence.
    pub presence: presence::PresenceSettings,
    /// Debug mode.
    pub debug: DebugSettings,
    /// Reads the memory limit of this process in bytes; `None` without a limit.
    pub memory_max: fn() -> Option<u64>,
    /// How long a session may stay unauthenticated, ms.
    pub grace_ms: i64,
    /// The heartbeat of raw connections.
    pub heartbeat: Arc<Heartbeat>,
    /// The shortest time between two pings on any surface, ms.
    pub shortest_heartbeat_ms: i64,
    /// The access rules of topics.
    pub rules: Rules,
    /// Whether a join creates a missing chat, as a public one.
    pub auto_create_chats: bool,
    /// The most chats that one user creates by joining them.
    pub chats_per_user: usize,
    /// Recovery of suspended sessions.
    pub recovery: RecoverySettings,
    /// The source of time.
    pub clock: Clock,
}

/// A hub of one worker with ample bounds, no limits a minute, no topics, and pings without content. A program that serves
/// clients sets the fields of its configuration; a test sets the fields that it tests.
impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 1,
            environment: "production".to_owned(),
            max_connections: 10_000,
            mailbox: 1_024,
            lag: LagLimit { entries: 100_000, bytes: 1 << 26 },
            outbox: OutboxCapacity { bytes: 1 << 20, entries: 16_384 },
            rooms: 1_000_000,
            rooms_per_user: 1_000,
            history_bytes: 1 << 26,
            rooms_per_session: 1_000,
            payload_max: 65_536,
            topics_per_request: 100,
            messages_per_minute: MessagesPerMinute::default(),
            chat_per_minute: ChatPerMinute::default(),
            notifications_per_minute: 0,
            connections_per_user: 0,
            typing_per_minute: 0,
            typing_ms: 5_000,
            presence: presence::PresenceSettings::default(),
            debug: DebugSettings { open: false, interval_ms: 5_000, memory: || 0 },
            memory_max: || None,
            grace_ms: 10_000,
            heartbeat: Arc::new(Heartbeat {
                interval_ms: 25_000,
                timeout_ms: 60_000,
                ping: (MessageKind::Ping, ""),
                proof: ProofOfLife::AnyFrame,
            }),
            shortest_heartbeat_ms: 25_000,
            rules: Rules::default(),
            auto_create_chats: false,
            chats_per_user: 100,
            recovery: RecoverySettings { window_ms: 120_000, queue: 500, bytes: 1 << 26 },
            clock: Clock::System,
        }
    }
}

impl Settings {
    /// The most that is replayed to one session, and kept of one room: `recovery.queue` publications and half of the
    /// outbox bytes.
    fn recovery_max(&self) -> OutboxCapacity {
        OutboxCapacity { bytes: self.outbox.half().bytes, entries: self.recovery.queue }
    }

    fn log_limits(&self) -> LogLimits {
        let OutboxCapacity { bytes: room_bytes, entries: publications } = self.recovery_max();
        let RecoverySettings { window_ms, bytes, .. } = self.recovery;
        LogLimits { publications, room_bytes, bytes, window_ms }
    }

    /// The settings of the room actor.
    pub(crate) fn for_rooms(&self) -> RoomSettings {
        RoomSettings {
            rules: self.rules.clone(),
            history_bytes: self.history_bytes,
            lag: self.lag,
            replay_max: self.outbox.half(),
            recovery_max: self.recovery_max(),
            log: self.log_limits(),
        }
    }
}

/// Recovery of suspended sessions.
#[derive(Debug, Clone, Copy)]
pub struct RecoverySettings {
    /// How long a session stays suspended, ms; 0: recovery is off.
    pub window_ms: i64,
    /// The newest publications that are kept of one room, and replayed to one session.
    pub queue: usize,
    /// The bytes of all kept publications.
    pub bytes: usize,
}

/// Debug mode: metrics of the hub on a connection.
#[derive(Debug, Clone, Copy)]
pub struct DebugSettings {
    /// Whether every user may enable it, not only admins.
    pub open: bool,
    /// The time between two reports, ms.
    pub interval_ms: u64,
    /// Reads the resident memory of this process in bytes.
    pub memory: fn() -> u64,
}

/// Messages a minute of one session, by its surface; 0: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessagesPerMinute {
    /// On the raw WebSocket.
    pub raw: u32,
    /// On `/`, with a token at connect.
    pub push: u32,
    /// On `/`, with a later token or none.
    pub community: u32,
    /// On `/chat`, without the events of [`ChatPerMinute`].
    pub chat: u32,
}

/// Chat events a minute of one user, over all sessions on all surfaces; 0: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChatPerMinute {
    /// Messages.
    pub messages: u32,
    /// Typing events.
    pub typing: u32,
}
