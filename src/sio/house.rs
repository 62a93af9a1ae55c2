//! The Engine.IO sessions of one worker: the actor that requests reach them by, whatever worker those came in on, and the
//! [`Switchboard`] that leads there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use actix::{Actor, Context};
use actix_http::RequestHead;
use bytes::{Bytes, BytesMut};
use hubbub_actors::clock::Clock;
use hubbub_actors::events::Transport;
use hubbub_actors::fault::Fault;
use hubbub_actors::mailbox::{Full, Mailbox, Receive, receives_posts};
use hubbub_actors::registry::{Admission, PendingPlace};
use hubbub_actors::seat::Seats;
use tokio::sync::oneshot;

use super::engine::{Dialogue, Engine};
use super::ground::{Ground, Settings};
use super::polls::{Answered, ChangePoll, PollRequest, WaitingPoll};
use super::posting::Posting;
use super::refusal::Refusal;
use super::sid::Sid;
use crate::door::Visitor;
use crate::http_stream::Exchange;
use crate::http_stream::linger::Lingering;
use crate::pipe::Flusher;
use crate::request_id::RequestId;
use crate::wire::engine::{self, Handshake};

/// Who opens a session, as far as its handshake tells.
#[derive(Debug, Default)]
pub struct Caller {
    /// Who it is.
    pub visitor: Visitor,
    /// A token of the handshake request.
    pub token: Option<String>,
    /// How the session begins.
    pub transport: Transport,
    /// It understands an argument more in each event of `/`.
    pub is_numbered: bool,
    /// The connection's place among those there may be, until nothing is left of it.
    pub admission: Option<Admission>,
    /// Its place among those that have not joined anything yet.
    pub pending: Option<PendingPlace>,
}

/// A judgement that comes.
pub type Judgement = Pin<Box<dyn Future<Output = Result<Caller, Fault>>>>;

/// Judges who may open a session.
pub trait Door: Send + Sync {
    /// Judges a handshake. `is_host_last` says that `Host` is the last header line of an upgrade.
    ///
    /// # Errors
    /// Why it is refused.
    fn admit(&self, head: &RequestHead, is_host_last: bool) -> Judgement;

    /// Who sent a request, for the log.
    fn visitor(&self, _head: &RequestHead) -> Visitor {
        Visitor::default()
    }

    /// Notes that a handshake of `visitor` is refused.
    fn note_refused(&self, _visitor: &Visitor, _fault: &Fault) {}

    /// Logs that a request on a WebSocket is refused.
    fn log_refused(&self, _visitor: &Visitor, _request: &RequestId, _fault: &Fault) {}
}

/// Begins what is spoken over a worker's sessions.
pub trait Speaker {
    /// A session was opened by `caller`.
    fn begin(&self, engine: &Rc<Engine>, caller: Caller) -> Rc<dyn Dialogue>;
}

/// The way to the sessions of an endpoint: shared by all workers.
pub struct Switchboard {
    settings: Settings,
    door: Box<dyn Door>,
    houses: Box<[OnceLock<Mailbox<Porter>>]>,
    next: AtomicUsize,
    /// No more sessions are opened.
    closing: AtomicBool,
}

