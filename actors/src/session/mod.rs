//! A session: the actor of one client's connection. It reads what the transport hands it, asks the central actors, and
//! answers into its [`Seat`]. It holds what is its alone: who the client is, the rooms it joined, its own limits.

mod dispatch;
mod raw;

use std::rc::Rc;
use std::sync::Arc;

use actix::fut::{ActorFutureExt, WrapFuture, ready};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, ResponseActFuture, StreamHandler};
use ahash::AHashSet;
use bytes::Bytes;

pub use self::dispatch::{Answer, Handle, Outcome};
use crate::close::Close;
use crate::delivery::{Correlation, Wire};
use crate::events::{ServerEvent, Surface, json};
use crate::fault::Fault;
use crate::hub::Hub;
use crate::identity::Identity;
use crate::ids::{RoomName, SessionId};
use crate::limits::window::{Verdict, Window};
use crate::mailbox::Full;
use crate::presence::{Arrived, Departed};
use crate::registry::{AccessChanged, Admission, Entry, LiveSession};
use crate::rooms::{Joined, Left};
use crate::seat::{Seat, Seating};
use crate::worker::Worker;

/// Rooms that every session is in from the start: everybody's and its user's own.
const OWN_ROOMS: usize = 2;

/// What a transport hands to its session.
#[derive(Debug)]
pub enum Inbound {
    /// A request.
    Request(Request),
    /// Something that is no request, and what is wrong with it.
    Malformed {
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

/// What a session starts from.
#[derive(Debug)]
pub struct Opening {
    /// What it speaks.
    pub surface: Surface,
    /// The wire its client reads.
    pub wire: &'static dyn Wire,
    /// Whose it is.
    pub identity: Identity,
    /// Its place among the connections there may be.
    pub admission: Admission,
}

/// The actor of one connection.
#[derive(Debug)]
pub struct Session {
    hub: Arc<Hub>,
    worker: Worker,
    seat: Rc<Seat>,
    surface: Surface,
    identity: Arc<Identity>,
    /// The rooms it is in, those that nobody joins or leaves by request too: everybody's and its user's own.
    rooms: AHashSet<RoomName>,
    messages: Window,
    /// Presence knows of it.
    is_present: bool,
    entry: Entry,
}

impl Session {
    /// Seats a session and makes it a member of everybody's and its user's own room. When this returns it gets what is
    /// sent to it, though nothing is written before a transport is attached: the handshake can be answered.
    ///
    /// # Errors
    /// [`crate::fault::Code::Overloaded`] when a central actor's queue is full, [`crate::fault::Code::InvalidToken`] when
    /// the token was revoked, and while draining [`crate::fault::Code::ShuttingDown`].
    pub async fn open(worker: &Worker, opening: Opening) -> Result<Self, Fault> {
        let hub = worker.hub().clone();
        hub.accepting()?;
        let now = hub.clock().now_ms();
        let id = SessionId::random();
        let seat = worker.seats().seat(Seating {
            session: id,
            wire: opening.wire,
            bound: hub.settings().outbox,
            heartbeat: Some(hub.settings().heartbeat),
            expires_at: opening.identity.expires_at,
            elapsed: hub.clock().elapsed_ms(),
        });
        let identity = Arc::new(opening.identity);
        let user = identity.user.clone();
        let live = LiveSession {
            id,
            surface: opening.surface,
            connected_at: now,
            place: seat.place(),
            identity: identity.clone(),
        };
        // From here on `Drop` undoes whatever was done.
        let mut session = Self {
            worker: worker.clone(),
            seat,
            surface: opening.surface,
            identity,
            rooms: AHashSet::new(),
            messages: Window::default(),
            is_present: false,
            entry: opening.admission.enter(live),
            hub,
        };
        // Who revokes looks for live sessions after noting it; so this one looks after it can be found.
        session.hub.revoked().check(&session.identity)?;
        session.greet(now);
        session.hub.presence_mailbox().post(Arrived(user.clone())).map_err(|Full(_)| Fault::overloaded())?;
        session.is_present = true;
        for room in [RoomName::everybody(), RoomName::of_user(&user)] {
            session.join(room)?.await.map_err(|_| Fault::internal())??;
        }
        Ok(session)
    }

    /// The session's place, for its transport.
    pub fn seat(&self) -> &Rc<Seat> {
        &self.seat
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

    fn greet(&self, now: i64) {
        match self.surface {
            Surface::Raw => self.greet_raw(now),
            Surface::Root | Surface::Chat => {}
        }
    }

    /// Answers with an event of the hub.
    fn say<E: ServerEvent>(&self, event: &E, correlation: &Correlation, now: i64) {
        self.seat.answer(self.frame(event, correlation, now));
    }

    fn frame<E: ServerEvent>(&self, event: &E, correlation: &Correlation, now: i64) -> Bytes {
        self.seat.wire().answer(E::NAME, &json::encode(event), correlation, now)
    }

    /// Draws a message from the connection's limit; `false` when there is nothing left, and the client was told.
    fn draw_message(&mut self, correlation: &Correlation) -> bool {
        let now = self.now();
        match self.messages.count(now, self.hub.settings().raw_messages_per_minute) {
            Verdict::Within => true,
            Verdict::Over(seconds) => {
                self.seat.refuse(&Fault::rate_limited(seconds), correlation, now);
                false
            }
            Verdict::Flood => {
                self.seat.close(Close::Limit);
                false
            }
        }
    }

    fn may_subscribe(&self, room: &RoomName) -> Result<(), Fault> {
        self.may_subscribe_as(&self.identity, room)
    }

    fn may_subscribe_as(&self, identity: &Identity, room: &RoomName) -> Result<(), Fault> {
        let may_join = |chat: &str| self.hub.chats().may_join(chat, &identity.user);
        self.hub.settings().rules.subscribe(identity, room, may_join)
    }

    fn tell_left(&self, room: &RoomName) {
        match self.surface {
            Surface::Raw => self.tell_left_raw(room),
            Surface::Root | Surface::Chat => {}
        }
    }

    /// Joins a room that it is not in. The receiver resolves when it gets what is published there.
    fn join(&mut self, room: RoomName) -> Result<Joined, Fault> {
        let joined = self.hub.rooms().join(room.clone(), self.identity.user.clone(), self.seat.place())?;
        self.rooms.insert(room);
        Ok(joined)
    }

    /// Leaves a room; `None` when it is not in it. The receiver resolves when it gets nothing of it any more.
    fn leave(&mut self, room: &str) -> Option<Left> {
        let room = self.rooms.take(room)?;
        Some(self.hub.rooms().leave(room, self.identity.user.clone(), self.seat.place()))
    }

    /// Leaves every room and tells presence; the first call does it.
    fn depart(&mut self) {
        let user = &self.identity.user;
        let place = self.seat.place();
        for room in self.rooms.drain() {
            drop(self.hub.rooms().leave(room, user.clone(), place));
        }
        if std::mem::take(&mut self.is_present) {
            self.hub.presence_mailbox().post_departure(Departed(user.clone()));
        }
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.entry.reached_by(ctx.address().downgrade().recipient());
    }
}

/// The client is told, for it did not ask.
impl Handler<AccessChanged> for Session {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, AccessChanged { room }: AccessChanged, _: &mut Self::Context) -> Self::Result {
        let closed = self.may_subscribe(&room).is_err();
        let Some(left) = closed.then(|| self.leave(room.as_str())).flatten() else {
            return Box::pin(ready(()).into_actor(self));
        };
        Box::pin(left.into_actor(self).map(move |_, session, _| session.tell_left(&room)))
    }
}

impl StreamHandler<Inbound> for Session {
    fn handle(&mut self, inbound: Inbound, ctx: &mut Self::Context) {
        match inbound {
            Inbound::Request(request) => {
                self.hub.stats().received.add(1);
                dispatch::dispatch(self, request, ctx);
            }
            Inbound::Malformed { fault, correlation } => {
                self.hub.stats().received.add(1);
                if self.draw_message(&correlation) {
                    self.seat.refuse(&fault, &correlation, self.now());
                }
            }
            Inbound::Closing => self.depart(),
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// However a session ends, by its client, by a reason of the hub or by a panic, nothing of it stays.
impl Drop for Session {
    fn drop(&mut self) {
        self.depart();
        self.seat.with_outbox(|outbox| outbox.close());
        self.worker.seats().vacate(self.seat.place().seat);
    }
}
