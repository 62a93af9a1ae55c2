//! The messages of [`Recovery`](super::directory::Recovery).

use super::tokens::{Holder, RecoveryClaim, SuspendedSession, TokenHash};
use crate::connection::SessionAddr;
use crate::model::fault::Fault;
use crate::model::ids::{RecoveryToken, RoomName, SessionId, UserId};
use crate::runtime::mailbox::ReplySender;
use crate::store::Revocation;

/// Issues a token for a live session.
#[derive(Debug)]
pub(crate) struct Issue {
    pub(crate) holder: Holder,
    pub(crate) token: RecoveryToken,
}

/// The connection of a session with a token was cut, and the session is suspended.
#[derive(Debug)]
pub(crate) struct Suspend {
    pub(crate) session: SessionId,
    pub(crate) addr: SessionAddr,
    pub(crate) rooms: Vec<RoomName>,
    pub(crate) last_activity: i64,
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

/// Takes the session of a token. The token is used up; the recovered session may [issue](Issue) another.
#[derive(Debug)]
pub(crate) struct Redeem {
    pub(crate) token: RecoveryToken,
    pub(crate) claim: RecoveryClaim,
    /// The requesting session, if there is one: it cannot recover itself. Not the `by` of a [`Holder`].
    pub(crate) by: Option<SessionId>,
    pub(crate) reply: ReplySender<Result<SuspendedSession, Fault>>,
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
