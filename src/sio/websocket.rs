//! Engine.IO over a WebSocket: one that opens a session, and one that a session which was opened by polling goes over to.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use actix::Context;
use actix_http::Request;
use actix_rt::net::TcpStream;
use actix_rt::time::{sleep, timeout};
use bytes::{Bytes, BytesMut};
use hubbub_actors::clock::Clock;
use hubbub_actors::limits::traffic::TrafficBudget;
use hubbub_actors::mailbox::Receive;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::engine::Engine;
use super::ground::Ground;
use super::house::{House, Porter, Upgrade};
use super::query::{Ask, Transport};
use super::refusal::Refusal;
use super::sid::Sid;
use crate::pipe::assembler::{Assembler, Incoming};
use crate::pipe::{Inlet, Pipe, handshake, refuse};
use crate::request_id::{REQUEST_ID, RequestId};
use crate::wire::engine::PROBED;
use crate::wire::frame::{self, Opcode};

/// How long a client may take from its request to the last word of the upgrade.
const UPGRADE_TIME: Duration = Duration::from_secs(10);

/// How often a poll that waits is let go while the client goes over to its socket.
const RELEASE: Duration = Duration::from_millis(20);

/// Longest message while a socket is tried out, bytes: `2probe` and `5`.
const PROBE_MAX: usize = 125;

/// Answers an upgrade request on a socket that is ours now. It is answered, or refused, when this returns.
pub async fn open(house: &Rc<House>, request: &Request, socket: TcpStream, early: BytesMut) {
    let mut socket = Some(socket);
    let result = serve(house, request, &mut socket, early).await;
    if let (Err(mut refusal), Some(socket)) = (result, socket) {
        let id = RequestId::of(request.head().headers());
        refusal.headers.extend(id.as_str().parse().map(|id| (REQUEST_ID, id)));
        say_no(house, socket, &refusal).await;
    }
}

async fn serve(
    house: &Rc<House>,
    request: &Request,
    socket: &mut Option<TcpStream>,
    early: BytesMut,
) -> Result<(), Refusal> {
    let ask = Ask::parse(request.uri().query().unwrap_or_default())?;
    if ask.transport != Transport::WebSocket {
        return Err(Refusal::bad_request("the transport polling knows no upgrade"));
    }
    handshake::judge(request.head()).map_err(|fault| Refusal::of(&fault))?;
    let acceptance = handshake::acceptance(request.head());
    if let Some(sid) = ask.sid()? {
        let Some(socket) = socket.take() else { return Ok(()) };
        return hand_over(house, sid, socket, acceptance, early).await;
    }
    let caller = house.switchboard().admit(request.head()).await?;
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
async fn hand_over(
    house: &Rc<House>,
    sid: Sid,
    socket: TcpStream,
    acceptance: Vec<u8>,
    early: BytesMut,
) -> Result<(), Refusal> {
    let Ok(socket) = socket.into_std() else { return Ok(()) };
    let Err(upgrade) = house.switchboard().upgrade(Upgrade { sid, socket, acceptance, early }) else { return Ok(()) };
    if let Ok(socket) = TcpStream::from_std(upgrade.socket) {
        say_no(house, socket, &Refusal::unknown_sid()).await;
    }
    Ok(())
}

impl Receive<Upgrade> for Porter {
    fn receive(&mut self, upgrade: Upgrade, _: &mut Context<Self>) {
        match TcpStream::from_std(upgrade.socket) {
            Ok(socket) => {
                let house = self.house.clone();
                let (sid, acceptance, early) = (upgrade.sid, upgrade.acceptance, upgrade.early);
                actix_rt::spawn(try_out(house, sid, socket, acceptance, early));
            }
            Err(error) => log::debug!("a socket could not be taken over: {error}"),
        }
    }
}

/// Tries out a socket for a session that is reached by polling, and goes over to it when the client says so. Whatever
/// goes wrong costs the socket, not the session (Engine.IO v4, "Upgrade").
async fn try_out(house: Rc<House>, sid: Sid, mut socket: TcpStream, acceptance: Vec<u8>, early: BytesMut) {
    let Some(engine) = house.find(sid) else { return say_no(&house, socket, &Refusal::unknown_sid()).await };
    let may_probe = engine.begin_probe();
    let mut probe = Probe::new(house.ground(), early);
    let probed = async {
        socket.write_all(&acceptance).await?;
        if may_probe { probe.run(&engine, &mut socket).await } else { Err(broken()) }
    };
    match timeout(UPGRADE_TIME, probed).await {
        Ok(Ok(())) if engine.take_socket() => connect(&house, &engine, socket, probe.buffer),
        _ => {
            if may_probe {
                engine.end_probe();
            }
            let _ = socket.write_all(&frame::close(1002, "no upgrade")).await;
            let _ = socket.shutdown().await;
        }
    }
}

/// Has a session served by a socket from here on.
fn connect(house: &Rc<House>, engine: &Rc<Engine>, socket: TcpStream, early: BytesMut) {
    let (reading, writing) = socket.into_split();
    let pipe = Pipe::new(writing, engine.seat().clone(), house.ground().flusher.clone());
    let assembler = Assembler::new(engine.payload_max());
    let (clock, traffic) = (house.ground().clock.clone(), house.ground().settings.traffic.clone());
    let mut inlet = Inlet::new(reading, pipe, clock, assembler, early, traffic);
    inlet.set_pending(true);
    actix_rt::spawn(engine.clone().drive(inlet));
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

    /// Resolves when the client goes over. From its probe on, polls that wait are let go: it holds back until none does.
    async fn run(&mut self, engine: &Rc<Engine>, socket: &mut TcpStream) -> io::Result<()> {
        loop {
            while let Some(incoming) = self.next()? {
                match incoming {
                    Incoming::Text(text) if text == Bytes::from_static(b"2probe") && !self.probed => {
                        self.probed = true;
                        socket.write_all(PROBED).await?;
                    }
                    Incoming::Text(text) if text == Bytes::from_static(b"5") && self.probed => return Ok(()),
                    Incoming::Ping(payload) => socket.write_all(&frame::encode(Opcode::Pong, &[&payload])).await?,
                    Incoming::Pong => {}
                    Incoming::Text(_) | Incoming::Binary(_) | Incoming::Close(_) => return Err(broken()),
                }
            }
            tokio::select! {
                read = socket.read_buf(&mut self.buffer) => {
                    if read? == 0 {
                        return Err(broken());
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

async fn say_no(house: &House, socket: TcpStream, refusal: &Refusal) {
    refuse(socket, &house.ground().lingering, refusal.status, refusal.headers(), refusal.body().as_bytes()).await;
}
