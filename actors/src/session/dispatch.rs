//! From a request to its handler and back: the event table decides, nothing here knows a single event.

use std::pin::Pin;

use actix::fut::{ActorFuture, ActorFutureExt, WrapFuture};
use actix::{AsyncContext, Context};

use super::replies::{RequestContext, truncated_name};
use super::{Request, Session};
use crate::client_event_table;
use crate::connection::ReplySlot;
use crate::events::json::Entire;
use crate::events::{
    Access, ClientEvent, ServerEvent, Surface, Writes, application, chat, community, debug, push, raw, text,
};
use crate::model::fault::{Code, Fault};
use crate::model::ids::RoomName;
use crate::rooms::rules;

/// An answer that comes.
pub type ReplyFuture<R> = Pin<Box<dyn ActorFuture<Session, Output = Result<R, Fault>>>>;

/// What is done behind an answer.
pub type AfterReply = Box<dyn FnOnce(&mut Session, &mut Context<Session>)>;

/// What a handler made of an event.
pub enum Outcome<R> {
    /// The answer.
    Reply(R),
    /// The answer, and what is done once it went.
    ReplyThen(R, AfterReply),
    /// The answer comes; requests that come later are answered after it.
    Async(ReplyFuture<R>),
    /// As [`Outcome::Async`], for an answer that may be large: no request is taken until it is there, so that it finds room.
    AsyncLarge(ReplyFuture<R>),
    /// The answer comes and is sent then: somebody outside may take long for it, and nothing waits. That the session
    /// [may owe](crate::connection::SessionHandle::may_reserve_unordered) one more such answer is the handler's to see to, before it asks anybody.
    Unordered(ReplyFuture<R>),
    /// As [`Outcome::Async`], and the messages of these rooms come after it: it tells of their joins.
    Join(Vec<RoomName>, ReplyFuture<R>),
    /// As [`Outcome::Async`], and no request is handled until then: it changes what the session may do. It is told which
    /// promise the answer keeps, so that it can hold back what has to come after it.
    Exclusive(Box<dyn FnOnce(ReplySlot) -> ReplyFuture<R>>),
}

/// What a session does with an event. Under 50 lines, no I/O.
pub trait Handle<E: ClientEvent> {
    /// Handles the event.
    ///
    /// # Errors
    /// The refusal that the client is told.
    fn handle(&mut self, event: E) -> Result<Outcome<E::Reply>, Fault>;
}

macro_rules! match_event {
    ($($name:literal, $event:ty, $reply:ty, [$($surface:ident),+], $needs:ident, $bucket:ident, $refused:ident, $writes:ident;)*) => {
        /// Finds the request's row and runs it.
        pub(super) fn dispatch(session: &mut Session, request: Request, ctx: &mut Context<Session>) {
            match &*request.event {
                $($name => run::<$event>(session, request, ctx),)*
                _ => refuse_unknown(session, request),
            }
        }
    };
}

client_event_table!(match_event);

/// Checks surface and limit before any work; then the event is served. No other request is handled until who counts for
/// all sessions of a user has said whether it is within the limit: so all are served in their order.
pub(super) fn run<E: ClientEvent>(session: &mut Session, request: Request, ctx: &mut Context<Session>)
where
    Session: Handle<E>,
{
    if !E::ON.contains(&session.surface) {
        return refuse_unknown(session, request);
    }
    session.hub.stats().events.count::<E>();
    let Request { data, correlation, .. } = request;
    let asked = RequestContext::of::<E>(&data, correlation);
    let Some((key, rule)) = session.shared_limit(E::COSTS) else {
        if session.count_request(E::COSTS, &asked) {
            serve::<E>(session, &data, asked, ctx);
        }
        return;
    };
    match session.hub.check_limit(key, rule) {
        Ok(decision) => ctx.wait(decision.into_actor(session).map(move |decision, session, ctx| match decision {
            Ok(decision) if session.apply_decision(decision, E::COSTS, &asked, session.now()) => {
                serve::<E>(session, &data, asked, ctx)
            }
            Ok(_) => {}
            Err(_) => session.refuse(&asked, &Fault::internal(), session.now()),
        })),
        Err(fault) => session.refuse(&asked, &fault, session.now()),
    }
}

