//! What is to be told of who comes and goes, pure: the newest state of each user that others do not know yet.
//!
//! That a user came is due at once, that one went after a while in which the user may come back; both wait for longer
//! when there is much to tell. A change that is taken back before it was told is not told at all, nor is the change back.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::AHashMap;

use super::{Audience, Settings};
use crate::identity::Identity;
use crate::ids::{RoomName, UserId};

/// Users of whom there is something to tell, at most.
pub const WAITING_MAX: usize = 20_000;

/// How long over its time something may wait to be told, ms; then it is not told.
pub const PATIENCE_MS: i64 = 30_000;

/// Rooms of one user whose members are told.
pub const ROOMS_MAX: usize = 1_000;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The user came; the first session goes by this identity.
    Online(Arc<Identity>),
    /// The user went.
    Offline,
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whom it is about.
    pub user: UserId,
    /// What happened.
    pub change: Change,
    /// When, ms since the epoch.
    pub at: i64,
    /// The rooms whose members are told; none where all are.
    pub rooms: Vec<RoomName>,
    /// The rooms whose members know.
    pub known_in: Vec<RoomName>,
}

/// When a notice is due, ms, and which one it is of those.
type Due = (i64, u64);

/// What others do not know yet.
#[derive(Debug)]
pub struct Bulletin {
    audience: Audience,
    linger_ms: i64,
    waiting: AHashMap<UserId, (Due, Notice)>,
    order: BTreeMap<Due, UserId>,
    number: u64,
    /// With [`Audience::SharedRooms`]: the rooms whose members are or will be told that a user came, and how many
    /// sessions of the user entered each. They are kept when a session ends, for their members are told that the user
    /// went.
    shared: AHashMap<UserId, AHashMap<RoomName, u32>>,
    /// Changes that were taken back.
    pub coalesced: u64,
    /// Notices that were given up.
    pub suppressed: u64,
}

impl Bulletin {
    /// Nothing to tell.
    pub fn new(settings: &Settings) -> Self {
        Self {
            audience: settings.audience,
            linger_ms: settings.linger_ms,
            waiting: AHashMap::new(),
            order: BTreeMap::new(),
            number: 0,
            shared: AHashMap::new(),
            coalesced: 0,
            suppressed: 0,
        }
    }

    /// Who is told.
    pub fn audience(&self) -> Audience {
        self.audience
    }

    /// A user's first session began at `now`, ms since the epoch.
    pub fn came(&mut self, identity: &Arc<Identity>, now: i64, elapsed: i64) {
        if self.take_back(&identity.user).is_none() && self.audience == Audience::All {
            self.put(elapsed, notice(identity.user.clone(), Change::Online(identity.clone()), now));
        }
    }

    /// A user's last session ended at `now`, ms since the epoch.
    pub fn went(&mut self, user: &UserId, now: i64, elapsed: i64) {
        let taken_back = self.take_back(user);
        let rooms: Vec<_> = match self.audience {
            Audience::Off => return,
            Audience::All if taken_back.is_some() => return,
            Audience::All => Vec::new(),
            Audience::SharedRooms => {
                let Some(shared) = self.shared.get_mut(user) else { return };
                for room in taken_back.into_iter().flat_map(|notice| notice.rooms) {
                    shared.remove(&room);
                }
                if shared.is_empty() {
                    self.shared.remove(user);
                    return;
                }
                shared.keys().cloned().collect()
            }
        };
        self.put(elapsed + self.linger_ms, Notice { rooms, ..notice(user.clone(), Change::Offline, now) });
    }

    /// A session of a user entered a room at `now`, ms since the epoch.
    pub fn entered(&mut self, identity: &Arc<Identity>, room: RoomName, now: i64, elapsed: i64) {
        if self.audience != Audience::SharedRooms {
            return;
        }
        let shared = self.shared.entry(identity.user.clone()).or_default();
        if let Some(sessions) = shared.get_mut(&room) {
            *sessions += 1;
            return;
        }
        if shared.len() >= ROOMS_MAX {
            self.suppressed += 1;
            return;
        }
        let known_in: Vec<_> = shared.keys().cloned().collect();
        shared.insert(room.clone(), 1);
        match self.waiting.get_mut(&identity.user) {
            Some((_, notice)) => notice.rooms.push(room),
            None => {
                let came = notice(identity.user.clone(), Change::Online(identity.clone()), now);
                self.put(elapsed, Notice { rooms: vec![room], known_in, ..came });
            }
        }
    }

