//! What is compared: the scenarios of the README's tables, on whom and how often. A table of like things.

use crate::broadcast::Pace;
use crate::compare::Row;
use crate::load::{CONNECTING, CPU, GROWTH, IDLE_CPU, LOST, MEMORY, P50, P99, RATE};
use crate::parked::{LIVE, PARKED, RECOVERY};
use crate::scenario::Scenario;
use crate::target::Target;

/// A room, and one of ten times as many: a delivery should cost the same.
pub(crate) const SMALL: Scenario = Scenario::Fanout { members: 1000, pace: Pace::InFlight(1) };
pub(crate) const GROWN: Scenario = Scenario::Fanout { members: 10_000, pace: Pace::InFlight(1) };

/// The rows of a comparison in `rounds` rounds; with `quick`, what is idle, which changes little, is measured once.
pub(crate) fn rows(rounds: usize, quick: bool) -> Vec<Row> {
    let steady = if quick { 1 } else { rounds };
    let on = |scenario, targets, rounds, shows| Row { scenario, targets, rounds, shows };
    let row = |scenario: Scenario, rounds, shows| on(scenario, scenario.targets(), rounds, shows);
    let fanout = |members, pace| Scenario::Fanout { members, pace };
    let idle = |connections, watched| Scenario::Idle { connections, watched };
    vec![
        row(SMALL, rounds, &[CPU, RATE, P99]),
        on(GROWN, &Target::HUB, rounds, &[CPU]),
        row(fanout(1000, Pace::InFlight(16)), rounds, &[CPU, RATE, P99]),
        row(fanout(1000, Pace::EachSecond(50)), rounds, &[CPU, RATE, P50, P99]),
        row(Scenario::Rooms { rooms: 100 }, rounds, &[CPU, RATE, P99]),
        row(Scenario::Reply { connections: 64 }, rounds, &[CPU, RATE, P99]),
        row(idle(10_000, true), steady, &[MEMORY, IDLE_CPU, CONNECTING, LOST]),
        row(Scenario::Stopped { members: 20 }, rounds, &[GROWTH, RATE, P99]),
        row(Scenario::Push { members: 1000 }, rounds, &[CPU, RATE, P99]),
        row(Scenario::Mixed { members: 1000 }, rounds, &[CPU, RATE, P99]),
        row(Scenario::Parked { sessions: 10_000 }, steady, &[LIVE, PARKED, RECOVERY]),
        on(idle(1000, false), &Target::HUB, steady, &[MEMORY]),
        on(idle(15_000, false), &Target::HUB, steady, &[MEMORY]),
    ]
}
