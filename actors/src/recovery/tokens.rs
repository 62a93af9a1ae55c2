//! Recovery tokens and their sessions. Pure. In this module, a private id is a token too: [`By`] distinguishes them. A
//! session with a token is live or suspended. The token of a suspended session is valid until the session expires.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ahash::{AHashMap, RandomState};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::connection::{Served, SessionAddr};
use crate::model::identity::Identity;
use crate::model::ids::{RecoveryToken, RoomName, SessionId, UserId};
use crate::notifications::Backlog;
use crate::publication::Offset;
use crate::rooms::publication_log::RoomCursor;
use crate::runtime::clock::Expiry;

/// The SHA-256 of a token; the token itself is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    pub(crate) fn of(token: &RecoveryToken) -> Self {
        Self(Sha256::digest(token.as_str()).into())
    }
}

/// The session of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub session: SessionId,
    /// Its identity.
    pub identity: Arc<Identity>,
    /// How it may be recovered.
    pub by: By,
    /// Its address.
    pub addr: SessionAddr,
    /// When its access token expires.
    pub expiry: Expiry,
    /// When it connected, ms since the epoch. A session that recovered another has the time of that one.
    pub connected_at: i64,
}

/// How a session may be recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum By {
    /// By a token that its client requested: another session of the user takes it over.
    Token,
    /// By its private id (pid; Socket.IO's connection state recovery): it resumes on another connection.
    Pid {
        /// It had no user when it started: its client keeps its identity without a token.
        came_as_guest: bool,
    },
}

/// The proof that a client sends to recover a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoveryClaim {
    /// A token, as this user.
    Token(UserId),
    /// A private id, as this user or not yet authenticated.
    Pid(Option<UserId>),
}

impl RecoveryClaim {
    /// Whether it may recover the session of `holder`.
    pub(super) fn matches(&self, holder: &Holder) -> bool {
        match (self, holder.by) {
            (Self::Token(user), By::Token) | (Self::Pid(Some(user)), By::Pid { .. }) => *user == holder.identity.user,
            (Self::Pid(None), By::Pid { came_as_guest }) => came_as_guest,
            (Self::Token(_), By::Pid { .. }) | (Self::Pid(_), By::Token) => false,
        }
    }
}

/// A suspended session: its connection was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspendedSession {
    /// The session.
    pub holder: Holder,
    /// Its rooms, each with the last publication before those that the client may have missed.
    pub rooms: Vec<RoomCursor>,
    /// The rooms that were closed to its user since the cut. Its client does not know that yet.
    pub closed: Vec<RoomName>,
    /// The offset that its client named when the session began.
    pub named: Option<Offset>,
    /// How far it was served.
    pub served: Served,
    /// Its unread notifications.
    pub backlog: Option<Backlog>,
    /// The client's last request, ms since the epoch.
    pub last_activity: i64,
    /// Attempts to recover it, with the current one.
    pub attempt: u32,
}

impl SuspendedSession {
    /// The rooms that count for [`SUSPENDED_ROOMS_MAX`].
    fn room_count(&self) -> usize {
        self.rooms.len() + self.closed.len()
    }
}

/// What a suspension adds to the record of a session.
#[derive(Debug)]
pub struct Suspension {
    /// As [`SuspendedSession::rooms`].
    pub rooms: Vec<RoomCursor>,
    /// As [`SuspendedSession::named`].
    pub named: Option<Offset>,
    /// As [`SuspendedSession::served`].
    pub served: Served,
    /// As [`SuspendedSession::backlog`].
    pub backlog: Option<Backlog>,
    /// As [`SuspendedSession::last_activity`].
    pub last_activity: i64,
}

/// The result of a suspension.
#[derive(Debug, PartialEq, Eq)]
pub enum SuspendResult {
    /// The session has no valid token. Its rooms.
    Unknown(Vec<RoomName>),
    /// The session is suspended. The sessions that were evicted because of a bound: the ones suspended first, and the
    /// session itself when the bound is 0.
    Suspended(Vec<SuspendedSession>),
}

/// The result of a redemption.
#[derive(Debug, PartialEq, Eq)]
pub enum Redeemed {
    /// The token is unknown, used, expired, or of another user.
    Nothing,
    /// The session is live: its connection may be dead, but undetected so far. The token stays valid.
    Live(SessionAddr, SessionId),
    /// The suspended session, and when it would have expired. The token is used up.
    Suspended(SuspendedSession, i64),
}

