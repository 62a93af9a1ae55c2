//! What every worker thread has of its own: the seats of its sessions, its share of the rooms, their fan-out, its pulse.

use std::rc::Rc;
use std::sync::Arc;

use actix::Actor;

use crate::clock::Expiry;
use crate::close::Close;
use crate::events::ServerEvent as _;
use crate::events::chat::messages::MessageNew;
use crate::hub::Hub;
use crate::ids::RoomName;
use crate::mailbox::Mailbox;
use crate::pulse::Pulse;
use crate::rooms::ParkedSeat;
use crate::rooms::fanout::Fanout;
use crate::rooms::shard::RoomShard;
use crate::seat::{Seat, Seating, Seats};

/// A worker's own part of the hub. Lives on its thread.
#[derive(Debug, Clone)]
pub struct Worker(Rc<Part>);

#[derive(Debug)]
struct Part {
    hub: Arc<Hub>,
    seats: Rc<Seats>,
}

impl Worker {
    /// Starts the actors of the next worker on this thread; `None` when every worker was started before, which happens
    /// when a worker died and its thread is replaced: its rooms are lost, and the hub is about to end.
    pub fn start(hub: &Arc<Hub>) -> Option<Self> {
        let number = hub.next_worker()?;
        let seats =
            Rc::new(Seats::new(number, hub.settings().retained_bytes_max(), hub.stats_shared(), hub.clock().clone()));
        let bound = hub.settings().mailbox;
        let mut fanout = Fanout::new(seats.clone());
        for parked in hub.rooms().lanes().take_parked(number) {
            let (seat, rooms) = Self::seat_parked(hub, &seats, parked);
            fanout.enrol_parked(&seat, rooms);
        }
        let fanout = fanout.start();
        let shard = RoomShard::new(hub, number).start();
        let pulse = Pulse::new(seats.clone(), hub.clock().clone(), hub.settings().shortest_heartbeat_ms).start();
        let opened = hub.rooms().lanes().open(
            number,
            Mailbox::new(format!("room-shard-{number}"), shard, bound),
            Mailbox::new(format!("fanout-{number}"), fanout, bound),
        );
        hub.watch_pulse(number, pulse);
        opened.then(|| Self(Rc::new(Part { hub: hub.clone(), seats })))
    }

    /// Seats a session that was cut off before the start.
    fn seat_parked(hub: &Hub, seats: &Seats, parked: ParkedSeat) -> (Rc<Seat>, Vec<RoomName>) {
        let ParkedSeat { session, place, rooms, remains, .. } = parked;
        let (settings, elapsed) = (hub.settings(), hub.clock().elapsed_ms());
        let seat = seats.seat(Seating {
            session,
            wire: settings.recovery.wire,
            bound: settings.outbox,
            heartbeat: None,
            carrier: false,
            expiry: Expiry::NEVER,
            elapsed,
        });
        debug_assert_eq!(seat.place(), place, "seats are taken in the order that was planned");
        seat.restore(remains, MessageNew::NAME, settings.kept_max(), seats.ledger());
        seat.close(Close::Left);
        seat.with_outbox(|outbox| outbox.abandon());
        seats.note_parked(place.seat);
        (seat, rooms)
    }

    /// The hub.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    /// Which worker it is.
    pub fn number(&self) -> usize {
        self.0.seats.worker()
    }

    /// The worker's seats.
    pub fn seats(&self) -> &Rc<Seats> {
        &self.0.seats
    }
}
