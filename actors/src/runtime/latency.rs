//! Measures the time from the acceptance of a publication to its write to the socket or the poll of a client.
//!
//! Only a sample of the deliveries is measured. The fan-out of a worker chooses the sample, the outbox marks the entry,
//! and the writer of the connection records the time. See [`crate::connection::outbox::Outbox::mark`].

use crate::runtime::histogram::{Histogram, Snapshot};

/// The bounds of the histogram, µs: 0.5 ms to 10 s.
const BOUNDS: &[u64] = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];

/// The number of histograms. More workers than this share them.
const WORKERS: usize = 16;

/// One histogram for each worker, so that no worker writes to the cache lines of another. A reader gets their sum.
#[derive(Debug)]
pub struct Latency([Histogram; WORKERS]);

impl Default for Latency {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Histogram::new(BOUNDS)))
    }
}

impl Latency {
    /// Records a delivery by the worker with the number `worker` that took `micros` µs.
    pub fn record(&self, worker: usize, micros: u64) {
        self.0[worker % WORKERS].record(micros);
    }

    /// The deliveries of all workers.
    pub fn snapshot(&self) -> Snapshot {
        let [first, others @ ..] = &self.0;
        others.iter().fold(first.snapshot(), |sum, other| sum.with(&other.snapshot()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histograms_of_all_workers_are_read_as_one() {
        let latency = Latency::default();
        for (worker, micros) in [(0, 500), (1, 501), (15, 10_000_000), (16, 10_000_001), (1_000, 3)] {
            latency.record(worker, micros);
        }
        let snapshot = latency.snapshot();
        assert_eq!(snapshot.cumulative().collect::<Vec<_>>(), [2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5]);
        assert_eq!(snapshot.sum, 20_001_005);
    }
}
