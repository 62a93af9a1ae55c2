//! The connections and sessions that live now: how many connections there may be, where each user's sessions are, and what
//! the user says of being there.
//!
//! A lookup table off the delivery path. A transport holds its connection's [`Admission`] for as long as that lasts. A
//! session, of which one connection may carry several, enters itself and leaves when its [`Entry`] is dropped, however
//! it ended. What is kept of a user goes with the last session.

mod online_list;
mod pending;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{Recipient, WeakRecipient};
use dashmap::DashMap;
use tokio::sync::OwnedSemaphorePermit;

use self::online_list::Overview;
pub use self::online_list::Tally;
use self::pending::Pending;
pub use self::pending::PendingPlace;
use crate::connection::SessionAddr;
use crate::events::chat::presence::{OnlineUser, Written};
use crate::events::moment::Iso;
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
    /// What it speaks.
    pub surface: Surface,
    /// When it connected, ms since the epoch.
    pub connected_at: i64,
    /// Where it sits.
    pub place: SessionAddr,
    /// Who it is, by the last token it showed.
    pub identity: Arc<Identity>,
    /// Its client.
    pub peer: Peer,
}

/// Tells a session that it may not be allowed any more to be in rooms it is in.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) enum AccessChanged {
    /// In this one. Answered when it has looked, and left where it had to.
    One(RoomName),
    /// In any. The permit is given back when it has looked at all of them.
    Any(OwnedSemaphorePermit),
}

#[derive(Debug)]
struct Row {
    session: LiveSession,
    /// Set once the session runs.
    recipient: Option<WeakRecipient<AccessChanged>>,
}

/// A user with a session.
#[derive(Debug, Default)]
struct Present {
    /// Never empty, but while the first session is entered.
    rows: Vec<Row>,
    availability: Availability,
}

impl Present {
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
    /// Those of them that have not joined anything yet.
    pending: Arc<Pending>,
    users: DashMap<UserId, Present, ahash::RandomState>,
    /// Changed while the user's row is held, so that it agrees with the rows; no row is sought while it is held.
    overview: Mutex<Overview>,
    stats: Arc<Stats>,
}

impl Registry {
    /// A table for the sessions of at most `capacity` connections.
    pub fn new(capacity: usize, stats: Arc<Stats>) -> Self {
        let (users, overview) = (DashMap::default(), Mutex::default());
        let pending = Arc::new(Pending::new(capacity, stats.clone()));
        Self { capacity, admitted: AtomicUsize::new(0), pending, users, overview, stats }
    }

