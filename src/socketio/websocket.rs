//! Engine.IO over a WebSocket: either it opens a session, or a polling session is upgraded to it.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use actix::Context;
use actix_rt::net::TcpStream;
use actix_rt::time::{sleep, timeout};
use bytes::{Bytes, BytesMut};
use hubbub_actors::limits::traffic::TrafficBudget;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::publication::{MessageKind, Payload};
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::runtime::mailbox::Receive;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::context::EngineContext;
use super::engine::Engine;
use super::error::EngineError;
use super::query::{EngineQuery, EngineTransport};
use super::router::{EngineMailbox, EngineWorker, SocketUpgrade};
use super::sid::{self, Sid};
use crate::admission::{ClientInfo, HandshakeRequest};
use crate::codec::engineio::PROBED;
use crate::codec::frame;
use crate::request_id::{HttpRequestId, REQUEST_ID};
use crate::websocket::assembler::{Incoming, MessageAssembler};
use crate::websocket::{SocketReader, SocketWriter, handshake, refuse};

/// Longest time from the upgrade request to the client's upgrade packet.
const UPGRADE_TIME: Duration = Duration::from_secs(10);

/// How long an upgrade waits for the client's requests in progress. A CONNECT can wait for an external token check.
const REQUESTS_TIME: Duration = Duration::from_secs(60);

/// How often a waiting poll is released during an upgrade.
const RELEASE_INTERVAL: Duration = Duration::from_millis(20);

/// Longest message during the probe, bytes: `2probe` and `5`.
const PROBE_MAX: usize = 125;

/// Answers or refuses an upgrade request. The hub owns the socket.
pub async fn open(worker: &Rc<EngineWorker>, request: &HandshakeRequest<'_>, socket: TcpStream, early: BytesMut) {
    let mut socket = Some(socket);
    let client = worker.router().client(request.head);
    let mut opening = UpgradeRequest { worker, request, client, opens_session: true };
    let result = opening.serve(&mut socket, early).await;
    if let (Err(refusal), Some(socket)) = (result, socket) {
        if opening.opens_session {
            worker.router().note_refused(&opening.client, &refusal.fault);
        }
        worker.router().log_refused(&opening.client, request.id, &refusal.fault);
        send_refusal(worker, socket, request.id, refusal).await;
    }
}

/// A request for a WebSocket.
struct UpgradeRequest<'a> {
    worker: &'a Rc<EngineWorker>,
    request: &'a HandshakeRequest<'a>,
    client: ClientInfo,
    /// Whether the request opens a session, if that is known.
    opens_session: bool,
}

impl UpgradeRequest<'_> {
    async fn serve(&mut self, socket: &mut Option<TcpStream>, early: BytesMut) -> Result<(), EngineError> {
        let (worker, head) = (self.worker, self.request.head);
        let query = head.uri.query().unwrap_or_default();
        self.client.connection = sid::short_of_query(query).map(Into::into);
        let parsed = EngineQuery::parse(query)?;
        if parsed.transport != EngineTransport::WebSocket {
            return Err(EngineError::bad_request("the transport polling knows no upgrade"));
        }
        handshake::check(head).map_err(|fault| EngineError::of(&fault))?;
        let response = handshake::acceptance(head, handshake::first_protocol(head.headers()));
        self.opens_session = parsed.is_new();
        if let Some(sid) = parsed.sid()? {
            return self.hand_over(sid, socket, response, early);
        }
        let client = worker.router().admit(head, self.request.is_host_last).await?;
        let (engine, open_packet) = worker.open_session(client, &[])?;
        let Some(mut socket) = socket.take() else { return Ok(()) };
        engine.send(Payload::message(MessageKind::Text, open_packet));
        if !engine.take_socket() || socket.write_all(&response).await.is_err() {
            engine.end();
            return Ok(());
        }
        connect(worker, &engine, socket, early);
        Ok(())
    }

    /// Passes the socket to the worker of its session.
    fn hand_over(
        &mut self,
        sid: Sid,
        socket: &mut Option<TcpStream>,
        response: Vec<u8>,
        early: BytesMut,
    ) -> Result<(), EngineError> {
        let Some(Ok(taken)) = socket.take().map(TcpStream::into_std) else { return Ok(()) };
        let (client, request) = (Box::new(std::mem::take(&mut self.client)), self.request.id.clone());
        let upgrade = SocketUpgrade { sid, socket: taken, response, early, client, request };
        let Err(upgrade) = self.worker.router().upgrade(upgrade) else { return Ok(()) };
        self.client = *upgrade.client;
        *socket = TcpStream::from_std(upgrade.socket).ok();
        Err(EngineError::unknown_sid())
    }
}

impl Receive<SocketUpgrade> for EngineMailbox {
    fn receive(&mut self, upgrade: SocketUpgrade, _: &mut Context<Self>) {
        let SocketUpgrade { sid, socket, response, early, client, request } = upgrade;
        match TcpStream::from_std(socket) {
            Ok(socket) => {
                let trial = UpgradeAttempt { worker: self.worker.clone(), sid, client, request };
                actix_rt::spawn(trial.run(socket, response, early));
            }
            Err(error) => log::debug!("a socket could not be taken over: {error}"),
        }
    }
}

/// A WebSocket that is probed for a polling session.
struct UpgradeAttempt {
    worker: Rc<EngineWorker>,
    sid: Sid,
    client: Box<ClientInfo>,
    request: HttpRequestId,
}

