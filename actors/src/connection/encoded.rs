//! A publication on one worker: its frames, and the copies that buffers retain. Each is created once per format and
//! worker, and shared by all members. The bytes are encoded once for all workers, in [`Publication::frame`].

use std::rc::Rc;

use bytes::Bytes;

use crate::connection::outbox::Frame;
use crate::connection::retained::{Brought, Ledger, OVERHEAD, Retained};
use crate::model::ids::RoomName;
use crate::publication::{Encoder, PerFormat, Publication};

/// A publication on one worker, with one frame and one retained copy per format.
#[derive(Debug)]
pub struct EncodedPublication<'a> {
    publication: &'a Publication,
    room: &'a RoomName,
    ledger: &'a Rc<Ledger>,
    frames: PerFormat<Option<Frame>>,
    retained_frames: PerFormat<Option<Rc<Retained>>>,
    retained_data: Option<Rc<Retained>>,
}

fn brought(publication: &Publication, room: &RoomName, bytes: Bytes) -> Brought {
    let (number, about) = (publication.number(), publication.notification().cloned());
    Brought { number, room: room.clone(), bytes, about }
}

impl<'a> EncodedPublication<'a> {
    /// A publication of `room` without frames. `ledger` counts the retained bytes.
    pub fn new(publication: &'a Publication, room: &'a RoomName, ledger: &'a Rc<Ledger>) -> Self {
        let (frames, retained_frames) = Default::default();
        Self { publication, room, ledger, frames, retained_frames, retained_data: None }
    }

    /// Whether the ledger has room for `weight` more bytes.
    pub fn has_room(&self, weight: usize) -> bool {
        self.ledger.has_room(weight)
    }

    /// Bytes that retaining the frame costs; 0 when it is retained already.
    pub fn retained_frame_cost(&mut self, encoder: &dyn Encoder) -> usize {
        match self.retained_frames.get(encoder.format()) {
            Some(_) => 0,
            None => self.frame(encoder).len() + OVERHEAD,
        }
    }

    /// Bytes that retaining the data costs; 0 when it is retained already.
    pub fn retained_data_cost(&self) -> usize {
        if self.retained_data.is_some() { 0 } else { self.publication.data().len() + OVERHEAD }
    }

    /// The frame in the encoder's format.
    pub fn frame(&mut self, encoder: &dyn Encoder) -> Frame {
        let frame = self.frames.get_mut(encoder.format());
        frame.get_or_insert_with(|| Rc::new(self.publication.frame(encoder))).clone()
    }

    /// The frame, retained.
    pub fn retained_frame(&mut self, encoder: &dyn Encoder) -> Rc<Retained> {
        let frame = self.frame(encoder);
        let (publication, room, ledger) = (self.publication, self.room, self.ledger);
        let retained = || Retained::new(ledger, brought(publication, room, (*frame).clone()));
        self.retained_frames.get_mut(encoder.format()).get_or_insert_with(retained).clone()
    }

    /// The data, retained.
    pub fn retained_data(&mut self) -> Rc<Retained> {
        let (publication, room, ledger) = (self.publication, self.room, self.ledger);
        let retained = || Retained::new(ledger, brought(publication, room, publication.data().clone()));
        self.retained_data.get_or_insert_with(retained).clone()
    }
}
