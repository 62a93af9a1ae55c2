//! A hub of actors on one worker for unit tests, with clients that read their output as text.

mod encoder;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Deref;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use actix_rt::time::{sleep, timeout};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::encoder::LineEncoder;
use self::encoder::text;
use crate::application::Application;
use crate::connection::outbox::OutboxCapacity;
use crate::connection::{Connection, ConnectionSpec, Heartbeat, ProofOfLife, SessionHandle, SessionTransport};
use crate::hub::{
    Authenticator, ChatPerMinute, DebugSettings, Hub, MessagesPerMinute, PublishTarget, RecoverySettings, Settings,
};
use crate::limits::concurrency::ConcurrencySlot;
use crate::model::client::Peer;
use crate::model::close::Close;
use crate::model::fault::{Code, Fault};
use crate::model::identity::Identity;
use crate::model::ids::{EventName, UserId};
use crate::model::surface::{Surface, Transport};
use crate::model::topic_pattern::Pattern;
use crate::presence;
use crate::publication::MessageKind;
use crate::revocations::Revoked;
use crate::rooms::rules::{AccessRule, Rules, TopicRule};
use crate::runtime::clock::Clock;
use crate::session::{AuthState, Inbound, RateUsage, Request, Session, SessionStart};
use crate::shutdown::schedule::DrainRate;
use crate::store::{Role, Store};
use crate::worker::Worker;

/// The longest wait for an expected event.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A grace time that no test reaches, ms.
pub(crate) const GRACE_MS: i64 = 60_000;

/// The rate of a drain that closes all sessions at once.
pub(crate) const AT_ONCE: DrainRate = DrainRate { per_sec: 0, within: DEADLINE };

/// Takes a token as the name of its user. `expired`, `bad` and `brief` are special. A delayed token waits for its
/// receiver.
#[derive(Default)]
struct NameAuthenticator(Mutex<HashMap<String, oneshot::Receiver<()>>>);

impl Authenticator for NameAuthenticator {
    fn authenticate(&self, token: String) -> Pin<Box<dyn Future<Output = Result<Identity, Fault>>>> {
        let delay = self.0.lock().unwrap().remove(&token);
        Box::pin(async move {
            if let Some(delay) = delay {
                let _ = delay.await;
            }
            match token.as_str() {
                "expired" => Err(Fault::new(Code::TokenExpired, "The token has expired")),
                "bad" => Err(Fault::new(Code::InvalidToken, "The token is malformed")),
                "brief" => Ok(Identity { expires_at: Some(1_060_000), ..identity("alice") }),
                name => Ok(identity(name)),
            }
        })
    }
}

/// The identity of a user, by a token without an expiry.
pub(crate) fn identity(name: &str) -> Identity {
    Identity { issued_at: Some(1_000), ..Identity::of(UserId::parse(name, "user").unwrap()) }
}

/// A hub with one worker and a manual clock at 1,000 s.
pub(crate) struct TestHub {
    pub(crate) inner: Arc<Hub>,
    pub(crate) worker: Worker,
    authenticator: Arc<NameAuthenticator>,
    directory: tempfile::TempDir,
}

impl Deref for TestHub {
    type Target = Hub;

    fn deref(&self) -> &Hub {
        &self.inner
    }
}

impl TestHub {
    pub(crate) fn start(grace_ms: i64) -> Self {
        Self::with(grace_ms, None, |_| {})
    }

    pub(crate) fn with_application(application: Arc<dyn Application>) -> Self {
        Self::with(GRACE_MS, Some(application), |_| {})
    }

    /// Starts a hub with changed settings.
    pub(crate) fn with(
        grace_ms: i64,
        application: Option<Arc<dyn Application>>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let anyone = TopicRule {
            pattern: Pattern::new("*"),
            subscribe: vec![AccessRule::Anyone],
            publish: vec![AccessRule::Anyone],
            history: None,
        };
        let mut settings = Settings {
            max_connections: 100,
            mailbox: 64,
            outbox: OutboxCapacity { bytes: 65_536, entries: 100 },
            rooms: 100,
            rooms_per_session: 2,
            payload_max: 1_000,
            topics_per_request: 10,
            messages_per_minute: MessagesPerMinute { raw: 0, push: 4, community: 2, chat: 3 },
            chat_per_minute: ChatPerMinute { messages: 2, typing: 1 },
            notifications_per_minute: 3,
            connections_per_user: 2,
            typing_per_minute: 9,
            debug: DebugSettings { open: false, interval_ms: 10, memory: || 3 << 20 },
            memory_max: || Some(4 << 20),
            presence: presence::PresenceSettings { audience: presence::PresenceAudience::Off, ..Default::default() },
            grace_ms,
            heartbeat: Arc::new(Heartbeat {
                interval_ms: 30_000,
                timeout_ms: 60_000,
                ping: (MessageKind::Text, "?"),
                proof: ProofOfLife::AnyFrame,
            }),
            shortest_heartbeat_ms: 30_000,
            recovery: RecoverySettings { window_ms: 120_000, queue: 500, bytes: 1_000_000 },
            rules: Rules(vec![anyone]),
            clock: Clock::manual(1_000_000),
            ..Settings::default()
        };
        change(&mut settings);
        Self::of(settings, application)
    }

