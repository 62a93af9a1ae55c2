//! Running a load and measuring the server under it: warm up, measure for a while, let what is in flight arrive, check.

use std::time::{Duration, Instant};

use crate::latency::Histogram;
use crate::swarm::{Driver, Guest, Mail, Swarm};
use crate::target::{self, Server};
use crate::usage;

/// How long a load may stand still, at any time, before the run has failed.
const STALL: Duration = Duration::from_secs(10);

/// Connections that are there before memory is counted: a server's first few cost what no other does.
pub(crate) const FIRST: usize = 200;

/// How long memory may settle before it is read.
const SETTLE: Duration = Duration::from_secs(2);

/// Messages that answer one another.
pub(crate) trait Load: Driver {
    /// Sends the first.
    fn start(&mut self, now: Instant, mail: &mut Mail);
    /// Sends no new ones from now on.
    fn stop(&mut self);
    /// Whether nothing is in flight.
    fn is_settled(&self) -> bool;
    /// Deliveries so far.
    fn delivered(&self) -> u64;
    /// From sending to receiving.
    fn latency(&mut self) -> &mut Histogram;
    /// Whether all arrived that was sent.
    fn verify(&self) -> Result<(), String>;
}

/// How long a run takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Not measured.
    pub(crate) warm_up: Duration,
    /// Measured.
    pub(crate) measured: Duration,
}

/// A measured number and what it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
}

const fn figure(name: &'static str, value: f64) -> Figure {
    Figure { name, value }
}

/// Runs a load on a server whose connections are `topics`, each with what it subscribes to.
pub(crate) fn run(
    server: &Server,
    topics: Vec<Option<String>>,
    load: &mut impl Load,
    times: Times,
) -> Result<Vec<Figure>, String> {
    let mut swarm = Swarm::new()?;
    let before = usage::of(server.pid())?;
    swarm.open(server.address(), &guests(0, topics)?)?;
    swarm.send(|mail| load.start(Instant::now(), mail))?;
    pump_for(&mut swarm, load, times.warm_up)?;

    let (start, own_start) = (usage::of(server.pid())?, usage::of(std::process::id())?);
    let (began, first) = (Instant::now(), load.delivered());
    load.latency().clear();
    pump_for(&mut swarm, load, times.measured)?;
    let (end, own_end) = (usage::of(server.pid())?, usage::of(std::process::id())?);
    let (seconds, deliveries) = (began.elapsed().as_secs_f64(), (load.delivered() - first) as f64);
    let (p50, p99) = (load.latency().quantile(0.5), load.latency().quantile(0.99));

    load.stop();
    let deadline = Instant::now() + STALL;
    while !load.is_settled() {
        if Instant::now() > deadline {
            return Err("what was in flight did not arrive".into());
        }
        swarm.pump(Duration::from_millis(100), load)?;
    }
    // What comes now was doubled.
    swarm.pump(Duration::from_millis(200), load)?;
    load.verify()?;

    let cpu = (end.cpu - start.cpu).as_secs_f64();
    let (user, system) = (end.user - start.user, end.system - start.system);
    let own = (own_end.cpu - own_start.cpu).as_secs_f64();
    Ok(vec![
        figure("CPU s per million", cpu / deliveries * 1e6),
        figure("of it user code", cpu / deliveries * 1e6 * user / (user + system).max(f64::EPSILON)),
        figure("deliveries/s", deliveries / seconds),
        figure("p50 ms", p50),
        figure("p99 ms", p99),
        figure("MB before", before.resident as f64 / 1024.0),
        figure("MB after", end.resident as f64 / 1024.0),
        figure("generator CPU s/s", own / seconds),
    ])
}

/// Measures what connections cost that do nothing.
pub(crate) fn idle(server: &Server, topics: Vec<Option<String>>, time: Duration) -> Result<Vec<Figure>, String> {
    let mut swarm = Swarm::new()?;
    let counted = topics.len() as f64;
    let first = topics.iter().take(FIRST).cloned().collect();
    swarm.open(server.address(), &guests(topics.len(), first)?)?;
    swarm.watch(SETTLE)?;
    let before = usage::of(server.pid())?;
    let began = Instant::now();
    swarm.open(server.address(), &guests(0, topics)?)?;
    let opened = began.elapsed().as_secs_f64();
    let connected = usage::of(server.pid())?;
    swarm.watch(SETTLE)?;
    let (start, began) = (usage::of(server.pid())?, Instant::now());
    swarm.watch(time)?;
    let (end, seconds) = (usage::of(server.pid())?, began.elapsed().as_secs_f64());
    Ok(vec![
        figure("KB a connection", (end.resident - before.resident.min(end.resident)) as f64 / counted),
        figure("CPU µs/s a connection", (end.cpu - start.cpu).as_secs_f64() * 1e6 / seconds / (counted + FIRST as f64)),
        figure("CPU µs to connect one", (connected.cpu - before.cpu).as_secs_f64() * 1e6 / counted),
        figure("connections/s", counted / opened),
    ])
}

fn guests(first: usize, topics: Vec<Option<String>>) -> Result<Vec<Guest>, String> {
    let guest = |(number, topic)| Ok(Guest { token: target::token(first + number)?, topic });
    topics.into_iter().enumerate().map(guest).collect()
}

fn pump_for(swarm: &mut Swarm, load: &mut impl Load, time: Duration) -> Result<(), String> {
    let end = Instant::now() + time;
    let (mut seen, mut moved) = (load.delivered(), Instant::now());
    loop {
        let now = Instant::now();
        if now >= end {
            return Ok(());
        }
        if load.delivered() != seen {
            (seen, moved) = (load.delivered(), now);
        } else if now - moved > STALL {
            return Err(format!("nothing came for {} s", STALL.as_secs()));
        }
        swarm.pump((end - now).min(Duration::from_millis(100)), load)?;
    }
}

/// Where nothing is expected.
struct Silence;

impl Driver for Silence {
    fn message(&mut self, who: usize, text: &[u8], _: Instant, _: &mut Mail) -> Result<(), String> {
        Err(format!("connection {who}: unexpected: {}", String::from_utf8_lossy(text)))
    }
}

impl Swarm {
    /// Answers pings and expects nothing else.
    fn watch(&mut self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.pump(left, &mut Silence)?;
        }
    }
}
