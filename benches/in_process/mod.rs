//! A hub in this process, on one thread and without sockets. The caller sends requests to sessions and empties their
//! outboxes. It measures nothing itself.

mod settings;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hubbub::codec::namespace::{self, ROOT_NUMBERED};
use hubbub::codec::raw::{self, RAW};
use hubbub::codec::socketio::{self, Whole};
use hubbub_actors::connection::{Connection, ConnectionSpec, OutboxSink, SessionTransport};
use hubbub_actors::hub::{Authenticator, Hub, Settings};
use hubbub_actors::model::client::Peer;
use hubbub_actors::model::close::Close;
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::identity::Identity;
use hubbub_actors::model::ids::UserId;
use hubbub_actors::model::surface::{Surface, Transport};
use hubbub_actors::publication::Encoder;
use hubbub_actors::revocations::Revoked;
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::session::{AuthState, Inbound, RateUsage, Session, SessionStart};
use hubbub_actors::store::{Role, Store};
use hubbub_actors::worker::Worker;
use tokio::sync::{Notify, mpsc};

/// The maximum number of wake-ups until a reply.
const WAKEUPS_MAX: usize = 10_000;

/// The surface of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientSurface {
    Raw,
    SocketIo,
}

impl ClientSurface {
    fn wire(self) -> &'static dyn Encoder {
        match self {
            Self::Raw => &RAW,
            Self::SocketIo => &ROOT_NUMBERED,
        }
    }

    const fn surface(self) -> Surface {
        match self {
            Self::Raw => Surface::Raw,
            Self::SocketIo => Surface::Root,
        }
    }

    /// Decodes a client's message as its transport does.
    pub(crate) fn decode(self, text: Bytes) -> Inbound {
        match self {
            Self::Raw => raw::decode(text),
            Self::SocketIo => match socketio::decode(text) {
                Ok(packet) => namespace::request(Whole { packet, attachments: Vec::new() }),
                Err(_) => Inbound::Closing,
            },
        }
    }
}

/// An authenticator that refuses all tokens: all sessions start with an identity.
struct RefuseTokens;

impl Authenticator for RefuseTokens {
    fn authenticate(&self, _: String) -> Pin<Box<dyn Future<Output = Result<Identity, Fault>>>> {
        Box::pin(std::future::ready(Err(Fault::unauthenticated())))
    }
}

/// One worker of a hub.
pub(crate) struct InProcessHub {
    pub(crate) worker: Worker,
    _directory: Option<tempfile::TempDir>,
}

impl InProcessHub {
    /// Starts a hub of one worker on this thread, in its actor system.
    pub(crate) fn start() -> Self {
        Self::start_with_workers(1)
    }

    /// Starts a hub of `workers` workers, and its first worker on this thread.
    pub(crate) fn start_with_workers(workers: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let settings = Settings { workers, ..settings::settings() };
        let hub = Hub::start(settings, Arc::new(RefuseTokens), None, store, Revoked::new(0));
        Self { _directory: Some(directory), ..Self::of(hub) }
    }

    /// Starts the next worker of `hub` on this thread.
    pub(crate) fn of(hub: Arc<Hub>) -> Self {
        Self { worker: Worker::start(&hub).unwrap(), _directory: None }
    }

    /// A session of user `number`.
    pub(crate) async fn client(&self, surface: ClientSurface, number: usize) -> BenchClient {
        let user = UserId::parse(&format!("user-{number}"), "user").unwrap();
        let bound = self.worker.hub().settings().outbox;
        let connection = self.worker.session_table().connect(ConnectionSpec { bound, heartbeat: None, elapsed: 0 });
        let opening = SessionStart {
            surface: surface.surface(),
            encoder: surface.wire(),
            auth: AuthState::Known(Arc::new(Identity::of(user))),
            transport: Transport::WebSocket,
            peer: Peer::default(),
            slot: None,
            connection: connection.clone(),
            rate_usage: RateUsage::default(),
            recovery: None,
        };
        let session = Session::open(&self.worker, opening).await.unwrap();
        let (requests, inbound) = mpsc::channel(64);
        let handle = session.handle().clone();
        session.run(InboundReceiver(inbound));
        let signal = Rc::new(WakeSignal::default());
        connection.attach(signal.clone());
        handle.attach(signal.clone());
        BenchClient { surface, requests, connection, signal }
    }

    /// A session that is a member of the room `lobby`.
    pub(crate) async fn member(&self, surface: ClientSurface, number: usize) -> BenchClient {
        self.member_of(surface, number, "lobby").await
    }

    /// A session that is a member of `room`.
    pub(crate) async fn member_of(&self, surface: ClientSurface, number: usize, room: &str) -> BenchClient {
        let client = self.client(surface, number).await;
        let join = match surface {
            ClientSurface::Raw => format!(r#"{{"type":"Subscribe","data":{{"topics":["{room}"]}}}}"#),
            ClientSurface::SocketIo => format!(r#"21["room:join",{{"room":"{room}"}}]"#),
        };
        let _welcome = client.take();
        client.send(join).await;
        client.wait_for_output().await;
        let _reply = client.take();
        client
    }
}

/// The transport of a session and of its connection: a signal for new output.
#[derive(Default)]
struct WakeSignal(Notify);

impl OutboxSink for WakeSignal {
    fn wake(self: Rc<Self>) {
        self.0.notify_one();
    }

    fn resume(self: Rc<Self>) {}
}

impl SessionTransport for WakeSignal {
    fn closed(self: Rc<Self>, _: Close) {}

    fn resume(self: Rc<Self>) {}
}

struct InboundReceiver(mpsc::Receiver<Inbound>);

impl futures_util::Stream for InboundReceiver {
    type Item = Inbound;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        self.0.poll_recv(cx)
    }
}

/// A session and its client.
pub(crate) struct BenchClient {
    surface: ClientSurface,
    requests: mpsc::Sender<Inbound>,
    connection: Rc<Connection>,
    signal: Rc<WakeSignal>,
}

impl BenchClient {
    /// Sends a message.
    pub(crate) async fn send(&self, text: impl Into<Bytes>) {
        let inbound = self.surface.decode(text.into());
        assert!(self.requests.send(inbound).await.is_ok(), "the session ended");
    }

    /// Waits until the outbox is not empty.
    pub(crate) async fn wait_for_output(&self) {
        for _ in 0..WAKEUPS_MAX {
            if !self.connection.with_outbox(|outbox| outbox.is_empty()) {
                return;
            }
            self.signal.0.notified().await;
        }
        panic!("no output arrived");
    }

    /// The text in the outbox.
    pub(crate) fn waiting(&self) -> String {
        self.connection.with_outbox(|outbox| {
            outbox.messages().map(|(_, message)| String::from_utf8_lossy(message).into_owned()).collect()
        })
    }

    /// Empties the outbox as a socket writer does. Returns the number of bytes.
    pub(crate) fn take(&self) -> usize {
        self.connection.begin_write();
        self.connection.with_outbox(|outbox| {
            let (messages, bytes) =
                outbox.messages().fold((0, 0), |(messages, bytes), (_, message)| (messages + 1, bytes + message.len()));
            outbox.advance(messages, 0);
            bytes
        })
    }
}
