//! Finds the handler of a request, and sends its reply. The event table decides; this module knows no event.

use std::pin::Pin;

use actix::fut::{ActorFuture, ActorFutureExt, WrapFuture};
use actix::{AsyncContext, Context};

use super::replies::{RequestContext, truncated_name};
use super::{Request, Session};
use crate::connection::ReplySlot;
use crate::event_table;
use crate::events::chat::{connection, messages, monitoring, presence, rooms};
use crate::events::json::Entire;
use crate::events::{Access, ClientEvent, ServerEvent, Writes, application, community, debug, push, raw, text};
use crate::model::fault::{Code, Fault};
use crate::model::ids::RoomName;
use crate::model::surface::Surface;
use crate::rooms::rules;

/// A reply that is ready later.
pub type ReplyFuture<R> = Pin<Box<dyn ActorFuture<Session, Output = Result<R, Fault>>>>;

/// Work after a reply.
pub type AfterReply = Box<dyn FnOnce(&mut Session, &mut Context<Session>)>;

/// The result of a handler.
pub enum Outcome<R> {
    /// The reply.
    Reply(R),
    /// The reply, and work after it.
    ReplyThen(R, AfterReply),
    /// A later reply. Later requests are answered after it.
    Async(ReplyFuture<R>),
    /// As [`Outcome::Async`], for a reply that may be large: no request is taken until it is sent, so that it fits.
    AsyncLarge(ReplyFuture<R>),
    /// A later reply without an order, for slow work: of the application, or of the store on `/`, where publications may
    /// wait behind an ordered reply. The handler first checks that the session [may
    /// reserve](crate::connection::SessionHandle::may_reserve_unordered) one.
    Unordered(ReplyFuture<R>),
    /// As [`Outcome::Async`]. Messages of these rooms follow the reply.
    Join(Vec<RoomName>, ReplyFuture<R>),
    /// As [`Outcome::Async`], and no later request is handled until then, because it changes the session's permissions.
    /// Earlier requests go on: their replies do not wait for this one.
    Sequential(ReplyFuture<R>),
    /// As [`Outcome::Sequential`], and nothing else of the session goes on until then. It receives its reply slot, to hold
    /// messages behind it.
    Exclusive(Box<dyn FnOnce(ReplySlot) -> ReplyFuture<R>>),
    /// As [`Outcome::Exclusive`], once no join of the session is pending: then it knows since when it is in its rooms.
    AfterJoins(Box<dyn FnOnce(ReplySlot) -> ReplyFuture<R>>),
}

/// The handler of an event. Under 50 lines, no I/O.
#[diagnostic::on_unimplemented(
    note = "write the event's handler in `actors/src/session/events/`, in the file of its family"
)]
pub trait Handle<E: ClientEvent> {
    /// Handles the event.
    ///
    /// # Errors
    /// The refusal for the client.
    fn handle(&mut self, event: E) -> Result<Outcome<E::Reply>, Fault>;
}

macro_rules! match_event {
    (client {$(($name:literal, $event:ty => $($columns:tt)*))*} server $others:tt) => {
        /// Runs the handler of a request by the name of its event. The request arrived at `now`, ms since the epoch.
        pub(super) fn dispatch(session: &mut Session, request: Request, now: i64, ctx: &mut Context<Session>) {
            match &*request.event {
                $($name => run::<$event>(session, request, now, ctx),)*
                _ => refuse_unknown(session, request, now),
            }
        }
    };
}

event_table!(match_event);

/// Checks surface and limit, then handles the request. While a shared limit is checked, no other request is handled:
/// requests keep their order.
pub(super) fn run<E: ClientEvent>(session: &mut Session, request: Request, now: i64, ctx: &mut Context<Session>)
where
    Session: Handle<E>,
{
    if !E::ROW.on.contains(&session.surface) {
        return refuse_unknown(session, request, now);
    }
    session.hub.stats().events.count::<E>();
    let Request { data, correlation, .. } = request;
    let context = RequestContext::of::<E>(&data, correlation);
    let Some((key, rule)) = session.shared_limit(E::ROW.costs) else {
        if session.count_request(E::ROW.costs, &context, now) {
            serve::<E>(session, &data, context, now, ctx);
        }
        return;
    };
    match session.hub.check_limit(key, rule) {
        Ok(decision) => ctx.wait(decision.into_actor(session).map(move |decision, session, ctx| {
            let now = session.now();
            match decision {
                Ok(decision) if session.apply_decision(decision, E::ROW.costs, &context, now) => {
                    serve::<E>(session, &data, context, now, ctx)
                }
                Ok(_) => {}
                Err(fault) => session.refuse(&context, &fault, now),
            }
        })),
        Err(fault) => session.refuse(&context, &fault, now),
    }
}

