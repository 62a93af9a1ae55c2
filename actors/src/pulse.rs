//! The timer of a worker's sessions.

use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, SpawnHandle};

use crate::clock::Clock;
use crate::seat::{SeatKey, Seats};

/// The longest and the shortest time between two sweeps of a pulse, ms.
const SWEEP_MAX: i64 = 500;
const SWEEP_MIN: i64 = 20;

/// Time by which a sweep is late from which on the worker is taken to have stood still, ms.
const STALL_MS: i64 = 1_500;

/// The timer of all sessions of a worker: expiry, silence and pings. A timer a session is dear when it is idle, and a
/// sweep alone is late; so a sweep finds who is due before the next one, and those few are met on time.
#[derive(Debug)]
pub struct Pulse {
    seats: Rc<Seats>,
    clock: Clock,
    /// Between two sweeps, ms.
    sweep: i64,
    /// When the last one was, ms by [`Clock::elapsed_ms`].
    swept_at: i64,
    /// Who is due before the next, the latest first.
    soon: Vec<(i64, SeatKey)>,
    /// Waits for the first of them.
    waiting: Option<SpawnHandle>,
}

impl Pulse {
    /// A pulse for `seats`, none of whose heartbeats is shorter than `interval_ms`.
    pub fn new(seats: Rc<Seats>, clock: Clock, interval_ms: i64) -> Self {
        let sweep = (interval_ms / 20).clamp(SWEEP_MIN, SWEEP_MAX);
        let swept_at = clock.elapsed_ms();
        Self { seats, clock, sweep, swept_at, soon: Vec::new(), waiting: None }
    }

    fn sweep(&mut self, ctx: &mut Context<Self>) {
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        // A worker that stood still itself has signs of life waiting unread: it judges nobody before it read them.
        let stood_still = elapsed - self.swept_at > self.sweep + STALL_MS;
        self.swept_at = elapsed;
        self.soon.clear();
        if !stood_still {
            let (soon, sweep) = (&mut self.soon, self.sweep);
            self.seats.for_each(|seat| {
                let due = seat.beat(now, elapsed);
                if due < sweep {
                    soon.push((elapsed + due, seat.place().seat));
                }
            });
            self.soon.sort_unstable_by_key(|&(at, _)| std::cmp::Reverse(at));
        }
        ctx.run_later(millis(self.sweep), Self::sweep);
        self.await_next(elapsed, ctx);
    }

    fn await_next(&mut self, elapsed: i64, ctx: &mut Context<Self>) {
        if let Some(waiting) = self.waiting.take() {
            ctx.cancel_future(waiting);
        }
        self.waiting = self.soon.last().map(|&(at, _)| ctx.run_later(millis(at - elapsed), Self::meet));
    }

    /// Judges those who are due by now.
    fn meet(&mut self, ctx: &mut Context<Self>) {
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        if elapsed - self.swept_at > self.sweep + STALL_MS {
            return;
        }
        while let Some((_, key)) = self.soon.pop_if(|&mut (at, _)| at <= elapsed) {
            let Some(seat) = self.seats.get(key) else { continue };
            let again = elapsed.saturating_add(seat.beat(now, elapsed));
            if again < self.swept_at + self.sweep {
                let place = self.soon.partition_point(|&(at, _)| at > again);
                self.soon.insert(place, (again, key));
            }
        }
        self.await_next(elapsed, ctx);
    }
}

fn millis(time: i64) -> Duration {
    Duration::from_millis(u64::try_from(time).unwrap_or(0))
}

impl Actor for Pulse {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(millis(self.sweep), Self::sweep);
    }
}
