//! The connections and sessions that live now: how many connections there may be, and where each user's sessions are.
//!
//! A lookup table off the delivery path. A transport holds its connection's [`Admission`] for as long as that lasts. A
//! session, of which one connection may carry several, enters itself and leaves when its [`Entry`] is dropped, however
//! it ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::{Recipient, WeakRecipient};
use dashmap::DashMap;

use crate::events::Surface;
use crate::fault::{Code, Fault};
use crate::identity::Identity;
use crate::ids::{RoomName, SessionId, UserId};
use crate::peer::Peer;
use crate::seat::Place;
use crate::stats::Stats;

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
    pub place: Place,
    /// Who it is, by the last token it showed.
    pub identity: Arc<Identity>,
    /// Its client.
    pub peer: Peer,
}

/// Tells a session that it may not be allowed any more to be in a room it is in. Answered when it has looked, and left
/// where it had to.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct AccessChanged {
    pub(crate) room: RoomName,
}

#[derive(Debug)]
struct Row {
    session: LiveSession,
    /// Set once the session runs.
    recipient: Option<WeakRecipient<AccessChanged>>,
}

/// The table of live sessions.
#[derive(Debug)]
pub struct Registry {
    capacity: usize,
    admitted: AtomicUsize,
    users: DashMap<UserId, Vec<Row>, ahash::RandomState>,
    stats: Arc<Stats>,
}

impl Registry {
    /// A table for the sessions of at most `capacity` connections.
    pub fn new(capacity: usize, stats: Arc<Stats>) -> Self {
        Self { capacity, admitted: AtomicUsize::new(0), users: DashMap::default(), stats }
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
            Err(_) => Err(Fault::new(Code::ServerFull, "At capacity")),
        }
    }

    /// The live sessions of a user, oldest first.
    pub fn sessions_of(&self, user: &UserId) -> Vec<LiveSession> {
        let rows = self.users.get(user);
        rows.map(|rows| rows.iter().map(|row| row.session.clone()).collect()).unwrap_or_default()
    }

    /// The ways to the live sessions of a user.
    pub(crate) fn recipients_of(&self, user: &UserId) -> Vec<Recipient<AccessChanged>> {
        let rows = self.users.get(user);
        let recipients = |row: &Row| row.recipient.as_ref().and_then(WeakRecipient::upgrade);
        rows.map(|rows| rows.iter().filter_map(recipients).collect()).unwrap_or_default()
    }

    /// Where the live sessions of a user are that `picks` picks.
    pub fn find_of(&self, user: &UserId, picks: impl Fn(&Identity) -> bool) -> Vec<Place> {
        self.users.get(user).map(|sessions| picked(&sessions, picks).collect()).unwrap_or_default()
    }

    /// Where the live sessions are that `picks` picks. Looks at all of them: not for a thread that serves them.
    pub fn find(&self, picks: impl Fn(&Identity) -> bool) -> Vec<Place> {
        self.users.iter().flat_map(|sessions| picked(&sessions, &picks).collect::<Vec<_>>()).collect()
    }
}

fn picked(rows: &[Row], picks: impl Fn(&Identity) -> bool) -> impl Iterator<Item = Place> {
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
    listed: Option<(UserId, SessionId)>,
    recipient: Option<WeakRecipient<AccessChanged>>,
}

impl Entry {
    /// Counts a session whose user nobody knows yet.
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        registry.stats.sessions.add(1);
        registry.stats.sessions_opened.add(1);
        Self { registry, listed: None, recipient: None }
    }

    /// Puts the session into the table, as one of the user whom its identity names. It is not there yet.
    pub(crate) fn list(&mut self, session: LiveSession) {
        let (user, id) = (session.identity.user.clone(), session.id);
        let row = Row { session, recipient: self.recipient.clone() };
        self.registry.users.entry(user.clone()).or_default().push(row);
        self.listed = Some((user, id));
    }

    /// Takes the session out of the table again.
    pub(crate) fn unlist(&mut self) {
        let Some((user, id)) = self.listed.take() else { return };
        self.registry.users.remove_if_mut(&user, |_, rows| {
            rows.retain(|row| row.session.id != id);
            rows.is_empty()
        });
    }

    /// Notes that the session goes by another token of the same user now.
    pub(crate) fn renew(&self, identity: Arc<Identity>) {
        self.change(|row| row.session.identity = identity);
    }

    /// Lets the session be reached.
    pub(crate) fn reached_by(&mut self, recipient: WeakRecipient<AccessChanged>) {
        self.recipient = Some(recipient.clone());
        self.change(|row| row.recipient = Some(recipient));
    }

    fn change(&self, change: impl FnOnce(&mut Row)) {
        if let Some((user, id)) = &self.listed
            && let Some(mut rows) = self.registry.users.get_mut(user)
            && let Some(row) = rows.iter_mut().find(|row| row.session.id == *id)
        {
            change(row);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.unlist();
        self.registry.stats.sessions.sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seat::Seats;

    fn session(identity: Identity) -> LiveSession {
        let (place, identity) = (Seats::any_place(), Arc::new(identity));
        let (id, peer) = (SessionId::random(), Peer::default());
        LiveSession { id, surface: Surface::Raw, connected_at: 7, place, identity, peer }
    }

    fn listed(registry: &Arc<Registry>, session: LiveSession) -> Entry {
        let mut entry = Entry::new(registry.clone());
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
    fn a_session_is_counted_from_its_start_and_found_once_its_user_is_known() {
        let stats = Arc::new(Stats::default());
        let registry = Arc::new(Registry::new(1, stats.clone()));
        let user = UserId::parse("alice", "user").unwrap();
        let session = session(Identity::of(user.clone()));

        let mut entry = Entry::new(registry.clone());
        assert_eq!((registry.sessions_of(&user), stats.sessions.get()), (vec![], 1));
        entry.list(session.clone());
        assert_eq!(registry.sessions_of(&user), vec![session.clone()]);
        entry.unlist();
        assert_eq!((registry.sessions_of(&user), stats.sessions.get()), (vec![], 1));
        entry.list(session);
        drop(entry);
        assert_eq!((registry.sessions_of(&user), stats.sessions.get()), (vec![], 0));
    }
}
