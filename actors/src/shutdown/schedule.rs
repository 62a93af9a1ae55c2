//! How fast sessions go when the hub goes away, and when each of them is to come back: pure. What is done by it, every
//! worker's fan-out does.
//!
//! All sessions that end at once come back at once, and to be let in costs a hub more than to let go. So they are
//! closed over a while, and each is told to stay away for a random part of the time that the wished rate gives all of
//! them. Both together bring them back at that rate at most, also where they have to go faster.

use std::time::Duration;

/// Between two batches of sessions that are closed, ms.
pub const TICK_MS: u64 = 50;

/// Few sessions are spread over this time too, ms.
const AWAY_MIN_MS: u64 = 1_000;

/// Of the time that there is, so many parts of [`PARTS`] may pass until the last session is closed. The rest is for
/// those who have something to read still.
const CLOSING_PARTS: u64 = 3;
const PARTS: u64 = 4;

/// What is wished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainRate {
    /// Sessions a second; 0 is all at once.
    pub per_sec: u32,
    /// The time that there is until all have to be gone.
    pub within: Duration,
}

impl DrainRate {
    /// The same, once some of the time has passed.
    #[must_use]
    pub fn after(self, passed: Duration) -> Self {
        Self { within: self.within.saturating_sub(passed), ..self }
    }
}

/// One of several workers that close their sessions beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Which one, from 0.
    pub worker: usize,
    /// How many there are.
    pub of: usize,
}

/// How so many sessions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainSchedule {
    /// From the first close to the last, ms; 0 is all at once.
    closing_ms: u64,
    /// The longest that a client is to stay away, ms.
    away_ms: u64,
    /// It goes faster than was wished, because there is no more time.
    hurried: bool,
}

impl DrainSchedule {
    /// How `sessions` sessions go at this pace.
    pub fn of(sessions: u64, pace: DrainRate) -> Self {
        let wished = sessions.saturating_mul(1_000).checked_div(pace.per_sec.into()).unwrap_or(0);
        let within = u64::try_from(pace.within.as_millis()).unwrap_or(u64::MAX);
        let most = (within / PARTS).saturating_mul(CLOSING_PARTS);
        let closing = wished.min(most);
        Self {
            // What goes in one batch goes now.
            closing_ms: if closing < TICK_MS { 0 } else { closing },
            away_ms: wished.max(AWAY_MIN_MS),
            hurried: wished > most,
        }
    }

    /// From the first close to the last.
    pub fn closing(&self) -> Duration {
        Duration::from_millis(self.closing_ms)
    }

    /// The longest that a client is to stay away.
    pub fn away(&self) -> Duration {
        Duration::from_millis(self.away_ms)
    }

    /// Whether it goes faster than was wished, because there is no more time.
    pub fn is_hurried(&self) -> bool {
        self.hurried
    }

    /// How long a client is to stay away once its connection has ended, ms; `random` is any number.
    pub fn away_ms(&self, random: u32) -> u64 {
        let parts = u128::from(self.away_ms) + 1;
        u64::try_from((parts * u128::from(random)) >> 32).unwrap_or(self.away_ms)
    }

