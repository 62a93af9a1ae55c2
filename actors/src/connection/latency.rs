//! The latency of a measured delivery. Its entry is marked in the outbox; the latency is recorded when it is written.

use super::Connection;

impl Connection {
    /// Records that a publication was written to its client now. It was accepted at `accepted_us`, in µs by
    /// [`Clock::elapsed_us`](crate::runtime::clock::Clock::elapsed_us).
    pub fn note_delivered(&self, accepted_us: u64) {
        let common = &*self.common;
        common.stats.delivery_latency.record(common.worker, common.clock.elapsed_us().saturating_sub(accepted_us));
    }
}
