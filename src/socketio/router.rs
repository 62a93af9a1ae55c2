//! The Engine.IO sessions of one worker, the actor that receives requests for them, and the [`EngineRouter`], which
//! finds the worker of a session from any other worker.

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
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::surface::Transport;
use hubbub_actors::registry::{Admission, PendingSlot};
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::runtime::mailbox::{Full, Mailbox, Receive, receives_posts};
use tokio::sync::oneshot;

use super::context::{EngineContext, EngineSettings};
use super::engine::{Engine, PacketHandler};
use super::error::EngineError;
use super::polls::{ChangePoll, PollRequest, PollResult, WaitingPoll};
use super::posting::Posting;
use super::sid::Sid;
use crate::admission::ClientInfo;
use crate::codec::engineio::{self, OpenPayload};
use crate::http_stream::Exchange;
use crate::http_stream::linger::Lingering;
use crate::request_id::HttpRequestId;
use crate::websocket::Flusher;

/// A client after its handshake was admitted, before a namespace is known.
#[derive(Debug, Default)]
pub struct AdmittedClient {
    /// The client's address and origin, for limits and the log.
    pub client: ClientInfo,
    /// The token of the handshake request.
    pub token: Option<String>,
    /// The transport of the handshake.
    pub transport: Transport,
    /// The client accepts an additional argument, the offset, in each event of `/`.
    pub is_numbered: bool,
    /// The connection's slot within `server.max_connections`, held until the session has ended.
    pub admission: Option<Admission>,
    /// Its slot among the connections that have not joined a namespace.
    pub pending: Option<PendingSlot>,
}

/// The pending decision on a handshake.
pub type AdmissionFuture = Pin<Box<dyn Future<Output = Result<AdmittedClient, Fault>>>>;

/// Decides which clients may open a session.
pub trait HandshakeAuth: Send + Sync {
    /// Checks a handshake. `is_host_last`: `Host` is the last header line of an upgrade.
    ///
    /// # Errors
    /// The reason of the refusal.
    fn admit(&self, head: &RequestHead, is_host_last: bool) -> AdmissionFuture;

    /// The sender of a request, for the log.
    fn client(&self, _head: &RequestHead) -> ClientInfo {
        ClientInfo::default()
    }

    /// Records a refused handshake of `client`.
    fn note_refused(&self, _client: &ClientInfo, _fault: &Fault) {}

    /// Logs a refused request on a WebSocket.
    fn log_refused(&self, _client: &ClientInfo, _request: &HttpRequestId, _fault: &Fault) {}
}

/// Creates the packet handler of each new session of a worker.
pub trait PacketHandlerFactory {
    /// The handler for the session of `client`.
    fn create(&self, engine: &Rc<Engine>, client: AdmittedClient) -> Rc<dyn PacketHandler>;
}

/// Routes requests to the sessions of an endpoint. Shared by all workers.
pub struct EngineRouter {
    settings: EngineSettings,
    auth: Box<dyn HandshakeAuth>,
    mailboxes: Box<[OnceLock<Mailbox<EngineMailbox>>]>,
    next: AtomicUsize,
    /// No further session is opened.
    closing: AtomicBool,
}

