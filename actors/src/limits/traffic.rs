//! Limits the frames and bytes sent by one connection, averaged over [`WINDOW_SECS`]. A burst of a whole window's
//! budget passes. Includes traffic that message limits do not count: control frames, fragments, noops, pongs. Reads no
//! clock and does no I/O.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Averaging window, seconds.
pub const WINDOW_SECS: u32 = 5;

const NANOS_PER_SEC: i64 = 1_000_000_000;
const NANOS_PER_MS: i64 = 1_000_000;
const WINDOW_NANOS: i64 = WINDOW_SECS as i64 * NANOS_PER_SEC;

/// Traffic limits of one connection; 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrafficRule {
    /// Most frames per second.
    pub frames_per_second: u32,
    /// Most bytes per second.
    pub bytes_per_second: u32,
}

/// The current limits, shared by all connections. A change applies to all of them at once. A read takes no lock.
#[derive(Debug, Clone, Default)]
pub struct TrafficLimit(Arc<AtomicU64>);

impl TrafficLimit {
    /// Starts with the limits of `rule`.
    pub fn new(rule: TrafficRule) -> Self {
        let limit = Self::default();
        limit.set(rule);
        limit
    }

    /// The current limits.
    pub fn get(&self) -> TrafficRule {
        let [f0, f1, f2, f3, b0, b1, b2, b3] = self.0.load(Ordering::Relaxed).to_be_bytes();
        TrafficRule {
            frames_per_second: u32::from_be_bytes([f0, f1, f2, f3]),
            bytes_per_second: u32::from_be_bytes([b0, b1, b2, b3]),
        }
    }

    /// Replaces the limits.
    pub fn set(&self, rule: TrafficRule) {
        let both = u64::from(rule.frames_per_second) << 32 | u64::from(rule.bytes_per_second);
        self.0.store(both, Ordering::Relaxed);
    }
}

/// Divisor of the limits before a connection joins a namespace: it only sends CONNECT packets and answers to pings.
const PENDING_SHARE: u32 = 10;

impl TrafficRule {
    /// The limits of a connection that has joined no namespace.
    #[must_use]
    pub fn pending(self) -> Self {
        // Rounded up, because 0 means no limit.
        let share = |limit: u32| limit.div_ceil(PENDING_SHARE);
        Self { frames_per_second: share(self.frames_per_second), bytes_per_second: share(self.bytes_per_second) }
    }
}

/// The traffic of one connection. Each frame and byte uses a share of a second at the allowed rate. The budget holds
/// the time at which all shares are used up. A time more than a window ahead exceeds the limit.
#[derive(Debug, Clone)]
pub struct TrafficBudget {
    limit: TrafficLimit,
    /// Nanoseconds on the clock of [`crate::runtime::clock::Clock::elapsed_ms`].
    frames_paid_at: i64,
    bytes_paid_at: i64,
}

impl TrafficBudget {
    /// An unused budget.
    pub fn new(limit: TrafficLimit) -> Self {
        Self { limit, frames_paid_at: i64::MIN, bytes_paid_at: i64::MIN }
    }

    /// Discards all counted traffic.
    pub fn reset(&mut self) {
        (self.frames_paid_at, self.bytes_paid_at) = (i64::MIN, i64::MIN);
    }

    /// Counts `frames` with `bytes` in total, received at `elapsed`, ms by
    /// [`crate::runtime::clock::Clock::elapsed_ms`]. Returns whether they are within the limits.
    #[must_use]
    pub fn spend(&mut self, elapsed: i64, frames: u32, bytes: usize) -> bool {
        self.spend_by(self.limit.get(), elapsed, frames, bytes)
    }

    /// Like [`TrafficBudget::spend`], for a connection that has joined no namespace.
    #[must_use]
    pub fn spend_pending(&mut self, elapsed: i64, frames: u32, bytes: usize) -> bool {
        self.spend_by(self.limit.get().pending(), elapsed, frames, bytes)
    }

    fn spend_by(&mut self, rule: TrafficRule, elapsed: i64, frames: u32, bytes: usize) -> bool {
        let now = elapsed.saturating_mul(NANOS_PER_MS);
        let TrafficRule { frames_per_second, bytes_per_second } = rule;
        let frames_are_within = spend(&mut self.frames_paid_at, now, frames.into(), frames_per_second);
        let bytes_are_within = spend(&mut self.bytes_paid_at, now, bytes as u64, bytes_per_second);
        frames_are_within && bytes_are_within
    }
}

