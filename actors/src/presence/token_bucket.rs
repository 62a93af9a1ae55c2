//! How much may be told in a while, pure: a bucket of deliveries that fills at a steady rate.

/// Notices that are told at once, at most: the next ones wait until these are in the outboxes.
pub const BATCH_MAX: usize = 64;

/// The bucket. What a notice costs shows when it was delivered, so it is paid for afterwards; the last batch's price says
/// how many the next may have, unless somebody knows better.
#[derive(Debug)]
pub struct TokenBucket {
    /// Deliveries a second; 0 is no bound. The bucket holds those of one second.
    per_second: i64,
    /// Thousandths of deliveries there are; less than none when the last batch cost more than was thought.
    left: i64,
    filled_at: i64,
    /// Deliveries a notice, as the last batch had it.
    price: i64,
}

impl TokenBucket {
    /// A full bucket at `elapsed` ms.
    pub fn new(per_second: u32, elapsed: i64) -> Self {
        let per_second = i64::from(per_second);
        Self { per_second, left: per_second * 1000, filled_at: elapsed, price: 1 }
    }

    /// Sets the deliveries a second from now on.
    pub fn set_rate(&mut self, per_second: u32) {
        self.per_second = per_second.into();
        self.left = self.left.min(self.per_second * 1000);
    }

    /// The next notices will take so many deliveries each: known better than by the last ones.
    pub fn expect(&mut self, deliveries: u64) {
        self.price = i64::try_from(deliveries).unwrap_or(i64::MAX / 1000).clamp(1, i64::MAX / 1000);
    }

    /// How many notices may be told at `elapsed` ms.
    pub fn notices(&mut self, elapsed: i64) -> usize {
        if self.per_second == 0 {
            return BATCH_MAX;
        }
        let passed = elapsed.saturating_sub(self.filled_at).clamp(0, 3_600_000);
        self.filled_at = elapsed;
        self.left = (self.left + passed * self.per_second).min(self.per_second * 1000);
        if self.left < self.needed() {
            return 0;
        }
        let affordable = usize::try_from(self.left / 1000 / self.price).unwrap_or(0);
        affordable.clamp(1, BATCH_MAX)
    }

    /// Pays for `notices` that took so many deliveries.
    pub fn pay(&mut self, notices: usize, deliveries: u64) {
        let deliveries = i64::try_from(deliveries).unwrap_or(i64::MAX / 1000).min(i64::MAX / 1000);
        if self.per_second > 0 {
            self.left = self.left.saturating_sub(deliveries * 1000);
        }
        let notices = i64::try_from(notices).unwrap_or(i64::MAX).max(1);
        self.price = (deliveries / notices).max(1);
    }

    /// Ms until there is enough for a notice.
    pub fn wait(&self) -> i64 {
        if self.per_second == 0 {
            return 0;
        }
        ((self.needed() - self.left).max(0) + self.per_second - 1) / self.per_second
    }

    /// Thousandths of deliveries that a notice needs. One that costs more than the bucket holds needs a full one.
    fn needed(&self) -> i64 {
        self.price.min(self.per_second) * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_deliveries_may_be_told_at_once_and_then_as_many_as_time_brings() {
        let mut allowance = TokenBucket::new(1_000, 0);
        assert_eq!(allowance.notices(0), BATCH_MAX);
        allowance.pay(2, 200);
        assert_eq!(allowance.notices(0), 8);
        allowance.pay(8, 800);
        assert_eq!((allowance.notices(0), allowance.wait()), (0, 100));
        assert_eq!(allowance.notices(99), 0);
        assert_eq!(allowance.notices(100), 1);
    }

    #[test]
    fn a_notice_that_costs_more_than_a_seconds_worth_is_told_when_the_bucket_is_full_and_paid_off() {
        let mut allowance = TokenBucket::new(1_000, 0);
        allowance.notices(0);
        allowance.pay(1, 5_000);
        assert_eq!((allowance.notices(0), allowance.wait()), (0, 5_000));
        assert_eq!(allowance.notices(4_999), 0);
        assert_eq!(allowance.notices(5_000), 1);
    }

    #[test]
    fn another_rate_holds_at_once_and_gives_nothing_away() {
        let mut allowance = TokenBucket::new(1_000, 0);
        allowance.notices(0);
        allowance.pay(1, 100);
        allowance.set_rate(200);
        assert_eq!(allowance.notices(0), 2, "200 deliveries of 100 each");
        allowance.pay(2, 200);
        assert_eq!((allowance.notices(0), allowance.wait()), (0, 500));
        allowance.set_rate(0);
        assert_eq!((allowance.notices(0), allowance.wait()), (BATCH_MAX, 0));
    }

    #[test]
    fn zero_is_no_bound() {
        let mut allowance = TokenBucket::new(0, 0);
        allowance.pay(1, 1_000_000);
        assert_eq!((allowance.notices(0), allowance.wait()), (BATCH_MAX, 0));
    }
}
