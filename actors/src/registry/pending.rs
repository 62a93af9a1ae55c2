//! The places of connections that have not joined anything yet. They hold a share of all places: when it is full, the oldest
//! gives way once it had time to join, and before that a newcomer is refused. So strangers keep nobody else out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::model::fault::{Code, Fault};
use crate::runtime::counters::Stats;

/// The part of all places that they may hold: one of so many.
const SHARE: usize = 4;

/// For how long a connection keeps its place whoever comes, ms.
const GRACE_MS: i64 = 2_000;

/// The connections that have not joined anything yet, oldest first.
#[derive(Debug)]
pub(super) struct Pending {
    most: usize,
    queue: Mutex<Queue>,
    stats: Arc<Stats>,
}

#[derive(Debug, Default)]
struct Queue {
    /// The number of the next one.
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// Since when, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    since: i64,
    /// Tells it that it gives way.
    give_way: oneshot::Sender<()>,
}

impl Pending {
    /// The share of `capacity` places: one at least.
    pub(super) fn new(capacity: usize, stats: Arc<Stats>) -> Self {
        Self { most: (capacity / SHARE).max(1), queue: Mutex::default(), stats }
    }

    /// Takes a place at `elapsed`, ms by [`crate::runtime::clock::Clock::elapsed_ms`]; the oldest may lose its own.
    ///
    /// # Errors
    /// [`Code::ServerFull`].
    pub(super) fn enter(self: &Arc<Self>, elapsed: i64) -> Result<PendingPlace, Fault> {
        let mut queue = self.queue();
        if queue.waiting.len() >= self.most {
            let oldest = queue.waiting.first_entry().filter(|oldest| oldest.get().since + GRACE_MS < elapsed);
            let full = || Fault::new(Code::ServerFull, "Too many connections are joining").by("server.max_connections");
            let oldest = oldest.ok_or_else(full)?;
            // One that ends by itself just now does not listen.
            let _ = oldest.remove().give_way.send(());
            self.stats.closed_for_newcomers.add(1);
            self.stats.pending_connections.sub(1);
        }
        let (give_way, gives_way) = oneshot::channel();
        let number = queue.next;
        queue.next += 1;
        queue.waiting.insert(number, Waiting { since: elapsed, give_way });
        self.stats.pending_connections.add(1);
        Ok(PendingPlace { pending: self.clone(), number, gives_way })
    }

    fn leave(&self, number: u64) {
        if self.queue().waiting.remove(&number).is_some() {
            self.stats.pending_connections.sub(1);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a connection that has not joined anything yet: dropped once it has, or when it ends.
#[derive(Debug)]
pub struct PendingPlace {
    pending: Arc<Pending>,
    number: u64,
    gives_way: oneshot::Receiver<()>,
}

impl PendingPlace {
    /// Resolves when the connection is to end, because its place is somebody else's now.
    pub async fn taken(&mut self) {
        if (&mut self.gives_way).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for PendingPlace {
    fn drop(&mut self) {
        self.pending.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(capacity: usize) -> Arc<Pending> {
        Arc::new(Pending::new(capacity, Arc::default()))
    }

    fn counts(pending: &Pending) -> (u64, u64, usize) {
        let Stats { pending_connections, closed_for_newcomers, .. } = &*pending.stats;
        (pending_connections.get(), closed_for_newcomers.get(), pending.queue().waiting.len())
    }

    fn is_taken(place: &mut PendingPlace) -> bool {
        place.gives_way.try_recv().is_ok()
    }

    #[test]
    fn a_quarter_of_all_places_is_theirs_and_one_more_is_refused_while_all_are_new() {
        for (capacity, most) in [(1, 1), (4, 1), (7, 1), (8, 2), (40, 10)] {
            let pending = pending(capacity);
            let held: Vec<_> = (0..most).map(|_| pending.enter(0).unwrap()).collect();
            assert_eq!(pending.enter(GRACE_MS).unwrap_err().code, Code::ServerFull, "{capacity}");
            drop(held);
            assert_eq!(counts(&pending), (0, 0, 0));
        }
    }

    #[test]
    fn the_oldest_over_two_seconds_gives_way_and_no_other() {
        let pending = pending(8);
        let (mut first, mut second) = (pending.enter(0).unwrap(), pending.enter(1_000).unwrap());
        let mut third = pending.enter(2_001).unwrap();
        assert_eq!((is_taken(&mut first), is_taken(&mut second), is_taken(&mut third)), (true, false, false));
        assert_eq!(pending.enter(3_000).unwrap_err().code, Code::ServerFull, "the second had only two seconds");
        let _fourth = pending.enter(3_001).unwrap();
        assert_eq!((is_taken(&mut second), is_taken(&mut third)), (true, false));
        assert_eq!(counts(&pending), (2, 2, 2));
        // Who gave way frees nothing a second time.
        drop((first, second));
        assert_eq!(counts(&pending), (2, 2, 2));
        drop(third);
        assert_eq!(counts(&pending), (1, 2, 1));
    }

    #[test]
    fn who_joined_is_not_asked_to_give_way() {
        let pending = pending(8);
        let (first, mut second) = (pending.enter(0).unwrap(), pending.enter(0).unwrap());
        drop(first);
        let _third = pending.enter(10_000).unwrap();
        assert!(!is_taken(&mut second));
        assert_eq!(counts(&pending), (2, 0, 2));
    }

    #[test]
    fn what_is_held_never_exceeds_the_share() {
        let pending = pending(400);
        let mut held = Vec::new();
        for elapsed in 0..10_000 {
            held.extend(pending.enter(elapsed).ok());
            assert!(counts(&pending).2 <= 100);
        }
        assert_eq!(counts(&pending).2, 100);
    }
}
