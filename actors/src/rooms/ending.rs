//! Ends sessions through their rooms and workers: one session, the members of a room, or all.

use super::Rooms;
use super::actor::messages::{CloseMembers, Flush};
use super::fanout::messages::{Barrier, CloseAll, CloseSession, Drain};
use super::replies::Published;
use crate::connection::SessionAddr;
use crate::model::close::Close;
use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::ReplyReceiver;
use crate::shutdown::schedule::DrainSchedule;

impl Rooms {
    /// Ends the session at `addr`, without regard to what other queues hold for it.
    pub fn close(&self, addr: SessionAddr, close: Close) {
        if let Some(fanout) = self.workers.fanouts().get(addr.worker) {
            fanout.post_departure(CloseSession { slot: addr.slot, close });
        }
    }

    /// Ends every member session of a room, after what was published to the room before. Resolves with their number.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`]: nothing was done.
    pub(crate) fn close_members(&self, room: RoomName, close: Close) -> Result<ReplyReceiver<Published>, Fault> {
        let actor = self.actor()?;
        Ok(actor.ask(|reply| CloseMembers { room, close, reply })?.for_change())
    }

    /// Ends every session now, with or without pending replies.
    pub(crate) fn close_all(&self, close: Close) {
        for fanout in self.workers.fanouts().iter() {
            fanout.post_departure(CloseAll(close));
        }
    }

    /// Starts to end every session on schedule, after what was delivered to it. Resolves when the last one is closed.
    pub(crate) fn drain(&self, schedule: DrainSchedule, clock: &Clock) -> impl Future<Output = ()> + use<> {
        let workers = self.workers.len();
        let drain = |reply| Drain { schedule, workers, clock: clock.clone(), reply };
        let replies = self.workers.fanouts().iter().map(|fanout| fanout.ask_departure(drain)).collect();
        wait_for_all(replies)
    }

    /// Resolves when everything accepted before is in the outboxes. A worker's fan-out replies after its sessions'
    /// requests are accepted; what the room actor accepted passes through the fan-outs after that.
    pub(crate) async fn flush(&self) {
        wait_for_all(self.workers.fanouts().iter().map(|fanout| fanout.ask_departure(Barrier)).collect()).await;
        let mut replies = Vec::new();
        if let Some(actor) = self.workers.rooms() {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..self.workers.len()).map(|_| actor.reply()).unzip();
            actor.post_departure(Flush(senders));
            replies.extend(receivers);
        }
        wait_for_all(replies).await;
    }
}

/// Resolves when each reply has come or its actor has ended.
async fn wait_for_all(replies: Vec<ReplyReceiver<()>>) {
    for reply in replies {
        let _ = reply.await;
    }
}
