//! Engine.IO over a WebSocket: one that opens a session, and one that a session which was opened by polling goes over to.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use actix::Context;
use actix_rt::net::TcpStream;
use actix_rt::time::{sleep, timeout};
use bytes::{Bytes, BytesMut};
use hubbub_actors::limits::traffic::TrafficBudget;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::runtime::mailbox::Receive;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::context::Ground;
use super::engine::Engine;
use super::query::{Ask, Transport};
use super::refusal::EngineError;
use super::router::{EngineMailbox, EngineWorker, Upgrade};
use super::sid::{self, Sid};
use crate::admission::{ClientInfo, HandshakeRequest};
use crate::codec::engineio::PROBED;
use crate::codec::frame::{self, Opcode};
use crate::request_id::{HttpRequestId, REQUEST_ID};
use crate::websocket::assembler::{Assembler, Incoming};
use crate::websocket::{SocketReader, SocketWriter, handshake, refuse};

/// How long a client may take from its request to the last word of the upgrade.
const UPGRADE_TIME: Duration = Duration::from_secs(10);

/// How long the requests of a client that goes over amid them may take: a CONNECT waits for whoever judges its token.
const REQUESTS_TIME: Duration = Duration::from_secs(60);

/// How often a poll that waits is let go while the client goes over to its socket.
const RELEASE: Duration = Duration::from_millis(20);

/// Longest message while a socket is tried out, bytes: `2probe` and `5`.
const PROBE_MAX: usize = 125;

/// Answers an upgrade request on a socket that is ours now. It is answered, or refused, when this returns.
pub async fn open(house: &Rc<EngineWorker>, request: &HandshakeRequest<'_>, socket: TcpStream, early: BytesMut) {
    let mut socket = Some(socket);
    let client = house.router().client(request.head);
    let mut opening = Opening { house, request, client, opens: true };
    let result = opening.serve(&mut socket, early).await;
    if let (Err(refusal), Some(socket)) = (result, socket) {
        if opening.opens {
            house.router().note_refused(&opening.client, &refusal.fault);
        }
        house.router().log_refused(&opening.client, request.id, &refusal.fault);
        say_no(house, socket, request.id, refusal).await;
    }
}

/// A request for a WebSocket.
struct Opening<'a> {
    house: &'a Rc<EngineWorker>,
    request: &'a HandshakeRequest<'a>,
    client: ClientInfo,
    /// It opens a session, as far as is known.
    opens: bool,
}

impl Opening<'_> {
    async fn serve(&mut self, socket: &mut Option<TcpStream>, early: BytesMut) -> Result<(), EngineError> {
        let (house, head) = (self.house, self.request.head);
        let query = head.uri.query().unwrap_or_default();
        self.client.connection = sid::short_of_query(query).map(Into::into);
        let ask = Ask::parse(query)?;
        if ask.transport != Transport::WebSocket {
            return Err(EngineError::bad_request("the transport polling knows no upgrade"));
        }
        handshake::judge(head).map_err(|fault| EngineError::of(&fault))?;
        let acceptance = handshake::acceptance(head, handshake::first_protocol(head.headers()));
        self.opens = ask.is_new();
        if let Some(sid) = ask.sid()? {
            return self.hand_over(sid, socket, acceptance, early);
        }
        let caller = house.router().admit(head, self.request.is_host_last).await?;
        let (engine, words) = house.welcome(caller, &[])?;
        let Some(mut socket) = socket.take() else { return Ok(()) };
        engine.send(frame::encode(Opcode::Text, &[&words]));
        if !engine.take_socket() || socket.write_all(&acceptance).await.is_err() {
            engine.end();
            return Ok(());
        }
        connect(house, &engine, socket, early);
        Ok(())
    }

    /// Hands a socket to the worker whose session it is to serve.
    fn hand_over(
        &mut self,
        sid: Sid,
        socket: &mut Option<TcpStream>,
        acceptance: Vec<u8>,
        early: BytesMut,
    ) -> Result<(), EngineError> {
        let Some(Ok(taken)) = socket.take().map(TcpStream::into_std) else { return Ok(()) };
        let (client, request) = (Box::new(std::mem::take(&mut self.client)), self.request.id.clone());
        let upgrade = Upgrade { sid, socket: taken, acceptance, early, client, request };
        let Err(upgrade) = self.house.router().upgrade(upgrade) else { return Ok(()) };
        self.client = *upgrade.client;
        *socket = TcpStream::from_std(upgrade.socket).ok();
        Err(EngineError::unknown_sid())
    }
}

impl Receive<Upgrade> for EngineMailbox {
    fn receive(&mut self, upgrade: Upgrade, _: &mut Context<Self>) {
        let Upgrade { sid, socket, acceptance, early, client, request } = upgrade;
        match TcpStream::from_std(socket) {
            Ok(socket) => {
                let trial = Trial { house: self.house.clone(), sid, client, request };
                actix_rt::spawn(trial.run(socket, acceptance, early));
            }
            Err(error) => log::debug!("a socket could not be taken over: {error}"),
        }
    }
}

