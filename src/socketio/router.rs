//! The Engine.IO sessions of one worker: the actor that requests reach them by, whatever worker those came in on, and the
//! [`EngineRouter`] that leads there.

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
use hubbub_actors::connection::SessionTable;
use hubbub_actors::events::Transport;
use hubbub_actors::model::fault::Fault;
use hubbub_actors::registry::{Admission, PendingPlace};
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::runtime::mailbox::{Full, Mailbox, Receive, receives_posts};
use tokio::sync::oneshot;

use super::context::{Ground, Settings};
use super::engine::{Engine, PacketHandler};
use super::polls::{Answered, ChangePoll, PollRequest, WaitingPoll};
use super::posting::Posting;
use super::refusal::EngineError;
use super::sid::Sid;
use crate::admission::ClientInfo;
use crate::codec::engineio::{self, Handshake};
use crate::http_stream::Exchange;
use crate::http_stream::linger::Lingering;
use crate::request_id::HttpRequestId;
use crate::websocket::Flusher;

/// Who opens a session, as far as its handshake tells.
#[derive(Debug, Default)]
pub struct Caller {
    /// Who it is.
    pub client: ClientInfo,
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
pub trait HandshakeAuth: Send + Sync {
    /// Judges a handshake. `is_host_last` says that `Host` is the last header line of an upgrade.
    ///
    /// # Errors
    /// Why it is refused.
    fn admit(&self, head: &RequestHead, is_host_last: bool) -> Judgement;

    /// Who sent a request, for the log.
    fn client(&self, _head: &RequestHead) -> ClientInfo {
        ClientInfo::default()
    }

    /// Notes that a handshake of `visitor` is refused.
    fn note_refused(&self, _visitor: &ClientInfo, _fault: &Fault) {}

    /// Logs that a request on a WebSocket is refused.
    fn log_refused(&self, _visitor: &ClientInfo, _request: &HttpRequestId, _fault: &Fault) {}
}

/// Begins what is spoken over a worker's sessions.
pub trait Speaker {
    /// A session was opened by `caller`.
    fn begin(&self, engine: &Rc<Engine>, caller: Caller) -> Rc<dyn PacketHandler>;
}

/// The way to the sessions of an endpoint: shared by all workers.
pub struct EngineRouter {
    settings: Settings,
    door: Box<dyn HandshakeAuth>,
    houses: Box<[OnceLock<Mailbox<EngineMailbox>>]>,
    next: AtomicUsize,
    /// No more sessions are opened.
    closing: AtomicBool,
}

impl fmt::Debug for EngineRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switchboard").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl EngineRouter {
    /// An endpoint for `workers` workers.
    pub fn new(settings: Settings, door: Box<dyn HandshakeAuth>, workers: usize) -> Arc<Self> {
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
    pub async fn admit(&self, head: &RequestHead, is_host_last: bool) -> Result<Caller, EngineError> {
        self.door.admit(head, is_host_last).await.map_err(|fault| EngineError::of(&fault))
    }

    /// Who sent a request, for the log.
    pub(super) fn client(&self, head: &RequestHead) -> ClientInfo {
        self.door.client(head)
    }

    /// Notes that a handshake of `visitor` is refused.
    pub(super) fn note_refused(&self, client: &ClientInfo, fault: &Fault) {
        self.door.note_refused(client, fault);
    }

    /// Logs that a request on a WebSocket is refused. Those by polling are logged as all HTTP requests are.
    pub(super) fn log_refused(&self, client: &ClientInfo, request: &HttpRequestId, fault: &Fault) {
        self.door.log_refused(client, request, fault);
    }

    /// The mailbox of worker `number`'s sessions, once its house is open.
    pub fn mailbox(&self, number: usize) -> Option<Mailbox<EngineMailbox>> {
        self.houses.get(number).and_then(OnceLock::get).cloned()
    }

    /// Opens a session that is reached by polling; says what its client is to be told.
    ///
    /// # Errors
    /// When the worker's mailbox is full.
    pub(super) async fn open(&self, caller: Caller) -> Result<Vec<u8>, EngineError> {
        let caller = Caller { transport: Transport::Polling, ..caller };
        // Sessions of polls go around, for their requests come in on any worker.
        let number = self.next.fetch_add(1, Ordering::Relaxed) % self.houses.len().max(1);
        let engine_mailbox = self.houses.get(number).and_then(OnceLock::get);
        let engine_mailbox = engine_mailbox.ok_or_else(|| EngineError::of(&Fault::overloaded()))?;
        ask(engine_mailbox, |answer| Open { caller, answer }).await
    }

    /// Waits for what a session says next. `exchange` is that of the request's connection.
    ///
    /// # Errors
    /// When there is none, or it is not to be polled now.
    pub(super) async fn poll(&self, sid: Sid, exchange: Option<&Exchange>) -> Answered {
        let engine_mailbox = self.engine_mailbox(sid).ok_or_else(EngineError::unknown_sid)?;
        let (request, poll, answered) = PollRequest::new(engine_mailbox, sid);
        if engine_mailbox.post(Poll { sid, poll }).is_err() {
            request.forget();
            return Err(EngineError::of(&Fault::overloaded()));
        }
        request.finish(answered, exchange).await
    }

    /// Has a session wait for the body of a POST.
    ///
    /// # Errors
    /// When there is none, or it is not to be posted to now.
    pub(super) async fn begin_post(&self, sid: Sid) -> Result<Posting, EngineError> {
        ask(self.engine_mailbox(sid).ok_or_else(EngineError::unknown_sid)?, |answer| BeginPost { sid, answer }).await
    }

    /// Hands a socket to the session that it is to serve, with the answer to its request and what came behind that.
    ///
    /// # Errors
    /// The socket, when the worker's mailbox is full or there is no such worker.
    pub(super) fn upgrade(&self, upgrade: Upgrade) -> Result<(), Upgrade> {
        match self.engine_mailbox(upgrade.sid) {
            Some(engine_mailbox) => engine_mailbox.post(upgrade).map_err(|Full(upgrade)| upgrade),
            None => Err(upgrade),
        }
    }

    /// Opens no more sessions, and has every one end that nobody is in: the hub goes away.
    pub fn close_idle(&self) {
        self.closing.store(true, Ordering::Release);
        for engine_mailbox in self.houses.iter().filter_map(OnceLock::get) {
            engine_mailbox.post_departure(CloseIdle);
        }
    }

    fn engine_mailbox(&self, sid: Sid) -> Option<&Mailbox<EngineMailbox>> {
        self.houses.get(sid.worker()).and_then(OnceLock::get)
    }
}

async fn ask<M, T>(
    engine_mailbox: &Mailbox<EngineMailbox>,
    message: impl FnOnce(oneshot::Sender<Result<T, EngineError>>) -> M,
) -> Result<T, EngineError>
where
    M: Send + 'static,
    EngineMailbox: Receive<M>,
{
    let (answer, answered) = oneshot::channel();
    engine_mailbox.post(message(answer)).map_err(|_| EngineError::of(&Fault::overloaded()))?;
    answered.await.unwrap_or_else(|_| Err(EngineError::unknown_sid()))
}

/// The sessions of one worker, and what they share.
pub struct EngineWorker {
    number: u16,
    router: Arc<EngineRouter>,
    ground: Rc<Ground>,
    speaker: Box<dyn Speaker>,
    engines: RefCell<HashMap<Sid, Rc<Engine>>>,
}

impl EngineWorker {
    /// Opens worker `number`'s house on its thread.
    pub fn open(
        router: &Arc<EngineRouter>,
        number: usize,
        (session_table, flusher, clock, lingering): (Rc<SessionTable>, Rc<Flusher>, Clock, Lingering),
        speaker: Box<dyn Speaker>,
    ) -> Rc<Self> {
        let house = Rc::new(Self {
            number: u16::try_from(number).unwrap_or(u16::MAX),
            router: router.clone(),
            ground: Rc::new(Ground { settings: router.settings.clone(), session_table, flusher, clock, lingering }),
            speaker,
            engines: RefCell::default(),
        });
        let engine_mailbox = EngineMailbox { house: house.clone() }.start();
        if let Some(slot) = router.houses.get(number) {
            // A worker whose thread was replaced finds its slot taken; the hub is about to end.
            let _ = slot.set(Mailbox::new(format!("engines-{number}"), engine_mailbox, router.settings.mailbox));
        }
        house
    }

