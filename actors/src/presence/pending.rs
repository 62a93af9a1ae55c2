//! Presence changes that are not announced yet: the newest state of each user. Pure.
//!
//! `online` is due at once, `offline` after a delay in which the user may return. Both wait longer when the rate of
//! announcements is exceeded. A change that is reversed before its announcement is not announced, and neither is the
//! reversal.
//!
//! A change of the status is due at once, too, but for one user at most every [`STATUS_INTERVAL_MS`], with the newest
//! status. While `online` is not announced, the status is part of it. The user's own sessions do not receive `online`,
//! so they receive the status by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::{AHashMap, AHashSet};

use super::{PresenceAudience, PresenceSettings};
use crate::model::availability::Availability;
use crate::model::identity::Identity;
use crate::model::ids::{RoomName, UserId};

/// The most users with a pending `online` or `offline`, and likewise with a pending status.
pub const WAITING_MAX: usize = 20_000;

/// How long a due notice may wait, ms; after that it is dropped.
pub const WAIT_MAX_MS: i64 = 30_000;

/// The most rooms in which one user is announced.
pub const ROOMS_MAX: usize = 1_000;

/// The shortest time between two announcements of a user's status, ms.
pub const STATUS_INTERVAL_MS: i64 = 1_000;

/// A change of a user's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceChange {
    /// The user is online, with this status.
    Online(Availability),
    /// The user is offline.
    Offline,
    /// The status changed.
    Status(Availability),
}

/// A change to announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceNotice {
    /// The user, with the identity of the session that caused the change.
    pub identity: Arc<Identity>,
    /// The change.
    pub change: PresenceChange,
    /// When, ms since the epoch.
    pub at: i64,
    /// The members of these rooms receive it; empty: all sessions.
    pub rooms: Vec<RoomName>,
    /// The members of these rooms know it already.
    pub known_in: Vec<RoomName>,
}

impl PresenceNotice {
    fn new(identity: &Arc<Identity>, change: PresenceChange, at: i64) -> Self {
        Self { identity: identity.clone(), change, at, rooms: Vec::new(), known_in: Vec::new() }
    }
}

/// When a notice is due, ms, with a number that makes the key unique.
type DueKey = (i64, u64);

/// The two kinds of notices; a user may have one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoticeKind {
    /// `online` and `offline`.
    Presence,
    /// The status.
    Status,
}

type WaitingNotices = AHashMap<UserId, (DueKey, PresenceNotice)>;

/// The announced status of a user.
#[derive(Debug, Clone, Copy)]
struct AnnouncedStatus {
    status: Availability,
    /// The time of the announcement, ms.
    at: i64,
}

/// The changes that are not announced yet.
#[derive(Debug)]
pub struct PendingChanges {
    audience: PresenceAudience,
    linger_ms: i64,
    /// `online` and `offline` notices.
    waiting: WaitingNotices,
    /// Status notices.
    statuses: WaitingNotices,
    order: BTreeMap<DueKey, (UserId, NoticeKind)>,
    number: u64,
    /// With [`PresenceAudience::SharedRooms`]: the rooms in which a user is announced, with the number of the user's
    /// sessions in each. The end of a session keeps them, because their members receive `offline`.
    shared: AHashMap<UserId, AHashMap<RoomName, u32>>,
    /// The announced statuses of users without an announced `offline`. A user without an entry was announced as
    /// `online`.
    announced: AHashMap<UserId, AnnouncedStatus>,
    /// Changes that were reversed or replaced before their announcement.
    pub coalesced: u64,
    /// Notices that were dropped.
    pub suppressed: u64,
}

impl PendingChanges {
    /// No changes.
    pub fn new(settings: &PresenceSettings) -> Self {
        Self {
            audience: settings.audience,
            linger_ms: settings.linger_ms,
            waiting: AHashMap::new(),
            statuses: AHashMap::new(),
            order: BTreeMap::new(),
            number: 0,
            shared: AHashMap::new(),
            announced: AHashMap::new(),
            coalesced: 0,
            suppressed: 0,
        }
    }

