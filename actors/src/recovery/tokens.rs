//! Which token recovers which session, pure. A session that has a token is live, or was cut off and is parked for a while;
//! then its token holds for that long.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ahash::{AHashMap, RandomState};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::connection::SessionAddr;
use crate::model::identity::Identity;
use crate::model::ids::{RecoveryToken, RoomName, SessionId, UserId};
use crate::runtime::clock::Expiry;

/// A token as it is known: by its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    pub(crate) fn of(token: &RecoveryToken) -> Self {
        Self(Sha256::digest(token.as_str()).into())
    }
}

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The session.
    pub session: SessionId,
    /// Whose session it is.
    pub identity: Arc<Identity>,
    /// By what it may be recovered.
    pub by: By,
    /// Where it sits.
    pub place: SessionAddr,
    /// When its token ends it.
    pub expiry: Expiry,
    /// When it connected, ms since the epoch; of one that goes on with another, when that one did.
    pub connected_at: i64,
}

/// By what a session may be recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum By {
    /// By a token that its client asked for: another session of its user goes on with it.
    Token,
    /// By its private id (Socket.IO's connection state recovery): it goes on itself, on another connection.
    Pid {
        /// It had no user when it started: its client is who it was, without showing so.
        came_as_guest: bool,
    },
}

/// Who wants to recover a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// This user, by a token.
    Token(UserId),
    /// This user, or one who did not say yet, by a private id.
    Pid(Option<UserId>),
}

impl Claim {
    /// Whether it is good for the session of `holder`.
    pub(super) fn suits(&self, holder: &Holder) -> bool {
        match (self, holder.by) {
            (Self::Token(user), By::Token) | (Self::Pid(Some(user)), By::Pid { .. }) => *user == holder.identity.user,
            (Self::Pid(None), By::Pid { came_as_guest }) => came_as_guest,
            (Self::Token(_), By::Pid { .. }) | (Self::Pid(_), By::Token) => false,
        }
    }
}

/// A session that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspendedSession {
    /// What it was.
    pub holder: Holder,
    /// The rooms that its seat still gets messages of.
    pub rooms: Vec<RoomName>,
    /// When its client last asked something, ms since the epoch.
    pub last_activity: i64,
    /// How often somebody tried to come back to it, this time included.
    pub attempt: u32,
}

/// What became of a session that was to be parked.
#[derive(Debug, PartialEq, Eq)]
pub enum Parking {
    /// It has no token that holds.
    Unknown,
    /// It is parked; for want of room, this one has to go: the one parked first, or itself where none may be.
    Parked(Option<SuspendedSession>),
}

/// What a token is good for.
#[derive(Debug, PartialEq, Eq)]
pub enum Redeemed {
    /// Nothing: it is no token, another user's, used or too old.
    Nothing,
    /// Its session lives: the connection may be dead and nobody noticed yet. The token still holds.
    Live(SessionAddr, SessionId),
    /// The session that was cut off. The token is used.
    Parked(SuspendedSession),
}

#[derive(Debug)]
enum State {
    Live(Holder),
    /// Not counted in its attempts is the one that succeeds.
    Parked(SuspendedSession, Due),
}

/// When a parked session goes, ms by [`crate::runtime::clock::Clock::elapsed_ms`], and which one of those.
type Due = (i64, u64);

/// Parked sessions of one user, at most: who connects and is cut off again and again does not push out others.
pub const PARKED_OF_USER_MAX: usize = 100;

/// The tokens that hold.
#[derive(Debug)]
pub struct TokenTable {
    window_ms: i64,
    /// Parked sessions, at most.
    most: usize,
    /// How many are each user's.
    of_user: AHashMap<UserId, usize>,
    tickets: HashMap<TokenHash, State, RandomState>,
    of_session: AHashMap<SessionId, TokenHash>,
    suspended: BTreeMap<Due, TokenHash>,
    number: u64,
}

impl TokenTable {
    /// No tokens; a session stays parked for `window_ms`, and at most `most` are.
    pub fn new(window_ms: i64, most: usize) -> Self {
        Self {
            window_ms,
            most,
            of_user: AHashMap::new(),
            tickets: HashMap::default(),
            of_session: AHashMap::new(),
            suspended: BTreeMap::new(),
            number: 0,
        }
    }