impl fmt::Debug for EngineRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineRouter").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl EngineRouter {
    /// A router for `workers` workers.
    pub fn new(settings: EngineSettings, auth: Box<dyn HandshakeAuth>, workers: usize) -> Arc<Self> {
        let mailboxes = (0..workers).map(|_| OnceLock::new()).collect();
        Arc::new(Self { settings, auth, mailboxes, next: AtomicUsize::new(0), closing: AtomicBool::new(false) })
    }

    /// The endpoint's settings.
    pub fn settings(&self) -> &EngineSettings {
        &self.settings
    }

    /// Checks a handshake.
    ///
    /// # Errors
    /// The reason of the refusal.
    pub async fn admit(&self, head: &RequestHead, is_host_last: bool) -> Result<AdmittedClient, EngineError> {
        self.auth.admit(head, is_host_last).await.map_err(|fault| EngineError::of(&fault))
    }

    /// The sender of a request, for the log.
    pub(super) fn client(&self, head: &RequestHead) -> ClientInfo {
        self.auth.client(head)
    }

    /// Records a refused handshake of `client`.
    pub(super) fn note_refused(&self, client: &ClientInfo, fault: &Fault) {
        self.auth.note_refused(client, fault);
    }

    /// Logs a refused request on a WebSocket. Polling requests are logged with the other HTTP requests.
    pub(super) fn log_refused(&self, client: &ClientInfo, request: &HttpRequestId, fault: &Fault) {
        self.auth.log_refused(client, request, fault);
    }

    /// The mailbox for the sessions of this worker, after [`EngineWorker::open`].
    pub fn mailbox(&self, worker: usize) -> Option<Mailbox<EngineMailbox>> {
        self.mailboxes.get(worker).and_then(OnceLock::get).cloned()
    }

    /// Opens a polling session on the next worker. Returns its open packet.
    ///
    /// # Errors
    /// The worker's mailbox is full, or the worker refuses the session.
    pub(super) async fn open(&self, client: AdmittedClient) -> Result<Vec<u8>, EngineError> {
        let client = AdmittedClient { transport: Transport::Polling, ..client };
        // Polling sessions are spread over all workers, because their requests arrive on any worker.
        let number = self.next.fetch_add(1, Ordering::Relaxed) % self.mailboxes.len().max(1);
        let engine_mailbox = self.mailboxes.get(number).and_then(OnceLock::get);
        let engine_mailbox = engine_mailbox.ok_or_else(|| EngineError::of(&Fault::overloaded()))?;
        request(engine_mailbox, |answer| Open { client, answer }).await
    }

    /// Waits for a session's next packets. `exchange` belongs to the request's connection.
    ///
    /// # Errors
    /// There is no such session, or it cannot be polled now.
    pub(super) async fn poll(&self, sid: Sid, exchange: Option<&Exchange>) -> PollResult {
        let engine_mailbox = self.engine_mailbox(sid).ok_or_else(EngineError::unknown_sid)?;
        let (request, poll, answered) = PollRequest::new(engine_mailbox, sid);
        if engine_mailbox.post(Poll { sid, poll }).is_err() {
            request.disarm();
            return Err(EngineError::of(&Fault::overloaded()));
        }
        request.finish(answered, exchange).await
    }

    /// Prepares a session to receive the body of a POST.
    ///
    /// # Errors
    /// There is no such session, or it cannot receive a POST now.
    pub(super) async fn begin_post(&self, sid: Sid) -> Result<Posting, EngineError> {
        request(self.engine_mailbox(sid).ok_or_else(EngineError::unknown_sid)?, |answer| BeginPost { sid, answer })
            .await
    }

    /// Passes a socket to the session that it will serve, with the handshake response and the bytes after the request.
    ///
    /// # Errors
    /// Returns the upgrade when the worker's mailbox is full or the worker does not exist.
    pub(super) fn upgrade(&self, upgrade: SocketUpgrade) -> Result<(), SocketUpgrade> {
        match self.engine_mailbox(upgrade.sid) {
            Some(engine_mailbox) => engine_mailbox.post(upgrade).map_err(|Full(upgrade)| upgrade),
            None => Err(upgrade),
        }
    }

    /// Stops opening sessions and ends every session without a namespace: the hub is shutting down.
    pub fn close_idle(&self) {
        self.closing.store(true, Ordering::Release);
        for engine_mailbox in self.mailboxes.iter().filter_map(OnceLock::get) {
            engine_mailbox.post_departure(CloseIdle);
        }
    }

    fn engine_mailbox(&self, sid: Sid) -> Option<&Mailbox<EngineMailbox>> {
        self.mailboxes.get(sid.worker()).and_then(OnceLock::get)
    }
}

async fn request<M, T>(
    engine_mailbox: &Mailbox<EngineMailbox>,
    message: impl FnOnce(oneshot::Sender<Result<T, EngineError>>) -> M,
) -> Result<T, EngineError>
where
    M: Send + 'static,
    EngineMailbox: Receive<M>,
{
    let reply = engine_mailbox.ask(message).map_err(|fault| EngineError::of(&fault))?;
    reply.await.unwrap_or_else(|_| Err(EngineError::unknown_sid()))
}

/// The Engine.IO sessions of one worker, and their shared state.
pub struct EngineWorker {
    number: u16,
    router: Arc<EngineRouter>,
    context: Rc<EngineContext>,
    handlers: Box<dyn PacketHandlerFactory>,
    engines: RefCell<HashMap<Sid, Rc<Engine>>>,
}

impl EngineWorker {
    /// Starts worker `number` on its own thread.
    pub fn open(
        router: &Arc<EngineRouter>,
        number: usize,
        (session_table, flusher, clock, lingering): (Rc<SessionTable>, Rc<Flusher>, Clock, Lingering),
        handlers: Box<dyn PacketHandlerFactory>,
    ) -> Rc<Self> {
        let worker = Rc::new(Self {
            number: u16::try_from(number).unwrap_or(u16::MAX),
            router: router.clone(),
            context: Rc::new(EngineContext {
                settings: router.settings.clone(),
                heartbeat: Arc::new(router.settings.heartbeat()),
                session_table,
                flusher,
                clock,
                lingering,
            }),
            handlers,
            engines: RefCell::default(),
        });
        let engine_mailbox = EngineMailbox { worker: worker.clone() }.start();
        if let Some(slot) = router.mailboxes.get(number) {
            // After a worker's thread was replaced its slot is taken, and the hub is about to shut down.
            let _ = slot.set(Mailbox::new(format!("engines-{number}"), engine_mailbox, router.settings.mailbox));
        }
        worker
    }

