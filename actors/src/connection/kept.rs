//! What comes for a session while it is cut off, pure: the newest deliveries of one event, bounded in number and in bytes.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::connection::outbox::OutboxCapacity;
use crate::connection::retained::Retained;

/// The deliveries, in their order.
#[derive(Debug)]
pub struct Kept {
    bound: OutboxCapacity,
    deliveries: VecDeque<Rc<Retained>>,
    /// Bytes of the data in `deliveries`, each counted in full though others may share it.
    bytes: usize,
    dropped: u64,
}

impl Kept {
    /// Nothing came yet.
    pub fn new(bound: OutboxCapacity) -> Self {
        Self { bound, deliveries: VecDeque::new(), bytes: 0, dropped: 0 }
    }

    /// Keeps one more; the oldest go where there is no room.
    pub fn add(&mut self, delivery: Rc<Retained>) {
        self.bytes += delivery.bytes.len();
        self.deliveries.push_back(delivery);
        while self.deliveries.len() > self.bound.frames || self.bytes > self.bound.bytes {
            let Some(oldest) = self.deliveries.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
            self.dropped += 1;
        }
    }

    /// So many came that are not kept.
    pub fn miss(&mut self, count: u64) {
        self.dropped += count;
    }

    /// Nothing of it is kept any more, for want of room.
    pub fn give_up(&mut self) {
        self.dropped += self.deliveries.len() as u64;
        self.deliveries = VecDeque::new();
        self.bytes = 0;
    }

    /// Whether something of it would be freed with it.
    pub fn frees(&self) -> bool {
        self.deliveries.iter().any(|delivery| Rc::strong_count(delivery) == 1)
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// What was kept, and how many went for want of room.
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
        let mut kept = Kept::new(OutboxCapacity { bytes: 10, frames: 3 });
        for text in ["1", "22", "333", "4444"] {
            kept.add(retained(&ledger, 0, text));
        }
        assert_eq!(kept.len(), 3);
        kept.add(retained(&ledger, 0, "55555"));
        let (deliveries, dropped) = kept.into_parts();
        let texts: Vec<_> = deliveries.iter().map(|delivery| &delivery.bytes[..]).collect();
        assert_eq!((texts, dropped), (vec![&b"4444"[..], b"55555"], 3));
        let mut kept = Kept::new(OutboxCapacity { bytes: 10, frames: 3 });
        kept.add(retained(&ledger, 0, "more than ten"));
        assert!(kept.is_empty());
        kept.add(retained(&ledger, 0, "1"));
        kept.give_up();
        assert_eq!(kept.into_parts().1, 2);
    }
}
