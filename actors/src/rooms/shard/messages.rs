//! What a shard can be asked.

use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::chat::Chats;
use crate::connection::SessionAddr;
use crate::model::close::Close;
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::{NotificationId, RoomName, UserId};
use crate::model::message::ChatMessage;
use crate::notifications::{Keeping, Notification};
use crate::publication::Event;
use crate::rooms::{MembersPage, Membership, Page, Published, Return, RoomSummary, Stored};

/// A session becomes a member.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) room: RoomName,
    pub(crate) identity: Arc<Identity>,
    /// When it connected, ms since the epoch.
    pub(crate) connected_at: i64,
    pub(crate) place: SessionAddr,
    /// A parked seat that gets nothing of the room from then on: what comes next is the session's.
    pub(crate) instead_of: Option<SessionAddr>,
    /// How it comes, where it may have missed something.
    pub(crate) returns: Option<Return>,
    /// Answered when the member gets all that is published from now on.
    pub(crate) done: oneshot::Sender<Result<Membership, Fault>>,
}

/// A member session leaves.
#[derive(Debug)]
pub(crate) struct Leave {
    pub(crate) room: RoomName,
    pub(crate) user: UserId,
    pub(crate) place: SessionAddr,
    /// Answered with the users who stay, when the member gets nothing any more.
    pub(crate) done: Option<oneshot::Sender<usize>>,
}

/// A member session was cut off: its user may be gone, and its seat stays.
#[derive(Debug)]
pub(crate) struct SuspendSession {
    pub(crate) room: RoomName,
    pub(crate) user: UserId,
    pub(crate) place: SessionAddr,
}

/// A parked seat gets nothing any more.
#[derive(Debug)]
pub(crate) struct DiscardSuspended {
    pub(crate) room: RoomName,
    pub(crate) place: SessionAddr,
    /// Answered when it gets nothing any more.
    pub(crate) done: Option<oneshot::Sender<usize>>,
}

/// A message for the members of a room.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) room: RoomName,
    pub(crate) event: Event,
    /// A member session that does not get it: the sender's.
    pub(crate) except: Option<SessionAddr>,
    /// The notification of a user that it is about, where it goes to the user.
    pub(crate) about: Option<NotificationId>,
    pub(crate) done: oneshot::Sender<Published>,
}

/// A notification for a user's sessions, to be kept.
#[derive(Debug)]
pub(crate) struct Notify {
    pub(crate) user: UserId,
    pub(crate) notification: Notification,
    pub(crate) event: Event,
    /// Answered when it has its place; what is in it, when it is on the disk.
    pub(crate) done: oneshot::Sender<Result<(Published, Keeping), Fault>>,
}

/// A message in a chat, to be kept.
#[derive(Debug)]
pub(crate) struct PostMessage {
    pub(crate) room: RoomName,
    pub(crate) message: ChatMessage,
    /// The message as its event.
    pub(crate) event: Event,
    /// Answered when it has its place; what is in it, when it is on the disk.
    pub(crate) done: oneshot::Sender<Result<Stored, Fault>>,
}

/// A session in a chat types, or does not any more.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) room: RoomName,
    pub(crate) user: UserId,
    pub(crate) place: SessionAddr,
    pub(crate) typing: bool,
    pub(crate) done: oneshot::Sender<()>,
}

/// A receipt that the members of a chat are told of, unless there are too many.
#[derive(Debug)]
pub(crate) struct TellReceipt {
    pub(crate) room: RoomName,
    pub(crate) event: Event,
    /// Answered with the event where there are.
    pub(crate) done: oneshot::Sender<Option<Event>>,
}

/// What looks at the chats of a shard.
pub(crate) type Look = Box<dyn FnOnce(&Chats<'_>) + Send>;

/// Looks at chats.
pub(crate) struct Inspect(pub(crate) Look);

impl fmt::Debug for Inspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspect").finish_non_exhaustive()
    }
}

/// Ends the sessions of a room's members, after what was published before.
#[derive(Debug)]
pub(crate) struct CloseMembers {
    pub(crate) room: RoomName,
    pub(crate) close: Close,
    pub(crate) done: oneshot::Sender<Published>,
}

/// Asks for a page of the rooms of this shard that have members, but for the hub's own; and how many there are.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) page: Page,
    pub(crate) reply: oneshot::Sender<(Vec<RoomSummary>, usize)>,
}

/// Asks for a page of the members of a room, and how many there are; nothing where there are none.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) room: RoomName,
    pub(crate) page: Page,
    pub(crate) reply: oneshot::Sender<Option<MembersPage>>,
}

/// Asks for all users in a room.
#[derive(Debug)]
pub(crate) struct UsersIn {
    pub(crate) room: RoomName,
    pub(crate) reply: oneshot::Sender<Vec<UserId>>,
}

/// Answers when all that was posted before has reached the outboxes.
#[derive(Debug)]
pub(crate) struct Flush(pub(crate) Vec<oneshot::Sender<()>>);

/// Panics in the handler: how tests show what becomes of the hub when a central actor dies.
#[derive(Debug)]
#[doc(hidden)]
pub struct Panic;