    /// Sets the delay of `offline` for users that leave from now on, ms.
    pub fn set_linger(&mut self, linger_ms: i64) {
        self.linger_ms = linger_ms;
    }

    /// The receivers.
    pub fn audience(&self) -> PresenceAudience {
        self.audience
    }

    /// A user's first session started at `now`, ms since the epoch, with this status.
    pub fn user_online(&mut self, identity: &Arc<Identity>, status: Availability, now: i64, elapsed: i64) {
        if self.cancel_presence(&identity.user).is_none() && self.audience == PresenceAudience::All {
            self.add(NoticeKind::Presence, elapsed, PresenceNotice::new(identity, PresenceChange::Online(status), now));
        }
        self.set_status(identity, status, now, elapsed);
    }

    /// A user's last session ended at `now`, ms since the epoch.
    pub fn user_offline(&mut self, identity: &Arc<Identity>, now: i64, elapsed: i64) {
        let user = &identity.user;
        self.cancel_status(user);
        let cancelled = self.cancel_presence(user);
        let rooms: Vec<_> = match self.audience {
            PresenceAudience::Off => return,
            PresenceAudience::All if cancelled.is_some() => return self.forget(user),
            PresenceAudience::All => Vec::new(),
            PresenceAudience::SharedRooms => {
                let mut shared = self.shared.get_mut(user);
                for room in cancelled.into_iter().flat_map(|notice| notice.rooms) {
                    shared.as_mut().and_then(|shared| shared.remove(&room));
                }
                let rooms: Vec<_> = shared.into_iter().flat_map(|shared| shared.keys().cloned()).collect();
                if rooms.is_empty() {
                    return self.forget(user);
                }
                rooms
            }
        };
        let offline = PresenceNotice { rooms, ..PresenceNotice::new(identity, PresenceChange::Offline, now) };
        self.add(NoticeKind::Presence, elapsed + self.linger_ms, offline);
    }

    /// Sets the status of a user at `now`, ms since the epoch.
    pub fn set_status(&mut self, identity: &Arc<Identity>, status: Availability, now: i64, elapsed: i64) {
        if self.audience == PresenceAudience::Off {
            return;
        }
        let user = &identity.user;
        let announced = self.announced.get(user);
        if announced.map_or(Availability::Online, |announced| announced.status) == status {
            // The announced status is correct again.
            if self.cancel_status(user) {
                self.coalesced += 1;
            }
            return;
        }
        let notice = PresenceNotice::new(identity, PresenceChange::Status(status), now);
        if let Some((_, waiting)) = self.statuses.get_mut(user) {
            self.coalesced += 1;
            *waiting = notice;
            return;
        }
        let due = announced.map_or(elapsed, |announced| elapsed.max(announced.at + STATUS_INTERVAL_MS));
        self.add(NoticeKind::Status, due, notice);
    }

