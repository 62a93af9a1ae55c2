//! `hubbub-bench`: what the hub costs, beside Node's `ws`, on this machine.
//!
//! ```text
//! cargo run --release -p hubbub-bench -- compare [--quick]
//! cargo run --release -p hubbub-bench -- fanout --in-flight 16 --target hub
//! ```
//!
//! The measure is the server's CPU time for a delivery: it says what the server does, where deliveries a second also say
//! what the generator took away on the same cores. Every delivery is checked (see [`broadcast`]); a run in which one is
//! lost, doubled or out of order fails. Only loopback addresses, and servers that the bench starts and stops itself.
//!
//! * [`swarm`] holds the connections, one thread and one epoll, and [`frame`] what they read and write;
//! * [`broadcast`] and [`reply`] are the loads, [`load`] runs one and measures, with [`usage`] and [`latency`];
//! * [`scenario`] says how many connections do what to a [`target`], and [`compare`] makes the table.

mod broadcast;
mod compare;
mod frame;
mod latency;
mod load;
mod reply;
mod scenario;
mod swarm;
mod target;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::scenario::{Scenario, Seconds};
use crate::target::Target;

/// Measures what the hub costs, beside Node's ws.
#[derive(Debug, Parser)]
#[command(name = "hubbub-bench")]
struct Arguments {
    /// What to run
    what: What,
    /// On which server, when it is one scenario
    #[arg(long, value_enum, default_value = "hub")]
    target: Target,
    /// The hub's binary, instead of building this checkout's
    #[arg(long, value_name = "FILE")]
    hub: Option<PathBuf>,
    /// Measure for 2 seconds instead of 6, of idleness 10 instead of 30
    #[arg(long)]
    quick: bool,
    /// Measure for so many seconds, of idleness too
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,
    /// How often to compare
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    /// Messages in flight (fanout)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    in_flight: u16,
    /// How many members (fanout: 1000), rooms (rooms: 100) or connections (reply: 64; idle: 5000)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=25_000))]
    count: Option<u16>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// All scenarios on both servers, as a table
    Compare,
    /// One publisher to one large room
    Fanout,
    /// Many small rooms, a publisher in each
    Rooms,
    /// Request and reply
    Reply,
    /// Connections that do nothing
    Idle,
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
    let count = |default| arguments.count.map_or(default, usize::from);
    let fanout = |in_flight| Scenario::Fanout { members: count(1000), in_flight };
    let rooms = Scenario::Rooms { rooms: count(100) };
    let reply = Scenario::Reply { connections: count(64) };
    let idle = Scenario::Idle { connections: count(5000) };
    let one = match arguments.what {
        What::Compare => None,
        What::Fanout => Some(fanout(arguments.in_flight.into())),
        What::Rooms => Some(rooms),
        What::Reply => Some(reply),
        What::Idle => Some(idle),
    };
    let seconds = match (arguments.seconds, arguments.quick) {
        (Some(seconds), _) => Seconds { load: seconds, idle: seconds },
        (None, true) => Seconds { load: 2, idle: 10 },
        (None, false) => Seconds { load: 6, idle: 30 },
    };
    let Some(scenario) = one else {
        if arguments.count.is_some() {
            return Err("--count is for one scenario".into());
        }
        let all = [fanout(1), fanout(16), rooms, reply, idle];
        raise_descriptor_limit(&all)?;
        let hub = target::prepare(&[Target::Hub, Target::NodeWs], arguments.hub.clone())?;
        let before = usage::load();
        let table = compare::table(&all, &hub, seconds, arguments.rounds.into())?;
        return Ok(format!("{table}\nMedians of {}; load average before: {before}.", arguments.rounds));
    };
    raise_descriptor_limit(&[scenario])?;
    let hub = target::prepare(&[arguments.target], arguments.hub.clone())?;
    let figures = scenario.run(arguments.target, &hub, seconds)?;
    let lines = figures.iter().map(|figure| format!("{:>24} {}", figure.name, compare::short(figure.value)));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// Asks for the descriptors that the largest scenario needs; the servers inherit them.
fn raise_descriptor_limit(scenarios: &[Scenario]) -> Result<(), String> {
    let wanted = scenarios.iter().map(|scenario| scenario.connections()).max().unwrap_or(0) as u64 + 128;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(granted) if granted < wanted => Err(format!("{wanted} open files are needed, the system allows {granted}")),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the limit of open files could not be raised: {error}")),
    }
}
