//! The metrics as Prometheus reads them, and the memory of the process.
//!
//! The hub counts in plain atomics ([`Stats`]); they are copied into the recorder when somebody asks, so that nothing
//! on the delivery path knows of metrics. The recorder belongs to one hub and is not installed for the whole process:
//! several hubs in one test process each count for themselves.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use hubbub_actors::idempotency::Fill;
use hubbub_actors::stats::Stats;
use hubbub_actors::store::Counts;
use metrics::{counter, describe_counter, describe_gauge, gauge, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::auth::tokens::Standing;
use crate::backend;
use crate::backend::tally::Tally;
use crate::http_stream::Connections;
use crate::policies::Reloads;

/// Counters and what they count.
const COUNTERS: &[(&str, &str)] = &[
    ("websocket_connections_total", "Sessions there ever were, on every surface"),
    ("socket_server_connections_total", "Sessions there ever were, by whether they came with a token, and by what"),
    ("socket_server_events_total", "Events of the table that clients sent, refused ones included, by name"),
    (
        "hubbub_http_connections_dropped_total",
        "Plain HTTP connections refused or closed, by reason: full, too many of an address, or evicted for a newer one",
    ),
    ("http_requests_total", "HTTP requests answered, by method and status"),
    ("hubbub_messages_received_total", "Messages that came from clients, refused ones included"),
    ("hubbub_messages_published_total", "Messages accepted for a room, a user or everybody"),
    ("hubbub_frames_sent_total", "Frames put into outboxes: deliveries and answers"),
    ("hubbub_errors_total", "Answers that were a refusal"),
    ("hubbub_dropped_frames_total", "Frames that were waiting and never sent, by reason"),
    ("hubbub_sessions_closed_total", "Sessions the hub closed, by reason"),
    (
        "hubbub_connections_closed_total",
        "Connections the hub closed, by reason: budget (sent too many frames or bytes), newcomers (joined no namespace and \
         gave way to a newer connection), unused (no request came after a polling handshake)",
    ),
    ("hubbub_reloads_total", "Reloads of the configuration, by result: ok, or failed, which changed nothing"),
    ("hubbub_overloads_total", "Messages refused because a queue inside was full"),
    ("hubbub_store_writes_total", "Writes that the store has on its disk"),
    ("hubbub_store_commits_total", "Transactions that took them there"),
    ("hubbub_store_failures_total", "Reads and writes that failed because the store did"),
    ("hubbub_store_purged_rows_total", "Rows of deleted chats that were removed"),
    ("hubbub_connections_refused_total", "Connections refused: by origin, token, limit or want of a place"),
    ("hubbub_observations_lost_total", "Events of connections that the monitor does not remember, by reason"),
    ("hubbub_rate_limited_total", "Messages and connections refused by a limit"),
    ("hubbub_notifications_kept_total", "Notifications that are on the disk, those sent again under their id included"),
    ("hubbub_notifications_redelivered_total", "Unread notifications delivered behind a connect"),
    ("hubbub_notifications_read_total", "Times a user said that a notification is read"),
    ("hubbub_sessions_recovered_total", "Sessions that were cut off and recovered"),
    ("hubbub_sessions_not_recovered_total", "Clients of / that came back for a session in vain, and were told"),
    ("hubbub_sessions_evicted_total", "Sessions that were cut off and gave way to newer ones"),
    ("hubbub_chat_comings_untold_total", "Users who came into a chat or went, of whom room:online-update alone told"),
    ("hubbub_histories_evicted_total", "Histories of topics that gave way to others, for want of room"),
    ("hubbub_chat_receipts_narrowed_total", "Receipts that in a large chat only the author was told of"),
    ("hubbub_notifications_pruned_total", "Notifications forgotten for newer ones or their age"),
    ("hubbub_presence_changes_total", "Comings and goings of users, by what became of telling them"),
    ("hubbub_presence_deliveries_total", "Frames that told of users who came or went"),
    ("hubbub_jwks_loads_total", "Times auth.jwks was loaded, by result"),
    ("hubbub_auth_backend_requests_total", "Tokens that auth.backend.url was asked about, by result"),
    ("hubbub_auth_backend_shed_total", "Tokens refused without asking auth.backend.url: too many, or it is left alone"),
    ("hubbub_backend_requests_total", "Questions to backend.url, by kind and what became of them"),
    ("hubbub_backend_retries_total", "Further attempts to ask backend.url"),
    ("hubbub_backend_opened_total", "Times backend.url was found not to answer"),
    (
        "hubbub_idempotency_forgotten_total",
        "Answers forgotten before their time because their API key's share was full",
    ),
    ("hubbub_client_ids_forgotten_total", "Publishes with a client_id forgotten before their time for want of room"),
];

/// Gauges and what they show.
const GAUGES: &[(&str, &str)] = &[
    ("websocket_connections_active", "Sessions there are now"),
    ("socket_server_active_connections", "Sessions there are now"),
    ("hubbub_http_connections", "Plain HTTP connections: not upgraded"),
    ("hubbub_http_connections_max", "Plain HTTP connections that may be open at once"),
    ("hubbub_http_lingering", "Closing connections that are still read from, so that the client gets its answer"),
    ("hubbub_max_connections", "Sessions that may be connected at once"),
    ("hubbub_connections_pending", "Connections that have not joined a namespace yet"),
    ("hubbub_users", "Users with at least one session"),
    ("hubbub_rooms", "Rooms with a member"),
    ("hubbub_debugging_sessions", "Sessions in debug mode"),
    ("hubbub_mailbox_depth", "What waits before a central actor, the store or the hashing of passwords"),
    ("hubbub_jwks_keys", "Keys of auth.jwks that fit auth.algorithm"),
    ("hubbub_auth_backend_open", "1 while auth.backend.url is left alone because it did not answer"),
    ("hubbub_auth_backend_waiting", "Tokens that wait for an answer of auth.backend.url"),
    ("hubbub_auth_backend_remembered", "Answers of auth.backend.url that are remembered"),
    ("hubbub_backend_open", "1 while backend.url is left alone because it did not answer"),
    ("hubbub_backend_in_flight", "Questions to backend.url that are on their way"),
    ("hubbub_idempotency_entries", "Requests remembered by their Idempotency-Key"),
    ("hubbub_idempotency_bytes", "Bytes remembered with Idempotency-Keys"),
    ("hubbub_client_ids", "Publishes remembered by their client_id"),
    ("hubbub_client_ids_bytes", "Bytes remembered with client_ids"),
    ("hubbub_chat_typists", "Users who type in a chat, counted in each"),
    ("hubbub_parked_sessions", "Sessions that were cut off and may be recovered"),
    ("hubbub_parked_messages", "Messages kept for sessions that were cut off"),
    (
        "hubbub_recovery_bytes",
        "Bytes of messages kept for sessions that were cut off, and sent last to those that may be",
    ),
    ("hubbub_history_bytes", "Bytes of messages kept for those who missed them, of all topics"),
    (
        "hubbub_last_reload_timestamp_seconds",
        "When the configuration was last reloaded, seconds since the epoch; 0 for never",
    ),
    ("hubbub_ready", "1 while the hub can be given work, 0 while it is draining, broken or without its store"),
    ("hubbub_uptime_seconds", "Seconds since the start"),
    ("process_resident_memory_bytes", "Resident memory of the process"),
];

/// What the one histogram shows.
const BACKEND_SECONDS: &str = "Seconds from a question to backend.url to what became of it";

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
    pub backend: Option<(backend::Standing, &'a Tally)>,
    /// The plain HTTP connections.
    pub connections: Option<&'a Connections>,
    /// How reloads went.
    pub reloads: Option<&'a Reloads>,
    /// Whether the hub can be given work.
    pub ready: bool,
    /// Seconds since the start.
    pub uptime_secs: u64,
}

/// The recorder of one hub.
pub struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Default for Telemetry {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        with_local_recorder(&recorder, || {
            for &(name, what) in COUNTERS {
                describe_counter!(name, what);
            }
            for &(name, what) in GAUGES {
                describe_gauge!(name, what);
            }
        });
        Self { handle: recorder.handle(), recorder }
    }
}

