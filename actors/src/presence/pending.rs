//! What is to be told of who comes, goes and is there in another way, pure: the newest state of each user that others do
//! not know yet.
//!
//! That a user came is due at once, that one went after a while in which the user may come back; both wait for longer
//! when there is much to tell. A change that is taken back before it was told is not told at all, nor is the change back.
//!
//! How a user is there is due at once too, but of one user not again for [`REST_MS`]: the newest is told then. As long as
//! others do not know that the user came, it is told by that, and apart only to the user's own sessions, which hear
//! nothing of the coming.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::{AHashMap, AHashSet};

use super::{Audience, Settings};
use crate::model::availability::Availability;
use crate::model::identity::Identity;
use crate::model::ids::{RoomName, UserId};

/// Users of whom there is something to tell, at most; of whose coming and going, and likewise of how they are there.
pub const WAITING_MAX: usize = 20_000;

/// How long over its time something may wait to be told, ms; then it is not told.
pub const PATIENCE_MS: i64 = 30_000;

/// Rooms of one user whose members are told.
pub const ROOMS_MAX: usize = 1_000;

/// Least time between two notices of how one user is there, ms.
pub const REST_MS: i64 = 1_000;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The user came, and is there like this.
    Online(Availability),
    /// The user went.
    Offline,
    /// The user is there like this now.
    Status(Availability),
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whom it is about, by the identity of the session that changed it.
    pub identity: Arc<Identity>,
    /// What happened.
    pub change: Change,
    /// When, ms since the epoch.
    pub at: i64,
    /// The rooms whose members are told; none where all are.
    pub rooms: Vec<RoomName>,
    /// The rooms whose members know.
    pub known_in: Vec<RoomName>,
}

impl Notice {
    fn new(identity: &Arc<Identity>, change: Change, at: i64) -> Self {
        Self { identity: identity.clone(), change, at, rooms: Vec::new(), known_in: Vec::new() }
    }
}

/// When a notice is due, ms, and which one it is of those.
type Due = (i64, u64);

/// Of which of the two a notice is that may wait for one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Matter {
    /// Coming and going.
    Presence,
    /// How the user is there.
    Status,
}

type Waiting = AHashMap<UserId, (Due, Notice)>;

/// What others know of how a user is there.
#[derive(Debug, Clone, Copy)]
struct Told {
    status: Availability,
    /// When a notice of it was given, ms.
    at: i64,
}

/// What others do not know yet.
#[derive(Debug)]
pub struct PendingChanges {
    audience: Audience,
    linger_ms: i64,
    /// Comings and goings.
    waiting: Waiting,
    /// How users are there whose coming is known.
    statuses: Waiting,
    order: BTreeMap<Due, (UserId, Matter)>,
    number: u64,
    /// With [`Audience::SharedRooms`]: the rooms whose members are or will be told that a user came, and how many
    /// sessions of the user entered each. They are kept when a session ends, for their members are told that the user
    /// went.
    shared: AHashMap<UserId, AHashMap<RoomName, u32>>,
    /// Of users who are not known to have gone; of others nothing but that they are online was told.
    told: AHashMap<UserId, Told>,
    /// Changes that were taken back or overtaken.
    pub coalesced: u64,
    /// Notices that were given up.
    pub suppressed: u64,
}

impl PendingChanges {
    /// Nothing to tell.
    pub fn new(settings: &Settings) -> Self {
        Self {
            audience: settings.audience,
            linger_ms: settings.linger_ms,
            waiting: AHashMap::new(),
            statuses: AHashMap::new(),
            order: BTreeMap::new(),
            number: 0,
            shared: AHashMap::new(),
            told: AHashMap::new(),
            coalesced: 0,
            suppressed: 0,
        }
    }

    /// Sets the time to come back unnoticed for users that go from now on, ms.
    pub fn set_linger(&mut self, linger_ms: i64) {
        self.linger_ms = linger_ms;
    }

    /// Who is told.
    pub fn audience(&self) -> Audience {
        self.audience
    }

    /// A user's first session began at `now`, ms since the epoch; the user is there like `status`.
    pub fn came(&mut self, identity: &Arc<Identity>, status: Availability, now: i64, elapsed: i64) {
        if self.take_back(&identity.user).is_none() && self.audience == Audience::All {
            self.put(Matter::Presence, elapsed, Notice::new(identity, Change::Online(status), now));
        }
        self.is_there(identity, status, now, elapsed);
    }

    /// A user's last session ended at `now`, ms since the epoch.
    pub fn went(&mut self, identity: &Arc<Identity>, now: i64, elapsed: i64) {
        let user = &identity.user;
        self.overtake_status(user);
        let taken_back = self.take_back(user);
        let rooms: Vec<_> = match self.audience {
            Audience::Off => return,
            Audience::All if taken_back.is_some() => return self.forget(user),
            Audience::All => Vec::new(),
            Audience::SharedRooms => {
                let mut shared = self.shared.get_mut(user);
                for room in taken_back.into_iter().flat_map(|notice| notice.rooms) {
                    shared.as_mut().and_then(|shared| shared.remove(&room));
                }
                let rooms: Vec<_> = shared.into_iter().flat_map(|shared| shared.keys().cloned()).collect();
                if rooms.is_empty() {
                    return self.forget(user);
                }
                rooms
            }
        };
        let went = Notice { rooms, ..Notice::new(identity, Change::Offline, now) };
        self.put(Matter::Presence, elapsed + self.linger_ms, went);
    }

