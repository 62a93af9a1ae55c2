//! The members of one room on one worker. Every user has a room, usually with one member: such a room needs no table.

use std::hash::BuildHasherDefault;
use std::rc::Rc;

use ahash::AHasher;
use indexmap::IndexMap;

use crate::connection::{SessionHandle, SlotId};

/// The hub chooses the keys, so no client can make them collide.
type ManyMembers = IndexMap<SlotId, Rc<SessionHandle>, BuildHasherDefault<AHasher>>;

/// The members.
#[derive(Debug, Default)]
pub(super) enum MemberTable {
    #[default]
    None,
    One(SlotId, Rc<SessionHandle>),
    Many(Box<ManyMembers>),
}

impl MemberTable {
    pub(super) fn insert(&mut self, key: SlotId, handle: Rc<SessionHandle>) {
        match std::mem::take(self) {
            Self::One(other, first) if other != key => {
                let table = ManyMembers::from_iter([(other, first), (key, handle)]);
                *self = Self::Many(Box::new(table));
            }
            Self::None | Self::One(..) => *self = Self::One(key, handle),
            Self::Many(mut table) => {
                table.insert(key, handle);
                *self = Self::Many(table);
            }
        }
    }

    pub(super) fn remove(&mut self, key: SlotId) -> Option<Rc<SessionHandle>> {
        match self {
            Self::None => None,
            Self::One(one, _) if *one != key => None,
            Self::One(..) => match std::mem::take(self) {
                Self::One(_, handle) => Some(handle),
                Self::None | Self::Many(_) => None,
            },
            Self::Many(table) => table.swap_remove(&key),
        }
    }

    pub(super) fn get(&self, key: SlotId) -> Option<&Rc<SessionHandle>> {
        match self {
            Self::None => None,
            Self::One(one, handle) => (*one == key).then_some(handle),
            Self::Many(table) => table.get(&key),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(..) => 1,
            Self::Many(table) => table.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `visit` for every member.
    pub(super) fn for_each(&self, mut visit: impl FnMut(SlotId, &Rc<SessionHandle>)) {
        match self {
            Self::None => {}
            Self::One(key, handle) => visit(*key, handle),
            Self::Many(table) => table.iter().for_each(|(&key, handle)| visit(key, handle)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::NameEncoder;
    use super::*;
    use crate::connection::outbox::OutboxCapacity;
    use crate::connection::tests::sole;
    use crate::connection::{ConnectionSpec, SessionTable};
    use crate::runtime::clock::Clock;
    use crate::runtime::counters::Stats;

    #[test]
    fn members_are_added_and_removed_one_by_one() {
        let session_table = SessionTable::new(0, Arc::new(Stats::default()), Clock::manual(0));
        let handle = || {
            let bound = OutboxCapacity { bytes: 1, entries: 1 };
            sole(&session_table, &NameEncoder, ConnectionSpec { bound, heartbeat: None, elapsed: 0 })
        };
        let all: Vec<_> = (0..3).map(|_| handle()).collect();
        let keys: Vec<_> = all.iter().map(|handle| handle.addr().slot).collect();
        let mut members = MemberTable::default();
        let slots = |members: &MemberTable| {
            let mut slots = Vec::new();
            members.for_each(|key, handle| {
                assert_eq!((handle.addr().slot, members.get(key).map(|handle| handle.addr().slot)), (key, Some(key)));
                slots.push(key);
            });
            assert_eq!((members.len(), members.is_empty()), (slots.len(), slots.is_empty()));
            slots
        };
        for count in 0..3 {
            assert_eq!(slots(&members), keys[..count]);
            assert!(members.remove(keys[count]).is_none());
            for _ in 0..2 {
                members.insert(keys[count], all[count].clone());
            }
        }
        for count in (0..3).rev() {
            assert!(members.remove(keys[count]).is_some());
            assert!(members.remove(keys[count]).is_none());
            assert_eq!(slots(&members), keys[..count]);
        }
    }
}
