//! The session actor: one client's connection, or one namespace of it.
//!
//! It receives requests from the transport, queries the central actors, and sends replies through its
//! [`SessionHandle`]. It owns the client's identity, its rooms and its limits. It does not know the transport.
//!
//! # Layout
//!
//! * Start and end: `opening`, `authentication`, `monitoring`.
//! * Recovery: `suspension` for both kinds; `state_recovery` by private id on `/`; `token_recovery` by recovery token on
//!   `/chat` and `/ws`. [`crate::recovery`] describes both step by step.
//! * Requests: `input` passes them in, [`dispatch`] finds the handler, `rate_limits` counts, `replies` encodes the result,
//!   `refusals` logs errors.
//! * Rooms: `membership` joins and leaves, `pending_joins` tracks joins without a reply.
//! * Publishing once for each `client_id`: `idempotent_publish`.
//! * Unread notifications of the user: `notifications`.
//! * Handlers, one file per event family: `events/{raw,push,application,debug}`, `events/community/`,
//!   `events/chat/`.

mod authentication;
mod dispatch;
mod events;
mod idempotent_publish;
mod input;
mod membership;
mod monitoring;
mod notifications;
mod opening;
mod pending_joins;
mod rate_limits;
mod refusals;
mod replies;
mod state_recovery;
mod suspension;
mod token_recovery;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use actix::fut::{ActorFutureExt, WrapFuture, ready};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, ResponseActFuture, StreamHandler};
use bytestring::ByteString;

pub use self::dispatch::{AfterReply, Handle, Outcome, ReplyFuture};
use self::events::community::typing::Typing;
use self::events::debug::Debugging;
use self::input::{GatedInput, InputGate};
pub use self::rate_limits::RateUsage;
use self::replies::RequestContext;
pub use self::state_recovery::RecoveryRequest;
use crate::connection::{Connection, SessionHandle};
use crate::hub::Hub;
use crate::limits::concurrency::ConcurrencySlot;
use crate::model::client::Peer;
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::{RecoveryToken, RoomName};
use crate::model::surface::{Surface, Transport};
use crate::notifications::Backlog;
use crate::publication::{Correlation, Encoder, Offset};
use crate::registry::{AccessChanged, SessionEntry};
use crate::runtime::hash::Seed;
use crate::worker::Worker;

/// Input from a transport.
#[derive(Debug)]
pub enum Inbound {
    /// A request.
    Request(Request),
    /// Input that is no valid request.
    Malformed {
        /// The event's name, if readable.
        event: Option<Box<str>>,
        /// The error.
        fault: Fault,
        /// The client's id of the request, if readable.
        correlation: Correlation,
    },
    /// The connection ends. No input follows.
    Closing,
}

/// An event from a client.
#[derive(Debug)]
pub struct Request {
    /// The event's name.
    pub event: ByteString,
    /// Its data, JSON text.
    pub data: ByteString,
    /// The client's id of the request.
    pub correlation: Correlation,
}

/// Whether a session has a user when it starts.
#[derive(Debug)]
pub enum AuthState {
    /// It has a user.
    Known(Arc<Identity>),
    /// It has none. Only `/` allows guests. A guest is in no room, and its session ends unless it authenticates in
    /// time.
    Guest,
}

/// The initial state of a session.
#[derive(Debug)]
pub struct SessionStart {
    /// The surface.
    pub surface: Surface,
    /// Encodes for the client.
    pub encoder: &'static dyn Encoder,
    /// The user, if known.
    pub auth: AuthState,
    /// The transport of the connection.
    pub transport: Transport,
    /// The client, as the handshake describes it.
    pub peer: Peer,
    /// The connection's slot in the limit per address, where it counts guests. Then the limit per user applies too.
    pub slot: Option<ConcurrencySlot>,
    /// The connection.
    pub connection: Rc<Connection>,
    /// The client's use of its limits so far.
    pub rate_usage: RateUsage,
    /// The session that the client wants to recover.
    pub recovery: Option<RecoveryRequest>,
}

