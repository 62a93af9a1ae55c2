//! The messages of the room actor.

use std::fmt;
use std::sync::Arc;

use super::chat_view::ChatView;
use crate::connection::outbox::OutboxCapacity;
use crate::connection::{Sender, Served, SessionAddr};
use crate::model::close::Close;
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::{NotificationId, RoomName, SessionId, UserId};
use crate::model::message::ChatMessage;
use crate::notifications::{Notification, NotificationWrite};
use crate::publication::{Event, Offset};
use crate::rooms::fanout::mailboxes::LagLimit;
use crate::rooms::history::{HistoryPage, Part, SavedHistory};
use crate::rooms::persisted::segments::SavedLog;
use crate::rooms::publication_log::{LogLimits, RoomCursor};
use crate::rooms::replies::{
    JoinSince, MembersPage, Membership, PageRange, PendingWrite, Published, Recovered, RoomSummary,
};
use crate::rooms::rules::Rules;
use crate::runtime::mailbox::ReplySender;

/// A session that becomes a member.
#[derive(Debug)]
pub(crate) struct Entering {
    pub(crate) identity: Arc<Identity>,
    /// When the session connected, ms since the epoch.
    pub(crate) connected_at: i64,
    pub(crate) addr: SessionAddr,
}

/// A session becomes a member.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) room: RoomName,
    pub(crate) entering: Entering,
    /// The last publication before the session asked for the join, if it may recover what it misses in the room.
    pub(crate) recoverable_after: Option<u64>,
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
    /// Whether the session could recover what it missed in the room.
    pub(crate) was_recoverable: bool,
    /// Sent with the users that stay, when the session receives nothing more.
    pub(crate) reply: Option<ReplySender<usize>>,
}

/// A member session may recover what it misses in these rooms from now on.
#[derive(Debug)]
pub(crate) struct MakeRecoverable {
    pub(crate) rooms: Vec<RoomName>,
    pub(crate) addr: SessionAddr,
    /// Sent when the session has received all that was published before.
    pub(crate) reply: ReplySender<()>,
}

/// A room of a session after the cut of its connection.
#[derive(Debug)]
pub(crate) struct SuspendedRoom {
    pub(crate) room: RoomName,
    /// The last publication that the client has, or the last one before the session joined the room.
    pub(crate) number: u64,
    /// The messages of the chat up to `number`, if they are known.
    pub(crate) messages: Option<u64>,
}

/// The connection of a member session was cut: it is no member any more, and has a record.
pub(crate) struct SuspendSession {
    pub(crate) user: UserId,
    pub(crate) addr: SessionAddr,
    pub(crate) rooms: Vec<SuspendedRoom>,
    /// The rooms of the record, as far as they are handled.
    pub(crate) cursors: Vec<RoomCursor>,
    /// While the hub drains, the rooms get no notice.
    pub(crate) is_draining: bool,
    /// Called with the rooms of the record.
    pub(crate) then: Box<dyn FnOnce(Vec<RoomCursor>) + Send>,
}

impl fmt::Debug for SuspendSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SuspendSession").field("addr", &self.addr).field("rooms", &self.rooms).finish_non_exhaustive()
    }
}

/// The record of a suspended session is gone, or a part of its rooms.
#[derive(Debug)]
pub(crate) struct DropCursors(pub(crate) Vec<RoomName>);

/// What a session does with a room of the record that it recovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It joins the room.
    Join,
    /// It has been a member since this publication.
    Member(u64),
    /// It may not join the room any more.
    Denied,
}

/// What a recovery replays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replay {
    /// All publications after the last one that the client received, or nothing when some of them are lost.
    Publications {
        /// The offset that the client names.
        last: Option<Offset>,
        /// Whether the session began with that offset: the client has received nothing since.
        is_named_before: bool,
        /// How far the session was served before the cut.
        served: Served,
    },
    /// The newest messages of chats.
    Messages,
}

/// A session takes over the rooms of a suspended one, and what the client missed there.
#[derive(Debug)]
pub(crate) struct RecoverRooms {
    /// The session that the client had, which published none of what it gets now.
    pub(crate) session: SessionId,
    pub(crate) entering: Entering,
    pub(crate) rooms: Vec<(RoomCursor, Access)>,
    /// Rooms that the record does not have.
    pub(crate) new_rooms: Vec<RoomName>,
    /// The last publication before the session asked.
    pub(crate) head: u64,
    pub(crate) replay: Replay,
    pub(crate) reply: ReplySender<Recovered>,
}

/// Publishes an event to the members of a room.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) room: RoomName,
    pub(crate) event: Event,
    /// A member session that does not receive it: the sender's.
    pub(crate) except: Option<Sender>,
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
    pub(crate) sender: Sender,
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

/// Counts the messages that suspended sessions missed and that the log has.
#[derive(Debug)]
pub(crate) struct CountQueued(pub(crate) ReplySender<u64>);

/// Reads what records may need of the log, to be stored.
#[derive(Debug)]
pub(crate) struct SaveLog(pub(crate) ReplySender<SavedLog>);

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
    /// The most that is replayed to one member of a topic.
    pub(crate) replay_max: OutboxCapacity,
    /// The most that is replayed to one recovered session.
    pub(crate) recovery_max: OutboxCapacity,
    /// The bounds of the log.
    pub(crate) log: LogLimits,
}

/// Sends each reply when everything posted before has reached the outboxes of a worker; one reply per worker.
#[derive(Debug)]
pub(crate) struct Flush(pub(crate) Vec<ReplySender<()>>);

/// Panics in the handler. Tests use it to show how the hub reacts to the death of a central actor.
#[derive(Debug)]
#[doc(hidden)]
pub struct Panic;
