//! The latency of a measured delivery. The frame is marked in the outbox of its session, then in the outbox of the
//! physical connection; the latency is recorded when it is written.

use super::{Common, SessionHandle};
use crate::connection::outbox::Frame;

impl SessionHandle {
    /// Sends a frame of a session on this physical connection. `accepted_us` is the value of its
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
