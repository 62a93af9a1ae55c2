//! A publication on one worker: its entries' content, and the copies that buffers retain. Each is created once per format and
//! worker, and shared by all members. The bytes are encoded once for all workers, in [`Publication::payload`].

use std::rc::Rc;

use crate::connection::outbox::{Content, Origin};
use crate::connection::retained::{Brought, Ledger, OVERHEAD, Retained};
use crate::model::ids::RoomName;
use crate::publication::{Encoder, MessageKind, Payload, PerFormat, Publication};

/// A publication on one worker, with one content and one retained copy per format.
#[derive(Debug)]
pub struct EncodedPublication<'a> {
    publication: &'a Publication,
    room: &'a RoomName,
    ledger: &'a Rc<Ledger>,
    contents: PerFormat<Option<Rc<Content>>>,
    retained_payloads: PerFormat<Option<Rc<Retained>>>,
    retained_data: Option<Rc<Retained>>,
}

/// The content of entries with a publication of `room`.
pub fn content_of(publication: &Publication, room: &RoomName, encoder: &dyn Encoder) -> Rc<Content> {
    let origin = Origin { room: room.clone(), number: publication.number(), format: encoder.format() };
    Content::published(publication.payload(encoder), origin)
}

fn brought(publication: &Publication, room: &RoomName, payload: Payload) -> Brought {
    let (number, about) = (publication.number(), publication.notification().cloned());
    Brought { number, room: room.clone(), payload, about }
}

impl<'a> EncodedPublication<'a> {
    /// A publication of `room` that is not encoded yet. `ledger` counts the retained bytes.
    pub fn new(publication: &'a Publication, room: &'a RoomName, ledger: &'a Rc<Ledger>) -> Self {
        let (contents, retained_payloads) = Default::default();
        Self { publication, room, ledger, contents, retained_payloads, retained_data: None }
    }

    /// Whether the ledger has room for `weight` more bytes.
    pub fn has_room(&self, weight: usize) -> bool {
        self.ledger.has_room(weight)
    }

    /// Bytes that retaining the payload costs; 0 when it is retained already.
    pub fn retained_payload_cost(&mut self, encoder: &dyn Encoder) -> usize {
        match self.retained_payloads.get(encoder.format()) {
            Some(_) => 0,
            None => self.content(encoder).payload().len() + OVERHEAD,
        }
    }

    /// Bytes that retaining the data costs; 0 when it is retained already.
    pub fn retained_data_cost(&self) -> usize {
        if self.retained_data.is_some() { 0 } else { self.publication.data().len() + OVERHEAD }
    }

    /// The content in the encoder's format.
    pub fn content(&mut self, encoder: &dyn Encoder) -> Rc<Content> {
        let content = self.contents.get_mut(encoder.format());
        content.get_or_insert_with(|| content_of(self.publication, self.room, encoder)).clone()
    }

    /// The payload, retained.
    pub fn retained_payload(&mut self, encoder: &dyn Encoder) -> Rc<Retained> {
        let content = self.content(encoder);
        let (publication, room, ledger) = (self.publication, self.room, self.ledger);
        let retained = || Retained::new(ledger, brought(publication, room, content.payload().clone()));
        self.retained_payloads.get_mut(encoder.format()).get_or_insert_with(retained).clone()
    }

    /// The data, retained.
    pub fn retained_data(&mut self) -> Rc<Retained> {
        let (publication, room, ledger) = (self.publication, self.room, self.ledger);
        let data = || Payload::message(MessageKind::Text, publication.data().clone());
        let retained = || Retained::new(ledger, brought(publication, room, data()));
        self.retained_data.get_or_insert_with(retained).clone()
    }
}
