//! What the configuration means to the hub's actors.

use hubbub_actors::connection::Heartbeat;
use hubbub_actors::connection::outbox::OutboxCapacity;
use hubbub_actors::hub::{ChatPerMinute, DebugMode, MessagesPerMinute, RecoverySettings, Settings};
use hubbub_actors::model::topic_pattern::Pattern;
use hubbub_actors::presence;
use hubbub_actors::rooms::rules::{HistoryRule, Rules, TopicRule};
use hubbub_actors::runtime::clock::Clock;

use crate::config::{Audience, Config};
use crate::{codec, telemetry};

/// After which silence a typist stops typing, ms.
const TYPING_MS: i64 = 5_000;

/// Between two figures of debug mode, ms.
const DEBUG_MS: u64 = 5_000;

/// The settings that `config` describes.
pub fn of(config: &Config) -> Settings {
    let millis = |seconds: u32| i64::from(seconds) * 1000;
    let unless_zero = |most: usize| if most == 0 { usize::MAX } else { most };
    let rules = config.topics.iter().map(|rule| TopicRule {
        pattern: Pattern::new(rule.pattern.clone()),
        subscribe: rule.subscribe.clone(),
        publish: rule.publish.clone(),
        history: (rule.history > 0).then(|| HistoryRule {
            messages: usize::try_from(rule.history).unwrap_or(usize::MAX),
            age_ms: (rule.history_secs > 0).then(|| millis(rule.history_secs)),
        }),
    });
    Settings {
        workers: config.server.worker_count(),
        environment: config.server.environment.clone(),
        max_connections: config.server.max_connections,
        mailbox: config.limits.mailbox,
        outbox: OutboxCapacity { bytes: config.limits.outbox_bytes, frames: config.limits.outbox_frames },
        rooms: config.limits.rooms,
        rooms_per_user: unless_zero(config.limits.rooms_per_user),
        history_bytes: config.limits.history_bytes,
        rooms_per_session: unless_zero(config.limits.rooms_per_session),
        payload_max: config.server.max_frame_size,
        topics_per_request: unless_zero(config.limits.topics_per_request),
        messages_per_minute: MessagesPerMinute {
            raw: config.limits.raw.messages_per_minute,
            push: config.limits.push.messages_per_minute,
            community: config.limits.community.messages_per_minute,
            chat: config.limits.chat.requests_per_minute,
        },
        chat_per_minute: ChatPerMinute {
            messages: config.limits.chat.messages_per_minute,
            typing: config.limits.chat.typing_per_minute,
        },
        notifications_per_minute: config.limits.community.notifications_per_minute,
        connections_per_user: config.limits.community.connections_per_user,
        typing_per_minute: config.limits.community.typing_per_minute,
        typing_ms: TYPING_MS,
        debug: DebugMode { open: config.debug.open, interval_ms: DEBUG_MS, memory: telemetry::resident },
        memory_max: telemetry::available,
        presence: presence::Settings {
            audience: match config.presence.audience {
                Audience::All => presence::Audience::All,
                Audience::SharedRooms => presence::Audience::SharedRooms,
                Audience::Off => presence::Audience::Off,
            },
            linger_ms: config.presence.linger_ms.into(),
            deliveries_per_second: config.presence.deliveries_per_second,
        },
        grace_ms: millis(config.auth.grace_secs),
        heartbeat: Heartbeat {
            interval_ms: millis(config.server.heartbeat_interval_secs),
            timeout_ms: millis(config.server.client_timeout_secs),
            ping_frame: codec::frame::PING,
        },
        shortest_heartbeat_ms: millis(config.server.heartbeat_interval_secs)
            .min(config.socketio.ping_interval_ms.into()),
        rules: Rules(rules.collect()),
        auto_create_chats: config.chat.auto_create,
        chats_per_user: unless_zero(config.limits.chats_per_user),
        recovery: RecoverySettings {
            window_ms: millis(config.recovery.window_secs),
            queue: usize::try_from(config.recovery.queue).unwrap_or(usize::MAX),
            bytes: config.recovery.bytes,
            wire: &codec::namespace::ROOT_NUMBERED,
        },
        clock: Clock::System,
    }
}
