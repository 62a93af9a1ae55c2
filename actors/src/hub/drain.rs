//! How the hub goes away, as far as its sessions and its rooms are concerned.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Hub;
use crate::drain::{Pace, Plan};
use crate::recovery::TakeParked;
use crate::recovery::stored::{self, Saved};

impl Hub {
    /// Stops taking work, and sees all that was accepted into the outboxes. Then every session is told when to come
    /// back, and they end with 1001, behind what they were sent, at this pace; meanwhile what rooms keep is put into
    /// the store for the next start: that is all there will be, for nothing is published any more. Resolves when the
    /// last session was closed, though not all have read to the end.
    pub async fn drain(&self, pace: Pace) {
        let began = self.clock().elapsed_ms();
        self.draining.store(true, Ordering::Release);
        self.rooms.flush().await;
        let passed = u64::try_from(self.clock().elapsed_ms() - began).unwrap_or(0);
        let sessions = self.stats.sessions.get();
        let plan = Plan::of(sessions, pace.after(Duration::from_millis(passed)));
        report(sessions, pace, &plan);
        let gone = self.rooms.send_away(plan, self.clock());
        self.store_histories().await;
        gone.await;
    }

    async fn store_histories(&self) {
        let histories = self.rooms.histories().await;
        if !histories.is_empty()
            && let Err(fault) = self.store.keep_histories(histories).await
        {
            log::warn!("what topics keep could not be stored, and cannot be recovered: {fault}");
        }
    }
}

impl Hub {
    /// Puts what is kept for sessions that were cut off into the store, for the next start: those that ended since
    /// [`Hub::drain`] too.
    pub async fn store_sessions(&self) {
        let (reply, taken) = oneshot::channel();
        self.recovery.post_departure(TakeParked(reply));
        let taken = taken.await.unwrap_or_default();
        let places: Vec<_> = taken.iter().map(|(_, parked, _)| parked.holder.place).collect();
        let now = self.clock().now_ms();
        let remains = self.rooms.vacate_all(&places).await.into_iter();
        let saved = taken.into_iter().zip(remains).filter_map(|((token, parked, left), remains)| {
            Some(Saved { token, parked, until: now + left, remains: remains? })
        });
        let saved: Vec<_> = saved.collect();
        if saved.is_empty() {
            return;
        }
        log::info!("{} sessions that were cut off are stored", saved.len());
        if let Err(fault) = self.store.keep_parked(stored::stored(saved)).await {
            log::warn!("sessions that were cut off could not be stored, and cannot be recovered: {fault}");
        }
    }
}

fn report(sessions: u64, pace: Pace, plan: &Plan) {
    let (closing, away) = (plan.closing().as_secs_f64(), plan.away().as_secs_f64());
    log::info!("{sessions} sessions are closed within {closing:.1} s and told to come back within {away:.1} s of that");
    if plan.is_hurried() {
        log::warn!("{} sessions a second would take longer than there is time; they are closed faster", pace.per_sec);
    }
}