impl UpgradeAttempt {
    /// Probes the socket and switches to it on the client's upgrade packet. A failure closes the socket only
    /// (Engine.IO v4, "Upgrade").
    async fn run(self, mut socket: TcpStream, response: Vec<u8>, early: BytesMut) {
        let Some(engine) = self.worker.find(self.sid) else {
            let refusal = EngineError::unknown_sid();
            self.log_refused(&refusal.fault);
            return send_refusal(&self.worker, socket, &self.request, refusal).await;
        };
        let may_probe = engine.begin_probe();
        let mut probe = Probe::new(self.worker.context(), early);
        let probed = async {
            socket.write_all(&response).await?;
            if !may_probe {
                return Err(protocol_error());
            }
            probe.run(&engine, &mut socket).await
        };
        let mut probed = timeout(UPGRADE_TIME, probed).await;
        if matches!(probed, Ok(Ok(()))) {
            // A client may upgrade without a probe and with requests in progress. They are answered first. The hub's
            // time for these responses does not count as the client's delay.
            probed = timeout(REQUESTS_TIME, engine.finish_requests()).await.map(Ok);
        }
        if matches!(probed, Ok(Ok(()))) && engine.take_socket() {
            return connect(&self.worker, &engine, socket, probe.buffer);
        }
        if may_probe {
            engine.end_probe();
        }
        match probed {
            Err(_) => self.log_refused(&Fault::new(Code::RequestTimeout, "The upgrade did not finish in time")),
            // A disconnect is not a refusal.
            Ok(Err(error)) if error.kind() != io::ErrorKind::InvalidData => {}
            Ok(_) => self.log_refused(&Fault::new(Code::InvalidRequest, "No upgrade")),
        }
        let _ = socket.write_all(&frame::encode(&frame::close(1002, "no upgrade"))).await;
        let _ = socket.shutdown().await;
    }

    fn log_refused(&self, fault: &Fault) {
        self.worker.router().log_refused(&self.client, &self.request, fault);
    }
}

/// From now on the socket serves the session.
fn connect(worker: &Rc<EngineWorker>, engine: &Rc<Engine>, socket: TcpStream, early: BytesMut) {
    let (reading, writing) = socket.into_split();
    let writer = SocketWriter::new(writing, engine.connection().clone(), worker.context().flusher.clone());
    let assembler = MessageAssembler::new(engine.payload_max());
    let (clock, traffic) = (worker.context().clock.clone(), worker.context().settings.traffic.clone());
    let mut reader = SocketReader::new(reading, writer, None, clock, assembler, early, traffic);
    reader.set_pending(true);
    actix_rt::spawn(engine.clone().drive(reader));
}

struct Probe {
    buffer: BytesMut,
    assembler: MessageAssembler,
    budget: TrafficBudget,
    clock: Clock,
    probed: bool,
}

impl Probe {
    fn new(context: &EngineContext, early: BytesMut) -> Self {
        Self {
            buffer: early,
            assembler: MessageAssembler::new(PROBE_MAX),
            budget: TrafficBudget::new(context.settings.traffic.clone()),
            clock: context.clock.clone(),
            probed: false,
        }
    }

    /// The next message or control frame, within the traffic budget.
    fn next(&mut self) -> io::Result<Option<Incoming>> {
        let (frames, unread) = (self.assembler.frames(), self.buffer.len());
        let next = self.assembler.next(&mut self.buffer).map_err(|_| protocol_error())?;
        let (frames, bytes) = (self.assembler.frames_since(frames), unread - self.buffer.len());
        if self.budget.spend(self.clock.begin_ms(), frames, bytes) { Ok(next) } else { Err(protocol_error()) }
    }

    /// Resolves when the client sends its upgrade packet, with or without a probe. After the probe, waiting polls are
    /// released, because the client sends `5` only when none of its polls waits.
    async fn run(&mut self, engine: &Rc<Engine>, socket: &mut TcpStream) -> io::Result<()> {
        loop {
            while let Some(incoming) = self.next()? {
                match incoming {
                    Incoming::Text(text) if text == Bytes::from_static(b"2probe") && !self.probed => {
                        self.probed = true;
                        write(socket, MessageKind::Text, PROBED).await?;
                    }
                    Incoming::Text(text) if text == Bytes::from_static(b"5") => return Ok(()),
                    Incoming::Ping(payload) => write(socket, MessageKind::Pong, payload).await?,
                    Incoming::Pong => {}
                    Incoming::Text(_) | Incoming::Binary(_) | Incoming::Close(_) => return Err(protocol_error()),
                }
            }
            tokio::select! {
                read = socket.read_buf(&mut self.buffer) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                () = sleep(RELEASE_INTERVAL), if self.probed => engine.release_poll(),
            }
        }
    }
}

/// Writes a message before a writer has the socket.
async fn write(socket: &mut TcpStream, kind: MessageKind, message: impl Into<Bytes>) -> io::Result<()> {
    socket.write_all(&frame::encode(&Payload::message(kind, message))).await
}

fn protocol_error() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

async fn send_refusal(worker: &EngineWorker, socket: TcpStream, id: &HttpRequestId, refusal: EngineError) {
    let id = id.as_str().parse().map(|id| (REQUEST_ID, id));
    let (headers, body) = (refusal.headers().chain(id), refusal.body());
    refuse(socket, &worker.context().lingering, refusal.status, headers, body.as_bytes()).await;
}
