//! The figures of connections that nobody else counts: how many there were at once, how long they lasted, how many began
//! within a minute. Pure.

use crate::events::chat::monitoring::Metrics;
use crate::events::moment::Iso;

/// Seconds in the minute that is looked back on.
const SECONDS: usize = 60;

/// What the hub's counters say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sessions there ever were.
    pub opened: u64,
    /// Those there are.
    pub active: u64,
    /// Connections that were refused.
    pub failed: u64,
}

/// The figures.
#[derive(Debug)]
pub struct Figures {
    started_at: i64,
    peak: u64,
    ended: u64,
    lasted_ms: u64,
    last_minute: LastMinute,
}

impl Figures {
    /// Figures of a hub that started at `started_at`, ms since the epoch.
    pub fn new(started_at: i64) -> Self {
        let last_minute = LastMinute { seconds: [0; SECONDS], latest: i64::MIN };
        Self { started_at, peak: 0, ended: 0, lasted_ms: 0, last_minute }
    }

    /// A session began at `elapsed`, ms by [`crate::runtime::clock::Clock::elapsed_ms`], and with it there were `active`.
    pub fn opened(&mut self, active: u64, elapsed: i64) {
        self.peak = self.peak.max(active);
        self.last_minute.add(elapsed);
    }

    /// A session ended that lasted `duration_ms`.
    pub fn ended(&mut self, duration_ms: u64) {
        self.ended += 1;
        self.lasted_ms = self.lasted_ms.saturating_add(duration_ms);
    }

    /// The figures at `elapsed`.
    pub fn metrics(&mut self, totals: Totals, elapsed: i64) -> Metrics {
        Metrics {
            total_connections: totals.opened,
            active_connections: totals.active,
            failed_connections: totals.failed,
            average_connection_duration: self.lasted_ms.checked_div(self.ended).unwrap_or(0),
            // What the mailbox had no place for was not noted, but it is there.
            peak_connections: self.peak.max(totals.active),
            connections_per_minute: self.last_minute.sum(elapsed),
            last_reset: Iso(self.started_at),
        }
    }
}

/// What happened in this second and the 59 before, a number a second.
#[derive(Debug)]
struct LastMinute {
    seconds: [u32; SECONDS],
    /// The second of the newest number.
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

    /// Makes this second the newest; where its number is.
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
    fn nothing_has_happened_at_the_start() {
        let metrics = Figures::new(1_752_921_000_000).metrics(Totals::default(), 0);
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
    fn the_peak_is_the_most_there_were_at_once() {
        let mut figures = Figures::new(0);
        for active in [1, 2, 3, 2, 1] {
            figures.opened(active, 0);
        }
        let mut peak = |active| figures.metrics(Totals { active, ..Totals::default() }, 0).peak_connections;
        assert_eq!((peak(0), peak(3), peak(9)), (3, 3, 9));
    }

    #[test]
    fn the_average_is_of_those_that_ended() {
        let mut figures = Figures::new(0);
        let mut average = |duration| {
            figures.ended(duration);
            figures.metrics(Totals::default(), 0).average_connection_duration
        };
        assert_eq!([average(10), average(20), average(1)], [10, 15, 10]);
        assert_eq!(average(u64::MAX), u64::MAX / 4);
    }

    #[test]
    fn those_of_the_last_minute_are_counted_by_the_second() {
        let mut figures = Figures::new(0);
        for elapsed in [0, 999, 1_000, 30_000, 59_999] {
            figures.opened(1, elapsed);
        }
        let mut last_minute = |elapsed| figures.metrics(Totals::default(), elapsed).connections_per_minute;
        for (elapsed, expected) in [(59_999, 5), (60_000, 3), (60_999, 3), (61_000, 2), (90_000, 1), (119_000, 0)] {
            assert_eq!(last_minute(elapsed), expected, "{elapsed}");
        }
        figures.opened(1, 500_000);
        figures.opened(1, 500_000);
        let mut last_minute = |elapsed| figures.metrics(Totals::default(), elapsed).connections_per_minute;
        assert_eq!((last_minute(500_000), last_minute(559_999), last_minute(560_000)), (2, 2, 0));
    }
}
