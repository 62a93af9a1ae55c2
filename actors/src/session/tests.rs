//! Sessions on one worker, with a wire that can be read.

mod application;
mod chats;
mod debug;
mod guests;
mod history;
mod idempotent_publish;
mod limits;
mod monitoring;
mod presence_edges;
mod publishing;
mod reloaded;
mod rooms_counted;
mod surfaces;
mod typing;
mod unread;

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use actix_rt::time::{sleep, timeout};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::application::Application;
use crate::connection::outbox::OutboxCapacity;
use crate::hub::{
    Authenticator, ChatPerMinute, DebugSettings, MessagesPerMinute, PublishTarget, RecoverySettings, Settings,
};
use crate::model::close::Close;
use crate::model::fault::Code;
use crate::model::ids::{ChatId, EventName, UserId};
use crate::model::surface::Surface;
use crate::model::surface::Transport;
use crate::model::topic_pattern::Pattern;
use crate::presence;
use crate::publication::{Event, EventError, Format};
use crate::revocations::Revoked;
use crate::rooms::rules::{AccessRule, Rules, TopicRule};
use crate::runtime::clock::{Clock, Expiry};
use crate::shutdown::schedule::DrainRate;
use crate::store::{Chat, Revocation, Role, Store};

/// Longest wait for what must come.
const DEADLINE: Duration = Duration::from_secs(10);

/// Says everything in a line of its own.
#[derive(Debug)]
struct LineEncoder;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn asked(correlation: &Correlation) -> String {
    correlation.as_ref().map(|id| format!(" #{}", text(id))).unwrap_or_default()
}

impl Encoder for LineEncoder {
    fn format(&self) -> Format {
        Format::Raw
    }

    fn surface(&self) -> Option<Surface> {
        None
    }

    fn event(&self, event: &Event, _: u64) -> Bytes {
        let offset = event.offset.map(|offset| format!("{offset}: ")).unwrap_or_default();
        format!("{offset}{} {}\n", event.name, text(&event.data)).into()
    }

    fn answer(&self, name: &str, data: &[u8], correlation: &Correlation, _: i64) -> Bytes {
        format!("{name} {}{}\n", text(data), asked(correlation)).into()
    }

    fn acknowledgement(&self, data: Option<&[u8]>, correlation: &Bytes, _: i64) -> Bytes {
        format!("#{}: {}\n", text(correlation), text(data.unwrap_or(b"done"))).into()
    }

    fn refusal(&self, refusal: &EventError<'_>, _: i64) -> Option<Bytes> {
        let about = refusal.room.or(refusal.event).unwrap_or("nothing");
        Some(format!("refused {about}: {}{}\n", refusal.fault.code, asked(refusal.correlation)).into())
    }
}

/// The holder of a token is the user of its name; some names mean more.
#[derive(Default)]
struct NameAuthenticator(Mutex<HashMap<String, oneshot::Receiver<()>>>);

