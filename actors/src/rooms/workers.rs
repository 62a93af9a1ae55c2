//! The mailboxes of the room actor and of the fan-outs, and what waits for these actors to start.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::actor::RoomActor;
use super::fanout::mailboxes::FanoutMailboxes;
use super::persisted::{RestoredHistory, RestoredMember, RestoredSession};
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
    /// The rooms that restored sessions are members of.
    members: Mutex<Vec<RestoredMember>>,
    /// The suspended sessions of the previous run, by worker.
    sessions: Box<[Mutex<Vec<RestoredSession>>]>,
    fanouts: Arc<FanoutMailboxes>,
}

impl Workers {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            rooms: OnceLock::new(),
            histories: Mutex::default(),
            members: Mutex::default(),
            sessions: (0..workers).map(|_| Mutex::default()).collect(),
            fanouts: Arc::new(FanoutMailboxes::new(workers)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
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
        add(&self.histories, history);
    }

    pub(super) fn restore_session(&self, session: RestoredSession) {
        let RestoredSession { user, rooms, addr, .. } = &session;
        for room in rooms {
            add(&self.members, RestoredMember { room: room.clone(), worker: addr.worker, user: user.clone() });
        }
        if let Some(sessions) = self.sessions.get(addr.worker) {
            add(sessions, session);
        }
    }

    /// Removes and returns the histories and the memberships for the room actor.
    pub(crate) fn take_rooms(&self) -> (Vec<RestoredHistory>, Vec<RestoredMember>) {
        (take(&self.histories), take(&self.members))
    }

    /// Removes and returns the suspended sessions of that worker.
    pub(crate) fn take_sessions(&self, worker: usize) -> Vec<RestoredSession> {
        self.sessions.get(worker).map(take).unwrap_or_default()
    }
}

fn take<T>(list: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut *list.lock().unwrap_or_else(PoisonError::into_inner))
}

fn add<T>(list: &Mutex<Vec<T>>, item: T) {
    list.lock().unwrap_or_else(PoisonError::into_inner).push(item);
}
