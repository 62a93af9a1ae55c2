//! Running a load and measuring the server under it: warm up, measure for a while, let what is in flight arrive, check.

use std::time::{Duration, Instant};

use crate::dialect::{Heard, JOIN};
use crate::latency::Histogram;
use crate::opening::open;
use crate::swarm::{Driver, Guest, Mail, Swarm};
use crate::target::Server;
use crate::usage;

/// How long a load may stand still, at any time, before the run has failed.
const STALL: Duration = Duration::from_secs(10);

/// Connections that are there before memory is counted: a server's first few cost what no other does.
pub(crate) const FIRST: usize = 200;

/// How long memory may settle before it is read.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);

/// Messages that answer one another.
pub(crate) trait Load: Driver {
    /// Sends the first.
    fn start(&mut self, now: Instant, mail: &mut Mail);
    /// When it wants to be called, where it has a schedule.
    fn due(&self) -> Option<Instant> {
        None
    }
    /// Sends what is due.
    fn tick(&mut self, _: Instant, _: &mut Mail) -> Result<(), String> {
        Ok(())
    }
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

/// What figures are called that the tables show.
pub(crate) const CPU: &str = "server CPU s a million";
pub(crate) const RATE: &str = "deliveries a second";
pub(crate) const P50: &str = "p50 ms";
pub(crate) const P99: &str = "p99 ms";
pub(crate) const P999: &str = "p99.9 ms";
pub(crate) const MEMORY: &str = "resident KB a connection";
pub(crate) const IDLE_CPU: &str = "CPU µs a second a connection";
pub(crate) const CONNECTING: &str = "connects and joins a second";
pub(crate) const LOST: &str = "joins lost";
pub(crate) const GROWTH: &str = "MB grown at most";

/// Runs a load on a server whose connections are `guests`.
pub(crate) fn run(
    server: &Server,
    guests: &[Guest],
    load: &mut impl Load,
    times: Times,
) -> Result<Vec<Figure>, String> {
    let mut swarm = Swarm::new()?;
    open(&mut swarm, server.address(), guests)?;
    let before = usage::of(server.pid())?;
    usage::forget_peak(server.pid())?;
    swarm.send(|mail| load.start(Instant::now(), mail))?;
    pump_for(&mut swarm, load, times.warm_up)?;

    let (start, own_start) = (usage::of(server.pid())?, usage::of(std::process::id())?);
    let (began, first) = (Instant::now(), load.delivered());
    load.latency().begin(began);
    pump_for(&mut swarm, load, times.measured)?;
    let (end, own_end) = (usage::of(server.pid())?, usage::of(std::process::id())?);
    let (seconds, deliveries) = (began.elapsed().as_secs_f64(), (load.delivered() - first) as f64);

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

    let cpu = end.cpu.saturating_sub(start.cpu).as_secs_f64();
    let (user, system) = (end.user - start.user, end.system - start.system);
    let own = own_end.cpu.saturating_sub(own_start.cpu).as_secs_f64();
    // With what came late behind the end: it is the latest that counts.
    let quantile = |share| load.latency().quantile(share);
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(quantile);
    Ok(vec![
        figure(CPU, cpu / deliveries * 1e6),
        figure("of it user code", cpu / deliveries * 1e6 * user / (user + system).max(f64::EPSILON)),
        figure(RATE, deliveries / seconds),
        figure(P50, p50),
        figure(P99, p99),
        figure(P999, p999),
        figure(GROWTH, end.peak.saturating_sub(before.resident) as f64 / 1024.0),
        figure("generator CPU s a second", own / seconds),
    ])
}

/// Measures what connections cost that do nothing. The first few of `guests` are there before memory is counted.
pub(crate) fn idle(server: &Server, guests: &[Guest], time: Duration) -> Result<Vec<Figure>, String> {
    let mut swarm = Swarm::new()?;
    let (first, counted) = guests.split_at(FIRST.min(guests.len()));
    open(&mut swarm, server.address(), first)?;
    swarm.watch(SETTLE)?;
    let before = usage::of(server.pid())?;
    let began = Instant::now();
    let lost = open(&mut swarm, server.address(), counted)?;
    let opened = began.elapsed().as_secs_f64();
    let connected = usage::of(server.pid())?;
    swarm.watch(SETTLE)?;
    let (start, began) = (usage::of(server.pid())?, Instant::now());
    swarm.watch(time)?;
    let (end, seconds) = (usage::of(server.pid())?, began.elapsed().as_secs_f64());
    let (number, grown) = (counted.len() as f64, start.resident.saturating_sub(before.resident));
    let mut figures = vec![
        figure(MEMORY, grown as f64 / number),
        figure("CPU µs to connect one", connected.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6 / number),
        figure(CONNECTING, number / opened),
        figure(LOST, lost as f64),
    ];
    if !time.is_zero() {
        let cpu = end.cpu.saturating_sub(start.cpu).as_secs_f64();
        figures.insert(1, figure(IDLE_CPU, cpu * 1e6 / seconds / guests.len() as f64));
    }
    Ok(figures)
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
        swarm.pump(patience(load.due(), now).min(end - now), load)?;
        let now = Instant::now();
        if load.due().is_some_and(|due| due <= now) {
            let mut result = Ok(());
            swarm.send(|mail| result = load.tick(now, mail))?;
            result?;
        }
    }
}

/// How long to wait for what comes before the next message is due. The last millisecond, which the kernel would round up,
/// is not waited for but spun away.
fn patience(due: Option<Instant>, now: Instant) -> Duration {
    let most = Duration::from_millis(100);
    let until = due.map_or(most, |due| due.saturating_duration_since(now).saturating_sub(Duration::from_millis(1)));
    Duration::from_millis(until.min(most).as_millis() as u64)
}

/// Where nothing is expected.
struct Silence;

impl Driver for Silence {
    fn message(&mut self, _: usize, heard: Heard<'_>, _: Instant, _: &mut Mail) -> Result<(), String> {
        // A join that was asked for twice is answered twice.
        if matches!(heard, Heard::Answer(Some(JOIN), _)) { Ok(()) } else { Err(format!("unexpected: {heard:?}")) }
    }
}

impl Swarm {
    /// Answers pings and expects nothing else.
    pub(crate) fn watch(&mut self, time: Duration) -> Result<(), String> {
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
