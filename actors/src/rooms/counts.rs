//! Counts the rooms that clients created, in all and by user. The room actor and the reload share it, so both limits are
//! exact.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::RandomState;
use dashmap::DashMap;

use crate::model::fault::Fault;
use crate::model::ids::UserId;

/// The rooms that exist because a client joined them, without internal rooms.
#[derive(Debug)]
pub(crate) struct RoomCounts {
    rooms_max: AtomicUsize,
    rooms_per_user: AtomicUsize,
    rooms: AtomicUsize,
    /// Users that created existing rooms: never more than rooms.
    by_user: DashMap<UserId, usize, RandomState>,
}

impl RoomCounts {
    pub(crate) fn new(rooms_max: usize, rooms_per_user: usize) -> Self {
        let [rooms_max, rooms_per_user, rooms] = [rooms_max, rooms_per_user, 0].map(AtomicUsize::new);
        Self { rooms_max, rooms_per_user, rooms, by_user: DashMap::default() }
    }

    /// Changes the limits. Rooms beyond them stay.
    pub(crate) fn set_limits(&self, rooms_max: usize, rooms_per_user: usize) {
        self.rooms_max.store(rooms_max, Ordering::Relaxed);
        self.rooms_per_user.store(rooms_per_user, Ordering::Relaxed);
    }

    /// Counts a room that `user` creates.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::LimitReached`]: nothing was counted.
    pub(crate) fn take(self: &Arc<Self>, user: &UserId) -> Result<CountedRoom, Fault> {
        let mut of_user = self.by_user.entry(user.clone()).or_insert(0);
        let rooms_per_user = self.rooms_per_user.load(Ordering::Relaxed);
        let refused = if *of_user >= rooms_per_user {
            let message = format!("A user can create at most {rooms_per_user} rooms; leave one first");
            Some(Fault { message: message.into(), ..Fault::limit_reached("limits.rooms_per_user") })
        } else {
            let one_more = |rooms: usize| (rooms < self.rooms_max.load(Ordering::Relaxed)).then_some(rooms + 1);
            let counted = self.rooms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
            counted.err().map(|_| Fault::limit_reached("limits.rooms"))
        };
        match refused {
            None => {
                *of_user += 1;
                Ok(CountedRoom { counts: self.clone(), user: user.clone() })
            }
            Some(fault) => {
                let is_unused = *of_user == 0;
                drop(of_user);
                if is_unused {
                    self.by_user.remove_if(user, |_, rooms| *rooms == 0);
                }
                Err(fault)
            }
        }
    }

    /// Counts a restored room of `user`, also beyond the limits.
    pub(crate) fn take_restored(self: &Arc<Self>, user: UserId) -> CountedRoom {
        self.rooms.fetch_add(1, Ordering::Relaxed);
        *self.by_user.entry(user.clone()).or_insert(0) += 1;
        CountedRoom { counts: self.clone(), user }
    }

    /// Rooms that can be created.
    pub(crate) fn free(&self) -> usize {
        self.rooms_max.load(Ordering::Relaxed).saturating_sub(self.rooms.load(Ordering::Relaxed))
    }

    /// Rooms that `user` can create, as long as [`Self::free`] allows.
    pub(crate) fn free_for(&self, user: &UserId) -> usize {
        let rooms = self.by_user.get(user).map_or(0, |rooms| *rooms);
        self.rooms_per_user.load(Ordering::Relaxed).saturating_sub(rooms)
    }

    /// The number of rooms, and of users with rooms.
    #[cfg(test)]
    pub(crate) fn get(&self) -> (usize, usize) {
        (self.rooms.load(Ordering::Relaxed), self.by_user.len())
    }

    /// The most rooms of one user.
    #[cfg(test)]
    pub(crate) fn most_of_a_user(&self) -> usize {
        self.by_user.iter().map(|rooms| *rooms).max().unwrap_or(0)
    }
}

/// A counted room. Dropping it ends the count.
#[derive(Debug)]
pub(crate) struct CountedRoom {
    counts: Arc<RoomCounts>,
    user: UserId,
}

impl CountedRoom {
    /// The user that created the room.
    pub(crate) fn user(&self) -> &UserId {
        &self.user
    }
}

impl Drop for CountedRoom {
    fn drop(&mut self) {
        self.counts.rooms.fetch_sub(1, Ordering::Relaxed);
        self.counts.by_user.remove_if_mut(&self.user, |_, rooms| {
            *rooms = rooms.saturating_sub(1);
            *rooms == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id, "user").unwrap()
    }

    #[test]
    fn new_limits_apply_at_once_and_rooms_beyond_them_stay() {
        let counts = Arc::new(RoomCounts::new(2, 2));
        let rooms = [counts.take(&user("alice")).unwrap(), counts.take(&user("alice")).unwrap()];
        counts.set_limits(3, 1);
        assert_eq!(counts.take(&user("alice")).unwrap_err().limit, Some("limits.rooms_per_user"));
        let other = counts.take(&user("bob")).unwrap();
        assert_eq!(counts.take(&user("carol")).unwrap_err().limit, Some("limits.rooms"));
        drop((rooms, other));
        assert_eq!(counts.get(), (0, 0));
    }

    #[test]
    fn both_limits_are_exact_and_name_their_keys() {
        let counts = Arc::new(RoomCounts::new(3, 2));
        let (alice, bob) = (user("alice"), user("bob"));
        let limit = |user| counts.take(user).unwrap_err().limit;
        let rooms = [counts.take(&alice).unwrap(), counts.take(&alice).unwrap()];
        assert_eq!(limit(&alice), Some("limits.rooms_per_user"));
        let last = counts.take(&bob).unwrap();
        assert_eq!(limit(&bob), Some("limits.rooms"));
        assert_eq!(limit(&user("carol")), Some("limits.rooms"));
        assert_eq!(counts.get(), (3, 2), "a refusal leaves nothing behind");
        drop(rooms);
        assert!(counts.take(&bob).is_ok());
        drop(last);
        assert_eq!(counts.get(), (0, 0));
    }

    #[test]
    fn restored_rooms_count_beyond_the_limits() {
        let counts = Arc::new(RoomCounts::new(1, 1));
        let alice = user("alice");
        let restored = [counts.take_restored(alice.clone()), counts.take_restored(alice.clone())];
        assert_eq!(counts.get(), (2, 1));
        let [first, second] = restored;
        drop(first);
        assert!(counts.take(&alice).is_err());
        drop(second);
        assert!(counts.take(&alice).is_ok());
    }

    #[test]
    fn racing_threads_stay_within_the_limits_and_return_all_rooms() {
        let counts = Arc::new(RoomCounts::new(50, 20));
        let users: Vec<_> = (0..4).map(|n| user(&n.to_string())).collect();
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|n| {
                    let (counts, users) = (&counts, &users);
                    scope.spawn(move || {
                        let mut held = Vec::new();
                        for round in 0..2_000 {
                            held.extend(counts.take(&users[(n + round) % users.len()]).ok());
                            assert!(held.len() <= 50);
                            if round % 3 == 0 {
                                held.pop();
                            }
                        }
                        held
                    })
                })
                .collect();
            let held: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
            assert!(counts.get().0 == held.len() && held.len() <= 50 && counts.most_of_a_user() <= 20);
            held.len()
        });
        assert!(taken > 0);
        assert_eq!(counts.get(), (0, 0));
    }
}
