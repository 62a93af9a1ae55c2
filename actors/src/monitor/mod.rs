//! What happens to the hub's connections, and how the hub is: for those who watch it from a connection of their own.
//!
//! [`event_log`] is what happened lately and who may see what of it, [`sampling`] what of a flood is remembered, [`metrics`]
//! and [`samples`] are the numbers, [`health`] is what follows from them, all pure; [`Monitor`] is the actor that keeps
//! them. It is told once when a session begins and once when it ends. Nobody waits for it: what finds its mailbox full is
//! not remembered, and counted. What is exact all the same comes from the hub's own counters.

pub mod event_log;
pub mod health;
pub mod metrics;
pub mod samples;
pub mod sampling;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context};

use self::event_log::{EventLog, Viewer};
use self::metrics::{Figures, Totals};
use self::samples::{Counted, PERIOD_MS, Samples};
use self::sampling::Refusals;
use crate::events::Surface;
use crate::events::chat::monitoring::{self, AskEvents, ConnectionEvent, Details, Kind, Metrics};
use crate::events::moment::Iso;
use crate::model::client::Peer;
use crate::model::close::Close;
use crate::model::fault::Code;
use crate::model::ids::{SessionId, UserId};
use crate::refusal_log::RefusalLog;
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;
use crate::runtime::mailbox::{Receive, ReplySender, receives_posts};
use crate::runtime::minute::SECOND_MS;

/// Where a handshake of Socket.IO is refused, before anybody knows for which namespace it was.
pub const SOCKET_IO: &str = "socket.io";

/// Why a session ended that nobody ended: its connection went without a word.
pub(crate) const LOST: &str = "connection lost";

/// Why a request was refused that wanted to join a room, a topic or a chat.
const JOIN_DENIED: &str = "join denied";

/// What the code of a refused connection does not say.
const fn reason_of(code: Code) -> Option<&'static str> {
    match code {
        Code::OriginNotAllowed => Some("origin not allowed"),
        Code::HostNotAllowed => Some("host not allowed"),
        _ => None,
    }
}

/// A session, as events name it.
#[derive(Debug, Clone)]
pub struct Observed {
    /// What it speaks.
    pub surface: Surface,
    /// Which it is.
    pub session: SessionId,
    /// Its user, where that is known.
    pub user: Option<UserId>,
    /// Its client.
    pub peer: Peer,
}

/// A session began.
#[derive(Debug)]
pub struct Opened {
    /// Which.
    pub session: Observed,
    /// How many there were with it.
    pub active: u64,
}

/// A session ended.
#[derive(Debug)]
pub struct Ended {
    /// Which.
    pub session: Observed,
    /// Why; `None` where its connection just went.
    pub close: Option<Close>,
    /// How long it lasted.
    pub duration_ms: i64,
}

/// A session's request was refused in a way that those who watch over the hub are to see: see [`kind_of_request`].
#[derive(Debug)]
pub struct RequestRefused {
    /// Whose.
    pub session: Observed,
    /// What it counts as.
    pub kind: Kind,
    /// Why.
    pub code: Code,
    /// The room that it did not join, where it wanted to.
    pub room: Option<Arc<str>>,
}

/// A connection was refused in such a way: see [`kind_of_connection`].
#[derive(Debug)]
pub struct ConnectionRefused {
    /// What its client wanted to speak.
    pub surface: &'static str,
    /// The client.
    pub peer: Peer,
    /// What it counts as.
    pub kind: Kind,
    /// Why.
    pub code: Code,
}

/// Asks for the figures.
#[derive(Debug)]
pub struct TellMetrics(pub ReplySender<Metrics>);

/// Asks for events.
#[derive(Debug)]
pub struct TellEvents {
    /// Which.
    pub ask: AskEvents,
    /// Who asks.
    pub viewer: Viewer,
    /// The answer.
    pub reply: ReplySender<Vec<ConnectionEvent>>,
}

/// Asks for all figures.
#[derive(Debug)]
pub struct TellFigures {
    /// Who asks.
    pub viewer: Viewer,
    /// The answer.
    pub reply: ReplySender<monitoring::Figures>,
}

/// Asks for the requests of the last 5 minutes.
#[derive(Debug)]
pub struct TellRequests(pub ReplySender<Counted>);

/// As what a refused connection is remembered; `None` for one that says nothing of its client.
pub const fn kind_of_connection(code: Code) -> Option<Kind> {
    match code {
        // What a token does not allow is the token's fault, too: nothing else is asked of a connection.
        Code::Unauthenticated
        | Code::Forbidden
        | Code::OriginNotAllowed
        | Code::HostNotAllowed
        | Code::AuthUnavailable => Some(Kind::AuthFailure),
        _ => kind_of_request(code),
    }
}

/// As what a join that was refused is remembered; `None` for all that is no question of who may be where.
pub const fn kind_of_join(code: Code) -> Option<Kind> {
    match code {
        // A chat that others may join is not found.
        Code::Forbidden | Code::NotFound => Some(Kind::AuthFailure),
        _ => None,
    }
}

