//! `hubbub-bench`: what the hub costs, beside its peers, on this machine.
//!
//! ```text
//! cargo run --release -p hubbub-bench -- compare [--quick]
//! cargo run --release -p hubbub-bench -- fanout --in-flight 16 --target hub-socketio
//! ```
//!
//! The measure is the server's CPU time for a delivery: it says what the server does, where deliveries a second also say
//! what the generator took away on the same cores. Every delivery is checked (see [`broadcast`]); a run in which one is
//! lost, doubled or out of order fails. Only loopback addresses, and servers that the bench starts and stops itself.
//!
//! * [`swarm`] holds the connections, one thread and one epoll, [`opening`] has them join; [`dialect`] says what they
//!   speak, and [`frame`] what that travels in;
//! * [`broadcast`], [`reply`] and [`parked`] are the loads, [`load`] runs one and measures, with [`usage`] and [`latency`];
//! * [`attack`] is a room while anonymous clients attack;
//! * [`scenario`] says how many connections do what to a [`target`], and [`compare`] makes the table of [`plan`].

mod attack;
mod broadcast;
mod compare;
mod dialect;
mod frame;
mod latency;
mod load;
mod opening;
mod parked;
mod plan;
mod reply;
mod scenario;
mod swarm;
mod target;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::broadcast::Pace;
use crate::scenario::Scenario;
use crate::target::Target;

/// Measures what the hub costs, beside its peers.
#[derive(Debug, Parser)]
#[command(name = "hubbub-bench")]
struct Arguments {
    /// What to run
    what: What,
    /// On which server, when it is one scenario; by default on the hub
    #[arg(long, value_enum)]
    target: Option<Target>,
    /// The hub's binary, instead of building this checkout's
    #[arg(long, value_name = "FILE")]
    hub: Option<PathBuf>,
    /// Measure for 2 seconds instead of 6, and what changes little only once
    #[arg(long)]
    quick: bool,
    /// Measure for so many seconds, at a fixed rate for four times as many, and what is idle for a heartbeat's time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,
    /// How often to compare
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    /// Compare only the scenarios, or measure only the attacks, whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Messages in flight (fanout)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    in_flight: u16,
    /// Messages a second, at fixed times, instead of some in flight (fanout)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Option<u32>,
    /// How many members (fanout, mixed, push: 1000; stopped: 20), rooms (rooms: 100) or connections (reply: 64; idle: 10000) or attackers (attack: 200)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=50_000))]
    count: Option<u16>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// All scenarios on all servers, as tables
    Compare,
    /// One publisher to one large room
    Fanout,
    /// Many small rooms, a publisher in each
    Rooms,
    /// Request and reply
    Reply,
    /// Connections that do nothing
    Idle,
    /// A room with one member that reads nothing
    Stopped,
    /// A room with members on both wires (hub only)
    Mixed,
    /// Messages by HTTP to one large room (hub only)
    Push,
    /// Socket.IO sessions that are cut off and come back (hub only)
    Parked,
    /// A room while anonymous clients attack, kind after kind (hub only; `--only` for some kinds)
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
        return Err("a generator that is not optimised measures itself: run it with --release".into());
    }
    let count = |default| arguments.count.map_or(default, usize::from);
    let pace = arguments.rate.map_or(Pace::InFlight(arguments.in_flight.into()), Pace::EachSecond);
    let one = match arguments.what {
        What::Compare | What::Attack => None,
        What::Fanout => Some(Scenario::Fanout { members: count(1000), pace }),
        What::Rooms => Some(Scenario::Rooms { rooms: count(100) }),
        What::Reply => Some(Scenario::Reply { connections: count(64) }),
        What::Idle => Some(Scenario::Idle { connections: count(10_000), watched: true }),
        What::Stopped => Some(Scenario::Stopped { members: count(20) }),
        What::Mixed => Some(Scenario::Mixed { members: count(1000) }),
        What::Parked => Some(Scenario::Parked { sessions: count(10_000) }),
        What::Push => Some(Scenario::Push { members: count(1000) }),
    };
    let seconds = arguments.seconds.unwrap_or(if arguments.quick { 2 } else { 6 });
    if matches!(arguments.what, What::Attack) {
        raise_descriptor_limit([Scenario::victim()].into_iter())?;
        let hub = target::prepare(&[Target::Hub], arguments.hub.clone())?;
        return attack::run(&hub, count(200), seconds, arguments.only.as_deref());
    }
    let Some(scenario) = one else {
        let mut rows = plan::rows(arguments.rounds.into(), arguments.quick);
        rows.retain(|row| arguments.only.as_deref().is_none_or(|only| row.scenario.title().contains(only)));
        raise_descriptor_limit(rows.iter().map(|row| row.scenario))?;
        let hub = target::prepare(&Target::ALL, arguments.hub.clone())?;
        let (before, machine) = (usage::load(), usage::machine());
        let tables = compare::tables(&rows, &hub, seconds);
        let stolen = compare::short(usage::machine().stolen_since(machine));
        return Ok(format!(
            "{tables}\nLoad average before: {before}. Of the CPU time asked for, the machine's host gave {stolen} % to others."
        ));
    };
    let able = scenario.targets();
    let target = able.iter().find(|&&able| arguments.target.is_none_or(|target| target == able));
    let &target = target.ok_or_else(|| {
        let names = able.iter().map(|target| target.name()).collect::<Vec<_>>().join(" or ");
        format!("--target: this can be measured on {names} alone")
    })?;
    raise_descriptor_limit([scenario].into_iter())?;
    let hub = target::prepare(&[target], arguments.hub.clone())?;
    let figures = scenario.run(target, &hub, seconds)?;
    let lines = figures.iter().map(|figure| format!("{:>28} {}", figure.name, compare::short(figure.value)));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// Asks for the descriptors that the largest scenario needs; the servers inherit them.
fn raise_descriptor_limit(scenarios: impl Iterator<Item = Scenario>) -> Result<(), String> {
    let wanted = scenarios.map(Scenario::connections).max().unwrap_or(0) as u64 + 128;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(granted) if granted < wanted => Err(format!("{wanted} open files are needed, the system allows {granted}")),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the limit of open files could not be raised: {error}")),
    }
}