    /// How many of a worker's `sessions` are to be closed by `elapsed` ms. The workers take turns, so that those with
    /// few do not all close them in the same moment.
    pub fn due(&self, sessions: usize, Turn { worker, of }: Turn, elapsed: u64) -> usize {
        if elapsed >= self.closing_ms {
            return sessions;
        }
        // Session k of n goes at (k + phase) / n of the time, where the phase of a worker is (worker + 1/2) / workers.
        let (of, worker) = (of.max(1) as u128, worker as u128);
        let closing = u128::from(self.closing_ms);
        let (passed, phase) = (u128::from(elapsed) * sessions as u128 * 2 * of, (2 * worker + 1) * closing);
        let due = passed.checked_sub(phase).map_or(0, |passed| passed / (2 * of * closing) + 1);
        usize::try_from(due).unwrap_or(sessions).min(sessions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(sessions: u64, per_sec: u32, within_secs: u64) -> DrainSchedule {
        DrainSchedule::of(sessions, DrainRate { per_sec, within: Duration::from_secs(within_secs) })
    }

    fn times(plan: &DrainSchedule) -> (u64, u64, bool) {
        (plan.closing_ms, plan.away_ms, plan.is_hurried())
    }

    #[test]
    fn sessions_go_at_the_wished_rate_and_are_away_for_as_long() {
        assert_eq!(times(&plan(10_000, 2_000, 12)), (5_000, 5_000, false));
        assert_eq!(times(&plan(40, 20, 12)), (2_000, 2_000, false));
    }

    #[test]
    fn what_goes_in_one_batch_goes_at_once_and_comes_back_over_a_second() {
        for (sessions, per_sec) in [(0, 2_000), (1, 2_000), (99, 2_000), (1_000_000, 0)] {
            assert_eq!(times(&plan(sessions, per_sec, 12)), (0, 1_000, false), "{sessions} at {per_sec} a second");
        }
        assert_eq!(times(&plan(100, 2_000, 12)), (50, 1_000, false));
    }

    #[test]
    fn where_time_is_short_they_go_faster_and_come_back_no_faster() {
        assert_eq!(times(&plan(100_000, 2_000, 12)), (9_000, 50_000, true));
        assert_eq!(times(&plan(100, 1, 0)), (0, 100_000, true));
        assert_eq!(times(&plan(100_000_000, 1, 3_600)), (2_700_000, 100_000_000_000, true));
        let late = DrainRate { per_sec: 1, within: Duration::from_secs(8) }.after(Duration::from_secs(4));
        assert_eq!(times(&DrainSchedule::of(100, late)), (3_000, 100_000, true));
        assert_eq!(late.after(Duration::from_secs(5)).within, Duration::ZERO);
    }

    #[test]
    fn each_is_away_for_a_part_of_the_time_that_chance_picks() {
        let plan = plan(10_000, 2_000, 12);
        assert_eq!([0, u32::MAX / 2, u32::MAX].map(|random| plan.away_ms(random)), [0, 2_500, 5_000]);
    }

    #[test]
    fn batches_are_even_and_the_last_one_is_the_rest() {
        let plan = plan(10_000, 2_000, 12);
        let only = Turn { worker: 0, of: 1 };
        let due: Vec<_> = (0..=100).map(|tick| plan.due(10_000, only, tick * TICK_MS)).collect();
        assert_eq!((due[0], due[100]), (0, 10_000));
        assert!(due.windows(2).all(|two| two[1] - two[0] == 100), "{due:?}");
        assert_eq!(plan.due(10_000, only, 6_000), 10_000);
        assert_eq!(plan.due(0, only, 100), 0);
    }

    #[test]
    fn workers_take_turns_and_none_is_ahead_of_its_share() {
        for sessions in [1, 2, 7, 20] {
            let workers = 64;
            let plan = plan(sessions * workers, 64, 1_000);
            let closing = plan.closing_ms;
            let mut before = vec![0; 64];
            for elapsed in (0..=closing).step_by(TICK_MS as usize) {
                let due: Vec<_> =
                    (0..64).map(|worker| plan.due(sessions as usize, Turn { worker, of: 64 }, elapsed)).collect();
                assert!(before.iter().zip(&due).all(|(before, due)| before <= due), "somebody was closed and is not");
                let (all, fair) = (due.iter().sum::<usize>() as u64, sessions * workers * elapsed / closing);
                assert!(all.abs_diff(fair) <= 1, "{all} of {fair} are closed after {elapsed} ms");
                before = due;
            }
            assert_eq!(before, vec![sessions as usize; 64]);
        }
    }

    #[test]
    fn they_come_back_at_the_wished_rate_at_most() {
        for (sessions, per_sec, within) in [(3_000, 1_000, 100), (3_000, 1_000, 2), (3_000, 1_000, 0)] {
            let plan = plan(sessions, per_sec, within);
            let only = Turn { worker: 0, of: 1 };
            let mut back = vec![0; 2 * plan.away_ms as usize / 500 + 1];
            let mut closed = 0;
            for elapsed in (0..=plan.closing_ms).step_by(TICK_MS as usize) {
                let due = plan.due(3_000, only, elapsed);
                for session in std::mem::replace(&mut closed, due)..due {
                    // Fractions of the golden ratio: as even as chance is in the long run.
                    let random = (session as u32).wrapping_mul(2_654_435_769);
                    back[(elapsed + plan.away_ms(random)) as usize / 500] += 1;
                }
            }
            assert_eq!(back.iter().sum::<u64>(), sessions);
            let most = back.iter().max().unwrap();
            assert!(*most <= 550, "{most} in half a second: {back:?}");
        }
    }
}