    fn of(settings: Settings, application: Option<Arc<dyn Application>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (inner, authenticator) = Self::hub(directory.path(), settings, application);
        let worker = Worker::start(&inner).unwrap();
        Self { inner, worker, authenticator, directory }
    }

    fn hub(
        directory: &Path,
        settings: Settings,
        application: Option<Arc<dyn Application>>,
    ) -> (Arc<Hub>, Arc<NameAuthenticator>) {
        let store = Store::open(directory, Role::Hub, settings.clock.clone()).unwrap();
        let authenticator = Arc::new(NameAuthenticator::default());
        let hub = Hub::start(settings, authenticator.clone(), application, store, Revoked::new(0));
        (hub, authenticator)
    }

    /// Stops the hub as planned, and starts the next one on its data. Between them, `meanwhile` gets the settings and
    /// the data directory.
    pub(crate) async fn restart(self, meanwhile: impl FnOnce(&mut Settings, &Path)) -> Self {
        let Self { inner, directory, .. } = self;
        inner.drain(AT_ONCE).await;
        inner.close_remaining().await;
        inner.store_sessions(DEADLINE).await;
        inner.store().close().await;
        let mut settings = Settings::clone(&inner.settings());
        meanwhile(&mut settings, directory.path());
        let (inner, authenticator) = Self::hub(directory.path(), settings, None);
        inner.open(Vec::new()).await.unwrap();
        let worker = Worker::start(&inner).unwrap();
        Self { inner, worker, authenticator, directory }
    }

    /// Opens a session. Nothing of its output is read yet.
    pub(crate) async fn open(&self, surface: Surface, auth_state: AuthState) -> Result<TestClient, Fault> {
        self.open_with_slot(surface, auth_state, None).await
    }

    /// As [`TestHub::open`], with the connection's slot in the limit per address.
    pub(crate) async fn open_with_slot(
        &self,
        surface: Surface,
        auth_state: AuthState,
        slot: Option<ConcurrencySlot>,
    ) -> Result<TestClient, Fault> {
        let start = SessionStart { slot, ..session_start(&self.worker, surface, auth_state) };
        Ok(TestClient::run(Session::open(&self.worker, start).await?))
    }

    /// A session of a user on another worker. Its greeting is not read.
    pub(crate) async fn open_on(worker: &Worker, surface: Surface, user: &str) -> TestClient {
        let auth_state = AuthState::Known(Arc::new(identity(user)));
        TestClient::run(Session::open(worker, session_start(worker, surface, auth_state)).await.unwrap())
    }

    /// A session of a user. Its greeting is read, except on `/chat`.
    pub(crate) async fn client(&self, surface: Surface, user: &str) -> TestClient {
        let client = self.open(surface, AuthState::Known(Arc::new(identity(user)))).await.unwrap();
        client.receive_greeting(surface).await;
        client
    }

    /// A session of a user. Its first output is dropped.
    pub(crate) async fn client_without_greeting(&self, surface: Surface, user: &str) -> TestClient {
        let client = self.open(surface, AuthState::Known(Arc::new(identity(user)))).await.unwrap();
        client.take();
        client
    }

    /// A guest's session. Its greeting is read.
    pub(crate) async fn guest(&self) -> TestClient {
        let guest = self.open(Surface::Root, AuthState::Guest).await.unwrap();
        guest.receive_greeting(Surface::Root).await;
        guest
    }

    /// Delays the check of this token until the sender is used.
    pub(crate) fn delay_token(&self, token: &str) -> oneshot::Sender<()> {
        let (release, delay) = oneshot::channel();
        self.authenticator.0.lock().unwrap().insert(token.to_owned(), delay);
        release
    }

    /// Publishes an event. Returns the number of its recipients.
    pub(crate) async fn publish(&self, target: PublishTarget, name: &'static str) -> usize {
        let published = self.inner.publish(target, EventName::of_hub(name), Bytes::from_static(b"1")).await;
        published.unwrap().recipients
    }

    /// Changes the settings, and waits until every session has reviewed its rooms.
    pub(crate) async fn reload(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = Settings::clone(&self.inner.settings());
        change(&mut settings);
        self.inner.reconfigure(settings);
        self.inner.review_sessions().await;
    }

    /// The number of the user's sessions.
    pub(crate) fn sessions_of(&self, user: &str) -> usize {
        self.inner.registry().sessions_of(&UserId::parse(user, "user").unwrap()).len()
    }
}

/// The start of a session over a WebSocket, with [`LineEncoder`].
pub(crate) fn session_start(worker: &Worker, surface: Surface, auth_state: AuthState) -> SessionStart {
    let bound = worker.hub().settings().outbox;
    SessionStart {
        surface,
        encoder: &LineEncoder,
        auth: auth_state,
        transport: Transport::WebSocket,
        peer: Peer::default(),
        slot: None,
        connection: worker.session_table().connect(ConnectionSpec { bound, heartbeat: None, elapsed: 0 }),
        rate_usage: RateUsage::default(),
        recovery: None,
    }
}