impl Telemetry {
    /// Counts one HTTP request that was answered.
    pub fn answered(&self, method: &'static str, status: u16) {
        with_local_recorder(&self.recorder, || {
            counter!("http_requests_total", "method" => method, "status" => status.to_string()).increment(1);
        });
    }

    /// Everything there is to know, in Prometheus' text format.
    pub fn render(&self, stats: &Stats, readings: &Readings<'_>) -> String {
        with_local_recorder(&self.recorder, || {
            copy_stats(stats);
            copy_readings(readings);
            let overloads = stats.overloads.get() + readings.store.overloads;
            counter!("hubbub_overloads_total").absolute(overloads);
        });
        let times = readings.backend.map(|(_, tally)| tally.histogram("hubbub_backend_seconds", BACKEND_SECONDS));
        self.handle.render() + &times.unwrap_or_default()
    }
}

/// Shows every counter of the hub: one that is added and not shown does not compile.
fn copy_stats(stats: &Stats) {
    let Stats {
        sessions,
        sessions_since: _,
        sessions_opened,
        known_by_websocket,
        known_by_polling,
        guests_by_websocket,
        guests_by_polling,
        users,
        rooms,
        received,
        sent,
        published,
        errors,
        slow_consumers,
        dropped_slow_consumer,
        heartbeat_timeouts,
        pending_connections,
        closed_for_newcomers,
        closed_unused,
        closed_over_budget,
        overloads: _,
        rate_limited,
        connections_refused,
        observations_dropped,
        observations_suppressed,
        notifications_kept,
        notifications_redelivered,
        notifications_read,
        notifications_pruned,
        typing,
        receipts_narrowed,
        comings_untold,
        parked,
        parked_messages,
        retained_bytes,
        recovered,
        not_recovered,
        parked_evicted,
        history_bytes,
        histories_evicted,
        debugging,
        presence_told,
        presence_deliveries,
        presence_coalesced,
        presence_suppressed,
        events,
    } = stats;
    show("websocket_connections_active", sessions.get());
    show("socket_server_active_connections", sessions.get());
    counter!("websocket_connections_total").absolute(sessions_opened.get());
    for (authenticated, transport, opened) in [
        ("true", "websocket", known_by_websocket),
        ("true", "polling", known_by_polling),
        ("false", "websocket", guests_by_websocket),
        ("false", "polling", guests_by_polling),
    ] {
        let labels = [("authenticated", authenticated), ("transport", transport)];
        counter!("socket_server_connections_total", &labels).absolute(opened.get());
    }
    for (event, count) in events.iter() {
        counter!("socket_server_events_total", "event" => event).absolute(count);
    }
    show("hubbub_connections_pending", pending_connections.get());
    show("hubbub_users", users.get());
    show("hubbub_rooms", rooms.get());
    show("hubbub_debugging_sessions", debugging.get());
    show("hubbub_chat_typists", typing.get());
    show("hubbub_parked_sessions", parked.get());
    show("hubbub_parked_messages", parked_messages.get());
    show("hubbub_recovery_bytes", retained_bytes.get());
    show("hubbub_history_bytes", history_bytes.get());
    counter!("hubbub_histories_evicted_total").absolute(histories_evicted.get());
    counter!("hubbub_sessions_recovered_total").absolute(recovered.get());
    counter!("hubbub_sessions_not_recovered_total").absolute(not_recovered.get());
    counter!("hubbub_sessions_evicted_total").absolute(parked_evicted.get());
    counter!("hubbub_chat_comings_untold_total").absolute(comings_untold.get());
    counter!("hubbub_chat_receipts_narrowed_total").absolute(receipts_narrowed.get());
    counter!("hubbub_messages_received_total").absolute(received.get());
    counter!("hubbub_messages_published_total").absolute(published.get());
    counter!("hubbub_frames_sent_total").absolute(sent.get());
    counter!("hubbub_errors_total").absolute(errors.get());
    counter!("hubbub_dropped_frames_total", "reason" => "slow_consumer").absolute(dropped_slow_consumer.get());
    counter!("hubbub_sessions_closed_total", "reason" => "slow_consumer").absolute(slow_consumers.get());
    counter!("hubbub_sessions_closed_total", "reason" => "heartbeat_timeout").absolute(heartbeat_timeouts.get());
    for (reason, closed) in
        [("budget", closed_over_budget), ("newcomers", closed_for_newcomers), ("unused", closed_unused)]
    {
        counter!("hubbub_connections_closed_total", "reason" => reason).absolute(closed.get());
    }
    counter!("hubbub_rate_limited_total").absolute(rate_limited.get());
    counter!("hubbub_connections_refused_total").absolute(connections_refused.get());
    for (reason, lost) in [("overload", observations_dropped), ("flood", observations_suppressed)] {
        counter!("hubbub_observations_lost_total", "reason" => reason).absolute(lost.get());
    }
    counter!("hubbub_notifications_kept_total").absolute(notifications_kept.get());
    counter!("hubbub_notifications_redelivered_total").absolute(notifications_redelivered.get());
    counter!("hubbub_notifications_read_total").absolute(notifications_read.get());
    counter!("hubbub_notifications_pruned_total").absolute(notifications_pruned.get());
    for (outcome, changes) in
        [("told", presence_told), ("coalesced", presence_coalesced), ("suppressed", presence_suppressed)]
    {
        counter!("hubbub_presence_changes_total", "outcome" => outcome).absolute(changes.get());
    }
    counter!("hubbub_presence_deliveries_total").absolute(presence_deliveries.get());
}

