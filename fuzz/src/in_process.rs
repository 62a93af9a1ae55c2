//! A hub on this thread, without sockets. Its clients send requests to their sessions and read their outboxes. It checks no
//! property.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hubbub::codec::namespace::{self, CHAT, ROOT_NUMBERED};
use hubbub::codec::raw::{self, RAW};
use hubbub::codec::socketio::{self, Packet, Whole};
use hubbub_actors::connection::{Connection, ConnectionSpec, SessionHandle, SessionTransport};
use hubbub_actors::hub::Authenticator;
use hubbub_actors::model::client::Peer;
use hubbub_actors::model::close::Close;
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::identity::Identity;
use hubbub_actors::model::surface::{Surface, Transport};
use hubbub_actors::publication::{Encoder, MessageKind, Offset};
use hubbub_actors::session::{AuthState, Inbound, RateUsage, RecoveryRequest, Request, Session, SessionStart};
use hubbub_actors::worker::Worker;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

/// The maximum size of a packet that a client assembles.
const SIZE_MAX: usize = 1 << 20;

/// The time limit for an expected event.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The turns of the actors before their system ends.
const TURNS: usize = 8;

/// The capacity of a session's request queue.
const REQUESTS_MAX: usize = 256;

/// The encoder of a surface.
pub(crate) fn wire(surface: Surface) -> &'static dyn Encoder {
    match surface {
        Surface::Raw => &RAW,
        Surface::Root => &ROOT_NUMBERED,
        Surface::Chat => &CHAT,
    }
}

/// An event or a reply that a client received.
#[derive(Debug, Clone)]
pub(crate) struct OutputEvent {
    /// The name of the event; empty for an ack.
    pub(crate) name: String,
    /// The id of its request, for a reply.
    pub(crate) id: Option<String>,
    /// Its whole text.
    pub(crate) text: String,
    /// Its offset among all deliveries, if the encoder adds one.
    pub(crate) offset: Option<Offset>,
}

/// The only session of a connection ends with it.
struct SoleTransport(Rc<Connection>);

impl SessionTransport for SoleTransport {
    fn closed(self: Rc<Self>, close: Close) {
        self.0.close(close);
    }

    fn resume(self: Rc<Self>) {}
}

/// A session and its client.
pub(crate) struct FuzzClient {
    pub(crate) surface: Surface,
    connection: Rc<Connection>,
    pub(crate) handle: Rc<SessionHandle>,
    pub(crate) pid: Option<String>,
    requests: mpsc::Sender<Inbound>,
    packets: socketio::PacketAssembler,
}

impl FuzzClient {
    /// Opens a session. `returning` names an earlier session to recover.
    pub(crate) async fn open(
        worker: &Worker,
        surface: Surface,
        auth_state: AuthState,
        returning: Option<RecoveryRequest>,
    ) -> Result<Self, Fault> {
        let bound = worker.hub().settings().outbox;
        let connection = worker.session_table().connect(ConnectionSpec { bound, heartbeat: None, elapsed: 0 });
        let opening = SessionStart {
            surface,
            encoder: wire(surface),
            auth: auth_state,
            transport: Transport::WebSocket,
            peer: Peer::default(),
            slot: None,
            connection: connection.clone(),
            rate_usage: RateUsage::default(),
            recovery: returning,
        };
        let session = Session::open(worker, opening).await?;
        let (requests, inbound) = mpsc::channel(REQUESTS_MAX);
        let (handle, pid) = (session.handle().clone(), session.pid().map(|pid| pid.as_str().to_owned()));
        handle.attach(Rc::new(SoleTransport(connection.clone())));
        session.run(InboundQueue(inbound));
        Ok(Self { surface, connection, handle, pid, requests, packets: socketio::PacketAssembler::new(SIZE_MAX) })
    }

    /// Sends a request.
    pub(crate) fn send(&self, inbound: Inbound) {
        // An ended session accepts nothing. Other code checks its end.
        let sent = self.requests.try_send(inbound);
        assert!(!matches!(sent, Err(mpsc::error::TrySendError::Full(_))), "a session does not read its requests");
    }

