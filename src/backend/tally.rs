//! What became of the questions to the application, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hubbub_actors::application::Kind;

pub use super::answer::Outcome;

/// The times that are told apart, in ms.
pub const BOUNDS_MS: [u64; 10] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000];

/// Counts, since the start.
#[derive(Debug, Default)]
pub struct Tally {
    ended: [[AtomicU64; Outcome::ALL.len()]; Kind::ALL.len()],
    retries: AtomicU64,
    opened: AtomicU64,
    /// Questions by the first bound that they kept; the last by none.
    times: [AtomicU64; BOUNDS_MS.len() + 1],
    micros: AtomicU64,
}

impl Tally {
    pub(super) fn note(&self, kind: Kind, outcome: Outcome, taken: Duration) {
        add(&self.ended[kind as usize][outcome as usize], 1);
        // What was not asked took no time, and would hide how long the others take.
        if !matches!(outcome, Outcome::LeftAlone | Outcome::Overloaded) {
            let kept = BOUNDS_MS.iter().position(|&bound| taken <= Duration::from_millis(bound));
            add(&self.times[kept.unwrap_or(BOUNDS_MS.len())], 1);
            add(&self.micros, u64::try_from(taken.as_micros()).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn note_retry(&self) {
        add(&self.retries, 1);
    }

    pub(super) fn note_opened(&self) {
        add(&self.opened, 1);
    }

    /// How many questions of each kind came to what.
    pub fn ended(&self) -> impl Iterator<Item = (Kind, Outcome, u64)> {
        let of =
            |kind: Kind| Outcome::ALL.map(|outcome| (kind, outcome, get(&self.ended[kind as usize][outcome as usize])));
        Kind::ALL.map(of).into_iter().flatten()
    }

    /// Further attempts.
    pub fn retries(&self) -> u64 {
        get(&self.retries)
    }

    /// How often it was found not to answer.
    pub fn opened(&self) -> u64 {
        get(&self.opened)
    }

    /// How long questions took, as the lines of a Prometheus histogram called `name`.
    pub fn histogram(&self, name: &str, help: &str) -> String {
        let mut text = format!("# HELP {name} {help}\n# TYPE {name} histogram\n");
        let mut count = 0;
        let bounds = BOUNDS_MS.iter().map(|&bound| Duration::from_millis(bound).as_secs_f64().to_string());
        for (bound, time) in bounds.chain(["+Inf".into()]).zip(&self.times) {
            count += get(time);
            text.push_str(&format!("{name}_bucket{{le=\"{bound}\"}} {count}\n"));
        }
        let sum = Duration::from_micros(get(&self.micros)).as_secs_f64();
        text.push_str(&format!("{name}_sum {sum}\n{name}_count {count}\n"));
        text
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
        tally.note(Kind::Action, Outcome::Timeout, Duration::ZERO);
        tally.note(Kind::Action, Outcome::Timeout, Duration::ZERO);
        tally.note(Kind::Event, Outcome::Answered, Duration::ZERO);
        let counted: Vec<_> = tally.ended().filter(|(.., count)| *count > 0).collect();
        assert_eq!(counted, [(Kind::Event, Outcome::Answered, 1), (Kind::Action, Outcome::Timeout, 2)]);
        assert_eq!(tally.ended().count(), 24);
    }

    #[test]
    fn a_histogram_counts_up_to_each_bound_and_only_what_was_asked() {
        let tally = Tally::default();
        for ms in [5, 6, 2_500, 9_000] {
            tally.note(Kind::Event, Outcome::Answered, Duration::from_millis(ms));
        }
        tally.note(Kind::Event, Outcome::LeftAlone, Duration::ZERO);
        let text = tally.histogram("x", "How long");
        assert!(text.starts_with("# HELP x How long\n# TYPE x histogram\nx_bucket{le=\"0.005\"} 1\n"), "{text}");
        for line in
            ["x_bucket{le=\"0.01\"} 2", "x_bucket{le=\"2.5\"} 3", "x_bucket{le=\"5\"} 3", "x_bucket{le=\"+Inf\"} 4"]
        {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
        assert!(text.ends_with("x_sum 11.511\nx_count 4\n"), "{text}");
    }
}
