//! Sorts the text of a scrape: the recorder uses hash maps of varying order.

use std::collections::BTreeMap;

use super::metric::{Metric, MetricKind};

/// The families of `metrics` by name, each with its `HELP`, its `TYPE` and its samples by labels. The samples come from
/// `recorded`, the text of the recorder, and from `histograms`, which keep their order.
pub(super) fn sorted(metrics: &[Metric], recorded: &str, histograms: &[String]) -> String {
    let mut families: BTreeMap<&str, (&Metric, Vec<&str>)> =
        metrics.iter().map(|metric| (metric.name, (metric, Vec::new()))).collect();
    let samples = recorded.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in samples.chain(histograms.iter().map(String::as_str)) {
        let name = line.split([' ', '{']).next().unwrap_or_default();
        let name = if families.contains_key(name) { name } else { family(name) };
        if let Some((_, lines)) = families.get_mut(name) {
            lines.push(line);
        }
    }
    let mut text = String::with_capacity(recorded.len() * 2);
    for (name, (metric, mut lines)) in families {
        if metric.kind != MetricKind::Histogram {
            lines.sort_unstable();
        }
        text.push_str(&format!("# HELP {name} {}\n# TYPE {name} {}\n", metric.help, metric.kind.as_str()));
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// The name of the histogram with a sample of this name, or the name itself.
pub(super) fn family(name: &str) -> &str {
    let parts = ["_bucket", "_sum", "_count"];
    parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)
}