    /// The way to the other houses.
    pub fn router(&self) -> &Arc<EngineRouter> {
        &self.router
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
    ) -> Result<(Rc<Engine>, Bytes), EngineError> {
        let sid = Sid::random(self.number)
            .ok_or_else(|| EngineError::of(&Fault::internal().by("the system gives no randomness")))?;
        if self.router.closing.load(Ordering::Acquire) {
            return Err(EngineError::of(&Fault::shutting_down()));
        }
        let house = Rc::downgrade(self);
        let gone = move || drop(house.upgrade().and_then(|house| house.engines.borrow_mut().remove(&sid)));
        caller.client.connection = Some(sid.short().into());
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
        Ok((engine, engineio::open(&handshake)))
    }

    pub(super) fn find(&self, sid: Sid) -> Option<Rc<Engine>> {
        self.engines.borrow().get(&sid).cloned()
    }
}

/// The actor through which requests reach a worker's sessions.
pub struct EngineMailbox {
    pub(super) house: Rc<EngineWorker>,
}

impl Actor for EngineMailbox {
    type Context = Context<Self>;
}

receives_posts!(EngineMailbox);

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
    answer: oneshot::Sender<Result<Posting, EngineError>>,
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
    pub(super) client: Box<ClientInfo>,
    pub(super) request: HttpRequestId,
}

struct CloseIdle;

impl Receive<CloseIdle> for EngineMailbox {
    fn receive(&mut self, CloseIdle: CloseIdle, _: &mut Self::Context) {
        let engines: Vec<_> = self.house.engines.borrow().values().cloned().collect();
        for engine in engines {
            engine.close_idle();
        }
    }
}

impl Receive<Open> for EngineMailbox {
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

impl Receive<Poll> for EngineMailbox {
    fn receive(&mut self, Poll { sid, poll }: Poll, _: &mut Self::Context) {
        match self.house.find(sid) {
            Some(engine) => engine.poll(poll),
            None => poll.refuse(EngineError::unknown_sid()),
        }
    }
}

impl Receive<ChangePoll> for EngineMailbox {
    fn receive(&mut self, ChangePoll { sid, state, change }: ChangePoll, _: &mut Self::Context) {
        if let Some(engine) = self.house.find(sid) {
            engine.change_poll(&state, change);
        }
    }
}

impl Receive<BeginPost> for EngineMailbox {
    fn receive(&mut self, BeginPost { sid, answer }: BeginPost, _: &mut Self::Context) {
        let engine = self.house.find(sid).ok_or_else(EngineError::unknown_sid);
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
