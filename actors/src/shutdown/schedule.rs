//! When each session is closed at a shutdown, and when its client reconnects. Pure; each worker's fan-out applies it.
//!
//! Sessions that end at once reconnect at once, and a connect costs a hub more than a close. So sessions are closed
//! over a period, and each client waits for a random part of the time that the configured rate needs for all of them.
//! Together, clients reconnect at most at that rate, even when the sessions are closed faster.

use std::time::Duration;

/// The time between two batches of closes, ms.
pub const TICK_MS: u64 = 50;

/// The shortest period for reconnects, ms.
const AWAY_MIN_MS: u64 = 1_000;

/// The last session is closed after at most this many [`PARTS`] of the available time. In the rest, clients read what
/// was sent.
const CLOSING_PARTS: u64 = 3;
const PARTS: u64 = 4;

/// The configured rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainRate {
    /// Sessions a second; 0: all at once.
    pub per_sec: u32,
    /// The time until all sessions must be closed.
    pub within: Duration,
}

impl DrainRate {
    /// The rate after some of the time has passed.
    #[must_use]
    pub fn after(self, passed: Duration) -> Self {
        Self { within: self.within.saturating_sub(passed), ..self }
    }
}

/// One of the workers that close sessions in parallel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerTurn {
    /// Its number, from 0.
    pub worker: usize,
    /// The number of workers.
    pub of: usize,
}

/// When a number of sessions is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainSchedule {
    /// From the first close to the last, ms; 0: all at once.
    closing_ms: u64,
    /// The longest wait before a reconnect, ms.
    away_ms: u64,
    /// Whether sessions are closed faster than configured, because the time is too short.
    hurried: bool,
}

impl DrainSchedule {
    /// The schedule for `sessions` sessions at this rate.
    pub fn of(sessions: u64, rate: DrainRate) -> Self {
        let wanted = sessions.saturating_mul(1_000).checked_div(rate.per_sec.into()).unwrap_or(0);
        let within = u64::try_from(rate.within.as_millis()).unwrap_or(u64::MAX);
        let most = (within / PARTS).saturating_mul(CLOSING_PARTS);
        let closing = wanted.min(most);
        Self {
            // A single batch is closed now.
            closing_ms: if closing < TICK_MS { 0 } else { closing },
            away_ms: wanted.max(AWAY_MIN_MS),
            hurried: wanted > most,
        }
    }

    /// From the first close to the last.
    pub fn closing(&self) -> Duration {
        Duration::from_millis(self.closing_ms)
    }

    /// The longest wait before a reconnect.
    pub fn away(&self) -> Duration {
        Duration::from_millis(self.away_ms)
    }

    /// Whether sessions are closed faster than configured, because the time is too short.
    pub fn is_hurried(&self) -> bool {
        self.hurried
    }

    /// How long a client waits after its close before it reconnects, ms; `random` is any number.
    pub fn away_ms(&self, random: u32) -> u64 {
        let parts = u128::from(self.away_ms) + 1;
        u64::try_from((parts * u128::from(random)) >> 32).unwrap_or(self.away_ms)
    }

