//! The mailboxes of the central actors of each worker, and what waits for these actors to start.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::fanout::mailboxes::FanoutMailboxes;
use super::persisted::{RestoredHistory, RestoredMember, RestoredSession};
use super::shard::RoomShard;
use crate::runtime::mailbox::Mailbox;

/// One worker's room shard, and what it restores at its start. Shard and fan-out run on the worker's thread, because a
/// wake-up across threads costs as much as a write.
#[derive(Debug)]
pub(super) struct WorkerMailboxes {
    shard: OnceLock<Mailbox<RoomShard>>,
    /// The histories of the shard's rooms from the previous run.
    histories: Mutex<Vec<RestoredHistory>>,
    /// The rooms of this shard that restored sessions are members of.
    members: Mutex<Vec<RestoredMember>>,
    /// The suspended sessions of this worker from the previous run.
    sessions: Mutex<Vec<RestoredSession>>,
}

impl WorkerMailboxes {
    pub(super) fn shard(&self) -> Option<&Mailbox<RoomShard>> {
        self.shard.get()
    }

    pub(super) fn restore(&self, history: RestoredHistory) {
        add(&self.histories, history);
    }

    pub(super) fn restore_member(&self, member: RestoredMember) {
        add(&self.members, member);
    }

    pub(super) fn restore_session(&self, session: RestoredSession) {
        add(&self.sessions, session);
    }
}

/// The mailboxes of all workers. Each worker adds its own at its start; the server accepts connections after that.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Box<[WorkerMailboxes]>,
    fanouts: Arc<FanoutMailboxes>,
}

impl Workers {
    pub(crate) fn new(workers: usize) -> Self {
        let mailboxes = |_| WorkerMailboxes {
            shard: OnceLock::new(),
            histories: Mutex::default(),
            members: Mutex::default(),
            sessions: Mutex::default(),
        };
        Self { workers: (0..workers).map(mailboxes).collect(), fanouts: Arc::new(FanoutMailboxes::new(workers)) }
    }

    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// The fan-outs of all workers.
    pub(crate) fn fanouts(&self) -> &Arc<FanoutMailboxes> {
        &self.fanouts
    }

    /// Removes and returns the histories for that worker's shard.
    pub(crate) fn take_histories(&self, worker: usize) -> Vec<RestoredHistory> {
        self.workers.get(worker).map(|mailboxes| take(&mailboxes.histories)).unwrap_or_default()
    }

    /// Removes and returns the memberships of restored sessions in that shard's rooms.
    pub(crate) fn take_members(&self, worker: usize) -> Vec<RestoredMember> {
        self.workers.get(worker).map(|mailboxes| take(&mailboxes.members)).unwrap_or_default()
    }

    /// Removes and returns the suspended sessions of that worker.
    pub(crate) fn take_sessions(&self, worker: usize) -> Vec<RestoredSession> {
        self.workers.get(worker).map(|mailboxes| take(&mailboxes.sessions)).unwrap_or_default()
    }

    /// Adds the mailbox of a worker's shard; `false` when it has one already.
    pub(crate) fn add_shard(&self, worker: usize, shard: Mailbox<RoomShard>) -> bool {
        self.workers.get(worker).is_some_and(|mailboxes| mailboxes.shard.set(shard).is_ok())
    }

    pub(super) fn get(&self, worker: usize) -> Option<&WorkerMailboxes> {
        self.workers.get(worker)
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = &Mailbox<RoomShard>> {
        self.workers.iter().filter_map(|mailboxes| mailboxes.shard.get())
    }
}

fn take<T>(list: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut *list.lock().unwrap_or_else(PoisonError::into_inner))
}

fn add<T>(list: &Mutex<Vec<T>>, item: T) {
    list.lock().unwrap_or_else(PoisonError::into_inner).push(item);
}
