//! The keys by which small tables are hashed whose names come from clients. They are the process's, random: a table that had
//! its own, as those do that the libraries make, would be 32 bytes larger, and every session has one.

use std::hash::BuildHasher;
use std::sync::LazyLock;

use ahash::{AHasher, RandomState};

static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Hashes by the keys of the process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seed;

impl BuildHasher for Seed {
    type Hasher = AHasher;

    fn build_hasher(&self) -> AHasher {
        KEYS.build_hasher()
    }
}
