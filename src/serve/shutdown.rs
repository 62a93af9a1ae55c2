//! The shutdown of a hub. It becomes not ready; then the sessions end, then the HTTP side, then the store closes, all within
//! `server.shutdown_secs`.
//!
//! Each session gets a notice with the time to reconnect, then its accepted messages, then close code 1001;
//! `server.drain_per_sec` sessions are closed a second. Meanwhile the topics' histories are stored, and after it the
//! suspended sessions with what they missed. Last, the store gets the records of idempotent requests and nonces.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_rt::time::{sleep, timeout};
use actix_server::ServerHandle;
use hubbub_actors::hub::Hub;
use hubbub_actors::shutdown::schedule::DrainRate;
use hubbub_actors::store::Store;

use super::reload;
use super::signals::{Stop, Stops};
use crate::socketio::router::EngineRouter;
use crate::state::SharedState;

/// How often a hub that drains checks whether the last connection is closed.
const DRAIN_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The most of `server.shutdown_secs` that the HTTP side gets.
pub(super) const HTTP_TIME: Duration = Duration::from_secs(1);

/// The most of `server.shutdown_secs` for the queued writes of the store. None of them was acknowledged yet.
const STORE_TIME: Duration = Duration::from_secs(2);

/// The most time to store sessions after a second signal.
const CUT_TIME: Duration = Duration::from_secs(1);

/// The longest time of a shutdown: `server.shutdown_secs`.
pub(super) fn longest(state: &SharedState) -> Duration {
    Duration::from_secs(state.policies().config.server.shutdown_secs.into())
}

/// Ends the sessions, then the HTTP side, then the store. Returns the second signal, if one cut this short.
pub(super) async fn shut_down(
    state: &SharedState,
    router: &EngineRouter,
    store: &Store,
    handle: ServerHandle,
    stops: &mut Stops,
) -> Option<Stop> {
    let config = state.policies().config.clone();
    let (began, times) = (Instant::now(), ShutdownTimes::of(longest(state)));
    let rate = DrainRate { per_sec: config.server.drain_per_sec, within: times.sessions };
    let store_time = || times.for_suspended_sessions(began.elapsed());
    let cut = drain(&state.hub, router, rate, store_time, stops).await;
    let http_time = if cut.is_some() { Duration::ZERO } else { times.http };
    let _ = timeout(http_time, handle.stop(cut.is_none())).await;
    state.notices.finish();
    let closed = async {
        // After the last request, so that its record is stored too.
        state.store_once().await;
        store.close().await;
    };
    let _ = timeout(times.for_last_writes(began.elapsed()), closed).await;
    state.hub.refusal_log().finish();
    reload::remove_running(&config);
    cut
}

/// The parts of `server.shutdown_secs`, in the order in which they are used.
#[derive(Debug, PartialEq, Eq)]
struct ShutdownTimes {
    sessions: Duration,
    http: Duration,
    store: Duration,
}

impl ShutdownTimes {
    /// Splits `time`. The sessions get at least half of it.
    fn of(time: Duration) -> Self {
        let (http, store) = (HTTP_TIME.min(time / 4), STORE_TIME.min(time / 4));
        Self { sessions: time.saturating_sub(http + store), http, store }
    }

    /// The time to store the suspended sessions, after `passed` of the shutdown: what the sessions have left, and half of
    /// the store's time.
    fn for_suspended_sessions(&self, passed: Duration) -> Duration {
        (self.sessions + self.store / 2).saturating_sub(passed)
    }

    /// The time for the last writes, after `passed` of the shutdown: the store's time, and at least half of it.
    fn for_last_writes(&self, passed: Duration) -> Duration {
        let left = (self.sessions + self.http + self.store).saturating_sub(passed);
        left.clamp(self.store / 2, self.store)
    }
}

/// Drains the hub until it is empty, its time is over, or a second signal arrives. Then stores the suspended sessions,
/// within `store_time` or until the second signal. Returns that signal.
async fn drain(
    hub: &Arc<Hub>,
    router: &EngineRouter,
    rate: DrainRate,
    store_time: impl Fn() -> Duration,
    stops: &mut Stops,
) -> Option<Stop> {
    let drained = async {
        router.close_idle();
        hub.drain(rate).await;
        // Some connections lost their last session during the drain because their client left.
        router.close_idle();
        // A Socket.IO session ends before its last packets are written; its connection ends after.
        while hub.stats().sessions.get() > 0 || hub.registry().connections() > 0 {
            sleep(DRAIN_CHECK_INTERVAL).await;
        }
    };
    let mut cut = tokio::select! {
        biased;
        _ = timeout(rate.within, drained) => None,
        stop = stops.next() => Some(stop),
    };
    // The remaining sessions wait for a reply, or their clients have not read everything.
    let mut end = pin!(async {
        hub.close_remaining().await;
        hub.store_sessions(store_time()).await;
    });
    if cut.is_none() {
        cut = tokio::select! {
            biased;
            () = &mut end => None,
            stop = stops.next() => Some(stop),
        };
    }
    if cut.is_some() {
        log::warn!("second stop signal; ending at once");
        let _ = timeout(CUT_TIME, end).await;
        return cut;
    }
    let left = hub.registry().connections();
    if left > 0 {
        log::warn!("{left} connections did not read all messages within {} s", rate.within.as_secs());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_shutdown_time_add_up_to_it() {
        let secs = Duration::from_secs_f64;
        for (time, sessions, http, store) in
            [(1.0, 0.5, 0.25, 0.25), (2.0, 1.0, 0.5, 0.5), (6.0, 3.5, 1.0, 1.5), (15.0, 12.0, 1.0, 2.0)]
        {
            let times = ShutdownTimes { sessions: secs(sessions), http: secs(http), store: secs(store) };
            assert_eq!(ShutdownTimes::of(secs(time)), times);
            assert_eq!(sessions + http + store, time);
        }
    }

    #[test]
    fn suspended_sessions_get_the_time_that_the_drain_leaves_and_half_of_the_time_of_the_store() {
        let secs = Duration::from_secs_f64;
        let times = ShutdownTimes::of(secs(15.0));
        for (passed, left) in [(0.0, 13.0), (2.0, 11.0), (12.0, 1.0), (14.0, 0.0)] {
            assert_eq!(times.for_suspended_sessions(secs(passed)), secs(left));
        }
        for (passed, left) in [(0.0, 2.0), (12.5, 2.0), (13.5, 1.5), (15.5, 1.0)] {
            assert_eq!(times.for_last_writes(secs(passed)), secs(left));
        }
    }
}