#[derive(Debug)]
enum TokenState {
    Live(Holder),
    /// Its attempts do not count the successful one.
    Suspended(SuspendedSession, ExpiryKey),
}

/// When a suspended session expires, ms by [`crate::runtime::clock::Clock::elapsed_ms`], and a number that makes the
/// key unique.
type ExpiryKey = (i64, u64);

/// The most suspended sessions of one user: a user with many cut connections does not evict sessions of others.
pub const SUSPENDED_OF_USER_MAX: usize = 100;

/// The most rooms of all suspended sessions.
pub const SUSPENDED_ROOMS_MAX: usize = 500_000;

/// The valid tokens.
#[derive(Debug)]
pub struct TokenTable {
    window_ms: i64,
    /// The most suspended sessions.
    most: usize,
    /// Suspended sessions of each user.
    of_user: AHashMap<UserId, usize>,
    tokens: HashMap<TokenHash, TokenState, RandomState>,
    of_session: AHashMap<SessionId, TokenHash>,
    suspended: BTreeMap<ExpiryKey, TokenHash>,
    /// The rooms of the suspended sessions, closed ones included.
    rooms: usize,
    number: u64,
}

impl TokenTable {
    /// No tokens. A session stays suspended for `window_ms`; at most `most` sessions are suspended.
    pub fn new(window_ms: i64, most: usize) -> Self {
        Self {
            window_ms,
            most,
            of_user: AHashMap::new(),
            tokens: HashMap::default(),
            of_session: AHashMap::new(),
            suspended: BTreeMap::new(),
            rooms: 0,
            number: 0,
        }
    }

    /// Adds the token of a live session. Its previous token becomes invalid.
    pub fn issue(&mut self, holder: Holder, token: &RecoveryToken) {
        let token = TokenHash::of(token);
        self.discard(holder.session);
        self.of_session.insert(holder.session, token);
        self.tokens.insert(token, TokenState::Live(holder));
    }

    /// Suspends a session with a token at `elapsed`.
    pub fn suspend(&mut self, session: SessionId, suspension: Suspension, elapsed: i64) -> SuspendResult {
        let Suspension { rooms, named, served, backlog, last_activity } = suspension;
        let unknown =
            |rooms: Vec<RoomCursor>| SuspendResult::Unknown(rooms.into_iter().map(|cursor| cursor.room).collect());
        let Some(&token) = self.of_session.get(&session) else { return unknown(rooms) };
        let holder = match self.tokens.remove(&token) {
            Some(TokenState::Live(holder)) => holder,
            other => {
                self.tokens.extend(other.map(|state| (token, state)));
                return unknown(rooms);
            }
        };
        let user = holder.identity.user.clone();
        self.insert(
            token,
            SuspendedSession { holder, rooms, closed: Vec::new(), named, served, backlog, last_activity, attempt: 0 },
            elapsed + self.window_ms,
        );
        SuspendResult::Suspended(std::iter::from_fn(|| self.evict(&user)).collect())
    }

    /// Removes a session if a bound is exceeded.
    fn evict(&mut self, user: &UserId) -> Option<SuspendedSession> {
        let first = match self.of_user.get(user) {
            Some(&many) if many > SUSPENDED_OF_USER_MAX => self.first_of(Some(user)),
            _ if self.suspended.len() > self.most || self.rooms > SUSPENDED_ROOMS_MAX => self.first_of(None),
            _ => None,
        };
        first.and_then(|first| self.take(first))
    }

    /// The session suspended first, of all or of one user.
    fn first_of(&self, user: Option<&UserId>) -> Option<ExpiryKey> {
        let is_candidate = |token: &TokenHash| match self.tokens.get(token) {
            Some(TokenState::Suspended(suspended, _)) => {
                user.is_none_or(|user| suspended.holder.identity.user == *user)
            }
            Some(TokenState::Live(_)) | None => false,
        };
        self.suspended.iter().find(|(_, token)| is_candidate(token)).map(|(&due, _)| due)
    }

    /// Adds a suspended session that expires at `at`, ms as of [`TokenTable::expire`].
    pub fn insert(&mut self, token: TokenHash, suspended: SuspendedSession, at: i64) {
        self.number += 1;
        let due = (at, self.number);
        *self.of_user.entry(suspended.holder.identity.user.clone()).or_default() += 1;
        self.of_session.insert(suspended.holder.session, token);
        self.rooms += suspended.room_count();
        self.tokens.insert(token, TokenState::Suspended(suspended, due));
        self.suspended.insert(due, token);
    }

