//! Observes the hub's connections, and reports events, metrics and health to monitoring clients and operators.
//!
//! [`event_log`] stores recent events and filters them by viewer. [`sampling`] limits how many refusals of a flood are
//! stored. [`metrics`] and [`samples`] compute the numbers, and [`health`] derives the status from them. These modules
//! are pure; the actor [`Monitor`] owns their state. It receives one message when a session begins and one when it
//! ends. No sender waits for it: when its mailbox is full, an event is dropped and counted. Exact totals therefore come
//! from the hub's own counters.

pub mod event_log;
pub mod health;
pub mod metrics;
pub(crate) mod observer;
pub mod samples;
pub mod sampling;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context};

use self::event_log::{EventLog, Viewer};
use self::metrics::{MetricsState, Totals};
use self::samples::{Counted, PERIOD_MS, Samples};
use self::sampling::Refusals;
use crate::events::chat::monitoring::{self, AskEvents, ConnectionEvent, ConnectionEventKind, Details, Metrics};
use crate::events::timestamp::Iso;
use crate::facts::{ConnectionRefused, RequestRefused, SessionClosed, SessionOpened, SessionSummary};
use crate::model::close::Close;
use crate::model::fault::Code;
use crate::refusal_log::RefusalLog;
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;
use crate::runtime::mailbox::{Receive, ReplySender, receives_posts};
use crate::runtime::minute::SECOND_MS;

/// The surface name for a Socket.IO handshake that is refused before its namespace is known.
pub const SOCKET_IO: &str = "socket.io";

/// The reason when neither the hub nor the client ended the session: its connection was lost without a close.
pub(crate) const LOST: &str = "connection lost";

/// The reason for a refused request to join a room, a topic or a chat.
const JOIN_DENIED: &str = "join denied";

/// The reason for a refused connection, if the client's code does not identify the reason.
const fn reason_of(code: Code) -> Option<&'static str> {
    match code {
        Code::OriginNotAllowed => Some("origin not allowed"),
        Code::HostNotAllowed => Some("host not allowed"),
        _ => None,
    }
}

/// Requests the metrics.
#[derive(Debug)]
pub struct GetMetrics(pub ReplySender<Metrics>);

/// Requests events.
#[derive(Debug)]
pub struct FindEvents {
    /// The filter.
    pub ask: AskEvents,
    /// The caller.
    pub viewer: Viewer,
    /// Sends the reply.
    pub reply: ReplySender<Vec<ConnectionEvent>>,
}

/// Requests the full metrics: with recent events, top addresses, top user agents and the error rate.
#[derive(Debug)]
pub struct GetFullMetrics {
    /// The caller.
    pub viewer: Viewer,
    /// Sends the reply.
    pub reply: ReplySender<monitoring::MonitoringStats>,
}

/// Requests the request counts of the last 5 minutes.
#[derive(Debug)]
pub struct GetRequestCounts(pub ReplySender<Counted>);

/// The event kind of a refused connection; `None` for a code that does not depend on the client: it is not recorded.
pub const fn kind_of_connection(code: Code) -> Option<ConnectionEventKind> {
    match code {
        // A connection needs no permission apart from its token's, so `Forbidden` is an authentication failure too.
        Code::Unauthenticated
        | Code::Forbidden
        | Code::OriginNotAllowed
        | Code::HostNotAllowed
        | Code::AuthUnavailable => Some(ConnectionEventKind::AuthFailure),
        _ => kind_of_request(code),
    }
}

/// The event kind of a refused join; `None` for a refusal that is not about permission.
pub const fn kind_of_join(code: Code) -> Option<ConnectionEventKind> {
    match code {
        // A chat without permission for the user is reported as not found.
        Code::Forbidden | Code::NotFound => Some(ConnectionEventKind::AuthFailure),
        _ => None,
    }
}

/// The event kind of a refused request; `None` for common refusals, which are not recorded.
pub const fn kind_of_request(code: Code) -> Option<ConnectionEventKind> {
    match code {
        Code::RateLimited | Code::LimitReached => Some(ConnectionEventKind::RateLimit),
        Code::InvalidToken | Code::TokenExpired | Code::TokenRevoked => Some(ConnectionEventKind::AuthFailure),
        _ => None,
    }
}

/// Whether this close counts as an error.
const fn is_fault(close: Close) -> bool {
    matches!(close, Close::Failed | Close::Malformed | Close::NotUtf8 | Close::TooLarge | Close::SlowConsumer)
}

/// The actor that owns the event log, the metrics and the samples.
#[derive(Debug)]
pub struct Monitor {
    log: EventLog,
    refusals: Refusals,
    metrics: MetricsState,
    samples: Samples,
    clock: Clock,
    stats: Arc<Stats>,
    refusal_log: Arc<RefusalLog>,
}

impl Monitor {
    /// An actor without observations.
    pub fn new(clock: Clock, stats: Arc<Stats>, refusal_log: Arc<RefusalLog>) -> Self {
        Self {
            log: EventLog::default(),
            refusals: Refusals::default(),
            metrics: MetricsState::new(clock.now_ms()),
            samples: Samples::new(clock.elapsed_ms()),
            clock,
            stats,
            refusal_log,
        }
    }

