//! The metrics as Prometheus reads them, and the memory of the process.
//!
//! The hub counts in plain atomics ([`Stats`]). A scrape copies them into the recorder, so nothing on the delivery path
//! knows of metrics. The recorder belongs to one hub and is not installed for the whole process: several hubs in one
//! test process each count for themselves.
//!
//! A new metric is one row of the table in `table.rs`.

mod memory;
mod metric;
mod process;
mod table;
#[cfg(test)]
mod tests;
mod text;

use hubbub_actors::idempotency::Fill;
use hubbub_actors::runtime::counters::Stats;
use hubbub_actors::store::Counts;
use metrics::{counter, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

pub use self::memory::{available, resident};
use self::metric::SampleWriter;
use self::table::{HTTP_REQUESTS, METRICS};
use crate::auth::tokens::Standing;
use crate::http_stream::Connections;
use crate::policies::Reloads;
use crate::upstream::application;
use crate::upstream::application::counts::RequestCounts;

/// What is read at scrape time and is not among the hub's counters.
#[derive(Debug, Default)]
pub struct Readings<'a> {
    /// Sessions that may be connected at once.
    pub max_connections: usize,
    /// The central actors' mailboxes and what waits in each.
    pub mailboxes: Vec<(String, usize)>,
    /// What is remembered of requests with an `Idempotency-Key`.
    pub idempotency: Fill,
    /// What is remembered of publishes with a `client_id`.
    pub client_ids: Fill,
    /// What the store has done.
    pub store: Counts,
    /// Those who are asked about tokens.
    pub tokens: Standing,
    /// The application behind the hub, where there is one.
    pub backend: Option<(application::UpstreamStatus, &'a RequestCounts)>,
    /// The plain HTTP connections.
    pub connections: Option<&'a Connections>,
    /// How reloads went.
    pub reloads: Option<&'a Reloads>,
    /// Whether the hub can be given work.
    pub ready: bool,
    /// Seconds since the start.
    pub uptime_secs: u64,
    /// When the hub started, ms since the epoch.
    pub started_at: i64,
}

/// The recorder of one hub.
pub struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Default for Telemetry {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        Self { handle: recorder.handle(), recorder }
    }
}

impl Telemetry {
    /// Counts one HTTP request that was answered.
    pub fn count_request(&self, method: &'static str, status: u16) {
        with_local_recorder(&self.recorder, || {
            counter!(HTTP_REQUESTS, "method" => method, "status" => status.to_string()).increment(1);
        });
    }

    /// All metrics in Prometheus' text format: families sorted by name, series by labels. A metric without a sample has
    /// its `HELP` and `TYPE` too.
    pub fn render(&self, stats: &Stats, readings: &Readings<'_>) -> String {
        let mut lines = Vec::new();
        with_local_recorder(&self.recorder, || {
            for metric in METRICS {
                (metric.read)(stats, readings, &mut SampleWriter { metric, lines: &mut lines });
            }
        });
        text::sorted(METRICS, &self.handle.render(), &lines)
    }
}
