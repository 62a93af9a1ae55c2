//! What anonymous clients can do to the others: a room is measured by itself, then while attackers of one kind work on
//! half a core, kind after kind. Their requests go to the hub that the bench started, on loopback.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::load::{Figure, P99};
use crate::scenario::Scenario;
use crate::target::{Log, Server, Target};
use crate::{compare, usage};

mod kinds;

use kinds::{KINDS, Kind, UNREAD_LOG};

/// How long the attackers of a worker thread work, and then rest: half a core.
const TURN: Duration = Duration::from_millis(5);

/// How long the hub has to give memory back.
const GIVE_BACK_TIME: Duration = Duration::from_secs(60);

/// What may stay of an attack, KiB: the allocator's own noise.
const STAYS: u64 = 8 * 1024;

/// Connections that an attacker opens in one turn at most, so that a hub which closes them is not a busy loop.
const REOPENED: usize = 1;

/// Measures every kind whose name contains `only` with so many `attackers`, and shows a table.
pub(crate) fn run(hub: &Path, attackers: usize, seconds: u64, only: Option<&str>) -> Result<String, String> {
    let mut table = String::from(
        "| attack | p99 ms | undisturbed | ratio | MB more at most | MB more after | s | hub CPU s | requests or bytes | log lines dropped |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let kinds = KINDS.iter().map(|kind| (kind, Log::Read)).chain([(&UNREAD_LOG, Log::Unread)]);
    for (kind, log) in kinds.filter(|(kind, _)| only.is_none_or(|only| kind.name.contains(only))) {
        let server = Server::start_with(Target::Hub, hub, 10_000, log)?;
        eprintln!("{} on process {}", kind.name, server.pid());
        let row = measure(&server, kind, attackers, seconds).map_err(|error| format!("{}: {error}", kind.name))?;
        table.push_str(&row);
    }
    Ok(table)
}

fn measure(server: &Server, kind: &'static Kind, attackers: usize, seconds: u64) -> Result<String, String> {
    let room = Scenario::victim();
    let p99 = || room.measure(server, Target::Hub.dialect(), seconds).map(|figures| find(&figures, P99));
    // Once around, so that what the hub allocates on first use is there.
    p99()?;
    let alone = p99()?;
    let before = usage::of(server.pid())?;
    let attack = Attackers::start(server, kind, attackers);
    // Until all are there.
    thread::sleep(Duration::from_secs(2));
    let attacked = p99();
    let result = attack.stop();
    let attacked = attacked?;
    let cpu = usage::of(server.pid())?.cpu.saturating_sub(before.cpu);
    let began = Instant::now();
    let more = |now: u64| now.saturating_sub(before.resident);
    while more(usage::of(server.pid())?.resident) > STAYS && began.elapsed() < GIVE_BACK_TIME {
        thread::sleep(Duration::from_millis(500));
    }
    let (after, megabytes) = (usage::of(server.pid())?.resident, |kilobytes: u64| kilobytes as f64 / 1024.0);
    let mut row = String::new();
    let _ = writeln!(
        row,
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        kind.name,
        compare::short(attacked),
        compare::short(alone),
        compare::short(attacked / alone),
        compare::short(megabytes(more(result.peak))),
        compare::short(megabytes(more(after))),
        compare::short(began.elapsed().as_secs_f64()),
        compare::short(cpu.as_secs_f64()),
        result.sent,
        dropped_lines(server.address())?,
    );
    eprint!("{row}");
    Ok(row)
}

fn find(figures: &[Figure], name: &str) -> f64 {
    figures.iter().find(|figure| figure.name == name).map_or(f64::NAN, |figure| figure.value)
}

/// How many lines of its log a hub has dropped.
fn dropped_lines(hub: SocketAddr) -> Result<String, String> {
    let mut page = String::new();
    let asked = TcpStream::connect(hub).and_then(|mut socket| {
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")?;
        socket.read_to_string(&mut page)
    });
    asked.map_err(|error| format!("/metrics: {error}"))?;
    let dropped = page.lines().find_map(|line| line.strip_prefix("hubbub_log_lines_dropped_total "));
    dropped.map(str::to_owned).ok_or_else(|| "/metrics does not count dropped lines".into())
}

/// What an attack did.
#[derive(Debug, Default)]
struct Outcome {
    /// Bytes that the hub took.
    sent: u64,
    /// The most resident memory of the hub, KiB.
    peak: u64,
}

/// Attackers at work on a thread of their own.
struct Attackers {
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<Outcome>,
}

impl Attackers {
    fn start(server: &Server, kind: &'static Kind, attackers: usize) -> Self {
        let (address, pid) = (server.address(), server.pid());
        let stopped = Arc::new(AtomicBool::new(false));
        let is_stopped = stopped.clone();
        let thread = thread::spawn(move || {
            let mut outcome = Outcome::default();
            let mut all: Vec<_> = (0..attackers).map(|_| Attacker::default()).collect();
            while !is_stopped.load(Ordering::Acquire) {
                let began = Instant::now();
                let mut reached = 0;
                while reached < attackers && began.elapsed() < TURN {
                    outcome.sent += all.get_mut(reached).map_or(0, |attacker| attacker.work(kind, address));
                    reached += 1;
                }
                // The next turn begins with those that this one did not reach.
                all.rotate_left(reached);
                outcome.peak = outcome.peak.max(usage::of(pid).map_or(0, |usage| usage.resident));
                thread::sleep(began.elapsed().max(TURN));
            }
            outcome
        });
        Self { stopped, thread }
    }

    fn stop(self) -> Outcome {
        self.stopped.store(true, Ordering::Release);
        self.thread.join().unwrap_or_default()
    }
}

/// One attacking client.
#[derive(Debug, Default)]
struct Attacker {
    socket: Option<TcpStream>,
    /// What is still to be sent of the opening or of a repetition.
    pending: Vec<u8>,
    at: usize,
}

impl Attacker {
    /// Does what it can without waiting; returns how many bytes the hub took.
    fn work(&mut self, kind: &Kind, address: SocketAddr) -> u64 {
        for _ in 0..=REOPENED {
            if self.socket.is_none() {
                self.socket = connect(address, kind.reads);
                (self.pending, self.at) = ((kind.opening)(), 0);
            }
            match self.push(kind) {
                Some(sent) => return sent,
                None => self.socket = None,
            }
        }
        0
    }

    /// `None` when the hub has hung up.
    fn push(&mut self, kind: &Kind) -> Option<u64> {
        let socket = self.socket.as_mut()?;
        if kind.reads {
            let mut answers = [0; 16_384];
            loop {
                match socket.read(&mut answers) {
                    Ok(0) => return None,
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(_) => return None,
                }
            }
        }
        if self.at == self.pending.len() {
            (self.pending, self.at) = ((kind.repeats)(), 0);
        }
        match socket.write(self.pending.get(self.at..).unwrap_or_default()) {
            Ok(sent) => {
                self.at += sent;
                Some(sent as u64)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Some(0),
            Err(_) => None,
        }
    }
}

fn connect(address: SocketAddr, reads: bool) -> Option<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).ok()?;
    if !reads {
        socket.set_recv_buffer_size(2_048).ok()?;
    }
    socket.connect(&address.into()).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket.into())
}
