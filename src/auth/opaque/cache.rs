//! A bounded cache of responses about tokens. Pure: the time is an argument.
//!
//! The key is the SHA-256 of a token, so no token stays in memory.

use std::collections::{HashMap, VecDeque};

/// The SHA-256 of a token.
pub(super) type TokenDigest = [u8; 32];

struct CacheEntry<T> {
    answer: T,
    weight: usize,
    number: u64,
    /// The start and end of its validity. The start bounds it too, so a clock set back does not extend it.
    validity: (i64, i64),
}

/// Answers, bounded by number and by bytes. A full cache evicts the oldest.
pub(super) struct AnswerCache<T> {
    max_entries: usize,
    max_weight: usize,
    weight: usize,
    entries: HashMap<TokenDigest, CacheEntry<T>>,
    /// The digests in the order of their responses, with the number of each response. A digest with a newer response is
    /// listed twice; only its last entry counts.
    order: VecDeque<(TokenDigest, u64)>,
    next: u64,
}

impl<T: Clone> AnswerCache<T> {
    pub(super) fn new(max_entries: usize, max_weight: usize) -> Self {
        Self { max_entries, max_weight, weight: 0, entries: HashMap::new(), order: VecDeque::new(), next: 0 }
    }

    pub(super) fn get(&self, digest: &TokenDigest, now_ms: i64) -> Option<T> {
        let entry = self.entries.get(digest)?;
        (entry.validity.0..entry.validity.1).contains(&now_ms).then(|| entry.answer.clone())
    }

    /// Caches a response for `ms` from now.
    pub(super) fn insert(&mut self, digest: TokenDigest, answer: T, weight: usize, now_ms: i64, ms: i64) {
        self.remove(&digest);
        while let Some((oldest, number)) = self.order.front().copied() {
            let current = self.entries.get(&oldest).filter(|entry| entry.number == number);
            let is_expired = current.is_none_or(|entry| !(entry.validity.0..entry.validity.1).contains(&now_ms));
            let is_full = self.entries.len() >= self.max_entries
                || self.weight + weight > self.max_weight
                || self.order.len() >= 2 * self.max_entries;
            if !is_expired && !is_full {
                break;
            }
            if current.is_some() {
                self.remove(&oldest);
            }
            self.order.pop_front();
        }
        if ms <= 0 || weight > self.max_weight {
            return;
        }
        let holds = (now_ms, now_ms.saturating_add(ms));
        self.entries.insert(digest, CacheEntry { answer, weight, number: self.next, validity: holds });
        self.order.push_back((digest, self.next));
        self.weight += weight;
        self.next += 1;
    }

    fn remove(&mut self, digest: &TokenDigest) {
        if let Some(entry) = self.entries.remove(digest) {
            self.weight -= entry.weight;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> TokenDigest {
        [number; 32]
    }

    #[test]
    fn an_answer_is_valid_for_its_time_even_if_the_clock_is_set_back() {
        let mut cache = AnswerCache::new(10, 1_000);
        cache.insert(digest(1), 'a', 1, 1_000, 60);
        for (now_ms, found) in [(999, None), (1_000, Some('a')), (1_059, Some('a')), (1_060, None), (0, None)] {
            assert_eq!(cache.get(&digest(1), now_ms), found, "{now_ms}");
        }
        cache.insert(digest(2), 'b', 1, 1_000, 0);
        assert_eq!(cache.get(&digest(2), 1_000), None, "cached for 0 ms");
    }

    #[test]
    fn a_full_cache_evicts_the_oldest_answers() {
        let mut cache = AnswerCache::new(3, 1_000);
        for number in 0..5 {
            cache.insert(digest(number), number, 1, 0, 60);
        }
        let held: Vec<_> = (0..5).filter_map(|number| cache.get(&digest(number), 0)).collect();
        assert_eq!((held, cache.len()), (vec![2, 3, 4], 3));
        cache.insert(digest(9), 9, 999, 0, 60);
        assert_eq!((cache.len(), cache.weight), (2, 1_000), "the large answer evicted two");
        cache.insert(digest(8), 8, 1_001, 0, 60);
        assert_eq!(cache.get(&digest(8), 0), None, "larger than the cache");
    }

    #[test]
    fn a_repeated_answer_replaces_the_previous_one() {
        let mut cache = AnswerCache::new(3, 1_000);
        for now_ms in 0..100 {
            cache.insert(digest(1), now_ms, 7, now_ms, 60);
            cache.insert(digest(2), now_ms, 7, now_ms, 5);
        }
        assert_eq!((cache.len(), cache.weight), (2, 14));
        assert!(cache.order.len() <= 6, "{}", cache.order.len());
        assert_eq!(cache.get(&digest(1), 99), Some(99));
        cache.insert(digest(3), 0, 7, 1_000, 60);
        assert_eq!((cache.len(), cache.weight), (1, 7), "expired answers are evicted first");
    }
}
