//! `GET /status` as the community document has it, and `GET /api/status` as the push document has it.

use actix_web::{HttpResponse, web};
use hubbub_actors::hub::Readiness;
use serde_json::json;

use super::health::megabytes;
use super::info::{ENVIRONMENT, VERSION};
use super::{Answer, iso};
use crate::state::State;
use crate::telemetry;

/// `GET /status`. A process without a managed heap has no heap figures of its own: they repeat `rss`.
pub(super) async fn community(state: web::Data<State>) -> Answer {
    let stats = state.hub.stats();
    let rss = megabytes(telemetry::resident());
    Ok(HttpResponse::Ok().json(json!({
        "status": match state.hub.readiness() {
            Readiness::Ready => "operational",
            Readiness::Draining => "draining",
            Readiness::Broken(_) => "broken",
        },
        "timestamp": iso(state.now_ms()),
        "server": {
            "uptime": state.uptime_secs(),
            "environment": ENVIRONMENT,
            "version": VERSION,
            "memory_usage": {
                "rss": rss,
                "heapTotal": rss,
                "heapUsed": rss,
                "external": 0.0,
            },
        },
        // There is no store yet, and saying "connected" would be a lie that a monitor believes.
        "database": {
            "status": "not_configured",
            "connections": 0,
            "response_time": null,
        },
        "websocket": {
            "active_connections": stats.sessions.get(),
            "total_connections": stats.sessions_opened.get(),
            "rooms": stats.rooms.get(),
            "events_per_minute": state.published_per_minute(),
        },
    })))
}

/// `GET /api/status`, memory in bytes.
pub(super) async fn push(state: web::Data<State>) -> Answer {
    let stats = state.hub.stats();
    let rss = telemetry::resident();
    Ok(HttpResponse::Ok().json(json!({
        "success": true,
        "status": match state.hub.readiness() {
            Readiness::Ready => "ok",
            Readiness::Draining => "draining",
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
        "timestamp": iso(state.now_ms()),
    })))
}
