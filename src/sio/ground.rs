//! What the Engine.IO sessions of a worker stand on: the endpoint's numbers, the worker's seats, its flusher, the time.

use std::rc::Rc;

use hubbub_actors::clock::Clock;
use hubbub_actors::limits::traffic::TrafficRule;
use hubbub_actors::outbox::Bound;
use hubbub_actors::seat::Seats;

use crate::http_stream::linger::Lingering;
use crate::pipe::Flusher;

/// The numbers of an Engine.IO endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// From the last sign of life to the next ping, ms.
    pub ping_interval_ms: u32,
    /// From a ping to the end of a session that does not answer it, ms.
    pub ping_timeout_ms: u32,
    /// Bytes of one message or polling body.
    pub max_payload: usize,
    /// How much a connection may send.
    pub traffic: TrafficRule,
    /// What a session that does not read may have waiting.
    pub outbox: Bound,
    /// Requests that may wait before a worker's sessions.
    pub mailbox: usize,
}

/// What a worker's sessions share.
pub struct Ground {
    /// The endpoint's numbers.
    pub settings: Settings,
    /// The worker's seats.
    pub seats: Rc<Seats>,
    /// What writes for its connections.
    pub flusher: Rc<Flusher>,
    /// Where the time comes from.
    pub clock: Clock,
    /// The connections that are refused and linger.
    pub lingering: Lingering,
}
