//! What became of the questions to the application, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hubbub_actors::application::RequestKind;
use hubbub_actors::runtime::histogram::{Histogram, Snapshot};

pub use super::answer::Outcome;

/// The bounds of the histogram of times, µs.
const BOUNDS: &[u64] = &[5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000];

/// Counts, since the start.
#[derive(Debug)]
pub struct Tally {
    ended: [[AtomicU64; Outcome::ALL.len()]; RequestKind::ALL.len()],
    retries: AtomicU64,
    opened: AtomicU64,
    times: Histogram,
}

impl Default for Tally {
    fn default() -> Self {
        let (ended, retries, opened) = Default::default();
        Self { ended, retries, opened, times: Histogram::new(BOUNDS) }
    }
}

impl Tally {
    pub(super) fn note(&self, kind: RequestKind, outcome: Outcome, taken: Duration) {
        add(&self.ended[kind as usize][outcome as usize], 1);
        // What was not asked took no time, and would hide how long the others take.
        if !matches!(outcome, Outcome::LeftAlone | Outcome::Overloaded) {
            self.times.record(u64::try_from(taken.as_micros()).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn note_retry(&self) {
        add(&self.retries, 1);
    }

    pub(super) fn note_opened(&self) {
        add(&self.opened, 1);
    }

    /// How many questions of each kind came to what.
    pub fn ended(&self) -> impl Iterator<Item = (RequestKind, Outcome, u64)> {
        let of = |kind: RequestKind| {
            Outcome::ALL.map(|outcome| (kind, outcome, get(&self.ended[kind as usize][outcome as usize])))
        };
        RequestKind::ALL.map(of).into_iter().flatten()
    }

    /// Further attempts.
    pub fn retries(&self) -> u64 {
        get(&self.retries)
    }

    /// How often it was found not to answer.
    pub fn opened(&self) -> u64 {
        get(&self.opened)
    }

    /// How long questions took.
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
    fn questions_are_counted_by_kind_and_outcome() {
        let tally = Tally::default();
        tally.note(RequestKind::Action, Outcome::Timeout, Duration::ZERO);
        tally.note(RequestKind::Action, Outcome::Timeout, Duration::ZERO);
        tally.note(RequestKind::Event, Outcome::Answered, Duration::ZERO);
        let counted: Vec<_> = tally.ended().filter(|(.., count)| *count > 0).collect();
        assert_eq!(counted, [(RequestKind::Event, Outcome::Answered, 1), (RequestKind::Action, Outcome::Timeout, 2)]);
        assert_eq!(tally.ended().count(), 24);
    }

    #[test]
    fn only_what_was_asked_is_in_the_histogram() {
        let tally = Tally::default();
        for ms in [5, 6, 2_500, 9_000] {
            tally.note(RequestKind::Event, Outcome::Answered, Duration::from_millis(ms));
        }
        tally.note(RequestKind::Event, Outcome::LeftAlone, Duration::ZERO);
        let times = tally.times();
        assert_eq!(times.cumulative().collect::<Vec<_>>(), [1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 4]);
        assert_eq!(times.sum, 11_511_000);
    }
}
