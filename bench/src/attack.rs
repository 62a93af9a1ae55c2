//! The effect of anonymous clients on others. A room is measured alone, and then under each kind of attack. The attackers
//! use half a core, and their requests go to the hub that the bench started, on loopback.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::load::{Measurement, P99};
use crate::scenario::Scenario;
use crate::server::{Log, Server, ServerKind};
use crate::{compare, usage};

mod kinds;

use kinds::{AttackKind, KINDS, UNREAD_LOG};

/// The attackers work for this time, then rest for as long: half a core.
const TURN: Duration = Duration::from_millis(5);

/// The time limit for the hub to release memory.
const RELEASE_TIME: Duration = Duration::from_secs(60);

/// The memory growth in KiB that counts as released: noise of the allocator.
const RELEASED_KIB: u64 = 8 * 1024;

/// Connections that an attacker reopens in one turn at most. So a hub that closes them causes no busy loop.
const REOPENED_MAX: usize = 1;

/// Measures each kind of attack with `attackers` clients, if its name contains `only`. Returns a table.
pub(crate) fn run(hub: &Path, attackers: usize, seconds: u64, only: Option<&str>) -> Result<String, String> {
    let mut table = String::from(
        "| attack | p99 ms | undisturbed | ratio | MB more at most | MB more after | s | hub CPU s | requests or bytes | log lines dropped |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let kinds = KINDS.iter().map(|kind| (kind, Log::Read)).chain([(&UNREAD_LOG, Log::Unread)]);
    for (kind, log) in kinds.filter(|(kind, _)| only.is_none_or(|only| kind.name.contains(only))) {
        let server = Server::start_with(ServerKind::Hub, hub, 10_000, log)?;
        eprintln!("{} on process {}", kind.name, server.pid());
        let row = measure(&server, kind, attackers, seconds).map_err(|error| format!("{}: {error}", kind.name))?;
        table.push_str(&row);
    }
    Ok(table)
}

fn measure(server: &Server, kind: &'static AttackKind, attackers: usize, seconds: u64) -> Result<String, String> {
    let room = Scenario::victim();
    let p99 = || room.measure(server, ServerKind::Hub.protocol(), seconds).map(|measurements| find(&measurements, P99));
    // A first run, in which the hub makes its first allocations.
    p99()?;
    let alone = p99()?;
    let before = usage::of(server.pid())?;
    let attack = Attackers::start(server, kind, attackers);
    // Until all attackers are connected.
    thread::sleep(Duration::from_secs(2));
    let attacked = p99();
    let result = attack.stop();
    let attacked = attacked?;
    let cpu = usage::of(server.pid())?.cpu.saturating_sub(before.cpu);
    let started = Instant::now();
    let more = |now: u64| now.saturating_sub(before.resident);
    while more(usage::of(server.pid())?.resident) > RELEASED_KIB && started.elapsed() < RELEASE_TIME {
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
        compare::short(started.elapsed().as_secs_f64()),
        compare::short(cpu.as_secs_f64()),
        result.sent,
        dropped_lines(server.address())?,
    );
    eprint!("{row}");
    Ok(row)
}

fn find(measurements: &[Measurement], name: &str) -> f64 {
    measurements.iter().find(|measurement| measurement.name == name).map_or(f64::NAN, |measurement| measurement.value)
}

/// The number of log lines that a hub has dropped.
fn dropped_lines(hub: SocketAddr) -> Result<String, String> {
    let mut page = String::new();
    let request = TcpStream::connect(hub).and_then(|mut socket| {
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")?;
        socket.read_to_string(&mut page)
    });
    request.map_err(|error| format!("/metrics: {error}"))?;
    let dropped = page.lines().find_map(|line| line.strip_prefix("hubbub_log_lines_dropped_total "));
    dropped.map(str::to_owned).ok_or_else(|| "/metrics does not count dropped lines".into())
}

/// The totals of an attack.
#[derive(Debug, Default)]
struct AttackTotals {
    /// Bytes that the hub accepted.
    sent: u64,
    /// The peak of the hub's resident memory, KiB.
    peak: u64,
}

/// Running attackers, on one thread.
struct Attackers {
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<AttackTotals>,
}

impl Attackers {
    fn start(server: &Server, kind: &'static AttackKind, attackers: usize) -> Self {
        let (address, pid) = (server.address(), server.pid());
        let stopped = Arc::new(AtomicBool::new(false));
        let is_stopped = stopped.clone();
        let thread = thread::spawn(move || {
            let mut totals = AttackTotals::default();
            let mut all: Vec<_> = (0..attackers).map(|_| Attacker::default()).collect();
            while !is_stopped.load(Ordering::Acquire) {
                let started = Instant::now();
                let mut reached = 0;
                while reached < attackers && started.elapsed() < TURN {
                    totals.sent += all.get_mut(reached).map_or(0, |attacker| attacker.work(kind, address));
                    reached += 1;
                }
                // The next turn starts with the attackers that this one did not reach.
                all.rotate_left(reached);
                totals.peak = totals.peak.max(usage::of(pid).map_or(0, |usage| usage.resident));
                thread::sleep(started.elapsed().max(TURN));
            }
            totals
        });
        Self { stopped, thread }
    }

    fn stop(self) -> AttackTotals {
        self.stopped.store(true, Ordering::Release);
        self.thread.join().unwrap_or_default()
    }
}

/// One attacking client.
#[derive(Debug, Default)]
struct Attacker {
    socket: Option<TcpStream>,
    /// The opening or the repetition that is being sent.
    pending: Vec<u8>,
    /// Its bytes that are already sent.
    offset: usize,
}

impl Attacker {
    /// Reads and writes without blocking. Returns the number of bytes that the hub accepted.
    fn work(&mut self, kind: &AttackKind, address: SocketAddr) -> u64 {
        for _ in 0..=REOPENED_MAX {
            if self.socket.is_none() {
                self.socket = connect(address, kind.reads);
                (self.pending, self.offset) = ((kind.opening)(), 0);
            }
            match self.push(kind) {
                Some(sent) => return sent,
                None => self.socket = None,
            }
        }
        0
    }

    /// `None` when the hub has closed the connection.
    fn push(&mut self, kind: &AttackKind) -> Option<u64> {
        let socket = self.socket.as_mut()?;
        if kind.reads {
            let mut buffer = [0; 16_384];
            loop {
                match socket.read(&mut buffer) {
                    Ok(0) => return None,
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(_) => return None,
                }
            }
        }
        if self.offset == self.pending.len() {
            (self.pending, self.offset) = ((kind.repeats)(), 0);
        }
        match socket.write(self.pending.get(self.offset..).unwrap_or_default()) {
            Ok(sent) => {
                self.offset += sent;
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
