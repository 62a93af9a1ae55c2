//! What is known of all users who are online together, pure: their order, how many say what of themselves, and a list of
//! those who have been there for longest, written once for many readers. So nobody has to look at all users.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::events::chat::presence::{ELDEST_MAX, Written};
use crate::model::availability::Availability;
use crate::model::ids::UserId;

/// How long a list serves, ms: it says of everybody on it that they were seen just now.
const FRESH_MS: i64 = 1_000;

/// A user's place: when the oldest session connected, and who it is.
pub(super) type Since = (i64, UserId);

/// How many users say what of themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Online.
    pub online: usize,
    /// Away.
    pub away: usize,
    /// Busy.
    pub busy: usize,
}

impl Tally {
    /// All of them.
    pub fn users(&self) -> usize {
        self.online + self.away + self.busy
    }
}

/// The list of those who have been there for longest.
#[derive(Debug)]
struct Eldest {
    number: u64,
    /// The last user's place; `None` where everybody is on the list.
    last: Option<Since>,
    /// Ms since the epoch, and the users; `None` while they are being written.
    written: Option<(i64, Arc<[Written]>)>,
}

/// A list that is to be written.
pub(super) struct Wanted {
    number: u64,
    /// Who is to be on it.
    pub(super) users: Vec<UserId>,
}

#[derive(Debug, Default)]
pub(super) struct Overview {
    order: BTreeSet<Since>,
    away: usize,
    busy: usize,
    eldest: Option<Eldest>,
    lists: u64,
}

impl Overview {
    /// A user's place changed.
    pub(super) fn moves(&mut self, user: &UserId, from: Option<i64>, to: Option<i64>) {
        if from == to {
            return;
        }
        if let Some(from) = from {
            let place = (from, user.clone());
            self.touch(&place);
            self.order.remove(&place);
        }
        if let Some(to) = to {
            let place = (to, user.clone());
            self.touch(&place);
            self.order.insert(place);
        }
    }

    /// A user says something else than before; offline is what nobody says.
    pub(super) fn says(&mut self, before: Availability, now: Availability) {
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

    pub(super) fn tally(&self) -> Tally {
        let Self { order, away, busy, .. } = self;
        Tally { online: order.len().saturating_sub(away + busy), away: *away, busy: *busy }
    }

    /// The first `most` users by their places.
    pub(super) fn first(&self, most: usize) -> Vec<UserId> {
        self.order.iter().take(most).map(|(_, user)| user.clone()).collect()
    }

    /// What a list says of the user at `place` does not hold any more.
    pub(super) fn touch(&mut self, place: &Since) {
        if self.eldest.as_ref().is_some_and(|eldest| eldest.last.as_ref().is_none_or(|last| place <= last)) {
            self.eldest = None;
        }
    }

    /// The list, where there is one that serves at `now`; else what it is to be made of.
    pub(super) fn eldest(&mut self, now: i64) -> Result<Arc<[Written]>, Wanted> {
        if let Some(Eldest { written: Some((at, users)), .. }) = &self.eldest
            && (0..FRESH_MS).contains(&(now - at))
        {
            return Ok(users.clone());
        }
        self.lists += 1;
        let last = self.order.iter().nth(ELDEST_MAX - 1).cloned();
        self.eldest = Some(Eldest { number: self.lists, last, written: None });
        Err(Wanted { number: self.lists, users: self.first(ELDEST_MAX) })
    }

    /// Keeps the list that was `wanted` for others, unless something that it says changed meanwhile.
    pub(super) fn keep(&mut self, wanted: &Wanted, users: &Arc<[Written]>, now: i64) {
        if let Some(eldest) = self.eldest.as_mut().filter(|eldest| eldest.number == wanted.number) {
            eldest.written = Some((now, users.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name, "user").unwrap()
    }

    /// So many users, the first of whom came at 0.
    fn crowd(users: i64) -> Overview {
        let mut overview = Overview::default();
        for number in 0..users {
            overview.moves(&user(&number.to_string()), None, Some(number));
        }
        overview
    }

    /// Has a list written, and says whether it was.
    fn write(overview: &mut Overview, now: i64) -> bool {
        match overview.eldest(now) {
            Ok(_) => false,
            Err(wanted) => {
                overview.keep(&wanted, &Arc::default(), now);
                true
            }
        }
    }

    #[test]
    fn a_list_serves_until_it_is_stale_or_something_that_it_says_changes() {
        let mut overview = crowd(200);
        assert!(write(&mut overview, 5));
        assert!(!write(&mut overview, 5 + FRESH_MS - 1));
        assert!(write(&mut overview, 5 + FRESH_MS));
        overview.moves(&user("new"), None, Some(300));
        overview.moves(&user("150"), Some(150), None);
        overview.touch(&(100, user("100")));
        assert!(!write(&mut overview, 1_005), "none of them is among the first");
        overview.touch(&(99, user("99")));
        assert!(write(&mut overview, 1_005));
        overview.moves(&user("0"), Some(0), Some(301));
        assert!(write(&mut overview, 1_005));
        assert!(write(&mut overview, 0), "the clock was set back");
    }

    #[test]
    fn a_list_of_all_changes_with_everyone() {
        let mut overview = crowd(99);
        assert!(write(&mut overview, 0));
        overview.moves(&user("new"), None, Some(300));
        assert!(write(&mut overview, 0));
        overview.moves(&user("last"), None, Some(301));
        assert!(!write(&mut overview, 0), "the list was full");
    }

    #[test]
    fn a_list_is_not_kept_when_something_changed_while_it_was_written() {
        let mut overview = crowd(3);
        let Err(wanted) = overview.eldest(0) else { panic!("nobody wrote it") };
        assert_eq!(wanted.users, [user("0"), user("1"), user("2")]);
        overview.moves(&user("1"), Some(1), None);
        overview.keep(&wanted, &Arc::default(), 0);
        let Err(newer) = overview.eldest(0) else { panic!("it does not hold") };
        overview.keep(&wanted, &Arc::default(), 0);
        assert!(overview.eldest(0).is_err(), "it was the older one");
        assert_eq!(newer.users, [user("0"), user("2")]);
    }
}
