//! Sessions counted by user, pure: who is online, and who was when.

use std::collections::VecDeque;

use ahash::AHashMap;

use crate::ids::UserId;

/// Users who went offline and whose last sight is remembered; the longest gone are forgotten first.
pub const REMEMBERED_MAX: usize = 10_000;

/// A user's first session began or the last one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The first began.
    Online,
    /// The last ended.
    Offline,
}

/// Sessions counted by user.
#[derive(Debug, Default)]
pub struct Roll {
    online: AHashMap<UserId, u32>,
    /// Users who are offline: when each was last seen, and the number of that going.
    gone: AHashMap<UserId, (i64, u64)>,
    /// Goings in their order; one counts only while `gone` has its number.
    order: VecDeque<(UserId, u64)>,
    goings: u64,
}

impl Roll {
    /// Counts a session that began.
    pub fn arrive(&mut self, user: UserId) -> Option<Edge> {
        self.gone.remove(&user);
        let sessions = self.online.entry(user).or_insert(0);
        *sessions += 1;
        (*sessions == 1).then_some(Edge::Online)
    }

    /// Counts a session that ended at `now`.
    pub fn depart(&mut self, user: UserId, now: i64) -> Option<Edge> {
        let sessions = self.online.get_mut(&user)?;
        *sessions -= 1;
        if *sessions > 0 {
            return None;
        }
        self.online.remove(&user);
        self.goings += 1;
        self.gone.insert(user.clone(), (now, self.goings));
        self.order.push_back((user, self.goings));
        while self.gone.len() > REMEMBERED_MAX {
            let Some((user, number)) = self.order.pop_front() else { break };
            if self.gone.get(&user).is_some_and(|&(_, last)| last == number) {
                self.gone.remove(&user);
            }
        }
        // One who comes and goes leaves places in the order that mean nothing any more.
        if self.order.len() > 2 * REMEMBERED_MAX {
            let gone = &self.gone;
            self.order.retain(|(user, number)| gone.get(user).is_some_and(|&(_, last)| last == *number));
        }
        Some(Edge::Offline)
    }

    /// When the user was last seen: `now` while online.
    pub fn last_seen(&self, user: &UserId, now: i64) -> Option<i64> {
        if self.online.contains_key(user) { Some(now) } else { self.gone.get(user).map(|&(at, _)| at) }
    }

    /// Users online.
    pub fn users(&self) -> usize {
        self.online.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id, "user").unwrap()
    }

    #[test]
    fn a_user_is_online_from_the_first_session_to_the_end_of_the_last() {
        let mut roll = Roll::default();
        assert_eq!(roll.arrive(user("a")), Some(Edge::Online));
        assert_eq!(roll.arrive(user("a")), None);
        assert_eq!(roll.depart(user("a"), 5), None);
        assert_eq!(roll.last_seen(&user("a"), 6), Some(6));
        assert_eq!(roll.depart(user("a"), 7), Some(Edge::Offline));
        assert_eq!(roll.last_seen(&user("a"), 9), Some(7));
        assert_eq!(roll.users(), 0);
        assert_eq!(roll.depart(user("a"), 9), None);
    }

    #[test]
    fn the_longest_gone_are_forgotten_first() {
        let mut roll = Roll::default();
        for number in 0..=REMEMBERED_MAX {
            let user = user(&number.to_string());
            roll.arrive(user.clone());
            roll.depart(user, 1);
        }
        assert_eq!(roll.last_seen(&user("0"), 9), None);
        assert_eq!(roll.last_seen(&user("1"), 9), Some(1));
    }

    #[test]
    fn one_who_comes_and_goes_pushes_nobody_out() {
        let mut roll = Roll::default();
        for who in std::iter::once("quiet").chain(std::iter::repeat_n("busy", 3 * REMEMBERED_MAX)) {
            roll.arrive(user(who));
            roll.depart(user(who), 1);
        }
        assert_eq!(roll.last_seen(&user("quiet"), 9), Some(1));
        assert!(roll.order.len() <= 2 * REMEMBERED_MAX);
    }
}
