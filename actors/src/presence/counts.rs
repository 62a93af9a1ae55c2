//! Sessions counted by user, pure: who is online, and who was when, by which name.

use std::collections::VecDeque;

use ahash::AHashMap;

use crate::model::identity::Identity;
use crate::model::ids::UserId;

/// Users who went offline and whose last sight is remembered; the longest gone are forgotten first.
pub const REMEMBERED_MAX: usize = 10_000;

/// Longest name or address that is remembered, in bytes.
pub const REMEMBERED_TEXT_MAX: usize = 320;

/// A user's first session began or the last one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The first began.
    Online,
    /// The last ended.
    Offline,
}

/// A user who is offline, as remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// When the user was last seen, ms since the epoch.
    pub at: i64,
    /// The user's name then; the id where it is too long.
    pub username: Box<str>,
    /// The user's address then, unless it is too long.
    pub email: Option<Box<str>>,
    /// The number of that going.
    number: u64,
}

/// Sessions counted by user.
#[derive(Debug, Default)]
pub struct OnlineCounts {
    online: AHashMap<UserId, u32>,
    /// Users who are offline.
    gone: AHashMap<UserId, Gone>,
    /// Goings in their order; one counts only while `gone` has its number.
    order: VecDeque<(UserId, u64)>,
    goings: u64,
}

impl OnlineCounts {
    /// Counts a session that began.
    pub fn arrive(&mut self, user: UserId) -> Option<Edge> {
        self.gone.remove(&user);
        let sessions = self.online.entry(user).or_insert(0);
        *sessions += 1;
        (*sessions == 1).then_some(Edge::Online)
    }

    /// Counts a session that ended at `now`; it went by this identity.
    pub fn depart(&mut self, identity: &Identity, now: i64) -> Option<Edge> {
        let user = &identity.user;
        let sessions = self.online.get_mut(user)?;
        *sessions -= 1;
        if *sessions > 0 {
            return None;
        }
        self.online.remove(user);
        self.goings += 1;
        let short = |text: &&str| text.len() <= REMEMBERED_TEXT_MAX;
        let username = Some(identity.username()).filter(short).unwrap_or(user.as_str()).into();
        let email = identity.email.as_deref().filter(short).map(Box::from);
        self.gone.insert(user.clone(), Gone { at: now, username, email, number: self.goings });
        self.order.push_back((user.clone(), self.goings));
        while self.gone.len() > REMEMBERED_MAX {
            let Some((user, number)) = self.order.pop_front() else { break };
            if self.gone.get(&user).is_some_and(|gone| gone.number == number) {
                self.gone.remove(&user);
            }
        }
        // One who comes and goes leaves places in the order that mean nothing any more.
        if self.order.len() > 2 * REMEMBERED_MAX {
            let gone = &self.gone;
            self.order.retain(|(user, number)| gone.get(user).is_some_and(|gone| gone.number == *number));
        }
        Some(Edge::Offline)
    }

    /// When the user was last seen: `now` while online.
    pub fn last_seen(&self, user: &UserId, now: i64) -> Option<i64> {
        if self.online.contains_key(user) { Some(now) } else { self.gone.get(user).map(|gone| gone.at) }
    }

    /// A user who went, while that is remembered.
    pub fn recall(&self, user: &UserId) -> Option<&Gone> {
        self.gone.get(user)
    }

    /// Users who went and are remembered.
    pub fn gone(&self) -> usize {
        self.gone.len()
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

    fn of(id: &str) -> Identity {
        Identity::of(user(id))
    }

    #[test]
    fn a_user_is_online_from_the_first_session_to_the_end_of_the_last() {
        let mut roll = OnlineCounts::default();
        assert_eq!(roll.arrive(user("a")), Some(Edge::Online));
        assert_eq!(roll.arrive(user("a")), None);
        assert_eq!(roll.depart(&of("a"), 5), None);
        assert_eq!(roll.last_seen(&user("a"), 6), Some(6));
        assert_eq!(roll.depart(&of("a"), 7), Some(Edge::Offline));
        assert_eq!(roll.last_seen(&user("a"), 9), Some(7));
        assert_eq!(roll.users(), 0);
        assert_eq!(roll.depart(&of("a"), 9), None);
    }

    #[test]
    fn the_longest_gone_are_forgotten_first() {
        let mut roll = OnlineCounts::default();
        for number in 0..=REMEMBERED_MAX {
            let identity = of(&number.to_string());
            roll.arrive(identity.user.clone());
            roll.depart(&identity, 1);
        }
        assert_eq!(roll.last_seen(&user("0"), 9), None);
        assert_eq!(roll.last_seen(&user("1"), 9), Some(1));
    }

    #[test]
    fn one_who_comes_and_goes_pushes_nobody_out() {
        let mut roll = OnlineCounts::default();
        for who in std::iter::once("quiet").chain(std::iter::repeat_n("busy", 3 * REMEMBERED_MAX)) {
            roll.arrive(user(who));
            roll.depart(&of(who), 1);
        }
        assert_eq!(roll.last_seen(&user("quiet"), 9), Some(1));
        assert!(roll.order.len() <= 2 * REMEMBERED_MAX);
    }

    #[test]
    fn who_went_is_remembered_by_name_and_address_as_far_as_these_are_short() {
        let mut roll = OnlineCounts::default();
        let mut go = |username: &str, email: &str| {
            let (username, email) = (Some(username.to_owned()), Some(email.to_owned()));
            roll.arrive(user("a"));
            assert_eq!(roll.recall(&user("a")), None);
            roll.depart(&Identity { username, email, ..of("a") }, 3);
            assert_eq!(roll.gone(), 1);
            let gone = roll.recall(&user("a")).unwrap();
            (gone.at, gone.username.to_string(), gone.email.as_deref().map(str::to_owned))
        };
        assert_eq!(go("Alice", "a@example.org"), (3, "Alice".into(), Some("a@example.org".into())));
        let long = "x".repeat(REMEMBERED_TEXT_MAX + 1);
        assert_eq!(go(&long, &long), (3, "a".into(), None));
        assert_eq!(go(&long[1..], &long[1..]), (3, long[1..].into(), Some(long[1..].into())));
    }
}
