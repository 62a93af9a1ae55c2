//! Who is in one room, and on which workers, pure. A user's own room has one session as a rule, and there is such a room for
//! every user: it costs no table.

use ahash::AHashMap;

use crate::model::ids::UserId;
use crate::rooms::Page;

/// The users in a room, and how many sessions each has.
#[derive(Debug, Default)]
pub(super) enum UserCounts {
    #[default]
    None,
    One(UserId, u32),
    Many(Box<AHashMap<UserId, u32>>),
}

impl UserCounts {
    /// A session of `user` comes; whether it is the user's first.
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

    /// A session of `user` goes; whether it was the user's last. `None` where there was none.
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

    /// How many sessions the user has.
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

    /// A page of the users, and how many sessions each has. In no order, and the same until a user comes or goes.
    pub(super) fn page(&self, Page { offset, limit }: Page) -> impl Iterator<Item = (&UserId, u32)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(user, sessions) => (Some((user, *sessions)), None),
            Self::Many(table) => (None, Some(table.iter().map(|(user, &sessions)| (user, sessions)))),
        };
        one.into_iter().chain(many.into_iter().flatten()).skip(offset).take(limit)
    }
}

/// How many seats there are on each worker.
#[derive(Debug)]
pub(super) enum WorkerCounts {
    /// On this worker so many, on the others none.
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
            Self::One(on, session_table) if *on as usize == worker => *session_table += 1,
            // There are at most as many workers as threads.
            Self::One(on, session_table @ 0) => (*on, *session_table) = (u32::try_from(worker).unwrap_or(u32::MAX), 1),
            &mut Self::One(on, session_table) => {
                let on = on as usize;
                let mut many = vec![0; on.max(worker) + 1];
                (many[on], many[worker]) = (session_table, 1);
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
        let session_table = match self {
            Self::One(on, session_table) if *on as usize == worker => session_table,
            Self::One(..) => return,
            Self::Many(many) => match many.get_mut(worker) {
                Some(session_table) => session_table,
                None => return,
            },
        };
        *session_table = session_table.saturating_sub(1);
    }

    /// The workers that have seats.
    pub(super) fn inhabited(&self) -> impl Iterator<Item = usize> {
        let (one, many) = match self {
            Self::One(worker, session_table) => ((*session_table > 0).then_some(*worker as usize), &[][..]),
            Self::Many(many) => (None, &many[..]),
        };
        let inhabited =
            many.iter().enumerate().filter(|&(_, &session_table)| session_table > 0).map(|(worker, _)| worker);
        one.into_iter().chain(inhabited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(users: &UserCounts) -> Vec<(&UserId, u32)> {
        users.page(Page { offset: 0, limit: 9 }).collect()
    }

    #[test]
    fn users_come_with_their_first_session_and_go_with_their_last() {
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
        let mut paged: Vec<_> = (0..4).flat_map(|offset| users.page(Page { offset, limit: 1 })).collect();
        paged.sort();
        assert_eq!(paged, [(&user("x"), 1), (&user("y"), 1), (&user("z"), 1)], "each is on one page");

        let mut one = UserCounts::default();
        one.enter(&a);
        assert_eq!((one.exit(&a), one.len(), one.enter(&b)), (Some(true), 0, true));
    }

    #[test]
    fn workers_are_inhabited_while_they_have_seats() {
        let mut spread = WorkerCounts::default();
        let inhabited = |spread: &WorkerCounts| spread.inhabited().collect::<Vec<_>>();
        assert!(inhabited(&spread).is_empty());
        spread.remove(3);
        spread.add(3);
        spread.add(3);
        spread.remove(3);
        spread.remove(0);
        assert_eq!(inhabited(&spread), [3]);
        spread.add(1);
        spread.add(5);
        spread.add(1);
        assert_eq!(inhabited(&spread), [1, 3, 5]);
        for worker in [1, 3, 3, 9] {
            spread.remove(worker);
        }
        assert_eq!(inhabited(&spread), [1, 5]);

        let mut moved = WorkerCounts::default();
        moved.add(0);
        moved.remove(0);
        moved.add(2);
        assert_eq!(inhabited(&moved), [2]);
    }
}
