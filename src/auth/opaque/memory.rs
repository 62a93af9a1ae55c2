//! A bounded cache of answers about tokens. Pure: the time is an argument.
//!
//! The key is the SHA-256 of a token, so no token stays in memory.

use std::collections::{HashMap, VecDeque};

/// The SHA-256 of a token.
pub(super) type Digest = [u8; 32];

struct Entry<T> {
    answer: T,
    weight: usize,
    number: u64,
    /// The start and end of its validity. The start bounds it too, so a clock set back does not extend it.
    holds: (i64, i64),
}

/// Answers, bounded by number and by bytes. A full cache evicts the oldest.
pub(super) struct Memory<T> {
    most: usize,
    most_weight: usize,
    weight: usize,
    entries: HashMap<Digest, Entry<T>>,
    /// The digests in the order of their answers, with the number of each answer. A digest with a newer answer is
    /// listed twice; only its last entry counts.
    order: VecDeque<(Digest, u64)>,
    next: u64,
}

impl<T: Clone> Memory<T> {
    pub(super) fn new(most: usize, most_weight: usize) -> Self {
        Self { most, most_weight, weight: 0, entries: HashMap::new(), order: VecDeque::new(), next: 0 }
    }

    pub(super) fn recall(&self, digest: &Digest, now_ms: i64) -> Option<T> {
        let entry = self.entries.get(digest)?;
        (entry.holds.0..entry.holds.1).contains(&now_ms).then(|| entry.answer.clone())
    }

    /// Keeps an answer for `ms` from now.
    pub(super) fn keep(&mut self, digest: Digest, answer: T, weight: usize, now_ms: i64, ms: i64) {
        self.forget(&digest);
        while let Some((oldest, number)) = self.order.front().copied() {
            let current = self.entries.get(&oldest).filter(|entry| entry.number == number);
            let is_over = current.is_none_or(|entry| !(entry.holds.0..entry.holds.1).contains(&now_ms));
            let is_full = self.entries.len() >= self.most
                || self.weight + weight > self.most_weight
                || self.order.len() >= 2 * self.most;
            if !is_over && !is_full {
                break;
            }
            if current.is_some() {
                self.forget(&oldest);
            }
            self.order.pop_front();
        }
        if ms <= 0 || weight > self.most_weight {
            return;
        }
        let holds = (now_ms, now_ms.saturating_add(ms));
        self.entries.insert(digest, Entry { answer, weight, number: self.next, holds });
        self.order.push_back((digest, self.next));
        self.weight += weight;
        self.next += 1;
    }

    fn forget(&mut self, digest: &Digest) {
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

    fn digest(number: u8) -> Digest {
        [number; 32]
    }

    #[test]
    fn an_answer_holds_for_its_time_and_no_clock_makes_it_longer() {
        let mut memory = Memory::new(10, 1_000);
        memory.keep(digest(1), 'a', 1, 1_000, 60);
        for (now_ms, found) in [(999, None), (1_000, Some('a')), (1_059, Some('a')), (1_060, None), (0, None)] {
            assert_eq!(memory.recall(&digest(1), now_ms), found, "{now_ms}");
        }
        memory.keep(digest(2), 'b', 1, 1_000, 0);
        assert_eq!(memory.recall(&digest(2), 1_000), None, "kept for no time");
    }

    #[test]
    fn when_full_the_oldest_answers_go() {
        let mut memory = Memory::new(3, 1_000);
        for number in 0..5 {
            memory.keep(digest(number), number, 1, 0, 60);
        }
        let held: Vec<_> = (0..5).filter_map(|number| memory.recall(&digest(number), 0)).collect();
        assert_eq!((held, memory.len()), (vec![2, 3, 4], 3));
        memory.keep(digest(9), 9, 999, 0, 60);
        assert_eq!((memory.len(), memory.weight), (2, 1_000), "the heavy one took the place of two");
        memory.keep(digest(8), 8, 1_001, 0, 60);
        assert_eq!(memory.recall(&digest(8), 0), None, "too heavy to keep");
    }

    #[test]
    fn an_answer_that_comes_anew_grows_nothing() {
        let mut memory = Memory::new(3, 1_000);
        for now_ms in 0..100 {
            memory.keep(digest(1), now_ms, 7, now_ms, 60);
            memory.keep(digest(2), now_ms, 7, now_ms, 5);
        }
        assert_eq!((memory.len(), memory.weight), (2, 14));
        assert!(memory.order.len() <= 6, "{}", memory.order.len());
        assert_eq!(memory.recall(&digest(1), 99), Some(99));
        memory.keep(digest(3), 0, 7, 1_000, 60);
        assert_eq!((memory.len(), memory.weight), (1, 7), "what is over went first");
    }
}
