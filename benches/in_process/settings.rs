//! The settings of a hub without sockets: one worker, every topic open, no limits per minute. The fuzz targets use them too.

use hubbub::codec::namespace::ROOT_NUMBERED;
use hubbub_actors::connection::Heartbeat;
use hubbub_actors::connection::outbox::OutboxCapacity;
use hubbub_actors::hub::{ChatPerMinute, DebugSettings, MessagesPerMinute, RecoverySettings, Settings};
use hubbub_actors::model::topic_pattern::Pattern;
use hubbub_actors::presence;
use hubbub_actors::rooms::rules::{AccessRule, Rules, TopicRule};
use hubbub_actors::runtime::clock::Clock;

/// Settings without limits that a reading client could reach.
pub(crate) fn settings() -> Settings {
    let anyone = TopicRule {
        pattern: Pattern::new("*"),
        subscribe: vec![AccessRule::Anyone],
        publish: vec![AccessRule::Anyone],
        history: None,
    };
    Settings {
        workers: 1,
        max_connections: 10_000,
        mailbox: 1024,
        outbox: OutboxCapacity { bytes: 1 << 20, frames: 16_384 },
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
        presence: presence::PresenceSettings { audience: presence::PresenceAudience::Off, ..Default::default() },
        debug: DebugSettings { open: false, interval_ms: 5_000, memory: || 0 },
        memory_max: || None,
        grace_ms: 10_000,
        heartbeat: Heartbeat { interval_ms: 25_000, timeout_ms: 60_000, ping_frame: b"" },
        shortest_heartbeat_ms: 25_000,
        rules: Rules(vec![anyone]),
        auto_create_chats: false,
        chats_per_user: 100,
        environment: "production".to_owned(),
        recovery: RecoverySettings { window_ms: 120_000, queue: 500, bytes: 67_108_864, encoder: &ROOT_NUMBERED },
        clock: Clock::System,
    }
}