/// Checks access and text, parses, checks the publish permission, handles, and replies.
fn serve<E: ClientEvent>(
    session: &mut Session,
    data: &str,
    context: RequestContext,
    now: i64,
    ctx: &mut Context<Session>,
) where
    Session: Handle<E>,
{
    let outcome = session
        .hub
        .accepting()
        .and_then(|()| check_access(session, E::ROW.needs))
        .and_then(|()| text::check_members(data.as_bytes(), "data"))
        .and_then(|()| E::read(data))
        .and_then(|event| check_publish(session, &event).and_then(|()| session.handle(event)));
    match outcome {
        Ok(outcome) => answer::<E>(session, outcome, data.len(), context, now, ctx),
        Err(fault) => session.refuse(&context, &fault, now),
    }
}

/// Replies to a request of `weight` bytes.
fn answer<E: ClientEvent>(
    session: &mut Session,
    outcome: Outcome<E::Reply>,
    weight: usize,
    context: RequestContext,
    now: i64,
    ctx: &mut Context<Session>,
) {
    match outcome {
        Outcome::Reply(reply) => session.reply(&reply, &context.correlation, now),
        Outcome::ReplyThen(reply, then) => {
            session.reply(&reply, &context.correlation, now);
            then(session, ctx);
        }
        Outcome::Async(answer) => {
            let reply_slot = session.handle.reserve(weight);
            ctx.spawn(fulfil_with(answer, reply_slot, context));
        }
        Outcome::AsyncLarge(answer) => {
            let reply_slot = session.handle.reserve_large(weight);
            ctx.spawn(fulfil_with(answer, reply_slot, context));
        }
        Outcome::Unordered(answer) => {
            let reply_slot = session.handle.reserve_unordered(weight);
            ctx.spawn(answer.map(move |result, session, _| {
                let payload = session.result_payload(result, &context);
                session.handle.fulfil_unordered(reply_slot, payload);
            }));
        }
        Outcome::Join(rooms, answer) => {
            let reply_slot = session.handle.reserve(weight);
            session.handle.defer(rooms, reply_slot);
            ctx.spawn(fulfil_with(answer, reply_slot, context));
        }
        Outcome::Sequential(answer) => {
            let reply_slot = session.handle.reserve(weight);
            session.input.pause();
            ctx.spawn(fulfil_with(answer, reply_slot, context).map(|(), session, _| session.input.resume()));
        }
        Outcome::Exclusive(answer) => {
            let reply_slot = session.handle.reserve(weight);
            ctx.wait(fulfil_with(answer(reply_slot), reply_slot, context));
        }
        Outcome::AfterJoins(answer) => {
            let reply_slot = session.handle.reserve(weight);
            session.input.pause();
            let settled = session.pending_joins.settled().into_actor(session);
            ctx.spawn(settled.map(move |(), _, ctx| {
                let fulfilled = fulfil_with(answer(reply_slot), reply_slot, context);
                ctx.wait(fulfilled.map(|(), session, _| session.input.resume()));
            }));
        }
    }
}

/// Fulfils `reply_slot` once the reply is ready.
fn fulfil_with<R: ServerEvent>(
    answer: ReplyFuture<R>,
    reply_slot: ReplySlot,
    context: RequestContext,
) -> impl ActorFuture<Session, Output = ()> + 'static {
    answer.map(move |result, session, _| {
        let payload = session.result_payload(result, &context);
        session.handle.fulfil(reply_slot, payload);
    })
}

impl Session {
    /// Whether the session may have one more pending reply without an order.
    ///
    /// # Errors
    /// [`Code::Overloaded`].
    pub(super) fn check_unordered(&self) -> Result<(), Fault> {
        if self.handle.may_reserve_unordered() { Ok(()) } else { Err(Fault::too_many_in_progress()) }
    }
}

fn check_access(session: &Session, needs: Access) -> Result<(), Fault> {
    match needs {
        Access::Anyone => Ok(()),
        Access::User => session.identity().map(|_| ()),
    }
}

/// Checks an event that writes to others against the token's claim `topics.publish`, if it has one.
fn check_publish<E: ClientEvent>(session: &Session, event: &E) -> Result<(), Fault> {
    if E::ROW.writes == Writes::Nothing {
        return Ok(());
    }
    let Some(allowed) = session.identity()?.publish.as_deref() else { return Ok(()) };
    match event.written_room()? {
        Some(room) => rules::check_token_publish(allowed, &room),
        None if allowed.is_empty() => {
            Err(Fault::new(Code::Forbidden, "The token does not allow publishing").by(rules::TOKEN_PUBLISH))
        }
        None => Ok(()),
    }
}

fn refuse_unknown(session: &mut Session, request: Request, now: i64) {
    let field = match session.surface {
        Surface::Raw => "type",
        Surface::Root | Surface::Chat => "event",
    };
    let fault = Fault::field(field, format!("`{field}`: there is no event \"{}\"", truncated_name(&request.event)));
    let context = RequestContext::unknown(&request.event, request.correlation);
    if session.count_message(&context, now) {
        // A guest only learns that it must authenticate.
        let fault = check_access(session, Access::User).err().unwrap_or(fault);
        session.refuse(&context, &fault, now);
    }
}
