//! Counts events in a fixed window. The window starts at the first event, so that a burst gets exactly the limit. Reads
//! no clock and does no I/O.

/// Window of a limit per minute, ms.
pub const WINDOW_MS: i64 = 60_000;

/// A client is disconnected above its limit times this factor in one window.
pub const FLOOD_FACTOR: u32 = 10;

/// A limit: a number of events in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Most events in a window; 0 is no limit.
    pub most: u32,
    /// Length of the window, ms.
    pub window_ms: i64,
    /// Shortest block after the first event over the limit, ms. All events in a block are refused.
    pub block_ms: i64,
}

impl Rule {
    /// At most `most` events per minute; 0 is no limit.
    pub const fn a_minute(most: u32) -> Self {
        Self { most, window_ms: WINDOW_MS, block_ms: 0 }
    }
}

/// The events of the current window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    started: i64,
    ends: i64,
    count: u32,
    /// Events within the limit. Refused events do not count here, so a raised limit admits more events at once.
    admitted: u32,
}

/// The decision about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The event is within the limit.
    Within,
    /// The event is over the limit. Retry after this many seconds, rounded up.
    Over(u32),
    /// The event is also over [`FLOOD_FACTOR`] times the limit. Retry after this many seconds, rounded up.
    Flood(u32),
}

impl Window {
    /// Counts an event at `now`, ms by [`crate::runtime::clock::Clock::elapsed_ms`]. A step of the wall clock has no
    /// effect. A changed `rule` applies at once, within the current window.
    pub fn count(&mut self, now: i64, rule: Rule) -> Decision {
        if rule.most == 0 {
            return Decision::Within;
        }
        if self.has_ended(now) {
            *self = Self { started: now, ends: now + rule.window_ms, count: 0, admitted: 0 };
        }
        self.count = self.count.saturating_add(1);
        if self.admitted < rule.most {
            self.admitted += 1;
            return Decision::Within;
        }
        let refused = self.count - self.admitted;
        // Only the first refused event extends the window.
        if refused == 1 {
            self.ends = self.ends.max(now + rule.block_ms);
        }
        let seconds = u32::try_from((self.ends - now + 999) / 1000).unwrap_or(u32::MAX).max(1);
        // Only refused events count as a flood, so a lowered limit disconnects no client for earlier events.
        if refused > rule.most.saturating_mul(FLOOD_FACTOR - 1) {
            Decision::Flood(seconds)
        } else {
            Decision::Over(seconds)
        }
    }

    /// Events counted in the current window.
    pub fn counted(&self) -> u32 {
        self.count
    }

    /// Whether the window has ended at `now` or never began. A clock set back ends it too.
    pub fn has_ended(&self, now: i64) -> bool {
        self.count == 0 || now < self.started || now >= self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_gets_exactly_the_limit_and_the_window_starts_at_its_first_event() {
        let (mut window, five) = (Window::default(), Rule::a_minute(5));
        for _ in 0..5 {
            assert_eq!(window.count(10_000, five), Decision::Within);
        }
        assert_eq!(window.count(10_000, five), Decision::Over(60));
        assert_eq!(window.count(69_001, five), Decision::Over(1));
        assert_eq!(window.count(70_000, five), Decision::Within);
    }

    #[test]
    fn more_than_ten_times_the_limit_is_a_flood() {
        let mut window = Window::default();
        let decisions: Vec<_> = (0..21).map(|_| window.count(0, Rule::a_minute(2))).collect();
        assert_eq!(decisions[1], Decision::Within);
        assert_eq!(decisions[19], Decision::Over(60));
        assert_eq!(decisions[20], Decision::Flood(60));
    }

    #[test]
    fn a_changed_limit_applies_in_the_current_window() {
        let (mut window, [two, four]) = (Window::default(), [2, 4].map(Rule::a_minute));
        let mut count = |rule| window.count(0, rule);
        assert_eq!([two; 5].map(&mut count), [[Decision::Within; 2].as_slice(), &[Decision::Over(60); 3]].concat()[..]);
        assert_eq!(
            [four; 3].map(&mut count),
            [Decision::Within, Decision::Within, Decision::Over(60)],
            "two more events pass"
        );
        assert_eq!(count(two), Decision::Over(60));
    }

    #[test]
    fn a_lowered_limit_is_no_flood() {
        let mut window = Window::default();
        assert!((0..500).all(|_| window.count(0, Rule::a_minute(1_000)) == Decision::Within));
        let decisions: Vec<_> = (0..19).map(|_| window.count(0, Rule::a_minute(2))).collect();
        assert_eq!((decisions[17], decisions[18]), (Decision::Over(60), Decision::Flood(60)));
    }

    #[test]
    fn a_block_starts_at_the_first_refusal_and_later_events_do_not_extend_it() {
        let (mut window, rule) = (Window::default(), Rule { most: 2, window_ms: 300_000, block_ms: 900_000 });
        assert_eq!([0, 299_000].map(|now| window.count(now, rule)), [Decision::Within; 2]);
        assert_eq!(window.count(299_999, rule), Decision::Over(900));
        assert_eq!(window.count(300_000, rule), Decision::Over(900), "the window's end does not end the block");
        assert_eq!(window.count(1_199_998, rule), Decision::Over(1));
        assert!(!window.has_ended(1_199_998));
        assert_eq!([1_199_999; 2].map(|now| window.count(now, rule)), [Decision::Within; 2]);
        assert_eq!(window.count(1_200_000, rule), Decision::Over(900), "the new window is counted from 0");
    }

    #[test]
    fn a_short_block_does_not_end_the_window_early() {
        let (mut window, rule) = (Window::default(), Rule { most: 1, window_ms: 300_000, block_ms: 1_000 });
        assert_eq!(window.count(0, rule), Decision::Within);
        assert_eq!(window.count(100_000, rule), Decision::Over(200));
        assert_eq!(window.count(300_000, rule), Decision::Within);
    }

    #[test]
    fn zero_is_no_limit_and_a_clock_set_back_ends_the_window() {
        let mut window = Window::default();
        assert!((0..1000).all(|_| window.count(0, Rule::a_minute(0)) == Decision::Within));
        assert_eq!(window.count(100_000, Rule::a_minute(1)), Decision::Within);
        assert_eq!(window.count(50_000, Rule::a_minute(1)), Decision::Within);
    }
}
