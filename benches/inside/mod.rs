//! A hub in this process, on one thread and without sockets: sessions that are handed what a client would send, and
//! outboxes that are emptied as a pipe would. All between the two is the hub's own. Knows no measure.

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
use hubbub_actors::connection::{OutboxSink, SessionHandle};
use hubbub_actors::hub::{Authenticator, Hub};
use hubbub_actors::model::client::Peer;
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

/// Turns of the other tasks that an answer may take.
const TURNS_MAX: usize = 10_000;

/// A wire as a client of it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Raw,
    SocketIo,
}

impl Speaks {
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

    /// What a message of the client's says, `text` being what its transport hands on.
    pub(crate) fn read(self, text: Bytes) -> Inbound {
        match self {
            Self::Raw => raw::decode(text),
            Self::SocketIo => match socketio::decode(text) {
                Ok(packet) => namespace::request(Whole { packet, attachments: Vec::new() }),
                Err(_) => Inbound::Closing,
            },
        }
    }
}

/// Nobody comes without a known identity.
struct Nobody;

impl Authenticator for Nobody {
    fn authenticate(&self, _: String) -> Pin<Box<dyn Future<Output = Result<Identity, Fault>>>> {
        Box::pin(std::future::ready(Err(Fault::unauthenticated())))
    }
}

/// A hub with one worker.
pub(crate) struct Inside {
    worker: Worker,
    _directory: tempfile::TempDir,
}

impl Inside {
    /// Starts it on this thread, which is an actor system's.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let hub = Hub::start(settings::settings(), Arc::new(Nobody), None, store, Revoked::new(0));
        Self { worker: Worker::start(&hub).unwrap(), _directory: directory }
    }

    /// A session of user number `number`.
    pub(crate) async fn client(&self, speaks: Speaks, number: usize) -> Client {
        let user = UserId::parse(&format!("user-{number}"), "user").unwrap();
        let opening = SessionStart {
            surface: speaks.surface(),
            encoder: speaks.wire(),
            auth: AuthState::Known(Arc::new(Identity::of(user))),
            transport: Transport::WebSocket,
            peer: Peer::default(),
            slot: None,
            heartbeat: None,
            rate_usage: RateUsage::default(),
            recovery: None,
        };
        let session = Session::open(&self.worker, opening).await.unwrap();
        let (requests, inbound) = mpsc::channel(64);
        let handle = session.handle().clone();
        session.run(Requests(inbound));
        let woken = Rc::new(Woken::default());
        handle.attach(woken.clone());
        Client { speaks, requests, handle, woken }
    }

    /// A session that is a member of the room `lobby`.
    pub(crate) async fn member(&self, speaks: Speaks, number: usize) -> Client {
        let client = self.client(speaks, number).await;
        let join = match speaks {
            Speaks::Raw => r#"{"type":"Subscribe","data":{"topics":["lobby"]}}"#,
            Speaks::SocketIo => r#"21["room:join",{"room":"lobby"}]"#,
        };
        let _greeting = client.take();
        client.ask(join).await;
        client.answered().await;
        let _answer = client.take();
        client
    }
}

/// What a pipe is to the session: told that something waits.
#[derive(Default)]
struct Woken(Notify);

impl OutboxSink for Woken {
    fn wake(self: Rc<Self>) {
        self.0.notify_one();
    }

    fn resume(self: Rc<Self>) {}
}

struct Requests(mpsc::Receiver<Inbound>);

impl futures_util::Stream for Requests {
    type Item = Inbound;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        self.0.poll_recv(cx)
    }
}

/// A session and its client's end of it.
pub(crate) struct Client {
    speaks: Speaks,
    requests: mpsc::Sender<Inbound>,
    handle: Rc<SessionHandle>,
    woken: Rc<Woken>,
}

impl Client {
    /// Sends a message, read as its wire has it.
    pub(crate) async fn ask(&self, text: &'static str) {
        let inbound = self.speaks.read(Bytes::from_static(text.as_bytes()));
        assert!(self.requests.send(inbound).await.is_ok(), "the session ended");
    }

    /// Waits until something is in the outbox.
    pub(crate) async fn answered(&self) {
        for _ in 0..TURNS_MAX {
            if !self.handle.with_outbox(|outbox| outbox.is_empty()) {
                return;
            }
            self.woken.0.notified().await;
        }
        panic!("nothing came");
    }

    /// What is in the outbox.
    pub(crate) fn waiting(&self) -> String {
        self.handle.with_outbox(|outbox| outbox.slices().map(String::from_utf8_lossy).collect())
    }

    /// Empties the outbox as a pipe does; how many bytes there were.
    pub(crate) fn take(&self) -> usize {
        self.handle.with_outbox(|outbox| {
            let bytes = outbox.slices().map(<[u8]>::len).sum();
            outbox.advance(bytes);
            bytes
        })
    }
}
