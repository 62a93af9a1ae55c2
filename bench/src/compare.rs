//! The scenarios on both targets in turn, several times over, as a Markdown table of medians. The machine's mood changes
//! from minute to minute, so a ratio is taken within one round and the median is of the ratios.

use std::path::Path;

use crate::load::Figure;
use crate::scenario::{Scenario, Seconds};
use crate::target::Target;
use crate::usage;

/// A round: what the hub measured, and what the peer.
type Round = (Vec<Figure>, Vec<Figure>);

/// Runs it all and returns the table.
pub(crate) fn table(scenarios: &[Scenario], hub: &Path, seconds: Seconds, rounds: usize) -> Result<String, String> {
    let mut measured: Vec<Vec<Round>> = scenarios.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for (scenario, results) in scenarios.iter().zip(&mut measured) {
            // Neither is always the first.
            let result = if round % 2 == 0 {
                let ours = scenario.run(Target::Hub, hub, seconds)?;
                (ours, scenario.run(Target::NodeWs, hub, seconds)?)
            } else {
                let theirs = scenario.run(Target::NodeWs, hub, seconds)?;
                (scenario.run(Target::Hub, hub, seconds)?, theirs)
            };
            results.push(result);
        }
        eprintln!("round {} of {rounds} done, load average {}", round + 1, usage::load());
    }
    let mut table = String::from("| | | hub | Node ws | hub / Node ws |\n|---|---|---:|---:|---:|\n");
    for (scenario, results) in scenarios.iter().zip(&measured) {
        table.push_str(&rows(&scenario.title(), results));
    }
    Ok(table)
}

fn rows(title: &str, rounds: &[Round]) -> String {
    let Some((first, _)) = rounds.first() else { return String::new() };
    let mut rows = String::new();
    for (index, figure) in first.iter().enumerate() {
        let values = |pick: fn(&Round) -> &Vec<Figure>| -> Vec<f64> {
            rounds.iter().filter_map(|round| Some(pick(round).get(index)?.value)).collect()
        };
        let (ours, theirs) = (values(|round| &round.0), values(|round| &round.1));
        let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
        let title = if index == 0 { title } else { "" };
        let (ours, theirs, ratio) = (short(median(ours)), short(median(theirs)), short(median(ratios)));
        rows.push_str(&format!("| {title} | {} | {ours} | {theirs} | {ratio} |\n", figure.name));
    }
    rows
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A number with three significant digits.
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
    fn the_ratio_is_the_median_of_the_rounds_own_ratios() {
        let of = |value| vec![Figure { name: "CPU", value }];
        let rounds = [(of(1.0), of(10.0)), (of(8.0), of(16.0)), (of(3.0), of(4.0))];
        assert_eq!(rows("load", &rounds), "| load | CPU | 3.00 | 10.0 | 0.500 |\n");
    }
}