    /// Notes the token of a live session. One that it had before holds no more.
    pub fn issue(&mut self, holder: Holder, token: &RecoveryToken) {
        let token = TokenHash::of(token);
        self.discard(holder.session);
        self.of_session.insert(holder.session, token);
        self.tickets.insert(token, State::Live(holder));
    }

    /// A session with a token was cut off at `elapsed`; it gave up all but its seat.
    pub fn park(&mut self, session: SessionId, rooms: Vec<RoomName>, last_activity: i64, elapsed: i64) -> Parking {
        let Some(&token) = self.of_session.get(&session) else { return Parking::Unknown };
        let holder = match self.tickets.remove(&token) {
            Some(State::Live(holder)) => holder,
            other => {
                self.tickets.extend(other.map(|state| (token, state)));
                return Parking::Unknown;
            }
        };
        let user = holder.identity.user.clone();
        self.keep(token, SuspendedSession { holder, rooms, last_activity, attempt: 0 }, elapsed + self.window_ms);
        let first = match self.of_user.get(&user) {
            Some(&many) if many > PARKED_OF_USER_MAX => self.first_of(Some(&user)),
            _ if self.suspended.len() > self.most => self.first_of(None),
            _ => None,
        };
        Parking::Parked(first.and_then(|first| self.take(first)))
    }

    /// The session that was parked first, of all or of one user.
    fn first_of(&self, user: Option<&UserId>) -> Option<Due> {
        let is_whose = |token: &TokenHash| match self.tickets.get(token) {
            Some(State::Parked(suspended, _)) => user.is_none_or(|user| suspended.holder.identity.user == *user),
            Some(State::Live(_)) | None => false,
        };
        self.suspended.iter().find(|(_, token)| is_whose(token)).map(|(&due, _)| due)
    }

    /// A session is parked until `at`, ms as of [`TokenTable::expire`].
    pub fn keep(&mut self, token: TokenHash, suspended: SuspendedSession, at: i64) {
        self.number += 1;
        let due = (at, self.number);
        *self.of_user.entry(suspended.holder.identity.user.clone()).or_default() += 1;
        self.of_session.insert(suspended.holder.session, token);
        self.tickets.insert(token, State::Parked(suspended, due));
        self.suspended.insert(due, token);
    }

    /// All parked sessions with their tokens and until when they are, those first that go first; none is parked any more.
    pub fn take_all(&mut self) -> Vec<(TokenHash, SuspendedSession, i64)> {
        let all: Vec<_> = self.suspended.iter().map(|(&due, &token)| (due, token)).collect();
        all.into_iter().filter_map(|(due, token)| Some((token, self.take(due)?, due.0))).collect()
    }

    /// A session ended for good; its token holds no more.
    pub fn discard(&mut self, session: SessionId) {
        if let Some(token) = self.of_session.get(&session)
            && let Some(State::Live(_)) = self.tickets.get(token)
        {
            self.tickets.remove(token);
            self.of_session.remove(&session);
        }
    }

    /// No token holds any more of those whom `picks` picks; the parked sessions that go with them.
    pub fn forget(&mut self, picks: impl Fn(&Identity) -> bool) -> Vec<SuspendedSession> {
        let is_picked = |holder: &Holder| picks(&holder.identity);
        let (mut live, mut suspended) = (Vec::new(), Vec::new());
        for state in self.tickets.values() {
            match state {
                State::Live(holder) if is_picked(holder) => live.push(holder.session),
                State::Parked(session, due) if is_picked(&session.holder) => suspended.push(*due),
                State::Live(_) | State::Parked(..) => {}
            }
        }
        live.into_iter().for_each(|session| self.discard(session));
        suspended.sort_unstable();
        suspended.into_iter().filter_map(|due| self.take(due)).collect()
    }

    /// What `token` is good for in the hands of `claim`.
    pub fn redeem(&mut self, token: &RecoveryToken, claim: &Claim) -> Redeemed {
        self.note_attempt(token);
        match self.tickets.get(&TokenHash::of(token)) {
            Some(State::Live(holder)) if claim.suits(holder) => Redeemed::Live(holder.place, holder.session),
            Some(State::Parked(suspended, due)) if claim.suits(&suspended.holder) => {
                let due = *due;
                self.take(due).map_or(Redeemed::Nothing, Redeemed::Parked)
            }
            _ => Redeemed::Nothing,
        }
    }