fn spend(paid_at: &mut i64, now: i64, amount: u64, per_second: u32) -> bool {
    if per_second == 0 {
        return true;
    }
    let amount = i64::try_from(amount).unwrap_or(i64::MAX);
    let share = amount.saturating_mul(NANOS_PER_SEC) / i64::from(per_second);
    *paid_at = now.max(*paid_at).saturating_add(share);
    paid_at.saturating_sub(now) <= WINDOW_NANOS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::Clock;

    const RULE: TrafficRule = TrafficRule { frames_per_second: 10, bytes_per_second: 1_000 };

    fn budget_of(rule: TrafficRule) -> TrafficBudget {
        TrafficBudget::new(TrafficLimit::new(rule))
    }

    /// Sends frames of `bytes` until one is refused. Returns the number of frames that passed.
    fn passing(budget: &mut TrafficBudget, clock: &Clock, bytes: usize) -> u32 {
        let mut passed = 0;
        while budget.spend(clock.elapsed_ms(), 1, bytes) {
            passed += 1;
        }
        passed
    }

    #[test]
    fn a_pending_connection_has_a_tenth_of_the_limits_and_no_limit_stays_none() {
        let clock = Clock::manual(0);
        let mut budget = budget_of(RULE);
        let mut passed = 0;
        while budget.spend_pending(clock.elapsed_ms(), 1, 0) {
            passed += 1;
        }
        assert_eq!(passed, 5);
        budget.reset();
        assert_eq!(passing(&mut budget, &clock, 0), 50, "earlier traffic does not count after a reset");
        assert_eq!(RULE.pending(), TrafficRule { frames_per_second: 1, bytes_per_second: 100 });
        assert_eq!(TrafficRule::default().pending(), TrafficRule::default());
    }

    #[test]
    fn a_burst_of_one_window_passes_and_one_more_frame_is_refused() {
        let clock = Clock::manual(1_000);
        assert_eq!(passing(&mut budget_of(RULE), &clock, 0), 50);
        assert_eq!(passing(&mut budget_of(RULE), &clock, 1_000), 5);
        let mut budget = budget_of(RULE);
        assert!(budget.spend(0, 50, 5_000));
        assert!(!budget.spend(0, 0, 1));
        let default = TrafficRule { frames_per_second: 2_000, bytes_per_second: 8_388_608 };
        assert_eq!(passing(&mut budget_of(default), &clock, 0), 10_000);
        assert_eq!(passing(&mut budget_of(default), &clock, 1 << 20), 40);
    }

    #[test]
    fn the_allowed_rate_passes_forever_and_a_higher_rate_is_refused() {
        let (clock, mut budget) = (Clock::manual(0), budget_of(RULE));
        for _ in 0..10_000 {
            assert!(budget.spend(clock.elapsed_ms(), 1, 100));
            clock.advance(100);
        }
        let mut passed = 0;
        while budget.spend(clock.elapsed_ms(), 1, 0) {
            passed += 1;
            clock.advance(90);
        }
        // Each frame uses 100 ms and arrives after 90 ms: the backlog grows by 10 ms a frame, up to the window of 5 s.
        assert_eq!(passed, 491);
    }

    #[test]
    fn an_idle_connection_accumulates_at_most_one_window() {
        let (clock, mut budget) = (Clock::manual(0), budget_of(RULE));
        assert_eq!(passing(&mut budget, &clock, 0), 50);
        clock.advance(3_600_000);
        assert_eq!(passing(&mut budget, &clock, 0), 50);
    }

    #[test]
    fn each_limit_is_off_at_zero_and_huge_amounts_do_not_overflow() {
        let mut budget = budget_of(TrafficRule::default());
        assert!((0..100).all(|_| budget.spend(0, u32::MAX, usize::MAX)));
        let mut budget = budget_of(TrafficRule { frames_per_second: 0, ..RULE });
        assert!(budget.spend(0, u32::MAX, 5_000) && !budget.spend(0, 1, 1));
        let mut budget = budget_of(TrafficRule { bytes_per_second: 0, ..RULE });
        assert!(budget.spend(0, 50, usize::MAX) && !budget.spend(0, 1, 0));
        let mut budget = budget_of(RULE);
        assert!(!budget.spend(0, u32::MAX, usize::MAX) && !budget.spend(i64::MIN, u32::MAX, usize::MAX));
    }

    #[test]
    fn a_changed_limit_applies_to_every_connection_at_once() {
        let limit = TrafficLimit::new(RULE);
        let mut budgets = [(); 2].map(|()| TrafficBudget::new(limit.clone()));
        assert!(budgets.iter_mut().all(|budget| budget.spend(0, 49, 0)));
        let slower = TrafficRule { frames_per_second: 1, bytes_per_second: u32::MAX };
        limit.set(slower);
        assert_eq!(limit.get(), slower);
        assert!(budgets.iter_mut().all(|budget| !budget.spend(0, 1, 0)));
        limit.set(TrafficRule { frames_per_second: 0, ..slower });
        assert!(budgets.iter_mut().all(|budget| budget.spend(0, 1_000, 0)));
    }

    #[test]
    fn a_budget_has_24_bytes() {
        assert_eq!(size_of::<TrafficBudget>(), 24);
    }
}
