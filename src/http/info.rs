//! What the hub is: `GET /` for whoever comes by, `GET /info` for clients of the raw surface, and the answer to those
//! who come to `/ws` without a WebSocket.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use hubbub_actors::fault::{Code, Fault};
use hubbub_actors::stats::Stats;
use serde_json::{Value, json};

use super::gate::{client_address, policies_of};
use super::{Answer, iso};
use crate::state::State;

/// The hub's version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `GET /`.
pub(super) async fn root(request: HttpRequest, state: web::Data<State>) -> Answer {
    Ok(HttpResponse::Ok().json(json!({
        "service": "Hubbub",
        "message": "WebSocket server is running",
        "version": VERSION,
        "environment": state.policies().config.server.environment,
        "timestamp": iso(state.now_ms()),
        "endpoints": {
            "health": "/health",
            "status": "/status",
            "metrics": "/metrics",
            "info": "/info",
        },
        "websocket": {
            "url": websocket_url(&request, &state),
            "transports": ["websocket", "polling"],
        },
    })))
}

/// The address by which the caller reached us, as a WebSocket's: `wss` where a trusted proxy says that it was `https`.
fn websocket_url(request: &HttpRequest, state: &State) -> String {
    let text = |name| {
        let value: Option<&header::HeaderValue> = request.headers().get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let behind_proxy = peer.is_some_and(|peer| client_address(state, request).ip != peer);
    let https = text("x-forwarded-proto").is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
    let scheme = if behind_proxy && https { "wss" } else { "ws" };
    match text("host") {
        Some(host) => format!("{scheme}://{host}"),
        None => {
            let policies = policies_of(state, request);
            let server = &policies.config.server;
            format!("{scheme}://{}:{}", server.host, server.port)
        }
    }
}

/// `GET /info`: no secret, by naming each key that is shown.
pub(super) async fn info(state: web::Data<State>) -> Answer {
    let policies = state.policies();
    let server = &policies.config.server;
    Ok(HttpResponse::Ok().json(json!({
        "server": {
            "name": "Hubbub",
            "version": VERSION,
            "config": {
                "host": server.host,
                "port": server.port,
                "max_connections": server.max_connections,
                "heartbeat_interval_secs": server.heartbeat_interval_secs,
                "client_timeout_secs": server.client_timeout_secs,
                "max_frame_size": server.max_frame_size,
            },
        },
        "stats": figures(state.hub.stats()),
        "features": [
            "websocket",
            "heartbeat",
            "topic_subscription",
            "broadcast_messaging",
            "direct_messaging",
            "connection_management",
            "metrics",
        ],
    })))
}

/// The figures as the raw document has them, here and in `/metrics`.
pub(super) fn figures(stats: &Stats) -> Value {
    json!({
        "active_connections": stats.sessions.get(),
        "total_connections": stats.sessions_opened.get(),
        "messages_sent": stats.sent.get(),
        "messages_received": stats.received.get(),
        "errors": stats.errors.get(),
    })
}

/// `GET /ws` without an upgrade.
pub(super) async fn not_an_upgrade() -> Answer {
    let fault = Fault::new(Code::UpgradeRequired, "This path speaks WebSocket only");
    Err(fault.into())
}