    /// A session of a user joined a room at `now`, ms since the epoch.
    pub fn enter_room(&mut self, identity: &Arc<Identity>, room: RoomName, now: i64, elapsed: i64) {
        if self.audience != PresenceAudience::SharedRooms {
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
                let online = PresenceNotice::new(identity, PresenceChange::Online(Availability::Online), now);
                self.add(NoticeKind::Presence, elapsed, PresenceNotice { rooms: vec![room], known_in, ..online });
            }
        }
    }

    /// A session of a user left a room and stays connected.
    pub fn leave_room(&mut self, user: &UserId, room: &RoomName) {
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
                self.cancel_presence(user);
            }
        }
    }

    /// Removes and returns at most `most` notices that are due by `elapsed`, the longest due first. A user's first
    /// `online` brings its status notice in addition. Drops notices that have waited too long.
    pub fn take(&mut self, elapsed: i64, most: usize) -> Vec<PresenceNotice> {
        let mut due = Vec::new();
        while let Some((&(at, number), &(_, kind))) = self.order.first_key_value() {
            let late = elapsed - at > WAIT_MAX_MS;
            if at > elapsed || (due.len() >= most && !late) {
                break;
            }
            let Some(notice) = self.remove((at, number)) else { break };
            if notice.change == PresenceChange::Offline {
                self.forget(&notice.identity.user);
            }
            match kind {
                _ if late => self.suppressed += 1,
                NoticeKind::Status => due.push(self.address_status(notice, elapsed)),
                NoticeKind::Presence => self.push_presence(notice, elapsed, &mut due),
            }
        }
        due
    }

    /// When the next notice is due, ms.
    pub fn next_due(&self) -> Option<i64> {
        self.order.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Adds an `online` or `offline` notice to `due`.
    fn push_presence(&mut self, mut notice: PresenceNotice, elapsed: i64, due: &mut Vec<PresenceNotice>) {
        let user = notice.identity.user.clone();
        let mut own = None;
        if let PresenceChange::Online(status) = &mut notice.change {
            // The first `online` includes the status; the user's own sessions receive the status by itself.
            if notice.known_in.is_empty()
                && let Some((waiting, _)) = self.statuses.get(&user)
                && let Some(changed) = self.remove(*waiting)
            {
                let changed = self.address_status(changed, elapsed);
                own = Some(PresenceNotice { rooms: vec![RoomName::of_user(&user)], ..changed });
            }
            *status = self.announced.get(&user).map_or(Availability::Online, |announced| announced.status);
        }
        due.push(notice);
        due.extend(own);
    }

    /// Records the status as announced, and sets the rooms of its notice.
    fn address_status(&mut self, mut notice: PresenceNotice, elapsed: i64) -> PresenceNotice {
        let user = &notice.identity.user;
        if let PresenceChange::Status(status) = notice.change {
            self.announced.insert(user.clone(), AnnouncedStatus { status, at: elapsed });
        }
        if self.audience == PresenceAudience::SharedRooms {
            let pending_rooms: AHashSet<_> =
                self.waiting.get(user).into_iter().flat_map(|(_, online)| &online.rooms).collect();
            let shared = self.shared.get(user).into_iter().flat_map(|shared| shared.keys());
            let known_in = shared.filter(|room| !pending_rooms.contains(room)).cloned();
            notice.rooms = std::iter::once(RoomName::of_user(user)).chain(known_in).collect();
        }
        notice
    }

    fn add(&mut self, kind: NoticeKind, due: i64, notice: PresenceNotice) {
        let user = notice.identity.user.clone();
        if self.notices_of(kind).len() >= WAITING_MAX {
            self.suppressed += 1;
            if notice.change == PresenceChange::Offline {
                self.forget(&user);
            }
            return;
        }
        self.number += 1;
        let due = (due, self.number);
        self.order.insert(due, (user.clone(), kind));
        self.notices_of(kind).insert(user, (due, notice));
    }

    fn remove(&mut self, due: DueKey) -> Option<PresenceNotice> {
        let (user, kind) = self.order.remove(&due)?;
        let waiting = self.notices_of(kind);
        let (_, notice) = waiting.remove(&user)?;
        if waiting.is_empty() {
            // Frees the memory after a peak of changes.
            *waiting = AHashMap::new();
        }
        Some(notice)
    }

    fn notices_of(&mut self, kind: NoticeKind) -> &mut WaitingNotices {
        match kind {
            NoticeKind::Presence => &mut self.waiting,
            NoticeKind::Status => &mut self.statuses,
        }
    }

    /// Removes the pending `online` or `offline` of a user, after the opposite change.
    fn cancel_presence(&mut self, user: &UserId) -> Option<PresenceNotice> {
        let &(due, _) = self.waiting.get(user)?;
        self.coalesced += 2;
        self.remove(due)
    }

    /// Removes the pending status of a user; whether there was one.
    fn cancel_status(&mut self, user: &UserId) -> bool {
        let Some(&(due, _)) = self.statuses.get(user) else { return false };
        self.coalesced += 1;
        self.remove(due).is_some()
    }

    /// Removes all records of a user.
    fn forget(&mut self, user: &UserId) {
        self.shared.remove(user);
        self.announced.remove(user);
    }
}

#[cfg(test)]
mod tests;
