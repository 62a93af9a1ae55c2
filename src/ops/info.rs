//! Information about the hub: `GET /` for anyone, `GET /info` for clients of the raw surface, and the response to a request
//! for `/ws` that is no WebSocket upgrade.

use std::collections::BTreeMap;

use actix_web::body::BoxBody;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, Responder, web};
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::runtime::counters::Stats;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;

use crate::admission::policies_of;
use crate::error::HttpError;
use crate::openapi::answer::SuccessResponse;
use crate::openapi::{Answer, Example, JsonReply, Operation, Tag};
use crate::peer::BasePath;
use crate::policies::Policies;
use crate::state::SharedState;

/// The hub's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The endpoints that `GET /` lists: name and route.
const ENDPOINTS: [(&str, &str); 13] = [
    ("health", "/health"),
    ("live", "/health/live"),
    ("ready", "/health/ready"),
    ("status", "/status"),
    ("metrics", "/metrics"),
    ("info", "/info"),
    ("openapi", "/openapi.json"),
    ("sessions", "/sessions"),
    ("push", "/api/push"),
    ("broadcast", "/api/broadcast"),
    ("room", "/api/room"),
    ("batch", "/api/batch"),
    ("events", "/api/events"),
];

/// The hub and its addresses.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RootReply {
    /// `Hubbub`.
    service: &'static str,
    /// A sentence for people.
    message: &'static str,
    /// The version of the hub.
    version: &'static str,
    /// `server.environment`.
    environment: String,
    /// The time of the response.
    timestamp: Iso,
    /// Paths of endpoints by name.
    endpoints: BTreeMap<&'static str, String>,
    /// How clients connect.
    websocket: Websocket,
}

/// How clients connect.
#[derive(Debug, Serialize, JsonSchema)]
struct Websocket {
    /// The address of the hub, by `Host`: `ws://…` or `wss://…`.
    url: String,
    /// The transports of Socket.IO.
    transports: [&'static str; 2],
    /// The path of Socket.IO.
    path: String,
    /// The namespaces of Socket.IO.
    namespaces: [&'static str; 2],
    /// The address of the raw WebSocket.
    raw: String,
}

pub(crate) const ROOT: Operation = Operation {
    id: "getRoot",
    tag: Tag::Operators,
    summary: "Names the hub, its version and the addresses for clients.",
    description: "",
    errors: &[],
    example: Example {
        target: "/",
        body: "",
        status: 200,
        answer: r#"{"service": "Hubbub", "message": "WebSocket server is running", "version": "0.1.0",
            "environment": "production", "timestamp": "2026-01-02T03:04:05.678Z",
            "endpoints": {"health": "/health", "live": "/health/live", "ready": "/health/ready", "status": "/status",
            "metrics": "/metrics", "info": "/info", "openapi": "/openapi.json", "sessions": "/sessions",
            "push": "/api/push", "broadcast": "/api/broadcast", "room": "/api/room", "batch": "/api/batch",
            "events": "/api/events"},
            "websocket": {"url": "ws://127.0.0.1:8081", "transports": ["websocket", "polling"], "path": "/socket.io/",
            "namespaces": ["/", "/chat"], "raw": "ws://127.0.0.1:8081/ws"}}"#,
    },
};

/// `GET /`.
pub(crate) async fn root(
    request: HttpRequest,
    state: web::Data<SharedState>,
) -> Result<JsonReply<RootReply>, HttpError> {
    let policies = policies_of(&state, &request);
    let (base, url) = (&policies.base, websocket_url(&request, &policies));
    Ok(JsonReply(RootReply {
        service: "Hubbub",
        message: "WebSocket server is running",
        version: VERSION,
        environment: policies.config.server.environment.clone(),
        timestamp: Iso(state.now_ms()),
        endpoints: endpoints(base),
        websocket: Websocket {
            raw: format!("{url}{base}/ws"),
            url,
            transports: ["websocket", "polling"],
            path: format!("{base}/socket.io/"),
            namespaces: ["/", "/chat"],
        },
    }))
}

/// The paths of the endpoints, by name.
fn endpoints(base: &BasePath) -> BTreeMap<&'static str, String> {
    ENDPOINTS.iter().map(|(name, route)| (*name, format!("{base}{route}"))).collect()
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

/// The settings, the counts and the features of the hub.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InfoReply {
    /// The hub.
    server: HubInfo,
    /// Counts since the start.
    stats: Counts,
    /// The features of the raw surface.
    features: [&'static str; 7],
}

/// The hub.
#[derive(Debug, Serialize, JsonSchema)]
struct HubInfo {
    /// `Hubbub`.
    name: &'static str,
    /// The version of the hub.
    version: &'static str,
    /// Keys of `[server]`.
    config: ServerConfig,
}

/// Keys of `[server]`. It names each key that it shows, so that no secret is shown.
#[derive(Debug, Serialize, JsonSchema)]
struct ServerConfig {
    /// `server.host`.
    host: String,
    /// `server.port`.
    port: u16,
    /// `server.max_connections`.
    max_connections: usize,
    /// `server.heartbeat_interval_secs`.
    heartbeat_interval_secs: u32,
    /// `server.client_timeout_secs`.
    client_timeout_secs: u32,
    /// `server.max_frame_size`, bytes.
    max_frame_size: usize,
}

/// The counts of the raw document, in `/info` and in the JSON of `/metrics`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Counts {
    /// Open sessions on all surfaces.
    active_connections: u64,
    /// Sessions since the start.
    total_connections: u64,
    /// Messages sent to clients.
    messages_sent: u64,
    /// Messages received from clients.
    messages_received: u64,
    /// Refusals sent to clients.
    errors: u64,
}

