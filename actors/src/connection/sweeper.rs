//! The timer of a worker's sessions and connections.

use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context};

use crate::connection::SessionTable;
use crate::runtime::clock::Clock;

/// Sweeps in the shortest heartbeat interval, within [`SWEEP_MIN`] and [`SWEEP_MAX`].
const SWEEPS: i64 = 100;

/// Longest and shortest time between two sweeps, ms: pings and expiries are at most this late.
const SWEEP_MAX: i64 = 250;
const SWEEP_MIN: i64 = 20;

/// Delay of a sweep from which the worker counts as stalled, ms.
const STALL_MS: i64 = 1_500;

/// One timer for expiry, silence and pings of a worker's sessions and connections. A timer for each would wake an idle
/// thread for every ping; one sweep handles all that are due.
#[derive(Debug)]
pub struct HeartbeatSweeper {
    session_table: Rc<SessionTable>,
    clock: Clock,
    /// Between two sweeps, ms.
    sweep: i64,
    /// When the last sweep ran, ms by [`Clock::elapsed_ms`].
    swept_at: i64,
}

impl HeartbeatSweeper {
    /// A sweeper of sessions with heartbeat intervals of at least `interval_ms`.
    pub fn new(session_table: Rc<SessionTable>, clock: Clock, interval_ms: i64) -> Self {
        let sweep = (interval_ms / SWEEPS).clamp(SWEEP_MIN, SWEEP_MAX);
        let swept_at = clock.elapsed_ms();
        Self { session_table, clock, sweep, swept_at }
    }

    fn sweep(&mut self, ctx: &mut Context<Self>) {
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        // After a stall, pongs may wait unread. The worker reads them before it checks any session.
        let is_stalled = elapsed - self.swept_at > self.sweep + STALL_MS;
        self.swept_at = elapsed;
        if !is_stalled {
            self.session_table.sweep(now, elapsed);
        }
        ctx.run_later(Duration::from_millis(self.sweep.unsigned_abs()), Self::sweep);
    }
}

impl Actor for HeartbeatSweeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.sweep(ctx);
    }
}
