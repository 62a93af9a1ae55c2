//! Counts sessions by user, and remembers users that went offline. Pure.

use std::collections::VecDeque;

use ahash::AHashMap;

use crate::model::identity::Identity;
use crate::model::ids::UserId;

/// The most offline users that are remembered; the longest offline are forgotten first.
pub const REMEMBERED_MAX: usize = 10_000;

/// The longest name or address that is remembered, in bytes.
pub const REMEMBERED_TEXT_MAX: usize = 320;

/// A user's first session started or the last one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnlineTransition {
    /// The first one started.
    Online,
    /// The last one ended.
    Offline,
}

/// The record of an offline user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineUser {
    /// When the user was last online, ms since the epoch.
    pub at: i64,
    /// The user's name then; the id when the name is too long.
    pub username: Box<str>,
    /// The user's e-mail address then, unless it is too long.
    pub email: Option<Box<str>>,
    /// The sequence number of this change to offline.
    number: u64,
}

/// Sessions counted by user.
#[derive(Debug, Default)]
pub struct OnlineCounts {
    online: AHashMap<UserId, u32>,
    /// Offline users.
    gone: AHashMap<UserId, OfflineUser>,
    /// Users in the order in which they went offline; an entry is valid while `gone` has its number.
    order: VecDeque<(UserId, u64)>,
    departures: u64,
}

impl OnlineCounts {
    /// Counts a session that started.
    pub fn session_started(&mut self, user: UserId) -> Option<OnlineTransition> {
        self.gone.remove(&user);
        let sessions = self.online.entry(user).or_insert(0);
        *sessions += 1;
        (*sessions == 1).then_some(OnlineTransition::Online)
    }

    /// Counts a session with this identity that ended at `now`.
    pub fn session_ended(&mut self, identity: &Identity, now: i64) -> Option<OnlineTransition> {
        let user = &identity.user;
        let sessions = self.online.get_mut(user)?;
        *sessions -= 1;
        if *sessions > 0 {
            return None;
        }
        self.online.remove(user);
        self.departures += 1;
        let short = |text: &&str| text.len() <= REMEMBERED_TEXT_MAX;
        let username = Some(identity.username()).filter(short).unwrap_or(user.as_str()).into();
        let email = identity.email.as_deref().filter(short).map(Box::from);
        self.gone.insert(user.clone(), OfflineUser { at: now, username, email, number: self.departures });
        self.order.push_back((user.clone(), self.departures));
        while self.gone.len() > REMEMBERED_MAX {
            let Some((user, number)) = self.order.pop_front() else { break };
            if self.gone.get(&user).is_some_and(|gone| gone.number == number) {
                self.gone.remove(&user);
            }
        }
        // Frequent departures of one user leave invalid entries in the order.
        if self.order.len() > 2 * REMEMBERED_MAX {
            let gone = &self.gone;
            self.order.retain(|(user, number)| gone.get(user).is_some_and(|gone| gone.number == *number));
        }
        Some(OnlineTransition::Offline)
    }

    /// When the user was last online: `now` while online.
    pub fn last_seen(&self, user: &UserId, now: i64) -> Option<i64> {
        if self.online.contains_key(user) { Some(now) } else { self.gone.get(user).map(|gone| gone.at) }
    }

    /// The record of an offline user, while it is remembered.
    pub fn offline_user(&self, user: &UserId) -> Option<&OfflineUser> {
        self.gone.get(user)
    }

    /// The number of records of offline users.
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
        let mut counts = OnlineCounts::default();
        assert_eq!(counts.session_started(user("a")), Some(OnlineTransition::Online));
        assert_eq!(counts.session_started(user("a")), None);
        assert_eq!(counts.session_ended(&of("a"), 5), None);
        assert_eq!(counts.last_seen(&user("a"), 6), Some(6));
        assert_eq!(counts.session_ended(&of("a"), 7), Some(OnlineTransition::Offline));
        assert_eq!(counts.last_seen(&user("a"), 9), Some(7));
        assert_eq!(counts.users(), 0);
        assert_eq!(counts.session_ended(&of("a"), 9), None);
    }

    #[test]
    fn users_that_are_offline_longest_are_forgotten_first() {
        let mut counts = OnlineCounts::default();
        for number in 0..=REMEMBERED_MAX {
            let identity = of(&number.to_string());
            counts.session_started(identity.user.clone());
            counts.session_ended(&identity, 1);
        }
        assert_eq!(counts.last_seen(&user("0"), 9), None);
        assert_eq!(counts.last_seen(&user("1"), 9), Some(1));
    }

    #[test]
    fn frequent_departures_of_one_user_do_not_evict_others() {
        let mut counts = OnlineCounts::default();
        for id in std::iter::once("quiet").chain(std::iter::repeat_n("busy", 3 * REMEMBERED_MAX)) {
            counts.session_started(user(id));
            counts.session_ended(&of(id), 1);
        }
        assert_eq!(counts.last_seen(&user("quiet"), 9), Some(1));
        assert!(counts.order.len() <= 2 * REMEMBERED_MAX);
    }

    #[test]
    fn an_offline_user_is_remembered_with_a_short_name_and_address() {
        let mut counts = OnlineCounts::default();
        let mut go = |username: &str, email: &str| {
            let (username, email) = (Some(username.into()), Some(email.into()));
            counts.session_started(user("a"));
            assert_eq!(counts.offline_user(&user("a")), None);
            counts.session_ended(&Identity { username, email, ..of("a") }, 3);
            assert_eq!(counts.gone(), 1);
            let gone = counts.offline_user(&user("a")).unwrap();
            (gone.at, gone.username.to_string(), gone.email.as_deref().map(str::to_owned))
        };
        assert_eq!(go("Alice", "a@example.org"), (3, "Alice".into(), Some("a@example.org".into())));
        let long = "x".repeat(REMEMBERED_TEXT_MAX + 1);
        assert_eq!(go(&long, &long), (3, "a".into(), None));
        assert_eq!(go(&long[1..], &long[1..]), (3, long[1..].into(), Some(long[1..].into())));
    }
}