impl fmt::Debug for Switchboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switchboard").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Switchboard {
    /// An endpoint for `workers` workers.
    pub fn new(settings: Settings, door: Box<dyn Door>, workers: usize) -> Arc<Self> {
        let houses = (0..workers).map(|_| OnceLock::new()).collect();
        Arc::new(Self { settings, door, houses, next: AtomicUsize::new(0), closing: AtomicBool::new(false) })
    }

    /// The endpoint's numbers.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Judges a handshake.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn admit(&self, head: &RequestHead, is_host_last: bool) -> Result<Caller, Refusal> {
        self.door.admit(head, is_host_last).await.map_err(|fault| Refusal::of(&fault))
    }

    /// Who sent a request, for the log.
    pub(super) fn visitor(&self, head: &RequestHead) -> Visitor {
        self.door.visitor(head)
    }

    /// Notes that a handshake of `visitor` is refused.
    pub(super) fn note_refused(&self, visitor: &Visitor, fault: &Fault) {
        self.door.note_refused(visitor, fault);
    }

    /// Logs that a request on a WebSocket is refused. Those by polling are logged as all HTTP requests are.
    pub(super) fn log_refused(&self, visitor: &Visitor, request: &RequestId, fault: &Fault) {
        self.door.log_refused(visitor, request, fault);
    }

    /// The mailbox of worker `number`'s sessions, once its house is open.
    pub fn mailbox(&self, number: usize) -> Option<Mailbox<Porter>> {
        self.houses.get(number).and_then(OnceLock::get).cloned()
    }

    /// Opens a session that is reached by polling; says what its client is to be told.
    ///
    /// # Errors
    /// When the worker's mailbox is full.
    pub(super) async fn open(&self, caller: Caller) -> Result<Vec<u8>, Refusal> {
        let caller = Caller { transport: Transport::Polling, ..caller };
        // Sessions of polls go around, for their requests come in on any worker.
        let number = self.next.fetch_add(1, Ordering::Relaxed) % self.houses.len().max(1);
        let porter = self.houses.get(number).and_then(OnceLock::get);
        let porter = porter.ok_or_else(|| Refusal::of(&Fault::overloaded()))?;
        ask(porter, |answer| Open { caller, answer }).await
    }

    /// Waits for what a session says next. `exchange` is that of the request's connection.
    ///
    /// # Errors
    /// When there is none, or it is not to be polled now.
    pub(super) async fn poll(&self, sid: Sid, exchange: Option<&Exchange>) -> Answered {
        let porter = self.porter(sid).ok_or_else(Refusal::unknown_sid)?;
        let (request, poll, answered) = PollRequest::new(porter, sid);
        if porter.post(Poll { sid, poll }).is_err() {
            request.forget();
            return Err(Refusal::of(&Fault::overloaded()));
        }
        request.finish(answered, exchange).await
    }

    /// Has a session wait for the body of a POST.
    ///
    /// # Errors
    /// When there is none, or it is not to be posted to now.
    pub(super) async fn begin_post(&self, sid: Sid) -> Result<Posting, Refusal> {
        ask(self.porter(sid).ok_or_else(Refusal::unknown_sid)?, |answer| BeginPost { sid, answer }).await
    }

    /// Hands a socket to the session that it is to serve, with the answer to its request and what came behind that.
    ///
    /// # Errors
    /// The socket, when the worker's mailbox is full or there is no such worker.
    pub(super) fn upgrade(&self, upgrade: Upgrade) -> Result<(), Upgrade> {
        match self.porter(upgrade.sid) {
            Some(porter) => porter.post(upgrade).map_err(|Full(upgrade)| upgrade),
            None => Err(upgrade),
        }
    }

    /// Opens no more sessions, and has every one end that nobody is in: the hub goes away.
    pub fn close_idle(&self) {
        self.closing.store(true, Ordering::Release);
        for porter in self.houses.iter().filter_map(OnceLock::get) {
            porter.post_departure(CloseIdle);
        }
    }

    fn porter(&self, sid: Sid) -> Option<&Mailbox<Porter>> {
        self.houses.get(sid.worker()).and_then(OnceLock::get)
    }
}

async fn ask<M, T>(
    porter: &Mailbox<Porter>,
    message: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> M,
) -> Result<T, Refusal>
where
    M: Send + 'static,
    Porter: Receive<M>,
{
    let (answer, answered) = oneshot::channel();
    porter.post(message(answer)).map_err(|_| Refusal::of(&Fault::overloaded()))?;
    answered.await.unwrap_or_else(|_| Err(Refusal::unknown_sid()))
}

/// The sessions of one worker, and what they share.
pub struct House {
    number: u16,
    switchboard: Arc<Switchboard>,
    ground: Rc<Ground>,
    speaker: Box<dyn Speaker>,
    engines: RefCell<HashMap<Sid, Rc<Engine>>>,
}

impl House {
    /// Opens worker `number`'s house on its thread.
    pub fn open(
        switchboard: &Arc<Switchboard>,
        number: usize,
        (seats, flusher, clock, lingering): (Rc<Seats>, Rc<Flusher>, Clock, Lingering),
        speaker: Box<dyn Speaker>,
    ) -> Rc<Self> {
        let house = Rc::new(Self {
            number: u16::try_from(number).unwrap_or(u16::MAX),
            switchboard: switchboard.clone(),
            ground: Rc::new(Ground { settings: switchboard.settings.clone(), seats, flusher, clock, lingering }),
            speaker,
            engines: RefCell::default(),
        });
        let porter = Porter { house: house.clone() }.start();
        if let Some(slot) = switchboard.houses.get(number) {
            // A worker whose thread was replaced finds its slot taken; the hub is about to end.
            let _ = slot.set(Mailbox::new(format!("engines-{number}"), porter, switchboard.settings.mailbox));
        }
        house
    }

    /// The way to the other houses.
    pub fn switchboard(&self) -> &Arc<Switchboard> {
        &self.switchboard
    }

    pub(super) fn ground(&self) -> &Rc<Ground> {
        &self.ground
    }

