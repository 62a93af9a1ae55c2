//! The live connections and sessions: the bound of connections, the address of each user's sessions, and the user's
//! status.
//!
//! This lookup table is not on the delivery path. A transport holds the [`Admission`] of its connection until the
//! connection ends. A session adds itself and is removed when its [`SessionEntry`] is dropped; one connection may carry
//! several sessions. The record of a user is removed with the last session.

mod online_list;
mod pending;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{Recipient, WeakRecipient};
use dashmap::DashMap;
use tokio::sync::OwnedSemaphorePermit;

use self::online_list::OnlineList;
pub use self::online_list::StatusCounts;
use self::pending::PendingConnections;
pub use self::pending::PendingSlot;
use crate::connection::SessionAddr;
use crate::events::chat::presence::{OnlineUser, SerializedUser};
use crate::events::timestamp::Iso;
use crate::model::availability::Availability;
use crate::model::client::Peer;
use crate::model::fault::{Code, Fault};
use crate::model::identity::Identity;
use crate::model::ids::{RoomName, SessionId, UserId};
use crate::model::surface::Surface;
use crate::runtime::counters::Stats;

/// A live session, as presence shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSession {
    /// Its id.
    pub id: SessionId,
    /// Its surface.
    pub surface: Surface,
    /// When it connected, ms since the epoch.
    pub connected_at: i64,
    /// Its address.
    pub addr: SessionAddr,
    /// The identity of its last token.
    pub identity: Arc<Identity>,
    /// Its client.
    pub peer: Peer,
}

/// Notifies a session that it may have lost access to its rooms.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) enum AccessChanged {
    /// To this room. The reply comes after the session has checked, and has left the room if required.
    One(RoomName),
    /// To any room. The permit is returned after the session has checked all its rooms.
    Any(OwnedSemaphorePermit),
}

#[derive(Debug)]
struct SessionRow {
    session: LiveSession,
    /// Set when the session actor runs.
    recipient: Option<WeakRecipient<AccessChanged>>,
}

/// A user with a session.
#[derive(Debug, Default)]
struct OnlineUserSessions {
    /// Empty only while the first session is added.
    rows: Vec<SessionRow>,
    availability: Availability,
}

impl OnlineUserSessions {
    /// When the oldest session connected.
    fn since(&self) -> Option<i64> {
        self.rows.first().map(|row| row.session.connected_at)
    }
}

/// The table of live sessions.
#[derive(Debug)]
pub struct Registry {
    capacity: usize,
    admitted: AtomicUsize,
    /// Admitted connections that have not joined anything yet.
    pending: Arc<PendingConnections>,
    users: DashMap<UserId, OnlineUserSessions, ahash::RandomState>,
    /// Locked while the user's rows are locked, so that both agree. Its holder never locks a row.
    online_list: Mutex<OnlineList>,
    stats: Arc<Stats>,
}

impl Registry {
    /// A table for the sessions of at most `capacity` connections.
    pub fn new(capacity: usize, stats: Arc<Stats>) -> Self {
        let (users, online_list) = (DashMap::default(), Mutex::default());
        let pending = Arc::new(PendingConnections::new(capacity, stats.clone()));
        Self { capacity, admitted: AtomicUsize::new(0), pending, users, online_list, stats }
    }