fn copy_readings(readings: &Readings<'_>) {
    show("hubbub_max_connections", readings.max_connections as u64);
    for (actor, depth) in &readings.mailboxes {
        gauge!("hubbub_mailbox_depth", "actor" => actor.clone()).set(*depth as f64);
    }
    copy_tokens(readings.tokens);
    if let Some((standing, tally)) = readings.backend {
        copy_backend(standing, tally);
    }
    let Fill { entries, bytes, forgotten_early } = readings.idempotency;
    show("hubbub_idempotency_entries", entries as u64);
    show("hubbub_idempotency_bytes", bytes as u64);
    counter!("hubbub_idempotency_forgotten_total").absolute(forgotten_early);
    let Fill { entries, bytes, forgotten_early } = readings.client_ids;
    show("hubbub_client_ids", entries as u64);
    show("hubbub_client_ids_bytes", bytes as u64);
    counter!("hubbub_client_ids_forgotten_total").absolute(forgotten_early);
    let Counts { writes, commits, failures, purged, overloads: _ } = readings.store;
    counter!("hubbub_store_writes_total").absolute(writes);
    counter!("hubbub_store_commits_total").absolute(commits);
    counter!("hubbub_store_failures_total").absolute(failures);
    counter!("hubbub_store_purged_rows_total").absolute(purged);
    if let Some(connections) = readings.connections {
        copy_connections(connections);
    }
    if let Some(reloads) = readings.reloads {
        copy_reloads(reloads);
    }
    show("hubbub_ready", readings.ready.into());
    show("hubbub_uptime_seconds", readings.uptime_secs);
    show("process_resident_memory_bytes", resident());
}

