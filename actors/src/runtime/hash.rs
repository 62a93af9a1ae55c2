//! Hashes small tables with names from clients as keys. All tables share the random hash keys of the process. With hash
//! keys of its own, as the libraries' tables have, each table would be 32 bytes larger, and every session has such a
//! table.

use std::hash::BuildHasher;
use std::sync::LazyLock;

use ahash::{AHasher, RandomState};

static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Hashes with the hash keys of the process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seed;

impl BuildHasher for Seed {
    type Hasher = AHasher;

    fn build_hasher(&self) -> AHasher {
        KEYS.build_hasher()
    }
}
