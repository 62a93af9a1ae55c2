//! `GET /status` of the community document, and `GET /api/status` of the push document.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use hubbub_actors::events::debug::megabytes;
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::hub::Readiness;
use hubbub_actors::store::Store;
use serde_json::{Value, json};

use super::info::VERSION;
use crate::error::HandlerResult;
use crate::state::SharedState;
use crate::telemetry;

/// `GET /status`, memory in MB. The process has no managed heap, so the heap fields repeat `rss`.
pub(crate) async fn community(state: web::Data<SharedState>) -> HandlerResult {
    let stats = state.hub.stats();
    let rss = megabytes(telemetry::resident());
    Ok(HttpResponse::Ok().json(json!({
        "status": match state.hub.readiness() {
            Readiness::Ready => "operational",
            Readiness::Draining => "draining",
            Readiness::WithoutStore(_) => "degraded",
            Readiness::Broken(_) => "broken",
        },
        "timestamp": Iso(state.now_ms()),
        "server": {
            "uptime": state.uptime_secs(),
            "environment": state.policies().config.server.environment,
            "version": VERSION,
            "memory_usage": {
                "rss": rss,
                "heapTotal": rss,
                "heapUsed": rss,
                "external": 0.0,
            },
        },
        "database": database(state.hub.store()).await,
        "websocket": {
            "active_connections": stats.sessions.get(),
            "total_connections": stats.sessions_opened.get(),
            "rooms": stats.rooms.get(),
            "events_per_minute": stats.minute.events(stats.handled(), state.hub.clock().elapsed_ms()),
        },
    })))
}

/// Whether the embedded store reads and writes, and how long a read takes now, in ms.
async fn database(store: &Store) -> Value {
    let answered = store.ping().await;
    let works = answered.is_ok() && store.failing().is_none();
    let millis = |taken: Duration| (taken.as_secs_f64() * 1_000_000.0).round() / 1_000.0;
    json!({
        "status": if works { "connected" } else { "unavailable" },
        "connections": store.connections(),
        "response_time": answered.ok().map(millis),
    })
}

/// `GET /api/status`, memory in bytes.
pub(crate) async fn push(state: web::Data<SharedState>) -> HandlerResult {
    let stats = state.hub.stats();
    let rss = telemetry::resident();
    Ok(HttpResponse::Ok().json(json!({
        "success": true,
        "status": match state.hub.readiness() {
            Readiness::Ready => "ok",
            Readiness::Draining => "draining",
            Readiness::WithoutStore(_) => "degraded",
            Readiness::Broken(_) => "broken",
        },
        "connections": stats.sessions.get(),
        "rooms": stats.rooms.get(),
        "uptime": state.uptime_secs(),
        "memory": {
            "rss": rss,
            "heapTotal": rss,
            "heapUsed": rss,
            "external": 0,
        },
        "timestamp": Iso(state.now_ms()),
    })))
}