    /// Sends a request by event name. [`FuzzClient::until_replied`] waits for its reply.
    pub(crate) fn ask(&self, event: &str, data: &str) {
        let correlation = Some(Bytes::from_static(b"1"));
        self.send(Inbound::Request(Request { event: event.into(), data: data.into(), correlation }));
    }

    /// Reads until the reply arrives.
    pub(crate) async fn until_replied(&mut self) {
        let started = Instant::now();
        while !self.take().iter().any(|event| event.id.is_some()) {
            assert!(started.elapsed() < DEADLINE, "no reply arrived");
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    }

    /// Whether the session has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.requests.is_closed()
    }

    /// The events since the last call.
    pub(crate) fn take(&mut self) -> Vec<OutputEvent> {
        let written = self.connection.with_outbox(|outbox| {
            let written: Vec<_> = outbox.messages().map(|(kind, message)| (kind, message.to_vec())).collect();
            outbox.advance(written.len(), 0);
            written
        });
        let mut events = Vec::new();
        for (kind, message) in written {
            events.extend(match self.surface {
                Surface::Raw => Some(read_raw(&message)),
                Surface::Root | Surface::Chat => self.read_packet(kind, message),
            });
        }
        events
    }

    fn read_packet(&mut self, kind: MessageKind, message: Vec<u8>) -> Option<OutputEvent> {
        let message = Bytes::from(message);
        let packet = match kind {
            MessageKind::Text => self.packets.text(message.slice(1..)),
            _ => self.packets.binary(message),
        };
        match packet.expect("a packet that a client can read")?.packet {
            Packet::Event { event, .. } => {
                let arguments: Vec<&RawValue> = serde_json::from_str(&event.text).expect("an array");
                let last = arguments.get(2).and_then(|last| serde_json::from_str::<String>(last.get()).ok());
                let offset = last.map(|last| namespace::offset(&last));
                Some(OutputEvent { name: event.name.to_string(), id: None, text: event.text.to_string(), offset })
            }
            Packet::Ack { id, args, .. } => {
                Some(OutputEvent { name: String::new(), id: Some(id.to_string()), text: text(&args), offset: None })
            }
            Packet::Connect { .. } | Packet::Disconnect { .. } => None,
            Packet::Unreadable { fault, .. } => panic!("a client cannot read its packet: {fault}"),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).expect("UTF-8").to_owned()
}

/// Reads a message of the raw surface, which must be JSON.
fn read_raw(payload: &[u8]) -> OutputEvent {
    #[derive(Deserialize)]
    struct OutputEnvelope<'a> {
        #[serde(rename = "type")]
        name: String,
        #[serde(borrow)]
        id: Option<&'a RawValue>,
    }

    let text = text(payload);
    let OutputEnvelope { name, id } = serde_json::from_str(&text).expect("an envelope of JSON");
    let id = id.map(|id| id.get().to_owned());
    OutputEvent { name, id, text, offset: None }
}

/// Decodes a client's message as its transport does.
pub(crate) fn decode(surface: Surface, message: &[u8]) -> Option<Inbound> {
    let message = Bytes::copy_from_slice(message);
    match surface {
        Surface::Raw => Some(raw::decode(message)),
        Surface::Root | Surface::Chat => {
            let packet = socketio::decode(message).ok()?;
            matches!(packet, Packet::Event { attachments: 0, .. })
                .then(|| namespace::request(Whole { packet, attachments: Vec::new() }))
        }
    }
}

struct InboundQueue(mpsc::Receiver<Inbound>);

impl futures_core::Stream for InboundQueue {
    type Item = Inbound;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        self.0.poll_recv(cx)
    }
}

/// A directory for the store of one input. In memory if the system has `/dev/shm`, because each commit waits for the disk.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// Runs an actor system on this thread until `work` is done.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(async {
        let output = work.await;
        // A new actor starts when it is dropped, which needs a runtime.
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        output
    })
}

/// An authenticator with this function from tokens to identities.
pub(crate) struct NamedTokens(pub(crate) fn(&str) -> Result<Identity, Fault>);

impl Authenticator for NamedTokens {
    fn authenticate(&self, token: String) -> Pin<Box<dyn Future<Output = Result<Identity, Fault>>>> {
        Box::pin(std::future::ready((self.0)(&token)))
    }
}
