//! The heartbeat of a connection: pings, and the end of a silent connection.

use std::cell::Cell;
use std::sync::Arc;

use super::Connection;
use crate::model::close::Close;
use crate::publication::{MessageKind, Payload};

/// The interval of pings, and the longest silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Time between two pings, ms.
    pub interval_ms: i64,
    /// Silence that ends the connection, ms.
    pub timeout_ms: i64,
    /// The ping: its kind and its text.
    pub ping: (MessageKind, &'static str),
    /// What breaks the silence.
    pub proof: ProofOfLife,
}

/// The input that breaks the silence of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofOfLife {
    /// Any frame.
    AnyFrame,
    /// A pong (Engine.IO v4, "Heartbeat").
    Pong,
}

/// The heartbeat of one connection.
#[derive(Debug)]
pub(super) struct HeartbeatState {
    heartbeat: Option<Arc<Heartbeat>>,
    last_activity_at: Cell<i64>,
    pinged_at: Cell<i64>,
    /// When the first ping since the last activity was sent.
    first_ping_at: Cell<i64>,
    /// Whether the transport has paused reading. Then pongs stay unread.
    reads_paused: Cell<bool>,
    /// Whether the client read output since the last ping.
    has_read_output: Cell<bool>,
}

impl HeartbeatState {
    pub(super) fn new(heartbeat: Option<Arc<Heartbeat>>, elapsed: i64) -> Self {
        Self {
            heartbeat,
            last_activity_at: Cell::new(elapsed),
            pinged_at: Cell::new(elapsed),
            first_ping_at: Cell::new(i64::MIN),
            reads_paused: Cell::new(false),
            has_read_output: Cell::new(false),
        }
    }

    /// When silence ends the connection. The client has at least half of the timeout after the ping, even if the ping
    /// was late.
    fn silence_deadline(&self, heartbeat: &Heartbeat) -> i64 {
        let (active_at, pinged_at) = (self.last_activity_at.get(), self.first_ping_at.get());
        if pinged_at < active_at {
            return i64::MAX;
        }
        let for_pong = heartbeat.timeout_ms - heartbeat.interval_ms;
        (active_at + heartbeat.timeout_ms).max(pinged_at + (for_pong + 1) / 2)
    }

    /// When the next ping is due.
    fn next_ping_at(&self, heartbeat: &Heartbeat) -> i64 {
        self.pinged_at.get() + heartbeat.interval_ms
    }

    fn note_ping(&self, elapsed: i64) {
        self.pinged_at.set(elapsed);
        if self.first_ping_at.get() < self.last_activity_at.get() {
            self.first_ping_at.set(elapsed);
            self.has_read_output.set(false);
        }
    }
}

impl Connection {
    /// Records input at `elapsed`, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    pub fn note_activity(&self, elapsed: i64) {
        if self.heartbeat.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.proof == ProofOfLife::AnyFrame) {
            self.heartbeat.last_activity_at.set(elapsed);
        }
    }

    /// Records a pong. The next ping follows an interval later (Engine.IO v4, "Heartbeat").
    pub fn note_pong(&self, elapsed: i64) {
        self.heartbeat.last_activity_at.set(elapsed);
        self.heartbeat.pinged_at.set(elapsed);
    }

    /// Closes the connection because it exceeded its frames or bytes per second.
    pub fn close_over_budget(&self) {
        if self.closed().is_none() {
            self.common.stats.closed_over_budget.add(1);
            self.close_by(Close::Limit, "limits.frames_per_second, limits.bytes_per_second");
        }
    }

    /// Records whether the transport has paused reading. Silence counts from the end of the pause.
    pub fn set_reads_paused(&self, paused: bool, elapsed: impl FnOnce() -> i64) {
        if self.heartbeat.reads_paused.replace(paused) && !paused {
            self.heartbeat.last_activity_at.set(elapsed());
        }
    }

    /// Records that the client read output from a full transport.
    pub fn note_output_read(&self) {
        self.heartbeat.has_read_output.set(true);
    }

    /// Records that the client polled all its output. This counts as activity only while its input stays unread.
    pub fn note_polled(&self) {
        if self.heartbeat.reads_paused.get() {
            self.note_output_read();
        }
    }

    /// The close reason of a silent connection; `None` keeps it open. Output that was read since the ping counts as
    /// activity, because the ping may wait behind it. A paused connection with a full outbox is a slow consumer, unless
    /// nothing in it is ready. Any other pause is caused by the hub.
    fn silence_close(&self) -> Option<Close> {
        match (self.heartbeat.has_read_output.replace(false), self.heartbeat.reads_paused.get()) {
            (true, _) => None,
            (false, false) => Some(Close::NoHeartbeat),
            (false, true) => (!self.is_under_half() && !self.is_drained()).then_some(Close::SlowConsumer),
        }
    }

    /// Checks the heartbeat at `elapsed`, ms by [`crate::runtime::clock::Clock::elapsed_ms`]. Returns the time of the
    /// next check.
    pub fn check_heartbeat(&self, elapsed: i64) -> i64 {
        let state = &self.heartbeat;
        let Some(heartbeat) = state.heartbeat.as_deref().filter(|_| self.closed().is_none()) else { return i64::MAX };
        if elapsed >= state.silence_deadline(heartbeat) {
            match self.silence_close() {
                None => state.last_activity_at.set(elapsed),
                Some(Close::SlowConsumer) => {
                    let offer = self.with_outbox(|outbox| outbox.overflow());
                    self.handle_offer(offer);
                    return i64::MAX;
                }
                Some(close) => {
                    self.common.stats.heartbeat_timeouts.add(1);
                    self.close(close);
                    return i64::MAX;
                }
            }
        }
        if elapsed >= state.next_ping_at(heartbeat) {
            state.note_ping(elapsed);
            let (kind, text) = heartbeat.ping;
            self.send(Payload::message(kind, text));
        }
        state.silence_deadline(heartbeat).min(state.next_ping_at(heartbeat))
    }
}

#[cfg(test)]
mod tests;