    /// The most connections at once.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Admits a connection.
    ///
    /// # Errors
    /// [`Code::ServerFull`].
    pub fn admit(self: &Arc<Self>) -> Result<Admission, Fault> {
        let free = |admitted| (admitted < self.capacity).then_some(admitted + 1);
        match self.admitted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free) {
            Ok(_) => Ok(Admission(self.clone())),
            Err(_) => Err(Fault::new(Code::ServerFull, "At capacity").by("server.max_connections")),
        }
    }

    /// Admits a connection that has not joined anything yet; `elapsed` is ms by
    /// [`crate::runtime::clock::Clock::elapsed_ms`].
    ///
    /// # Errors
    /// [`Code::ServerFull`].
    pub fn admit_pending(self: &Arc<Self>, elapsed: i64) -> Result<(Admission, PendingSlot), Fault> {
        let admission = self.admit()?;
        Ok((admission, self.pending.enter(elapsed)?))
    }

    /// The newest live session of a user, and the status of the user.
    pub fn newest_of(&self, user: &UserId) -> Option<(LiveSession, Availability)> {
        let present = self.users.get(user)?;
        present.rows.last().map(|row| (row.session.clone(), present.availability))
    }

    /// The average age of the live sessions, ms; `now` is ms since the epoch.
    pub fn average_age_ms(&self, now: i64) -> u64 {
        let since = self.stats.sessions_since.get().checked_div(self.stats.sessions.get());
        since.map_or(0, |since| now.unsigned_abs().saturating_sub(since))
    }

    /// The live sessions of a user, oldest first.
    pub fn sessions_of(&self, user: &UserId) -> Vec<LiveSession> {
        let present = self.users.get(user);
        present.map(|present| present.rows.iter().map(|row| row.session.clone()).collect()).unwrap_or_default()
    }

    /// The status of a user; offline without a session.
    pub fn availability_of(&self, user: &UserId) -> Availability {
        self.users.get(user).map_or(Availability::Offline, |present| present.availability)
    }

    /// Sets the status of a user until the last session ends. `false` when it is the current status, or the user has no
    /// session.
    pub fn set_availability(&self, user: &UserId, availability: Availability) -> bool {
        let Some(mut present) = self.users.get_mut(user) else { return false };
        if present.availability == availability || availability == Availability::Offline {
            return false;
        }
        let mut list = self.online_list();
        list.change_status(present.availability, availability);
        list.invalidate(&(present.since().unwrap_or_default(), user.clone()));
        present.availability = availability;
        true
    }

    /// The users that are online longest, at most `most`, ordered by that time and then by id; `now` is ms since the
    /// epoch.
    pub fn online(&self, most: usize, now: i64) -> Vec<OnlineUser> {
        let first = self.online_list().first(most);
        self.online_users(&first, now)
    }

    /// As [`Registry::online`], encoded once for many readers: at most [`crate::events::chat::presence::LONGEST_ONLINE_MAX`],
    /// and `bytes`.
    pub fn longest_online(&self, now: i64, bytes: usize) -> Arc<[SerializedUser]> {
        let request = self.online_list().cached_or_request(now);
        let request = match request {
            Ok(encoded) => return encoded,
            Err(request) => request,
        };
        let users = self.online_users(&request.users, now);
        let encoded: Arc<[_]> = SerializedUser::all(users, bytes).into();
        self.online_list().cache(&request, &encoded, now);
        encoded
    }

    /// A user in the form of the lists; `None` without a session. `now` is ms since the epoch.
    pub fn online_user(&self, user: &UserId, now: i64) -> Option<OnlineUser> {
        let present = self.users.get(user)?;
        let oldest = &present.rows.first()?.session;
        Some(OnlineUser {
            user_id: user.clone(),
            username: oldest.identity.username().into(),
            status: present.availability,
            last_seen: Iso(now),
            connected_at: Iso(oldest.connected_at),
        })
    }

    fn online_users(&self, users: &[UserId], now: i64) -> Vec<OnlineUser> {
        users.iter().filter_map(|user| self.online_user(user, now)).collect()
    }

    /// The number of users by status.
    pub fn status_counts(&self) -> StatusCounts {
        self.online_list().status_counts()
    }

    fn online_list(&self) -> MutexGuard<'_, OnlineList> {
        self.online_list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The recipients of a user's live sessions.
    pub(crate) fn recipients_of(&self, user: &UserId) -> Vec<Recipient<AccessChanged>> {
        let present = self.users.get(user);
        let recipients = |row: &SessionRow| row.recipient.as_ref().and_then(WeakRecipient::upgrade);
        present.map(|present| present.rows.iter().filter_map(recipients).collect()).unwrap_or_default()
    }

    /// The recipients of all live sessions. Visits all of them: not for a thread that serves sessions.
    pub(crate) fn recipients(&self) -> Vec<Recipient<AccessChanged>> {
        let recipients = |present: &OnlineUserSessions| {
            let upgraded = present.rows.iter().filter_map(|row| row.recipient.as_ref()?.upgrade());
            upgraded.collect::<Vec<_>>()
        };
        self.users.iter().flat_map(|present| recipients(&present)).collect()
    }

    /// The addresses of a user's live sessions that `matches` accepts.
    pub fn find_of(&self, user: &UserId, matches: impl Fn(&Identity) -> bool) -> Vec<SessionAddr> {
        self.users.get(user).map(|present| picked(&present.rows, matches).collect()).unwrap_or_default()
    }

    /// The addresses of all live sessions that `matches` accepts. Visits all of them: not for a thread that serves
    /// sessions.
    pub fn find(&self, matches: impl Fn(&Identity) -> bool) -> Vec<SessionAddr> {
        self.users.iter().flat_map(|present| picked(&present.rows, &matches).collect::<Vec<_>>()).collect()
    }
}

