//! The way to the central actors of each worker, and what waits for them to start. Knows nothing of rooms but that a shard
//! owns some.

use std::sync::{Mutex, OnceLock, PoisonError};

use super::fanout::Fanout;
use super::shard::RoomShard;
use super::stored::Restored;
use crate::ids::{RoomName, SessionId, UserId};
use crate::mailbox::Mailbox;
use crate::seat::{Place, Remains};

/// The central actors that live on a worker's thread: a share of the rooms, and the fan-out to its members. They live
/// there, not on threads of their own, because a wake-up across threads costs as much as a write.
#[derive(Debug)]
pub(super) struct Lane {
    shard: OnceLock<Mailbox<RoomShard>>,
    fanout: OnceLock<Mailbox<Fanout>>,
    /// What the shard's rooms kept before the start, until the shard takes it.
    restored: Mutex<Vec<Restored>>,
    /// Which of the shard's rooms are those of seats that were parked before the start.
    inhabited: Mutex<Vec<InhabitedRoom>>,
    /// The worker's seats that were.
    parked: Mutex<Vec<ParkedSeat>>,
}

impl Lane {
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
    pub(super) fn park(&self, seat: ParkedSeat) {
        add(&self.parked, seat);
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
    pub(crate) place: Place,
    pub(crate) rooms: Vec<RoomName>,
    pub(crate) remains: Remains,
}

/// The lanes of all workers. A worker fills its own as it starts; the server accepts connections when all have.
#[derive(Debug)]
pub(crate) struct Lanes(Box<[Lane]>);

impl Lanes {
    pub(crate) fn new(workers: usize) -> Self {
        let lane = |_| Lane {
            shard: OnceLock::new(),
            fanout: OnceLock::new(),
            restored: Mutex::default(),
            inhabited: Mutex::default(),
            parked: Mutex::default(),
        };
        Self((0..workers).map(lane).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn fanout(&self, worker: usize) -> Option<&Mailbox<Fanout>> {
        self.0.get(worker)?.fanout.get()
    }

    /// What the rooms of that worker's shard kept before the start; the first who asks gets it.
    pub(crate) fn take_restored(&self, worker: usize) -> Vec<Restored> {
        self.0.get(worker).map(|lane| taken(&lane.restored)).unwrap_or_default()
    }

    /// The rooms of that worker's shard that seats which were parked before the start are in; likewise.
    pub(super) fn take_inhabited(&self, worker: usize) -> Vec<InhabitedRoom> {
        self.0.get(worker).map(|lane| taken(&lane.inhabited)).unwrap_or_default()
    }

    /// That worker's seats which were; likewise.
    pub(crate) fn take_parked(&self, worker: usize) -> Vec<ParkedSeat> {
        self.0.get(worker).map(|lane| taken(&lane.parked)).unwrap_or_default()
    }

    /// Fills the lane of `worker`; `false` when it was filled before.
    pub(crate) fn open(&self, worker: usize, shard: Mailbox<RoomShard>, fanout: Mailbox<Fanout>) -> bool {
        self.0.get(worker).is_some_and(|lane| lane.shard.set(shard).is_ok() && lane.fanout.set(fanout).is_ok())
    }

    /// The lane of that number.
    pub(super) fn get(&self, worker: usize) -> Option<&Lane> {
        self.0.get(worker)
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = &Mailbox<RoomShard>> {
        self.0.iter().filter_map(|lane| lane.shard.get())
    }

    pub(super) fn fanouts(&self) -> impl Iterator<Item = &Mailbox<Fanout>> {
        self.0.iter().filter_map(|lane| lane.fanout.get())
    }
}

fn taken<T>(list: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut *list.lock().unwrap_or_else(PoisonError::into_inner))
}

fn add<T>(list: &Mutex<Vec<T>>, item: T) {
    list.lock().unwrap_or_else(PoisonError::into_inner).push(item);
}
