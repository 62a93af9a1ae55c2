//! A session: the actor of one client's connection, or of one namespace of it. It reads what the transport hands it, asks
//! the central actors, and answers into its [`SessionHandle`]. It holds what is its alone: who the client is, the rooms it joined,
//! its own limits.
//!
//! [`dispatch`] finds the handler of a request, `answers` knows how what it says reaches the client, `standing` whose
//! session it is, `rooms` where it is in, `once` what it did by a name of its client's; `raw`, `push`, `application`, `notifications`, `chat`, `messages`, `presence`,
//! `recovery`, `monitoring`, `typing` and `debug` are the handlers, a file an event family.

mod application;
mod authentication;
mod chat;
mod debug;
mod dispatch;
mod idempotent_publish;
mod membership;
mod messages;
mod monitoring;
mod notifications;
mod pending_joins;
mod presence;
mod push;
mod raw;
mod refusals;
mod replies;
mod state_recovery;
mod token_recovery;
mod typing;

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use actix::fut::{ActorFutureExt, WrapFuture, ready};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, ResponseActFuture, StreamHandler};
use bytes::Bytes;

pub use self::dispatch::{AfterReply, Handle, Outcome, ReplyFuture};
use self::replies::RequestContext;
use self::state_recovery::RecoveryAttempt;
pub use self::state_recovery::RecoveryRequest;
use crate::connection::{Heartbeat, SessionHandle, SessionSpec};
use crate::events::{Bucket, Surface, Transport};
use crate::hub::Hub;
use crate::limits::LimitKey;
use crate::limits::concurrency::ConcurrencySlot;
use crate::limits::fixed_window::{Decision, Rule, Window};
use crate::model::client::Peer;
use crate::model::close::Close;
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::{RecoveryToken, RoomName, SessionId};
use crate::notifications::Moment;
use crate::publication::{Correlation, Encoder};
use crate::registry::{AccessChanged, Entry};
use crate::runtime::clock::Expiry;
use crate::runtime::hash::Seed;
use crate::worker::Worker;

/// What a transport hands to its session.
#[derive(Debug)]
pub enum Inbound {
    /// A request.
    Request(Request),
    /// Something that is no request, and what is wrong with it.
    Malformed {
        /// The event's name, where that could be read.
        event: Option<Box<str>>,
        /// What is wrong.
        fault: Fault,
        /// What it was named by, as far as that could be read.
        correlation: Correlation,
    },
    /// The connection is ending; nothing follows.
    Closing,
}

/// An event that a client sent.
#[derive(Debug)]
pub struct Request {
    /// The event's name.
    pub event: Box<str>,
    /// Its data, JSON text.
    pub data: Bytes,
    /// What the client named it by.
    pub correlation: Correlation,
}

/// Whose a session is when it starts.
#[derive(Debug)]
pub enum AuthState {
    /// A user's.
    Known(Arc<Identity>),
    /// Nobody's yet, on `/` alone: it may do little, is in no room, and ends unless it shows a token in time.
    Guest,
}

/// What a session starts from.
#[derive(Debug)]
pub struct SessionStart {
    /// What it speaks.
    pub surface: Surface,
    /// The wire its client reads.
    pub encoder: &'static dyn Encoder,
    /// Whose it is.
    pub auth: AuthState,
    /// How its client came.
    pub transport: Transport,
    /// Its client, as far as the handshake tells.
    pub peer: Peer,
    /// The place it holds among the connections of its address, where a guest's are counted; then its user's are too.
    pub slot: Option<ConcurrencySlot>,
    /// Its heartbeat; `None` where its connection has one for all that it carries.
    pub heartbeat: Option<Heartbeat>,
    /// What its client drew from the limits before.
    pub rate_usage: RateUsage,
    /// The session that its client wants to go on with, where it does.
    pub recovery: Option<RecoveryRequest>,
}

/// What a client drew from its limits this minute. The sessions that it has one after the other on a connection share it:
/// who leaves a namespace and comes back has no limit anew.
#[derive(Debug, Clone, Default)]
pub struct RateUsage(Rc<RefCell<Vec<(RateKind, Window)>>>);

/// What is drawn from a limit of a session's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RateKind {
    Messages,
    /// Those of a session that came without a token, which has another limit.
    GuestMessages,
    Authentications,
    Notifications,
    Typing,
}

