//! The mailboxes of the room actor and of the fan-outs, and what waits for these actors to start.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::actor::RoomActor;
use super::fanout::mailboxes::FanoutMailboxes;
use super::persisted::{RestoredHistory, RestoredLog};
use crate::runtime::mailbox::Mailbox;

/// The mailboxes of the room actor and of all workers. Each worker adds its own at its start; the server accepts
/// connections after that.
///
/// The room actor runs on the thread of the first worker, because a wake-up across threads costs as much as a write.
#[derive(Debug)]
pub(crate) struct Workers {
    rooms: OnceLock<Mailbox<RoomActor>>,
    /// The histories of the previous run.
    histories: Mutex<Vec<RestoredHistory>>,
    /// The log of the previous run.
    log: Mutex<RestoredLog>,
    workers: usize,
    fanouts: Arc<FanoutMailboxes>,
}

impl Workers {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            rooms: OnceLock::new(),
            histories: Mutex::default(),
            log: Mutex::default(),
            workers,
            fanouts: Arc::new(FanoutMailboxes::new(workers)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.workers
    }

    /// The room actor, once it has started.
    pub(crate) fn rooms(&self) -> Option<&Mailbox<RoomActor>> {
        self.rooms.get()
    }

    /// Sets the mailbox of the room actor; `false` when it is set already.
    pub(crate) fn set_rooms(&self, rooms: Mailbox<RoomActor>) -> bool {
        self.rooms.set(rooms).is_ok()
    }

    /// The fan-outs of all workers.
    pub(crate) fn fanouts(&self) -> &Arc<FanoutMailboxes> {
        &self.fanouts
    }

    pub(super) fn restore(&self, history: RestoredHistory) {
        lock(&self.histories).push(history);
    }

    pub(super) fn restore_log(&self, log: RestoredLog) {
        *lock(&self.log) = log;
    }

    /// Removes and returns the histories and the log for the room actor.
    pub(crate) fn take_rooms(&self) -> (Vec<RestoredHistory>, RestoredLog) {
        (std::mem::take(&mut *lock(&self.histories)), std::mem::take(&mut *lock(&self.log)))
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
