//! How the hub shuts down, in order:
//!
//! 1. [`Hub::drain`] refuses new work and flushes accepted work into the outboxes. Then every worker sends its sessions
//!    the notice when to reconnect and closes them on [`schedule`]; `rooms/fanout/shutdown.rs` is the worker's part.
//!    Meanwhile the histories are stored, because nothing is published any more.
//! 2. [`Hub::close_remaining`] closes the remaining sessions.
//! 3. [`Hub::store_sessions`] stores the suspended sessions.
//! 4. [`Hub::store_once`] stores the replies to requests with an idempotency key, after the last HTTP request.

pub mod schedule;

use std::time::Duration;

use actix_rt::time::{sleep, timeout};

use self::schedule::{DrainRate, DrainSchedule};
use crate::hub::Hub;
use crate::model::close::Close;
use crate::recovery::messages::TakeSuspended;
use crate::recovery::persisted::{SavedSession, SessionsToStore};
use crate::recovery::tokens::SuspendedSession;

/// Sessions that are prepared for the store at once: the contents of each are in memory twice meanwhile.
const STORED_AT_ONCE: usize = 256;

/// The wait for the last sessions to end, and the time between two checks.
const END_TIME: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(10));

impl Hub {
    /// Refuses new work, then closes every session with 1001 at this rate, after its pending output. Resolves when the
    /// last session is closed. Clients may still be reading then.
    pub async fn drain(&self, rate: DrainRate) {
        let start = self.clock().elapsed_ms();
        self.start_draining();
        self.rooms().flush().await;
        let passed = u64::try_from(self.clock().elapsed_ms() - start).unwrap_or(0);
        let sessions = self.stats().sessions.get();
        let schedule = DrainSchedule::of(sessions, rate.after(Duration::from_millis(passed)));
        report(sessions, rate, &schedule);
        let drained = self.rooms().drain(schedule, self.clock());
        self.store_histories().await;
        drained.await;
    }

    async fn store_histories(&self) {
        let histories = self.rooms().histories().await;
        if !histories.is_empty()
            && let Err(fault) = self.store().keep_histories(histories).await
        {
            log::warn!("the histories of topics could not be stored and are lost: {fault}");
        }
    }

    /// Closes the remaining sessions, with or without pending replies. They can be recovered.
    pub async fn close_remaining(&self) {
        if self.stats().sessions.get() == 0 {
            return;
        }
        self.rooms().close_all(Close::GoingAway);
        let (within, pause) = END_TIME;
        let ended = async {
            while self.stats().sessions.get() > 0 {
                sleep(pause).await;
            }
        };
        let _ = timeout(within, ended).await;
    }

    /// Stores the suspended sessions for the next start, with the sessions that [`Hub::drain`] ended.
    pub async fn store_sessions(&self) {
        let suspended = self.recovery().ask_departure(TakeSuspended).await.unwrap_or_default();
        let (mut suspended, now) = (suspended.into_iter(), self.clock().now_ms());
        let mut to_store = SessionsToStore::default();
        loop {
            let some: Vec<_> = suspended.by_ref().take(STORED_AT_ONCE).collect();
            if some.is_empty() {
                break;
            }
            let slots: Vec<_> =
                some.iter().map(|(_, SuspendedSession { holder, .. }, _)| (holder.addr, holder.session)).collect();
            let remains = self.rooms().release_slots(&slots).await;
            for ((token, suspended, left), remains) in some.into_iter().zip(remains) {
                if let Some(remains) = remains {
                    to_store.add(SavedSession { token, suspended, until: now + left, remains });
                }
            }
        }
        let stored = to_store.into_stored();
        if stored.sessions.is_empty() {
            return;
        }
        log::info!(sessions = stored.sessions.len(); "suspended sessions are stored");
        if let Err(fault) = self.store().keep_suspended(stored).await {
            log::warn!("suspended sessions could not be stored and cannot be recovered: {fault}");
        }
    }
}

fn report(sessions: u64, rate: DrainRate, schedule: &DrainSchedule) {
    let (closing, away) = (schedule.closing().as_secs_f64(), schedule.away().as_secs_f64());
    log::info!(sessions; "closing all sessions within {closing:.1} s; clients reconnect within {away:.1} s after that");
    if schedule.is_hurried() {
        log::warn!("the shutdown time is too short for {} sessions a second; closing faster", rate.per_sec);
    }
}
