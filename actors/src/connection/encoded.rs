//! A delivery as the members on one worker share it: its frame on each wire, and what is kept of it.

use std::rc::Rc;

use bytes::Bytes;

use crate::connection::outbox::Frame;
use crate::connection::retained::{Brought, Ledger, OVERHEAD, Retained};
use crate::model::ids::RoomName;
use crate::publication::{Encoder, Publication, WIRES};

/// What is made of a delivery as somebody asks for it, once.
#[derive(Debug)]
pub struct EncodedPublication<'a> {
    delivery: &'a Publication,
    room: &'a RoomName,
    ledger: &'a Rc<Ledger>,
    frames: [Option<Frame>; WIRES],
    framed: [Option<Rc<Retained>>; WIRES],
    data: Option<Rc<Retained>>,
}

fn brought(delivery: &Publication, room: &RoomName, bytes: Bytes) -> Brought {
    Brought { number: delivery.number(), room: room.clone(), bytes, about: delivery.notification().cloned() }
}

impl<'a> EncodedPublication<'a> {
    /// No copy yet of a delivery of `room`; what is kept of it is counted in `ledger`.
    pub fn new(delivery: &'a Publication, room: &'a RoomName, ledger: &'a Rc<Ledger>) -> Self {
        let (frames, framed) = ([const { None }; WIRES], [const { None }; WIRES]);
        Self { delivery, room, ledger, frames, framed, data: None }
    }

    /// Whether so many bytes more may be kept.
    pub fn has_room(&self, weight: usize) -> bool {
        self.ledger.has_room(weight)
    }

    /// What it costs to keep its frame on `wire`, bytes: nothing where it is kept already.
    pub fn retained_frame_cost(&mut self, wire: &dyn Encoder) -> usize {
        match self.framed.get(wire.slot()) {
            Some(None) => self.frame(wire).map_or(0, |frame| frame.len() + OVERHEAD),
            Some(Some(_)) | None => 0,
        }
    }

    /// What it costs to keep its data, likewise.
    pub fn retained_data_cost(&self) -> usize {
        if self.data.is_some() { 0 } else { self.delivery.data().len() + OVERHEAD }
    }

    /// Its frame on `wire`.
    pub fn frame(&mut self, wire: &dyn Encoder) -> Option<Frame> {
        let slot = self.frames.get_mut(wire.slot())?;
        Some(slot.get_or_insert_with(|| Rc::new(self.delivery.frame(wire))).clone())
    }

    /// Its frame on `wire`, to be kept.
    pub fn retained_frame(&mut self, wire: &dyn Encoder) -> Option<Rc<Retained>> {
        let frame = self.frame(wire)?;
        let slot = self.framed.get_mut(wire.slot())?;
        let (delivery, room) = (self.delivery, self.room);
        Some(slot.get_or_insert_with(|| Retained::new(self.ledger, brought(delivery, room, (*frame).clone()))).clone())
    }

    /// Its data, to be kept.
    pub fn retained_data(&mut self) -> Rc<Retained> {
        let (delivery, room) = (self.delivery, self.room);
        let retained = || Retained::new(self.ledger, brought(delivery, room, delivery.data().clone()));
        self.data.get_or_insert_with(retained).clone()
    }
}
