//! The events of debug mode: `debug_mode`, and the metrics that it starts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::timestamp::Iso;

/// Starts or stops metrics of the hub every 5 seconds. For admins; for every user if `debug.open` is set.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DebugMode {
    /// Whether the session receives metrics.
    pub enabled: bool,
}

/// The hub's connections, to sessions in debug mode.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConnectionStats {
    /// Open sessions.
    pub active_connections: u64,
    /// Sessions opened since the start of the hub.
    pub total_connections: u64,
    /// Most sessions that can be open at once.
    pub max_connections: usize,
    /// Users with at least one session.
    pub users_online: u64,
    /// Rooms with at least one member.
    pub rooms: u64,
    /// When the hub read the values.
    pub timestamp: Iso,
}

/// The hub's memory in MB, to sessions in debug mode. The hub has no managed heap, so `heapTotal` and `heapUsed` repeat
/// `rss`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemoryUsage {
    rss: f64,
    heap_total: f64,
    heap_used: f64,
    external: f64,
    timestamp: Iso,
}

/// Converts bytes to MB with one decimal, for replies in which the documents use MB. One MB is 1,048,576 bytes, as in
/// their examples. Everywhere else memory is in bytes.
pub fn megabytes(bytes: u64) -> f64 {
    (bytes as f64 / 1_048_576.0 * 10.0).round() / 10.0
}

impl MemoryUsage {
    /// `resident` is the resident memory in bytes, `now` is in ms since the epoch.
    pub fn new(resident: u64, now: i64) -> Self {
        let rss = megabytes(resident);
        Self { rss, heap_total: rss, heap_used: rss, external: 0.0, timestamp: Iso(now) }
    }
}

/// Counts of the hub's events, to sessions in debug mode.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventMetrics {
    /// Events received from clients.
    pub events_received: u64,
    /// Frames sent to clients.
    pub events_sent: u64,
    /// Events accepted for a room, a user or all users.
    pub events_published: u64,
    /// Events of the last minute, from clients and backends.
    pub events_per_minute: u64,
    /// Refusals sent to clients.
    pub errors: u64,
    /// Requests refused because of a limit.
    pub rate_limited: u64,
    /// When the hub read the values.
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