/// The actor of one connection, or of one namespace of it.
#[derive(Debug)]
pub struct Session {
    hub: Arc<Hub>,
    worker: Worker,
    handle: Rc<SessionHandle>,
    input: Rc<InputGate>,
    surface: Surface,
    connected_at: i64,
    peer: Peer,
    /// When the session began, ms since the epoch. A recovered session keeps the time of its first connection.
    began_at: i64,
    /// The user; `None` for a guest.
    identity: Option<Arc<Identity>>,
    started_as_guest: bool,
    /// Its slots in the limits per address and per user, if these count it.
    address_slot: Option<Box<ConcurrencySlot>>,
    user_slot: Option<Box<ConcurrencySlot>>,
    /// Its rooms, each with the number of the last publication before the join. A recovered session misses nothing before
    /// that. Two of the rooms are joined and left by no request: the room of everybody and the room of the user.
    rooms: HashMap<RoomName, u64, Seed>,
    /// Joins of rooms in `rooms` that have no reply yet.
    pending_joins: pending_joins::PendingJoins,
    rate_usage: RateUsage,
    /// The unread notifications of its user, once it is in the user's room.
    backlog: Option<Backlog>,
    /// The offset that the client named when it connected.
    named: Option<Offset>,
    /// `None` until it types.
    typing: Option<Box<Typing>>,
    debugging: Option<Box<Debugging>>,
    /// The client's last request, ms since the epoch.
    last_request_at: i64,
    /// On `/` the private id (the pid of Socket.IO), set from the start if its events are numbered and recovery is on.
    /// On `/chat` and `/ws` the recovery token, set by `connection:create-session`.
    recovery_token: Option<RecoveryToken>,
    /// Whether [`Recovery`](crate::recovery::Recovery) may have a token of the session. `false` for a guest on `/`:
    /// its private id is issued when it authenticates. The end of the session clears it, and suspends the session or
    /// discards the token.
    has_token: bool,
    /// Whether the session may recover what it misses in its chats: it had a recovery token.
    has_recoverable_chats: bool,
    monitor_reports: monitoring::MonitorReports,
    /// The reason of the end, once the session ends.
    end: Option<monitoring::SessionEnd>,
    /// Whether presence counts the session.
    is_present: bool,
    entry: SessionEntry,
}

impl Session {
    /// The session's handle, for its transport.
    pub fn handle(&self) -> &Rc<SessionHandle> {
        &self.handle
    }

    /// Starts the actor. It reads `inbound` and ends with it.
    pub fn run<S>(self, inbound: S)
    where
        S: futures_core::Stream<Item = Inbound> + Unpin + 'static,
    {
        Self::create(|ctx| {
            ctx.add_stream(GatedInput { inbound, gate: self.input.clone() });
            self
        });
    }

    fn now(&self) -> i64 {
        self.hub.clock().now_ms()
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.entry.set_recipient(ctx.address().downgrade().recipient());
        match self.identity.clone() {
            None => self.schedule_auth_deadline(ctx),
            // A recovered session is in rooms already. It received no message when access to them changed.
            Some(identity) => {
                let closed = self.leave_forbidden_rooms(&identity);
                self.send_rooms_closed(closed.into_iter().map(|room| (room, 0)).collect());
            }
        }
        self.start_unread_delivery(ctx);
    }
}

/// Leaves rooms without access. The client gets a notice, because it did not request to leave.
impl Handler<AccessChanged> for Session {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, changed: AccessChanged, ctx: &mut Self::Context) -> Self::Result {
        let room = match changed {
            AccessChanged::One(room) => room,
            AccessChanged::Any(turn) => {
                self.review_rooms(turn, ctx);
                return Box::pin(ready(()).into_actor(self));
            }
        };
        let closed = self.may_subscribe(&room).is_err();
        let Some(left) = closed.then(|| self.leave_room(room.as_str())).flatten() else {
            return Box::pin(ready(()).into_actor(self));
        };
        Box::pin(left.into_actor(self).map(move |users, session, _| session.send_room_left(&room, users.unwrap_or(0))))
    }
}

impl StreamHandler<Inbound> for Session {
    fn handle(&mut self, inbound: Inbound, ctx: &mut Self::Context) {
        match inbound {
            Inbound::Request(request) => {
                self.hub.stats().received.add(1);
                let now = self.now();
                self.last_request_at = now;
                dispatch::dispatch(self, request, now, ctx);
            }
            Inbound::Malformed { event, fault, correlation } => {
                self.hub.stats().received.add(1);
                let (context, now) = (RequestContext::unreadable(event.as_deref(), correlation), self.now());
                if self.count_message(&context, now) {
                    self.refuse(&context, &fault, now);
                }
            }
            Inbound::Closing => {
                self.note_end();
                self.depart();
            }
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// Cleans up after every end of a session, panics included.
impl Drop for Session {
    fn drop(&mut self) {
        self.note_end();
        self.depart();
        self.report_ended();
        self.worker.session_table().release(self.handle.addr().slot);
    }
}

#[cfg(test)]
mod tests;
