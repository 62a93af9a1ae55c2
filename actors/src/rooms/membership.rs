//! How sessions join and leave rooms, are suspended, and release their slots.

use std::sync::Arc;

use super::Rooms;
use super::actor::messages::{DiscardSuspended, Join, Leave, Locate, SuspendSession};
use super::fanout::messages::{Barrier, ReleaseSlot};
use super::replies::{JoinReply, JoinSince, LeaveReply, Membership};
use crate::connection::{Remains, SessionAddr};
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::{RoomName, SessionId, UserId};
use crate::runtime::mailbox::ReplySender;

impl Rooms {
    /// Makes the session at `addr`, connected since `connected_at`, a member. The reply resolves when the session
    /// receives all that is published from then on, or with the refusal. The suspended session at `instead_of` receives
    /// nothing of the room after that; such a join is not refused for a full mailbox.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`]: nothing was done.
    pub(crate) fn join(
        &self,
        room: RoomName,
        identity: Arc<Identity>,
        connected_at: i64,
        addr: SessionAddr,
        instead_of: Option<SessionAddr>,
    ) -> Result<JoinReply, Fault> {
        let is_replacement = instead_of.is_some();
        let actor = self.actor()?;
        let join = |reply| Join { room, identity, connected_at, addr, instead_of, since: None, reply };
        // A replacement continues an accepted membership, and there is at most one for each.
        if is_replacement { Ok(actor.ask_departure(join)) } else { actor.ask(join) }
    }

    /// As [`Rooms::join`], for a client that may ask for missed messages.
    ///
    /// # Errors
    /// As [`Rooms::join`].
    pub(crate) fn join_since(
        &self,
        room: RoomName,
        identity: Arc<Identity>,
        connected_at: i64,
        addr: SessionAddr,
        since: JoinSince,
    ) -> Result<JoinReply, Fault> {
        let actor = self.actor()?;
        let since = Some(since);
        let join = |reply: ReplySender<Result<Membership, Fault>>| Join {
            room,
            identity,
            connected_at,
            addr,
            instead_of: None,
            since,
            reply,
        };
        actor.ask(join)
    }

    /// Reads the history position of a room in which the session at `addr` is a member already. Resolves as
    /// [`Rooms::join_since`] does, but replays nothing: the room actor does not know which messages this member missed.
    ///
    /// # Errors
    /// As [`Rooms::join`].
    pub(crate) fn locate(&self, room: RoomName, addr: SessionAddr, since: JoinSince) -> Result<JoinReply, Fault> {
        let actor = self.actor()?;
        actor.ask(|reply| Locate { room, addr, since, reply })
    }

    /// Ends the membership of the session at `addr`. The reply resolves when the session receives nothing more.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Internal`]: the room actor has not started.
    pub(crate) fn leave(&self, room: RoomName, user: UserId, addr: SessionAddr) -> Result<LeaveReply, Fault> {
        let actor = self.actor()?;
        Ok(actor.ask_departure(|reply| Leave { room, user, addr, reply: Some(reply) }).for_change())
    }

    /// Ends the membership of the session at `addr` because its connection was cut. Its slot still receives
    /// publications.
    pub(crate) fn suspend(&self, room: RoomName, user: UserId, addr: SessionAddr) {
        if let Ok(actor) = self.actor() {
            actor.post_departure(SuspendSession { room, user, addr });
        }
    }

    /// Stops deliveries of the room to the suspended session at `addr`; resolves when deliveries have stopped.
    pub(crate) async fn discard_suspended(&self, room: RoomName, addr: SessionAddr) {
        if let Ok(actor) = self.actor() {
            let _ = actor.ask_departure(|reply| DiscardSuspended { room, addr, reply: Some(reply) }).await;
        }
    }

    /// Resolves when the sessions of this worker have received all that the room actor sent to its fan-out before.
    pub(crate) async fn caught_up(&self, worker: usize) {
        if let Some(fanout) = self.workers.fanouts().get(worker) {
            let _ = fanout.ask_departure(Barrier).await;
        }
    }

    /// Releases the slot at `addr` of the suspended `session`, which is in no room any more; returns its buffer.
    pub(crate) async fn release_slot(&self, addr: SessionAddr, session: SessionId) -> Option<Remains> {
        let fanout = self.workers.fanouts().get(addr.worker)?;
        fanout.ask_departure(|reply| ReleaseSlot { slot: addr.slot, session, reply }).await.ok().flatten()
    }

    /// Releases the slots of suspended sessions at once; returns their buffers in the same order.
    pub(crate) async fn release_slots(&self, suspended: &[(SessionAddr, SessionId)]) -> Vec<Option<Remains>> {
        let release = |&(addr, session): &(SessionAddr, SessionId)| {
            let fanout = self.workers.fanouts().get(addr.worker)?;
            Some(fanout.ask_departure(|reply| ReleaseSlot { slot: addr.slot, session, reply }))
        };
        let replies: Vec<_> = suspended.iter().map(release).collect();
        let mut all = Vec::with_capacity(replies.len());
        for reply in replies {
            all.push(match reply {
                Some(reply) => reply.await.ok().flatten(),
                None => None,
            });
        }
        all
    }
}
