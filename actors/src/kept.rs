//! What comes for a session while it is cut off, pure: the newest deliveries of one event, bounded in number and in bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::delivery::Delivery;
use crate::outbox::Bound;

/// The deliveries, in their order.
#[derive(Debug)]
pub struct Kept {
    only: &'static str,
    bound: Bound,
    deliveries: VecDeque<Arc<Delivery>>,
    /// Bytes of the data in `deliveries`, each counted in full though others may share it.
    bytes: usize,
    dropped: u64,
}

impl Kept {
    /// Nothing came yet; what is to be kept are events of the name `only`.
    pub fn new(only: &'static str, bound: Bound) -> Self {
        Self { only, bound, deliveries: VecDeque::new(), bytes: 0, dropped: 0 }
    }

    /// Keeps one more where it is of that event; the oldest go where there is no room.
    pub fn add(&mut self, delivery: &Arc<Delivery>) {
        if delivery.name().as_str() != self.only {
            return;
        }
        self.bytes += delivery.data().len();
        self.deliveries.push_back(delivery.clone());
        while self.deliveries.len() > self.bound.frames || self.bytes > self.bound.bytes {
            let Some(oldest) = self.deliveries.pop_front() else { break };
            self.bytes -= oldest.data().len();
            self.dropped += 1;
        }
    }

    /// So many came that are not kept.
    pub fn miss(&mut self, count: u64) {
        self.dropped += count;
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
    pub fn into_parts(self) -> (VecDeque<Arc<Delivery>>, u64) {
        (self.deliveries, self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Event;
    use crate::ids::EventName;

    fn delivery(name: &'static str, bytes: usize) -> Arc<Delivery> {
        let (name, data) = (EventName::of_hub(name), vec![b'1'; bytes].into());
        Arc::new(Delivery::new(Event { name, topic: None, data, timestamp: 0, offset: None }))
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_too_large_ones() {
        let mut kept = Kept::new("x", Bound { bytes: 100, frames: 3 });
        (1..=4).for_each(|bytes| kept.add(&delivery("x", bytes)));
        kept.add(&delivery("y", 5));
        assert_eq!(kept.len(), 3);
        kept.add(&delivery("x", 95));
        let (deliveries, dropped) = kept.into_parts();
        let sizes: Vec<_> = deliveries.iter().map(|delivery| delivery.data().len()).collect();
        assert_eq!((sizes, dropped), (vec![4, 95], 3));
        let mut kept = Kept::new("x", Bound { bytes: 100, frames: 3 });
        kept.add(&delivery("x", 101));
        assert!(kept.is_empty());
    }
}
