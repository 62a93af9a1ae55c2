//! Counts the requests to the application by outcome.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hubbub_actors::application::RequestKind;
use hubbub_actors::runtime::histogram::{Histogram, Snapshot};

pub use super::answer::UpstreamOutcome;

/// The bounds of the histogram of times, µs.
const BOUNDS: &[u64] = &[5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000];

/// Counts, since the start.
#[derive(Debug)]
pub struct RequestCounts {
    ended: [[AtomicU64; UpstreamOutcome::ALL.len()]; RequestKind::ALL.len()],
    retries: AtomicU64,
    opened: AtomicU64,
    times: Histogram,
}

impl Default for RequestCounts {
    fn default() -> Self {
        let (ended, retries, opened) = Default::default();
        Self { ended, retries, opened, times: Histogram::new(BOUNDS) }
    }
}

impl RequestCounts {
    pub(super) fn note(&self, kind: RequestKind, outcome: UpstreamOutcome, taken: Duration) {
        add(&self.ended[kind as usize][outcome as usize], 1);
        // A request that was not sent took no time, and would distort the histogram.
        if !matches!(outcome, UpstreamOutcome::BreakerOpen | UpstreamOutcome::Overloaded) {
            self.times.record(u64::try_from(taken.as_micros()).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn note_retry(&self) {
        add(&self.retries, 1);
    }

    pub(super) fn note_opened(&self) {
        add(&self.opened, 1);
    }

    /// Requests by kind and outcome.
    pub fn ended(&self) -> impl Iterator<Item = (RequestKind, UpstreamOutcome, u64)> {
        let of = |kind: RequestKind| {
            UpstreamOutcome::ALL.map(|outcome| (kind, outcome, get(&self.ended[kind as usize][outcome as usize])))
        };
        RequestKind::ALL.map(of).into_iter().flatten()
    }

    /// Repeated attempts.
    pub fn retries(&self) -> u64 {
        get(&self.retries)
    }

    /// How often the circuit breaker opened.
    pub fn opened(&self) -> u64 {
        get(&self.opened)
    }

    /// How long requests took.
    pub fn times(&self) -> Snapshot {
        self.times.snapshot()
    }
}

fn add(count: &AtomicU64, n: u64) {
    count.fetch_add(n, Ordering::Relaxed);
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_kind_and_outcome() {
        let counts = RequestCounts::default();
        counts.note(RequestKind::Action, UpstreamOutcome::Timeout, Duration::ZERO);
        counts.note(RequestKind::Action, UpstreamOutcome::Timeout, Duration::ZERO);
        counts.note(RequestKind::Event, UpstreamOutcome::Answered, Duration::ZERO);
        let counted: Vec<_> = counts.ended().filter(|(.., count)| *count > 0).collect();
        assert_eq!(
            counted,
            [(RequestKind::Event, UpstreamOutcome::Answered, 1), (RequestKind::Action, UpstreamOutcome::Timeout, 2)]
        );
        assert_eq!(counts.ended().count(), 24);
    }

    #[test]
    fn only_requests_that_were_sent_are_in_the_histogram() {
        let counts = RequestCounts::default();
        for ms in [5, 6, 2_500, 9_000] {
            counts.note(RequestKind::Event, UpstreamOutcome::Answered, Duration::from_millis(ms));
        }
        counts.note(RequestKind::Event, UpstreamOutcome::BreakerOpen, Duration::ZERO);
        let times = counts.times();
        assert_eq!(times.cumulative().collect::<Vec<_>>(), [1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 4]);
        assert_eq!(times.sum, 11_511_000);
    }
}
