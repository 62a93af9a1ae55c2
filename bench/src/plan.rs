//! The scenarios of the tables in docs/performance.md, with their servers and rounds.

use crate::broadcast::PublishRate;
use crate::load::{CONNECTING, CPU, GROWTH, IDLE_CPU, LOST, MEMORY, P50, P99, RATE};
use crate::scenario::Scenario;
use crate::server::ServerKind;
use crate::suspended::{LIVE, RECOVERY, SUSPENDED};

/// A scenario, its servers and its number of rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ComparisonRow {
    pub(crate) scenario: Scenario,
    pub(crate) targets: &'static [ServerKind],
    pub(crate) rounds: usize,
    /// The metrics in the table.
    pub(crate) shows: &'static [&'static str],
}

/// Two rooms, the second ten times as large. A delivery should cost the same in both.
pub(crate) const SMALL: Scenario = Scenario::Fanout { members: 1000, rate: PublishRate::InFlight(1) };
pub(crate) const GROWN: Scenario = Scenario::Fanout { members: 10_000, rate: PublishRate::InFlight(1) };

/// The rows of a comparison in `rounds` rounds. With `quick`, idle and suspended sessions have one round: they vary little.
pub(crate) fn rows(rounds: usize, quick: bool) -> Vec<ComparisonRow> {
    let steady = if quick { 1 } else { rounds };
    let on = |scenario, targets, rounds, shows| ComparisonRow { scenario, targets, rounds, shows };
    let row = |scenario, rounds, shows| on(scenario, &ServerKind::COMPARED, rounds, shows);
    let fanout = |members, rate| Scenario::Fanout { members, rate };
    let idle = |connections, watched| Scenario::Idle { connections, watched };
    vec![
        row(SMALL, rounds, &[CPU, RATE, P99]),
        on(GROWN, &ServerKind::HUB, rounds, &[CPU]),
        row(fanout(1000, PublishRate::InFlight(16)), rounds, &[CPU, RATE, P99]),
        row(fanout(1000, PublishRate::PerSecond(50)), rounds, &[CPU, RATE, P50, P99]),
        row(Scenario::Rooms { rooms: 100 }, rounds, &[CPU, RATE, P99]),
        row(Scenario::Reply { connections: 64 }, rounds, &[CPU, RATE, P99]),
        row(idle(10_000, true), steady, &[MEMORY, IDLE_CPU, CONNECTING, LOST]),
        row(Scenario::Stopped { members: 20 }, rounds, &[GROWTH, RATE, P99]),
        on(Scenario::Push { members: 1000 }, &ServerKind::HUB, rounds, &[CPU, RATE, P99]),
        on(Scenario::Mixed { members: 1000 }, &[ServerKind::HubSocketio], rounds, &[CPU, RATE, P99]),
        on(Scenario::Suspended { sessions: 10_000 }, &[ServerKind::HubSocketio], steady, &[LIVE, SUSPENDED, RECOVERY]),
        on(idle(1000, false), &ServerKind::HUB, steady, &[MEMORY]),
        on(idle(15_000, false), &ServerKind::HUB, steady, &[MEMORY]),
    ]
}
