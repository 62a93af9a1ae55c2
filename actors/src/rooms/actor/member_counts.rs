//! Counts the sessions of one room by user and by worker. Pure. Every user has a room, usually with one session: such a
//! room needs no table.

use ahash::AHashMap;

use crate::model::ids::UserId;
use crate::rooms::replies::PageRange;

/// The users in a room, with the number of sessions of each.
#[derive(Debug, Default)]
pub(super) enum UserCounts {
    #[default]
    None,
    One(UserId, u32),
    Many(Box<AHashMap<UserId, u32>>),
}

impl UserCounts {
    /// Adds a session of `user`; whether it is the user's first.
    pub(super) fn enter(&mut self, user: &UserId) -> bool {
        if let Some(sessions) = self.sessions_mut(user) {
            *sessions += 1;
            return false;
        }
        match std::mem::take(self) {
            Self::None => *self = Self::One(user.clone(), 1),
            Self::One(other, sessions) => {
                *self = Self::Many(Box::new(AHashMap::from_iter([(other, sessions), (user.clone(), 1)])));
            }
            Self::Many(mut table) => {
                table.insert(user.clone(), 1);
                *self = Self::Many(table);
            }
        }
        true
    }

    /// Removes a session of `user`; whether it was the user's last. `None` when the user had none.
    pub(super) fn exit(&mut self, user: &UserId) -> Option<bool> {
        let sessions = self.sessions_mut(user)?;
        *sessions -= 1;
        let was_last = *sessions == 0;
        if was_last {
            match self {
                Self::Many(table) => drop(table.remove(user)),
                Self::None | Self::One(..) => *self = Self::None,
            }
        }
        Some(was_last)
    }

    fn sessions_mut(&mut self, user: &UserId) -> Option<&mut u32> {
        match self {
            Self::None => None,
            Self::One(one, sessions) => (one == user).then_some(sessions),
            Self::Many(table) => table.get_mut(user),
        }
    }

    /// The number of sessions of the user.
    pub(super) fn sessions(&self, user: &UserId) -> u32 {
        match self {
            Self::None => 0,
            Self::One(one, sessions) => {
                if one == user {
                    *sessions
                } else {
                    0
                }
            }
            Self::Many(table) => table.get(user).copied().unwrap_or(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(..) => 1,
            Self::Many(table) => table.len(),
        }
    }

    /// A page of the users, with the number of sessions of each. The order is arbitrary, and stable until a user joins
    /// or leaves.
    pub(super) fn page(&self, PageRange { offset, limit }: PageRange) -> impl Iterator<Item = (&UserId, u32)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(user, sessions) => (Some((user, *sessions)), None),
            Self::Many(table) => (None, Some(table.iter().map(|(user, &sessions)| (user, sessions)))),
        };
        one.into_iter().chain(many.into_iter().flatten()).skip(offset).take(limit)
    }
}

/// The number of slots on each worker.
#[derive(Debug)]
pub(super) enum WorkerCounts {
    /// The only worker with slots, and their number.
    One(u32, u32),
    Many(Box<[u32]>),
}

impl Default for WorkerCounts {
    fn default() -> Self {
        Self::One(0, 0)
    }
}

impl WorkerCounts {
    pub(super) fn add(&mut self, worker: usize) {
        match self {
            Self::One(on, slots) if *on as usize == worker => *slots += 1,
            // The number of workers fits.
            Self::One(on, slots @ 0) => (*on, *slots) = (u32::try_from(worker).unwrap_or(u32::MAX), 1),
            &mut Self::One(on, slots) => {
                let on = on as usize;
                let mut many = vec![0; on.max(worker) + 1];
                (many[on], many[worker]) = (slots, 1);
                *self = Self::Many(many.into_boxed_slice());
            }
            Self::Many(many) => {
                if many.len() <= worker {
                    let mut more = std::mem::take(many).into_vec();
                    more.resize(worker + 1, 0);
                    *many = more.into_boxed_slice();
                }
                many[worker] += 1;
            }
        }
    }

    pub(super) fn remove(&mut self, worker: usize) {
        let slots = match self {
            Self::One(on, slots) if *on as usize == worker => slots,
            Self::One(..) => return,
            Self::Many(many) => match many.get_mut(worker) {
                Some(slots) => slots,
                None => return,
            },
        };
        *slots = slots.saturating_sub(1);
    }

    /// The workers with slots.
    pub(super) fn workers(&self) -> impl Iterator<Item = usize> {
        let (one, many) = match self {
            Self::One(worker, slots) => ((*slots > 0).then_some(*worker as usize), &[][..]),
            Self::Many(many) => (None, &many[..]),
        };
        let workers = many.iter().enumerate().filter(|&(_, &slots)| slots > 0).map(|(worker, _)| worker);
        one.into_iter().chain(workers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(users: &UserCounts) -> Vec<(&UserId, u32)> {
        users.page(PageRange { offset: 0, limit: 9 }).collect()
    }

    #[test]
    fn a_user_is_counted_from_the_first_session_to_the_last() {
        let user = |id: &str| UserId::parse(id, "user").unwrap();
        let (a, b) = (user("a"), user("b"));
        let mut users = UserCounts::default();
        assert_eq!((users.exit(&a), users.len()), (None, 0));
        assert_eq!([users.enter(&a), users.enter(&a)], [true, false]);
        assert_eq!((users.exit(&b), all(&users)), (None, vec![(&a, 2)]));
        assert_eq!([users.enter(&b), users.enter(&b), users.enter(&a)], [true, false, false]);
        assert_eq!((users.sessions(&a), users.sessions(&b), users.len()), (3, 2, 2));
        assert_eq!([&a, &a, &a, &a].map(|user| users.exit(user)), [Some(false), Some(false), Some(true), None]);
        assert_eq!(all(&users), [(&b, 2)]);
        assert_eq!([users.exit(&b), users.exit(&b)], [Some(false), Some(true)]);
        assert_eq!((users.len(), users.sessions(&b)), (0, 0));

        for id in ["x", "y", "z"] {
            users.enter(&user(id));
        }
        let mut paged: Vec<_> = (0..4).flat_map(|offset| users.page(PageRange { offset, limit: 1 })).collect();
        paged.sort();
        assert_eq!(paged, [(&user("x"), 1), (&user("y"), 1), (&user("z"), 1)], "each is on one page");

        let mut one = UserCounts::default();
        one.enter(&a);
        assert_eq!((one.exit(&a), one.len(), one.enter(&b)), (Some(true), 0, true));
    }

    #[test]
    fn a_worker_is_listed_while_it_has_slots() {
        let mut counts = WorkerCounts::default();
        let workers = |counts: &WorkerCounts| counts.workers().collect::<Vec<_>>();
        assert!(workers(&counts).is_empty());
        counts.remove(3);
        counts.add(3);
        counts.add(3);
        counts.remove(3);
        counts.remove(0);
        assert_eq!(workers(&counts), [3]);
        counts.add(1);
        counts.add(5);
        counts.add(1);
        assert_eq!(workers(&counts), [1, 3, 5]);
        for worker in [1, 3, 3, 9] {
            counts.remove(worker);
        }
        assert_eq!(workers(&counts), [1, 5]);

        let mut moved = WorkerCounts::default();
        moved.add(0);
        moved.remove(0);
        moved.add(2);
        assert_eq!(workers(&moved), [2]);
    }
}