    /// A session of a user left a room, and goes on.
    pub fn left(&mut self, user: &UserId, room: &RoomName) {
        let Some(shared) = self.shared.get_mut(user) else { return };
        let Some(sessions) = shared.get_mut(room) else { return };
        *sessions -= 1;
        if *sessions > 0 {
            return;
        }
        shared.remove(room);
        if shared.is_empty() {
            self.shared.remove(user);
        }
        if let Some((_, notice)) = self.waiting.get_mut(user) {
            notice.rooms.retain(|waiting| waiting != room);
            if notice.rooms.is_empty() {
                self.take_back(user);
            }
        }
    }

    /// Takes what is due by `elapsed`, the longest due first, `most` at most. What waited for too long goes before.
    pub fn take(&mut self, elapsed: i64, most: usize) -> Vec<Notice> {
        let mut due = Vec::new();
        while let Some((&(at, number), _)) = self.order.first_key_value() {
            let late = elapsed - at > PATIENCE_MS;
            if at > elapsed || (due.len() >= most && !late) {
                break;
            }
            let Some(notice) = self.remove((at, number)) else { break };
            if notice.change == Change::Offline {
                self.shared.remove(&notice.user);
            }
            if late {
                self.suppressed += 1;
            } else {
                due.push(notice);
            }
        }
        due
    }

    /// When the next notice is due, ms.
    pub fn next_due(&self) -> Option<i64> {
        self.order.first_key_value().map(|(&(at, _), _)| at)
    }

    fn put(&mut self, due: i64, notice: Notice) {
        if self.waiting.len() >= WAITING_MAX {
            self.suppressed += 1;
            if notice.change == Change::Offline {
                self.shared.remove(&notice.user);
            }
            return;
        }
        self.number += 1;
        let due = (due, self.number);
        self.order.insert(due, notice.user.clone());
        self.waiting.insert(notice.user.clone(), (due, notice));
    }

    fn remove(&mut self, due: Due) -> Option<Notice> {
        let user = self.order.remove(&due)?;
        let (_, notice) = self.waiting.remove(&user)?;
        if self.waiting.is_empty() {
            // A storm is over.
            self.waiting = AHashMap::new();
        }
        Some(notice)
    }

    /// Takes back what waits to be told of a user: the opposite happened.
    fn take_back(&mut self, user: &UserId) -> Option<Notice> {
        let &(due, _) = self.waiting.get(user)?;
        self.coalesced += 2;
        self.remove(due)
    }
}