/// Checks access and what receivers can hold, parses, checks what the token lets its holder write, handles and answers.
fn serve<E: ClientEvent>(session: &mut Session, data: &[u8], asked: RequestContext, ctx: &mut Context<Session>)
where
    Session: Handle<E>,
{
    let outcome = session
        .hub
        .accepting()
        .and_then(|()| check_access(session, E::NEEDS))
        .and_then(|()| text::check_members(data, "data"))
        .and_then(|()| E::read(data))
        .and_then(|event| check_publish(session, &event).and_then(|()| session.handle(event)));
    let weight = data.len();
    match outcome {
        Ok(Outcome::Reply(reply)) => session.reply(&reply, &asked.correlation, session.now()),
        Ok(Outcome::ReplyThen(reply, then)) => {
            session.reply(&reply, &asked.correlation, session.now());
            then(session, ctx);
        }
        Ok(Outcome::Async(answer)) => {
            let reply_slot = session.handle.reserve(weight);
            ctx.spawn(fulfil_with(answer, reply_slot, asked));
        }
        Ok(Outcome::AsyncLarge(answer)) => {
            let reply_slot = session.handle.reserve_large(weight);
            ctx.spawn(fulfil_with(answer, reply_slot, asked));
        }
        Ok(Outcome::Unordered(answer)) => {
            let reply_slot = session.handle.reserve_unordered(weight);
            ctx.spawn(answer.map(move |result, session, _| {
                let frame = session.result_frame(result, &asked);
                session.handle.fulfil_unordered(reply_slot, frame);
            }));
        }
        Ok(Outcome::Join(rooms, answer)) => {
            let reply_slot = session.handle.reserve(weight);
            session.handle.defer(rooms, reply_slot);
            ctx.spawn(fulfil_with(answer, reply_slot, asked));
        }
        Ok(Outcome::Exclusive(answer)) => {
            let reply_slot = session.handle.reserve(weight);
            ctx.wait(fulfil_with(answer(reply_slot), reply_slot, asked));
        }
        Err(fault) => session.refuse(&asked, &fault, session.now()),
    }
}

/// Keeps the promise `owed` once the answer is there.
fn fulfil_with<R: ServerEvent>(
    answer: ReplyFuture<R>,
    reply_slot: ReplySlot,
    asked: RequestContext,
) -> impl ActorFuture<Session, Output = ()> + 'static {
    answer.map(move |result, session, _| {
        let frame = session.result_frame(result, &asked);
        session.handle.fulfil(reply_slot, frame);
    })
}

fn check_access(session: &Session, needs: Access) -> Result<(), Fault> {
    match needs {
        Access::Anyone => Ok(()),
        Access::User => session.identity().map(|_| ()),
        Access::Admin if session.identity()?.has_role("admin") => Ok(()),
        Access::Admin => Err(Fault::new(Code::Forbidden, "Only for admins").by("token role")),
    }
}

/// Whether the session's token allows an event that writes to others: its claim `topics.publish`, where it has one.
fn check_publish<E: ClientEvent>(session: &Session, event: &E) -> Result<(), Fault> {
    if E::WRITES == Writes::Nothing {
        return Ok(());
    }
    let Some(allowed) = session.identity()?.publish.as_deref() else { return Ok(()) };
    match event.written_room()? {
        Some(room) => rules::narrowed(allowed, &room),
        None if allowed.is_empty() => {
            Err(Fault::new(Code::Forbidden, "The token allows no publishing").by(rules::TOKEN_PUBLISH))
        }
        None => Ok(()),
    }
}

fn refuse_unknown(session: &mut Session, request: Request) {
    let field = match session.surface {
        Surface::Raw => "type",
        Surface::Root | Surface::Chat => "event",
    };
    let fault = Fault::field(field, format!("`{field}`: there is no event \"{}\"", truncated_name(&request.event)));
    let asked = RequestContext::unknown(&request.event, request.correlation);
    if session.count_message(&asked) {
        // One without a user learns no more than that it needs one.
        let fault = check_access(session, Access::User).err().unwrap_or(fault);
        session.refuse(&asked, &fault, session.now());
    }
}
