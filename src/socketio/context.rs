//! What the Engine.IO sessions of a worker stand on: the endpoint's numbers, the worker's seats, its flusher, the time.

use std::rc::Rc;
use std::sync::Arc;

use hubbub_actors::connection::SessionTable;
use hubbub_actors::connection::outbox::OutboxCapacity;
use hubbub_actors::hub::Hub;
use hubbub_actors::limits::traffic::TrafficLimit;
use hubbub_actors::runtime::clock::Clock;

use crate::http_stream::linger::Lingering;
use crate::websocket::Flusher;

/// The numbers of an Engine.IO endpoint.
#[derive(Debug, Clone)]
pub struct Settings {
    /// From the last sign of life to the next ping, ms.
    pub ping_interval_ms: u32,
    /// From a ping to the end of a session that does not answer it, ms.
    pub ping_timeout_ms: u32,
    /// Bytes of one message or polling body.
    pub max_payload: usize,
    /// How much a connection may send.
    pub traffic: TrafficLimit,
    /// What a session that begins now and does not read may have waiting.
    pub outbox: OutboxBound,
    /// Requests that may wait before a worker's sessions.
    pub mailbox: usize,
}

/// The bound of an outbox, as it is now.
#[derive(Debug, Clone)]
pub enum OutboxBound {
    /// Always this.
    Fixed(OutboxCapacity),
    /// That of the hub's settings.
    Of(Arc<Hub>),
}

impl OutboxBound {
    /// The bound now.
    pub fn get(&self) -> OutboxCapacity {
        match self {
            Self::Fixed(bound) => *bound,
            Self::Of(hub) => hub.settings().outbox,
        }
    }
}

/// What a worker's sessions share.
pub struct Ground {
    /// The endpoint's numbers.
    pub settings: Settings,
    /// The worker's seats.
    pub session_table: Rc<SessionTable>,
    /// What writes for its connections.
    pub flusher: Rc<Flusher>,
    /// Where the time comes from.
    pub clock: Clock,
    /// The connections that are refused and linger.
    pub lingering: Lingering,
}
