//! A limit a minute, pure: a window that starts at the first counted event, so that a burst gets exactly the number.

/// Length of a window, ms.
pub const WINDOW_MS: i64 = 60_000;

/// How far over its limit a client may go in one window before it is closed.
pub const FLOOD_FACTOR: u32 = 10;

/// The events counted in one window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    started: i64,
    count: u32,
}

/// Whether an event is within its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Within,
    /// It is not; the window ends in so many seconds, rounded up.
    Over(u32),
    /// It is not, and neither were the [`FLOOD_FACTOR`] limits' worth before it.
    Flood,
}

impl Window {
    /// Counts an event at `now` against `limit` events a window; `0` is no limit.
    pub fn count(&mut self, now: i64, limit: u32) -> Verdict {
        if limit == 0 {
            return Verdict::Within;
        }
        if self.has_ended(now) {
            *self = Self { started: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        if self.count <= limit {
            Verdict::Within
        } else if self.count > limit.saturating_mul(FLOOD_FACTOR) {
            Verdict::Flood
        } else {
            let left = self.started + WINDOW_MS - now;
            Verdict::Over(u32::try_from((left + 999) / 1000).unwrap_or(1).max(1))
        }
    }

    /// Whether the window is over at `now`, or never began. A clock that was set back ends it too.
    pub fn has_ended(&self, now: i64) -> bool {
        self.count == 0 || now < self.started || now - self.started >= WINDOW_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_gets_exactly_the_stated_number_and_the_window_starts_at_the_first() {
        let mut window = Window::default();
        for _ in 0..5 {
            assert_eq!(window.count(10_000, 5), Verdict::Within);
        }
        assert_eq!(window.count(10_000, 5), Verdict::Over(60));
        assert_eq!(window.count(69_001, 5), Verdict::Over(1));
        assert_eq!(window.count(70_000, 5), Verdict::Within);
    }

    #[test]
    fn more_than_ten_times_the_limit_is_a_flood() {
        let mut window = Window::default();
        let verdicts: Vec<_> = (0..21).map(|_| window.count(0, 2)).collect();
        assert_eq!(verdicts[1], Verdict::Within);
        assert_eq!(verdicts[19], Verdict::Over(60));
        assert_eq!(verdicts[20], Verdict::Flood);
    }

    #[test]
    fn zero_is_no_limit_and_a_clock_set_back_frees_the_window() {
        let mut window = Window::default();
        assert!((0..1000).all(|_| window.count(0, 0) == Verdict::Within));
        assert_eq!(window.count(100_000, 1), Verdict::Within);
        assert_eq!(window.count(50_000, 1), Verdict::Within);
    }
}
