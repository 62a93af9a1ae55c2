use std::collections::BTreeSet;

use super::metric::{Metric, MetricKind};
use super::*;
use crate::auth::opaque;

/// The readings of a hub that uses every feature.
fn full<'a>(counts: &'a RequestCounts, connections: &'a Connections) -> Readings<'a> {
    let backend = opaque::BackendStatus { answered: 1, failed: 2, shed: 3, cached: 4, waiting: 5, open: true };
    Readings {
        mailboxes: vec![("lag-1".into(), 4), ("lag-0".into(), 3)],
        tokens: AuthStatus { keys: Some((Some(2), 3, 4)), backend: Some(backend) },
        backend: Some((application::UpstreamStatus { in_flight: 1, waiting: 2, open: true }, counts)),
        connections: Some(connections),
        started_at: 1_752_921_000_250,
        ..Readings::default()
    }
}

/// The page of a hub that uses every feature.
fn full_page() -> String {
    let telemetry = Telemetry::default();
    for (method, status) in [("POST", 404), ("GET", 503), ("GET", 200)] {
        telemetry.count_request(method, status);
    }
    telemetry.count_key("billing");
    telemetry.render(&Stats::default(), &full(&RequestCounts::default(), &Connections::new(9, 0)))
}

fn lines_of<'a>(text: &'a str, metric: &str) -> Vec<&'a str> {
    text.lines()
        .filter(|line| {
            line.trim_start_matches("# HELP ")
                .trim_start_matches("# TYPE ")
                .strip_prefix(metric)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        })
        .collect()
}

#[test]
fn the_metrics_of_both_documents_have_help_and_type() {
    let stats = Stats::default();
    stats.sessions.add(42);
    stats.sessions_opened.add(1250);
    stats.users_by_websocket.add(1250);
    stats.guests_by_polling.add(3);
    let telemetry = Telemetry::default();
    telemetry.count_request("GET", 200);
    telemetry.count_request("GET", 200);
    let text = telemetry.render(&stats, &Readings::default());
    assert_eq!(
        lines_of(&text, "websocket_connections_total"),
        [
            "# HELP websocket_connections_total Sessions opened on all surfaces since the start.",
            "# TYPE websocket_connections_total counter",
            "websocket_connections_total 1250",
        ]
    );
    assert_eq!(
        lines_of(&text, "websocket_connections_active"),
        [
            "# HELP websocket_connections_active Open sessions on all surfaces.",
            "# TYPE websocket_connections_active gauge",
            "websocket_connections_active 42",
        ]
    );
    assert_eq!(
        lines_of(&text, "http_requests_total"),
        [
            "# HELP http_requests_total HTTP requests answered, by method and status.",
            "# TYPE http_requests_total counter",
            "http_requests_total{method=\"GET\",status=\"200\"} 2",
        ]
    );
    assert_eq!(
        lines_of(&text, "socket_server_active_connections").last(),
        Some(&"socket_server_active_connections 42")
    );
    let total = lines_of(&text, "socket_server_connections_total");
    assert!(total.contains(&"socket_server_connections_total{authenticated=\"true\",transport=\"websocket\"} 1250"));
    assert!(total.contains(&"socket_server_connections_total{authenticated=\"false\",transport=\"websocket\"} 0"));
    assert!(total.contains(&"socket_server_connections_total{authenticated=\"false\",transport=\"polling\"} 3"));
    assert!(lines_of(&text, "socket_server_events_total").contains(&"socket_server_events_total{event=\"Ping\"} 0"));
}

#[test]
fn families_are_sorted_by_name_and_series_by_labels() {
    let page = full_page();
    let families: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert!(families.is_sorted(), "{families:?}");
    assert_eq!(
        lines_of(&page, "http_requests_total")[2..],
        [
            "http_requests_total{method=\"GET\",status=\"200\"} 1",
            "http_requests_total{method=\"GET\",status=\"503\"} 1",
            "http_requests_total{method=\"POST\",status=\"404\"} 1",
        ]
    );
    assert_eq!(
        lines_of(&page, "hubbub_mailbox_depth")[2..],
        ["hubbub_mailbox_depth{actor=\"lag-0\"} 3", "hubbub_mailbox_depth{actor=\"lag-1\"} 4"]
    );
    // Only the metrics of the process differ between two pages of the same counters.
    let lines = |page: &str| -> Vec<String> {
        page.lines().filter(|line| !line.starts_with("process_")).map(str::to_owned).collect()
    };
    assert_eq!(lines(&page), lines(&full_page()));
}

