//! All online users in the order of their connection, their number by status, and a list of the users that are online
//! longest. Pure. The list is encoded once for many readers, so no reader visits all users.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::events::chat::presence::{LONGEST_ONLINE_MAX, SerializedUser};
use crate::model::availability::Availability;
use crate::model::ids::UserId;

/// How long a cached list is valid, ms: it contains the time of its creation as `lastSeen`.
const FRESH_MS: i64 = 1_000;

/// The sort key of a user: the time when the oldest session connected, and the id.
pub(super) type SortKey = (i64, UserId);

/// The number of users by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusCounts {
    /// Online.
    pub online: usize,
    /// Away.
    pub away: usize,
    /// Busy.
    pub busy: usize,
}

impl StatusCounts {
    /// All users.
    pub fn users(&self) -> usize {
        self.online + self.away + self.busy
    }
}

/// The cached list of the users that are online longest.
#[derive(Debug)]
struct CachedList {
    number: u64,
    /// The key of the last user on the list; `None` when all users are on it.
    last: Option<SortKey>,
    /// The time in ms since the epoch, and the users; `None` while the list is encoded.
    encoded: Option<(i64, Arc<[SerializedUser]>)>,
}

/// A list that the caller encodes.
pub(super) struct ListRequest {
    number: u64,
    /// The users of the list.
    pub(super) users: Vec<UserId>,
}

#[derive(Debug, Default)]
pub(super) struct OnlineList {
    order: BTreeSet<SortKey>,
    away: usize,
    busy: usize,
    cached: Option<CachedList>,
    lists: u64,
}

impl OnlineList {
    /// Moves a user after a change of its oldest session.
    pub(super) fn move_user(&mut self, user: &UserId, from: Option<i64>, to: Option<i64>) {
        if from == to {
            return;
        }
        if let Some(from) = from {
            let key = (from, user.clone());
            self.invalidate(&key);
            self.order.remove(&key);
        }
        if let Some(to) = to {
            let key = (to, user.clone());
            self.invalidate(&key);
            self.order.insert(key);
        }
    }

    /// Counts a change of the status. Offline users are not counted.
    pub(super) fn change_status(&mut self, before: Availability, now: Availability) {
        if let Some(count) = self.count_of(before) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.count_of(now) {
            *count += 1;
        }
    }

    fn count_of(&mut self, availability: Availability) -> Option<&mut usize> {
        match availability {
            Availability::Away => Some(&mut self.away),
            Availability::Busy => Some(&mut self.busy),
            Availability::Online | Availability::Offline => None,
        }
    }

    pub(super) fn status_counts(&self) -> StatusCounts {
        let Self { order, away, busy, .. } = self;
        StatusCounts { online: order.len().saturating_sub(away + busy), away: *away, busy: *busy }
    }

    /// The first `most` users.
    pub(super) fn first(&self, most: usize) -> Vec<UserId> {
        self.order.iter().take(most).map(|(_, user)| user.clone()).collect()
    }

    /// Drops the cached list when it contains the user with this key.
    pub(super) fn invalidate(&mut self, key: &SortKey) {
        if self.cached.as_ref().is_some_and(|list| list.last.as_ref().is_none_or(|last| key <= last)) {
            self.cached = None;
        }
    }

    /// The cached list, if it is valid at `now`; otherwise the users of a new one.
    pub(super) fn cached_or_request(&mut self, now: i64) -> Result<Arc<[SerializedUser]>, ListRequest> {
        if let Some(CachedList { encoded: Some((at, users)), .. }) = &self.cached
            && (0..FRESH_MS).contains(&(now - at))
        {
            return Ok(users.clone());
        }
        self.lists += 1;
        let last = self.order.iter().nth(LONGEST_ONLINE_MAX - 1).cloned();
        self.cached = Some(CachedList { number: self.lists, last, encoded: None });
        Err(ListRequest { number: self.lists, users: self.first(LONGEST_ONLINE_MAX) })
    }

    /// Caches an encoded list, unless its contents changed meanwhile.
    pub(super) fn cache(&mut self, request: &ListRequest, users: &Arc<[SerializedUser]>, now: i64) {
        if let Some(list) = self.cached.as_mut().filter(|list| list.number == request.number) {
            list.encoded = Some((now, users.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name, "user").unwrap()
    }

    /// A list of so many users; the first one connected at 0.
    fn online_list(users: i64) -> OnlineList {
        let mut list = OnlineList::default();
        for number in 0..users {
            list.move_user(&user(&number.to_string()), None, Some(number));
        }
        list
    }

    /// Encodes the list unless it is cached; whether it was encoded.
    fn write(list: &mut OnlineList, now: i64) -> bool {
        match list.cached_or_request(now) {
            Ok(_) => false,
            Err(request) => {
                list.cache(&request, &Arc::default(), now);
                true
            }
        }
    }

    #[test]
    fn a_list_is_cached_until_it_expires_or_a_user_on_it_changes() {
        let mut list = online_list(200);
        assert!(write(&mut list, 5));
        assert!(!write(&mut list, 5 + FRESH_MS - 1));
        assert!(write(&mut list, 5 + FRESH_MS));
        list.move_user(&user("new"), None, Some(300));
        list.move_user(&user("150"), Some(150), None);
        list.invalidate(&(100, user("100")));
        assert!(!write(&mut list, 1_005), "these users are not on the list");
        list.invalidate(&(99, user("99")));
        assert!(write(&mut list, 1_005));
        list.move_user(&user("0"), Some(0), Some(301));
        assert!(write(&mut list, 1_005));
        assert!(write(&mut list, 0), "the clock was set back");
    }

    #[test]
    fn a_list_of_all_users_changes_with_each_user() {
        let mut list = online_list(99);
        assert!(write(&mut list, 0));
        list.move_user(&user("new"), None, Some(300));
        assert!(write(&mut list, 0));
        list.move_user(&user("last"), None, Some(301));
        assert!(!write(&mut list, 0), "the list was full");
    }

    #[test]
    fn a_list_that_changed_during_encoding_is_not_cached() {
        let mut list = online_list(3);
        let Err(request) = list.cached_or_request(0) else { panic!("no list is cached") };
        assert_eq!(request.users, [user("0"), user("1"), user("2")]);
        list.move_user(&user("1"), Some(1), None);
        list.cache(&request, &Arc::default(), 0);
        let Err(newer) = list.cached_or_request(0) else { panic!("the list is outdated") };
        list.cache(&request, &Arc::default(), 0);
        assert!(list.cached_or_request(0).is_err(), "the older list is not cached");
        assert_eq!(newer.users, [user("0"), user("2")]);
    }
}