/// Waits until the condition is true.
pub(crate) async fn wait_until(is_true: impl Fn() -> bool) {
    let waiting = async {
        while !is_true() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, waiting).await.unwrap();
}

/// The requests of a [`TestClient`], as a session reads them.
pub(crate) struct InboundStream(mpsc::Receiver<Inbound>);

impl futures_core::Stream for InboundStream {
    type Item = Inbound;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Option<Inbound>> {
        self.0.poll_recv(cx)
    }
}

/// The only session of a connection ends with it.
struct TestTransport(Rc<Connection>);

impl SessionTransport for TestTransport {
    fn closed(self: Rc<Self>, close: Close) {
        self.0.close(close);
    }

    fn resume(self: Rc<Self>) {}
}

/// The client of one session. Its drop cuts the connection.
pub(crate) struct TestClient {
    pub(crate) requests: mpsc::Sender<Inbound>,
    pub(crate) handle: Rc<SessionHandle>,
    read: RefCell<Vec<String>>,
}

impl TestClient {
    /// The client of a session that is not running yet, and the stream of its requests.
    pub(crate) fn of(session: &Session) -> (Self, InboundStream) {
        let (requests, inbound) = mpsc::channel(64);
        let handle = session.handle().clone();
        handle.attach(Rc::new(TestTransport(handle.connection().unwrap())));
        (Self { requests, handle, read: RefCell::default() }, InboundStream(inbound))
    }

    /// Starts the session's actor.
    pub(crate) fn run(session: Session) -> Self {
        let (client, inbound) = Self::of(&session);
        session.run(inbound);
        client
    }

    /// Sends a request.
    pub(crate) async fn ask(&self, event: &str, data: &str, correlation: Option<&'static str>) {
        let request = Request { event: event.into(), data: data.into(), correlation: correlation.map(Bytes::from) };
        self.requests.send(Inbound::Request(request)).await.unwrap();
    }

    /// The lines that were written since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        let mut read = self.read.borrow_mut();
        if let Some(connection) = self.handle.connection() {
            connection.with_outbox(|outbox| {
                let written: Vec<_> = outbox.messages().map(|(_, line)| line).collect();
                read.extend(text(&written.concat()).lines().map(str::to_owned));
                outbox.advance(written.len(), 0);
            });
        }
        std::mem::take(&mut read)
    }

    /// Waits for the next `N` lines. Fails when there are more by then.
    pub(crate) async fn receive<const N: usize>(&self) -> [String; N] {
        let mut lines = Vec::new();
        let enough = async {
            while lines.len() < N {
                lines.extend(self.take());
                sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = timeout(DEADLINE, enough).await;
        lines.try_into().unwrap_or_else(|lines| panic!("{N} lines, not {lines:?}"))
    }

    /// Waits for a line that `is_last` selects. Returns all lines that were written by then.
    pub(crate) async fn receive_until(&self, is_last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        let received = async {
            while !lines.iter().any(|line: &String| is_last(line)) {
                sleep(Duration::from_millis(1)).await;
                lines.extend(self.take());
            }
        };
        let received = timeout(DEADLINE, received).await;
        assert!(received.is_ok(), "the expected line is not in {lines:?}");
        lines
    }

    /// Waits for a line with `text`. Drops the other lines.
    pub(crate) async fn line_with(&self, text: &str) -> String {
        let lines = self.receive_until(|line| line.contains(text)).await;
        lines.into_iter().find(|line| line.contains(text)).unwrap()
    }

    /// Waits for the greeting of a session on this surface, and checks it. On `/chat` there is none.
    pub(crate) async fn receive_greeting(&self, surface: Surface) {
        match surface {
            Surface::Raw => assert!(self.receive::<1>().await[0].starts_with("Status ")),
            Surface::Root => {
                let [connected, welcome] = self.receive().await;
                let id = self.handle.session();
                let at = "1970-01-01T00:16:40.000Z";
                assert_eq!(connected, format!(r#"connected {{"socketId":"{id}","timestamp":"{at}"}}"#));
                let version = env!("CARGO_PKG_VERSION");
                let message = "Welcome to the Socket.IO server";
                let info = format!(r#"{{"version":"{version}","environment":"production"}}"#);
                let data =
                    format!(r#"{{"message":"{message}","socketId":"{id}","timestamp":"{at}","serverInfo":{info}}}"#);
                assert_eq!(welcome, format!("system:welcome {data}"));
            }
            Surface::Chat => {}
        }
    }

    /// Waits for the close of the session.
    pub(crate) async fn closed(&self) -> Close {
        let closed = async {
            loop {
                match self.handle.closed() {
                    Some(close) => return close,
                    None => sleep(Duration::from_millis(1)).await,
                }
            }
        };
        timeout(DEADLINE, closed).await.unwrap()
    }
}