impl RateUsage {
    /// Counts one at `now`, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    fn count(&self, draws: RateKind, now: i64, most: u32) -> Decision {
        if most == 0 {
            return Decision::Within;
        }
        let rule = Rule::a_minute(most);
        let mut windows = self.0.borrow_mut();
        match windows.iter_mut().find(|(of, _)| *of == draws) {
            Some((_, window)) => window.count(now, rule),
            None => {
                // Most draw from one alone.
                windows.reserve_exact(1);
                let mut window = Window::default();
                let decision = window.count(now, rule);
                windows.push((draws, window));
                decision
            }
        }
    }
}

/// The actor of one connection, or of one namespace of it.
#[derive(Debug)]
pub struct Session {
    hub: Arc<Hub>,
    worker: Worker,
    handle: Rc<SessionHandle>,
    surface: Surface,
    connected_at: i64,
    peer: Peer,
    /// When it began: when it connected, or when the one did that it goes on with.
    began_at: i64,
    /// Who the client is; `None` while nobody knows.
    identity: Option<Arc<Identity>>,
    /// It had no user when it started.
    started_as_guest: bool,
    /// The place it holds among the connections of its address, and then of its user; where they are counted.
    address_slot: Option<Box<ConcurrencySlot>>,
    user_slot: Option<Box<ConcurrencySlot>>,
    /// The rooms it is in, those that nobody joins or leaves by request too: everybody's and its user's own.
    rooms: HashSet<RoomName, Seed>,
    /// Of those, the ones whose joins are not answered yet.
    pending_joins: pending_joins::PendingJoins,
    rate_usage: RateUsage,
    /// When it joined its user's room, until what the user missed is on its way.
    unread_since: Option<Moment>,
    typing: typing::Typing,
    debugging: Option<Box<debug::Debugging>>,
    /// When its client last asked something, ms since the epoch.
    last_request_at: i64,
    /// By which it can be recovered: a token that its client asked for, or its private id.
    recovery_token: Option<RecoveryToken>,
    /// Recovery may know of that.
    has_token: bool,
    /// Its seat stays when it ends.
    is_suspended: bool,
    monitor_reports: monitoring::MonitorReports,
    /// Set once it is known that the session ends.
    end: Option<monitoring::SessionEnd>,
    /// Presence knows of it.
    is_present: bool,
    entry: Entry,
}

impl Session {
    /// Seats a session and, where its user is known, makes it a member of everybody's and its user's own room. When this
    /// returns it gets what is sent to it, though nothing is written before a transport is attached: the handshake can be
    /// answered. The greeting is the first that will be.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`] when a central actor's queue is full, [`crate::model::fault::Code::TokenRevoked`] when
    /// the token was revoked, [`crate::model::fault::Code::Unauthenticated`] for a guest where there are none, and while draining
    /// [`crate::model::fault::Code::ShuttingDown`].
    pub async fn open(worker: &Worker, opening: SessionStart) -> Result<Self, Fault> {
        let hub = worker.hub().clone();
        hub.accepting()?;
        if matches!(opening.auth, AuthState::Guest) && opening.surface != Surface::Root {
            return Err(Fault::unauthenticated());
        }
        let is_recoverable = opening.encoder.is_numbered() && hub.settings().recovery.window_ms > 0;
        let mut returned = match opening.recovery {
            Some(returning) if is_recoverable => Some(RecoveryAttempt::redeem(&hub, returning, &opening.auth).await),
            other => other.map(RecoveryAttempt::unrecoverable),
        };
        let suspended = returned.as_mut().and_then(|returned| returned.suspended.take());
        let last = returned.as_ref().and_then(|returned| returned.request.last);
        let pid = match (&suspended, &returned) {
            (Some(_), Some(returned)) => Some(returned.request.pid.clone()),
            _ if is_recoverable => Some(RecoveryToken::random()?),
            _ => None,
        };
        let now = hub.clock().now_ms();
        let handle = worker.session_table().insert(SessionSpec {
            session: suspended.as_ref().map_or_else(SessionId::random, |(suspended, _)| suspended.holder.session),
            encoder: opening.encoder,
            bound: hub.settings().outbox,
            heartbeat: opening.heartbeat,
            multiplexed: false,
            expiry: Expiry::NEVER,
            elapsed: hub.clock().begin_ms(),
        });
        hub.stats().connected(matches!(opening.auth, AuthState::Known(_)), opening.transport).add(1);
        // From here on `Drop` undoes whatever was done.
        let mut session = Self {
            worker: worker.clone(),
            handle,
            surface: opening.surface,
            connected_at: now,
            peer: opening.peer,
            began_at: now,
            identity: None,
            started_as_guest: matches!(opening.auth, AuthState::Guest),
            address_slot: opening.slot.map(Box::new),
            user_slot: None,
            rooms: HashSet::default(),
            pending_joins: pending_joins::PendingJoins::default(),
            rate_usage: opening.rate_usage,
            unread_since: None,
            typing: typing::Typing::default(),
            debugging: None,
            last_request_at: now,
            recovery_token: None,
            has_token: false,
            is_suspended: false,
            monitor_reports: monitoring::MonitorReports::none(opening.transport),
            end: None,
            is_present: false,
            entry: Entry::new(hub.registry().clone(), now),
            hub,
        };
        if let Some(pid) = pid {
            session.enable_recovery(pid, last);
        }
        let began = match (opening.auth, returned, suspended) {
            (_, Some(returned), Some((suspended, identity))) => session.recover(returned, suspended, identity).await,
            (auth_state, returned, _) => session.begin(auth_state, returned.as_ref(), now).await,
        };
        // One that could not begin is nothing to come back to.
        began.inspect_err(|_| session.handle.forgo())?;
        if session.hub.accepting().is_err() {
            // Those who go with the hub were told before this one had a seat.
            session.handle.close_after_replies(Close::GoingAway);
        }
        session.report_opened();
        Ok(session)
    }

