//! Chance that can be repeated: SplitMix64, of a seed that is printed.

use std::time::Duration;

use super::token::now;

/// Where numbers come from.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The chance of the `number`th client under `seed`.
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

    /// A number below `most`.
    pub(crate) fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }

    /// One of these, if there are any.
    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { of.get(self.below(of.len())).cloned() }
    }

    /// So many milliseconds, or up to so many more.
    pub(crate) fn duration(&mut self, least: u64, more: u64) -> Duration {
        Duration::from_millis(least + self.next() % (more + 1))
    }
}

/// The seed that `HUBBUB_SEED` says, or that of the moment.
pub(crate) fn seed() -> u64 {
    from_env("HUBBUB_SEED").unwrap_or_else(now)
}

/// A number from the environment, where it is set.
pub(crate) fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}
