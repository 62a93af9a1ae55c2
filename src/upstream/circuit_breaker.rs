//! When not to ask any more: after failures in a row, for a while, and then one question at a time until one is answered.
//! Pure: the time is an argument. One for everybody outside who is asked.

use std::time::Duration;

/// Failures in a row after which nobody is asked.
const FAILURES: u32 = 5;

/// For how long, ms.
pub const OPEN_MS: i64 = 3_000;

/// How much longer than an answer may take one question that tries it again is waited for before it counts as lost.
const LOST_MS: i64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BreakerState {
    /// So many failures in a row.
    Closed(u32),
    /// Since when nobody is asked.
    Open(i64),
    /// Since when one question is on its way.
    HalfOpen(i64),
}

/// Whether somebody may be asked.
#[derive(Debug)]
pub struct CircuitBreaker {
    state: BreakerState,
    trial_ms: i64,
}

impl CircuitBreaker {
    /// One that admits, for somebody who may take so long for an answer.
    pub fn new(patience: Duration) -> Self {
        let patience_ms = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
        Self { state: BreakerState::Closed(0), trial_ms: patience_ms.saturating_add(LOST_MS) }
    }

    /// Whether a question would be let through now.
    pub fn would_admit(&self, now_ms: i64) -> bool {
        match self.state {
            BreakerState::Closed(_) => true,
            BreakerState::Open(since) => !(since..since + OPEN_MS).contains(&now_ms),
            BreakerState::HalfOpen(since) => !(since..since.saturating_add(self.trial_ms)).contains(&now_ms),
        }
    }

    /// Whether nobody is asked: it is known not to answer.
    pub fn is_open(&self, now_ms: i64) -> bool {
        !matches!(self.state, BreakerState::HalfOpen(_)) && !self.would_admit(now_ms)
    }

    /// Lets a question through, or not.
    pub fn admit(&mut self, now_ms: i64) -> bool {
        let admitted = self.would_admit(now_ms);
        if admitted && !matches!(self.state, BreakerState::Closed(_)) {
            self.state = BreakerState::HalfOpen(now_ms);
        }
        admitted
    }

    /// Notes how a question that was let through ended; whether that opened it or closed it.
    pub fn record(&mut self, answered: bool, now_ms: i64) -> Option<Transition> {
        match (self.state, answered) {
            (BreakerState::Closed(_), true) => self.state = BreakerState::Closed(0),
            (BreakerState::Closed(failures), false) if failures + 1 < FAILURES => {
                self.state = BreakerState::Closed(failures + 1)
            }
            (BreakerState::Closed(_), false) => {
                self.state = BreakerState::Open(now_ms);
                return Some(Transition::Opened);
            }
            (_, true) => {
                self.state = BreakerState::Closed(0);
                return Some(Transition::Closed);
            }
            (BreakerState::HalfOpen(_), false) => self.state = BreakerState::Open(now_ms),
            // One that was on its way when it opened: it says nothing new.
            (BreakerState::Open(_), false) => {}
        }
        None
    }
}

/// A turn for the worse or the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// Nobody is asked from now on.
    Opened,
    /// It answered again.
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> CircuitBreaker {
        let mut breaker = CircuitBreaker::new(Duration::from_secs(5));
        for _ in 1..FAILURES {
            assert!(breaker.admit(0));
            assert_eq!(breaker.record(false, 0), None);
        }
        assert!(breaker.admit(0));
        assert_eq!(breaker.record(false, 0), Some(Transition::Opened));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_an_answer_starts_the_count_anew() {
        let mut breaker = CircuitBreaker::new(Duration::from_secs(5));
        for _ in 1..FAILURES {
            breaker.record(false, 0);
        }
        breaker.record(true, 0);
        for _ in 1..FAILURES {
            breaker.record(false, 0);
        }
        assert!(breaker.admit(0));
        assert!(!opened().admit(OPEN_MS - 1));
    }

    #[test]
    fn after_its_rest_one_question_tries_and_decides() {
        let mut breaker = opened();
        assert!(breaker.is_open(OPEN_MS - 1));
        assert!(breaker.admit(OPEN_MS));
        assert!(!breaker.admit(OPEN_MS), "one at a time");
        assert!(!breaker.is_open(OPEN_MS), "that one may be answered");
        assert_eq!(breaker.record(false, OPEN_MS + 10), None);
        assert!(!breaker.admit(2 * OPEN_MS + 9));
        assert!(breaker.admit(2 * OPEN_MS + 10));
        assert_eq!(breaker.record(true, 2 * OPEN_MS + 20), Some(Transition::Closed));
        assert!(breaker.admit(2 * OPEN_MS + 20));
    }

    #[test]
    fn neither_a_lost_question_nor_a_clock_set_back_keeps_it_open() {
        let mut breaker = opened();
        assert!(breaker.admit(-1));
        assert!(breaker.admit(-2), "the clock went back again");
        assert!(breaker.admit(5_000 + LOST_MS), "the question before is lost");
    }
}
