//! The publications of one event for a suspended session, pure: the newest ones, bounded in number and bytes.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::connection::outbox::OutboxCapacity;
use crate::connection::retained::Retained;

/// The buffered publications, in order.
#[derive(Debug)]
pub struct Kept {
    bound: OutboxCapacity,
    deliveries: VecDeque<Rc<Retained>>,
    /// Bytes of the data in `deliveries`, each counted in full, even if other buffers share it.
    bytes: usize,
    dropped: u64,
}

impl Kept {
    /// An empty buffer.
    pub fn new(bound: OutboxCapacity) -> Self {
        Self { bound, deliveries: VecDeque::new(), bytes: 0, dropped: 0 }
    }

    /// Adds a publication. Evicts the oldest at the bound.
    pub fn add(&mut self, delivery: Rc<Retained>) {
        self.bytes += delivery.payload.len();
        self.deliveries.push_back(delivery);
        while self.deliveries.len() > self.bound.entries || self.bytes > self.bound.bytes {
            let Some(oldest) = self.deliveries.pop_front() else { break };
            self.bytes -= oldest.payload.len();
            self.dropped += 1;
        }
    }

    /// Counts publications that are not buffered.
    pub fn miss(&mut self, count: u64) {
        self.dropped += count;
    }

    /// Drops all publications to free memory.
    pub fn give_up(&mut self) {
        self.dropped += self.deliveries.len() as u64;
        self.deliveries = VecDeque::new();
        self.bytes = 0;
    }

    /// Whether dropping the buffer frees memory: no other buffer shares one of its publications.
    pub fn frees(&self) -> bool {
        self.deliveries.iter().any(|delivery| Rc::strong_count(delivery) == 1)
    }

    /// The number of buffered publications.
    pub fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// Whether no publication is buffered.
    pub fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// The buffered publications, and the number of dropped ones.
    pub fn into_parts(self) -> (VecDeque<Rc<Retained>>, u64) {
        (self.deliveries, self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::connection::retained::Ledger;
    use crate::connection::retained::tests::retained;
    use crate::runtime::counters::Stats;

    #[test]
    fn the_oldest_publications_are_evicted_at_the_bound() {
        let ledger = Ledger::new(1_000, Arc::new(Stats::default()));
        let mut kept = Kept::new(OutboxCapacity { bytes: 10, entries: 3 });
        for text in ["1", "22", "333", "4444"] {
            kept.add(retained(&ledger, 0, text));
        }
        assert_eq!(kept.len(), 3);
        kept.add(retained(&ledger, 0, "55555"));
        let (deliveries, dropped) = kept.into_parts();
        let texts: Vec<_> = deliveries.iter().map(|delivery| &delivery.payload.bytes()[..]).collect();
        assert_eq!((texts, dropped), (vec![&b"4444"[..], b"55555"], 3));
        let mut kept = Kept::new(OutboxCapacity { bytes: 10, entries: 3 });
        kept.add(retained(&ledger, 0, "more than ten"));
        assert!(kept.is_empty());
        kept.add(retained(&ledger, 0, "1"));
        kept.give_up();
        assert_eq!(kept.into_parts().1, 2);
    }
}
