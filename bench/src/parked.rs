//! Sessions that are cut off all at once and come back: what the hub keeps for them, and what it costs to go on with one.
//! Each has to get just what it missed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::dialect::{Dialect, Heard, JOIN, position};
use crate::load::{Figure, SETTLE};
use crate::opening::OPENING;
use crate::swarm::{Driver, Guest, Mail, Swarm};
use crate::target::Server;
use crate::usage;

/// Messages that each misses.
const MISSED: usize = 20;

/// How long any step may take.
const STEP_TIME: Duration = Duration::from_secs(90);

/// What its figures are called.
pub(crate) const LIVE: &str = "resident KB a session";
pub(crate) const PARKED: &str = "resident KB a session cut off, with what it missed";
pub(crate) const RECOVERY: &str = "server CPU ms a recovery";

/// Clients that come, or come back.
struct Comers<'a> {
    guests: &'a [Guest],
    /// By what each comes back; empty for those that come first.
    pids: Vec<Vec<u8>>,
    /// Deliveries that each has got.
    got: Vec<usize>,
    ready: usize,
}

impl Comers<'_> {
    fn comes_back(&self, who: usize) -> bool {
        self.got.get(who).is_some()
    }

    /// Connects all, and waits until each is in its room, or has got what it missed.
    fn come(&mut self, address: SocketAddr) -> Result<Swarm, String> {
        let (mut swarm, deadline) = (Swarm::new()?, Instant::now() + STEP_TIME);
        while self.ready < self.guests.len() {
            while let Some(guest) = self.guests.get(swarm.len())
                && swarm.len() - self.ready < OPENING
            {
                swarm.connect(address, guest)?;
            }
            swarm.pump(Duration::from_millis(100), self)?;
            if Instant::now() > deadline {
                return Err(format!("only {} of {} are there", self.ready, self.guests.len()));
            }
        }
        Ok(swarm)
    }
}

impl Driver for Comers<'_> {
    fn message(&mut self, who: usize, heard: Heard<'_>, _: Instant, mail: &mut Mail) -> Result<(), String> {
        let guest = self.guests.get(who).ok_or("nobody is there")?;
        match heard {
            Heard::Opened => {
                let pid = self.pids.get(who).filter(|_| self.comes_back(who));
                let pid = pid.map(|pid| format!(r#","pid":"{}""#, String::from_utf8_lossy(pid)));
                let sign_in = format!(r#"40{{"token":"{}"{}}}"#, guest.token, pid.unwrap_or_default());
                mail.text(who, guest.dialect, sign_in.as_bytes());
            }
            Heard::Welcome(text) => {
                let pid = pid(text).ok_or("a session that cannot be recovered")?;
                if !self.comes_back(who) {
                    let topic = guest.topic.as_deref().unwrap_or_default();
                    mail.text(who, guest.dialect, guest.dialect.join(topic).as_bytes());
                    self.pids.resize(self.guests.len(), Vec::new());
                    if let Some(place) = self.pids.get_mut(who) {
                        pid.clone_into(place);
                    }
                } else if self.pids.get(who).is_none_or(|own| own != pid) {
                    return Err("was not recovered".into());
                }
            }
            Heard::Answer(Some(JOIN), _) => self.ready += 1,
            Heard::Delivery(text) => {
                let got = self.got.get_mut(who).ok_or("a message too early")?;
                let expected = payload(*got);
                if position(text, expected.as_bytes()).is_none() {
                    return Err(format!("not {expected}: {}", String::from_utf8_lossy(text)));
                }
                *got += 1;
                self.ready += usize::from(*got == MISSED);
            }
            other => return Err(format!("unexpected: {other:?}")),
        }
        Ok(())
    }
}

/// The private id in the answer to a sign-in.
fn pid(text: &[u8]) -> Option<&[u8]> {
    let begin = position(text, br#""pid":""#)? + 7;
    let rest = text.get(begin..)?;
    rest.get(..position(rest, b"\"")?)
}

/// What message `number` of a room says.
fn payload(number: usize) -> String {
    format!("missed {number:03} {}", "x".repeat(80))
}

/// Cuts off all of `guests` at once, lets each miss some messages, and has them come back.
pub(crate) fn run(server: &Server, guests: &[Guest]) -> Result<Vec<Figure>, String> {
    let (address, count) = (server.address(), guests.len());
    let share = |usage: usage::Usage, before: usage::Usage| {
        usage.resident.saturating_sub(before.resident) as f64 / count as f64
    };
    let before = usage::of(server.pid())?;
    let mut comers = Comers { guests, pids: Vec::new(), got: Vec::new(), ready: 0 };
    let mut swarm = comers.come(address)?;
    swarm.watch(SETTLE)?;
    let live = usage::of(server.pid())?;
    drop(swarm);
    let mut http = Http::open(address)?;
    let deadline = Instant::now() + STEP_TIME;
    while http.metric("hubbub_parked_sessions")? < count as f64 {
        if Instant::now() > deadline {
            return Err("not all are parked".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut topics: Vec<_> = guests.iter().filter_map(|guest| guest.topic.as_deref()).collect();
    topics.dedup();
    for number in 0..MISSED {
        for topic in &topics {
            http.ask(&Dialect::Http.publish(topic, &payload(number), 0))?;
        }
    }
    std::thread::sleep(SETTLE);
    let parked = usage::of(server.pid())?;
    comers.got = vec![0; count];
    comers.ready = 0;
    let mut swarm = comers.come(address)?;
    let recovered = usage::of(server.pid())?;
    // What comes now was doubled.
    swarm.watch(SETTLE)?;
    let cpu = recovered.cpu.saturating_sub(parked.cpu).as_secs_f64() * 1e3 / count as f64;
    Ok(vec![
        Figure { name: LIVE, value: share(live, before) },
        Figure { name: PARKED, value: share(parked, before) },
        Figure { name: RECOVERY, value: cpu },
    ])
}

/// A connection for requests, one after the other.
struct Http {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Http {
    fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(STEP_TIME)).map_err(|error| error.to_string())?;
        Ok(Self { stream, bytes: Vec::new() })
    }

    fn ask(&mut self, request: &str) -> Result<Vec<u8>, String> {
        self.stream.write_all(request.as_bytes()).map_err(|error| format!("request: {error}"))?;
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some((_, body, end)) = Dialect::Http.parse(&self.bytes)? {
                let body = body.to_vec();
                self.bytes.drain(..end);
                return Ok(body);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the hub hung up".into()),
                Ok(read) => self.bytes.extend_from_slice(buffer.get(..read).unwrap_or_default()),
                Err(error) => return Err(format!("answer: {error}")),
            }
        }
    }

    fn metric(&mut self, name: &str) -> Result<f64, String> {
        let body = self.ask("GET /metrics HTTP/1.1\r\nHost: hub\r\n\r\n")?;
        let text = String::from_utf8_lossy(&body);
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.ok_or_else(|| format!("no {name} in what the hub says of itself"))
    }
}
