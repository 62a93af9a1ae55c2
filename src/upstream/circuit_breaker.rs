//! When not to ask any more: after failures in a row, for a while, and then one question at a time until one is answered.
//! Pure: the time is an argument. One for everybody outside who is asked.

use std::time::Duration;

/// Failures in a row after which nobody is asked.
const FAILURES: u32 = 5;

/// For how long, ms.
pub const REST_MS: i64 = 3_000;

/// How much longer than an answer may take one question that tries it again is waited for before it counts as lost.
const LOST_MS: i64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many failures in a row.
    Closed(u32),
    /// Since when nobody is asked.
    Open(i64),
    /// Since when one question is on its way.
    Trying(i64),
}

/// Whether somebody may be asked.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    trial_ms: i64,
}

impl Breaker {
    /// One that admits, for somebody who may take so long for an answer.
    pub fn new(patience: Duration) -> Self {
        let patience_ms = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
        Self { state: State::Closed(0), trial_ms: patience_ms.saturating_add(LOST_MS) }
    }

    /// Whether a question would be let through now.
    pub fn would_admit(&self, now_ms: i64) -> bool {
        match self.state {
            State::Closed(_) => true,
            State::Open(since) => !(since..since + REST_MS).contains(&now_ms),
            State::Trying(since) => !(since..since.saturating_add(self.trial_ms)).contains(&now_ms),
        }
    }

    /// Whether nobody is asked: it is known not to answer.
    pub fn is_open(&self, now_ms: i64) -> bool {
        !matches!(self.state, State::Trying(_)) && !self.would_admit(now_ms)
    }

    /// Lets a question through, or not.
    pub fn admit(&mut self, now_ms: i64) -> bool {
        let admitted = self.would_admit(now_ms);
        if admitted && !matches!(self.state, State::Closed(_)) {
            self.state = State::Trying(now_ms);
        }
        admitted
    }

    /// Notes how a question that was let through ended; whether that opened it or closed it.
    pub fn ended(&mut self, answered: bool, now_ms: i64) -> Option<Turn> {
        match (self.state, answered) {
            (State::Closed(_), true) => self.state = State::Closed(0),
            (State::Closed(failures), false) if failures + 1 < FAILURES => self.state = State::Closed(failures + 1),
            (State::Closed(_), false) => {
                self.state = State::Open(now_ms);
                return Some(Turn::Opened);
            }
            (_, true) => {
                self.state = State::Closed(0);
                return Some(Turn::Closed);
            }
            (State::Trying(_), false) => self.state = State::Open(now_ms),
            // One that was on its way when it opened: it says nothing new.
            (State::Open(_), false) => {}
        }
        None
    }
}

/// A turn for the worse or the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nobody is asked from now on.
    Opened,
    /// It answered again.
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(Duration::from_secs(5));
        for _ in 1..FAILURES {
            assert!(breaker.admit(0));
            assert_eq!(breaker.ended(false, 0), None);
        }
        assert!(breaker.admit(0));
        assert_eq!(breaker.ended(false, 0), Some(Turn::Opened));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_an_answer_starts_the_count_anew() {
        let mut breaker = Breaker::new(Duration::from_secs(5));
        for _ in 1..FAILURES {
            breaker.ended(false, 0);
        }
        breaker.ended(true, 0);
        for _ in 1..FAILURES {
            breaker.ended(false, 0);
        }
        assert!(breaker.admit(0));
        assert!(!opened().admit(REST_MS - 1));
    }

    #[test]
    fn after_its_rest_one_question_tries_and_decides() {
        let mut breaker = opened();
        assert!(breaker.is_open(REST_MS - 1));
        assert!(breaker.admit(REST_MS));
        assert!(!breaker.admit(REST_MS), "one at a time");
        assert!(!breaker.is_open(REST_MS), "that one may be answered");
        assert_eq!(breaker.ended(false, REST_MS + 10), None);
        assert!(!breaker.admit(2 * REST_MS + 9));
        assert!(breaker.admit(2 * REST_MS + 10));
        assert_eq!(breaker.ended(true, 2 * REST_MS + 20), Some(Turn::Closed));
        assert!(breaker.admit(2 * REST_MS + 20));
    }

    #[test]
    fn neither_a_lost_question_nor_a_clock_set_back_keeps_it_open() {
        let mut breaker = opened();
        assert!(breaker.admit(-1));
        assert!(breaker.admit(-2), "the clock went back again");
        assert!(breaker.admit(5_000 + LOST_MS), "the question before is lost");
    }
}
