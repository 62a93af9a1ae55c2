//! `GET /health` for people and monitors; `/health/live` and `/health/ready` for orchestrators.

use actix_web::web;
use hubbub_actors::events::debug::megabytes;
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::hub::Readiness;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::HttpError;
use crate::openapi::{Example, JsonReply, Operation, ReadinessReply, Tag};
use crate::state::{SharedState, not_ready};
use crate::telemetry;

/// The health of the hub. It has the fields of three documents.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HubHealthReply {
    /// `healthy` or `unhealthy`.
    status: &'static str,
    /// Why the hub is unhealthy; absent if it is healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The time of the response.
    timestamp: Iso,
    /// Seconds since the start.
    uptime: u64,
    /// Seconds since the start.
    uptime_seconds: u64,
    /// The memory of the process, in MB.
    memory: MemoryUse,
    /// Open sessions.
    active_connections: u64,
    /// Most connections, `server.max_connections`.
    max_connections: usize,
    /// Counts of sessions.
    connections: ConnectionCounts,
    /// The store; absent while it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreStatusReply>,
}

/// Memory in MB.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct MemoryUse {
    /// The memory that the process uses.
    used: f64,
    /// The memory of the machine or its control group; `null` if it is not known.
    total: Option<f64>,
    /// `used` in percent of `total`; `null` if that is not known.
    percentage: Option<f64>,
}

/// Counts of sessions.
#[derive(Debug, Serialize, JsonSchema)]
struct ConnectionCounts {
    /// Open sessions.
    active: u64,
    /// Sessions since the start.
    total: u64,
    /// Open Socket.IO connections that have not joined a namespace yet.
    pending: u64,
}

/// The state of a store that does not work.
#[derive(Debug, Serialize, JsonSchema)]
struct StoreStatusReply {
    /// `unavailable`.
    status: &'static str,
    /// Why.
    reason: String,
}

pub(crate) const HEALTH: Operation = Operation {
    id: "getHealth",
    tag: Tag::Operators,
    summary: "Tells whether the hub is healthy.",
    description: "A hub at `server.max_connections` is unhealthy. If only the store fails, the hub is healthy, because it \
        serves its open sessions.",
    errors: &[],
    example: Example {
        target: "/health",
        body: "",
        status: 200,
        answer: r#"{"status": "healthy", "timestamp": "2026-01-02T03:04:05.678Z", "uptime": 3600, "uptime_seconds": 3600,
            "memory": {"used": 23.5, "total": 2048.0, "percentage": 1.1}, "active_connections": 120,
            "max_connections": 10000, "connections": {"active": 120, "total": 4510, "pending": 0}}"#,
    },
};

/// `GET /health`.
pub(crate) async fn health(state: web::Data<SharedState>) -> Result<ReadinessReply<HubHealthReply>, HttpError> {
    let stats = state.hub.stats();
    let (active, total) = (stats.sessions.get(), stats.sessions_opened.get());
    let max_connections = state.hub.max_connections();
    // Without its store the hub still serves open sessions: it is healthy, but not ready for more.
    let (reason, store) = match state.hub.readiness() {
        Readiness::WithoutStore(reason) => (None, Some(StoreStatusReply { status: "unavailable", reason })),
        readiness => (not_ready(&readiness), None),
    };
    let is_full = || state.hub.registry().connections() >= max_connections;
    let reason = reason.or_else(|| is_full().then(|| "At capacity".to_owned()));
    let reply = HubHealthReply {
        status: if reason.is_some() { "unhealthy" } else { "healthy" },
        reason,
        timestamp: Iso(state.now_ms()),
        uptime: state.uptime_secs(),
        uptime_seconds: state.uptime_secs(),
        memory: memory(telemetry::resident(), telemetry::available()),
        active_connections: active,
        max_connections,
        connections: ConnectionCounts { active, total, pending: stats.pending_connections.get() },
        store,
    };
    Ok(match reply.reason {
        None => ReadinessReply::Available(reply),
        Some(_) => ReadinessReply::Unavailable(reply),
    })
}

/// A process that answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LiveReply {
    /// `alive`.
    status: &'static str,
    /// The time of the response.
    timestamp: Iso,
}

pub(crate) const LIVE: Operation = Operation {
    id: "getLiveness",
    tag: Tag::Operators,
    summary: "Tells that the process answers, so it need not be restarted.",
    description: "",
    errors: &[],
    example: Example {
        target: "/health/live",
        body: "",
        status: 200,
        answer: r#"{"status": "alive", "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `GET /health/live`.
pub(crate) async fn live(state: web::Data<SharedState>) -> Result<JsonReply<LiveReply>, HttpError> {
    Ok(JsonReply(LiveReply { status: "alive", timestamp: Iso(state.now_ms()) }))
}

/// Whether traffic should be sent to the hub.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReadyReply {
    /// `ready` or `not ready`.
    status: &'static str,
    /// Why the hub is not ready; absent if it is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The time of the response.
    timestamp: Iso,
}

pub(crate) const READY: Operation = Operation {
    id: "getReadiness",
    tag: Tag::Operators,
    summary: "Tells whether a load balancer should send traffic to the hub.",
    description: "A hub at `server.max_connections` is ready. A hub is not ready while it drains, while its store does not \
        work, and while the services that it needs to check tokens do not answer.",
    errors: &[],
    example: Example {
        target: "/health/ready",
        body: "",
        status: 200,
        answer: r#"{"status": "ready", "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `GET /health/ready`.
pub(crate) async fn ready(state: web::Data<SharedState>) -> Result<ReadinessReply<ReadyReply>, HttpError> {
    let timestamp = Iso(state.now_ms());
    Ok(match state.not_ready() {
        None => ReadinessReply::Available(ReadyReply { status: "ready", reason: None, timestamp }),
        reason => ReadinessReply::Unavailable(ReadyReply { status: "not ready", reason, timestamp }),
    })
}

/// Memory in MB. The percentage is `null` if the total is not known.
fn memory(used: u64, total: Option<u64>) -> MemoryUse {
    let percentage =
        total.filter(|total| *total > 0).map(|total| (used as f64 / total as f64 * 1_000.0).round() / 10.0);
    MemoryUse { used: megabytes(used), total: total.map(megabytes), percentage }
}

#[cfg(test)]
mod tests {
    use hubbub_actors::hub::Readiness;

    use super::*;

    #[test]
    fn memory_is_shown_in_megabytes() {
        assert_eq!(
            memory(268_959_744, Some(2_147_483_648)),
            MemoryUse { used: 256.5, total: Some(2048.0), percentage: Some(12.5) }
        );
        assert_eq!(memory(1_048_576, None), MemoryUse { used: 1.0, total: None, percentage: None });
    }

    #[test]
    fn a_hub_that_is_not_ready_gives_the_reason() {
        assert_eq!(not_ready(&Readiness::Ready), None);
        assert_eq!(not_ready(&Readiness::Draining).as_deref(), Some("Draining"));
        assert_eq!(
            not_ready(&Readiness::WithoutStore("the disk is full".into())).as_deref(),
            Some("Store: the disk is full")
        );
        assert_eq!(not_ready(&Readiness::Broken("rooms".into())).as_deref(), Some("Broken: rooms"));
    }
}
