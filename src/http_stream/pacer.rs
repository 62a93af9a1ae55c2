//! Rate limit for requests of unknown clients, per worker, for any number of connections. Excess requests wait for
//! their turn, so that unknown clients cannot use up the time of sessions. A client is known for its next request if
//! its last one had a valid API key or a polling session.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// Requests of unknown clients, per second and worker.
pub const UNKNOWN_PER_SECOND: u32 = 2_000;

/// Requests that may be processed in a burst without waiting.
pub const UNKNOWN_BURST: u32 = 500;

/// Time between two turns.
const INTERVAL: Duration = Duration::from_micros(1_000_000 / UNKNOWN_PER_SECOND as u64);

/// The turns of one worker.
#[derive(Debug)]
pub(super) struct Pacer {
    /// The time of the next turn, if no turn had been skipped.
    next: Cell<Instant>,
}

/// A future turn. A connection that ends before its turn returns it, so that no request waits for ended connections.
#[derive(Debug)]
pub(super) struct PacerTurn {
    pacer: Rc<Pacer>,
    is_used: bool,
}

impl PacerTurn {
    pub(super) fn mark_used(mut self) {
        self.is_used = true;
    }
}

impl Drop for PacerTurn {
    fn drop(&mut self) {
        if !self.is_used {
            let next = &self.pacer.next;
            next.set(next.get().checked_sub(INTERVAL).unwrap_or(next.get()));
        }
    }
}

impl Pacer {
    pub(super) fn new(now: Instant) -> Rc<Self> {
        Rc::new(Self { next: Cell::new(now) })
    }

    /// Like [`Self::take`], with a guard that returns an unused turn.
    pub(super) fn reserve(self: &Rc<Self>, now: Instant) -> Option<(Instant, PacerTurn)> {
        self.take(now).map(|at| (at, PacerTurn { pacer: self.clone(), is_used: false }))
    }

    /// Takes the next turn; `None` if it is now.
    fn take(&self, now: Instant) -> Option<Instant> {
        // Unused turns accumulate up to the burst.
        let oldest = now.checked_sub(INTERVAL * (UNKNOWN_BURST - 1)).unwrap_or(now);
        let turn = self.next.get().max(oldest);
        self.next.set(turn + INTERVAL);
        (turn > now).then_some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_served_at_once_and_the_rest_at_the_rate() {
        let start = Instant::now();
        let pacer = Pacer::new(start);
        let later = start + Duration::from_secs(10);
        let waits: Vec<_> = (0..UNKNOWN_BURST + 3).map(|_| pacer.take(later).map(|turn| turn - later)).collect();
        let (at_once, rest) = waits.split_at(UNKNOWN_BURST as usize);
        assert!(at_once.iter().all(Option::is_none));
        assert_eq!(rest, [500, 1_000, 1_500].map(|micros| Some(Duration::from_micros(micros))));
        // Ten seconds later the burst is available again.
        assert!(pacer.take(later + Duration::from_secs(10)).is_none());
    }

    #[test]
    fn a_connection_that_ends_before_its_turn_returns_it() {
        let now = Instant::now() + Duration::from_secs(10);
        let pacer = Pacer::new(now);
        // The first turn is now.
        assert!(pacer.reserve(now).is_none());
        let taken = (1..UNKNOWN_BURST).filter_map(|_| pacer.take(now)).count();
        assert_eq!(taken, UNKNOWN_BURST as usize - 1);
        let unused: Vec<_> = (0..1_000).filter_map(|_| pacer.reserve(now)).collect();
        let before = unused.first().map(|(at, _)| *at);
        drop(unused);
        let (at, turn) = pacer.reserve(now).unwrap();
        assert_eq!(Some(at), before);
        turn.mark_used();
        assert_eq!(pacer.reserve(now).map(|(next, _)| next), Some(at + INTERVAL));
    }

    #[test]
    fn turns_do_not_exceed_the_rate() {
        let start = Instant::now();
        let pacer = Pacer::new(start);
        let mut last = start;
        for n in 0..20_000_u32 {
            let now = start + Duration::from_micros(u64::from(n) * 50);
            last = last.max(pacer.take(now).unwrap_or(now));
        }
        let most = f64::from(20_000 - UNKNOWN_BURST) / f64::from(UNKNOWN_PER_SECOND);
        assert!((last - start).as_secs_f64() >= most - 0.01, "{:?}", last - start);
    }
}
