//! The timer of a worker's sessions.

use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context};

use crate::connection::SessionTable;
use crate::runtime::clock::Clock;

/// Sweeps in the shortest interval between two pings, as far as [`SWEEP_MIN`] allows.
const SWEEPS: i64 = 100;

/// The longest and the shortest time between two sweeps, ms: by so much pings and expiries are late.
const SWEEP_MAX: i64 = 250;
const SWEEP_MIN: i64 = 20;

/// Time by which a sweep is late from which on the worker is taken to have stood still, ms.
const STALL_MS: i64 = 1_500;

/// The timer of all sessions of a worker: expiry, silence and pings. A timer a session is dear when it is idle: to wake a
/// thread for one ping costs more than the ping. So a sweep meets together all that are due since the one before.
#[derive(Debug)]
pub struct HeartbeatSweeper {
    session_table: Rc<SessionTable>,
    clock: Clock,
    /// Between two sweeps, ms.
    sweep: i64,
    /// When the last one was, ms by [`Clock::elapsed_ms`].
    swept_at: i64,
}

impl HeartbeatSweeper {
    /// A pulse for `seats`, none of whose heartbeats is shorter than `interval_ms`.
    pub fn new(session_table: Rc<SessionTable>, clock: Clock, interval_ms: i64) -> Self {
        let sweep = (interval_ms / SWEEPS).clamp(SWEEP_MIN, SWEEP_MAX);
        let swept_at = clock.elapsed_ms();
        Self { session_table, clock, sweep, swept_at }
    }

    fn sweep(&mut self, ctx: &mut Context<Self>) {
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        // A worker that stood still itself has signs of life waiting unread: it judges nobody before it read them.
        let stood_still = elapsed - self.swept_at > self.sweep + STALL_MS;
        self.swept_at = elapsed;
        if !stood_still {
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
