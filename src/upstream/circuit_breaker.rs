//! The circuit breaker of an upstream service. After several failures in a row it opens and no requests are sent for a while;
//! then it lets one request at a time through until one succeeds. Pure: the time is an argument.

use std::time::Duration;

/// Failures in a row that open it.
const FAILURES: u32 = 5;

/// How long it stays open, ms.
pub const OPEN_MS: i64 = 3_000;

/// How long after its timeout a trial request counts as lost, ms.
const LOST_MS: i64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BreakerState {
    /// Requests are sent; this many failed in a row.
    Closed(u32),
    /// No requests are sent, since this time.
    Open(i64),
    /// One trial request is in progress, since this time.
    HalfOpen(i64),
}

/// Decides whether requests are sent.
#[derive(Debug)]
pub struct CircuitBreaker {
    state: BreakerState,
    trial_ms: i64,
}

impl CircuitBreaker {
    /// A closed one, for a service that answers within `timeout`.
    pub fn new(timeout: Duration) -> Self {
        let timeout_ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        Self { state: BreakerState::Closed(0), trial_ms: timeout_ms.saturating_add(LOST_MS) }
    }

    /// Whether a request would be sent now.
    pub fn would_admit(&self, now_ms: i64) -> bool {
        match self.state {
            BreakerState::Closed(_) => true,
            BreakerState::Open(since) => !(since..since + OPEN_MS).contains(&now_ms),
            BreakerState::HalfOpen(since) => !(since..since.saturating_add(self.trial_ms)).contains(&now_ms),
        }
    }

    /// Whether no requests are sent because the service does not answer.
    pub fn is_open(&self, now_ms: i64) -> bool {
        !matches!(self.state, BreakerState::HalfOpen(_)) && !self.would_admit(now_ms)
    }

    /// Admits a request, or refuses it.
    pub fn admit(&mut self, now_ms: i64) -> bool {
        let admitted = self.would_admit(now_ms);
        if admitted && !matches!(self.state, BreakerState::Closed(_)) {
            self.state = BreakerState::HalfOpen(now_ms);
        }
        admitted
    }

    /// Records the result of an admitted request; returns whether that opened or closed the breaker.
    pub fn record(&mut self, answered: bool, now_ms: i64) -> Option<BreakerTransition> {
        match (self.state, answered) {
            (BreakerState::Closed(_), true) => self.state = BreakerState::Closed(0),
            (BreakerState::Closed(failures), false) if failures + 1 < FAILURES => {
                self.state = BreakerState::Closed(failures + 1)
            }
            (BreakerState::Closed(_), false) => {
                self.state = BreakerState::Open(now_ms);
                return Some(BreakerTransition::Opened);
            }
            (_, true) => {
                self.state = BreakerState::Closed(0);
                return Some(BreakerTransition::Closed);
            }
            (BreakerState::HalfOpen(_), false) => self.state = BreakerState::Open(now_ms),
            // A request that was already in progress when the breaker opened.
            (BreakerState::Open(_), false) => {}
        }
        None
    }
}

/// A change of the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerTransition {
    /// No requests are sent from now on.
    Opened,
    /// The service answered again.
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
        assert_eq!(breaker.record(false, 0), Some(BreakerTransition::Opened));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_the_breaker_and_an_answer_resets_the_count() {
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
    fn one_trial_request_decides_whether_an_open_breaker_closes() {
        let mut breaker = opened();
        assert!(breaker.is_open(OPEN_MS - 1));
        assert!(breaker.admit(OPEN_MS));
        assert!(!breaker.admit(OPEN_MS), "one at a time");
        assert!(!breaker.is_open(OPEN_MS), "the trial request may succeed");
        assert_eq!(breaker.record(false, OPEN_MS + 10), None);
        assert!(!breaker.admit(2 * OPEN_MS + 9));
        assert!(breaker.admit(2 * OPEN_MS + 10));
        assert_eq!(breaker.record(true, 2 * OPEN_MS + 20), Some(BreakerTransition::Closed));
        assert!(breaker.admit(2 * OPEN_MS + 20));
    }

    #[test]
    fn a_lost_request_or_a_clock_set_back_does_not_keep_it_open() {
        let mut breaker = opened();
        assert!(breaker.admit(-1));
        assert!(breaker.admit(-2), "the clock went back again");
        assert!(breaker.admit(5_000 + LOST_MS), "the request before is lost");
    }
}
