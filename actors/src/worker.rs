//! What every worker thread has of its own: the seats of its sessions, its share of the rooms, their fan-out, its pulse.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context};

use crate::clock::Clock;
use crate::hub::Hub;
use crate::mailbox::Mailbox;
use crate::rooms::fanout::Fanout;
use crate::rooms::shard::RoomShard;
use crate::seat::Seats;

/// The longest and the shortest time between two beats of a pulse.
const BEAT_MAX: Duration = Duration::from_millis(500);
const BEAT_MIN: Duration = Duration::from_millis(20);

/// A worker's own part of the hub. Lives on its thread.
#[derive(Debug, Clone)]
pub struct Worker {
    hub: Arc<Hub>,
    seats: Rc<Seats>,
}

impl Worker {
    /// Starts the actors of the next worker on this thread; `None` when every worker was started before, which happens
    /// when a worker died and its thread is replaced: its rooms are lost, and the hub is about to end.
    pub fn start(hub: &Arc<Hub>) -> Option<Self> {
        let number = hub.next_worker()?;
        let seats = Rc::new(Seats::new(number, hub.stats_shared()));
        let bound = hub.settings().mailbox;
        let fanout = Fanout::new(seats.clone()).start();
        let shard = RoomShard::new(hub.rooms().lanes().clone(), hub.stats_shared()).start();
        let pulse = Pulse { seats: seats.clone(), clock: hub.clock().clone(), beat: beat(hub.settings()) }.start();
        let opened = hub.rooms().lanes().open(
            number,
            Mailbox::new(format!("room-shard-{number}"), shard, bound),
            Mailbox::new(format!("fanout-{number}"), fanout, bound),
        );
        hub.watch_pulse(number, pulse);
        opened.then(|| Self { hub: hub.clone(), seats })
    }

    /// The hub.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// The worker's seats.
    pub fn seats(&self) -> &Rc<Seats> {
        &self.seats
    }
}

/// Often enough that a heartbeat is late by a twentieth at most.
fn beat(settings: &crate::hub::Settings) -> Duration {
    let interval = u64::try_from(settings.heartbeat.interval_ms).unwrap_or(0);
    Duration::from_millis(interval / 20).clamp(BEAT_MIN, BEAT_MAX)
}

/// The timer of all sessions of a worker: expiry, silence and pings in one sweep, because a timer a session is dear when
/// it is idle.
#[derive(Debug)]
pub struct Pulse {
    seats: Rc<Seats>,
    clock: Clock,
    beat: Duration,
}

impl Actor for Pulse {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(self.beat, |pulse, _| {
            let now = pulse.clock.now_ms();
            pulse.seats.for_each(|seat| seat.beat(now));
        });
    }
}

/// The address of a pulse, kept to see that it beats.
pub(crate) type PulseAddr = Addr<Pulse>;