/// As what a refused request is remembered; `None` for all that happens every day.
pub const fn kind_of_request(code: Code) -> Option<Kind> {
    match code {
        Code::RateLimited | Code::LimitReached => Some(Kind::RateLimit),
        Code::InvalidToken | Code::TokenExpired | Code::TokenRevoked => Some(Kind::AuthFailure),
        _ => None,
    }
}

/// Whether a session that ends so ends for a fault.
const fn is_fault(close: Close) -> bool {
    matches!(close, Close::Failed | Close::Malformed | Close::NotUtf8 | Close::TooLarge | Close::SlowConsumer)
}

/// The actor.
#[derive(Debug)]
pub struct Monitor {
    journal: EventLog,
    refusals: Refusals,
    figures: Figures,
    samples: Samples,
    clock: Clock,
    stats: Arc<Stats>,
    refusal_log: Arc<RefusalLog>,
}

impl Monitor {
    /// An actor that has seen nothing yet.
    pub fn new(clock: Clock, stats: Arc<Stats>, refusal_log: Arc<RefusalLog>) -> Self {
        Self {
            journal: EventLog::default(),
            refusals: Refusals::default(),
            figures: Figures::new(clock.now_ms()),
            samples: Samples::new(clock.elapsed_ms()),
            clock,
            stats,
            refusal_log,
        }
    }

    fn note(&mut self, kind: Kind, session: Observed, details: Details) {
        let Observed { surface, session, user, peer } = session;
        self.journal.note(ConnectionEvent {
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
        self.figures.metrics(totals, self.clock.elapsed_ms())
    }

    fn counted(&self) -> Counted {
        Counted { requests: self.stats.received.get(), errors: self.stats.errors.get() }
    }

    fn requests(&self) -> Counted {
        self.samples.lately(self.counted(), self.clock.elapsed_ms())
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

impl Receive<Opened> for Monitor {
    fn receive(&mut self, Opened { session, active }: Opened, _: &mut Self::Context) {
        self.figures.opened(active, self.clock.elapsed_ms());
        self.note(Kind::Connect, session, Details::default());
    }
}

impl Receive<Ended> for Monitor {
    fn receive(&mut self, Ended { session, close, duration_ms }: Ended, _: &mut Self::Context) {
        self.figures.ended(duration_ms.unsigned_abs());
        let reason = Some(close.map_or(LOST, Close::reason));
        if close.is_some_and(is_fault) {
            self.note(Kind::Error, session.clone(), Details { reason, ..Details::default() });
        }
        self.note(Kind::Disconnect, session, Details { reason, duration: Some(duration_ms), ..Details::default() });
    }
}

impl Receive<RequestRefused> for Monitor {
    fn receive(&mut self, RequestRefused { session, kind, code, room }: RequestRefused, _: &mut Self::Context) {
        let reason = room.is_some().then_some(JOIN_DENIED);
        self.note(kind, session, Details { reason, code: Some(code), room, ..Details::default() });
    }
}

impl Receive<ConnectionRefused> for Monitor {
    fn receive(&mut self, refused: ConnectionRefused, _: &mut Self::Context) {
        let ConnectionRefused { surface, peer, kind, code } = refused;
        let now = self.clock.now_ms();
        if !self.refusals.count(kind, peer.address, now) {
            self.stats.observations_suppressed.add(1);
            return;
        }
        self.journal.note(ConnectionEvent {
            kind,
            socket_id: None,
            user_id: None,
            ip_address: peer.address,
            user_agent: peer.user_agent,
            timestamp: Iso(now),
            details: Details { surface, reason: reason_of(code), code: Some(code), ..Details::default() },
        });
    }
}

impl Receive<TellMetrics> for Monitor {
    fn receive(&mut self, TellMetrics(reply): TellMetrics, _: &mut Self::Context) {
        let _ = reply.send(self.metrics());
    }
}

impl Receive<TellEvents> for Monitor {
    fn receive(&mut self, TellEvents { ask, viewer, reply }: TellEvents, _: &mut Self::Context) {
        let _ = reply.send(self.journal.find(&ask, &viewer));
    }
}

impl Receive<TellFigures> for Monitor {
    fn receive(&mut self, TellFigures { viewer, reply }: TellFigures, _: &mut Self::Context) {
        let _ = reply.send(monitoring::Figures {
            metrics: self.metrics(),
            recent_events: self.journal.recent(&viewer),
            top_ips: self.journal.top_addresses(&viewer),
            top_user_agents: self.journal.top_user_agents(&viewer),
            error_rate: (self.requests().rate() * 10_000.0).round() / 10_000.0,
        });
    }
}

impl Receive<TellRequests> for Monitor {
    fn receive(&mut self, TellRequests(reply): TellRequests, _: &mut Self::Context) {
        let _ = reply.send(self.requests());
    }
}
