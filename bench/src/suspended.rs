//! Sessions that lose their connections all at once and recover: the hub's memory for them, and the CPU time of a recovery.
//! Each must receive exactly the events that it missed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::clients::{ClientPool, ClientSpec, MessageHandler, Outgoing};
use crate::connecting::CONNECTING_MAX;
use crate::load::{Measurement, SETTLE};
use crate::protocol::{JOIN, Protocol, ServerMessage};
use crate::server::Server;
use crate::text::{position, quoted};
use crate::usage;

/// The number of events that each session misses.
const MISSED: usize = 20;

/// The time limit of each step.
const STEP_TIME: Duration = Duration::from_secs(90);

/// The names of the measurements.
pub(crate) const LIVE: &str = "resident KB a session";
pub(crate) const SUSPENDED: &str = "resident KB a suspended session with its missed events";
pub(crate) const RECOVERY: &str = "server CPU ms a recovery";

/// Clients that connect, or recover.
struct RecoveryClients<'a> {
    specs: &'a [ClientSpec],
    /// The private session ids; empty until the first connect.
    pids: Vec<Vec<u8>>,
    /// The events that each client has received; empty during the first connect.
    received: Vec<usize>,
    ready: usize,
}

impl RecoveryClients<'_> {
    fn is_recovering(&self, index: usize) -> bool {
        self.received.get(index).is_some()
    }

    /// Connects all clients. Waits until each has joined its room, or has received its missed events.
    fn connect(&mut self, address: SocketAddr) -> Result<ClientPool, String> {
        let (mut pool, deadline) = (ClientPool::new()?, Instant::now() + STEP_TIME);
        while self.ready < self.specs.len() {
            while let Some(spec) = self.specs.get(pool.len())
                && pool.len() - self.ready < CONNECTING_MAX
            {
                pool.connect(address, spec)?;
            }
            pool.pump(Duration::from_millis(100), self)?;
            if Instant::now() > deadline {
                return Err(format!("only {} of {} are ready", self.ready, self.specs.len()));
            }
        }
        Ok(pool)
    }
}

impl MessageHandler for RecoveryClients<'_> {
    fn message(
        &mut self,
        index: usize,
        message: ServerMessage<'_>,
        _: Instant,
        outgoing: &mut Outgoing,
    ) -> Result<(), String> {
        let spec = self.specs.get(index).ok_or("an unknown connection")?;
        match message {
            ServerMessage::Opened => {
                let pid = self.pids.get(index).filter(|_| self.is_recovering(index));
                let pid = pid.map(|pid| format!(r#","pid":"{}""#, String::from_utf8_lossy(pid)));
                let sign_in = format!(r#"40{{"token":"{}"{}}}"#, spec.token, pid.unwrap_or_default());
                outgoing.text(index, spec.protocol, sign_in.as_bytes());
            }
            ServerMessage::Welcome(text) => {
                let pid = quoted(text, br#""pid":""#).ok_or("a session without recovery")?;
                if !self.is_recovering(index) {
                    let topic = spec.topic.as_deref().unwrap_or_default();
                    outgoing.text(index, spec.protocol, spec.protocol.join(topic).as_bytes());
                    self.pids.resize(self.specs.len(), Vec::new());
                    if let Some(slot) = self.pids.get_mut(index) {
                        pid.clone_into(slot);
                    }
                } else if self.pids.get(index).is_none_or(|own| own != pid) {
                    return Err("the session was not recovered".into());
                }
            }
            ServerMessage::Reply(Some(JOIN), _) => self.ready += 1,
            ServerMessage::Delivery(text) => {
                let received = self.received.get_mut(index).ok_or("an event before the disconnect")?;
                let expected = payload(*received);
                if position(text, expected.as_bytes()).is_none() {
                    return Err(format!("not {expected}: {}", String::from_utf8_lossy(text)));
                }
                *received += 1;
                self.ready += usize::from(*received == MISSED);
            }
            other => return Err(format!("unexpected: {other:?}")),
        }
        Ok(())
    }
}

/// The payload of message `number` in each room.
fn payload(number: usize) -> String {
    format!("missed {number:03} {}", "x".repeat(80))
}

/// Connects `specs`, closes all connections at once, publishes events, and recovers all sessions.
pub(crate) fn run(server: &Server, specs: &[ClientSpec]) -> Result<Vec<Measurement>, String> {
    let (address, count) = (server.address(), specs.len());
    let share = |usage: usage::Usage, before: usage::Usage| {
        usage.resident.saturating_sub(before.resident) as f64 / count as f64
    };
    let before = usage::of(server.pid())?;
    let mut clients = RecoveryClients { specs, pids: Vec::new(), received: Vec::new(), ready: 0 };
    let mut pool = clients.connect(address)?;
    pool.watch(SETTLE)?;
    let live = usage::of(server.pid())?;
    drop(pool);
    let mut http = HttpConnection::open(address)?;
    let deadline = Instant::now() + STEP_TIME;
    while http.metric("hubbub_suspended_sessions")? < count as f64 {
        if Instant::now() > deadline {
            return Err("not all sessions are suspended".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut topics: Vec<_> = specs.iter().filter_map(|spec| spec.topic.as_deref()).collect();
    topics.dedup();
    for number in 0..MISSED {
        for topic in &topics {
            http.request(&Protocol::Http.publish(topic, &payload(number), 0))?;
        }
    }
    std::thread::sleep(SETTLE);
    let suspended = usage::of(server.pid())?;
    clients.received = vec![0; count];
    clients.ready = 0;
    let mut pool = clients.connect(address)?;
    let recovered = usage::of(server.pid())?;
    // An event that arrives now is a duplicate.
    pool.watch(SETTLE)?;
    let cpu = recovered.cpu.saturating_sub(suspended.cpu).as_secs_f64() * 1e3 / count as f64;
    Ok(vec![
        Measurement { name: LIVE, value: share(live, before) },
        Measurement { name: SUSPENDED, value: share(suspended, before) },
        Measurement { name: RECOVERY, value: cpu },
    ])
}

/// A connection for consecutive requests.
struct HttpConnection {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl HttpConnection {
    fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(STEP_TIME)).map_err(|error| error.to_string())?;
        Ok(Self { stream, bytes: Vec::new() })
    }

    fn request(&mut self, request: &str) -> Result<Vec<u8>, String> {
        self.stream.write_all(request.as_bytes()).map_err(|error| format!("request: {error}"))?;
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some((_, body, end)) = Protocol::Http.parse(&self.bytes)? {
                let body = body.to_vec();
                self.bytes.drain(..end);
                return Ok(body);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the hub closed the connection".into()),
                Ok(read) => self.bytes.extend_from_slice(buffer.get(..read).unwrap_or_default()),
                Err(error) => return Err(format!("response: {error}")),
            }
        }
    }

    fn metric(&mut self, name: &str) -> Result<f64, String> {
        let body = self.request("GET /metrics HTTP/1.1\r\nHost: hub\r\n\r\n")?;
        let text = String::from_utf8_lossy(&body);
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.ok_or_else(|| format!("no {name} in the hub's metrics"))
    }
}