/// A socket that is tried out for a session which is reached by polling.
struct Trial {
    house: Rc<EngineWorker>,
    sid: Sid,
    client: Box<ClientInfo>,
    request: HttpRequestId,
}

impl Trial {
    /// Tries out the socket, and goes over to it when the client says so. Whatever goes wrong costs the socket, not the
    /// session (Engine.IO v4, "Upgrade").
    async fn run(self, mut socket: TcpStream, acceptance: Vec<u8>, early: BytesMut) {
        let Some(engine) = self.house.find(self.sid) else {
            let refusal = EngineError::unknown_sid();
            self.log_refused(&refusal.fault);
            return say_no(&self.house, socket, &self.request, refusal).await;
        };
        let may_probe = engine.begin_probe();
        let mut probe = Probe::new(self.house.ground(), early);
        let probed = async {
            socket.write_all(&acceptance).await?;
            if !may_probe {
                return Err(broken());
            }
            probe.run(&engine, &mut socket).await
        };
        let mut probed = timeout(UPGRADE_TIME, probed).await;
        if matches!(probed, Ok(Ok(()))) {
            // A client may go over without a probe, amid its requests. Their answers come first. How long the hub takes for
            // them is not the client's delay.
            probed = timeout(REQUESTS_TIME, engine.finish_requests()).await.map(Ok);
        }
        if matches!(probed, Ok(Ok(()))) && engine.take_socket() {
            return connect(&self.house, &engine, socket, probe.buffer);
        }
        if may_probe {
            engine.end_probe();
        }
        match probed {
            Err(_) => self.log_refused(&Fault::new(Code::RequestTimeout, "The upgrade was not done in time")),
            // A client that hangs up is refused nothing.
            Ok(Err(error)) if error.kind() != io::ErrorKind::InvalidData => {}
            Ok(_) => self.log_refused(&Fault::new(Code::InvalidRequest, "No upgrade")),
        }
        let _ = socket.write_all(&frame::close(1002, "no upgrade")).await;
        let _ = socket.shutdown().await;
    }

    fn log_refused(&self, fault: &Fault) {
        self.house.router().log_refused(&self.client, &self.request, fault);
    }
}

/// Has a session served by a socket from here on.
fn connect(house: &Rc<EngineWorker>, engine: &Rc<Engine>, socket: TcpStream, early: BytesMut) {
    let (reading, writing) = socket.into_split();
    let writer = SocketWriter::new(writing, engine.handle().clone(), house.ground().flusher.clone());
    let assembler = Assembler::new(engine.payload_max());
    let (clock, traffic) = (house.ground().clock.clone(), house.ground().settings.traffic.clone());
    let mut reader = SocketReader::new(reading, writer, clock, assembler, early, traffic);
    reader.set_pending(true);
    actix_rt::spawn(engine.clone().drive(reader));
}

struct Probe {
    buffer: BytesMut,
    assembler: Assembler,
    budget: TrafficBudget,
    clock: Clock,
    probed: bool,
}

impl Probe {
    fn new(ground: &Ground, early: BytesMut) -> Self {
        Self {
            buffer: early,
            assembler: Assembler::new(PROBE_MAX),
            budget: TrafficBudget::new(ground.settings.traffic.clone()),
            clock: ground.clock.clone(),
            probed: false,
        }
    }

    /// The next message or control frame, within the budget of frames.
    fn next(&mut self) -> io::Result<Option<Incoming>> {
        let (frames, unread) = (self.assembler.frames(), self.buffer.len());
        let next = self.assembler.next(&mut self.buffer).map_err(|_| broken())?;
        let (frames, bytes) = (self.assembler.frames_since(frames), unread - self.buffer.len());
        if self.budget.spend(self.clock.begin_ms(), frames, bytes) { Ok(next) } else { Err(broken()) }
    }

    /// Resolves when the client goes over, with or without a probe. From the probe on, waiting polls are answered: the client
    /// sends `5` only when none of its polls waits.
    async fn run(&mut self, engine: &Rc<Engine>, socket: &mut TcpStream) -> io::Result<()> {
        loop {
            while let Some(incoming) = self.next()? {
                match incoming {
                    Incoming::Text(text) if text == Bytes::from_static(b"2probe") && !self.probed => {
                        self.probed = true;
                        socket.write_all(PROBED).await?;
                    }
                    Incoming::Text(text) if text == Bytes::from_static(b"5") => return Ok(()),
                    Incoming::Ping(payload) => socket.write_all(&frame::encode(Opcode::Pong, &[&payload])).await?,
                    Incoming::Pong => {}
                    Incoming::Text(_) | Incoming::Binary(_) | Incoming::Close(_) => return Err(broken()),
                }
            }
            tokio::select! {
                read = socket.read_buf(&mut self.buffer) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                () = sleep(RELEASE), if self.probed => engine.release_poll(),
            }
        }
    }
}

fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

async fn say_no(house: &EngineWorker, socket: TcpStream, id: &HttpRequestId, refusal: EngineError) {
    let id = id.as_str().parse().map(|id| (REQUEST_ID, id));
    let (headers, body) = (refusal.headers().chain(id), refusal.body());
    refuse(socket, &house.ground().lingering, refusal.status, headers, body.as_bytes()).await;
}