    /// Connections there may be at once.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Connections there are now.
    pub fn connections(&self) -> usize {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Takes one of the places for connections.
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

    /// Takes one of the places for connections that have still to join something; `elapsed` is ms by
    /// [`crate::runtime::clock::Clock::elapsed_ms`].
    ///
    /// # Errors
    /// [`Code::ServerFull`].
    pub fn admit_pending(self: &Arc<Self>, elapsed: i64) -> Result<(Admission, PendingPlace), Fault> {
        let admission = self.admit()?;
        Ok((admission, self.pending.enter(elapsed)?))
    }

    /// The newest live session of a user, and what the user says of being there.
    pub fn newest_of(&self, user: &UserId) -> Option<(LiveSession, Availability)> {
        let present = self.users.get(user)?;
        present.rows.last().map(|row| (row.session.clone(), present.availability))
    }

    /// How long ago the sessions that there are connected, on average, ms; `now` is ms since the epoch.
    pub fn average_age_ms(&self, now: i64) -> u64 {
        let since = self.stats.sessions_since.get().checked_div(self.stats.sessions.get());
        since.map_or(0, |since| now.unsigned_abs().saturating_sub(since))
    }

    /// The live sessions of a user, oldest first.
    pub fn sessions_of(&self, user: &UserId) -> Vec<LiveSession> {
        let present = self.users.get(user);
        present.map(|present| present.rows.iter().map(|row| row.session.clone()).collect()).unwrap_or_default()
    }

    /// What a user says of being there; offline without a session.
    pub fn availability_of(&self, user: &UserId) -> Availability {
        self.users.get(user).map_or(Availability::Offline, |present| present.availability)
    }

    /// Notes what a user says of being there, until the last session ends. `false` when that is known, or nobody is there
    /// to say it.
    pub fn set_availability(&self, user: &UserId, availability: Availability) -> bool {
        let Some(mut present) = self.users.get_mut(user) else { return false };
        if present.availability == availability || availability == Availability::Offline {
            return false;
        }
        let mut overview = self.overview();
        overview.says(present.availability, availability);
        overview.touch(&(present.since().unwrap_or_default(), user.clone()));
        present.availability = availability;
        true
    }

    /// Those of the users online who have been so for longest, `most` at most, by that time and then by their ids; `now`
    /// is ms since the epoch.
    pub fn online(&self, most: usize, now: i64) -> Vec<OnlineUser> {
        let first = self.overview().first(most);
        self.online_users(&first, now)
    }

    /// As [`Registry::online`], written down for many readers: at most [`crate::events::chat::presence::ELDEST_MAX`], and `bytes`.
    pub fn eldest(&self, now: i64, bytes: usize) -> Arc<[Written]> {
        let wanted = self.overview().eldest(now);
        let wanted = match wanted {
            Ok(written) => return written,
            Err(wanted) => wanted,
        };
        let users = self.online_users(&wanted.users, now);
        let written: Arc<[_]> = Written::all(users, bytes).into();
        self.overview().keep(&wanted, &written, now);
        written
    }

    /// A user as lists of who is online name one; `None` without a session. `now` is ms since the epoch.
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

    /// How many users say what of themselves.
    pub fn tally(&self) -> Tally {
        self.overview().tally()
    }

    fn overview(&self) -> MutexGuard<'_, Overview> {
        self.overview.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ways to the live sessions of a user.
    pub(crate) fn recipients_of(&self, user: &UserId) -> Vec<Recipient<AccessChanged>> {
        let present = self.users.get(user);
        let recipients = |row: &Row| row.recipient.as_ref().and_then(WeakRecipient::upgrade);
        present.map(|present| present.rows.iter().filter_map(recipients).collect()).unwrap_or_default()
    }

    /// The ways to all live sessions that run. Looks at all of them: not for a thread that serves them.
    pub(crate) fn recipients(&self) -> Vec<Recipient<AccessChanged>> {
        let recipients = |present: &Present| {
            let upgraded = present.rows.iter().filter_map(|row| row.recipient.as_ref()?.upgrade());
            upgraded.collect::<Vec<_>>()
        };
        self.users.iter().flat_map(|present| recipients(&present)).collect()
    }

    /// Where the live sessions of a user are that `picks` picks.
    pub fn find_of(&self, user: &UserId, picks: impl Fn(&Identity) -> bool) -> Vec<SessionAddr> {
        self.users.get(user).map(|present| picked(&present.rows, picks).collect()).unwrap_or_default()
    }

    /// Where the live sessions are that `picks` picks. Looks at all of them: not for a thread that serves them.
    pub fn find(&self, picks: impl Fn(&Identity) -> bool) -> Vec<SessionAddr> {
        self.users.iter().flat_map(|present| picked(&present.rows, &picks).collect::<Vec<_>>()).collect()
    }
}

fn picked(rows: &[Row], picks: impl Fn(&Identity) -> bool) -> impl Iterator<Item = SessionAddr> {
    rows.iter().map(|row| &row.session).filter(move |session| picks(&session.identity)).map(|session| session.place)
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub struct Admission(Arc<Registry>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A session that lives, until dropped; in the table once its user is known.
#[derive(Debug)]
pub(crate) struct Entry {
    registry: Arc<Registry>,
    connected_at: i64,
    listed: Option<(UserId, SessionId)>,
    recipient: Option<WeakRecipient<AccessChanged>>,
}

impl Entry {
    /// Counts a session whose user nobody knows yet.
    pub(crate) fn new(registry: Arc<Registry>, connected_at: i64) -> Self {
        registry.stats.sessions.add(1);
        registry.stats.sessions_opened.add(1);
        registry.stats.sessions_since.add(connected_at.unsigned_abs());
        Self { registry, connected_at, listed: None, recipient: None }
    }

    /// Puts the session into the table, as one of the user whom its identity names. It is not there yet.
    pub(crate) fn list(&mut self, session: LiveSession) {
        let (user, id) = (session.identity.user.clone(), session.id);
        let row = Row { session, recipient: self.recipient.clone() };
        let mut present = self.registry.users.entry(user.clone()).or_default();
        let before = present.since();
        // Most users have one or two, and a vector that grows by itself begins with room for four.
        if present.rows.len() < 2 {
            present.rows.reserve_exact(1);
        }
        present.rows.push(row);
        self.registry.overview().moves(&user, before, present.since());
        drop(present);
        self.listed = Some((user, id));
    }

    /// Takes the session out of the table again.
    pub(crate) fn unlist(&mut self) {
        let Some((user, id)) = self.listed.take() else { return };
        self.registry.users.remove_if_mut(&user, |user, present| {
            let before = present.since();
            present.rows.retain(|row| row.session.id != id);
            let mut overview = self.registry.overview();
            overview.moves(user, before, present.since());
            if present.rows.is_empty() {
                overview.says(present.availability, Availability::Offline);
            }
            present.rows.is_empty()
        });
    }

    /// Notes that the session goes by another token of the same user now.
    pub(crate) fn renew(&self, identity: Arc<Identity>) {
        self.change(|row| row.session.identity = identity);
        // It may name the user in another way.
        if let Some((user, _)) = &self.listed
            && let Some(present) = self.registry.users.get(user)
        {
            self.registry.overview().touch(&(present.since().unwrap_or_default(), user.clone()));
        }
    }

    /// Lets the session be reached.
    pub(crate) fn reached_by(&mut self, recipient: WeakRecipient<AccessChanged>) {
        self.recipient = Some(recipient.clone());
        self.change(|row| row.recipient = Some(recipient));
    }

    fn change(&self, change: impl FnOnce(&mut Row)) {
        if let Some((user, id)) = &self.listed
            && let Some(mut present) = self.registry.users.get_mut(user)
            && let Some(row) = present.rows.iter_mut().find(|row| row.session.id == *id)
        {
            change(row);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.unlist();
        self.registry.stats.sessions.sub(1);
        self.registry.stats.sessions_since.sub(self.connected_at.unsigned_abs());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::SessionTable;

    fn session(identity: Identity) -> LiveSession {
        let (place, identity) = (SessionTable::any_addr(), Arc::new(identity));
        let (id, peer) = (SessionId::random(), Peer::default());
        LiveSession { id, surface: Surface::Raw, connected_at: 7, place, identity, peer }
    }

    fn listed(registry: &Arc<Registry>, session: LiveSession) -> Entry {
        let mut entry = Entry::new(registry.clone(), 7);
        entry.list(session);
        entry
    }

    #[test]
    fn a_session_is_found_by_the_token_it_showed_last() {
        let registry = Arc::new(Registry::new(9, Arc::new(Stats::default())));
        let user = UserId::parse("alice", "user").unwrap();
        let with = |id: &str| Identity { token_id: Some(id.into()), ..Identity::of(user.clone()) };
        let found = |id: &'static str| {
            let picks = move |identity: &Identity| identity.token_id.as_deref() == Some(id);
            let found = registry.find(picks);
            assert_eq!(registry.find_of(&user, picks), found);
            found.len()
        };
        let entry = listed(&registry, session(with("first")));
        let _other = listed(&registry, session(with("other")));
        assert_eq!((found("first"), found("second")), (1, 0));
        entry.renew(Arc::new(with("second")));
        assert_eq!((found("first"), found("second"), found("other")), (0, 1, 1));
    }

    #[test]
    fn a_connections_place_comes_back_when_it_ends() {
        let registry = Arc::new(Registry::new(1, Arc::new(Stats::default())));
        let admission = registry.admit().unwrap();
        assert_eq!((registry.admit().unwrap_err().code, registry.connections()), (Code::ServerFull, 1));
        drop(admission);
        assert_eq!(registry.connections(), 0);
        assert!(registry.admit().is_ok());
    }

    #[test]
    fn a_place_that_is_refused_among_those_who_join_comes_back() {
        let registry = Arc::new(Registry::new(4, Arc::new(Stats::default())));
        let held = registry.admit_pending(0).unwrap();
        assert_eq!(registry.admit_pending(0).unwrap_err().code, Code::ServerFull);
        assert_eq!(registry.connections(), 1);
        let others: Vec<_> = (0..3).map(|_| registry.admit().unwrap()).collect();
        assert_eq!(registry.admit_pending(10_000).unwrap_err().code, Code::ServerFull, "nobody gives way for nothing");
        assert_eq!(registry.stats.pending_connections.get(), 1);
        drop((held, others));
        assert_eq!((registry.connections(), registry.stats.pending_connections.get()), (0, 0));
    }

    #[test]
    fn a_session_is_counted_from_its_start_and_found_once_its_user_is_known() {
        let stats = Arc::new(Stats::default());
        let registry = Arc::new(Registry::new(1, stats.clone()));
        let user = UserId::parse("alice", "user").unwrap();
        let session = session(Identity::of(user.clone()));

        let mut entry = Entry::new(registry.clone(), 7);
        assert_eq!((registry.sessions_of(&user), stats.sessions.get()), (vec![], 1));
        entry.list(session.clone());
        assert_eq!(registry.sessions_of(&user), vec![session.clone()]);
        entry.unlist();
        assert_eq!((registry.sessions_of(&user), stats.sessions.get()), (vec![], 1));
        entry.list(session);
        drop(entry);
        assert_eq!((registry.sessions_of(&user), stats.sessions.get()), (vec![], 0));
    }

    fn named(name: &str, connected_at: i64) -> LiveSession {
        let identity = Identity::of(UserId::parse(name, "user").unwrap());
        LiveSession { connected_at, ..session(identity) }
    }

    fn online(registry: &Registry, most: usize) -> Vec<String> {
        let line = |user: OnlineUser| format!("{} {:?} {}", user.user_id, user.status, user.connected_at.0);
        registry.online(most, 99).into_iter().map(line).collect()
    }

    #[test]
    fn those_online_for_longest_come_first_and_each_since_the_oldest_session() {
        let registry = Arc::new(Registry::new(9, Arc::new(Stats::default())));
        let first = listed(&registry, named("carol", 1));
        let _second = listed(&registry, named("carol", 3));
        let _bob = listed(&registry, named("bob", 2));
        let _alice = listed(&registry, named("alice", 2));
        assert_eq!(online(&registry, 9), ["carol Online 1", "alice Online 2", "bob Online 2"]);
        assert_eq!(online(&registry, 1), ["carol Online 1"]);
        drop(first);
        assert_eq!(online(&registry, 9), ["alice Online 2", "bob Online 2", "carol Online 3"]);
    }

    #[test]
    fn what_a_user_says_holds_for_all_sessions_and_until_the_last_one_ends() {
        let registry = Arc::new(Registry::new(9, Arc::new(Stats::default())));
        let alice = UserId::parse("alice", "user").unwrap();
        assert_eq!(registry.availability_of(&alice), Availability::Offline);
        assert!(!registry.set_availability(&alice, Availability::Away), "she is not there");
        let one = listed(&registry, named("alice", 1));
        let _bob = listed(&registry, named("bob", 2));
        assert_eq!(registry.availability_of(&alice), Availability::Online);
        assert!(!registry.set_availability(&alice, Availability::Online), "that is known");
        assert!(registry.set_availability(&alice, Availability::Away));
        assert_eq!(registry.tally(), Tally { online: 1, away: 1, busy: 0 });
        assert!(registry.set_availability(&alice, Availability::Busy));
        let two = listed(&registry, named("alice", 3));
        drop(one);
        assert_eq!(registry.tally(), Tally { online: 1, away: 0, busy: 1 });
        assert_eq!(online(&registry, 9), ["bob Online 2", "alice Busy 3"]);
        drop(two);
        assert_eq!(
            (registry.tally(), online(&registry, 9)),
            (Tally { online: 1, away: 0, busy: 0 }, vec!["bob Online 2".into()])
        );
        let _again = listed(&registry, named("alice", 4));
        assert_eq!(registry.availability_of(&alice), Availability::Online);
    }
}