fn picked(rows: &[SessionRow], matches: impl Fn(&Identity) -> bool) -> impl Iterator<Item = SessionAddr> {
    rows.iter().map(|row| &row.session).filter(move |session| matches(&session.identity)).map(|session| session.addr)
}

/// An admitted connection. Dropping it frees its slot.
#[derive(Debug)]
pub struct Admission(Arc<Registry>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A live session, until dropped. It is in the table from the time its user is known.
#[derive(Debug)]
pub(crate) struct SessionEntry {
    registry: Arc<Registry>,
    connected_at: i64,
    listed: Option<(UserId, SessionId)>,
    recipient: Option<WeakRecipient<AccessChanged>>,
}

impl SessionEntry {
    /// Counts a session without a user.
    pub(crate) fn new(registry: Arc<Registry>, connected_at: i64) -> Self {
        registry.stats.sessions.add(1);
        registry.stats.sessions_opened.add(1);
        registry.stats.sessions_since.add(connected_at.unsigned_abs());
        Self { registry, connected_at, listed: None, recipient: None }
    }

    /// Adds the session to the table under the user of its identity. It must not be in the table.
    pub(crate) fn list(&mut self, session: LiveSession) {
        let (user, id) = (session.identity.user.clone(), session.id);
        let row = SessionRow { session, recipient: self.recipient.clone() };
        let mut present = self.registry.users.entry(user.clone()).or_default();
        let before = present.since();
        // Most users have one or two sessions; a vector grows to four by itself.
        if present.rows.len() < 2 {
            present.rows.reserve_exact(1);
        }
        present.rows.push(row);
        self.registry.online_list().move_user(&user, before, present.since());
        drop(present);
        self.listed = Some((user, id));
    }

    /// Removes the session from the table.
    pub(crate) fn unlist(&mut self) {
        let Some((user, id)) = self.listed.take() else { return };
        self.registry.users.remove_if_mut(&user, |user, present| {
            let before = present.since();
            present.rows.retain(|row| row.session.id != id);
            let mut list = self.registry.online_list();
            list.move_user(user, before, present.since());
            if present.rows.is_empty() {
                list.change_status(present.availability, Availability::Offline);
            }
            present.rows.is_empty()
        });
    }

    /// Replaces the identity after a new token of the same user.
    pub(crate) fn renew(&self, identity: Arc<Identity>) {
        self.change(|row| row.session.identity = identity);
        // The display name may have changed.
        if let Some((user, _)) = &self.listed
            && let Some(present) = self.registry.users.get(user)
        {
            self.registry.online_list().invalidate(&(present.since().unwrap_or_default(), user.clone()));
        }
    }

    /// Sets the recipient of the session.
    pub(crate) fn set_recipient(&mut self, recipient: WeakRecipient<AccessChanged>) {
        self.recipient = Some(recipient.clone());
        self.change(|row| row.recipient = Some(recipient));
    }

    fn change(&self, change: impl FnOnce(&mut SessionRow)) {
        if let Some((user, id)) = &self.listed
            && let Some(mut present) = self.registry.users.get_mut(user)
            && let Some(row) = present.rows.iter_mut().find(|row| row.session.id == *id)
        {
            change(row);
        }
    }
}

impl Drop for SessionEntry {
    fn drop(&mut self) {
        self.unlist();
        self.registry.stats.sessions.sub(1);
        self.registry.stats.sessions_since.sub(self.connected_at.unsigned_abs());
    }
}

#[cfg(test)]
mod tests;
