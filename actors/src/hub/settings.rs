//! What the hub is told when it starts, and when its configuration is loaded again. Knows no configuration file: the numbers are checked where they are read.

use crate::connection::Heartbeat;
use crate::connection::outbox::OutboxCapacity;
use crate::presence;
use crate::publication::Encoder;
use crate::rooms::rules::Rules;
use crate::runtime::clock::Clock;

/// The settings of a moment.
pub type CurrentSettings = arc_swap::Guard<std::sync::Arc<Settings>>;

/// What the hub is told when it starts, and by [`Hub::reconfigure`](super::Hub::reconfigure) later.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Worker threads, each with a share of the rooms.
    pub workers: usize,
    /// Where the hub runs, as clients are told: `production`.
    pub environment: String,
    /// Connections at once.
    pub max_connections: usize,
    /// Messages that may wait before a central actor.
    pub mailbox: usize,
    /// What one session that does not read may have waiting.
    pub outbox: OutboxCapacity,
    /// Rooms that clients may make, in all; those that the hub keeps for itself are not counted.
    pub rooms: usize,
    /// Rooms that may exist because one user made them.
    pub rooms_per_user: usize,
    /// Bytes of messages kept for those who missed them, of all rooms together.
    pub history_bytes: usize,
    /// Rooms a session may be in.
    pub rooms_per_session: usize,
    /// Bytes of what one client may have passed on to others.
    pub payload_max: usize,
    /// Topics a request may name.
    pub topics_per_request: usize,
    /// Messages a minute.
    pub messages_per_minute: MessagesPerMinute,
    /// What a user may say in chats.
    pub chat_per_minute: ChatPerMinute,
    /// `notification_read` a minute one session may send; 0 is no limit.
    pub notifications_per_minute: u32,
    /// Connections at once of one user who came without a token; 0 is no limit.
    pub connections_per_user: u32,
    /// Typing events a minute one session may send; 0 is no limit.
    pub typing_per_minute: u32,
    /// After which silence a typist stops typing, ms.
    pub typing_ms: i64,
    /// How presence is told.
    pub presence: presence::Settings,
    /// Debug mode.
    pub debug: DebugMode,
    /// Tells the bytes of memory that this process may have; `None` where the system does not.
    pub memory_max: fn() -> Option<u64>,
    /// How long a session may go without a user, ms.
    pub grace_ms: i64,
    /// The heartbeat of raw connections.
    pub heartbeat: Heartbeat,
    /// The shortest time between two pings on any surface, ms.
    pub shortest_heartbeat_ms: i64,
    /// Who may subscribe and publish where.
    pub rules: Rules,
    /// Whether joining a chat that does not exist makes it, public.
    pub auto_create_chats: bool,
    /// Chats that one user may make so.
    pub chats_per_user: usize,
    /// What is kept for sessions that were cut off.
    pub recovery: RecoverySettings,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Settings {
    /// What may be kept for one session that was cut off: the messages, and half of what may wait for it.
    pub(crate) fn kept_max(&self) -> OutboxCapacity {
        OutboxCapacity { bytes: self.outbox.half().bytes, frames: self.recovery.queue }
    }

    /// Bytes that one worker keeps for sessions that may come back: its share.
    pub(crate) fn retained_bytes_max(&self) -> usize {
        self.recovery.bytes / self.workers.max(1)
    }

    /// Bytes of history that one shard keeps: its share.
    pub(crate) fn history_bytes_max(&self) -> usize {
        self.history_bytes / self.workers.max(1)
    }
}

/// What is kept for sessions that were cut off.
#[derive(Debug, Clone, Copy)]
pub struct RecoverySettings {
    /// For how long, ms; 0 is not at all.
    pub window_ms: i64,
    /// Messages kept for one, the newest.
    pub queue: usize,
    /// Bytes of messages kept for all of them, and of those sent last to sessions that say what they got.
    pub bytes: usize,
    /// The wire of those.
    pub wire: &'static dyn Encoder,
}

/// Debug mode: figures of the hub on a connection.
#[derive(Debug, Clone, Copy)]
pub struct DebugMode {
    /// Whether every user may ask for it, not only admins.
    pub open: bool,
    /// Between two figures, ms.
    pub interval_ms: u64,
    /// Tells the bytes of this process that are in memory.
    pub memory: fn() -> u64,
}

/// Messages a minute one session may send, by what it is; 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessagesPerMinute {
    /// On the raw WebSocket.
    pub raw: u32,
    /// On `/` with a token at connect.
    pub push: u32,
    /// On `/` with a token later, or none yet.
    pub community: u32,
    /// On `/chat`, without what [`ChatPerMinute`] counts.
    pub chat: u32,
}

/// What one user may send in a minute in chats, over all sessions of all surfaces; 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChatPerMinute {
    /// Messages.
    pub messages: u32,
    /// Typing events.
    pub typing: u32,
}
