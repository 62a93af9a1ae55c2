//! How the hub shuts down, in order:
//!
//! 1. [`Hub::drain`] refuses new work and flushes accepted work into the outboxes. Then every worker sends its sessions
//!    the notice when to reconnect and closes them on [`schedule`]; `rooms/fanout/shutdown.rs` is the worker's part.
//!    Meanwhile the histories are stored, because nothing is published any more.
//! 2. [`Hub::close_remaining`] closes the remaining sessions.
//! 3. [`Hub::store_sessions`] stores the suspended sessions and what they missed.
//! 4. [`Hub::store_once`] stores the replies to requests with an idempotency key, after the last HTTP request.

pub mod schedule;

use std::time::Duration;

use actix_rt::time::{sleep, timeout};

use self::schedule::{DrainRate, DrainSchedule};
use crate::hub::Hub;
use crate::model::close::Close;
use crate::model::fault::Fault;
use crate::recovery::messages::TakeSuspended;
use crate::recovery::persisted::{self, SavedSession};
use crate::rooms::persisted::segments::{self, Segments};
use crate::store::{Store, StoredSessions};

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

    /// Stores the suspended sessions for the next start, with the sessions that [`Hub::drain`] ended, and then what they
    /// missed, the newest publications first. After `within` it stops: sessions that need older publications are not
    /// recovered. The sessions themselves are stored in any case.
    pub async fn store_sessions(&self, within: Duration) {
        // First the log: all records are in the mailbox of the recovery actor when it arrives.
        let log = self.rooms().log().await;
        let suspended = self.recovery().ask_departure(TakeSuspended).await.unwrap_or_default();
        if suspended.is_empty() {
            return;
        }
        let now = self.clock().now_ms();
        let cursors = suspended.iter().flat_map(|(_, suspended, _)| &suspended.rooms);
        let (log, segments) = segments::stored(log, cursors, now);
        let saved = suspended
            .into_iter()
            .map(|(token, suspended, left)| persisted::stored(SavedSession { token, suspended, until: now + left }));
        let stored = StoredSessions { sessions: saved.flatten().collect(), log };
        let sessions = stored.sessions.len();
        match timeout(within, store_all(self.store(), stored, segments)).await {
            Ok(Ok(())) => log::info!(sessions; "suspended sessions are stored"),
            Ok(Err(fault)) => log::warn!(sessions; "not all suspended sessions can be recovered: {fault}"),
            Err(_) => {
                log::warn!(sessions; "not all suspended sessions can be recovered: the time to store them is over")
            }
        }
    }
}

/// Stores the sessions, then the segments of the log.
async fn store_all(store: &Store, sessions: StoredSessions, segments: Segments) -> Result<(), Fault> {
    store.keep_suspended(sessions).await?;
    for segment in segments {
        store.keep_segment(segment).await?;
    }
    Ok(())
}

fn report(sessions: u64, rate: DrainRate, schedule: &DrainSchedule) {
    let (closing, away) = (schedule.closing().as_secs_f64(), schedule.away().as_secs_f64());
    log::info!(sessions; "closing all sessions within {closing:.1} s; clients reconnect within {away:.1} s after that");
    if schedule.is_hurried() {
        log::warn!("the shutdown time is too short for {} sessions a second; closing faster", rate.per_sec);
    }
}
