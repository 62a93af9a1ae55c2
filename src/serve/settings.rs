//! The settings of the hub's actors, derived from the configuration.

use std::sync::Arc;

use hubbub_actors::connection::outbox::OutboxCapacity;
use hubbub_actors::connection::{Heartbeat, ProofOfLife};
use hubbub_actors::hub::{ChatPerMinute, DebugSettings, MessagesPerMinute, RecoverySettings, Settings};
use hubbub_actors::model::topic_pattern::Pattern;
use hubbub_actors::presence;
use hubbub_actors::publication::MessageKind;
use hubbub_actors::rooms::LagLimit;
use hubbub_actors::rooms::rules::{HistoryRule, Rules, TopicRule};
use hubbub_actors::runtime::clock::Clock;

use crate::config::{self, AudienceSetting, Config};
use crate::telemetry;

/// Silence after which a user no longer counts as typing, ms.
const TYPING_MS: i64 = 5_000;

/// Interval of the reports in debug mode, ms.
const DEBUG_MS: u64 = 5_000;

/// The settings that `config` describes.
pub fn of(config: &Config) -> Settings {
    Settings {
        workers: config.server.worker_count(),
        environment: config.server.environment.clone(),
        max_connections: config.server.max_connections,
        mailbox: config.limits.mailbox,
        lag: LagLimit { entries: config.limits.lag, bytes: config.limits.lag_bytes },
        outbox: OutboxCapacity { bytes: config.limits.outbox_bytes, entries: config.limits.outbox_frames },
        rooms: config.limits.rooms,
        rooms_per_user: unless_zero(config.limits.rooms_per_user),
        history_bytes: config.limits.history_bytes,
        rooms_per_session: unless_zero(config.limits.rooms_per_session),
        payload_max: config.server.max_frame_size,
        topics_per_request: unless_zero(config.limits.topics_per_request),
        messages_per_minute: messages_per_minute(&config.limits),
        chat_per_minute: ChatPerMinute {
            messages: config.limits.chat.messages_per_minute,
            typing: config.limits.chat.typing_per_minute,
        },
        notifications_per_minute: config.limits.community.notifications_per_minute,
        connections_per_user: config.limits.community.connections_per_user,
        typing_per_minute: config.limits.community.typing_per_minute,
        typing_ms: TYPING_MS,
        debug: DebugSettings { open: config.debug.open, interval_ms: DEBUG_MS, memory: telemetry::resident },
        memory_max: telemetry::available,
        presence: presence_of(&config.presence),
        grace_ms: millis(config.auth.grace_secs),
        heartbeat: Arc::new(heartbeat_of(&config.server)),
        shortest_heartbeat_ms: millis(config.server.heartbeat_interval_secs)
            .min(config.socketio.ping_interval_ms.into()),
        rules: Rules(config.topics.iter().map(rule_of).collect()),
        auto_create_chats: config.chat.auto_create,
        chats_per_user: unless_zero(config.limits.chats_per_user),
        recovery: recovery_of(&config.recovery),
        clock: Clock::System,
    }
}

fn millis(seconds: u32) -> i64 {
    i64::from(seconds) * 1000
}

/// A limit of the configuration, in which 0 means no limit.
fn unless_zero(most: usize) -> usize {
    if most == 0 { usize::MAX } else { most }
}

fn rule_of(rule: &config::TopicRuleEntry) -> TopicRule {
    TopicRule {
        pattern: Pattern::new(rule.pattern.clone()),
        subscribe: rule.subscribe.clone(),
        publish: rule.publish.clone(),
        history: (rule.history > 0).then(|| HistoryRule {
            messages: usize::try_from(rule.history).unwrap_or(usize::MAX),
            age_ms: (rule.history_secs > 0).then(|| millis(rule.history_secs)),
        }),
    }
}

fn messages_per_minute(limits: &config::Limits) -> MessagesPerMinute {
    MessagesPerMinute {
        raw: limits.raw.messages_per_minute,
        push: limits.push.messages_per_minute,
        community: limits.community.messages_per_minute,
        chat: limits.chat.requests_per_minute,
    }
}

fn presence_of(presence: &config::Presence) -> presence::PresenceSettings {
    presence::PresenceSettings {
        audience: match presence.audience {
            AudienceSetting::All => presence::PresenceAudience::All,
            AudienceSetting::SharedRooms => presence::PresenceAudience::SharedRooms,
            AudienceSetting::Off => presence::PresenceAudience::Off,
        },
        linger_ms: presence.linger_ms.into(),
        deliveries_per_second: presence.deliveries_per_second,
    }
}

fn heartbeat_of(server: &config::Server) -> Heartbeat {
    Heartbeat {
        interval_ms: millis(server.heartbeat_interval_secs),
        timeout_ms: millis(server.client_timeout_secs),
        ping: (MessageKind::Ping, ""),
        proof: ProofOfLife::AnyFrame,
    }
}

fn recovery_of(recovery: &config::Recovery) -> RecoverySettings {
    RecoverySettings {
        window_ms: millis(recovery.window_secs),
        queue: usize::try_from(recovery.queue).unwrap_or(usize::MAX),
        bytes: recovery.bytes,
    }
}