fn copy_reloads(reloads: &Reloads) {
    for (result, count) in [("ok", &reloads.ok), ("failed", &reloads.failed)] {
        counter!("hubbub_reloads_total", "result" => result).absolute(count.load(Ordering::Relaxed));
    }
    let seconds = reloads.last_at.load(Ordering::Relaxed) / 1_000;
    show("hubbub_last_reload_timestamp_seconds", seconds.unsigned_abs());
}

fn copy_connections(connections: &Connections) {
    show("hubbub_http_connections", connections.now() as u64);
    show("hubbub_http_connections_max", connections.most() as u64);
    show("hubbub_http_lingering", connections.lingering.now() as u64);
    for (reason, count) in [
        ("evicted", &connections.evicted),
        ("full", &connections.refused_full),
        ("address", &connections.refused_address),
    ] {
        counter!("hubbub_http_connections_dropped_total", "reason" => reason).absolute(count.load(Ordering::Relaxed));
    }
}

fn copy_tokens(standing: Standing) {
    if let Some((keys, loaded, failed)) = standing.keys {
        show("hubbub_jwks_keys", keys.unwrap_or_default() as u64);
        for (result, count) in [("ok", loaded), ("failed", failed)] {
            counter!("hubbub_jwks_loads_total", "result" => result).absolute(count);
        }
    }
    if let Some(backend) = standing.backend {
        for (result, count) in [("answered", backend.answered), ("failed", backend.failed)] {
            counter!("hubbub_auth_backend_requests_total", "result" => result).absolute(count);
        }
        counter!("hubbub_auth_backend_shed_total").absolute(backend.shed);
        show("hubbub_auth_backend_open", backend.open.into());
        show("hubbub_auth_backend_waiting", backend.waiting as u64);
        show("hubbub_auth_backend_remembered", backend.remembered as u64);
    }
}

fn copy_backend(standing: backend::Standing, tally: &Tally) {
    for (kind, outcome, count) in tally.ended() {
        let (kind, outcome) = (kind.as_str(), outcome.as_str());
        counter!("hubbub_backend_requests_total", "kind" => kind, "outcome" => outcome).absolute(count);
    }
    counter!("hubbub_backend_retries_total").absolute(tally.retries());
    counter!("hubbub_backend_opened_total").absolute(tally.opened());
    show("hubbub_backend_open", standing.open.into());
    show("hubbub_backend_in_flight", standing.in_flight as u64);
}

