//! The shared state of a worker's Engine.IO sessions: settings, session table, flusher and clock.

use std::rc::Rc;
use std::sync::Arc;

use hubbub_actors::connection::outbox::OutboxCapacity;
use hubbub_actors::connection::{Heartbeat, ProofOfLife, SessionTable};
use hubbub_actors::hub::Hub;
use hubbub_actors::limits::traffic::TrafficLimit;
use hubbub_actors::publication::MessageKind;
use hubbub_actors::runtime::clock::Clock;

use crate::codec::engineio;
use crate::http_stream::linger::Lingering;
use crate::websocket::Flusher;

/// The settings of an Engine.IO endpoint.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Time from the client's last activity to the next ping, ms.
    pub ping_interval_ms: u32,
    /// Time from an unanswered ping to the end of the session, ms.
    pub ping_timeout_ms: u32,
    /// Largest message or polling body, bytes.
    pub max_payload: usize,
    /// The traffic limit of a connection.
    pub traffic: TrafficLimit,
    /// The bound of a new session's outbox.
    pub outbox: OutboxBound,
    /// Capacity of the mailbox of a worker's sessions.
    pub mailbox: usize,
}

/// The bound of an outbox.
#[derive(Debug, Clone)]
pub enum OutboxBound {
    /// A fixed bound.
    Fixed(OutboxCapacity),
    /// The current bound of the hub's settings.
    Of(Arc<Hub>),
}

impl EngineSettings {
    /// The heartbeat of its connections (Engine.IO v4, "Heartbeat").
    pub(super) fn heartbeat(&self) -> Heartbeat {
        let (interval_ms, timeout_ms) = (i64::from(self.ping_interval_ms), i64::from(self.ping_timeout_ms));
        Heartbeat {
            interval_ms,
            timeout_ms: interval_ms + timeout_ms,
            ping: (MessageKind::Text, engineio::PING),
            proof: ProofOfLife::Pong,
        }
    }
}

impl OutboxBound {
    /// The current bound.
    pub fn get(&self) -> OutboxCapacity {
        match self {
            Self::Fixed(bound) => *bound,
            Self::Of(hub) => hub.settings().outbox,
        }
    }
}

/// The shared state of a worker's sessions.
pub struct EngineContext {
    /// The endpoint's settings.
    pub settings: EngineSettings,
    /// The heartbeat of its connections.
    pub heartbeat: Arc<Heartbeat>,
    /// The worker's session handles.
    pub session_table: Rc<SessionTable>,
    /// Writes the worker's connections.
    pub flusher: Rc<Flusher>,
    /// The time source.
    pub clock: Clock,
    /// Refused connections that linger before they close.
    pub lingering: Lingering,
}
