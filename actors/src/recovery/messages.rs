//! The messages of [`Recovery`](super::directory::Recovery).

use std::fmt;
use std::ops::Deref;

use super::tokens::{Holder, RecoveryClaim, SuspendedSession, Suspension, TokenHash};
use crate::model::fault::Fault;
use crate::model::ids::{RecoveryToken, RoomName, SessionId, UserId};
use crate::rooms::Rooms;
use crate::rooms::publication_log::RoomCursor;
use crate::runtime::mailbox::ReplySender;
use crate::store::Revocation;

/// Issues a token for a live session.
#[derive(Debug)]
pub(crate) struct Issue {
    pub(crate) holder: Holder,
    pub(crate) token: RecoveryToken,
}

/// The connection of a session with a token was cut, and the session is suspended. The metric counts it already.
#[derive(Debug)]
pub(crate) struct Suspend {
    pub(crate) session: SessionId,
    pub(crate) suspension: Suspension,
}

/// A session with a token ended and cannot be recovered.
#[derive(Debug)]
pub(crate) struct Discard(pub(crate) SessionId);

/// Discards the records of sessions, live or suspended: they cannot be recovered.
#[derive(Debug)]
pub(crate) enum DropRecords {
    /// The sessions of a user.
    User(UserId),
    /// The sessions with a revoked token.
    Revoked(Revocation),
}

/// A room is closed to some users: their records leave it.
pub(crate) struct CloseRoom {
    pub(crate) room: RoomName,
    pub(crate) may_join: Box<dyn Fn(&UserId) -> bool + Send>,
}

impl fmt::Debug for CloseRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloseRoom").field("room", &self.room).finish_non_exhaustive()
    }
}

/// The record of a suspended session, claimed by the session that recovers it. What remains of its cursors when this is
/// dropped is given back to the room actor.
#[derive(Debug)]
pub(crate) struct ClaimedRecord {
    record: SuspendedSession,
    /// When it would have expired, ms by [`Clock::elapsed_ms`](crate::runtime::clock::Clock::elapsed_ms).
    until: i64,
    rooms: Rooms,
}

impl ClaimedRecord {
    pub(crate) fn new(record: SuspendedSession, until: i64, rooms: Rooms) -> Self {
        Self { record, until, rooms }
    }

    /// Takes the cursors: the caller passes them to the room actor.
    pub(crate) fn take_cursors(&mut self) -> Vec<RoomCursor> {
        std::mem::take(&mut self.record.rooms)
    }

    /// Restores the record under its `token`, at `elapsed`: it expires when it would have.
    pub(crate) fn restore(mut self, token: TokenHash, elapsed: i64) -> Restore {
        let rooms = self.take_cursors();
        Restore(vec![(token, SuspendedSession { rooms, ..self.record.clone() }, self.until - elapsed)])
    }
}

impl Deref for ClaimedRecord {
    type Target = SuspendedSession;

    fn deref(&self) -> &SuspendedSession {
        &self.record
    }
}

impl Drop for ClaimedRecord {
    fn drop(&mut self) {
        let rooms = self.take_cursors().into_iter().map(|cursor| cursor.room).collect();
        self.rooms.drop_cursors(rooms);
    }
}

/// Takes the session of a token. The token is used up; the recovered session may [issue](Issue) another.
#[derive(Debug)]
pub(crate) struct Redeem {
    pub(crate) token: RecoveryToken,
    pub(crate) claim: RecoveryClaim,
    /// The requesting session, if there is one: it cannot recover itself. Not the `by` of a [`Holder`].
    pub(crate) by: Option<SessionId>,
    pub(crate) reply: ReplySender<Result<ClaimedRecord, Fault>>,
}

/// Counts a refused attempt to recover the session of a token.
#[derive(Debug)]
pub(crate) struct NoteAttempt(pub(crate) RecoveryToken);

/// The [redeemed](Redeem) session of a token does not resume.
#[derive(Debug)]
pub(crate) struct GiveUp(pub(crate) RecoveryToken);

/// Restores the suspended sessions of the previous run, each with the ms until it expires.
#[derive(Debug)]
pub(crate) struct Restore(pub(crate) Vec<(TokenHash, SuspendedSession, i64)>);

/// Removes and returns all suspended sessions, to be stored. Each has the ms until it expires.
#[derive(Debug)]
pub(crate) struct TakeSuspended(pub(crate) ReplySender<Vec<(TokenHash, SuspendedSession, i64)>>);

/// Counts the valid tokens.
#[derive(Debug)]
pub(crate) struct CountTokens(pub(crate) ReplySender<usize>);
