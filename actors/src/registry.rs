//! The sessions that live now: how many there may be, and where each user's are.
//!
//! A lookup table off the delivery path. A session enters itself and leaves when its [`Entry`] is dropped, however it
//! ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use crate::events::Surface;
use crate::fault::{Code, Fault};
use crate::ids::{SessionId, UserId};
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
    /// The sign-in that its token came from.
    pub sign_in: Option<String>,
}

/// The table of live sessions.
#[derive(Debug)]
pub struct Registry {
    capacity: usize,
    admitted: AtomicUsize,
    users: DashMap<UserId, Vec<LiveSession>, ahash::RandomState>,
    stats: Arc<Stats>,
}

impl Registry {
    /// A table for at most `capacity` sessions.
    pub fn new(capacity: usize, stats: Arc<Stats>) -> Self {
        Self { capacity, admitted: AtomicUsize::new(0), users: DashMap::default(), stats }
    }

    /// Sessions that may be connected at once.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes one of the places there are.
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
        self.users.get(user).map(|sessions| sessions.clone()).unwrap_or_default()
    }
}

/// One of the places of the table, given back when dropped.
#[derive(Debug)]
pub struct Admission(Arc<Registry>);

impl Admission {
    /// Enters a session of `user`.
    pub fn enter(self, user: UserId, session: LiveSession) -> Entry {
        let id = session.id;
        self.0.stats.sessions.add(1);
        self.0.stats.sessions_opened.add(1);
        self.0.users.entry(user.clone()).or_default().push(session);
        Entry { admission: self, user, id }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A session in the table, taken out when dropped.
#[derive(Debug)]
pub struct Entry {
    admission: Admission,
    user: UserId,
    id: SessionId,
}

impl Entry {
    /// Notes that the session goes by a token of another sign-in now.
    pub fn sign_in(&self, sign_in: Option<String>) {
        if let Some(mut sessions) = self.admission.0.users.get_mut(&self.user)
            && let Some(session) = sessions.iter_mut().find(|session| session.id == self.id)
        {
            session.sign_in = sign_in;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let registry = &self.admission.0;
        registry.stats.sessions.sub(1);
        registry.users.remove_if_mut(&self.user, |_, sessions| {
            sessions.retain(|session| session.id != self.id);
            sessions.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seat::Seats;

    #[test]
    fn a_place_comes_back_when_its_session_ends() {
        let stats = Arc::new(Stats::default());
        let registry = Arc::new(Registry::new(1, stats.clone()));
        let user = UserId::parse("alice", "user").unwrap();
        let place = Seats::any_place();
        let session =
            LiveSession { id: SessionId::random(), surface: Surface::Raw, connected_at: 7, place, sign_in: None };

        let entry = registry.admit().unwrap().enter(user.clone(), session.clone());
        assert_eq!(registry.admit().unwrap_err().code, Code::ServerFull);
        assert_eq!(registry.sessions_of(&user), vec![session]);
        assert_eq!(stats.sessions.get(), 1);

        drop(entry);
        assert_eq!(registry.sessions_of(&user), vec![]);
        assert_eq!(stats.sessions.get(), 0);
        assert!(registry.admit().is_ok());
    }
}
