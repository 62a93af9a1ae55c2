//! `GET /status` of the community document, and `GET /api/status` of the push document.

use std::time::Duration;

use actix_web::web;
use hubbub_actors::events::debug::megabytes;
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::hub::Readiness;
use hubbub_actors::store::Store;
use schemars::JsonSchema;
use serde::Serialize;

use super::info::VERSION;
use crate::error::HttpError;
use crate::openapi::{Example, JsonReply, Operation, Tag, True};
use crate::state::SharedState;
use crate::telemetry;

/// The state of the hub, memory in MB.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CommunityStatus {
    /// `operational`, `draining`, `degraded` (the store does not work) or `broken`.
    status: &'static str,
    /// The time of the response.
    timestamp: Iso,
    /// The process.
    server: ServerStatus,
    /// The embedded store.
    database: DatabaseStatus,
    /// The sessions.
    websocket: WebsocketStatus,
}

/// The process.
#[derive(Debug, Serialize, JsonSchema)]
struct ServerStatus {
    /// Seconds since the start.
    uptime: u64,
    /// `server.environment`.
    environment: String,
    /// The version of the hub.
    version: &'static str,
    /// The memory of the process, in MB.
    memory_usage: MemoryInMb,
}

/// Memory in MB. The process has no managed heap, so the heap fields repeat `rss`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MemoryInMb {
    /// The memory that the process uses.
    rss: f64,
    /// As `rss`.
    heap_total: f64,
    /// As `rss`.
    heap_used: f64,
    /// 0.
    external: f64,
}

/// The embedded store.
#[derive(Debug, Serialize, JsonSchema)]
struct DatabaseStatus {
    /// `connected` or `unavailable`.
    status: &'static str,
    /// Open connections to the store.
    connections: usize,
    /// The time of a read, in ms; `null` if it failed.
    response_time: Option<f64>,
}

/// The sessions.
#[derive(Debug, Serialize, JsonSchema)]
struct WebsocketStatus {
    /// Open sessions.
    active_connections: u64,
    /// Sessions since the start.
    total_connections: u64,
    /// Rooms with members.
    rooms: u64,
    /// Events from clients in the last minute.
    events_per_minute: u64,
}

pub(crate) const COMMUNITY: Operation = Operation {
    id: "getStatus",
    tag: Tag::Operators,
    summary: "Shows the state of the process, the store and the sessions.",
    description: "",
    errors: &[],
    example: Example {
        target: "/status",
        body: "",
        status: 200,
        answer: r#"{"status": "operational", "timestamp": "2026-01-02T03:04:05.678Z", "server": {"uptime": 3600,
            "environment": "production", "version": "0.1.0", "memory_usage": {"rss": 23.5, "heapTotal": 23.5,
            "heapUsed": 23.5, "external": 0.0}}, "database": {"status": "connected", "connections": 3,
            "response_time": 0.112}, "websocket": {"active_connections": 120, "total_connections": 4510, "rooms": 31,
            "events_per_minute": 842}}"#,
    },
};

/// `GET /status`.
pub(crate) async fn community(state: web::Data<SharedState>) -> Result<JsonReply<CommunityStatus>, HttpError> {
    let stats = state.hub.stats();
    let rss = megabytes(telemetry::resident());
    Ok(JsonReply(CommunityStatus {
        status: match state.hub.readiness() {
            Readiness::Ready => "operational",
            Readiness::Draining => "draining",
            Readiness::WithoutStore(_) => "degraded",
            Readiness::Broken(_) => "broken",
        },
        timestamp: Iso(state.now_ms()),
        server: ServerStatus {
            uptime: state.uptime_secs(),
            environment: state.policies().config.server.environment.clone(),
            version: VERSION,
            memory_usage: MemoryInMb { rss, heap_total: rss, heap_used: rss, external: 0.0 },
        },
        database: database(state.hub.store()).await,
        websocket: WebsocketStatus {
            active_connections: stats.sessions.get(),
            total_connections: stats.sessions_opened.get(),
            rooms: stats.rooms.get(),
            events_per_minute: stats.minute.events(stats.handled(), state.hub.clock().elapsed_ms()),
        },
    }))
}

/// Whether the embedded store reads and writes, and how long a read takes now, in ms.
async fn database(store: &Store) -> DatabaseStatus {
    let answered = store.ping().await;
    let works = answered.is_ok() && store.failing().is_none();
    let millis = |taken: Duration| (taken.as_secs_f64() * 1_000_000.0).round() / 1_000.0;
    DatabaseStatus {
        status: if works { "connected" } else { "unavailable" },
        connections: store.connections(),
        response_time: answered.ok().map(millis),
    }
}

/// The state of the hub, memory in bytes.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PushStatus {
    /// `true`.
    success: True,
    /// `ok`, `draining`, `degraded` (the store does not work) or `broken`.
    status: &'static str,
    /// Open sessions.
    connections: u64,
    /// Rooms with members.
    rooms: u64,
    /// Seconds since the start.
    uptime: u64,
    /// The memory of the process, in bytes.
    memory: MemoryInBytes,
    /// The time of the response.
    timestamp: Iso,
}

/// Memory in bytes. The process has no managed heap, so the heap fields repeat `rss`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MemoryInBytes {
    /// The memory that the process uses.
    rss: u64,
    /// As `rss`.
    heap_total: u64,
    /// As `rss`.
    heap_used: u64,
    /// 0.
    external: u64,
}

pub(crate) const PUSH: Operation = Operation {
    id: "getPushStatus",
    tag: Tag::Reads,
    summary: "Shows the state of the hub.",
    description: "",
    errors: &[],
    example: Example {
        target: "/api/status",
        body: "",
        status: 200,
        answer: r#"{"success": true, "status": "ok", "connections": 120, "rooms": 31, "uptime": 3600, "memory": {"rss":
            24641536, "heapTotal": 24641536, "heapUsed": 24641536, "external": 0},
            "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `GET /api/status`.
pub(crate) async fn push(state: web::Data<SharedState>) -> Result<JsonReply<PushStatus>, HttpError> {
    let stats = state.hub.stats();
    let rss = telemetry::resident();
    Ok(JsonReply(PushStatus {
        success: True,
        status: match state.hub.readiness() {
            Readiness::Ready => "ok",
            Readiness::Draining => "draining",
            Readiness::WithoutStore(_) => "degraded",
            Readiness::Broken(_) => "broken",
        },
        connections: stats.sessions.get(),
        rooms: stats.rooms.get(),
        uptime: state.uptime_secs(),
        memory: MemoryInBytes { rss, heap_total: rss, heap_used: rss, external: 0 },
        timestamp: Iso(state.now_ms()),
    }))
}
