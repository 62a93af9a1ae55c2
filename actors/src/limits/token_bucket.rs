//! Limits the rate of deliveries with a token bucket. Pure.

/// The most notices in one batch: the next batch waits until this one is in the outboxes.
pub const BATCH_MAX: usize = 64;

/// A bucket of deliveries. The cost of a notice is known after its delivery, so it is paid afterwards. The cost in the
/// last batch determines the size of the next one, unless [`TokenBucket::expect_cost`] sets it.
#[derive(Debug)]
pub struct TokenBucket {
    /// Deliveries a second, and the capacity of the bucket; 0: no limit.
    per_second: i64,
    /// Available deliveries in thousandths; negative when the last batch cost more than expected.
    left: i64,
    filled_at: i64,
    /// Expected deliveries of one notice.
    cost: i64,
}

impl TokenBucket {
    /// A full bucket at `elapsed` ms.
    pub fn new(per_second: u32, elapsed: i64) -> Self {
        let per_second = i64::from(per_second);
        Self { per_second, left: per_second * 1000, filled_at: elapsed, cost: 1 }
    }

    /// Changes the deliveries a second.
    pub fn set_rate(&mut self, per_second: u32) {
        self.per_second = per_second.into();
        self.left = self.left.min(self.per_second * 1000);
    }

    /// Sets the expected deliveries of each following notice.
    pub fn expect_cost(&mut self, deliveries: u64) {
        self.cost = i64::try_from(deliveries).unwrap_or(i64::MAX / 1000).clamp(1, i64::MAX / 1000);
    }

    /// The number of notices within the rate at `elapsed` ms.
    pub fn available(&mut self, elapsed: i64) -> usize {
        if self.per_second == 0 {
            return BATCH_MAX;
        }
        let passed = elapsed.saturating_sub(self.filled_at).clamp(0, 3_600_000);
        self.filled_at = elapsed;
        self.left = (self.left + passed * self.per_second).min(self.per_second * 1000);
        if self.left < self.needed() {
            return 0;
        }
        let affordable = usize::try_from(self.left / 1000 / self.cost).unwrap_or(0);
        affordable.clamp(1, BATCH_MAX)
    }

    /// Pays for `notices` with so many deliveries in all.
    pub fn spend(&mut self, notices: usize, deliveries: u64) {
        let deliveries = i64::try_from(deliveries).unwrap_or(i64::MAX / 1000).min(i64::MAX / 1000);
        if self.per_second > 0 {
            self.left = self.left.saturating_sub(deliveries * 1000);
        }
        let notices = i64::try_from(notices).unwrap_or(i64::MAX).max(1);
        self.cost = (deliveries / notices).max(1);
    }

    /// Ms until one notice is within the rate.
    pub fn wait_ms(&self) -> i64 {
        if self.per_second == 0 {
            return 0;
        }
        ((self.needed() - self.left).max(0) + self.per_second - 1) / self.per_second
    }

    /// The thousandths of deliveries for one notice. A notice beyond the capacity needs a full bucket.
    fn needed(&self) -> i64 {
        self.cost.min(self.per_second) * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_allows_a_second_of_deliveries_at_once_and_then_the_rate() {
        let mut bucket = TokenBucket::new(1_000, 0);
        assert_eq!(bucket.available(0), BATCH_MAX);
        bucket.spend(2, 200);
        assert_eq!(bucket.available(0), 8);
        bucket.spend(8, 800);
        assert_eq!((bucket.available(0), bucket.wait_ms()), (0, 100));
        assert_eq!(bucket.available(99), 0);
        assert_eq!(bucket.available(100), 1);
    }

    #[test]
    fn a_notice_beyond_the_capacity_needs_a_full_bucket() {
        let mut bucket = TokenBucket::new(1_000, 0);
        bucket.available(0);
        bucket.spend(1, 5_000);
        assert_eq!((bucket.available(0), bucket.wait_ms()), (0, 5_000));
        assert_eq!(bucket.available(4_999), 0);
        assert_eq!(bucket.available(5_000), 1);
    }

    #[test]
    fn a_new_rate_applies_at_once_and_adds_no_deliveries() {
        let mut bucket = TokenBucket::new(1_000, 0);
        bucket.available(0);
        bucket.spend(1, 100);
        bucket.set_rate(200);
        assert_eq!(bucket.available(0), 2, "200 deliveries of 100 each");
        bucket.spend(2, 200);
        assert_eq!((bucket.available(0), bucket.wait_ms()), (0, 500));
        bucket.set_rate(0);
        assert_eq!((bucket.available(0), bucket.wait_ms()), (BATCH_MAX, 0));
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let mut bucket = TokenBucket::new(0, 0);
        bucket.spend(1, 1_000_000);
        assert_eq!((bucket.available(0), bucket.wait_ms()), (BATCH_MAX, 0));
    }
}
