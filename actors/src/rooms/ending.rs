//! How sessions are ended through their rooms and their workers: one, the members of a room, or all.

use tokio::sync::oneshot;

use super::fanout::{Barrier, CloseSeat, Drain, EndAll};
use super::shard::messages::{CloseMembers, Flush};
use super::{Published, Rooms};
use crate::connection::SessionAddr;
use crate::model::close::Close;
use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::Full;
use crate::shutdown::schedule::DrainSchedule;

impl Rooms {
    /// Ends the session at `place`, past what waits for it elsewhere.
    pub fn close(&self, place: SessionAddr, close: Close) {
        if let Some(fanout) = self.workers.fanout(place.worker) {
            fanout.post_departure(CloseSeat { handle: place.slot, close });
        }
    }

    /// Ends every member session of a room, after what was published there before, and says how many there were.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`]: nothing was done.
    pub(crate) fn close_members(&self, room: RoomName, close: Close) -> Result<oneshot::Receiver<Published>, Fault> {
        let (done, closed) = oneshot::channel();
        self.shard(&room)?.post(CloseMembers { room, close, done }).map_err(|Full(_)| Fault::overloaded())?;
        Ok(closed)
    }

    /// Ends every session now, whatever it owes.
    pub(crate) fn end_all(&self, close: Close) {
        for fanout in self.workers.fanouts() {
            fanout.post_departure(EndAll(close));
        }
    }

    /// Begins to end every session as planned, after what was delivered to it. Resolves when the last one was closed.
    pub(crate) fn send_away(&self, plan: DrainSchedule, clock: &Clock) -> impl Future<Output = ()> + use<> {
        let workers = self.workers.len();
        let mut waits = Vec::with_capacity(workers);
        for fanout in self.workers.fanouts() {
            let (done, wait) = oneshot::channel();
            fanout.post_departure(Drain { plan, workers, clock: clock.clone(), done });
            waits.push(wait);
        }
        async move {
            for wait in waits {
                let _ = wait.await;
            }
        }
    }

    /// Resolves when all that was accepted before is in the outboxes. What a worker's sessions did before is accepted
    /// before the worker's own fan-out answers; what the shards accepted goes through the fan-outs after that.
    pub(crate) async fn flush(&self) {
        let mut waits = Vec::new();
        for fanout in self.workers.fanouts() {
            let (done, wait) = oneshot::channel();
            fanout.post_departure(Barrier(done));
            waits.push(wait);
        }
        for wait in waits.drain(..) {
            let _ = wait.await;
        }
        for shard in self.workers.shards() {
            let (done, mut through): (Vec<_>, Vec<_>) = (0..self.workers.len()).map(|_| oneshot::channel()).unzip();
            shard.post_departure(Flush(done));
            waits.append(&mut through);
        }
        for wait in waits {
            let _ = wait.await;
        }
    }
}
