//! `hubbub-bench`: measures the cost of the hub and of its peers on this machine.
//!
//! ```text
//! cargo run --release -p hubbub-bench -- compare [--quick]
//! cargo run --release -p hubbub-bench -- fanout --in-flight 16 --target hub-socketio
//! ```
//!
//! The main measurement is the server's CPU time for a delivery. Deliveries a second also depend on the generator, which runs on
//! the same cores. Every delivery is checked (see [`broadcast`]): a lost, duplicate or reordered one fails the run. The
//! bench uses only loopback addresses, and only servers that it starts and stops itself.
//!
//! * [`clients`] holds the connections on one thread and one epoll, and [`connecting`] joins them to their rooms.
//!   [`protocol`] has their messages, [`frame`] the WebSocket frames, and [`polling`] the requests of long-polling.
//! * [`broadcast`], [`reply`] and [`suspended`] are the loads. [`load`] runs and measures one, with [`usage`] and
//!   [`latency`].
//! * [`attack`] measures a room under attacks of anonymous clients.
//! * [`scenario`] defines the loads on a [`server`], and [`compare`] makes the tables of [`plan`].

mod attack;
mod broadcast;
mod clients;
mod compare;
mod connecting;
mod frame;
mod latency;
mod load;
mod plan;
mod polling;
mod protocol;
mod reply;
mod scenario;
mod server;
mod suspended;
mod text;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::broadcast::PublishRate;
use crate::scenario::Scenario;
use crate::server::ServerKind;

/// Measures the cost of the hub and of its peers.
#[derive(Debug, Parser)]
#[command(name = "hubbub-bench")]
struct Arguments {
    /// The scenario to run
    mode: Mode,
    /// The server of a single scenario; the hub by default
    #[arg(long, value_enum)]
    target: Option<ServerKind>,
    /// The hub's binary; by default the bench builds this checkout
    #[arg(long, value_name = "FILE")]
    hub: Option<PathBuf>,
    /// Measure for 2 seconds instead of 6, and idle connections only once
    #[arg(long)]
    quick: bool,
    /// Measure for N seconds; at a fixed rate for 4 × N; idle connections always for one heartbeat interval
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,
    /// The number of rounds of a comparison
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    /// Only scenarios or attacks with this text in their names
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Messages in flight (fanout)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    in_flight: u16,
    /// Messages a second, at fixed times, instead of a number in flight (fanout)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Option<u32>,
    /// The number of members (fanout, mixed, push: 1000; stopped: 20), rooms (rooms: 100), connections (reply: 64; idle, suspended: 10000) or attackers (attack: 200)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=50_000))]
    count: Option<u16>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// All scenarios on all servers, as tables
    Compare,
    /// One publisher to one large room
    Fanout,
    /// Many small rooms with one publisher each
    Rooms,
    /// Request and reply
    Reply,
    /// Idle connections
    Idle,
    /// A room with one member that reads nothing
    Stopped,
    /// A room with members on both surfaces (hub only)
    Mixed,
    /// Messages published by HTTP to one large room (hub only)
    Push,
    /// Socket.IO sessions that lose their connection and recover (hub only)
    Suspended,
    /// A room under each kind of attack by anonymous clients (hub only; `--only` selects kinds)
    Attack,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(output) => {
            println!("{output}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hubbub-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String, String> {
    if cfg!(debug_assertions) {
        return Err("an unoptimised generator would measure itself: run it with --release".into());
    }
    let count = |default| arguments.count.map_or(default, usize::from);
    let rate = arguments.rate.map_or(PublishRate::InFlight(arguments.in_flight.into()), PublishRate::PerSecond);
    let scenario = match arguments.mode {
        Mode::Compare | Mode::Attack => None,
        Mode::Fanout => Some(Scenario::Fanout { members: count(1000), rate }),
        Mode::Rooms => Some(Scenario::Rooms { rooms: count(100) }),
        Mode::Reply => Some(Scenario::Reply { connections: count(64) }),
        Mode::Idle => Some(Scenario::Idle { connections: count(10_000), watched: true }),
        Mode::Stopped => Some(Scenario::Stopped { members: count(20) }),
        Mode::Mixed => Some(Scenario::Mixed { members: count(1000) }),
        Mode::Suspended => Some(Scenario::Suspended { sessions: count(10_000) }),
        Mode::Push => Some(Scenario::Push { members: count(1000) }),
    };
    let seconds = arguments.seconds.unwrap_or(if arguments.quick { 2 } else { 6 });
    if matches!(arguments.mode, Mode::Attack) {
        raise_descriptor_limit(Scenario::victim().sockets(ServerKind::Hub))?;
        let hub = server::prepare(&[ServerKind::Hub], arguments.hub.clone())?;
        return attack::run(&hub, count(200), seconds, arguments.only.as_deref());
    }
    let Some(scenario) = scenario else {
        let mut rows = plan::rows(arguments.rounds.into(), arguments.quick);
        rows.retain(|row| arguments.only.as_deref().is_none_or(|only| row.scenario.title().contains(only)));
        let sockets = rows.iter().flat_map(|row| row.targets.iter().map(|&target| row.scenario.sockets(target)));
        raise_descriptor_limit(sockets.max().unwrap_or(0))?;
        let hub = server::prepare(&ServerKind::COMPARED, arguments.hub.clone())?;
        let (before, machine) = (usage::load(), usage::machine());
        let tables = compare::tables(&rows, &hub, seconds);
        let stolen = compare::short(usage::machine().stolen_since(machine));
        return Ok(format!(
            "{tables}\nLoad average before: {before}. The machine's host gave {stolen} % of the requested CPU time to others."
        ));
    };
    let supported = scenario.targets();
    let target = supported.iter().find(|&&kind| arguments.target.is_none_or(|target| target == kind));
    let &target = target.ok_or_else(|| {
        let names = supported.iter().map(|target| target.name()).collect::<Vec<_>>().join(" or ");
        format!("--target: this scenario runs only on {names}")
    })?;
    raise_descriptor_limit(scenario.sockets(target))?;
    let hub = server::prepare(&[target], arguments.hub.clone())?;
    let measurements = scenario.run(target, &hub, seconds)?;
    let lines = measurements
        .iter()
        .map(|measurement| format!("{:>28} {}", measurement.name, compare::short(measurement.value)));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// Asks for the descriptors of `sockets`; the servers inherit them.
fn raise_descriptor_limit(sockets: usize) -> Result<(), String> {
    let wanted = sockets as u64 + 128;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(granted) if granted < wanted => Err(format!("{wanted} open files are needed, the system allows {granted}")),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the limit of open files could not be raised: {error}")),
    }
}
