//! The alert rules and the dashboard: each metric exists in the hub, with its kind.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use hubbub::config::Config;
use serde_json::Value;

use crate::support::Hub;
use crate::support::blocks::page;
use crate::support::tools::debian_program;

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// Words of expressions that look like metrics.
const NO_METRICS: &[&str] = &["histogram_quantile", "label_values", "__rate_interval"];

/// Every family of a hub's `/metrics` with its kind. A family without samples is there too.
fn families() -> BTreeMap<String, String> {
    let page = Hub::start().get("/metrics").body;
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// The rules: the name, the expression and the minutes of each, as docs/metrics.md has them in a table.
fn alerts() -> Vec<String> {
    let text = fs::read_to_string(format!("{DEPLOY}/prometheus/hubbub.rules.yml")).unwrap();
    let (_, rules) = text.split_once("- alert: ").unwrap();
    let row = |rule: &str| {
        let (name, rest) = rule.split_once('\n').unwrap();
        let field = |name: &str| rest.lines().find_map(|line| line.trim().strip_prefix(name));
        let minutes = field("for: ").map(|time| time.strip_suffix('m').unwrap());
        let minutes = minutes.map(|minutes| format!(" for {minutes} minute{}", if minutes == "1" { "" } else { "s" }));
        format!("| `{name}` | `{}`{} |", field("expr: ").unwrap(), minutes.unwrap_or_default())
    };
    rules.split("- alert: ").map(row).collect()
}

/// The expressions in the rules.
fn rules() -> Vec<String> {
    alerts().iter().map(|alert| alert.split('`').nth(3).unwrap().to_owned()).collect()
}

/// The dashboard's rows, each with its expressions.
fn dashboard() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(format!("{DEPLOY}/grafana/dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        if panel["type"] == "row" {
            rows.push((panel["title"].as_str().unwrap().to_owned(), Vec::new()));
            continue;
        }
        let targets = panel["targets"].as_array().unwrap().iter();
        rows.last_mut().unwrap().1.extend(targets.map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    rows
}

/// The metrics in an expression, each with whether it is the argument of a rate. Labels in braces are left out.
fn metrics(expression: &str) -> Vec<(String, bool)> {
    let mut plain = String::new();
    let mut depth = 0;
    for letter in expression.chars() {
        depth += i32::from(letter == '{');
        if depth == 0 {
            plain.push(letter);
        }
        depth -= i32::from(letter == '}');
    }
    let mut found = Vec::new();
    let mut before = String::new();
    for word in plain.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
        let name = word.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        if name.contains('_') && !NO_METRICS.contains(&name) {
            found.push((name.to_owned(), before.ends_with("rate(") || before.ends_with("increase(")));
        }
        before = word.to_owned();
    }
    found
}

#[test]
fn metrics_are_found_in_expressions() {
    let found = metrics(r#"histogram_quantile(0.9, sum by (le) (rate(a_bucket{x_y="z_w"}[5m]))) > 1 or b_c == 0"#);
    assert_eq!(found, [("a_bucket".to_owned(), true), ("b_c".to_owned(), false)]);
}

#[test]
fn every_metric_of_the_rules_and_the_dashboard_exists() {
    let families = families();
    let expressions = dashboard().into_iter().flat_map(|(_, expressions)| expressions).chain(rules());
    let mut checked = 0;
    for expression in expressions {
        for (name, is_rated) in metrics(&expression) {
            let base = name.strip_suffix("_bucket").unwrap_or(&name);
            let kind = families.get(base).unwrap_or_else(|| panic!("no metric {base}: {expression}"));
            assert_eq!(kind == "histogram", base != name, "{name} is a {kind}: {expression}");
            assert_eq!(
                is_rated,
                kind != "gauge" && name != "process_start_time_seconds",
                "{name}, a {kind}: {expression}"
            );
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked}");
}

#[test]
fn the_page_of_metrics_has_the_same_alerts_as_the_rules() {
    let page = page("metrics");
    let (_, section) = page.split_once("## What to alert on").unwrap();
    let rows: Vec<_> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let alerts = alerts();
    assert_eq!(rows.len(), alerts.len());
    for (row, alert) in rows.iter().zip(&alerts) {
        // Rules select the hub's own series of metrics that other programs have, too.
        let alert = alert.replace(r#"{job="hubbub"}"#, "");
        assert!(row.replace(r#"{job="hubbub"}"#, "").starts_with(&alert), "{row}\nis not\n{alert}");
    }
}

#[test]
fn the_dashboard_has_a_row_for_each_subject() {
    let rows: Vec<_> = dashboard().into_iter().map(|(title, _)| title).collect();
    assert_eq!(rows, ["Connections", "Deliveries", "Latency", "Memory", "Refusals", "Limits", "Store", "Backends"]);
}

#[test]
fn promtool_accepts_the_rules_and_their_alerts() {
    let promtool = debian_program("promtool", "prometheus");
    let dir = tempfile::tempdir().unwrap();
    for from in
        ["deploy/prometheus/hubbub.rules.yml", "deploy/prometheus/prometheus.yml", "tests/deploy/rules.test.yml"]
    {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(from);
        fs::copy(&from, dir.path().join(from.file_name().unwrap())).unwrap();
    }
    for arguments in [["check", "config", "prometheus.yml"], ["test", "rules", "rules.test.yml"]] {
        let output = Command::new(&promtool).current_dir(dir.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    let limits = Config::default().limits;
    for half in [
        format!("hubbub_mailbox_depth{{actor!~\"lag-.*\"}}) > {}", limits.mailbox / 2),
        format!("hubbub_mailbox_depth{{actor=~\"lag-.*\"}}) > {}", limits.lag / 2),
        format!("hubbub_lag_bytes > {}", limits.lag_bytes / 2),
    ] {
        assert!(rules().iter().any(|rule| rule.contains(&half)), "{half}");
    }
}