    /// The router to the other workers.
    pub fn router(&self) -> &Arc<EngineRouter> {
        &self.router
    }

    pub(super) fn context(&self) -> &Rc<EngineContext> {
        &self.context
    }

    /// Opens a session. Returns it with its open packet.
    ///
    /// # Errors
    /// The hub is shutting down, or the system provides no randomness.
    pub(super) fn open_session(
        self: &Rc<Self>,
        mut client: AdmittedClient,
        upgrades: &[&str],
    ) -> Result<(Rc<Engine>, Bytes), EngineError> {
        let sid = Sid::random(self.number)
            .ok_or_else(|| EngineError::of(&Fault::internal().caused_by("the system has no randomness")))?;
        if self.router.closing.load(Ordering::Acquire) {
            return Err(EngineError::of(&Fault::shutting_down()));
        }
        let worker = Rc::downgrade(self);
        let remove = move || drop(worker.upgrade().and_then(|worker| worker.engines.borrow_mut().remove(&sid)));
        client.client.connection = Some(sid.short().into());
        let engine = Engine::new(self.context.clone(), client.admission.take(), Box::new(remove));
        self.engines.borrow_mut().insert(sid, engine.clone());
        engine.start(self.handlers.create(&engine, client));
        let settings = &self.context.settings;
        let handshake = OpenPayload {
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

/// The actor that receives requests for a worker's sessions.
pub struct EngineMailbox {
    pub(super) worker: Rc<EngineWorker>,
}

impl Actor for EngineMailbox {
    type Context = Context<Self>;
}

receives_posts!(EngineMailbox);

struct Open {
    client: AdmittedClient,
    answer: oneshot::Sender<PollResult>,
}

struct Poll {
    sid: Sid,
    poll: WaitingPoll,
}

struct BeginPost {
    sid: Sid,
    answer: oneshot::Sender<Result<Posting, EngineError>>,
}

/// A socket that will serve a session.
pub(super) struct SocketUpgrade {
    pub(super) sid: Sid,
    /// Not registered with a worker's event loop.
    pub(super) socket: std::net::TcpStream,
    /// The response to the handshake request.
    pub(super) response: Vec<u8>,
    /// Bytes that arrived after the request.
    pub(super) early: BytesMut,
    /// The sender of the request, and the request id.
    pub(super) client: Box<ClientInfo>,
    pub(super) request: HttpRequestId,
}

struct CloseIdle;

impl Receive<CloseIdle> for EngineMailbox {
    fn receive(&mut self, CloseIdle: CloseIdle, _: &mut Self::Context) {
        let engines: Vec<_> = self.worker.engines.borrow().values().cloned().collect();
        for engine in engines {
            engine.close_if_idle();
        }
    }
}

impl Receive<Open> for EngineMailbox {
    fn receive(&mut self, Open { client, answer }: Open, _: &mut Self::Context) {
        let opened = self.worker.open_session(client, &["websocket"]);
        let engine = opened.as_ref().ok().map(|(engine, _)| engine.clone());
        if let Some(engine) = &engine {
            engine.await_request();
        }
        if answer.send(opened.map(|(_, open_packet)| open_packet.to_vec())).is_err()
            && let Some(engine) = engine
        {
            // The client has disconnected, and no other client knows the id.
            engine.end();
        }
    }
}

impl Receive<Poll> for EngineMailbox {
    fn receive(&mut self, Poll { sid, poll }: Poll, _: &mut Self::Context) {
        match self.worker.find(sid) {
            Some(engine) => engine.poll(poll),
            None => poll.refuse(EngineError::unknown_sid()),
        }
    }
}

impl Receive<ChangePoll> for EngineMailbox {
    fn receive(&mut self, ChangePoll { sid, state, change }: ChangePoll, _: &mut Self::Context) {
        if let Some(engine) = self.worker.find(sid) {
            engine.change_poll(&state, change);
        }
    }
}

impl Receive<BeginPost> for EngineMailbox {
    fn receive(&mut self, BeginPost { sid, answer }: BeginPost, _: &mut Self::Context) {
        let engine = self.worker.find(sid).ok_or_else(EngineError::unknown_sid);
        let engine = match engine.and_then(|engine| engine.begin_post().map(|()| engine)) {
            Ok(engine) => engine,
            Err(refusal) => return drop(answer.send(Err(refusal))),
        };
        let (posting, body, result) = Posting::new(engine.payload_max());
        // A disconnected request drops its side of the posting, which ends the posting.
        drop(answer.send(Ok(posting)));
        actix_rt::spawn(async move {
            let answer = engine.post(body).await;
            drop(result.send(answer));
        });
    }
}
