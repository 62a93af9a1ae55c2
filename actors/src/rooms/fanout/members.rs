//! The members of one room on one worker. A user's own room has one as a rule, and there is such a room for every user: it
//! costs no table.

use std::hash::BuildHasherDefault;
use std::rc::Rc;

use ahash::AHasher;
use indexmap::IndexMap;

use crate::seat::{Seat, SeatKey};

/// The keys are ours: nobody outside can choose those that collide.
type Table = IndexMap<SeatKey, Rc<Seat>, BuildHasherDefault<AHasher>>;

/// The members.
#[derive(Debug, Default)]
pub(super) enum Members {
    #[default]
    None,
    One(SeatKey, Rc<Seat>),
    Many(Box<Table>),
}

impl Members {
    pub(super) fn insert(&mut self, key: SeatKey, seat: Rc<Seat>) {
        match std::mem::take(self) {
            Self::One(other, first) if other != key => {
                let table = Table::from_iter([(other, first), (key, seat)]);
                *self = Self::Many(Box::new(table));
            }
            Self::None | Self::One(..) => *self = Self::One(key, seat),
            Self::Many(mut table) => {
                table.insert(key, seat);
                *self = Self::Many(table);
            }
        }
    }

    pub(super) fn remove(&mut self, key: SeatKey) -> Option<Rc<Seat>> {
        match self {
            Self::None => None,
            Self::One(one, _) if *one != key => None,
            Self::One(..) => match std::mem::take(self) {
                Self::One(_, seat) => Some(seat),
                Self::None | Self::Many(_) => None,
            },
            Self::Many(table) => table.swap_remove(&key),
        }
    }

    pub(super) fn get(&self, key: SeatKey) -> Option<&Rc<Seat>> {
        match self {
            Self::None => None,
            Self::One(one, seat) => (*one == key).then_some(seat),
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

    /// Calls `visit` with every member.
    pub(super) fn for_each(&self, mut visit: impl FnMut(SeatKey, &Rc<Seat>)) {
        match self {
            Self::None => {}
            Self::One(key, seat) => visit(*key, seat),
            Self::Many(table) => table.iter().for_each(|(&key, seat)| visit(key, seat)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::Name;
    use super::*;
    use crate::clock::{Clock, Expiry};
    use crate::ids::SessionId;
    use crate::outbox::Bound;
    use crate::seat::{Seating, Seats};
    use crate::stats::Stats;

    #[test]
    fn members_come_and_go_one_by_one() {
        let seats = Seats::new(0, 0, Arc::new(Stats::default()), Clock::manual(0));
        let seat = || {
            seats.seat(Seating {
                session: SessionId::random(),
                wire: &Name,
                bound: Bound { bytes: 1, frames: 1 },
                heartbeat: None,
                carrier: false,
                expiry: Expiry::NEVER,
                elapsed: 0,
            })
        };
        let all: Vec<_> = (0..3).map(|_| seat()).collect();
        let keys: Vec<_> = all.iter().map(|seat| seat.place().seat).collect();
        let mut members = Members::default();
        let who = |members: &Members| {
            let mut who = Vec::new();
            members.for_each(|key, seat| {
                assert_eq!((seat.place().seat, members.get(key).map(|seat| seat.place().seat)), (key, Some(key)));
                who.push(key);
            });
            assert_eq!((members.len(), members.is_empty()), (who.len(), who.is_empty()));
            who
        };
        for count in 0..3 {
            assert_eq!(who(&members), keys[..count]);
            assert!(members.remove(keys[count]).is_none());
            for _ in 0..2 {
                members.insert(keys[count], all[count].clone());
            }
        }
        for count in (0..3).rev() {
            assert!(members.remove(keys[count]).is_some());
            assert!(members.remove(keys[count]).is_none());
            assert_eq!(who(&members), keys[..count]);
        }
    }
}