fn show(gauge: &'static str, number: u64) {
    gauge!(gauge).set(number as f64);
}

/// Bytes of this process that are in memory now; 0 where the system does not tell.
pub fn resident() -> u64 {
    memory_stats::memory_stats().map_or(0, |memory| memory.physical_mem as u64)
}

/// Bytes of memory this process may use: the machine's, or the control group's where that is less. Read once; `None`
/// where the system does not tell.
pub fn available() -> Option<u64> {
    static AVAILABLE: OnceLock<Option<u64>> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let machine = std::fs::read_to_string("/proc/meminfo").ok();
        let machine = machine.as_deref().and_then(machine_memory);
        let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
        // `max` means no bound, and is no number.
        let group = group.and_then(|text| text.trim().parse().ok());
        machine.into_iter().chain(group).min()
    })
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn machine_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::opaque;

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
    fn both_documents_find_their_metrics_with_help_and_type() {
        let stats = Stats::default();
        stats.sessions.add(42);
        stats.sessions_opened.add(1250);
        stats.known_by_websocket.add(1250);
        stats.guests_by_polling.add(3);
        let telemetry = Telemetry::default();
        telemetry.answered("GET", 200);
        telemetry.answered("GET", 200);
        let text = telemetry.render(&stats, &Readings::default());
        assert_eq!(
            lines_of(&text, "websocket_connections_total"),
            [
                "# HELP websocket_connections_total Sessions there ever were, on every surface",
                "# TYPE websocket_connections_total counter",
                "websocket_connections_total 1250",
            ]
        );
        assert_eq!(
            lines_of(&text, "websocket_connections_active"),
            [
                "# HELP websocket_connections_active Sessions there are now",
                "# TYPE websocket_connections_active gauge",
                "websocket_connections_active 42",
            ]
        );
        assert_eq!(
            lines_of(&text, "http_requests_total"),
            [
                "# HELP http_requests_total HTTP requests answered, by method and status",
                "# TYPE http_requests_total counter",
                "http_requests_total{method=\"GET\",status=\"200\"} 2",
            ]
        );
        assert_eq!(
            lines_of(&text, "socket_server_active_connections").last(),
            Some(&"socket_server_active_connections 42")
        );
        let total = lines_of(&text, "socket_server_connections_total");
        assert!(
            total.contains(&"socket_server_connections_total{authenticated=\"true\",transport=\"websocket\"} 1250")
        );
        assert!(total.contains(&"socket_server_connections_total{authenticated=\"false\",transport=\"websocket\"} 0"));
        assert!(total.contains(&"socket_server_connections_total{authenticated=\"false\",transport=\"polling\"} 3"));
        assert!(
            lines_of(&text, "socket_server_events_total").contains(&"socket_server_events_total{event=\"Ping\"} 0")
        );
    }

    #[test]
    fn every_metric_shown_is_described() {
        let telemetry = Telemetry::default();
        telemetry.answered("GET", 200);
        let backend = opaque::Standing { answered: 1, failed: 2, shed: 3, remembered: 4, waiting: 5, open: true };
        let tokens = Standing { keys: Some((Some(2), 3, 4)), backend: Some(backend) };
        let tally = Tally::default();
        let backend = Some((backend::Standing { in_flight: 1, waiting: 2, open: true }, &tally));
        let readings = Readings { mailboxes: vec![("shard-0".into(), 3)], tokens, backend, ..Readings::default() };
        let text = telemetry.render(&Stats::default(), &readings);
        assert!(text.contains("hubbub_mailbox_depth{actor=\"shard-0\"} 3"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some(name) = line.split([' ', '{']).next().filter(|name| !name.is_empty()) else {
                continue;
            };
            let name = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
            assert!(text.contains(&format!("# HELP {name} ")), "{line}");
            assert!(text.contains(&format!("# TYPE {name} ")), "{line}");
        }
    }

    #[test]
    fn two_hubs_in_one_process_count_apart() {
        let (one, other) = (Telemetry::default(), Telemetry::default());
        one.answered("GET", 200);
        let text = other.render(&Stats::default(), &Readings::default());
        assert!(!text.contains("http_requests_total{"));
    }

    #[test]
    fn the_machines_memory_is_read_in_bytes() {
        let meminfo = "MemTotal:        2048 kB\nMemFree:          1024 kB\n";
        assert_eq!(machine_memory(meminfo), Some(2_097_152));
        assert_eq!(machine_memory("nothing of the kind"), None);
    }
}
