//! The messages of a fan-out.

use std::sync::Arc;

use crate::connection::{ReplySlot, SlotId};
use crate::model::close::Close;
use crate::model::fault::Fault;
use crate::model::ids::{RoomName, UserId};
use crate::publication::Publication;
use crate::rooms::replies::{Membership, Recovered};
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::ReplySender;
use crate::shutdown::schedule::DrainSchedule;

/// Makes a session of this worker a member.
#[derive(Debug)]
pub(crate) struct AddMember {
    pub(crate) room: RoomName,
    pub(crate) slot: SlotId,
    pub(crate) membership: Membership,
    /// Missed messages in their order, for this member alone; they come before later publications.
    pub(crate) missed: Vec<Arc<Publication>>,
    /// The slot of the reply to the join: later publications of the room wait until it is written.
    pub(crate) reply_slot: Option<ReplySlot>,
    pub(crate) reply: ReplySender<Result<Membership, Fault>>,
}

/// Passes the history position of a room to a member.
#[derive(Debug)]
pub(crate) struct LocateMember {
    pub(crate) room: RoomName,
    pub(crate) slot: SlotId,
    pub(crate) membership: Membership,
    /// The slot of the reply to the client: later publications of the room wait until it is written.
    pub(crate) reply_slot: ReplySlot,
    pub(crate) reply: ReplySender<Result<Membership, Fault>>,
}

/// Removes a member.
#[derive(Debug)]
pub(crate) struct RemoveMember {
    pub(crate) room: RoomName,
    pub(crate) slot: SlotId,
    /// Users in the room without the member; the reply returns it.
    pub(crate) users: usize,
    pub(crate) reply: Option<ReplySender<usize>>,
}

/// Makes a session of this worker a member of the rooms of the session that it recovers.
#[derive(Debug)]
pub(crate) struct AddRecovered {
    pub(crate) slot: SlotId,
    pub(crate) rooms: Vec<RoomName>,
    pub(crate) recovered: Recovered,
    pub(crate) reply: ReplySender<Recovered>,
}

/// Delivers a publication to all members on this worker except one.
#[derive(Debug)]
pub(crate) struct Deliver {
    pub(crate) room: RoomName,
    pub(crate) publication: Arc<Publication>,
    pub(crate) except: Option<SlotId>,
}

/// An event about a user, for the sessions on this worker that listen to presence.
#[derive(Debug)]
pub(crate) struct Announcement {
    /// The user that the event is about: sessions of this user do not receive it.
    pub(crate) except: Option<UserId>,
    /// The form for `/ws` and `/`; `None` when these surfaces have none.
    pub(crate) plain: Option<Publication>,
    /// The form for `/chat`.
    pub(crate) chat: Publication,
    /// The members of these rooms receive it, each session once. Empty: all sessions.
    pub(crate) rooms: Vec<RoomName>,
    /// The members of these rooms do not receive it.
    pub(crate) known_in: Vec<RoomName>,
}

/// Delivers announcements in their order.
#[derive(Debug)]
pub(crate) struct Announce {
    pub(crate) announcements: Arc<[Announcement]>,
    pub(crate) reply: ReplySender<AnnouncementReach>,
}

/// The cost of announcements.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AnnouncementReach {
    /// Deliveries.
    pub(crate) deliveries: u64,
    /// Sessions examined: for each room, its members or the presence listeners, whichever are fewer. A member of
    /// several rooms is counted for each of them.
    pub(crate) examined: u64,
}

impl std::ops::AddAssign for AnnouncementReach {
    fn add_assign(&mut self, other: Self) {
        self.deliveries += other.deliveries;
        self.examined += other.examined;
    }
}

/// Replies when everything posted before is handled.
#[derive(Debug)]
pub(crate) struct Barrier(pub(crate) ReplySender<()>);

/// Ends one session of this worker.
#[derive(Debug)]
pub(crate) struct CloseSession {
    pub(crate) slot: SlotId,
    pub(crate) close: Close,
}

/// Ends the sessions of this worker that are members of a room.
#[derive(Debug)]
pub(crate) struct CloseRoom {
    pub(crate) room: RoomName,
    pub(crate) close: Close,
}

/// Ends every session of this worker.
#[derive(Debug)]
pub(crate) struct CloseAll(pub(crate) Close);

/// Ends every session of this worker on schedule, each after its pending replies.
#[derive(Debug)]
pub(crate) struct Drain {
    pub(crate) schedule: DrainSchedule,
    /// Workers that drain.
    pub(crate) workers: usize,
    pub(crate) clock: Clock,
    /// Sent when the last session is closed.
    pub(crate) reply: ReplySender<()>,
}