#[test]
fn every_metric_has_its_help_and_type_once_and_before_its_samples() {
    let empty = Telemetry::default().render(&Stats::default(), &Readings::default());
    for page in [full_page(), empty] {
        let mut lines = page.lines().peekable();
        let mut found = BTreeSet::new();
        while let Some(line) = lines.next() {
            let name = line.strip_prefix("# HELP ").and_then(|rest| rest.split(' ').next()).unwrap();
            assert!(found.insert(name), "{name} twice");
            let metric = METRICS.iter().find(|metric| metric.name == name).unwrap();
            let kind = format!("# TYPE {name} {}", metric.kind.as_str());
            assert_eq!(lines.next(), Some(kind.as_str()));
            while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
                let (series, value) = sample.rsplit_once(' ').unwrap();
                value.parse::<f64>().unwrap();
                assert!(series.starts_with(name), "{series} under {name}");
            }
        }
        assert_eq!(found.len(), METRICS.len(), "and each name is in the table once");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_hub_that_uses_every_feature_has_a_sample_of_every_metric() {
    let page = full_page();
    for Metric { name, labels, .. } in METRICS.iter() {
        let sample = page.lines().find(|line| !line.starts_with('#') && line.starts_with(name)).unwrap();
        for label in *labels {
            assert!(sample.contains(&format!("{label}=\"")), "{name} by {label}");
        }
    }
}

#[test]
fn the_version_and_the_start_are_shown() {
    let page = full_page();
    let version = format!("hubbub_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        lines_of(&page, "hubbub_build_info"),
        [
            "# HELP hubbub_build_info The version of the running hub; the value is 1.",
            "# TYPE hubbub_build_info gauge",
            &version,
        ]
    );
    assert_eq!(lines_of(&page, "process_start_time_seconds")[2], "process_start_time_seconds 1752921000.25");
    assert_eq!(lines_of(&page, "process_cpu_seconds_total")[1], "# TYPE process_cpu_seconds_total counter");
}

#[test]
fn every_help_is_one_short_plain_sentence_with_its_unit() {
    const NOT_PLAIN: &[&str] = &[
        "those",
        "whom",
        "whose",
        "comings",
        "goings",
        "parked",
        "kept",
        "want of",
        "gave way",
        "in vain",
        "there ever",
    ];

    for Metric { name, kind, help, .. } in METRICS.iter() {
        assert!(help.len() <= 110 && help.ends_with('.') && !help.contains(". "), "{name}: {help}");
        assert!(help.starts_with(|first: char| first.is_ascii_uppercase() || first == '1'), "{name}: {help}");
        assert!(!NOT_PLAIN.iter().any(|word| help.to_lowercase().contains(word)), "{name}: {help}");
        for unit in ["bytes", "seconds"] {
            assert_eq!(name.contains(&format!("_{unit}")), help.contains(unit), "{name}: {help}");
        }
        assert_eq!(*kind == MetricKind::Counter, name.ends_with("_total"), "{name}");
    }
}

/// Finds a counter that is in no row of the table.
#[test]
fn every_counter_of_the_hub_is_shown() {
    const NOT_SHOWN: &[&str] = &["sessions_since"];

    for (field, count) in Stats::COUNTS.iter().filter(|(field, _)| !NOT_SHOWN.contains(field)) {
        let stats = Stats::default();
        count(&stats).add(987_654_321);
        let page = Telemetry::default().render(&stats, &Readings::default());
        assert!(page.lines().any(|line| line.ends_with(" 987654321")), "{field} is in no row of the table");
    }
}

#[test]
fn the_buckets_of_a_histogram_are_cumulative_and_in_order() {
    let counts = RequestCounts::default();
    let page = Telemetry::default().render(&Stats::default(), &full(&counts, &Connections::new(9, 0)));
    let (_, family) = page.split_once("# TYPE hubbub_backend_seconds histogram\n").unwrap();
    let lines: Vec<_> = family.lines().take_while(|line| !line.starts_with('#')).collect();
    assert_eq!(lines[0], "hubbub_backend_seconds_bucket{le=\"0.005\"} 0");
    assert_eq!(
        lines[9..],
        [
            "hubbub_backend_seconds_bucket{le=\"5\"} 0",
            "hubbub_backend_seconds_bucket{le=\"+Inf\"} 0",
            "hubbub_backend_seconds_sum 0",
            "hubbub_backend_seconds_count 0",
        ]
    );
}

#[test]
fn two_hubs_in_one_process_count_separately() {
    let (one, other) = (Telemetry::default(), Telemetry::default());
    one.count_request("GET", 200);
    let text = other.render(&Stats::default(), &Readings::default());
    assert!(!text.contains("http_requests_total{"));
}

/// `docs/metrics.md`.
fn manual() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap()
}

#[test]
fn the_alerts_name_metrics_and_label_values_that_exist() {
    let (manual, page) = (manual(), full_page());
    let (_, alerts) = manual.split_once("## What to alert on").unwrap();
    let alerts = alerts.split("\n## ").next().unwrap();
    let expressions: Vec<_> = alerts
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .map(|row| row.split('|').nth(2).unwrap())
        .collect();
    assert!(expressions.len() >= 10, "{expressions:?}");
    let named: BTreeSet<_> = expressions
        .iter()
        .flat_map(|expression| expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')))
        .filter(|word| ["hubbub_", "process_", "websocket_"].iter().any(|prefix| word.starts_with(prefix)))
        .collect();
    for name in named {
        assert!(METRICS.iter().any(|metric| metric.name == text::family(name)), "{name} is no metric");
    }
    // Prometheus itself makes `up`.
    let of_the_hub = expressions.iter().map(|expression| expression.replace("up{job=\"hubbub\"}", "up"));
    for selector in of_the_hub.flat_map(|it| it.split('{').skip(1).map(str::to_owned).collect::<Vec<_>>()) {
        let selector = selector.split('}').next().unwrap();
        // A regular expression of a prefix: a series has a label value with this prefix.
        let series = match selector.strip_suffix(".*\"") {
            Some(prefix) => format!("{{{}", prefix.replace("!~", "=").replace("=~", "=")),
            None => format!("{{{selector}}}"),
        };
        assert!(page.contains(&series), "{selector} is in no series");
    }
}