    /// How many of a worker's `sessions` are closed by `elapsed` ms. The workers take turns, so that workers with few
    /// sessions do not close them at the same time.
    pub fn due(&self, sessions: usize, WorkerTurn { worker, of }: WorkerTurn, elapsed: u64) -> usize {
        if elapsed >= self.closing_ms {
            return sessions;
        }
        // Session k of n is closed at (k + phase) / n of the time; the phase of a worker is (worker + 1/2) / workers.
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

    fn schedule(sessions: u64, per_sec: u32, within_secs: u64) -> DrainSchedule {
        DrainSchedule::of(sessions, DrainRate { per_sec, within: Duration::from_secs(within_secs) })
    }

    fn times(schedule: &DrainSchedule) -> (u64, u64, bool) {
        (schedule.closing_ms, schedule.away_ms, schedule.is_hurried())
    }

    #[test]
    fn sessions_are_closed_at_the_configured_rate_and_reconnect_over_the_same_time() {
        assert_eq!(times(&schedule(10_000, 2_000, 12)), (5_000, 5_000, false));
        assert_eq!(times(&schedule(40, 20, 12)), (2_000, 2_000, false));
    }

    #[test]
    fn a_single_batch_is_closed_at_once_and_reconnects_over_a_second() {
        for (sessions, per_sec) in [(0, 2_000), (1, 2_000), (99, 2_000), (1_000_000, 0)] {
            assert_eq!(times(&schedule(sessions, per_sec, 12)), (0, 1_000, false), "{sessions} at {per_sec} a second");
        }
        assert_eq!(times(&schedule(100, 2_000, 12)), (50, 1_000, false));
    }

    #[test]
    fn a_short_time_closes_faster_and_reconnects_no_faster() {
        assert_eq!(times(&schedule(100_000, 2_000, 12)), (9_000, 50_000, true));
        assert_eq!(times(&schedule(100, 1, 0)), (0, 100_000, true));
        assert_eq!(times(&schedule(100_000_000, 1, 3_600)), (2_700_000, 100_000_000_000, true));
        let late = DrainRate { per_sec: 1, within: Duration::from_secs(8) }.after(Duration::from_secs(4));
        assert_eq!(times(&DrainSchedule::of(100, late)), (3_000, 100_000, true));
        assert_eq!(late.after(Duration::from_secs(5)).within, Duration::ZERO);
    }

    #[test]
    fn a_client_waits_for_a_random_part_of_the_time() {
        let schedule = schedule(10_000, 2_000, 12);
        assert_eq!([0, u32::MAX / 2, u32::MAX].map(|random| schedule.away_ms(random)), [0, 2_500, 5_000]);
    }

    #[test]
    fn batches_are_even_and_the_last_one_is_the_rest() {
        let schedule = schedule(10_000, 2_000, 12);
        let only = WorkerTurn { worker: 0, of: 1 };
        let due: Vec<_> = (0..=100).map(|tick| schedule.due(10_000, only, tick * TICK_MS)).collect();
        assert_eq!((due[0], due[100]), (0, 10_000));
        assert!(due.windows(2).all(|two| two[1] - two[0] == 100), "{due:?}");
        assert_eq!(schedule.due(10_000, only, 6_000), 10_000);
        assert_eq!(schedule.due(0, only, 100), 0);
    }

    #[test]
    fn workers_take_turns_and_none_is_ahead_of_its_share() {
        for sessions in [1, 2, 7, 20] {
            let workers = 64;
            let schedule = schedule(sessions * workers, 64, 1_000);
            let closing = schedule.closing_ms;
            let mut before = vec![0; 64];
            for elapsed in (0..=closing).step_by(TICK_MS as usize) {
                let due: Vec<_> = (0..64)
                    .map(|worker| schedule.due(sessions as usize, WorkerTurn { worker, of: 64 }, elapsed))
                    .collect();
                assert!(
                    before.iter().zip(&due).all(|(before, due)| before <= due),
                    "the number of closed sessions decreased"
                );
                let (all, fair) = (due.iter().sum::<usize>() as u64, sessions * workers * elapsed / closing);
                assert!(all.abs_diff(fair) <= 1, "{all} of {fair} are closed after {elapsed} ms");
                before = due;
            }
            assert_eq!(before, vec![sessions as usize; 64]);
        }
    }

    #[test]
    fn clients_reconnect_at_most_at_the_configured_rate() {
        for (sessions, per_sec, within) in [(3_000, 1_000, 100), (3_000, 1_000, 2), (3_000, 1_000, 0)] {
            let schedule = schedule(sessions, per_sec, within);
            let only = WorkerTurn { worker: 0, of: 1 };
            let mut back = vec![0; 2 * schedule.away_ms as usize / 500 + 1];
            let mut closed = 0;
            for elapsed in (0..=schedule.closing_ms).step_by(TICK_MS as usize) {
                let due = schedule.due(3_000, only, elapsed);
                for session in std::mem::replace(&mut closed, due)..due {
                    // Multiples of the golden ratio: an even distribution, as random numbers have in the long run.
                    let random = (session as u32).wrapping_mul(2_654_435_769);
                    back[(elapsed + schedule.away_ms(random)) as usize / 500] += 1;
                }
            }
            assert_eq!(back.iter().sum::<u64>(), sessions);
            let most = back.iter().max().unwrap();
            assert!(*most <= 550, "{most} in half a second: {back:?}");
        }
    }
}
