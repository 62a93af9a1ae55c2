//! The timer of a worker's sessions.

use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context};

use crate::clock::Clock;
use crate::seat::Seats;

/// The longest and the shortest time between two beats of a pulse.
const BEAT_MAX: Duration = Duration::from_millis(500);
const BEAT_MIN: Duration = Duration::from_millis(20);

/// Time between two beats from which on the worker is taken to have stood still, ms.
const STALL_MS: i64 = 2_000;

/// The timer of all sessions of a worker: expiry, silence and pings in one sweep, because a timer a session is dear when
/// it is idle.
#[derive(Debug)]
pub struct Pulse {
    seats: Rc<Seats>,
    clock: Clock,
    beat: Duration,
}

impl Pulse {
    /// A pulse for `seats`, fast enough that a heartbeat of `interval_ms` is late by a twentieth at most.
    pub fn new(seats: Rc<Seats>, clock: Clock, interval_ms: i64) -> Self {
        let beat = Duration::from_millis(u64::try_from(interval_ms / 20).unwrap_or(0));
        Self { seats, clock, beat: beat.clamp(BEAT_MIN, BEAT_MAX) }
    }
}

impl Actor for Pulse {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let mut last = self.clock.elapsed_ms();
        ctx.run_interval(self.beat, move |pulse, _| {
            let (now, elapsed) = (pulse.clock.now_ms(), pulse.clock.elapsed_ms());
            // A worker that stood still itself has signs of life waiting unread: it judges nobody before it read them.
            let stood_still = elapsed - last > STALL_MS;
            last = elapsed;
            if !stood_still {
                pulse.seats.for_each(|seat| seat.beat(now, elapsed));
            }
        });
    }
}
