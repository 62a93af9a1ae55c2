//! The way to the central actors of each worker, and what waits for them to start. Knows nothing of rooms but that a shard
//! owns some.

use std::sync::{Mutex, OnceLock, PoisonError};

use super::fanout::Fanout;
use super::persisted::Restored;
use super::shard::RoomShard;
use crate::connection::{Remains, SessionAddr};
use crate::model::ids::{RoomName, SessionId, UserId};
use crate::runtime::mailbox::Mailbox;

/// The central actors that live on a worker's thread: a share of the rooms, and the fan-out to its members. They live
/// there, not on threads of their own, because a wake-up across threads costs as much as a write.
#[derive(Debug)]
pub(super) struct WorkerMailboxes {
    shard: OnceLock<Mailbox<RoomShard>>,
    fanout: OnceLock<Mailbox<Fanout>>,
    /// What the shard's rooms kept before the start, until the shard takes it.
    restored: Mutex<Vec<Restored>>,
    /// Which of the shard's rooms are those of seats that were parked before the start.
    inhabited: Mutex<Vec<InhabitedRoom>>,
    /// The worker's seats that were.
    suspended: Mutex<Vec<ParkedSeat>>,
}

impl WorkerMailboxes {
    pub(super) fn shard(&self) -> Option<&Mailbox<RoomShard>> {
        self.shard.get()
    }

    /// Leaves for its shard what a room kept before the start.
    pub(super) fn restore(&self, room: Restored) {
        add(&self.restored, room);
    }

    /// Leaves for its shard that a room has a parked seat.
    pub(super) fn inhabit(&self, room: InhabitedRoom) {
        add(&self.inhabited, room);
    }

    /// Leaves a parked seat for its worker.
    pub(super) fn park(&self, handle: ParkedSeat) {
        add(&self.suspended, handle);
    }
}

/// A room of a seat that was parked before the start.
#[derive(Debug)]
pub(super) struct InhabitedRoom {
    pub(super) room: RoomName,
    /// The worker of the seat.
    pub(super) worker: usize,
    /// The user of its session.
    pub(super) user: UserId,
}

/// A seat that was parked before the start.
#[derive(Debug)]
pub(crate) struct ParkedSeat {
    pub(crate) session: SessionId,
    /// The user of its session.
    pub(crate) user: UserId,
    pub(crate) place: SessionAddr,
    pub(crate) rooms: Vec<RoomName>,
    pub(crate) remains: Remains,
}

/// The lanes of all workers. A worker fills its own as it starts; the server accepts connections when all have.
#[derive(Debug)]
pub(crate) struct Workers(Box<[WorkerMailboxes]>);

impl Workers {
    pub(crate) fn new(workers: usize) -> Self {
        let mailboxes = |_| WorkerMailboxes {
            shard: OnceLock::new(),
            fanout: OnceLock::new(),
            restored: Mutex::default(),
            inhabited: Mutex::default(),
            suspended: Mutex::default(),
        };
        Self((0..workers).map(mailboxes).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn fanout(&self, worker: usize) -> Option<&Mailbox<Fanout>> {
        self.0.get(worker)?.fanout.get()
    }

    /// What the rooms of that worker's shard kept before the start; the first who asks gets it.
    pub(crate) fn take_restored(&self, worker: usize) -> Vec<Restored> {
        self.0.get(worker).map(|mailboxes| taken(&mailboxes.restored)).unwrap_or_default()
    }

    /// The rooms of that worker's shard that seats which were parked before the start are in; likewise.
    pub(super) fn take_inhabited(&self, worker: usize) -> Vec<InhabitedRoom> {
        self.0.get(worker).map(|mailboxes| taken(&mailboxes.inhabited)).unwrap_or_default()
    }

    /// That worker's seats which were; likewise.
    pub(crate) fn take_parked(&self, worker: usize) -> Vec<ParkedSeat> {
        self.0.get(worker).map(|mailboxes| taken(&mailboxes.suspended)).unwrap_or_default()
    }

    /// Fills the lane of `worker`; `false` when it was filled before.
    pub(crate) fn open(&self, worker: usize, shard: Mailbox<RoomShard>, fanout: Mailbox<Fanout>) -> bool {
        self.0
            .get(worker)
            .is_some_and(|mailboxes| mailboxes.shard.set(shard).is_ok() && mailboxes.fanout.set(fanout).is_ok())
    }

    /// The lane of that number.
    pub(super) fn get(&self, worker: usize) -> Option<&WorkerMailboxes> {
        self.0.get(worker)
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = &Mailbox<RoomShard>> {
        self.0.iter().filter_map(|mailboxes| mailboxes.shard.get())
    }

    pub(super) fn fanouts(&self) -> impl Iterator<Item = &Mailbox<Fanout>> {
        self.0.iter().filter_map(|mailboxes| mailboxes.fanout.get())
    }
}

fn taken<T>(list: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut *list.lock().unwrap_or_else(PoisonError::into_inner))
}

fn add<T>(list: &Mutex<Vec<T>>, item: T) {
    list.lock().unwrap_or_else(PoisonError::into_inner).push(item);
}
