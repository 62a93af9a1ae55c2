//! How the hub goes away, as far as its sessions and its rooms are concerned.

use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_rt::time::{sleep, timeout};
use tokio::sync::oneshot;

use super::Hub;
use crate::model::close::Close;
use crate::recovery::TakeSuspended;
use crate::recovery::persisted::{Saved, Storing};
use crate::recovery::tokens::SuspendedSession;
use crate::shutdown::schedule::{DrainRate, DrainSchedule};

/// Sessions that are made ready to be stored at once: what each keeps is in memory twice for a moment.
const STORED_AT_ONCE: usize = 256;

/// How long those are waited for who are ended at last, and how often is looked.
const END_TIME: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(10));

impl Hub {
    /// Stops taking work, and sees all that was accepted into the outboxes. Then every session is told when to come
    /// back, and they end with 1001, behind what they were sent, at this pace; meanwhile what rooms keep is put into
    /// the store for the next start: that is all there will be, for nothing is published any more. Resolves when the
    /// last session was closed, though not all have read to the end.
    pub async fn drain(&self, pace: DrainRate) {
        let began = self.clock().elapsed_ms();
        self.draining.store(true, Ordering::Release);
        self.rooms.flush().await;
        let passed = u64::try_from(self.clock().elapsed_ms() - began).unwrap_or(0);
        let sessions = self.stats.sessions.get();
        let plan = DrainSchedule::of(sessions, pace.after(Duration::from_millis(passed)));
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
    /// Ends the sessions that are left, whatever they owe: they may come back.
    pub async fn close_remaining(&self) {
        if self.stats.sessions.get() == 0 {
            return;
        }
        self.rooms.end_all(Close::GoingAway);
        let (within, pause) = END_TIME;
        let ended = async {
            while self.stats.sessions.get() > 0 {
                sleep(pause).await;
            }
        };
        let _ = timeout(within, ended).await;
    }

    /// Puts what is kept for sessions that were cut off into the store, for the next start: those that ended since
    /// [`Hub::drain`] too.
    pub async fn store_sessions(&self) {
        let (reply, taken) = oneshot::channel();
        self.recovery.post_departure(TakeSuspended(reply));
        let taken = taken.await.unwrap_or_default();
        let (mut taken, now) = (taken.into_iter(), self.clock().now_ms());
        let mut storing = Storing::default();
        loop {
            let some: Vec<_> = taken.by_ref().take(STORED_AT_ONCE).collect();
            if some.is_empty() {
                break;
            }
            let places: Vec<_> =
                some.iter().map(|(_, SuspendedSession { holder, .. }, _)| (holder.place, holder.session)).collect();
            let remains = self.rooms.vacate_all(&places).await;
            for ((token, suspended, left), remains) in some.into_iter().zip(remains) {
                if let Some(remains) = remains {
                    storing.add(Saved { token, suspended, until: now + left, remains });
                }
            }
        }
        let stored = storing.done();
        if stored.sessions.is_empty() {
            return;
        }
        log::info!("{} sessions that were cut off are stored", stored.sessions.len());
        if let Err(fault) = self.store.keep_parked(stored).await {
            log::warn!("sessions that were cut off could not be stored, and cannot be recovered: {fault}");
        }
    }
}

fn report(sessions: u64, pace: DrainRate, plan: &DrainSchedule) {
    let (closing, away) = (plan.closing().as_secs_f64(), plan.away().as_secs_f64());
    log::info!("{sessions} sessions are closed within {closing:.1} s and told to come back within {away:.1} s of that");
    if plan.is_hurried() {
        log::warn!("{} sessions a second would take longer than there is time; they are closed faster", pace.per_sec);
    }
}
