//! What every worker thread has of its own: the seats of its sessions, its share of the rooms, their fan-out, its pulse.

use std::rc::Rc;
use std::sync::Arc;

use actix::Actor;

use crate::hub::Hub;
use crate::mailbox::Mailbox;
use crate::pulse::Pulse;
use crate::rooms::fanout::Fanout;
use crate::rooms::shard::RoomShard;
use crate::seat::Seats;

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
        let seats = Rc::new(Seats::new(number, hub.settings().retained_bytes_max(), hub.stats_shared()));
        let bound = hub.settings().mailbox;
        let fanout = Fanout::new(seats.clone()).start();
        let shard = RoomShard::new(hub, number).start();
        let pulse = Pulse::new(seats.clone(), hub.clock().clone(), hub.settings().shortest_heartbeat_ms).start();
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

    /// Which worker it is.
    pub fn number(&self) -> usize {
        self.seats.worker()
    }

    /// The worker's seats.
    pub fn seats(&self) -> &Rc<Seats> {
        &self.seats
    }
}
