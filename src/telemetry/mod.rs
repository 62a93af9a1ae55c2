//! The metrics in the format of Prometheus, and the memory of the process.
//!
//! The hub counts in plain atomics ([`Stats`]). A scrape copies them into the recorder, so the delivery path knows no
//! metrics. Each hub has its own recorder; none is installed for the whole process.
//!
//! A new counter of the hub is one row of `stats!` in [`hubbub_actors::runtime::counters`]; any other metric is one row in
//! `table.rs`.

mod memory;
mod metric;
mod process;
mod table;
#[cfg(test)]
mod tests;
mod text;

use dashmap::DashMap;
use hubbub_actors::idempotency::Fill;
use hubbub_actors::runtime::counters::Stats;
use hubbub_actors::store::StoreCounts;
use metrics::{Counter, counter, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

pub use self::memory::{available, resident};
use self::table::{API_REQUESTS, HTTP_REQUESTS, METRICS};
use crate::auth::tokens::AuthStatus;
use crate::http_stream::Connections;
use crate::policies::Reloads;
use crate::upstream::application;
use crate::upstream::application::counts::RequestCounts;

/// The values of a scrape that are not among the hub's counters.
#[derive(Debug, Default)]
pub struct Readings<'a> {
    /// Most sessions at once.
    pub max_connections: usize,
    /// The queues of the hub, with the number of messages that wait in each.
    pub mailboxes: Vec<(String, usize)>,
    /// Bytes of publications that wait for the workers.
    pub lag_bytes: usize,
    /// The stored responses by `Idempotency-Key`.
    pub idempotency: Fill,
    /// The stored replies by `client_id`.
    pub client_ids: Fill,
    /// The counts of the store.
    pub store: StoreCounts,
    /// The services that check tokens.
    pub tokens: AuthStatus,
    /// The application behind the hub, if there is one.
    pub backend: Option<(application::UpstreamStatus, &'a RequestCounts)>,
    /// The plain HTTP connections.
    pub connections: Option<&'a Connections>,
    /// The counts of reloads.
    pub reloads: Option<&'a Reloads>,
    /// Whether the hub is ready.
    pub ready: bool,
    /// Time since the start, in seconds.
    pub uptime_secs: u64,
    /// When the hub started, ms since the epoch.
    pub started_at: i64,
}

/// The recorder of one hub.
pub struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// The counters of [`HTTP_REQUESTS`], by method and status. The recorder would build a key for each request.
    requests: DashMap<(&'static str, u16), Counter>,
}

impl Default for Telemetry {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        Self { handle: recorder.handle(), recorder, requests: DashMap::new() }
    }
}

/// The table of all metrics in `docs/metrics.md`, sorted by name.
pub fn markdown() -> String {
    let mut metrics: Vec<_> = METRICS.iter().collect();
    metrics.sort_by_key(|metric| metric.name);
    let row = |metric: &&metric::Metric| {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        format!("| `{}` | {} | {} | {} |\n", metric.name, metric.kind.as_str(), labels.join(", "), metric.help)
    };
    String::from("| metric | kind | labels | meaning |\n|---|---|---|---|\n")
        + &metrics.iter().map(row).collect::<String>()
}

impl Telemetry {
    /// Counts an answered HTTP request.
    pub fn count_request(&self, method: &'static str, status: u16) {
        if let Some(counter) = self.requests.get(&(method, status)) {
            return counter.increment(1);
        }
        let counter = with_local_recorder(
            &self.recorder,
            || counter!(HTTP_REQUESTS, "method" => method, "status" => status.to_string()),
        );
        counter.increment(1);
        self.requests.insert((method, status), counter);
    }

    /// Counts a request with the API key `name`.
    pub fn count_key(&self, name: &str) {
        with_local_recorder(&self.recorder, || counter!(API_REQUESTS, "key" => name.to_owned()).increment(1));
    }

    /// All metrics in the text format of Prometheus: families sorted by name, series by labels. A metric without samples has
    /// its `HELP` and `TYPE` too.
    pub fn render(&self, stats: &Stats, readings: &Readings<'_>) -> String {
        let mut lines = Vec::new();
        with_local_recorder(&self.recorder, || {
            for metric in METRICS.iter() {
                metric.sample(stats, readings, &mut lines);
            }
        });
        text::sorted(&METRICS, &self.handle.render(), &lines)
    }
}