    /// The session's place, for its transport.
    pub fn handle(&self) -> &Rc<SessionHandle> {
        &self.handle
    }

    /// Starts the actor; `inbound` is all it reads, and its end the session's.
    pub fn run<S>(self, inbound: S)
    where
        S: futures_core::Stream<Item = Inbound> + 'static,
    {
        Self::create(|ctx| {
            ctx.add_stream(inbound);
            self
        });
    }

    fn now(&self) -> i64 {
        self.hub.clock().now_ms()
    }

    async fn begin(
        &mut self,
        auth_state: AuthState,
        returned: Option<&RecoveryAttempt>,
        now: i64,
    ) -> Result<(), Fault> {
        let AuthState::Known(identity) = auth_state else {
            self.greet_or_resume(returned, None, now);
            return Ok(());
        };
        self.greet_or_resume(returned, Some(&identity), now);
        let promised = self.reserve_online_users(&identity);
        let joins = self.attach_user(identity)?;
        self.unread_since = authentication::wait_for_joins(joins).await?;
        if let Some(reply_slot) = promised {
            self.send_online_users(reply_slot);
        }
        Ok(())
    }

    /// Greets a client that comes for the first time, or in vain for a session of before.
    fn greet_or_resume(&self, returned: Option<&RecoveryAttempt>, identity: Option<&Identity>, now: i64) {
        match returned {
            Some(returned) => self.send_not_recovered(returned, now),
            None => self.greet(identity, now),
        }
    }

    fn greet(&self, identity: Option<&Identity>, now: i64) {
        match (self.surface, identity) {
            (Surface::Raw, Some(identity)) => self.greet_raw(identity, now),
            (Surface::Root, _) => self.greet_root(now),
            // Who is online, it is told when it hears of those who come.
            (Surface::Raw, None) | (Surface::Chat, _) => {}
        }
    }

    /// Messages a minute it may send; 0 is no limit.
    fn message_limit(&self) -> u32 {
        let limits = &self.hub.settings().messages_per_minute;
        match self.surface {
            Surface::Raw => limits.raw,
            Surface::Root if self.started_as_guest => limits.community,
            Surface::Root => limits.push,
            Surface::Chat => limits.chat,
        }
    }

    /// Draws a message from the session's limit; `false` when there is nothing left, and the client was told.
    fn count_message(&mut self, asked: &RequestContext) -> bool {
        self.count_request(Bucket::Messages, asked)
    }

    /// Draws from one of the session's limits; `false` when there is nothing left, and the client was told.
    fn count_request(&mut self, bucket: Bucket, asked: &RequestContext) -> bool {
        let decision = self.count_one(bucket);
        self.apply_decision(decision, bucket, asked, self.now())
    }

