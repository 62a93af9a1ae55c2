//! Repeatable random numbers: SplitMix64, from a seed that the test prints.

use std::time::Duration;

use super::token::now;

/// A generator of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The generator of the client with this number, under `seed`.
    pub(crate) fn new(seed: u64, number: usize) -> Self {
        let mut rng = Self(seed ^ (number as u64).wrapping_mul(0xD605_1D5D_3B5A_91C7));
        rng.next();
        rng
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// One of `items`, if there are any.
    pub(crate) fn pick<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        if items.is_empty() { None } else { items.get(self.below(items.len())).cloned() }
    }

    /// From `min` to `min + spread` milliseconds.
    pub(crate) fn duration(&mut self, min: u64, spread: u64) -> Duration {
        Duration::from_millis(min + self.next() % (spread + 1))
    }
}

/// The seed in `HUBBUB_SEED`, or the current time.
pub(crate) fn seed() -> u64 {
    from_env("HUBBUB_SEED").unwrap_or_else(now)
}

/// A number from the environment, if the variable is set.
pub(crate) fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}
