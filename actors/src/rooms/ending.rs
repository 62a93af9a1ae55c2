//! How sessions are ended through their rooms and their workers: one, the members of a room, or all.

use tokio::sync::oneshot;

use super::fanout::{Barrier, CloseSeat, Drain, EndAll};
use super::shard::requests::{CloseMembers, Flush};
use super::{Published, Rooms};
use crate::clock::Clock;
use crate::close::Close;
use crate::drain::Plan;
use crate::fault::Fault;
use crate::ids::RoomName;
use crate::mailbox::Full;
use crate::seat::Place;

impl Rooms {
    /// Ends the session at `place`, past what waits for it elsewhere.
    pub fn close(&self, place: Place, close: Close) {
        if let Some(fanout) = self.lanes.fanout(place.worker) {
            fanout.post_departure(CloseSeat { seat: place.seat, close });
        }
    }

    /// Ends every member session of a room, after what was published there before, and says how many there were.
    ///
    /// # Errors
    /// [`crate::fault::Code::Overloaded`]: nothing was done.
    pub(crate) fn close_members(&self, room: RoomName, close: Close) -> Result<oneshot::Receiver<Published>, Fault> {
        let (done, closed) = oneshot::channel();
        self.shard(&room)?.post(CloseMembers { room, close, done }).map_err(|Full(_)| Fault::overloaded())?;
        Ok(closed)
    }

    /// Ends every session now, whatever it owes.
    pub(crate) fn end_all(&self, close: Close) {
        for fanout in self.lanes.fanouts() {
            fanout.post_departure(EndAll(close));
        }
    }

    /// Begins to end every session as planned, after what was delivered to it. Resolves when the last one was closed.
    pub(crate) fn send_away(&self, plan: Plan, clock: &Clock) -> impl Future<Output = ()> + use<> {
        let workers = self.lanes.len();
        let mut waits = Vec::with_capacity(workers);
        for fanout in self.lanes.fanouts() {
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
        for fanout in self.lanes.fanouts() {
            let (done, wait) = oneshot::channel();
            fanout.post_departure(Barrier(done));
            waits.push(wait);
        }
        for wait in waits.drain(..) {
            let _ = wait.await;
        }
        for shard in self.lanes.shards() {
            let (done, mut through): (Vec<_>, Vec<_>) = (0..self.lanes.len()).map(|_| oneshot::channel()).unzip();
            shard.post_departure(Flush(done));
            waits.append(&mut through);
        }
        for wait in waits {
            let _ = wait.await;
        }
    }
}