    /// A user is there like `status` since `now`, ms since the epoch.
    pub fn is_there(&mut self, identity: &Arc<Identity>, status: Availability, now: i64, elapsed: i64) {
        if self.audience == Audience::Off {
            return;
        }
        let user = &identity.user;
        let told = self.told.get(user);
        if told.map_or(Availability::Online, |told| told.status) == status {
            // It is as others know it again.
            if self.overtake_status(user) {
                self.coalesced += 1;
            }
            return;
        }
        let notice = Notice::new(identity, Change::Status(status), now);
        if let Some((_, waiting)) = self.statuses.get_mut(user) {
            self.coalesced += 1;
            *waiting = notice;
            return;
        }
        let due = told.map_or(elapsed, |told| elapsed.max(told.at + REST_MS));
        self.put(Matter::Status, due, notice);
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
                let came = Notice::new(identity, Change::Online(Availability::Online), now);
                self.put(Matter::Presence, elapsed, Notice { rooms: vec![room], known_in, ..came });
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

    /// Takes what is due by `elapsed`, the longest due first, `most` at most; with the first coming of a user comes how the
    /// user is there, beyond that number. What waited for too long goes before.
    pub fn take(&mut self, elapsed: i64, most: usize) -> Vec<Notice> {
        let mut due = Vec::new();
        while let Some((&(at, number), &(_, matter))) = self.order.first_key_value() {
            let late = elapsed - at > PATIENCE_MS;
            if at > elapsed || (due.len() >= most && !late) {
                break;
            }
            let Some(notice) = self.remove((at, number)) else { break };
            if notice.change == Change::Offline {
                self.forget(&notice.identity.user);
            }
            match matter {
                _ if late => self.suppressed += 1,
                Matter::Status => due.push(self.tell_status(notice, elapsed)),
                Matter::Presence => self.tell_presence(notice, elapsed, &mut due),
            }
        }
        due
    }

    /// When the next notice is due, ms.
    pub fn next_due(&self) -> Option<i64> {
        self.order.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Adds a coming or going to what is told.
    fn tell_presence(&mut self, mut notice: Notice, elapsed: i64, due: &mut Vec<Notice>) {
        let user = notice.identity.user.clone();
        let mut own = None;
        if let Change::Online(status) = &mut notice.change {
            // Those who are the first to hear of the user hear how the user is there, and the user's sessions with them.
            if notice.known_in.is_empty()
                && let Some((waiting, _)) = self.statuses.get(&user)
                && let Some(changed) = self.remove(*waiting)
            {
                let changed = self.tell_status(changed, elapsed);
                own = Some(Notice { rooms: vec![RoomName::of_user(&user)], ..changed });
            }
            *status = self.told.get(&user).map_or(Availability::Online, |told| told.status);
        }
        due.push(notice);
        due.extend(own);
    }

    /// Notes that it is told how a user is there, and to whom.
    fn tell_status(&mut self, mut notice: Notice, elapsed: i64) -> Notice {
        let user = &notice.identity.user;
        if let Change::Status(status) = notice.change {
            self.told.insert(user.clone(), Told { status, at: elapsed });
        }
        if self.audience == Audience::SharedRooms {
            let unheard: AHashSet<_> =
                self.waiting.get(user).into_iter().flat_map(|(_, coming)| &coming.rooms).collect();
            let shared = self.shared.get(user).into_iter().flat_map(|shared| shared.keys());
            let known_in = shared.filter(|room| !unheard.contains(room)).cloned();
            notice.rooms = std::iter::once(RoomName::of_user(user)).chain(known_in).collect();
        }
        notice
    }

    fn put(&mut self, matter: Matter, due: i64, notice: Notice) {
        let user = notice.identity.user.clone();
        if self.waiting_of(matter).len() >= WAITING_MAX {
            self.suppressed += 1;
            if notice.change == Change::Offline {
                self.forget(&user);
            }
            return;
        }
        self.number += 1;
        let due = (due, self.number);
        self.order.insert(due, (user.clone(), matter));
        self.waiting_of(matter).insert(user, (due, notice));
    }

    fn remove(&mut self, due: Due) -> Option<Notice> {
        let (user, matter) = self.order.remove(&due)?;
        let waiting = self.waiting_of(matter);
        let (_, notice) = waiting.remove(&user)?;
        if waiting.is_empty() {
            // A storm is over.
            *waiting = AHashMap::new();
        }
        Some(notice)
    }

    fn waiting_of(&mut self, matter: Matter) -> &mut Waiting {
        match matter {
            Matter::Presence => &mut self.waiting,
            Matter::Status => &mut self.statuses,
        }
    }

    /// Takes back what waits to be told of a user's coming or going: the opposite happened.
    fn take_back(&mut self, user: &UserId) -> Option<Notice> {
        let &(due, _) = self.waiting.get(user)?;
        self.coalesced += 2;
        self.remove(due)
    }

    /// Drops what waits to be told of how a user is there; whether there was something.
    fn overtake_status(&mut self, user: &UserId) -> bool {
        let Some(&(due, _)) = self.statuses.get(user) else { return false };
        self.coalesced += 1;
        self.remove(due).is_some()
    }

    /// Others know nothing of a user any more.
    fn forget(&mut self, user: &UserId) {
        self.shared.remove(user);
        self.told.remove(user);
    }
}

#[cfg(test)]
mod tests;
