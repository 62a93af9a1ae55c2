//! A histogram of times: constant size, about 3 % exact, cheap enough for every delivery.

use std::time::{Duration, Instant};

/// Buckets to each power of two, as a power of two.
const FINE: u32 = 5;

/// The number of buckets: 64 powers of two cover every `u64`.
const BUCKETS: usize = 64 << FINE;

/// Times in microseconds, of what began since [`Histogram::begin`].
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    since: Option<Instant>,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, since: None }
    }

    /// Notes what began at `start` and ended at `end`.
    pub(crate) fn note(&mut self, start: Instant, end: Instant) {
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

    /// Forgets what was noted, and all that began before: what a warm-up left behind is not measured.
    pub(crate) fn begin(&mut self, now: Instant) {
        *self = Self { since: Some(now), ..Self::new() };
    }

    /// The time that `share` (0 to 1) of all did not exceed, ms: the upper end of its bucket.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        let found = self.buckets.iter().position(|&count| {
            seen += count;
            seen >= wanted.max(1)
        });
        found.map_or(0.0, |index| (lowest(index + 1)) as f64 / 1000.0)
    }
}

fn bucket(micros: u64) -> usize {
    let power = (micros | 1).ilog2();
    if power < FINE {
        return micros as usize;
    }
    let shift = power - FINE;
    (((shift + 1) as usize) << FINE) + ((micros >> shift) as usize - (1 << FINE))
}

/// The least time that falls into a bucket.
fn lowest(index: usize) -> u64 {
    let (group, within) = ((index >> FINE) as u32, (index & ((1 << FINE) - 1)) as u64);
    if group == 0 { within } else { (within + (1 << FINE)) << (group - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_bucket_whose_bounds_hold_it() {
        for micros in (0..5_000).chain([1 << 20, (1 << 33) + 12_345]) {
            let index = bucket(micros);
            assert!(lowest(index) <= micros && micros < lowest(index + 1), "{micros}");
        }
    }

    #[test]
    fn what_began_before_is_not_counted() {
        let (mut histogram, now) = (Histogram::new(), Instant::now());
        let late = now + Duration::from_millis(100);
        histogram.note(now, late);
        histogram.begin(now + Duration::from_millis(1));
        histogram.note(now, late);
        assert_eq!(histogram.count, 0);
        histogram.note(now + Duration::from_millis(1), late);
        assert_eq!((histogram.count, histogram.quantile(1.0).round()), (1, 100.0));
    }

    #[test]
    fn quantiles_are_within_three_percent() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|micros| histogram.record(Duration::from_micros(micros)));
        for (share, want) in [(0.5, 0.5), (0.99, 0.99)] {
            let got = histogram.quantile(share);
            assert!((got / want - 1.0_f64).abs() < 0.04, "{share}: {got}");
        }
    }
}
