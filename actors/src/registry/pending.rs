//! Connections that have not joined anything yet. They may take a share of all connections. When the share is full, a
//! new connection evicts the oldest one if its time to join is over, or else is refused. Unauthenticated
//! clients therefore cannot use up all connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::model::fault::{Code, Fault};
use crate::runtime::counters::Stats;

/// Pending connections may use at most 1/`PENDING_DIVISOR` of all connections.
const PENDING_DIVISOR: usize = 4;

/// How long a connection is safe from eviction, ms.
const GRACE_MS: i64 = 2_000;

/// The connections that have not joined anything yet, oldest first.
#[derive(Debug)]
pub(super) struct PendingConnections {
    most: usize,
    queue: Mutex<PendingQueue>,
    stats: Arc<Stats>,
}

#[derive(Debug, Default)]
struct PendingQueue {
    /// The number of the next one.
    next: u64,
    waiting: BTreeMap<u64, WaitingConnection>,
}

#[derive(Debug)]
struct WaitingConnection {
    /// Its start, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    since: i64,
    /// Notifies the connection of its eviction.
    evict: oneshot::Sender<()>,
}

impl PendingConnections {
    /// The share of `capacity` connections, at least one.
    pub(super) fn new(capacity: usize, stats: Arc<Stats>) -> Self {
        Self { most: (capacity / PENDING_DIVISOR).max(1), queue: Mutex::default(), stats }
    }

    /// Adds a connection at `elapsed`, ms by [`crate::runtime::clock::Clock::elapsed_ms`]; may evict the oldest one.
    ///
    /// # Errors
    /// [`Code::ServerFull`].
    pub(super) fn enter(self: &Arc<Self>, elapsed: i64) -> Result<PendingSlot, Fault> {
        let mut queue = self.queue();
        if queue.waiting.len() >= self.most {
            let oldest = queue.waiting.first_entry().filter(|oldest| oldest.get().since + GRACE_MS < elapsed);
            let full = || Fault::new(Code::ServerFull, "Too many connections are joining").by("server.max_connections");
            let oldest = oldest.ok_or_else(full)?;
            // A connection that is just ending does not receive this.
            let _ = oldest.remove().evict.send(());
            self.stats.closed_for_newcomers.add(1);
            self.stats.pending_connections.sub(1);
        }
        let (evict, evicted) = oneshot::channel();
        let number = queue.next;
        queue.next += 1;
        queue.waiting.insert(number, WaitingConnection { since: elapsed, evict });
        self.stats.pending_connections.add(1);
        Ok(PendingSlot { pending: self.clone(), number, evicted })
    }

    fn leave(&self, number: u64) {
        if self.queue().waiting.remove(&number).is_some() {
            self.stats.pending_connections.sub(1);
        }
    }

    fn queue(&self) -> MutexGuard<'_, PendingQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that has not joined anything yet. Dropped when it joins or ends.
#[derive(Debug)]
pub struct PendingSlot {
    pending: Arc<PendingConnections>,
    number: u64,
    evicted: oneshot::Receiver<()>,
}

impl PendingSlot {
    /// Resolves when the connection is evicted.
    pub async fn taken(&mut self) {
        if (&mut self.evicted).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for PendingSlot {
    fn drop(&mut self) {
        self.pending.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(capacity: usize) -> Arc<PendingConnections> {
        Arc::new(PendingConnections::new(capacity, Arc::default()))
    }

    fn counts(pending: &PendingConnections) -> (u64, u64, usize) {
        let Stats { pending_connections, closed_for_newcomers, .. } = &*pending.stats;
        (pending_connections.get(), closed_for_newcomers.get(), pending.queue().waiting.len())
    }

    fn is_evicted(slot: &mut PendingSlot) -> bool {
        slot.evicted.try_recv().is_ok()
    }

    #[test]
    fn pending_connections_take_a_quarter_and_one_more_is_refused_while_all_are_new() {
        for (capacity, most) in [(1, 1), (4, 1), (7, 1), (8, 2), (40, 10)] {
            let pending = pending(capacity);
            let held: Vec<_> = (0..most).map(|_| pending.enter(0).unwrap()).collect();
            assert_eq!(pending.enter(GRACE_MS).unwrap_err().code, Code::ServerFull, "{capacity}");
            drop(held);
            assert_eq!(counts(&pending), (0, 0, 0));
        }
    }

    #[test]
    fn the_oldest_connection_over_two_seconds_is_evicted() {
        let pending = pending(8);
        let (mut first, mut second) = (pending.enter(0).unwrap(), pending.enter(1_000).unwrap());
        let mut third = pending.enter(2_001).unwrap();
        assert_eq!((is_evicted(&mut first), is_evicted(&mut second), is_evicted(&mut third)), (true, false, false));
        assert_eq!(pending.enter(3_000).unwrap_err().code, Code::ServerFull, "the second had only two seconds");
        let _fourth = pending.enter(3_001).unwrap();
        assert_eq!((is_evicted(&mut second), is_evicted(&mut third)), (true, false));
        assert_eq!(counts(&pending), (2, 2, 2));
        // An evicted connection frees nothing when it is dropped.
        drop((first, second));
        assert_eq!(counts(&pending), (2, 2, 2));
        drop(third);
        assert_eq!(counts(&pending), (1, 2, 1));
    }

    #[test]
    fn a_connection_that_joined_is_not_evicted() {
        let pending = pending(8);
        let (first, mut second) = (pending.enter(0).unwrap(), pending.enter(0).unwrap());
        drop(first);
        let _third = pending.enter(10_000).unwrap();
        assert!(!is_evicted(&mut second));
        assert_eq!(counts(&pending), (2, 0, 2));
    }

    #[test]
    fn pending_connections_never_exceed_the_share() {
        let pending = pending(400);
        let mut held = Vec::new();
        for elapsed in 0..10_000 {
            held.extend(pending.enter(elapsed).ok());
            assert!(counts(&pending).2 <= 100);
        }
        assert_eq!(counts(&pending).2, 100);
    }
}
