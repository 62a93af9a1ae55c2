//! Information about the hub: `GET /` for anyone, `GET /info` for clients of the raw surface, and the response to a request
//! for `/ws` that is no WebSocket upgrade.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::runtime::counters::Stats;
use serde_json::{Value, json};

use crate::admission::policies_of;
use crate::error::HandlerResult;
use crate::peer::BasePath;
use crate::policies::Policies;
use crate::state::SharedState;

/// The hub's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The endpoints that `GET /` lists: name and route.
const ENDPOINTS: [(&str, &str); 12] = [
    ("health", "/health"),
    ("live", "/health/live"),
    ("ready", "/health/ready"),
    ("status", "/status"),
    ("metrics", "/metrics"),
    ("info", "/info"),
    ("sessions", "/sessions"),
    ("push", "/api/push"),
    ("broadcast", "/api/broadcast"),
    ("room", "/api/room"),
    ("batch", "/api/batch"),
    ("events", "/api/events"),
];

/// `GET /`.
pub(crate) async fn root(request: HttpRequest, state: web::Data<SharedState>) -> HandlerResult {
    let policies = policies_of(&state, &request);
    let (base, url) = (&policies.base, websocket_url(&request, &policies));
    Ok(HttpResponse::Ok().json(json!({
        "service": "Hubbub",
        "message": "WebSocket server is running",
        "version": VERSION,
        "environment": policies.config.server.environment,
        "timestamp": Iso(state.now_ms()),
        "endpoints": endpoints(base),
        "websocket": {
            "url": url,
            "transports": ["websocket", "polling"],
            "path": format!("{base}/socket.io/"),
            "namespaces": ["/", "/chat"],
            "raw": format!("{url}{base}/ws"),
        },
    })))
}

/// The paths of the endpoints, by name.
fn endpoints(base: &BasePath) -> Value {
    let endpoints = ENDPOINTS.iter().map(|(name, route)| ((*name).to_owned(), format!("{base}{route}").into()));
    Value::Object(endpoints.collect())
}

/// The WebSocket URL of the address by which the caller reached the hub. The scheme is `wss` if a trusted proxy sent `https`
/// or `wss` as the first value of `X-Forwarded-Proto`, which is the client's.
fn websocket_url(request: &HttpRequest, policies: &Policies) -> String {
    let text = |name| {
        let value: Option<&header::HeaderValue> = request.headers().get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let is_trusted = request.peer_addr().is_some_and(|peer| policies.proxies.trusts(peer.ip().to_canonical()));
    let proto = text("x-forwarded-proto").filter(|_| is_trusted).and_then(|protos| protos.split(',').next());
    let is_secure = proto.is_some_and(|proto| ["https", "wss"].iter().any(|it| proto.trim().eq_ignore_ascii_case(it)));
    let scheme = if is_secure { "wss" } else { "ws" };
    match text("host").filter(|host| !host.is_empty()) {
        Some(host) => format!("{scheme}://{host}"),
        None => format!("{scheme}://{}", policies.config.server.authority()),
    }
}

/// `GET /info`. It names each key that it shows, so that no secret is shown.
pub(crate) async fn info(state: web::Data<SharedState>) -> HandlerResult {
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
        "stats": counts_json(state.hub.stats()),
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

/// The counts of the raw document, in `/info` and in the JSON of `/metrics`.
pub(crate) fn counts_json(stats: &Stats) -> Value {
    json!({
        "active_connections": stats.sessions.get(),
        "total_connections": stats.sessions_opened.get(),
        "messages_sent": stats.sent.get(),
        "messages_received": stats.received.get(),
        "errors": stats.errors.get(),
    })
}

/// `GET /ws` without an upgrade.
pub(crate) async fn not_an_upgrade() -> HandlerResult {
    let fault = Fault::new(Code::UpgradeRequired, "This path accepts WebSocket upgrades only");
    Err(fault.into())
}
