//! The sessions of one worker. The worker's fan-out, its heartbeat sweeper and the transports share them.
//!
//! A [`SessionHandle`] never leaves its worker's thread. Other threads reach it through the worker's [`Fanout`], by its
//! [`SessionAddr`].
//!
//! # Layout
//!
//! * [`SessionTable`] and [`SessionHandle`]; `output_state` is what a handle sends.
//! * `replies` keeps replies in the order of the requests; [`outbox`] holds the frames to write.
//! * `liveness` checks heartbeat and expiry; [`sweeper`] is its timer.
//! * [`encoded`] shares a publication's frames on one worker: one `Rc` per format. The bytes are encoded once per format
//!   for all workers, in [`Publication::frame`](crate::publication::Publication::frame). `latency` measures delivery.
//! * `memory` and its parts [`handed`], [`kept`], [`retained`] and [`tail`] buffer messages for recovery; its `hand_over` is
//!   the delivery path of all sessions. [`noted`]: notifications that change before the unread ones are sent.
//!
//! [`Fanout`]: crate::rooms::fanout::Fanout

pub mod encoded;
pub mod handed;
mod handle;
pub mod kept;
mod latency;
mod liveness;
mod memory;
pub mod noted;
pub mod outbox;
mod output_state;
mod replies;
pub mod retained;
pub mod sweeper;
mod table;
pub mod tail;

use std::rc::Rc;

use self::handle::Common;
pub use self::handle::SessionHandle;
pub use self::liveness::Heartbeat;
pub use self::memory::Remains;
use self::outbox::{Frame, OutboxCapacity};
pub use self::replies::{
    PENDING_REPLIES_MAX, PENDING_REPLY_BYTES_MAX, ReplySlot, UNORDERED_REPLIES_MAX, UnorderedReply,
};
pub use self::table::SessionTable;
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

/// A slot in the session table of one worker. Ids are not reused: a late message cannot reach another session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotId {
    index: u32,
    serial: u32,
}

/// The transport of a session. Transport and handle refer to each other until [`SessionHandle::detach`].
pub trait OutboxSink {
    /// The outbox has frames, or was closed. Called on every change; it must be cheap and must not write now.
    fn wake(self: Rc<Self>);

    /// The session can take requests again: its pending replies are below the bounds, or there are none.
    fn resume(self: Rc<Self>);

    /// The client recovers the session on another connection. `true`: the transport closes the session itself, after it
    /// has read the earlier input of the client, which may contain a disconnect packet.
    fn supersede(self: Rc<Self>) -> bool {
        false
    }

    /// Whether `frames` more frames of `bytes` bytes leave half of the transport's own queue free.
    fn fits_within_half(&self, _frames: usize, _bytes: usize) -> bool {
        true
    }

    /// Drops frames that the transport took from the outbox, has not started to write, and that `wants` selects.
    fn recall(&self, _wants: &mut dyn FnMut(&Frame) -> bool) {}
}

/// The initial state of a session handle.
#[derive(Debug)]
pub struct SessionSpec {
    /// The session.
    pub session: SessionId,
    /// Encodes for the client.
    pub encoder: &'static dyn Encoder,
    /// The capacity of the outbox.
    pub bound: OutboxCapacity,
    /// The heartbeat; `None` when the physical connection has one for all its sessions.
    pub heartbeat: Option<Heartbeat>,
    /// Whether it is a physical connection of several sessions. It ends after them.
    pub multiplexed: bool,
    /// When the session's token expires.
    pub expiry: Expiry,
    /// The current time, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    pub elapsed: i64,
}

#[cfg(test)]
mod tests;
