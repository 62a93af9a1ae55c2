//! Connection metrics that need their own state: the peak, the average duration, and the number of sessions that began
//! in the last minute. Pure.

use crate::events::chat::monitoring::Metrics;
use crate::events::timestamp::Iso;

/// Seconds that the rate covers.
const SECONDS: usize = 60;

/// Values of the hub's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sessions opened since the start.
    pub opened: u64,
    /// Open sessions.
    pub active: u64,
    /// Refused connections.
    pub failed: u64,
}

/// The state of the metrics.
#[derive(Debug)]
pub struct MetricsState {
    started_at: i64,
    peak: u64,
    ended: u64,
    lasted_ms: u64,
    last_minute: LastMinute,
}

impl MetricsState {
    /// The state for a hub that started at `started_at`, ms since the epoch.
    pub fn new(started_at: i64) -> Self {
        let last_minute = LastMinute { seconds: [0; SECONDS], latest: i64::MIN };
        Self { started_at, peak: 0, ended: 0, lasted_ms: 0, last_minute }
    }

    /// Counts a session that began at `elapsed`, in ms of [`crate::runtime::clock::Clock::elapsed_ms`]. `active`
    /// sessions are open, the new one included.
    pub fn opened(&mut self, active: u64, elapsed: i64) {
        self.peak = self.peak.max(active);
        self.last_minute.add(elapsed);
    }

    /// Counts a session that ended after `duration_ms`.
    pub fn ended(&mut self, duration_ms: u64) {
        self.ended += 1;
        self.lasted_ms = self.lasted_ms.saturating_add(duration_ms);
    }

    /// The metrics at `elapsed`.
    pub fn metrics(&mut self, totals: Totals, elapsed: i64) -> Metrics {
        Metrics {
            total_connections: totals.opened,
            active_connections: totals.active,
            failed_connections: totals.failed,
            average_connection_duration: self.lasted_ms.checked_div(self.ended).unwrap_or(0),
            // The peak misses sessions that a full mailbox dropped, but the counter of open sessions has them.
            peak_connections: self.peak.max(totals.active),
            connections_per_minute: self.last_minute.sum(elapsed),
            last_reset: Iso(self.started_at),
        }
    }
}

/// Counts of this second and the 59 before, one count a second.
#[derive(Debug)]
struct LastMinute {
    seconds: [u32; SECONDS],
    /// The second of the newest count.
    latest: i64,
}

impl LastMinute {
    fn add(&mut self, elapsed: i64) {
        let slot = self.advance(elapsed);
        if let Some(count) = self.seconds.get_mut(slot) {
            *count = count.saturating_add(1);
        }
    }

    fn sum(&mut self, elapsed: i64) -> u64 {
        self.advance(elapsed);
        self.seconds.iter().map(|&count| u64::from(count)).sum()
    }

    /// Makes the second of `elapsed` the newest, and returns the index of its count.
    fn advance(&mut self, elapsed: i64) -> usize {
        let second = elapsed.div_euclid(1_000);
        let passed = second.saturating_sub(self.latest).clamp(0, SECONDS as i64);
        for second in (0..passed).map(|back| second - back) {
            self.seconds[slot(second)] = 0;
        }
        self.latest = self.latest.max(second);
        slot(self.latest)
    }
}

fn slot(second: i64) -> usize {
    usize::try_from(second.rem_euclid(SECONDS as i64)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_metrics_are_zero_at_the_start() {
        let metrics = MetricsState::new(1_752_921_000_000).metrics(Totals::default(), 0);
        assert_eq!(
            serde_json::to_value(metrics).unwrap(),
            serde_json::json!({
                "totalConnections": 0,
                "activeConnections": 0,
                "failedConnections": 0,
                "averageConnectionDuration": 0,
                "peakConnections": 0,
                "connectionsPerMinute": 0,
                "lastReset": "2025-07-19T10:30:00.000Z",
            })
        );
    }

    #[test]
    fn the_peak_is_the_largest_number_of_open_sessions() {
        let mut state = MetricsState::new(0);
        for active in [1, 2, 3, 2, 1] {
            state.opened(active, 0);
        }
        let mut peak = |active| state.metrics(Totals { active, ..Totals::default() }, 0).peak_connections;
        assert_eq!((peak(0), peak(3), peak(9)), (3, 3, 9));
    }

    #[test]
    fn the_average_duration_covers_ended_sessions() {
        let mut state = MetricsState::new(0);
        let mut average = |duration| {
            state.ended(duration);
            state.metrics(Totals::default(), 0).average_connection_duration
        };
        assert_eq!([average(10), average(20), average(1)], [10, 15, 10]);
        assert_eq!(average(u64::MAX), u64::MAX / 4);
    }

    #[test]
    fn sessions_of_the_last_minute_are_counted_by_the_second() {
        let mut state = MetricsState::new(0);
        for elapsed in [0, 999, 1_000, 30_000, 59_999] {
            state.opened(1, elapsed);
        }
        let mut last_minute = |elapsed| state.metrics(Totals::default(), elapsed).connections_per_minute;
        for (elapsed, expected) in [(59_999, 5), (60_000, 3), (60_999, 3), (61_000, 2), (90_000, 1), (119_000, 0)] {
            assert_eq!(last_minute(elapsed), expected, "{elapsed}");
        }
        state.opened(1, 500_000);
        state.opened(1, 500_000);
        let mut last_minute = |elapsed| state.metrics(Totals::default(), elapsed).connections_per_minute;
        assert_eq!((last_minute(500_000), last_minute(559_999), last_minute(560_000)), (2, 2, 0));
    }
}
