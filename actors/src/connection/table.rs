//! The session handles of one worker, by slot.

use std::cell::{Cell, Ref, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use ahash::AHashSet;
use slab::Slab;

use super::liveness::Liveness;
use super::outbox::{Bound, Outbox};
use super::output_state::OutputState;
use super::retained::Ledger;
use super::{Common, Heartbeat, SessionAddr, SessionHandle, SlotId};
use crate::model::ids::SessionId;
use crate::publication::Encoder;
use crate::runtime::clock::{Clock, Expiry};
use crate::runtime::counters::Stats;

/// The start values of a new session handle.
#[derive(Debug)]
pub struct SessionSpec {
    /// The session.
    pub session: SessionId,
    /// The encoder of its wire format.
    pub encoder: &'static dyn Encoder,
    /// The bound of its outbox.
    pub bound: Bound,
    /// Its heartbeat; `None` on a multiplexed connection, which has its own.
    pub heartbeat: Option<Heartbeat>,
    /// Whether it is a connection that carries sessions. It ends after them.
    pub multiplexed: bool,
    /// When its token ends it.
    pub expiry: Expiry,
    /// The time, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    pub elapsed: i64,
}

/// The session handles of one worker.
#[derive(Debug)]
pub struct SessionTable {
    pub(super) slab: RefCell<Slab<Rc<SessionHandle>>>,
    pub(super) serial: Cell<u32>,
    /// The budget of the recovery buffers.
    pub(super) ledger: Rc<Ledger>,
    /// The slots of suspended sessions, the longest suspended first. Some may be released already.
    pub(super) suspended: RefCell<VecDeque<SlotId>>,
    pub(super) common: Rc<Common>,
}

impl SessionTable {
    /// An empty table of worker number `worker`. Recovery buffers take at most `retained_max` bytes. `clock` measures the
    /// latency of publications.
    pub fn new(worker: usize, retained_max: usize, stats: Arc<Stats>, clock: Clock) -> Self {
        let ledger = Ledger::new(retained_max, stats.clone());
        let (slab, suspended) = (RefCell::default(), RefCell::default());
        let (presence_listeners, dues) = Default::default();
        let common = Rc::new(Common { worker, clock, stats, presence_listeners, due_times: dues });
        Self { slab, serial: Cell::new(0), ledger, suspended, common }
    }

    /// The budget of the recovery buffers.
    pub fn ledger(&self) -> &Rc<Ledger> {
        &self.ledger
    }

    /// The hub's counters.
    pub fn stats(&self) -> &Stats {
        &self.common.stats
    }

    /// The number of the worker.
    pub fn worker(&self) -> usize {
        self.common.worker
    }

    /// The addresses of the first slots on each of `workers`, in the order of their use.
    pub(crate) fn first_addrs(workers: usize) -> impl Iterator<Item = SessionAddr> {
        (0..).flat_map(move |index: u32| {
            (0..workers)
                .map(move |worker| SessionAddr { worker, slot: SlotId { index, serial: index.wrapping_add(1) } })
        })
    }

    /// Adds a session.
    pub fn insert(&self, seating: SessionSpec) -> Rc<SessionHandle> {
        let mut slab = self.slab.borrow_mut();
        let entry = slab.vacant_entry();
        self.serial.set(self.serial.get().wrapping_add(1));
        // Connections are bounded far below 2^32 by the descriptors of the process.
        let key = SlotId { index: u32::try_from(entry.key()).unwrap_or(u32::MAX), serial: self.serial.get() };
        let handle = Rc::new(SessionHandle {
            session: seating.session,
            addr: SessionAddr { worker: self.common.worker, slot: key },
            encoder: seating.encoder,
            multiplexed: seating.multiplexed,
            output: RefCell::new(OutputState {
                outbox: Outbox::new(seating.bound),
                replies: VecDeque::new(),
                first: 0,
                weight: 0,
                unordered: (0, 0),
                large: 0,
                answered: 0,
                deferred_rooms: Vec::new(),
                closing: None,
                closed: None,
            }),
            sink: RefCell::new(None),
            connection_end: Cell::new(None),
            closed_by: Cell::new(None),
            is_close_logged: Cell::new(false),
            paused: Cell::new(false),
            noted: RefCell::default(),
            memory: RefCell::default(),
            chats: RefCell::default(),
            liveness: Liveness::new(seating.heartbeat, seating.elapsed, seating.expiry),
            presence_listener: RefCell::default(),
            common: self.common.clone(),
        });
        self.common.due_times.now(key);
        entry.insert(handle.clone());
        handle
    }

    /// The session in slot `key`; `None` after its release.
    pub fn get(&self, key: SlotId) -> Option<Rc<SessionHandle>> {
        let slab = self.slab.borrow();
        slab.get(key.index as usize).filter(|handle| handle.addr.slot == key).cloned()
    }

    /// Frees the slot `key`.
    pub fn release(&self, key: SlotId) {
        let handle = self.get(key);
        if let Some(handle) = handle {
            self.slab.borrow_mut().remove(key.index as usize);
            handle.set_presence_listener(None);
            handle.detach();
        }
    }

    /// The slots of sessions that receive presence events.
    pub(crate) fn presence_listeners(&self) -> Ref<'_, AHashSet<SlotId>> {
        self.common.presence_listeners.borrow()
    }

    /// An address without a session, for tests.
    #[cfg(test)]
    pub(crate) fn any_addr() -> SessionAddr {
        Self::addr_of(0)
    }

    /// As [`SessionTable::any_addr`], one for each number.
    #[cfg(test)]
    pub(crate) fn addr_of(index: u32) -> SessionAddr {
        SessionAddr { worker: 0, slot: SlotId { index, serial: 0 } }
    }

    /// Calls `visit` with every session handle. `visit` may close sessions, but must not add or release one.
    pub fn for_each(&self, mut visit: impl FnMut(&SessionHandle)) {
        for (_, handle) in self.slab.borrow().iter() {
            visit(handle);
        }
    }
}
