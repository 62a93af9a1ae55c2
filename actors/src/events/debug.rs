//! The events of those who watch the hub from a connection: `debug_mode`, and what it brings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::moment::Iso;

/// Asks for figures of the hub every 5 seconds, or for none any more. For admins; for every user where `debug.open` says so.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DebugMode {
    /// Whether they are wanted.
    pub enabled: bool,
}

/// The hub's connections, for those who asked by `debug_mode`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConnectionStats {
    /// Sessions there are now.
    pub active_connections: u64,
    /// Sessions there ever were.
    pub total_connections: u64,
    /// Connections there may be.
    pub max_connections: usize,
    /// Users with a session.
    pub users_online: u64,
    /// Rooms with a member.
    pub rooms: u64,
    /// When it was so.
    pub timestamp: Iso,
}

/// The hub's memory in MB, for those who asked by `debug_mode`. It has no managed heap; those figures repeat `rss`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemoryUsage {
    rss: f64,
    heap_total: f64,
    heap_used: f64,
    external: f64,
    timestamp: Iso,
}

/// Bytes as MB with one decimal, for the answers in which the documents have MB. One MB is 1,048,576 bytes, as in their
/// examples. Everywhere else memory is in bytes.
pub fn megabytes(bytes: u64) -> f64 {
    (bytes as f64 / 1_048_576.0 * 10.0).round() / 10.0
}

impl MemoryUsage {
    /// So many bytes are in memory.
    pub fn new(resident: u64, now: i64) -> Self {
        let rss = megabytes(resident);
        Self { rss, heap_total: rss, heap_used: rss, external: 0.0, timestamp: Iso(now) }
    }
}

/// What the hub handled, for those who asked by `debug_mode`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventMetrics {
    /// Events that clients sent.
    pub events_received: u64,
    /// Frames that were sent to clients.
    pub events_sent: u64,
    /// Events accepted for a room, a user or everybody.
    pub events_published: u64,
    /// Events of the last minute, by clients and by backends.
    pub events_per_minute: u64,
    /// Answers that were a refusal.
    pub errors: u64,
    /// Those that a limit refused.
    pub rate_limited: u64,
    /// When it was so.
    pub timestamp: Iso,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_megabyte_has_1_048_576_bytes() {
        for (bytes, mb) in
            [(0, 0.0), (1_048_576, 1.0), (1_000_000, 1.0), (268_959_744, 256.5), (2_147_483_648, 2_048.0)]
        {
            assert_eq!(megabytes(bytes), mb, "{bytes}");
        }
    }

    #[test]
    fn memory_usage_is_in_megabytes() {
        assert_eq!(
            serde_json::to_string(&MemoryUsage::new(268_959_744, 1_752_921_000_000)).unwrap(),
            r#"{"rss":256.5,"heapTotal":256.5,"heapUsed":256.5,"external":0.0,"timestamp":"2025-07-19T10:30:00.000Z"}"#
        );
    }
}
