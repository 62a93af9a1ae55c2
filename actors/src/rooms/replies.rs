//! What rooms reply to requests.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::connection::ReplySlot;
use crate::events::chat::rooms::{OnlineUpdate, RoomInfo};
use crate::model::fault::Fault;
use crate::model::ids::{RoomName, UserId};
use crate::model::position::Position;
use crate::notifications::{LastNotification, NotificationWrite};
use crate::publication::Publication;
use crate::runtime::mailbox::ReplyReceiver;

/// The result of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Sessions that receive it.
    pub recipients: usize,
    /// Whether only suspended sessions receive it, once they are recovered.
    pub only_suspended: bool,
}

/// What a session learns when it becomes a member.
#[derive(Debug)]
pub(crate) struct Membership {
    /// The last notification before the join.
    pub(crate) last_notification: LastNotification,
    /// The last publication before the join, as [`Publication::number`](crate::publication::Publication::number)
    /// counts.
    pub(crate) number: u64,
    /// The chat, with the session in it; only for the room of a chat.
    pub(crate) chat: Option<Box<RoomInfo>>,
    /// The position in the room's history; only for a room with history.
    pub(crate) history: Option<Box<HistoryPosition>>,
}

/// What a session learns when it recovers a suspended one.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The last publication before it joined the rooms.
    pub(crate) number: u64,
    /// The last notification before that.
    pub(crate) last_notification: LastNotification,
    /// What the client missed, in order; `None` when some of it is lost.
    pub(crate) missed: Option<Vec<Arc<Publication>>>,
    /// Missed messages that are dropped. Only for a recovery by token.
    pub(crate) dropped: u64,
    /// The users of each chat, unless all its members get such an update now.
    pub(crate) online: Vec<OnlineUpdate>,
}

/// The position in a room's history at which a session became a member.
#[derive(Debug)]
pub(crate) struct HistoryPosition {
    /// The last message before the join.
    pub(crate) position: Position,
    /// Whether all messages after the client's `since` are replayed; `None` without `since`.
    pub(crate) recovered: Option<bool>,
}

/// The part of a join that asks for missed messages.
#[derive(Debug)]
pub(crate) struct JoinSince {
    /// The last message that the client has.
    pub(crate) since: Option<Position>,
    /// The slot of the reply to the join: later messages of the room wait until it is written.
    pub(crate) reply_slot: ReplySlot,
}

/// Resolves when a publication has its place in the order of the hub, or is refused.
pub(crate) type PublishReply = ReplyReceiver<Result<Published, Fault>>;

/// Resolves when a join took effect or was refused.
pub(crate) type JoinReply = ReplyReceiver<Result<Membership, Fault>>;

/// Resolves when a leave took effect, with the number of users that stay.
pub(crate) type LeaveReply = ReplyReceiver<usize>;

/// Resolves when a notification has a position in the room's order. [`NotificationWrite`] resolves when it is on the
/// disk.
pub(crate) type NotifyReply = ReplyReceiver<Result<(Published, NotificationWrite), Fault>>;

/// Resolves when a message of a chat is on the disk, or cannot be stored.
pub(crate) struct PendingWrite(pub(crate) Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>);

impl fmt::Debug for PendingWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingWrite").finish_non_exhaustive()
    }
}

/// A room in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomSummary {
    /// Its name.
    pub room: RoomName,
    /// Member sessions.
    pub sessions: usize,
    /// Distinct users among them.
    pub users: usize,
}

/// A user in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomMember {
    /// The user.
    pub user: UserId,
    /// Sessions of the user in the room.
    pub sessions: usize,
}

/// A page of the members of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersPage {
    /// Member sessions.
    pub sessions: usize,
    /// Distinct users among them.
    pub users: usize,
    /// Users of the page.
    pub members: Vec<RoomMember>,
}

/// Selects a part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRange {
    /// Entries to skip.
    pub offset: usize,
    /// The most entries to return.
    pub limit: usize,
}