impl Counts {
    pub(crate) fn of(stats: &Stats) -> Self {
        Self {
            active_connections: stats.sessions.get(),
            total_connections: stats.sessions_opened.get(),
            messages_sent: stats.sent.get(),
            messages_received: stats.received.get(),
            errors: stats.errors.get(),
        }
    }
}

pub(crate) const INFO: Operation = Operation {
    id: "getInfo",
    tag: Tag::Operators,
    summary: "Shows settings that clients may know, and counts.",
    description: "",
    errors: &[],
    example: Example {
        target: "/info",
        body: "",
        status: 200,
        answer: r#"{"server": {"name": "Hubbub", "version": "0.1.0", "config": {"host": "127.0.0.1", "port": 8081,
            "max_connections": 10000, "heartbeat_interval_secs": 30, "client_timeout_secs": 60,
            "max_frame_size": 65536}}, "stats": {"active_connections": 120, "total_connections": 4510,
            "messages_sent": 90210, "messages_received": 7300, "errors": 3}, "features": ["websocket", "heartbeat",
            "topic_subscription", "broadcast_messaging", "direct_messaging", "connection_management", "metrics"]}"#,
    },
};

/// `GET /info`.
pub(crate) async fn info(state: web::Data<SharedState>) -> Result<JsonReply<InfoReply>, HttpError> {
    let policies = state.policies();
    let server = &policies.config.server;
    let config = ServerConfig {
        host: server.host.clone(),
        port: server.port,
        max_connections: server.max_connections,
        heartbeat_interval_secs: server.heartbeat_interval_secs,
        client_timeout_secs: server.client_timeout_secs,
        max_frame_size: server.max_frame_size,
    };
    Ok(JsonReply(InfoReply {
        server: HubInfo { name: "Hubbub", version: VERSION, config },
        stats: Counts::of(state.hub.stats()),
        features: [
            "websocket",
            "heartbeat",
            "topic_subscription",
            "broadcast_messaging",
            "direct_messaging",
            "connection_management",
            "metrics",
        ],
    }))
}

/// The response to a request for `/ws` that is no upgrade: there is none but a refusal. Upgrades do not reach the handler.
pub(crate) enum UpgradeReply {}

impl Responder for UpgradeReply {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        match self {}
    }
}

impl Answer for UpgradeReply {
    fn successes(_: &mut SchemaGenerator) -> Vec<SuccessResponse> {
        vec![SuccessResponse::empty(StatusCode::SWITCHING_PROTOCOLS, "The connection is a WebSocket")]
    }
}

pub(crate) const CONNECT: Operation = Operation {
    id: "connect",
    tag: Tag::Connections,
    summary: "Opens a WebSocket.",
    description: "The request is a WebSocket handshake of version 13. Its token is in `Authorization: Bearer`, in \
        the subprotocol `access_token.<jwt>` or in the query parameter `token`. A request without an upgrade is refused with `UPGRADE_REQUIRED`.",
    errors: &[
        Code::InvalidToken,
        Code::TokenExpired,
        Code::Forbidden,
        Code::OriginNotAllowed,
        Code::UpgradeRequired,
        Code::RateLimited,
        Code::AuthUnavailable,
        Code::ServerFull,
        Code::Overloaded,
        Code::StoreUnavailable,
        Code::ShuttingDown,
    ],
    example: Example {
        target: "/ws",
        body: "",
        status: 426,
        answer: r#"{"error": {"code": "UPGRADE_REQUIRED", "message": "This path accepts WebSocket upgrades only",
            "details": {}}}"#,
    },
};

/// `GET /ws` without an upgrade.
pub(crate) async fn not_an_upgrade() -> Result<UpgradeReply, HttpError> {
    let fault = Fault::new(Code::UpgradeRequired, "This path accepts WebSocket upgrades only");
    Err(fault.into())
}