impl Authenticator for NameAuthenticator {
    fn authenticate(&self, token: String) -> Pin<Box<dyn Future<Output = Result<Identity, Fault>>>> {
        let judged = self.0.lock().unwrap().remove(&token);
        Box::pin(async move {
            if let Some(judged) = judged {
                let _ = judged.await;
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

fn identity(name: &str) -> Identity {
    Identity { issued_at: Some(1_000), ..Identity::of(UserId::parse(name, "user").unwrap()) }
}

struct TestHub {
    hub: Arc<Hub>,
    worker: Worker,
    authenticator: Arc<NameAuthenticator>,
    _directory: tempfile::TempDir,
}

impl TestHub {
    fn start(grace_ms: i64) -> Self {
        Self::with(grace_ms, None, |_| {})
    }

    fn of(grace_ms: i64, application: Option<Arc<dyn Application>>) -> Self {
        Self::with(grace_ms, application, |_| {})
    }

    fn with(grace_ms: i64, application: Option<Arc<dyn Application>>, change: impl FnOnce(&mut Settings)) -> Self {
        let clock = Clock::manual(1_000_000);
        let anyone = TopicRule {
            pattern: Pattern::new("*"),
            subscribe: vec![AccessRule::Anyone],
            publish: vec![AccessRule::Anyone],
            history: None,
        };
        let mut settings = Settings {
            max_connections: 100,
            mailbox: 64,
            outbox: OutboxCapacity { bytes: 65_536, frames: 100 },
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
            heartbeat: Heartbeat { interval_ms: 30_000, timeout_ms: 60_000, ping_frame: b"?" },
            shortest_heartbeat_ms: 30_000,
            recovery: RecoverySettings { window_ms: 120_000, queue: 500, bytes: 1_000_000 },
            rules: Rules(vec![anyone]),
            clock: clock.clone(),
            ..Settings::default()
        };
        change(&mut settings);
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Role::Hub, clock).unwrap();
        let authenticator = Arc::new(NameAuthenticator::default());
        let hub = Hub::start(settings, authenticator.clone(), application, store, Revoked::new(0));
        let worker = Worker::start(&hub, &LineEncoder).unwrap();
        Self { hub, worker, authenticator, _directory: directory }
    }

    async fn open(&self, surface: Surface, auth_state: AuthState) -> Result<TestClient, Fault> {
        self.open_held(surface, auth_state, None).await
    }

    async fn open_held(
        &self,
        surface: Surface,
        auth_state: AuthState,
        held: Option<ConcurrencySlot>,
    ) -> Result<TestClient, Fault> {
        Self::open_at(&self.worker, surface, auth_state, held).await
    }

    /// A session of a user on another worker, whatever it was told first.
    async fn open_on(worker: &Worker, surface: Surface, user: &str) -> TestClient {
        Self::open_at(worker, surface, AuthState::Known(Arc::new(identity(user))), None).await.unwrap()
    }

    async fn open_at(
        worker: &Worker,
        surface: Surface,
        auth_state: AuthState,
        held: Option<ConcurrencySlot>,
    ) -> Result<TestClient, Fault> {
        let session = Session::open(worker, opening(surface, auth_state, held)).await?;
        let (requests, inbound) = mpsc::channel(64);
        let handle = session.handle().clone();
        session.run(InboundStream(inbound));
        Ok(TestClient { requests, handle, read: RefCell::default() })
    }

    /// A session of a user, greeted.
    async fn client(&self, surface: Surface, user: &str) -> TestClient {
        let client = self.open(surface, AuthState::Known(Arc::new(identity(user)))).await.unwrap();
        client.greeted(surface).await;
        client
    }

    /// A session of a user, whatever it was told first.
    async fn client_without_greeting(&self, surface: Surface, user: &str) -> TestClient {
        let client = self.open(surface, AuthState::Known(Arc::new(identity(user)))).await.unwrap();
        client.take();
        client
    }

    /// A session of nobody, greeted.
    async fn guest(&self) -> TestClient {
        let guest = self.open(Surface::Root, AuthState::Guest).await.unwrap();
        guest.greeted(Surface::Root).await;
        guest
    }

    /// Has the hub wait before it judges this token.
    fn delay_token(&self, token: &str) -> oneshot::Sender<()> {
        let (judge, judged) = oneshot::channel();
        self.authenticator.0.lock().unwrap().insert(token.to_owned(), judged);
        judge
    }

    async fn publish(&self, target: PublishTarget, name: &'static str) -> usize {
        let published = self.hub.publish(target, EventName::of_hub(name), Bytes::from_static(b"1")).await;
        published.unwrap().recipients
    }

    /// Has the hub go on by other settings, and every session look at its rooms.
    async fn reload(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = Settings::clone(&self.hub.settings());
        change(&mut settings);
        self.hub.reconfigure(settings);
        self.hub.review_sessions().await;
    }

    fn sessions_of(&self, user: &str) -> usize {
        self.hub.registry().sessions_of(&UserId::parse(user, "user").unwrap()).len()
    }
}

fn opening(surface: Surface, auth_state: AuthState, held: Option<ConcurrencySlot>) -> SessionStart {
    SessionStart {
        surface,
        encoder: &LineEncoder,
        auth: auth_state,
        transport: Transport::WebSocket,
        peer: Peer::default(),
        slot: held,
        heartbeat: None,
        rate_usage: RateUsage::default(),
        recovery: None,
    }
}

struct InboundStream(mpsc::Receiver<Inbound>);

impl futures_core::Stream for InboundStream {
    type Item = Inbound;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Option<Inbound>> {
        self.0.poll_recv(cx)
    }
}

struct TestClient {
    requests: mpsc::Sender<Inbound>,
    handle: Rc<SessionHandle>,
    read: RefCell<Vec<String>>,
}

impl TestClient {
    async fn ask(&self, event: &str, data: &str, correlation: Option<&'static str>) {
        let data = Bytes::copy_from_slice(data.as_bytes());
        let request = Request { event: event.into(), data, correlation: correlation.map(Bytes::from) };
        self.requests.send(Inbound::Request(request)).await.unwrap();
    }

    /// Lines that were written since the last look.
    fn take(&self) -> Vec<String> {
        let mut read = self.read.borrow_mut();
        self.handle.with_outbox(|outbox| {
            let written: Vec<u8> = outbox.slices().collect::<Vec<_>>().concat();
            outbox.advance(written.len());
            read.extend(text(&written).lines().map(str::to_owned));
        });
        std::mem::take(&mut read)
    }

    /// The next lines, as soon as there are so many. Fails when more are there by then.
    async fn receive<const N: usize>(&self) -> [String; N] {
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

    async fn greeted(&self, surface: Surface) {
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

    async fn closed(&self) -> Close {
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

const LONG: i64 = 60_000;

const AT_ONCE: DrainRate = DrainRate { per_sec: 0, within: DEADLINE };
