//! The kept positions: of topics without members and messages, for clients that come back. Pure.
//!
//! A kept position counts as a room of the user that created it, and of the hub. At a limit of rooms, the oldest kept
//! position goes, so that kept positions refuse no join.

use std::collections::{BTreeMap, BTreeSet};

use ahash::AHashMap;

use crate::model::ids::{RoomName, UserId};
use crate::runtime::shrink::shrink;

/// The rooms with a kept position, each with a key; older positions have lower keys.
#[derive(Debug, Default)]
pub(super) struct KeptPositions {
    /// The last key.
    last: u64,
    by_age: BTreeMap<u64, RoomName>,
    /// The keys of each user's positions.
    by_user: AHashMap<UserId, BTreeSet<u64>>,
}

impl KeptPositions {
    /// Adds the position of `room`, which `creator` created; its key.
    pub(super) fn add(&mut self, room: RoomName, creator: Option<&UserId>) -> u64 {
        self.last += 1;
        self.by_age.insert(self.last, room);
        if let Some(user) = creator {
            self.by_user.entry(user.clone()).or_default().insert(self.last);
        }
        self.last
    }

    /// Removes a position, with the arguments of [`Self::add`].
    pub(super) fn remove(&mut self, key: u64, creator: Option<&UserId>) {
        self.by_age.remove(&key);
        let Some(user) = creator else { return };
        if let Some(keys) = self.by_user.get_mut(user) {
            keys.remove(&key);
            if keys.is_empty() {
                self.by_user.remove(user);
                shrink(&mut self.by_user);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_age.len()
    }

    /// The number of positions of rooms that `user` created.
    pub(super) fn of_user(&self, user: &UserId) -> usize {
        self.by_user.get(user).map_or(0, BTreeSet::len)
    }

    /// The room with the oldest position.
    pub(super) fn oldest(&self) -> Option<&RoomName> {
        self.by_age.first_key_value().map(|(_, room)| room)
    }

    /// The room with the oldest position of those that `user` created.
    pub(super) fn oldest_of(&self, user: &UserId) -> Option<&RoomName> {
        self.by_age.get(self.by_user.get(user)?.first()?)
    }

    /// The rooms, the oldest position first.
    pub(super) fn rooms(&self) -> impl Iterator<Item = &RoomName> {
        self.by_age.values()
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.by_age.is_empty() && self.by_user.is_empty()
    }
}
