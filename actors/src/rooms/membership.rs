//! How sessions join and leave rooms, are suspended, and recover.

use super::Rooms;
use super::actor::messages::{
    DropCursors, Entering, Join, Leave, Locate, MakeRecoverable, RecoverRooms, SuspendSession,
};
use super::replies::{JoinReply, JoinSince, LeaveReply, Recovered};
use crate::connection::SessionAddr;
use crate::model::fault::Fault;
use crate::model::ids::{RoomName, UserId};
use crate::runtime::mailbox::{ReplyReceiver, ReplySender};

impl Rooms {
    /// Makes a session a member. The reply resolves when the session receives all that is published from then on, or
    /// with the refusal. `recoverable_after`: the present [head](Rooms::head), if the session may recover what it misses.
    /// `since`: the client may ask for missed messages of a topic.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`]: nothing was done.
    pub(crate) fn join(
        &self,
        room: RoomName,
        entering: Entering,
        recoverable_after: Option<u64>,
        since: Option<JoinSince>,
    ) -> Result<JoinReply, Fault> {
        self.actor()?.ask(|reply| Join { room, entering, recoverable_after, since, reply })
    }

    /// The number of the last publication: a join that is requested now takes place after it.
    pub(crate) fn head(&self) -> u64 {
        self.workers.fanouts().head()
    }

    /// Reads the history position of a room in which the session at `addr` is a member already. Resolves as
    /// [`Rooms::join`] does, but replays nothing: the room actor does not know which messages this member missed.
    ///
    /// # Errors
    /// As [`Rooms::join`].
    pub(crate) fn locate(&self, room: RoomName, addr: SessionAddr, since: JoinSince) -> Result<JoinReply, Fault> {
        self.actor()?.ask(|reply| Locate { room, addr, since, reply })
    }

    /// Ends the membership of the session at `addr`. `was_recoverable` as at its join. The reply resolves when the session
    /// receives nothing more.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Internal`]: the room actor has not started.
    pub(crate) fn leave(
        &self,
        room: RoomName,
        user: UserId,
        addr: SessionAddr,
        was_recoverable: bool,
    ) -> Result<LeaveReply, Fault> {
        let leave = |reply| Leave { room, user, addr, was_recoverable, reply: Some(reply) };
        Ok(self.actor()?.ask_departure(leave).for_change())
    }

    /// From now on, the session at `addr` may recover what it misses in `rooms`, its rooms. Resolves when it has received
    /// all that was published in them before.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Internal`]: the room actor has not started.
    pub(crate) fn make_recoverable(&self, rooms: Vec<RoomName>, addr: SessionAddr) -> Result<ReplyReceiver<()>, Fault> {
        Ok(self.actor()?.ask_departure(|reply| MakeRecoverable { rooms, addr, reply }))
    }

    /// Ends the memberships of a session after the cut of its connection.
    pub(crate) fn suspend(&self, suspend: SuspendSession) {
        if let Ok(actor) = self.actor() {
            actor.post_departure(suspend);
        }
    }

    /// The record of a suspended session no longer needs what is published in `rooms`.
    pub(crate) fn drop_cursors(&self, rooms: Vec<RoomName>) {
        if let Ok(actor) = self.actor()
            && !rooms.is_empty()
        {
            actor.post_departure(DropCursors(rooms));
        }
    }

    /// Moves a session into the rooms of the suspended one that it recovers. Resolves when the session receives all that
    /// is published from then on. It continues accepted memberships, so it is not refused.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Internal`]: the room actor has not started.
    pub(crate) fn recover(
        &self,
        recover: impl FnOnce(ReplySender<Recovered>) -> RecoverRooms,
    ) -> Result<ReplyReceiver<Recovered>, Fault> {
        Ok(self.actor()?.ask_departure(recover).for_change())
    }
}
