//! `GET /health` for people and monitors; `/health/live` and `/health/ready` for orchestrators.

use actix_web::{HttpResponse, web};
use hubbub_actors::events::debug::megabytes;
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::hub::Readiness;
use serde_json::{Value, json};

use crate::error::HandlerResult;
use crate::state::{SharedState, not_ready};
use crate::telemetry;

/// `GET /health`. The body has the fields of three documents.
pub(crate) async fn health(state: web::Data<SharedState>) -> HandlerResult {
    let stats = state.hub.stats();
    let (active, total) = (stats.sessions.get(), stats.sessions_opened.get());
    let max = state.hub.max_connections();
    // Without its store the hub still serves open sessions: it is healthy, but not ready for more.
    let readiness = state.hub.readiness();
    let reason = match readiness {
        Readiness::WithoutStore(_) => None,
        _ => not_ready(&readiness),
    };
    let store = match &readiness {
        Readiness::WithoutStore(why) => Some(why.clone()),
        _ => None,
    };
    let reason = reason.or_else(|| (state.hub.registry().connections() >= max).then(|| "At capacity".to_owned()));
    let mut body = json!({
        "status": if reason.is_some() { "unhealthy" } else { "healthy" },
        "timestamp": Iso(state.now_ms()),
        "uptime": state.uptime_secs(),
        "uptime_seconds": state.uptime_secs(),
        "memory": memory(telemetry::resident(), telemetry::available()),
        "active_connections": active,
        "max_connections": max,
        "connections": {"active": active, "total": total, "pending": stats.pending_connections.get()},
    });
    if let Some(why) = store {
        body["store"] = json!({"status": "unavailable", "reason": why});
    }
    Ok(match reason {
        None => HttpResponse::Ok().json(body),
        Some(reason) => {
            body["reason"] = reason.into();
            HttpResponse::ServiceUnavailable().json(body)
        }
    })
}

/// `GET /health/live`: the process answers, so it need not be restarted.
pub(crate) async fn live(state: web::Data<SharedState>) -> HandlerResult {
    Ok(HttpResponse::Ok().json(json!({
        "status": "alive",
        "timestamp": Iso(state.now_ms()),
    })))
}

/// `GET /health/ready`: whether a load balancer should send traffic here. A hub at capacity is ready. A hub is not ready
/// while the services that it needs to check tokens do not answer.
pub(crate) async fn ready(state: web::Data<SharedState>) -> HandlerResult {
    let timestamp = Iso(state.now_ms());
    Ok(match state.not_ready() {
        None => HttpResponse::Ok().json(json!({"status": "ready", "timestamp": timestamp})),
        Some(reason) => HttpResponse::ServiceUnavailable().json(json!({
            "status": "not ready",
            "reason": reason,
            "timestamp": timestamp,
        })),
    })
}

/// Memory in MB. The percentage is `null` if the total is not known.
fn memory(used: u64, total: Option<u64>) -> Value {
    let percentage =
        total.filter(|total| *total > 0).map(|total| (used as f64 / total as f64 * 1_000.0).round() / 10.0);
    json!({
        "used": megabytes(used),
        "total": total.map(megabytes),
        "percentage": percentage,
    })
}

#[cfg(test)]
mod tests {
    use hubbub_actors::hub::Readiness;

    use super::*;

    #[test]
    fn memory_is_shown_in_megabytes() {
        assert_eq!(
            memory(268_959_744, Some(2_147_483_648)),
            json!({"used": 256.5, "total": 2048.0, "percentage": 12.5})
        );
        assert_eq!(memory(1_048_576, None), json!({"used": 1.0, "total": null, "percentage": null}));
    }

    #[test]
    fn a_hub_that_is_not_ready_gives_the_reason() {
        assert_eq!(not_ready(&Readiness::Ready), None);
        assert_eq!(not_ready(&Readiness::Draining).as_deref(), Some("Draining"));
        assert_eq!(
            not_ready(&Readiness::WithoutStore("the disk is full".into())).as_deref(),
            Some("Store: the disk is full")
        );
        assert_eq!(not_ready(&Readiness::Broken("shard-0".into())).as_deref(), Some("Broken: shard-0"));
    }
}
