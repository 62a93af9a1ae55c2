//! The messages of the room actor.

use std::fmt;
use std::sync::Arc;

use super::chat_view::ChatView;
use crate::connection::SessionAddr;
use crate::connection::outbox::OutboxCapacity;
use crate::model::close::Close;
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::{NotificationId, RoomName, UserId};
use crate::model::message::ChatMessage;
use crate::notifications::{Notification, NotificationWrite};
use crate::publication::Event;
use crate::rooms::fanout::mailboxes::LagLimit;
use crate::rooms::history::{HistoryPage, Part, SavedHistory};
use crate::rooms::replies::{JoinSince, MembersPage, Membership, PageRange, PendingWrite, Published, RoomSummary};
use crate::rooms::rules::Rules;
use crate::runtime::mailbox::ReplySender;

/// A session becomes a member.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) room: RoomName,
    pub(crate) identity: Arc<Identity>,
    /// When the session connected, ms since the epoch.
    pub(crate) connected_at: i64,
    pub(crate) addr: SessionAddr,
    /// A suspended session that the new member replaces: it receives nothing of the room after the join.
    pub(crate) instead_of: Option<SessionAddr>,
    /// Set when the client may ask for missed messages.
    pub(crate) since: Option<JoinSince>,
    /// Sent when the member receives all that is published from now on.
    pub(crate) reply: ReplySender<Result<Membership, Fault>>,
}

/// Reads the history position for a session that is a member already. The reply is that of a join.
#[derive(Debug)]
pub(crate) struct Locate {
    pub(crate) room: RoomName,
    pub(crate) addr: SessionAddr,
    pub(crate) since: JoinSince,
    pub(crate) reply: ReplySender<Result<Membership, Fault>>,
}

/// A member session leaves.
#[derive(Debug)]
pub(crate) struct Leave {
    pub(crate) room: RoomName,
    pub(crate) user: UserId,
    pub(crate) addr: SessionAddr,
    /// Sent with the users that stay, when the session receives nothing more.
    pub(crate) reply: Option<ReplySender<usize>>,
}

/// The connection of a member session was cut. The session is no member any more; its slot still receives publications.
#[derive(Debug)]
pub(crate) struct SuspendSession {
    pub(crate) room: RoomName,
    pub(crate) user: UserId,
    pub(crate) addr: SessionAddr,
}

/// Stops deliveries to a suspended session.
#[derive(Debug)]
pub(crate) struct DiscardSuspended {
    pub(crate) room: RoomName,
    pub(crate) addr: SessionAddr,
    /// Sent when the slot receives nothing more: the users in the room, as for [`Leave`]. No caller reads them.
    pub(crate) reply: Option<ReplySender<usize>>,
}

/// Publishes an event to the members of a room.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) room: RoomName,
    pub(crate) event: Event,
    /// A member session that does not receive it: the sender's.
    pub(crate) except: Option<SessionAddr>,
    /// The notification that the event changes.
    pub(crate) about: Option<NotificationId>,
    /// Sent when the event has its place in the order, or is refused.
    pub(crate) reply: Option<ReplySender<Result<Published, Fault>>>,
}

/// Publishes a notification to a user's sessions and stores it.
#[derive(Debug)]
pub(crate) struct Notify {
    pub(crate) user: UserId,
    pub(crate) notification: Notification,
    pub(crate) event: Event,
    /// Sent when the event has its place in the room's order. [`NotificationWrite`] resolves when it is on the disk.
    pub(crate) reply: ReplySender<Result<(Published, NotificationWrite), Fault>>,
}

/// Publishes a message to a chat and stores it.
#[derive(Debug)]
pub(crate) struct PostMessage {
    pub(crate) room: RoomName,
    pub(crate) message: ChatMessage,
    /// The event of the message.
    pub(crate) event: Event,
    /// Sent when the event has its place in the room's order. [`PendingWrite`] resolves when it is on the disk.
    pub(crate) reply: ReplySender<Result<PendingWrite, Fault>>,
}

/// A session in a chat starts or stops typing.
#[derive(Debug)]
pub(crate) struct SetTyping {
    pub(crate) room: RoomName,
    pub(crate) user: UserId,
    pub(crate) addr: SessionAddr,
    pub(crate) is_typing: bool,
    pub(crate) reply: ReplySender<Result<(), Fault>>,
}

/// Publishes a receipt to a chat, unless its rate of receipts is exceeded.
#[derive(Debug)]
pub(crate) struct PublishReceipt {
    pub(crate) room: RoomName,
    pub(crate) event: Event,
    /// Returns the event that was not published.
    pub(crate) reply: ReplySender<Option<Event>>,
}

/// Calls a function with the chats.
pub(crate) struct Inspect(pub(crate) Box<dyn FnOnce(&ChatView<'_>) + Send>);

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
    pub(crate) reply: ReplySender<Published>,
}

/// Reads a page of the rooms with members, without internal rooms; the reply has the total number, too.
#[derive(Debug)]
pub(crate) struct ReadRooms {
    pub(crate) page: PageRange,
    pub(crate) reply: ReplySender<(Vec<RoomSummary>, usize)>,
}

/// Reads a page of the members of a room; the reply is `None` without members.
#[derive(Debug)]
pub(crate) struct ReadMembers {
    pub(crate) room: RoomName,
    pub(crate) page: PageRange,
    pub(crate) reply: ReplySender<Option<MembersPage>>,
}

/// Reads all users in a room.
#[derive(Debug)]
pub(crate) struct ReadUsers {
    pub(crate) room: RoomName,
    pub(crate) reply: ReplySender<Vec<UserId>>,
}

/// Reads stored messages of a room; the reply is `None` without a history.
#[derive(Debug)]
pub(crate) struct ReadHistory {
    pub(crate) room: RoomName,
    pub(crate) part: Part,
    pub(crate) limit: usize,
    pub(crate) reply: ReplySender<Option<HistoryPage>>,
}

/// Reads all histories, to be stored.
#[derive(Debug)]
pub(crate) struct SaveHistories(pub(crate) ReplySender<Vec<(RoomName, SavedHistory)>>);

/// The settings of the room actor. As a message: they apply from now on.
#[derive(Debug, Clone)]
pub(crate) struct RoomSettings {
    pub(crate) rules: Rules,
    /// Bytes of history that are stored.
    pub(crate) history_bytes: usize,
    /// What may wait for one worker.
    pub(crate) lag: LagLimit,
    /// The most that is replayed to one session.
    pub(crate) replay_max: OutboxCapacity,
}

/// Sends each reply when everything posted before has reached the outboxes of a worker; one reply per worker.
#[derive(Debug)]
pub(crate) struct Flush(pub(crate) Vec<ReplySender<()>>);

/// Panics in the handler. Tests use it to show how the hub reacts to the death of a central actor.
#[derive(Debug)]
#[doc(hidden)]
pub struct Panic;
