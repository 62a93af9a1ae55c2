//! The latency of a measured delivery: marked in the outbox of its session, carried to the outbox of its connection,
//! recorded when it is written.

use super::{Common, SessionHandle};
use crate::connection::outbox::Frame;

impl SessionHandle {
    /// Sends a frame of a session that this connection carries. `accepted_us` is the value of the frame's
    /// [mark](crate::connection::outbox::Outbox::mark) in the outbox of the session.
    pub fn forward(&self, frame: Frame, accepted_us: Option<u64>) {
        self.deliver_after(None, frame, accepted_us);
    }

    /// Records that a publication was written to its client now. It was accepted at `accepted_us`, in µs by
    /// [`Clock::elapsed_us`](crate::runtime::clock::Clock::elapsed_us).
    pub fn note_delivered(&self, accepted_us: u64) {
        let Common { worker, clock, stats, .. } = &*self.common;
        stats.delivery_latency.record(*worker, clock.elapsed_us().saturating_sub(accepted_us));
    }
}
