//! A histogram of durations in plain atomics: fixed bounds, no lock, and no allocation when a duration is recorded.

use std::sync::atomic::{AtomicU64, Ordering};

/// The number of durations in each bucket since the start.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One counter for each bound, one for longer durations, and the sum at the end. They are one allocation, so that
    /// two histograms do not share a cache line.
    counts: Box<[AtomicU64]>,
}

/// The contents of a [`Histogram`] at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The upper bounds of the buckets, inclusive, in µs, ascending.
    pub bounds: &'static [u64],
    /// Durations in each bucket alone, not cumulative; the last bucket has no upper bound.
    pub counts: Vec<u64>,
    /// The sum of all durations, in µs.
    pub sum: u64,
}

impl Histogram {
    /// An empty histogram. `bounds` are the inclusive upper bounds of its buckets in µs, ascending.
    pub fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: (0..bounds.len() + 2).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts one duration of `micros` µs.
    pub fn record(&self, micros: u64) {
        let bucket = self.bounds.partition_point(|&bound| bound < micros);
        if let ([.., sum], Some(count)) = (&*self.counts, self.counts.get(bucket)) {
            count.fetch_add(1, Ordering::Relaxed);
            sum.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// The current contents.
    pub fn snapshot(&self) -> Snapshot {
        let mut counts: Vec<_> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let sum = counts.pop().unwrap_or_default();
        Snapshot { bounds: self.bounds, counts, sum }
    }
}

impl Snapshot {
    /// Adds the contents of another histogram with the same bounds.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.sum += other.sum;
        self
    }

    /// The number of all durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// For each bound, the number of durations up to it; then the number of all durations.
    pub fn cumulative(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_is_long_enough() {
        let histogram = Histogram::new(&[10, 20, 50]);
        for micros in [0, 10, 11, 20, 21, 50, 51, 1_000] {
            histogram.record(micros);
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot, Snapshot { bounds: &[10, 20, 50], counts: vec![2, 2, 2, 2], sum: 1_163 });
        assert_eq!(snapshot.cumulative().collect::<Vec<_>>(), [2, 4, 6, 8]);
        assert_eq!(snapshot.count(), 8);
    }
}
