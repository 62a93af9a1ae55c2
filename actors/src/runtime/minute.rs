//! The number of events in the last minute: a ring of samples of a running total, one sample a second.
//!
//! The handler of an event only adds to the total. A timer takes the samples, and a reader compares the total with the
//! sample of a minute ago.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Time between two samples, ms.
pub const SECOND_MS: i64 = 1_000;

/// The period that the number covers, ms.
const SPAN_MS: i64 = 60_000;

/// Shortest time between two samples, ms. After a pause of the process, the timer fires at once for each second of the
/// pause. Without this bound, these samples would evict the samples of the last minute.
const APART_MS: i64 = SECOND_MS / 2;

/// Most stored samples: the samples of the span at the shortest distance, and the last sample before it.
const SAMPLES_MAX: usize = (SPAN_MS / APART_MS) as usize + 2;

/// The samples of the last minute. Before the first one the total was 0.
#[derive(Debug, Default)]
pub struct Minute(Mutex<VecDeque<(i64, u64)>>);

impl Minute {
    /// Stores the `total` at `elapsed`, in ms of [`crate::runtime::clock::Clock::elapsed_ms`]. Call it every
    /// [`SECOND_MS`]; a sample within half of that after another sample is ignored.
    pub fn sample(&self, total: u64, elapsed: i64) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.back().is_some_and(|(at, _)| elapsed - at < APART_MS) {
            return;
        }
        while samples.get(1).is_some_and(|(at, _)| elapsed - at >= SPAN_MS) || samples.len() >= SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back((elapsed, total));
    }

    /// The events of the last 60 s, and of at most one second more. `total` is the count at `elapsed`.
    pub fn events(&self, total: u64, elapsed: i64) -> u64 {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = samples.iter().take_while(|(at, _)| elapsed - at >= SPAN_MS).last();
        total.saturating_sub(before.map_or(0, |(_, total)| *total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::Clock;

    /// Lets `seconds` pass, with `events` events at the end of each second.
    fn pass(minute: &Minute, clock: &Clock, total: &mut u64, seconds: u32, events: u64) {
        for _ in 0..seconds {
            clock.advance(SECOND_MS);
            minute.sample(*total, clock.elapsed_ms());
            *total += events;
        }
    }

    #[test]
    fn a_burst_counts_for_a_whole_minute() {
        let (minute, clock, mut total) = (Minute::default(), Clock::manual(0), 0);
        assert_eq!(minute.events(7, clock.elapsed_ms()), 7, "before the first sample");
        pass(&minute, &clock, &mut total, 240, 0);
        total += 30;
        for _ in 0..60 {
            assert_eq!(minute.events(total, clock.elapsed_ms()), 30, "at {} ms", clock.elapsed_ms());
            pass(&minute, &clock, &mut total, 1, 0);
        }
        assert_eq!(minute.events(total, clock.elapsed_ms()), 30, "a minute ago");
        pass(&minute, &clock, &mut total, 1, 0);
        assert_eq!(minute.events(total, clock.elapsed_ms()), 0, "longer ago");
    }

    #[test]
    fn a_steady_rate_counts_the_events_of_sixty_seconds() {
        let (minute, clock, mut total) = (Minute::default(), Clock::manual(5), 0);
        pass(&minute, &clock, &mut total, 30, 10);
        assert_eq!(minute.events(total, clock.elapsed_ms()), 300);
        pass(&minute, &clock, &mut total, 300, 10);
        assert_eq!(minute.events(total, clock.elapsed_ms()), 610);
        clock.advance(SECOND_MS - 1);
        assert_eq!(minute.events(total, clock.elapsed_ms()), 610, "the seconds are whole ones");
    }

    #[test]
    fn samples_that_come_late_or_too_often_stay_within_their_bound() {
        let minute = Minute::default();
        minute.sample(50, 1_000);
        minute.sample(60, 9_000_000);
        assert_eq!(minute.events(61, 9_000_001), 11, "since the sample before the silence");
        for n in 0..1_000 {
            minute.sample(60 + n, 9_000_001);
        }
        assert_eq!(minute.events(1_059, 9_000_001), 1_009, "the sample before the silence is still there");
        for n in 0..1_000 {
            minute.sample(60 + n, 9_000_000 + i64::try_from(n).unwrap() * APART_MS);
        }
        assert_eq!(minute.0.lock().unwrap().len(), SAMPLES_MAX - 1);
    }
}
