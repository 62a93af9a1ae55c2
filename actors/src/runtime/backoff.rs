//! Delays between attempts: each delay is twice the previous delay, up to a bound. Pure: randomness is an argument.

use std::time::Duration;

/// The delays of one series of attempts.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts with `first`, and never exceeds `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The next full delay, for a process that retries alone.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.longest);
        delay
    }

    /// A part of the next delay, from half of it (`random` 0) to all of it (`u32::MAX`), so that attempts that failed
    /// together are not repeated together.
    pub fn next_jittered(&mut self, random: u32) -> Duration {
        self.next_delay().mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
    }

    /// Starts again with the first delay, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(Duration::from_millis(100), Duration::from_millis(350))
    }

    #[test]
    fn delays_double_up_to_the_longest_and_start_again_after_a_reset() {
        let mut backoff = backoff();
        let delays: Vec<_> = (0..4).map(|_| backoff.next_delay().as_millis()).collect();
        assert_eq!(delays, [100, 200, 350, 350]);
        backoff.reset();
        assert_eq!(backoff.next_delay().as_millis(), 100);
    }

    #[test]
    fn jitter_takes_away_up_to_half_of_a_delay() {
        let delays = |random| {
            let mut backoff = backoff();
            [0; 3].map(|_| backoff.next_jittered(random).as_millis())
        };
        assert_eq!((delays(0), delays(u32::MAX)), ([50, 100, 175], [100, 200, 350]));
    }
}
