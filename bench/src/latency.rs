//! A histogram of latencies: constant size, an error of about 3 %, and cheap enough for every delivery.

use std::time::{Duration, Instant};

/// The base-2 logarithm of the number of buckets for each power of two.
const PRECISION: u32 = 5;

/// The number of buckets: 64 powers of two cover every `u64`.
const BUCKETS: usize = 64 << PRECISION;

/// Latencies in microseconds. Records only intervals that started after [`LatencyHistogram::begin`].
#[derive(Debug)]
pub(crate) struct LatencyHistogram {
    buckets: Vec<u64>,
    count: u64,
    since: Option<Instant>,
}

impl LatencyHistogram {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, since: None }
    }

    /// Records the interval from `start` to `end`.
    pub(crate) fn record_since(&mut self, start: Instant, end: Instant) {
        if self.since.is_none_or(|since| start >= since) {
            self.record(end.saturating_duration_since(start));
        }
    }

    fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(bucket(micros)) {
            *bucket += 1;
            self.count += 1;
        }
    }

    /// Starts anew, and ignores intervals that started before `now`, in the warm-up.
    pub(crate) fn begin(&mut self, now: Instant) {
        *self = Self { since: Some(now), ..Self::new() };
    }

    /// The quantile `share` (0 to 1) in ms: the upper bound of its bucket.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut sum = 0;
        let found = self.buckets.iter().position(|&count| {
            sum += count;
            sum >= wanted.max(1)
        });
        found.map_or(0.0, |index| (lowest(index + 1)) as f64 / 1000.0)
    }
}

fn bucket(micros: u64) -> usize {
    let power = (micros | 1).ilog2();
    if power < PRECISION {
        return micros as usize;
    }
    let shift = power - PRECISION;
    (((shift + 1) as usize) << PRECISION) + ((micros >> shift) as usize - (1 << PRECISION))
}

/// The lower bound of a bucket.
fn lowest(index: usize) -> u64 {
    let (group, within) = ((index >> PRECISION) as u32, (index & ((1 << PRECISION) - 1)) as u64);
    if group == 0 { within } else { (within + (1 << PRECISION)) << (group - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_within_the_bounds_of_its_bucket() {
        for micros in (0..5_000).chain([1 << 20, (1 << 33) + 12_345]) {
            let index = bucket(micros);
            assert!(lowest(index) <= micros && micros < lowest(index + 1), "{micros}");
        }
    }

    #[test]
    fn an_interval_that_started_before_begin_is_not_counted() {
        let (mut histogram, now) = (LatencyHistogram::new(), Instant::now());
        let late = now + Duration::from_millis(100);
        histogram.record_since(now, late);
        histogram.begin(now + Duration::from_millis(1));
        histogram.record_since(now, late);
        assert_eq!(histogram.count, 0);
        histogram.record_since(now + Duration::from_millis(1), late);
        assert_eq!((histogram.count, histogram.quantile(1.0).round()), (1, 100.0));
    }

    #[test]
    fn quantiles_are_within_three_percent() {
        let mut histogram = LatencyHistogram::new();
        (1..=1000).for_each(|micros| histogram.record(Duration::from_micros(micros)));
        for (share, expected) in [(0.5, 0.5), (0.99, 0.99)] {
            let actual = histogram.quantile(share);
            assert!((actual / expected - 1.0_f64).abs() < 0.04, "{share}: {actual}");
        }
    }
}
