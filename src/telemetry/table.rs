//! All metrics. The rows of the hub's counters are in [`hubbub_actors::runtime::counters`]. This file has one row for
//! each other metric, with its name, its help, its labels and the source of its value.
//!
//! In a row, `hub` are the hub's counters, `now` are the other readings of a scrape, and `to` receives the samples.

use std::sync::LazyLock;
use std::sync::atomic::Ordering::Relaxed;

use hubbub_actors::runtime::counters::Stats;

use super::metric::{Metric, counted, counter, gauge, histogram};
use super::{available, process, resident};
use crate::logging;

/// The metrics that are incremented directly and not read at a scrape.
pub(super) const HTTP_REQUESTS: &str = "http_requests_total";
pub(super) const API_REQUESTS: &str = "hubbub_api_requests_total";

/// All metrics.
pub(super) static METRICS: LazyLock<Vec<Metric>> =
    LazyLock::new(|| Stats::METRICS.iter().map(Metric::from).chain(OTHERS.iter().copied()).collect());

/// The metrics that are not plain counters of the hub, by subject.
const OTHERS: &[Metric] = &[
    // Sessions and connections.
    gauge("socket_server_active_connections", "Open sessions on all surfaces.", |hub, _, to| {
        to.set(hub.sessions.get());
    }),
    gauge("hubbub_max_connections", "Most sessions that can be open at once.", |_, now, to| {
        to.set(now.max_connections as u64);
    }),
    counter("hubbub_connections_refused_total", "Connections refused, by surface and reason.", |hub, _, to| {
        for (surface, reason, count) in hub.connections_refused.iter() {
            to.labelled(&[surface.as_str(), reason.as_str()], count);
        }
    })
    .by(&["surface", "reason"]),
    counter("hubbub_refusals_total", "Refused requests, messages and connections, by code.", |hub, _, to| {
        for (code, count) in hub.refusals.iter() {
            to.labelled(&[code], count);
        }
    })
    .by(&["code"]),
    // HTTP.
    counted(HTTP_REQUESTS, "HTTP requests answered, by method and status.").by(&["method", "status"]),
    counted(API_REQUESTS, "Requests with a configured API key, refused ones included, by the name of the key.")
        .by(&["key"]),
    gauge("hubbub_http_connections", "Open plain HTTP connections, without WebSockets.", |_, now, to| {
        to.set_if(now.connections.map(|connections| connections.now() as u64));
    }),
    gauge("hubbub_http_connections_max", "Most plain HTTP connections that can be open at once.", |_, now, to| {
        to.set_if(now.connections.map(|connections| connections.max() as u64));
    }),
    gauge(
        "hubbub_http_lingering",
        "HTTP connections that are closing and wait until the client has read its answer.",
        |_, now, to| to.set_if(now.connections.map(|connections| connections.lingering.now() as u64)),
    ),
    counter(
        "hubbub_http_connections_dropped_total",
        "Plain HTTP connections refused or closed because of a bound, by reason.",
        |_, now, to| {
            let Some(connections) = now.connections else { return };
            to.labelled(&["evicted"], connections.evicted.load(Relaxed));
            to.labelled(&["full"], connections.refused_full.load(Relaxed));
            to.labelled(&["address"], connections.refused_address.load(Relaxed));
        },
    )
    .by(&["reason"]),
    // Messages.
    counter(
        "socket_server_events_total",
        "Events received from clients, refused ones included, by event name.",
        |hub, _, to| hub.events.iter().for_each(|(event, count)| to.labelled(&[event], count)),
    )
    .by(&["event"]),
    histogram(
        "hubbub_delivery_latency_seconds",
        "Time from accepting a publication to writing it to a client, for a sample of deliveries, in seconds.",
        |hub, _, to| to.histogram(&hub.delivery_latency.snapshot()),
    ),
    counter("hubbub_overloads_total", "Messages refused because a queue inside the hub was full.", |hub, now, to| {
        to.set(hub.overloads.get() + now.store.overloads)
    }),
    gauge("hubbub_mailbox_depth", "Messages that wait in a queue of the hub, by actor.", |_, now, to| {
        now.mailboxes.iter().for_each(|(actor, depth)| to.labelled(&[actor], *depth as u64));
    })
    .by(&["actor"]),
    // The store.
    counter("hubbub_store_writes_total", "Writes that the store has committed to disk.", |_, now, to| {
        to.set(now.store.writes);
    }),
    counter("hubbub_store_commits_total", "Transactions that the store has committed to disk.", |_, now, to| {
        to.set(now.store.commits);
    }),
    counter("hubbub_store_failures_total", "Reads and writes of the store that failed.", |_, now, to| {
        to.set(now.store.failures);
    }),
    counter("hubbub_store_purged_rows_total", "Rows of deleted chats removed from the store.", |_, now, to| {
        to.set(now.store.purged);
    }),
    // Publishes and requests that can be repeated.
    gauge("hubbub_idempotency_entries", "Responses stored by Idempotency-Key.", |_, now, to| {
        to.set(now.idempotency.entries as u64);
    }),
    gauge("hubbub_idempotency_bytes", "Memory of the responses stored by Idempotency-Key, in bytes.", |_, now, to| {
        to.set(now.idempotency.bytes as u64);
    }),
    counter(
        "hubbub_idempotency_forgotten_total",
        "Responses stored by Idempotency-Key and evicted early because the share of their API key was full.",
        |_, now, to| to.set(now.idempotency.evicted_early),
    ),
    gauge("hubbub_client_ids", "Replies stored by client_id.", |_, now, to| to.set(now.client_ids.entries as u64)),
    gauge("hubbub_client_ids_bytes", "Memory of the replies stored by client_id, in bytes.", |_, now, to| {
        to.set(now.client_ids.bytes as u64);
    }),
    counter(
        "hubbub_client_ids_forgotten_total",
        "Replies stored by client_id and evicted early because their memory was full.",
        |_, now, to| to.set(now.client_ids.evicted_early),
    ),
    // Tokens.
    gauge("hubbub_jwks_keys", "Keys of auth.jwks that fit auth.algorithm.", |_, now, to| {
        to.set_if(now.tokens.keys.map(|(keys, ..)| keys.unwrap_or_default() as u64));
    }),
    counter("hubbub_jwks_loads_total", "Loads of the key set auth.jwks, by result.", |_, now, to| {
        let Some((_, loaded, failed)) = now.tokens.keys else { return };
        to.labelled(&["ok"], loaded);
        to.labelled(&["failed"], failed);
    })
    .by(&["result"]),
    counter("hubbub_auth_backend_requests_total", "Token checks sent to auth.backend.url, by result.", |_, now, to| {
        let Some(backend) = now.tokens.backend else { return };
        to.labelled(&["answered"], backend.answered);
        to.labelled(&["failed"], backend.failed);
    })
    .by(&["result"]),
    counter("hubbub_auth_backend_shed_total", "Tokens refused without a request to auth.backend.url.", |_, now, to| {
        to.set_if(now.tokens.backend.map(|backend| backend.shed))
    }),
    gauge(
        "hubbub_auth_backend_open",
        "1 while the circuit breaker of auth.backend.url is open, else 0.",
        |_, now, to| to.set_if(now.tokens.backend.map(|backend| backend.open.into())),
    ),
    gauge("hubbub_auth_backend_waiting", "Token checks that wait for an answer of auth.backend.url.", |_, now, to| {
        to.set_if(now.tokens.backend.map(|backend| backend.waiting as u64))
    }),
    gauge("hubbub_auth_backend_remembered", "Cached answers of auth.backend.url.", |_, now, to| {
        to.set_if(now.tokens.backend.map(|backend| backend.cached as u64));
    }),
    // The application.
    counter(
        "hubbub_backend_requests_total",
        "Events of clients for backend.url, by kind and outcome.",
        |_, now, to| {
            let Some((_, counts)) = now.backend else { return };
            for (kind, outcome, count) in counts.ended() {
                to.labelled(&[kind.as_str(), outcome.as_str()], count);
            }
        },
    )
    .by(&["kind", "outcome"]),
    counter("hubbub_backend_retries_total", "Repeated attempts of requests to backend.url.", |_, now, to| {
        to.set_if(now.backend.map(|(_, counts)| counts.retries()));
    }),
    counter("hubbub_backend_opened_total", "Times the circuit breaker of backend.url opened.", |_, now, to| {
        to.set_if(now.backend.map(|(_, counts)| counts.opened()));
    }),
    gauge("hubbub_backend_open", "1 while the circuit breaker of backend.url is open, else 0.", |_, now, to| {
        to.set_if(now.backend.map(|(status, _)| status.open.into()));
    }),
    gauge("hubbub_backend_in_flight", "Requests to backend.url in progress.", |_, now, to| {
        to.set_if(now.backend.map(|(status, _)| status.in_flight as u64));
    }),
    histogram(
        "hubbub_backend_seconds",
        "Time from an event of a client to its outcome at backend.url, retries included, in seconds.",
        |_, now, to| {
            if let Some((_, counts)) = now.backend {
                to.histogram(&counts.times());
            }
        },
    ),
    // The configuration.
    counter(
        "hubbub_reloads_total",
        "Reloads of the configuration, by result; a failed reload changes nothing.",
        |_, now, to| {
            let counts =
                now.reloads.map_or([0, 0], |reloads| [&reloads.ok, &reloads.failed].map(|count| count.load(Relaxed)));
            for (result, count) in ["ok", "failed"].iter().zip(counts) {
                to.labelled(&[result], count);
            }
        },
    )
    .by(&["result"]),
    gauge(
        "hubbub_last_reload_timestamp_seconds",
        "Time of the last successful reload, in seconds since the Unix epoch; 0 for none.",
        |_, now, to| {
            to.fraction(Some(now.reloads.map_or(0.0, |reloads| reloads.last_at.load(Relaxed) as f64 / 1_000.0)))
        },
    ),
    gauge("hubbub_reload_failed", "1 while the last reload of the configuration failed, else 0.", |_, now, to| {
        to.set(now.reloads.is_some_and(|reloads| reloads.has_failed.load(Relaxed)).into());
    }),
    // The log.
    counter(
        "hubbub_log_lines_dropped_total",
        "Lines of the log that were dropped: the queue was full, or they could not be written.",
        |_, _, to| to.set(logging::counts().dropped),
    ),
    gauge("hubbub_log_queue_lines", "Lines of the log that wait to be written.", |_, _, to| {
        to.set(logging::counts().lines as u64);
    }),
    gauge("hubbub_log_queue_bytes", "Size of the lines of the log that wait to be written, in bytes.", |_, _, to| {
        to.set(logging::counts().bytes as u64);
    }),
    // The hub and its process.
    gauge("hubbub_build_info", "The version of the running hub; the value is 1.", |_, _, to| {
        to.labelled(&[env!("CARGO_PKG_VERSION")], 1);
    })
    .by(&["version"]),
    gauge("hubbub_ready", "1 while /health/ready answers 200, else 0.", |_, now, to| to.set(now.ready.into())),
    gauge("hubbub_lag_bytes", "Publications that wait for the workers, in bytes.", |_, now, to| {
        to.set(now.lag_bytes as u64);
    }),
    gauge("hubbub_uptime_seconds", "Time since the hub started, in seconds.", |_, now, to| to.set(now.uptime_secs)),
    gauge("process_start_time_seconds", "Start of the hub, in seconds since the Unix epoch.", |_, now, to| {
        to.fraction(Some(now.started_at as f64 / 1_000.0));
    }),
    counter("process_cpu_seconds_total", "CPU time in user and system mode, in seconds.", |_, _, to| {
        to.fraction(process::cpu_seconds());
    }),
    gauge("process_open_fds", "Open file descriptors.", |_, _, to| to.set_if(process::open_fds())),
    gauge("process_max_fds", "Most file descriptors that can be open at once.", |_, _, to| {
        to.set_if(process::max_fds());
    }),
    gauge(
        "hubbub_memory_limit_bytes",
        "Memory of the machine, or of the control group where that is less, in bytes.",
        |_, _, to| to.set_if(available()),
    ),
    gauge("process_resident_memory_bytes", "Resident memory of the process, in bytes.", |_, _, to| to.set(resident())),
];