    /// Draws one more message for a part of a request that costs others as much as a request of its own.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::RateLimited`].
    pub(super) fn count_batch_part(&mut self) -> Result<(), Fault> {
        match self.count_one(Bucket::Messages) {
            Decision::Within => Ok(()),
            Decision::Over(seconds) => Err(Fault::rate_limited(seconds).by(self.limit_rule(Bucket::Messages))),
            Decision::Flood(seconds) => {
                let rule = self.limit_rule(Bucket::Messages);
                self.handle.close_by(Close::Limit, rule);
                Err(Fault::rate_limited(seconds).by(rule))
            }
        }
    }

    fn count_one(&self, bucket: Bucket) -> Decision {
        let settings = self.hub.settings();
        let (draws, limit) = match bucket {
            // The user's, and there is none.
            Bucket::ChatMessages | Bucket::ChatTyping if self.identity.is_some() => return Decision::Within,
            Bucket::Authentications => (RateKind::Authentications, self.message_limit()),
            Bucket::Notifications => (RateKind::Notifications, settings.notifications_per_minute),
            Bucket::Typing => (RateKind::Typing, settings.typing_per_minute),
            _ if self.started_as_guest => (RateKind::GuestMessages, self.message_limit()),
            _ => (RateKind::Messages, self.message_limit()),
        };
        self.rate_usage.count(draws, self.hub.clock().elapsed_ms(), limit)
    }

    /// What an event that draws from `bucket` is counted by where that is no limit of the session's own: its user's, over
    /// all sessions.
    fn shared_limit(&self, bucket: Bucket) -> Option<(LimitKey, Rule)> {
        let limits = &self.hub.settings().chat_per_minute;
        let user = || Some(self.identity.as_ref()?.user.clone());
        let (key, most) = match bucket {
            Bucket::Messages | Bucket::Authentications | Bucket::Notifications | Bucket::Typing => return None,
            Bucket::ChatMessages => (LimitKey::ChatMessages(user()?), limits.messages),
            Bucket::ChatTyping => (LimitKey::ChatTyping(user()?), limits.typing),
        };
        (most > 0).then_some((key, Rule::a_minute(most)))
    }

    /// Draws the consequence of a verdict on a request that draws from `bucket`; `true` where it is within its limit.
    fn apply_decision(&self, decision: Decision, bucket: Bucket, asked: &RequestContext, now: i64) -> bool {
        match decision {
            Decision::Within => true,
            Decision::Over(seconds) => {
                self.refuse(asked, &Fault::rate_limited(seconds).by(self.limit_rule(bucket)), now);
                false
            }
            Decision::Flood(_) => {
                self.handle.close_by(Close::Limit, self.limit_rule(bucket));
                false
            }
        }
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.entry.reached_by(ctx.address().downgrade().recipient());
        match self.identity.clone() {
            None => self.schedule_auth_deadline(ctx),
            // One that goes on is in rooms already, and could not be told of what changed before this.
            Some(identity) => {
                let closed = self.leave_forbidden_rooms(&identity);
                self.send_rooms_closed(closed.into_iter().map(|room| (room, 0)).collect());
            }
        }
        if let Some(moment) = self.unread_since.take() {
            self.start_unread_delivery(moment, ctx);
        }
    }
}

/// The client is told, for it did not ask.
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
                self.last_request_at = self.now();
                dispatch::dispatch(self, request, ctx);
            }
            Inbound::Malformed { event, fault, correlation } => {
                self.hub.stats().received.add(1);
                let asked = RequestContext::unreadable(event.as_deref(), correlation);
                if self.count_message(&asked) {
                    self.refuse(&asked, &fault, self.now());
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

/// However a session ends, by its client, by a reason of the hub or by a panic, nothing of it stays but a parked seat.
impl Drop for Session {
    fn drop(&mut self) {
        self.note_end();
        self.depart();
        self.report_ended();
        if self.is_suspended {
            self.handle.with_outbox(|outbox| outbox.discard());
            self.handle.detach();
        } else {
            self.handle.forgo();
            self.handle.with_outbox(|outbox| outbox.close());
            self.worker.session_table().release(self.handle.addr().slot);
        }
    }
}

#[cfg(test)]
mod tests;