    fn record(&mut self, kind: ConnectionEventKind, session: SessionSummary, details: Details) {
        let SessionSummary { surface, session, user, peer } = session;
        self.log.record(ConnectionEvent {
            kind,
            socket_id: Some(session),
            user_id: user,
            ip_address: peer.address,
            user_agent: peer.user_agent,
            timestamp: Iso(self.clock.now_ms()),
            details: Details { surface: surface.as_str(), ..details },
        });
    }

    fn metrics(&mut self) -> Metrics {
        let Stats { sessions_opened, sessions, connections_refused, .. } = &*self.stats;
        let totals =
            Totals { opened: sessions_opened.get(), active: sessions.get(), failed: connections_refused.get() };
        self.metrics.metrics(totals, self.clock.elapsed_ms())
    }

    fn counted(&self) -> Counted {
        Counted { requests: self.stats.received.get(), errors: self.stats.errors.get() }
    }

    fn requests(&self) -> Counted {
        self.samples.recent(self.counted(), self.clock.elapsed_ms())
    }

    fn take_sample(&mut self) {
        self.samples.take(self.counted(), self.clock.elapsed_ms());
    }
}

impl Actor for Monitor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(Duration::from_millis(SECOND_MS.unsigned_abs()), |actor, _| {
            actor.stats.minute.sample(actor.stats.handled(), actor.clock.elapsed_ms());
        });
        let period = Duration::from_millis(PERIOD_MS.unsigned_abs());
        ctx.run_interval(period, |actor, _| {
            actor.take_sample();
            actor.refusal_log.sweep();
        });
    }
}

receives_posts!(Monitor);

impl Receive<SessionOpened> for Monitor {
    fn receive(&mut self, SessionOpened { session, active }: SessionOpened, _: &mut Self::Context) {
        self.metrics.opened(active, self.clock.elapsed_ms());
        self.record(ConnectionEventKind::Connect, session, Details::default());
    }
}

impl Receive<SessionClosed> for Monitor {
    fn receive(&mut self, closed: SessionClosed, _: &mut Self::Context) {
        let SessionClosed { session, close, duration_ms } = closed;
        self.metrics.ended(duration_ms.unsigned_abs());
        let reason = Some(close.map_or(LOST, Close::reason));
        if close.is_some_and(is_fault) {
            self.record(ConnectionEventKind::Error, session.clone(), Details { reason, ..Details::default() });
        }
        self.record(
            ConnectionEventKind::Disconnect,
            session,
            Details { reason, duration: Some(duration_ms), ..Details::default() },
        );
    }
}

impl Receive<RequestRefused> for Monitor {
    fn receive(&mut self, RequestRefused { session, code, room }: RequestRefused, _: &mut Self::Context) {
        let denied = room.as_ref().and_then(|_| kind_of_join(code));
        let Some(kind) = denied.or(kind_of_request(code)) else { return };
        let reason = room.is_some().then_some(JOIN_DENIED);
        self.record(kind, session, Details { reason, code: Some(code), room, ..Details::default() });
    }
}

impl Receive<ConnectionRefused> for Monitor {
    fn receive(&mut self, refused: ConnectionRefused, _: &mut Self::Context) {
        let ConnectionRefused { surface, peer, user, code } = refused;
        let Some(kind) = kind_of_connection(code) else { return };
        let now = self.clock.now_ms();
        if !self.refusals.count(kind, peer.address, now) {
            self.stats.observations_suppressed.add(1);
            return;
        }
        self.log.record(ConnectionEvent {
            kind,
            socket_id: None,
            user_id: user,
            ip_address: peer.address,
            user_agent: peer.user_agent,
            timestamp: Iso(now),
            details: Details { surface, reason: reason_of(code), code: Some(code), ..Details::default() },
        });
    }
}

impl Receive<GetMetrics> for Monitor {
    fn receive(&mut self, GetMetrics(reply): GetMetrics, _: &mut Self::Context) {
        let _ = reply.send(self.metrics());
    }
}

impl Receive<FindEvents> for Monitor {
    fn receive(&mut self, FindEvents { ask, viewer, reply }: FindEvents, _: &mut Self::Context) {
        let _ = reply.send(self.log.find(&ask, &viewer));
    }
}

impl Receive<GetFullMetrics> for Monitor {
    fn receive(&mut self, GetFullMetrics { viewer, reply }: GetFullMetrics, _: &mut Self::Context) {
        let _ = reply.send(monitoring::MonitoringStats {
            metrics: self.metrics(),
            recent_events: self.log.recent(&viewer),
            top_ips: self.log.top_addresses(&viewer),
            top_user_agents: self.log.top_user_agents(&viewer),
            error_rate: (self.requests().rate() * 10_000.0).round() / 10_000.0,
        });
    }
}

impl Receive<GetRequestCounts> for Monitor {
    fn receive(&mut self, GetRequestCounts(reply): GetRequestCounts, _: &mut Self::Context) {
        let _ = reply.send(self.requests());
    }
}
