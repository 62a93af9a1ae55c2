//! The turns of requests from clients that are not known: so many a second of a worker, whatever number of connections asks.
//! A request that is over the rate waits, so that strangers can not take the time of sessions. A client is known for its next
//! request when its last one had a good API key, or a polling session.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// Requests of clients that are not known, a second and a worker.
pub const STRANGERS_PER_SECOND: u32 = 2_000;

/// As many of them at once do not wait.
pub const STRANGERS_AT_ONCE: u32 = 500;

/// The turns of one worker.
#[derive(Debug)]
pub(super) struct Pacer {
    /// When the next turn would be, if none had been left out.
    next: Cell<Instant>,
}

impl Pacer {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: Cell::new(now) }
    }

    /// Takes the next turn; `None` when it is now.
    pub(super) fn take(&self, now: Instant) -> Option<Instant> {
        let interval = Duration::from_secs(1) / STRANGERS_PER_SECOND;
        // Turns that nobody took are kept up to a number.
        let oldest = now.checked_sub(interval * (STRANGERS_AT_ONCE - 1)).unwrap_or(now);
        let turn = self.next.get().max(oldest);
        self.next.set(turn + interval);
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
        let waits: Vec<_> = (0..STRANGERS_AT_ONCE + 3).map(|_| pacer.take(later).map(|turn| turn - later)).collect();
        let (at_once, rest) = waits.split_at(STRANGERS_AT_ONCE as usize);
        assert!(at_once.iter().all(Option::is_none));
        assert_eq!(rest, [500, 1_000, 1_500].map(|micros| Some(Duration::from_micros(micros))));
        // Ten seconds later all is as at first.
        assert!(pacer.take(later + Duration::from_secs(10)).is_none());
    }

    #[test]
    fn no_more_turns_are_given_than_the_rate_allows() {
        let start = Instant::now();
        let pacer = Pacer::new(start);
        let mut last = start;
        for n in 0..20_000_u32 {
            let now = start + Duration::from_micros(u64::from(n) * 50);
            last = last.max(pacer.take(now).unwrap_or(now));
        }
        let most = f64::from(20_000 - STRANGERS_AT_ONCE) / f64::from(STRANGERS_PER_SECOND);
        assert!((last - start).as_secs_f64() >= most - 0.01, "{:?}", last - start);
    }
}
