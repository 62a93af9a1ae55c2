//! The sessions of one worker, by their slots, and its connections.

use std::cell::{Cell, Ref, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use ahash::AHashSet;
use slab::Slab;

use super::checks::DueTimes;
use super::physical::ConnectionKey;
use super::{Connection, ConnectionSpec, SessionHandle, SessionSpec, SlotId};
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;

/// State that all sessions and connections of a worker share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) worker: usize,
    pub(super) clock: Clock,
    pub(super) stats: Arc<Stats>,
    /// The last publication that the worker has delivered.
    pub(super) position: Cell<u64>,
    /// Sessions that receive presence events.
    pub(super) presence_listeners: RefCell<AHashSet<SlotId>>,
    /// The connections. Each removes itself.
    pub(super) connections: RefCell<Slab<Weak<Connection>>>,
    /// When each session is checked next, and each connection.
    pub(super) session_checks: DueTimes,
    pub(super) connection_checks: DueTimes,
}

/// The sessions of one worker.
#[derive(Debug)]
pub struct SessionTable {
    pub(super) slab: RefCell<Slab<Rc<SessionHandle>>>,
    pub(super) serial: Cell<u32>,
    pub(super) common: Rc<Common>,
}

impl SessionTable {
    /// An empty table of the worker `worker`. `clock` measures delivery latency.
    pub fn new(worker: usize, stats: Arc<Stats>, clock: Clock) -> Self {
        let (position, presence_listeners, connections, session_checks, connection_checks) = Default::default();
        let common = Common {
            worker,
            clock,
            stats,
            position,
            presence_listeners,
            connections,
            session_checks,
            connection_checks,
        };
        Self { slab: RefCell::default(), serial: Cell::new(0), common: Rc::new(common) }
    }

    /// The last publication that the worker has delivered.
    pub(crate) fn position(&self) -> u64 {
        self.common.position.get()
    }

    /// Notes that the worker has handled everything up to the publication `number`.
    pub(crate) fn set_position(&self, number: u64) {
        self.common.position.set(number);
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.common.stats
    }

    /// The worker's number.
    pub fn worker(&self) -> usize {
        self.common.worker
    }

    /// Opens a connection.
    pub fn connect(&self, spec: ConnectionSpec) -> Rc<Connection> {
        let mut connections = self.common.connections.borrow_mut();
        let entry = connections.vacant_entry();
        let key = ConnectionKey::new(entry.key());
        let connection = Rc::new(Connection::new(spec, key, self.common.clone()));
        entry.insert(Rc::downgrade(&connection));
        self.common.connection_checks.now(key.index());
        connection
    }

    /// Inserts a session.
    pub fn insert(&self, spec: SessionSpec) -> Rc<SessionHandle> {
        let mut slab = self.slab.borrow_mut();
        let entry = slab.vacant_entry();
        self.serial.set(self.serial.get().wrapping_add(1));
        // Connections are bounded far below 2^32 by the descriptors of the process.
        let key = SlotId { index: u32::try_from(entry.key()).unwrap_or(u32::MAX), serial: self.serial.get() };
        let handle = Rc::new(SessionHandle::new(spec, key, self.common.clone()));
        self.common.session_checks.now(key.index());
        handle.with_connection(|connection| connection.add_session(&handle));
        entry.insert(handle.clone());
        handle
    }

    /// The session in the slot `key`, if it is still there.
    pub fn get(&self, key: SlotId) -> Option<Rc<SessionHandle>> {
        let slab = self.slab.borrow();
        slab.get(key.index as usize).filter(|handle| handle.slot == key).cloned()
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

    /// Sessions that receive presence events.
    pub(crate) fn presence_listeners(&self) -> Ref<'_, AHashSet<SlotId>> {
        self.common.presence_listeners.borrow()
    }

    /// An address without a session.
    #[cfg(test)]
    pub(crate) fn any_addr() -> super::SessionAddr {
        Self::addr_of(0)
    }

    /// As [`SessionTable::any_addr`], one for each index.
    #[cfg(test)]
    pub(crate) fn addr_of(index: u32) -> super::SessionAddr {
        super::SessionAddr { worker: 0, slot: SlotId { index, serial: 0 } }
    }

    /// Calls `visit` with every session. `visit` may close sessions, but must not insert or release any.
    pub fn for_each(&self, mut visit: impl FnMut(&SessionHandle)) {
        for (_, handle) in self.slab.borrow().iter() {
            visit(handle);
        }
    }
}
