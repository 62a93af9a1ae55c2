//! A publication on one worker: the content of its entries. Each is created once per format and worker, and shared by all
//! members. The bytes are encoded once for all workers, in [`Publication::payload`].

use std::rc::Rc;

use crate::connection::outbox::{Content, Origin};
use crate::model::ids::RoomName;
use crate::publication::{Encoder, PerFormat, Publication};

/// A publication on one worker, with one content per format.
#[derive(Debug)]
pub struct EncodedPublication<'a> {
    publication: &'a Publication,
    room: &'a RoomName,
    contents: PerFormat<Option<Rc<Content>>>,
}

/// The content of entries with a publication of `room`.
pub fn content_of(publication: &Publication, room: &RoomName, encoder: &dyn Encoder) -> Rc<Content> {
    let (number, message) = (publication.number(), publication.message());
    Content::published(publication.payload(encoder), Origin { room: room.clone(), number, message })
}

impl<'a> EncodedPublication<'a> {
    /// A publication of `room` that is not encoded yet.
    pub fn new(publication: &'a Publication, room: &'a RoomName) -> Self {
        Self { publication, room, contents: PerFormat::default() }
    }

    /// The content in the encoder's format.
    pub fn content(&mut self, encoder: &dyn Encoder) -> Rc<Content> {
        let content = self.contents.get_mut(encoder.format());
        content.get_or_insert_with(|| content_of(self.publication, self.room, encoder)).clone()
    }
}
