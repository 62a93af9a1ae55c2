//! Frees memory of tables that are almost empty.

use std::hash::Hash;

use ahash::AHashMap;

/// Shrinks a table of more than 1,024 entries when less than a quarter of it is used.
pub(crate) fn shrink<K: Eq + Hash, V>(table: &mut AHashMap<K, V>) {
    if table.capacity() > 1_024 && table.len() < table.capacity() / 4 {
        let used = table.len();
        table.shrink_to(used * 2);
    }
}