    /// Removes and returns all suspended sessions with their tokens and expiries, in the order of expiry.
    pub fn take_all(&mut self) -> Vec<(TokenHash, SuspendedSession, i64)> {
        let all: Vec<_> = self.suspended.iter().map(|(&due, &token)| (due, token)).collect();
        all.into_iter().filter_map(|(due, token)| Some((token, self.take(due)?, due.0))).collect()
    }

    /// Removes the token of a live session that ended.
    pub fn discard(&mut self, session: SessionId) {
        if let Some(token) = self.of_session.get(&session)
            && let Some(TokenState::Live(_)) = self.tokens.get(token)
        {
            self.tokens.remove(token);
            self.of_session.remove(&session);
        }
    }

    /// Removes the tokens of all identities that `matches` accepts; returns their suspended sessions.
    pub fn drop_records(&mut self, matches: impl Fn(&Identity) -> bool) -> Vec<SuspendedSession> {
        let is_dropped = |holder: &Holder| matches(&holder.identity);
        let (mut live, mut suspended) = (Vec::new(), Vec::new());
        for state in self.tokens.values() {
            match state {
                TokenState::Live(holder) if is_dropped(holder) => live.push(holder.session),
                TokenState::Suspended(session, due) if is_dropped(&session.holder) => suspended.push(*due),
                TokenState::Live(_) | TokenState::Suspended(..) => {}
            }
        }
        live.into_iter().for_each(|session| self.discard(session));
        suspended.sort_unstable();
        suspended.into_iter().filter_map(|due| self.take(due)).collect()
    }

    /// Redeems `token` for `claim`.
    pub fn redeem(&mut self, token: &RecoveryToken, claim: &RecoveryClaim) -> Redeemed {
        self.note_attempt(token);
        match self.tokens.get(&TokenHash::of(token)) {
            Some(TokenState::Live(holder)) if claim.matches(holder) => Redeemed::Live(holder.addr, holder.session),
            Some(TokenState::Suspended(suspended, due)) if claim.matches(&suspended.holder) => {
                let due = *due;
                self.take(due).map_or(Redeemed::Nothing, |suspended| Redeemed::Suspended(suspended, due.0))
            }
            _ => Redeemed::Nothing,
        }
    }

    /// Counts an attempt to recover the session of `token`.
    pub fn note_attempt(&mut self, token: &RecoveryToken) {
        if let Some(TokenState::Suspended(suspended, _)) = self.tokens.get_mut(&TokenHash::of(token)) {
            suspended.attempt = suspended.attempt.saturating_add(1);
        }
    }

    /// Closes `room` in the records of all users that `may_join` rejects. Returns the number of removed cursors.
    pub fn close_room(&mut self, room: &RoomName, may_join: impl Fn(&UserId) -> bool) -> usize {
        let mut left = 0;
        for state in self.tokens.values_mut() {
            if let TokenState::Suspended(suspended, _) = state
                && !may_join(&suspended.holder.identity.user)
            {
                let closed = suspended.rooms.extract_if(.., |cursor| cursor.room == *room);
                let closed: Vec<_> = closed.map(|cursor| cursor.room).collect();
                left += closed.len();
                suspended.closed.extend(closed);
            }
        }
        left
    }

    /// Removes and returns a session that is expired at `elapsed`.
    pub fn expire(&mut self, elapsed: i64) -> Option<SuspendedSession> {
        let due = *self.suspended.first_key_value()?.0;
        (due.0 <= elapsed).then(|| self.take(due)).flatten()
    }

    /// The time of the next expiry.
    pub fn next_due(&self) -> Option<i64> {
        self.suspended.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Valid tokens.
    pub fn count(&self) -> usize {
        self.tokens.len()
    }

    /// Suspended sessions.
    pub fn suspended(&self) -> usize {
        self.suspended.len()
    }

    fn take(&mut self, due: ExpiryKey) -> Option<SuspendedSession> {
        let token = self.suspended.remove(&due)?;
        let Some(TokenState::Suspended(suspended, _)) = self.tokens.remove(&token) else { return None };
        self.of_session.remove(&suspended.holder.session);
        self.rooms -= suspended.room_count();
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
mod tests;
