//! A hub on this thread, without sockets: sessions that are handed what their clients would send, and whose clients read what
//! the hub writes. Knows no property.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hubbub::codec::frame::{self, Opcode};
use hubbub::codec::namespace::{self, CHAT, ROOT_NUMBERED};
use hubbub::codec::raw::{self, RAW};
use hubbub::codec::socketio::{self, Packet, Whole};
use hubbub_actors::connection::SessionHandle;
use hubbub_actors::hub::Authenticator;
use hubbub_actors::model::client::Peer;
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::identity::Identity;
use hubbub_actors::model::surface::{Surface, Transport};
use hubbub_actors::publication::Encoder;
use hubbub_actors::session::{AuthState, Inbound, RateUsage, RecoveryRequest, Request, Session, SessionStart};
use hubbub_actors::worker::Worker;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

/// Largest packet that a client puts together here.
const SIZE_MAX: usize = 1 << 20;

/// Longest wait for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Turns of the actors before their system ends.
const TURNS: usize = 8;

/// Requests that may wait before a session.
const REQUESTS_MAX: usize = 256;

/// The wire of a surface.
pub(crate) fn wire(surface: Surface) -> &'static dyn Encoder {
    match surface {
        Surface::Raw => &RAW,
        Surface::Root => &ROOT_NUMBERED,
        Surface::Chat => &CHAT,
    }
}

/// Something that a client was sent.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// The event's name; none for an acknowledgement.
    pub(crate) name: String,
    /// The request that it answers.
    pub(crate) id: Option<String>,
    /// All of its text.
    pub(crate) text: String,
    /// Its number among all deliveries, where the wire has one.
    pub(crate) number: Option<u64>,
}

/// A session, and its client's end of it.
pub(crate) struct Client {
    pub(crate) surface: Surface,
    pub(crate) handle: Rc<SessionHandle>,
    pub(crate) pid: Option<String>,
    requests: mpsc::Sender<Inbound>,
    packets: socketio::Assembler,
}

impl Client {
    /// Opens a session; `returning` names the one that it goes on with.
    pub(crate) async fn open(
        worker: &Worker,
        surface: Surface,
        auth_state: AuthState,
        returning: Option<RecoveryRequest>,
    ) -> Result<Self, Fault> {
        let opening = SessionStart {
            surface,
            encoder: wire(surface),
            auth: auth_state,
            transport: Transport::WebSocket,
            peer: Peer::default(),
            slot: None,
            heartbeat: None,
            rate_usage: RateUsage::default(),
            recovery: returning,
        };
        let session = Session::open(worker, opening).await?;
        let (requests, inbound) = mpsc::channel(REQUESTS_MAX);
        let (handle, pid) = (session.handle().clone(), session.pid().map(|pid| pid.as_str().to_owned()));
        session.run(Requests(inbound));
        Ok(Self { surface, handle, pid, requests, packets: socketio::Assembler::new(SIZE_MAX) })
    }

    /// Hands on what the client sent.
    pub(crate) fn send(&self, inbound: Inbound) {
        // Who ended takes nothing; whether it may have ended is asked elsewhere.
        let sent = self.requests.try_send(inbound);
        assert!(!matches!(sent, Err(mpsc::error::TrySendError::Full(_))), "a session does not take its requests");
    }

    /// Asks by an event's name, and waits for the answer with [`Client::until_answered`].
    pub(crate) fn ask(&self, event: &str, data: &str) {
        let (data, correlation) = (Bytes::copy_from_slice(data.as_bytes()), Some(Bytes::from_static(b"1")));
        self.send(Inbound::Request(Request { event: event.into(), data, correlation }));
    }

    /// Reads until the one request that was asked is answered.
    pub(crate) async fn until_answered(&mut self) {
        let begun = Instant::now();
        while !self.take().iter().any(|heard| heard.id.is_some()) {
            assert!(begun.elapsed() < DEADLINE, "no answer came");
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    }

    /// Whether the session is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.requests.is_closed()
    }

    /// What came since the last time.
    pub(crate) fn take(&mut self) -> Vec<Heard> {
        let written = self.handle.with_outbox(|outbox| {
            let written: Vec<u8> = outbox.slices().collect::<Vec<_>>().concat();
            outbox.advance(written.len());
            written
        });
        let mut heard = Vec::new();
        let mut rest = &written[..];
        while !rest.is_empty() {
            let (opcode, payload, behind) = frame::split(rest).expect("whole frames");
            rest = behind;
            heard.extend(match self.surface {
                Surface::Raw => Some(read_raw(payload)),
                Surface::Root | Surface::Chat => self.read_packet(opcode, payload),
            });
        }
        heard
    }

    fn read_packet(&mut self, opcode: Opcode, payload: &[u8]) -> Option<Heard> {
        let payload = Bytes::copy_from_slice(payload);
        let packet = match opcode {
            Opcode::Text => self.packets.text(payload.slice(1..)),
            _ => self.packets.binary(payload),
        };
        match packet.expect("a packet that a client can read")?.packet {
            Packet::Event { args, .. } => {
                let (name, arguments) = socketio::event(&args).expect("an event");
                let last = arguments.get(1).and_then(|last| serde_json::from_slice::<String>(last).ok());
                let number = last.map(|last| namespace::number(&last));
                Some(Heard { name: name.into(), id: None, text: text(&args), number })
            }
            Packet::Ack { id, args, .. } => {
                Some(Heard { name: String::new(), id: Some(id.to_string()), text: text(&args), number: None })
            }
            Packet::Connect { .. } | Packet::Disconnect { .. } => None,
            Packet::Unreadable { fault, .. } => panic!("a client cannot read what it got: {fault}"),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).expect("UTF-8").to_owned()
}

/// Reads a message of the raw surface. Every one is JSON.
fn read_raw(payload: &[u8]) -> Heard {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(rename = "type")]
        name: String,
        #[serde(borrow)]
        id: Option<&'a RawValue>,
    }

    let text = text(payload);
    let Envelope { name, id } = serde_json::from_str(&text).expect("an envelope of JSON");
    let id = id.map(|id| id.get().to_owned());
    Heard { name, id, text, number: None }
}

/// What a transport makes of a client's message.
pub(crate) fn read(surface: Surface, message: &[u8]) -> Option<Inbound> {
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

struct Requests(mpsc::Receiver<Inbound>);

impl futures_core::Stream for Requests {
    type Item = Inbound;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        self.0.poll_recv(cx)
    }
}

/// A directory for a store that lives for one input: in memory where the system has such a place, for each commit waits
/// for the disk.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// Runs an actor system on this thread until `work` is done.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(async {
        let output = work.await;
        // An actor that had no turn yet starts when it is dropped, and cannot start without a runtime.
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        output
    })
}

/// Tokens are users' names, with what the target makes of them.
pub(crate) struct Names(pub(crate) fn(&str) -> Result<Identity, Fault>);

impl Authenticator for Names {
    fn authenticate(&self, token: String) -> Pin<Box<dyn Future<Output = Result<Identity, Fault>>>> {
        Box::pin(std::future::ready((self.0)(&token)))
    }
}
