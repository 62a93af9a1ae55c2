//! Buffered publications of a worker's sessions. Each is stored once, shared by all buffers, within one bound. The last
//! buffer that drops it frees it.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::model::ids::{NotificationId, RoomName};
use crate::publication::Payload;
use crate::runtime::counters::Stats;
use ahash::AHashMap;

/// The counted size of a buffered publication beside its bytes.
pub const OVERHEAD: usize = 128;

/// A buffered publication.
#[derive(Debug)]
pub struct Retained {
    /// Its number among the publications of the hub.
    pub number: u64,
    /// Its room.
    pub room: RoomName,
    /// Its data, or its payload in one format.
    pub payload: Payload,
    /// Its notification, if it is about one.
    pub about: Option<NotificationId>,
    ledger: Rc<Ledger>,
}

impl Retained {
    /// Keeps a publication until its last reference is dropped.
    pub fn new(ledger: &Rc<Ledger>, brought: Brought) -> Rc<Self> {
        let Brought { number, room, payload, about } = brought;
        let retained = Self { number, room, payload, about, ledger: ledger.clone() };
        ledger.add(retained.weight());
        Rc::new(retained)
    }

    /// Its counted size, bytes.
    pub fn weight(&self) -> usize {
        self.payload.len() + OVERHEAD
    }
}

impl Drop for Retained {
    fn drop(&mut self) {
        self.ledger.sub(self.weight());
    }
}

/// A publication for a buffer, or from one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// Its number among the publications of the hub.
    pub number: u64,
    /// Its room.
    pub room: RoomName,
    /// Its data, or its payload in one format.
    pub payload: Payload,
    /// Its notification, if it is about one.
    pub about: Option<NotificationId>,
}

impl Brought {
    /// A copy of a buffered publication.
    pub fn of(retained: &Retained) -> Self {
        let Retained { number, room, payload, about, .. } = retained;
        Self { number: *number, room: room.clone(), payload: payload.clone(), about: about.clone() }
    }
}

/// The bytes of all buffers of a worker, and their bound.
#[derive(Debug)]
pub struct Ledger {
    bound: usize,
    bytes: Cell<usize>,
    /// Publications that other buffers may share, by number.
    brought: RefCell<AHashMap<u64, Weak<Retained>>>,
    stats: Arc<Stats>,
}

/// Entries of [`Ledger::brought`] before unused ones are removed.
const BROUGHT_MIN: usize = 1_024;

impl Ledger {
    /// An empty ledger for at most `bound` bytes.
    pub fn new(bound: usize, stats: Arc<Stats>) -> Rc<Self> {
        Rc::new(Self { bound, bytes: Cell::new(0), brought: RefCell::default(), stats })
    }

    /// Whether `weight` more bytes fit. 0 always fits.
    pub fn has_room(&self, weight: usize) -> bool {
        weight == 0 || self.bytes.get() + weight <= self.bound
    }

    /// Stores a publication, once for all buffers that hold it.
    pub fn keep(self: &Rc<Self>, brought: Brought) -> Rc<Retained> {
        let mut all = self.brought.borrow_mut();
        let same = all.get(&brought.number).and_then(Weak::upgrade);
        if let Some(same) = same.filter(|same| same.payload == brought.payload) {
            return same;
        }
        if all.len() == all.capacity().max(BROUGHT_MIN) {
            all.retain(|_, retained| retained.strong_count() > 0);
        }
        let number = brought.number;
        let retained = Retained::new(self, brought);
        all.insert(number, Rc::downgrade(&retained));
        retained
    }

    fn add(&self, weight: usize) {
        self.bytes.set(self.bytes.get() + weight);
        self.stats.recovery_bytes.add(weight as u64);
    }

    fn sub(&self, weight: usize) {
        self.bytes.set(self.bytes.get() - weight);
        self.stats.recovery_bytes.sub(weight as u64);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Keeps `text` under `number`.
    pub(crate) fn retained(ledger: &Rc<Ledger>, number: u64, text: &'static str) -> Rc<Retained> {
        let (room, payload) = (RoomName::everybody(), Payload::text([text.as_bytes()]));
        Retained::new(ledger, Brought { number, room, payload, about: None })
    }

    #[test]
    fn a_shared_publication_counts_once_until_its_last_reference_is_dropped() {
        let stats = Arc::new(Stats::default());
        let ledger = Ledger::new(OVERHEAD + 4, stats.clone());
        let one = retained(&ledger, 1, "one");
        let shared = one.clone();
        assert!(ledger.has_room(1) && !ledger.has_room(2));
        let two = retained(&ledger, 2, "two");
        assert!(!ledger.has_room(1) && ledger.has_room(0));
        drop(one);
        assert_eq!(stats.recovery_bytes.get(), 2 * (OVERHEAD as u64 + 3));
        drop(shared);
        assert!(ledger.has_room(1));
        drop(two);
        assert_eq!(stats.recovery_bytes.get(), 0);
    }

    #[test]
    fn a_publication_for_several_sessions_is_stored_once() {
        let stats = Arc::new(Stats::default());
        let ledger = Ledger::new(1_000, stats.clone());
        let brought = |text: &'static str| Brought::of(&retained(&ledger, 1, text));
        let (one, other) = (ledger.keep(brought("one")), ledger.keep(brought("one")));
        assert!(Rc::ptr_eq(&one, &other));
        let in_a_format = ledger.keep(brought("encoded"));
        assert_eq!(&in_a_format.payload.bytes()[..], b"encoded");
        drop((one, other, in_a_format));
        assert_eq!(stats.recovery_bytes.get(), 0);
        for number in 2..2_000 {
            drop(ledger.keep(Brought { number, ..brought("one") }));
        }
        assert!(ledger.brought.borrow().len() <= 2 * BROUGHT_MIN);
    }
}