    /// Opens a session, and says what its client is to be told first.
    ///
    /// # Errors
    /// When the hub goes away, or the system gives no randomness.
    pub(super) fn welcome(
        self: &Rc<Self>,
        mut caller: Caller,
        upgrades: &[&str],
    ) -> Result<(Rc<Engine>, Bytes), Refusal> {
        let sid = Sid::random(self.number).ok_or_else(|| Refusal::of(&Fault::internal()))?;
        if self.switchboard.closing.load(Ordering::Acquire) {
            return Err(Refusal::of(&Fault::shutting_down()));
        }
        let house = Rc::downgrade(self);
        let gone = move || drop(house.upgrade().and_then(|house| house.engines.borrow_mut().remove(&sid)));
        caller.visitor.connection = Some(sid.short().into());
        let engine = Engine::new(self.ground.clone(), caller.admission.take(), Box::new(gone));
        self.engines.borrow_mut().insert(sid, engine.clone());
        engine.begin(self.speaker.begin(&engine, caller));
        let settings = &self.ground.settings;
        let handshake = Handshake {
            sid: &sid.to_string(),
            upgrades,
            ping_interval_ms: settings.ping_interval_ms.into(),
            ping_timeout_ms: settings.ping_timeout_ms.into(),
            max_payload: settings.max_payload as u64,
        };
        Ok((engine, engine::open(&handshake)))
    }

    pub(super) fn find(&self, sid: Sid) -> Option<Rc<Engine>> {
        self.engines.borrow().get(&sid).cloned()
    }
}

/// The actor through which requests reach a worker's sessions.
pub struct Porter {
    pub(super) house: Rc<House>,
}

impl Actor for Porter {
    type Context = Context<Self>;
}

receives_posts!(Porter);

struct Open {
    caller: Caller,
    answer: oneshot::Sender<Answered>,
}

struct Poll {
    sid: Sid,
    poll: WaitingPoll,
}

struct BeginPost {
    sid: Sid,
    answer: oneshot::Sender<Result<Posting, Refusal>>,
}

/// A socket that is to serve a session.
pub(super) struct Upgrade {
    pub(super) sid: Sid,
    /// Not bound to a worker.
    pub(super) socket: std::net::TcpStream,
    /// The answer to its request.
    pub(super) acceptance: Vec<u8>,
    /// What came right behind its request.
    pub(super) early: BytesMut,
    /// Who sent the request, and its id.
    pub(super) visitor: Box<Visitor>,
    pub(super) request: RequestId,
}

struct CloseIdle;

impl Receive<CloseIdle> for Porter {
    fn receive(&mut self, CloseIdle: CloseIdle, _: &mut Self::Context) {
        let engines: Vec<_> = self.house.engines.borrow().values().cloned().collect();
        for engine in engines {
            engine.close_idle();
        }
    }
}

impl Receive<Open> for Porter {
    fn receive(&mut self, Open { caller, answer }: Open, _: &mut Self::Context) {
        let welcomed = self.house.welcome(caller, &["websocket"]);
        let engine = welcomed.as_ref().ok().map(|(engine, _)| engine.clone());
        if let Some(engine) = &engine {
            engine.await_request();
        }
        if answer.send(welcomed.map(|(_, words)| words.to_vec())).is_err()
            && let Some(engine) = engine
        {
            // Who asked has hung up, and nobody else knows the id.
            engine.end();
        }
    }
}

impl Receive<Poll> for Porter {
    fn receive(&mut self, Poll { sid, poll }: Poll, _: &mut Self::Context) {
        match self.house.find(sid) {
            Some(engine) => engine.poll(poll),
            None => poll.refuse(Refusal::unknown_sid()),
        }
    }
}

impl Receive<ChangePoll> for Porter {
    fn receive(&mut self, ChangePoll { sid, state, change }: ChangePoll, _: &mut Self::Context) {
        if let Some(engine) = self.house.find(sid) {
            engine.change_poll(&state, change);
        }
    }
}

impl Receive<BeginPost> for Porter {
    fn receive(&mut self, BeginPost { sid, answer }: BeginPost, _: &mut Self::Context) {
        let engine = self.house.find(sid).ok_or_else(Refusal::unknown_sid);
        let engine = match engine.and_then(|engine| engine.begin_post().map(|()| engine)) {
            Ok(engine) => engine,
            Err(refusal) => return drop(answer.send(Err(refusal))),
        };
        let (posting, coming, heard) = Posting::new(engine.payload_max());
        // A request that has hung up drops its side of the posting, which ends it.
        drop(answer.send(Ok(posting)));
        actix_rt::spawn(async move {
            let answer = engine.post(coming).await;
            drop(heard.send(answer));
        });
    }
}
