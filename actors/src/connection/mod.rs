//! The sessions and the connections of one worker. The worker's fan-out, its sweeper and the transports share them.
//!
//! A [`Connection`] has one session on `/ws`, and one for each joined namespace on Socket.IO. It has the outbox and the
//! heartbeat; a session has its pending replies and its expiry. Neither leaves its worker's
//! thread. Other threads reach a [`SessionHandle`] through the worker's [`Fanout`], by its [`SessionAddr`].
//!
//! # Layout
//!
//! * [`SessionTable`]; [`SessionHandle`], with its pending replies in `replies` and `output_state`.
//! * [`Connection`], in `physical`: its [`outbox`] holds the entries to write, and `heartbeat` pings its client. `end` has
//!   the reason of the end, of a session and of a connection.
//! * `checks` examines due sessions and connections; [`sweeper`] is its timer. `idle` frees the memory of idle queues.
//! * [`encoded`] shares a publication's content on one worker: one `Rc` per format. The bytes are encoded once per format
//!   for all workers, in [`Publication::payload`](crate::publication::Publication::payload). `latency` measures delivery.
//! * `cut` has the delivery path of all sessions, and what a session did not receive when its connection was cut.
//!   [`noted`]: notifications that change before the unread ones are sent.
//!
//! [`Fanout`]: crate::rooms::fanout::Fanout

mod checks;
mod cut;
pub mod encoded;
mod end;
mod handle;
mod heartbeat;
mod idle;
mod latency;
pub mod noted;
pub mod outbox;
mod output_state;
mod physical;
mod replies;
pub mod sweeper;
mod table;

use std::rc::Rc;

pub use self::cut::{Cut, Recoverability, Served};
pub use self::end::EndState;
pub use self::handle::SessionHandle;
pub use self::heartbeat::{Heartbeat, ProofOfLife};
pub use self::physical::{Connection, ConnectionSpec};
pub use self::replies::{
    PENDING_REPLIES_MAX, PENDING_REPLY_BYTES_MAX, ReplySlot, UNORDERED_REPLIES_MAX, UnorderedReply,
};
pub use self::table::SessionTable;
use crate::model::close::Close;
use crate::model::ids::SessionId;
use crate::publication::Encoder;
use crate::runtime::clock::Expiry;

/// The address of a session: its worker and its slot there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionAddr {
    /// The worker's number.
    pub worker: usize,
    /// The slot on that worker.
    pub slot: SlotId,
}

impl SessionAddr {
    /// No session.
    pub const NONE: Self = Self { worker: usize::MAX, slot: SlotId::NONE };
}

/// A session that publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Its id, which a recovery keeps.
    pub session: SessionId,
    /// Its address.
    pub addr: SessionAddr,
}

/// A slot in the session table of one worker. Ids are not reused: a late message cannot reach another session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotId {
    index: u32,
    serial: u32,
}

impl SlotId {
    /// No session.
    pub const NONE: Self = Self { index: u32::MAX, serial: 0 };

    /// The index of the slot in its table.
    fn index(self) -> usize {
        self.index as usize
    }
}

/// The transport of a connection. Both refer to each other until [`Connection::detach`].
pub trait OutboxSink {
    /// The outbox has messages, or the connection was closed. Called once until [`Connection::begin_write`]; it must be
    /// cheap and must not write now.
    fn wake(self: Rc<Self>);

    /// Input may be read again.
    fn resume(self: Rc<Self>);
}

/// The transport of a session. Both refer to each other until [`SessionHandle::detach`].
pub trait SessionTransport {
    /// The hub closed the session. The outbox still has its last entries.
    fn closed(self: Rc<Self>, close: Close);

    /// The session can take requests again: its pending replies are below the bounds, or there are none, or the outbox has
    /// room.
    fn resume(self: Rc<Self>);

    /// The client recovers the session on another connection. `true`: the transport closes the session itself, after it
    /// has read the earlier input of the client, which may contain a disconnect packet.
    fn supersede(self: Rc<Self>) -> bool {
        false
    }
}

/// The initial state of a session handle.
#[derive(Debug)]
pub struct SessionSpec {
    /// The session.
    pub session: SessionId,
    /// Encodes for the client.
    pub encoder: &'static dyn Encoder,
    /// Its connection.
    pub connection: Rc<Connection>,
    /// When the session's token expires.
    pub expiry: Expiry,
}

#[cfg(test)]
pub(crate) mod tests;
