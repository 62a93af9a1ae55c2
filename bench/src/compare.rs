//! Runs the scenarios on all servers in turn, in several rounds, and makes Markdown tables: the medians, and the ratios of
//! the hub to each peer. The machine's speed varies over minutes. So each ratio is of one round, and the table has the
//! median of the ratios.

use std::path::Path;

use crate::load::{CPU, GROWTH, IDLE_CPU, MEMORY, Measurement, P99};
use crate::plan::{ComparisonRow, GROWN, SMALL};
use crate::scenario::Scenario;
use crate::server::ServerKind;
use crate::usage;

/// The hub and the peer of each ratio.
const PAIRS: [(ServerKind, ServerKind); 5] = [
    (ServerKind::Hub, ServerKind::NodeWs),
    (ServerKind::Hub, ServerKind::NodeSocketio),
    (ServerKind::Hub, ServerKind::Socketioxide),
    (ServerKind::HubSocketio, ServerKind::NodeSocketio),
    (ServerKind::HubSocketio, ServerKind::Socketioxide),
];

/// The metrics with a meaningful ratio.
const RATIOS: [&str; 5] = [CPU, P99, MEMORY, IDLE_CPU, GROWTH];

/// The measurements of one round of a row, in the order of [`ServerKind::COMPARED`].
type RoundResult = [Option<Vec<Measurement>>; ServerKind::COMPARED.len()];

/// Runs all rows. Returns the tables, and the errors below them.
pub(crate) fn tables(rows: &[ComparisonRow], hub: &Path, seconds: u64) -> String {
    let mut measured: Vec<Vec<RoundResult>> = rows.iter().map(|_| Vec::new()).collect();
    let rounds = rows.iter().map(|row| row.rounds).max().unwrap_or(0);
    let mut failed = String::new();
    for round in 0..rounds {
        for (row, results) in rows.iter().zip(&mut measured).filter(|(row, _)| round < row.rounds) {
            let mut result = RoundResult::default();
            // Each round starts with another server.
            let turn = round % row.targets.len().max(1);
            for &target in row.targets.iter().cycle().skip(turn).take(row.targets.len()) {
                match (row.scenario.run(target, hub, seconds), result.get_mut(target as usize)) {
                    (Ok(metrics), Some(slot)) => *slot = Some(metrics),
                    (Err(error), _) => failed.push_str(&format!("\nFailed, and not in the tables: {error}.\n")),
                    (Ok(_), None) => {}
                }
            }
            results.push(result);
        }
        eprintln!("round {} of {rounds} done, load average {}", round + 1, usage::load());
    }
    let names = ServerKind::COMPARED.map(ServerKind::name).join(" | ");
    let mut tables = format!("| | | {names} |\n|---|---|{}\n", "---:|".repeat(ServerKind::COMPARED.len()));
    for (row, rounds) in rows.iter().zip(&measured) {
        let cells = |name| {
            ServerKind::COMPARED.map(|target| median(values(rounds, target, name).into_iter().flatten().collect()))
        };
        tables.push_str(&lines(row.scenario, row.shows, cells));
    }
    let names = PAIRS.map(|(hub, peer)| format!("{} ÷ {}", hub.name(), peer.name())).join(" | ");
    tables.push_str(&format!("\n| | | {names} |\n|---|---|{}\n", "---:|".repeat(PAIRS.len())));
    for (row, rounds) in rows.iter().zip(&measured).filter(|(row, _)| row.targets.len() == ServerKind::COMPARED.len()) {
        let has_ratio = |name| RATIOS.contains(&name) && (name != P99 || row.scenario.is_paced());
        let shows = row.shows.iter().copied().filter(|&name| has_ratio(name)).collect::<Vec<_>>();
        let cells = |name: &'static str| PAIRS.map(|(hub, peer)| ratio((rounds, hub), (rounds, peer), name));
        tables.push_str(&lines(row.scenario, &shows, cells));
    }
    let rounds_of = |scenario| rows.iter().zip(&measured).find(|(row, _)| row.scenario == scenario);
    if let (Some((_, small)), Some((row, grown))) = (rounds_of(SMALL), rounds_of(GROWN)) {
        tables.push_str("\nCPU of a delivery to 10,000 ÷ to 1,000:");
        for &target in row.targets {
            let growth = ratio((grown, target), (small, target), CPU).map_or(String::new(), short);
            tables.push_str(&format!(" {} {growth};", target.name()));
        }
        tables.push('\n');
    }
    tables.push_str(&failed);
    tables
}

/// The table lines of a scenario.
fn lines<const N: usize>(
    scenario: Scenario,
    shows: &[&'static str],
    cells: impl Fn(&'static str) -> [Option<f64>; N],
) -> String {
    let line = |(index, &name): (usize, &&'static str)| {
        let title = if index == 0 { scenario.title() } else { String::new() };
        let cells = cells(name).map(|cell| cell.map_or(String::new(), short)).join(" | ");
        format!("| {title} | {name} | {cells} |\n")
    };
    shows.iter().enumerate().map(line).collect()
}

/// A metric of a server in each round.
fn values(rounds: &[RoundResult], target: ServerKind, name: &str) -> Vec<Option<f64>> {
    let of = |round: &RoundResult| {
        let metrics = round.get(target as usize)?.as_ref()?;
        metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value)
    };
    rounds.iter().map(of).collect()
}

/// The median of the ratios of two servers in each round.
fn ratio(ours: (&[RoundResult], ServerKind), theirs: (&[RoundResult], ServerKind), name: &str) -> Option<f64> {
    let (ours, theirs) = (values(ours.0, ours.1, name), values(theirs.0, theirs.1, name));
    median(ours.into_iter().zip(theirs).filter_map(|(ours, theirs)| Some(ours? / theirs?)).collect())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.get((values.len().checked_sub(1)?) / 2..=values.len() / 2)?;
    Some(middle.iter().sum::<f64>() / middle.len() as f64)
}

/// A number with three significant digits; without decimals from 100 on.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        ..1.0 => format!("{value:.3}"),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_the_ratios_of_the_rounds() {
        let of = |value| Some(vec![Measurement { name: CPU, value }]);
        let rounds =
            [(1.0, 10.0), (8.0, 16.0), (3.0, 4.0)].map(|(ours, theirs)| [of(ours), None, of(theirs), None, None]);
        assert_eq!(ratio((&rounds, ServerKind::Hub), (&rounds, ServerKind::NodeWs), CPU), Some(0.5));
        assert_eq!(ratio((&rounds, ServerKind::Hub), (&rounds, ServerKind::Socketioxide), CPU), None);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }
}
