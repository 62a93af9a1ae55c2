//! The error rate of requests, from samples of two counters. Pure.

use std::collections::VecDeque;

/// Time between two samples, ms.
pub const PERIOD_MS: i64 = 10_000;

/// The period that the rate covers, ms.
const SPAN_MS: i64 = 300_000;

/// Most stored samples: the samples of the span, and the last sample before it.
const SAMPLES_MAX: usize = (SPAN_MS / PERIOD_MS) as usize + 2;

/// The counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests.
    pub requests: u64,
    /// Refused or failed requests.
    pub errors: u64,
}

impl Counted {
    /// The share of requests that were refused or failed, 0 to 1; 0 without requests. Refusals without a request count
    /// too.
    pub fn rate(self) -> f64 {
        let rate = if self.requests == 0 { 0.0 } else { self.errors as f64 / self.requests as f64 };
        rate.min(1.0)
    }
}

/// The samples of the last 5 minutes.
#[derive(Debug)]
pub struct Samples(VecDeque<(i64, Counted)>);

impl Samples {
    /// No counts before `elapsed`, in ms of [`crate::runtime::clock::Clock::elapsed_ms`].
    pub fn new(elapsed: i64) -> Self {
        Self(VecDeque::from([(elapsed, Counted::default())]))
    }

    /// Stores a sample.
    pub fn take(&mut self, counted: Counted, elapsed: i64) {
        while self.0.get(1).is_some_and(|(at, _)| elapsed - at >= SPAN_MS) || self.0.len() >= SAMPLES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((elapsed, counted));
    }

    /// The counts of the last 5 minutes, and of at most one period more. `counted` are the counters at `elapsed`.
    pub fn recent(&self, counted: Counted, elapsed: i64) -> Counted {
        let before = self.0.iter().take_while(|(at, _)| elapsed - at >= SPAN_MS).last().or(self.0.front());
        let before = before.map(|&(_, before)| before).unwrap_or_default();
        Counted {
            requests: counted.requests.saturating_sub(before.requests),
            errors: counted.errors.saturating_sub(before.errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(requests: u64, errors: u64) -> Counted {
        Counted { requests, errors }
    }

    #[test]
    fn the_rate_is_between_0_and_1_and_0_without_requests() {
        for (of, expected) in [
            (counted(0, 0), 0.0),
            (counted(0, 3), 0.0),
            (counted(8, 0), 0.0),
            (counted(8, 2), 0.25),
            (counted(8, 8), 1.0),
            (counted(8, 9), 1.0),
        ] {
            assert_eq!(of.rate(), expected, "{of:?}");
        }
    }

    #[test]
    fn requests_older_than_five_minutes_do_not_count() {
        let mut samples = Samples::new(0);
        assert_eq!(samples.recent(counted(7, 1), 5), counted(7, 1), "before the first sample");
        // 10 requests in each period, and one error in each of the first ten periods.
        for period in 1..=100 {
            let now = counted(period * 10, period.min(10));
            samples.take(now, period as i64 * PERIOD_MS);
        }
        assert_eq!(samples.0.len(), SAMPLES_MAX - 1);
        assert_eq!(samples.recent(counted(1_004, 11), 1_004_000), counted(304, 1));
        assert_eq!(samples.recent(counted(1_010, 12), 1_010_000), counted(300, 2));
    }

    #[test]
    fn after_a_long_pause_only_the_newest_sample_counts() {
        let mut samples = Samples::new(0);
        samples.take(counted(50, 5), 10_000);
        assert_eq!(samples.recent(counted(60, 6), 9_000_000), counted(10, 1));
        samples.take(counted(60, 6), 9_000_000);
        assert_eq!(samples.recent(counted(61, 6), 9_000_001), counted(11, 1));
    }

    #[test]
    fn the_number_of_samples_is_bounded() {
        let mut samples = Samples::new(0);
        for n in 0..1_000 {
            samples.take(counted(n, 0), 1);
        }
        assert_eq!(samples.0.len(), SAMPLES_MAX);
    }
}
