//! What a session did not receive when its connection was cut, and its delivery path until then.

use serde::{Deserialize, Serialize};

use super::SessionHandle;
use crate::connection::encoded::EncodedPublication;
use crate::connection::outbox::{Entry, TakeBack, Unwritten};
use crate::model::close::Close;
use crate::model::ids::RoomName;
use crate::publication::Publication;

/// How far a session was served when its connection was cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The last publication that the worker had delivered to its sessions.
    pub position: u64,
    /// The last publication that was for the session; 0: none. A client that has it has missed nothing up to `position`.
    pub offered: u64,
}

/// How the client of a session can recover it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Recoverability {
    /// Not at all.
    #[default]
    None,
    /// By the offset that the client reports.
    ByOffset,
    /// From what was written before the cut.
    ByCut,
}

/// The end of what a client can have received.
#[derive(Debug, Default)]
pub struct Cut {
    /// How far the session was served.
    pub served: Served,
    /// The first chat message of each room that was not written.
    pub unwritten: Vec<Unwritten>,
}

impl SessionHandle {
    /// Makes the session recoverable, or not.
    pub fn set_recoverable(&self, how: Recoverability) {
        self.recoverable.set(how);
    }

    /// The session cannot be recovered.
    pub fn forgo(&self) {
        self.set_recoverable(Recoverability::None);
        drop(self.cut.take());
    }

    /// How the client can recover the session.
    pub fn recoverable(&self) -> Recoverability {
        self.recoverable.get()
    }

    /// Ends the session because its client can recover it. Pending replies are dropped. Returns what the client did not
    /// receive.
    pub fn suspend(&self) -> Cut {
        self.note_cut();
        let cut = self.cut.take().map_or_else(Cut::default, |cut| *cut);
        self.forgo();
        self.set_presence_listener(None);
        self.output.borrow_mut().drop_replies();
        self.close(Close::Left);
        cut
    }

    /// Notes what the client did not receive. This runs before the session takes no more entries, and has an effect once.
    pub(super) fn note_cut(&self) {
        let closed = self.closed();
        let known = self.cut.take();
        if known.is_some() || self.recoverable() == Recoverability::None {
            return self.cut.set(known);
        }
        let takes_back = self.recoverable() == Recoverability::ByCut && closed.is_none_or(Close::may_be_recovered);
        let unwritten = if takes_back { self.take_back(closed) } else { Vec::new() };
        let served = Served { position: self.common.position.get(), offered: self.offered.get() };
        self.cut.set(Some(Box::new(Cut { served, unwritten })));
    }

    /// Takes the chat messages back that the client does not receive.
    fn take_back(&self, closed: Option<Close>) -> Vec<Unwritten> {
        let taken = self.with_connection(|connection| {
            // With a reader, only those that wait for a reply.
            let which = match closed.is_none_or(Close::leaves_no_reader) {
                false => TakeBack::Held,
                true if connection.is_broken() => TakeBack::Incomplete,
                true => TakeBack::Unwritten,
            };
            connection.with_outbox(|outbox| outbox.take_back(self.slot, which))
        });
        taken.unwrap_or_default()
    }

    /// Notes that the publication `number` was for the session.
    pub fn note_offered(&self, number: u64) {
        self.offered.set(number);
    }

    /// The delivery path: the fan-out calls this for every delivery to every member. `true` when the outbox took the
    /// publication of `room`. With `accepted_us`, its entry is marked for measurement.
    pub fn hand_over(
        &self,
        room: &RoomName,
        publication: &Publication,
        copies: &mut EncodedPublication<'_>,
        accepted_us: Option<u64>,
    ) -> bool {
        let number = publication.number();
        if number > 0 {
            self.note_offered(number);
        }
        let behind = self.behind(room, number);
        if let Some(id) = publication.notification() {
            self.noted().add(id);
        }
        self.offer(Entry::new(self.slot, copies.content(self.encoder)), behind, accepted_us)
    }
}