    /// Somebody tried to come back to the session of `token`.
    pub fn note_attempt(&mut self, token: &RecoveryToken) {
        if let Some(State::Parked(suspended, _)) = self.tickets.get_mut(&TokenHash::of(token)) {
            suspended.attempt = suspended.attempt.saturating_add(1);
        }
    }

    /// A parked session whose time has passed at `elapsed`.
    pub fn expire(&mut self, elapsed: i64) -> Option<SuspendedSession> {
        let due = *self.suspended.first_key_value()?.0;
        (due.0 <= elapsed).then(|| self.take(due)).flatten()
    }

    /// When the next parked session's time has passed.
    pub fn next_due(&self) -> Option<i64> {
        self.suspended.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Tokens that hold.
    pub fn count(&self) -> usize {
        self.tickets.len()
    }

    /// Parked sessions.
    pub fn suspended(&self) -> usize {
        self.suspended.len()
    }

    fn take(&mut self, due: Due) -> Option<SuspendedSession> {
        let token = self.suspended.remove(&due)?;
        let Some(State::Parked(suspended, _)) = self.tickets.remove(&token) else { return None };
        self.of_session.remove(&suspended.holder.session);
        if let Some(many) = self.of_user.get_mut(&suspended.holder.identity.user) {
            *many -= 1;
            if *many == 0 {
                self.of_user.remove(&suspended.holder.identity.user);
            }
        }
        Some(suspended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::SessionTable;

    fn user(id: &str) -> UserId {
        UserId::parse(id, "user").unwrap()
    }

    fn token(text: &str) -> RecoveryToken {
        RecoveryToken::read(text)
    }

    fn holder(id: &str) -> Holder {
        let (session, identity) = (SessionId::random(), Arc::new(Identity::of(user(id))));
        let (expiry, place) = (Expiry::NEVER, SessionTable::any_addr());
        Holder { session, identity, by: By::Token, place, expiry, connected_at: 3 }
    }

    fn claim(id: &str) -> Claim {
        Claim::Token(user(id))
    }

    fn suspended(tickets: &mut TokenTable, id: &str, name: &str, elapsed: i64) -> Option<SuspendedSession> {
        let holder = holder(id);
        tickets.issue(holder.clone(), &token(name));
        match tickets.park(holder.session, vec![RoomName::everybody()], 5, elapsed) {
            Parking::Parked(evicted) => evicted,
            Parking::Unknown => panic!("it has a token"),
        }
    }

    #[test]
    fn a_token_recovers_a_session_that_was_cut_off_once_and_for_its_user_alone() {
        let mut tickets = TokenTable::new(100, 9);
        let holder = holder("a");
        tickets.issue(holder.clone(), &token("t"));
        assert_eq!(tickets.redeem(&token("t"), &claim("a")), Redeemed::Live(holder.place, holder.session));
        assert_eq!(tickets.park(holder.session, vec![RoomName::everybody()], 5, 0), Parking::Parked(None));
        assert_eq!(tickets.park(holder.session, Vec::new(), 5, 0), Parking::Unknown);
        assert_eq!(tickets.redeem(&token("t"), &claim("b")), Redeemed::Nothing);
        assert_eq!(tickets.redeem(&token("u"), &claim("a")), Redeemed::Nothing);
        let expected = SuspendedSession { holder, rooms: vec![RoomName::everybody()], last_activity: 5, attempt: 2 };
        assert_eq!(tickets.redeem(&token("t"), &claim("a")), Redeemed::Parked(expected));
        assert_eq!(tickets.redeem(&token("t"), &claim("a")), Redeemed::Nothing);
        assert_eq!((tickets.count(), tickets.suspended(), tickets.of_session.len()), (0, 0, 0));
    }

    #[test]
    fn a_new_token_takes_the_place_of_the_old_one_and_the_end_of_a_session_that_of_its_token() {
        let mut tickets = TokenTable::new(100, 9);
        let holder = holder("a");
        tickets.issue(holder.clone(), &token("old"));
        tickets.issue(holder.clone(), &token("new"));
        assert_eq!(tickets.redeem(&token("old"), &claim("a")), Redeemed::Nothing);
        tickets.discard(holder.session);
        assert_eq!(tickets.redeem(&token("new"), &claim("a")), Redeemed::Nothing);
        assert_eq!((tickets.count(), tickets.of_session.len()), (0, 0));
        assert_eq!(tickets.park(holder.session, Vec::new(), 0, 0), Parking::Unknown);
    }

    #[test]
    fn a_parked_session_goes_when_its_time_has_passed() {
        let mut tickets = TokenTable::new(100, 9);
        assert_eq!(suspended(&mut tickets, "a", "t", 0), None);
        assert_eq!(suspended(&mut tickets, "b", "u", 10), None);
        assert_eq!((tickets.next_due(), tickets.expire(99)), (Some(100), None));
        assert_eq!(tickets.expire(100).map(|suspended| suspended.holder.identity.user.clone()), Some(user("a")));
        assert_eq!((tickets.expire(100), tickets.next_due()), (None, Some(110)));
        assert_eq!(tickets.redeem(&token("t"), &claim("a")), Redeemed::Nothing);
    }

    #[test]
    fn a_user_whose_sessions_are_ended_has_no_token_left_and_others_keep_theirs() {
        let mut tickets = TokenTable::new(100, 9);
        let live = holder("a");
        tickets.issue(live.clone(), &token("live"));
        suspended(&mut tickets, "a", "second", 7);
        suspended(&mut tickets, "a", "first", 5);
        suspended(&mut tickets, "b", "other", 6);
        let forgotten = tickets.forget(|identity| identity.user == user("a"));
        assert_eq!(
            forgotten.iter().map(|suspended| suspended.holder.identity.user.as_str()).collect::<Vec<_>>(),
            ["a", "a"]
        );
        for name in ["live", "first", "second"] {
            assert_eq!(tickets.redeem(&token(name), &claim("a")), Redeemed::Nothing, "{name}");
        }
        assert_eq!(tickets.park(live.session, Vec::new(), 5, 0), Parking::Unknown);
        assert_eq!((tickets.count(), tickets.suspended(), tickets.of_session.len()), (1, 1, 1));
        assert_eq!(tickets.forget(|_| false), []);
    }

    #[test]
    fn the_one_parked_first_goes_where_there_are_too_many() {
        let mut tickets = TokenTable::new(100, 1);
        assert_eq!(suspended(&mut tickets, "a", "t", 0), None);
        assert_eq!(
            suspended(&mut tickets, "b", "u", 0).map(|suspended| suspended.holder.identity.user.clone()),
            Some(user("a"))
        );
        assert_eq!((tickets.suspended(), tickets.count()), (1, 1));
        let mut many = TokenTable::new(100, 1_000);
        suspended(&mut many, "b", "other", 0);
        for number in 0..PARKED_OF_USER_MAX {
            assert_eq!(suspended(&mut many, "a", &format!("a{number}"), 1), None);
        }
        assert_eq!(
            suspended(&mut many, "a", "one more", 2).map(|suspended| suspended.holder.identity.user.clone()),
            Some(user("a"))
        );
        assert_eq!(many.redeem(&token("a0"), &claim("a")), Redeemed::Nothing);
        assert_eq!((many.suspended(), many.of_user.len()), (PARKED_OF_USER_MAX + 1, 2));
        let mut none = TokenTable::new(100, 0);
        assert!(suspended(&mut none, "a", "t", 0).is_some());
    }

    #[test]
    fn a_private_id_is_good_for_its_own_user_and_for_nobody_where_it_was_nobodys() {
        let mut tickets = TokenTable::new(100, 9);
        let mut park = |came_as_guest, name| {
            let holder = Holder { by: By::Pid { came_as_guest }, ..holder("a") };
            tickets.issue(holder.clone(), &token(name));
            tickets.park(holder.session, Vec::new(), 0, 0);
        };
        park(false, "user's");
        park(true, "guest's");
        let none = [Claim::Pid(Some(user("b"))), Claim::Token(user("a")), Claim::Pid(None)];
        for claim in &none {
            assert_eq!(tickets.redeem(&token("user's"), claim), Redeemed::Nothing, "{claim:?}");
        }
        for claim in &none[..2] {
            assert_eq!(tickets.redeem(&token("guest's"), claim), Redeemed::Nothing, "{claim:?}");
        }
        tickets.note_attempt(&token("guest's"));
        for (name, claim, attempts) in [("user's", Claim::Pid(Some(user("a"))), 4), ("guest's", Claim::Pid(None), 4)] {
            let Redeemed::Parked(suspended) = tickets.redeem(&token(name), &claim) else { panic!("{name}") };
            assert_eq!(suspended.attempt, attempts, "{name}");
        }
    }
}