fn notice(user: UserId, change: Change, at: i64) -> Notice {
    Notice { user, change, at, rooms: Vec::new(), known_in: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulletin(audience: Audience) -> Bulletin {
        Bulletin::new(&Settings { audience, linger_ms: 100, ..Settings::default() })
    }

    fn user(id: &str) -> Arc<Identity> {
        Arc::new(Identity::of(UserId::parse(id, "user").unwrap()))
    }

    fn room(name: &str) -> RoomName {
        RoomName::parse(name, "room").unwrap()
    }

    fn take(bulletin: &mut Bulletin, elapsed: i64) -> Vec<String> {
        let told = bulletin.take(elapsed, usize::MAX).into_iter().map(|mut notice| {
            let change = if notice.change == Change::Offline { '-' } else { '+' };
            notice.rooms.sort();
            notice.known_in.sort();
            format!("{change}{}@{} {:?} {:?}", notice.user, notice.at, notice.rooms, notice.known_in)
        });
        told.collect()
    }

    #[test]
    fn who_came_is_told_at_once_and_who_went_after_a_while() {
        let mut bulletin = bulletin(Audience::All);
        bulletin.came(&user("a"), 1, 1_000);
        assert_eq!(take(&mut bulletin, 1_000), ["+a@1 [] []"]);
        bulletin.went(&user("a").user, 2, 1_001);
        assert_eq!((take(&mut bulletin, 1_100), bulletin.next_due()), (vec![], Some(1_101)));
        assert_eq!(take(&mut bulletin, 1_101), ["-a@2 [] []"]);
        assert_eq!((bulletin.next_due(), bulletin.coalesced, bulletin.suppressed), (None, 0, 0));
    }

    #[test]
    fn what_is_taken_back_before_it_was_told_is_not_told() {
        let mut bulletin = bulletin(Audience::All);
        let alice = user("a");
        bulletin.came(&alice, 1, 0);
        assert_eq!(take(&mut bulletin, 0).len(), 1);
        for time in 0..10 {
            bulletin.went(&alice.user, 2, time);
            bulletin.came(&alice, 3, time);
        }
        bulletin.came(&user("b"), 4, 10);
        bulletin.went(&user("b").user, 5, 10);
        assert_eq!((take(&mut bulletin, 1_000), bulletin.coalesced), (vec![], 22));
        bulletin.went(&alice.user, 6, 1_000);
        assert_eq!(take(&mut bulletin, 1_100), ["-a@6 [] []"]);
    }

    #[test]
    fn the_longest_due_is_told_first_and_what_waited_too_long_not_at_all() {
        let mut bulletin = bulletin(Audience::All);
        for (number, id) in ["a", "b", "c"].into_iter().enumerate() {
            bulletin.came(&user(id), 1, 10 * number as i64);
        }
        assert_eq!(bulletin.take(20, 1)[0].user.as_str(), "a");
        assert_eq!(take(&mut bulletin, PATIENCE_MS + 15), ["+c@1 [] []"]);
        assert_eq!(bulletin.suppressed, 1);
    }

    #[test]
    fn too_many_are_not_kept() {
        let mut bulletin = bulletin(Audience::All);
        for number in 0..=WAITING_MAX {
            bulletin.came(&user(&number.to_string()), 1, 0);
        }
        assert_eq!((take(&mut bulletin, 0).len(), bulletin.suppressed), (WAITING_MAX, 1));
    }

    #[test]
    fn those_who_share_a_room_are_told_once_of_the_first_they_share() {
        let mut bulletin = bulletin(Audience::SharedRooms);
        let alice = user("a");
        bulletin.came(&alice, 1, 0);
        assert_eq!(take(&mut bulletin, 0), Vec::<String>::new());
        bulletin.entered(&alice, room("x"), 2, 0);
        bulletin.entered(&alice, room("x"), 3, 0);
        assert_eq!(take(&mut bulletin, 0), [r#"+a@2 ["x"] []"#]);
        bulletin.entered(&alice, room("y"), 4, 0);
        bulletin.entered(&alice, room("z"), 5, 0);
        bulletin.left(&alice.user, &room("z"));
        assert_eq!(take(&mut bulletin, 0), [r#"+a@4 ["y"] ["x"]"#]);
        bulletin.left(&alice.user, &room("x"));
        bulletin.went(&alice.user, 6, 0);
        bulletin.came(&alice, 7, 50);
        bulletin.entered(&alice, room("y"), 8, 50);
        assert_eq!(take(&mut bulletin, 100), Vec::<String>::new(), "its members know");
        bulletin.went(&alice.user, 9, 100);
        assert_eq!(take(&mut bulletin, 200), [r#"-a@9 ["x", "y"] []"#]);
        assert!(bulletin.shared.is_empty());
    }

    #[test]
    fn a_user_who_shared_no_room_that_was_told_goes_in_silence() {
        let mut bulletin = bulletin(Audience::SharedRooms);
        let alice = user("a");
        bulletin.came(&alice, 1, 0);
        bulletin.entered(&alice, room("x"), 2, 0);
        bulletin.went(&alice.user, 3, 0);
        assert_eq!(take(&mut bulletin, 1_000), Vec::<String>::new());
        assert!(bulletin.shared.is_empty());
    }
}
