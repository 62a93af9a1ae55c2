//! Runs a load and measures the server: warm up, measure, wait for the messages in flight, and check.

use std::time::{Duration, Instant};

use crate::clients::{ClientPool, ClientSpec, MessageHandler, Outgoing};
use crate::connecting::open;
use crate::latency::LatencyHistogram;
use crate::protocol::{JOIN, ServerMessage};
use crate::server::Server;
use crate::usage;

/// A load without a delivery for this time fails the run.
const STALL: Duration = Duration::from_secs(10);

/// Connections made before memory is measured. The first connections of a server cost more than later ones.
pub(crate) const FIRST: usize = 200;

/// The pause before memory is read.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);

/// A load on a server.
pub(crate) trait Load: MessageHandler {
    /// Sends the first messages.
    fn start(&mut self, now: Instant, outgoing: &mut Outgoing);
    /// The time of the next [`Load::tick`], if the load has a schedule.
    fn due(&self) -> Option<Instant> {
        None
    }
    /// Sends the messages that are due.
    fn tick(&mut self, _: Instant, _: &mut Outgoing) -> Result<(), String> {
        Ok(())
    }
    /// Stops sending new messages.
    fn stop(&mut self);
    /// Whether nothing is in flight.
    fn is_settled(&self) -> bool;
    /// The number of deliveries so far.
    fn delivered(&self) -> u64;
    /// The latencies of the deliveries.
    fn latency(&mut self) -> &mut LatencyHistogram;
    /// Checks that all sent messages have arrived.
    fn verify(&self) -> Result<(), String>;
}

/// The durations of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunTimes {
    /// The time before the measurement.
    pub(crate) warm_up: Duration,
    /// The time of the measurement.
    pub(crate) measured: Duration,
}

/// A measured number with its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measurement {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
}

const fn measurement(name: &'static str, value: f64) -> Measurement {
    Measurement { name, value }
}

/// The names of the measurements in the tables.
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

/// Connects `specs` to a server and runs a load on it.
pub(crate) fn run(
    server: &Server,
    specs: &[ClientSpec],
    load: &mut impl Load,
    times: RunTimes,
) -> Result<Vec<Measurement>, String> {
    let mut pool = ClientPool::new()?;
    open(&mut pool, server.address(), specs)?;
    let before = usage::of(server.pid())?;
    usage::reset_peak(server.pid())?;
    pool.send(|outgoing| load.start(Instant::now(), outgoing))?;
    pump_for(&mut pool, load, times.warm_up)?;

    let (start, own_start) = (usage::of(server.pid())?, usage::of(std::process::id())?);
    let (started, first) = (Instant::now(), load.delivered());
    load.latency().begin(started);
    pump_for(&mut pool, load, times.measured)?;
    let (end, own_end) = (usage::of(server.pid())?, usage::of(std::process::id())?);
    let (seconds, deliveries) = (started.elapsed().as_secs_f64(), (load.delivered() - first) as f64);

    load.stop();
    let deadline = Instant::now() + STALL;
    while !load.is_settled() {
        if Instant::now() > deadline {
            return Err("the messages in flight did not arrive".into());
        }
        pool.pump(Duration::from_millis(100), load)?;
    }
    // A message that arrives now is a duplicate.
    pool.pump(Duration::from_millis(200), load)?;
    load.verify()?;

    let cpu = end.cpu.saturating_sub(start.cpu).as_secs_f64();
    let (user, system) = (end.user - start.user, end.system - start.system);
    let own = own_end.cpu.saturating_sub(own_start.cpu).as_secs_f64();
    // Late messages after the end are included: they are the slowest.
    let quantile = |share| load.latency().quantile(share);
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(quantile);
    Ok(vec![
        measurement(CPU, cpu / deliveries * 1e6),
        measurement("of it user code", cpu / deliveries * 1e6 * user / (user + system).max(f64::EPSILON)),
        measurement(RATE, deliveries / seconds),
        measurement(P50, p50),
        measurement(P99, p99),
        measurement(P999, p999),
        measurement(GROWTH, end.peak.saturating_sub(before.resident) as f64 / 1024.0),
        measurement("generator CPU s a second", own / seconds),
    ])
}

/// Measures idle connections. The first [`FIRST`] of `specs` connect before memory is measured.
pub(crate) fn idle(server: &Server, specs: &[ClientSpec], time: Duration) -> Result<Vec<Measurement>, String> {
    let mut pool = ClientPool::new()?;
    let (first, counted) = specs.split_at(FIRST.min(specs.len()));
    open(&mut pool, server.address(), first)?;
    pool.watch(SETTLE)?;
    let before = usage::of(server.pid())?;
    let started = Instant::now();
    let lost = open(&mut pool, server.address(), counted)?;
    let opened = started.elapsed().as_secs_f64();
    let connected = usage::of(server.pid())?;
    pool.watch(SETTLE)?;
    let (start, started) = (usage::of(server.pid())?, Instant::now());
    pool.watch(time)?;
    let (end, seconds) = (usage::of(server.pid())?, started.elapsed().as_secs_f64());
    let (number, grown) = (counted.len() as f64, start.resident.saturating_sub(before.resident));
    let mut measurements = vec![
        measurement(MEMORY, grown as f64 / number),
        measurement("CPU µs to connect one", connected.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6 / number),
        measurement(CONNECTING, number / opened),
        measurement(LOST, lost as f64),
    ];
    if !time.is_zero() {
        let cpu = end.cpu.saturating_sub(start.cpu).as_secs_f64();
        measurements.insert(1, measurement(IDLE_CPU, cpu * 1e6 / seconds / specs.len() as f64));
    }
    Ok(measurements)
}

fn pump_for(pool: &mut ClientPool, load: &mut impl Load, time: Duration) -> Result<(), String> {
    let end = Instant::now() + time;
    let (mut last, mut last_change) = (load.delivered(), Instant::now());
    loop {
        let now = Instant::now();
        if now >= end {
            return Ok(());
        }
        if load.delivered() != last {
            (last, last_change) = (load.delivered(), now);
        } else if now - last_change > STALL {
            return Err(format!("no delivery for {} s", STALL.as_secs()));
        }
        pool.pump(wait_time(load.due(), now).min(end - now), load)?;
        let now = Instant::now();
        if load.due().is_some_and(|due| due <= now) {
            let mut result = Ok(());
            pool.send(|outgoing| result = load.tick(now, outgoing))?;
            result?;
        }
    }
}

/// The time to wait for events before the next message is due. It excludes the last millisecond, which the kernel would
/// round up; the caller spins instead.
fn wait_time(due: Option<Instant>, now: Instant) -> Duration {
    let most = Duration::from_millis(100);
    let until = due.map_or(most, |due| due.saturating_duration_since(now).saturating_sub(Duration::from_millis(1)));
    Duration::from_millis(until.min(most).as_millis() as u64)
}

/// A handler that expects no message.
struct IdleHandler;

impl MessageHandler for IdleHandler {
    fn message(&mut self, _: usize, message: ServerMessage<'_>, _: Instant, _: &mut Outgoing) -> Result<(), String> {
        // A repeated join has two replies.
        if matches!(message, ServerMessage::Reply(Some(JOIN), _)) {
            Ok(())
        } else {
            Err(format!("unexpected: {message:?}"))
        }
    }
}

impl ClientPool {
    /// Replies to pings, and expects nothing else.
    pub(crate) fn watch(&mut self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.pump(left, &mut IdleHandler)?;
        }
    }
}
