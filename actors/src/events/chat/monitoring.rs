//! Monitoring of the hub's connections: metrics, recent events, and health.

use std::net::IpAddr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::Success;
use crate::events::acknowledgements;
use crate::events::timestamp::Iso;
use crate::model::fault::Code;
use crate::model::ids::{SessionId, UserId};

/// Most events in one reply.
pub const EVENTS_LIMIT_MAX: usize = 100;
/// Events in one reply by default.
const EVENTS_LIMIT: usize = 50;

/// Requests the connection metrics of all surfaces since the start of the hub.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskMetrics {}

/// Requests the recent events of connections, newest first. For other users' events, only admins receive the address,
/// the user agent and the socket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskEvents {
    /// Most events, 1 to 100; 50 by default.
    #[serde(default = "events_limit", deserialize_with = "events_limit_within")]
    pub limit: usize,
    /// Only events of this type.
    #[serde(default, rename = "type")]
    pub kind: Option<ConnectionEventKind>,
    /// Only events of this user.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// Only events from this address; a user without the role `admin` receives only the own ones.
    #[serde(default)]
    pub ip: Option<IpAddr>,
}

fn events_limit() -> usize {
    EVENTS_LIMIT
}

fn events_limit_within<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match Option::<usize>::deserialize(deserializer)? {
        None => Ok(EVENTS_LIMIT),
        Some(limit @ 1..=EVENTS_LIMIT_MAX) => Ok(limit),
        Some(_) => Err(serde::de::Error::custom("expected 1 to 100")),
    }
}

/// Requests metrics and recent events. Admins also receive the most frequent addresses and user agents.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskStats {}

/// Requests the health of the hub, with a recommendation for each issue.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskHealth {}

/// The type of a connection event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionEventKind {
    /// A session started.
    Connect,
    /// A session ended.
    Disconnect,
    /// A session ended because of an error of its client or a defect of the hub.
    Error,
    /// A limit refused a connection or a request.
    RateLimit,
    /// A connection or a request was refused because of its token, its origin, or a room that the session may not join.
    AuthFailure,
}

impl ConnectionEventKind {
    /// All types.
    pub const ALL: [Self; 5] = [Self::Connect, Self::Disconnect, Self::Error, Self::RateLimit, Self::AuthFailure];

    /// The name that clients receive.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::Error => "error",
            Self::RateLimit => "rate_limit",
            Self::AuthFailure => "auth_failure",
        }
    }
}

/// An event of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionEvent {
    /// The type.
    #[serde(rename = "type")]
    pub kind: ConnectionEventKind,
    /// The session, if there was one.
    #[schemars(with = "Option<String>")]
    pub socket_id: Option<SessionId>,
    /// Its user, if known.
    #[schemars(with = "Option<String>")]
    pub user_id: Option<UserId>,
    /// The client's address.
    pub ip_address: Option<IpAddr>,
    /// The client's `User-Agent`.
    pub user_agent: Option<Arc<str>>,
    /// When it occurred.
    pub timestamp: Iso,
    /// Further details.
    pub details: Details,
}

/// The details of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Details {
    /// The surface of the client.
    pub surface: &'static str,
    /// Why the session ended, or the reason of a refusal beside its code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The duration of the session, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<i64>,
    /// The code of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub code: Option<Code>,
    /// The room, topic or chat (`chat:ID`) of a refused join; only its user and admins receive it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub room: Option<Arc<str>>,
}

/// The connection metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Sessions opened since the start.
    pub total_connections: u64,
    /// Open sessions.
    pub active_connections: u64,
    /// Refused connections.
    pub failed_connections: u64,
    /// The average duration of the ended sessions, ms; 0 if none ended.
    pub average_connection_duration: u64,
    /// Most sessions open at once.
    pub peak_connections: u64,
    /// Sessions opened within the last minute.
    pub connections_per_minute: u64,
    /// When the counts started: the start of the hub.
    pub last_reset: Iso,
}

/// The number of connections from an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TopAddress {
    /// The address.
    pub ip: IpAddr,
    /// The number.
    pub count: usize,
}

/// The number of connections with a user agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopUserAgent {
    /// The clients' `User-Agent`.
    #[schemars(with = "String")]
    pub user_agent: Arc<str>,
    /// The number.
    pub count: usize,
}

/// All metrics.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MonitoringStats {
    /// The connection metrics.
    pub metrics: Metrics,
    /// Recent events, newest first.
    pub recent_events: Vec<ConnectionEvent>,
    /// The most frequent addresses of the stored connections; for admins.
    #[serde(rename = "topIPs")]
    pub top_ips: Vec<TopAddress>,
    /// The most frequent user agents; for admins.
    pub top_user_agents: Vec<TopUserAgent>,
    /// The share of requests of the last 5 minutes that were refused or failed: 0 to 1, with 4 decimals.
    pub error_rate: f64,
}

/// The health of the hub.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No issue.
    #[default]
    Healthy,
    /// An issue that needs attention.
    Warning,
    /// An issue that needs action now.
    Critical,
}

/// The health of the hub, its issues, and a recommendation for each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Health {
    /// The status of the worst issue.
    pub status: HealthStatus,
    /// The issues, one sentence each.
    pub issues: Vec<String>,
    /// The recommendations, one sentence for each issue.
    pub recommendations: Vec<&'static str>,
}

/// Answers `monitoring:metrics`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MetricsReply {
    #[serde(flatten)]
    success: Success,
    metrics: Metrics,
}

impl MetricsReply {
    /// The reply with these metrics.
    pub fn new(metrics: Metrics) -> Self {
        Self { success: Success::DONE, metrics }
    }
}

/// Answers `monitoring:events`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventsReply {
    #[serde(flatten)]
    success: Success,
    events: Vec<ConnectionEvent>,
}

impl EventsReply {
    /// The reply with these events.
    pub fn new(events: Vec<ConnectionEvent>) -> Self {
        Self { success: Success::DONE, events }
    }
}

/// Answers `monitoring:stats`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatsReply {
    #[serde(flatten)]
    success: Success,
    stats: MonitoringStats,
}

impl StatsReply {
    /// The reply with these metrics.
    pub fn new(stats: MonitoringStats) -> Self {
        Self { success: Success::DONE, stats }
    }
}

/// Answers `monitoring:health`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HealthReply {
    #[serde(flatten)]
    success: Success,
    health: Health,
}

impl HealthReply {
    /// The reply with this health.
    pub fn new(health: Health) -> Self {
        Self { success: Success::DONE, health }
    }
}

acknowledgements!(MetricsReply, EventsReply, StatsReply, HealthReply);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::events::json;

    #[test]
    fn an_invalid_filter_is_refused_with_its_field() {
        for (data, field) in [
            (json!({"limit": 0}), "limit"),
            (json!({"limit": 101}), "limit"),
            (json!({"limit": -1}), "limit"),
            (json!({"limit": "5"}), "limit"),
            (json!({"type": "reconnect"}), "type"),
            (json!({"type": 7}), "type"),
            (json!({"ip": "localhost"}), "ip"),
            (json!({"ip": "10.0.0.0/8"}), "ip"),
            (json!({"ip": 7}), "ip"),
            (json!({"userId": ""}), "userId"),
            (json!({"userId": [1]}), "userId"),
            (json!(null), "data"),
        ] {
            let fault = json::parse::<AskEvents>(data.to_string().as_bytes()).unwrap_err();
            assert_eq!((fault.code, fault.field.as_deref()), (Code::InvalidRequest, Some(field)), "{data}: {fault}");
        }
    }

    #[test]
    fn a_missing_or_null_filter_accepts_all_events() {
        for data in ["{}", r#"{"limit":null,"type":null,"userId":null,"ip":null}"#] {
            let ask: AskEvents = json::parse(data.as_bytes()).unwrap();
            assert_eq!((ask.limit, ask.kind, ask.user_id, ask.ip), (50, None, None, None));
        }
        let ask: AskEvents = json::parse(br#"{"limit":100,"type":"auth_failure","userId":7,"ip":"::1"}"#).unwrap();
        assert_eq!((ask.limit, ask.kind), (100, Some(ConnectionEventKind::AuthFailure)));
        assert_eq!((ask.user_id.unwrap().as_str(), ask.ip), ("7", "::1".parse().ok()));
    }

    #[test]
    fn a_type_has_the_same_name_in_both_directions() {
        for kind in ConnectionEventKind::ALL {
            assert_eq!(json!(kind), kind.as_str());
        }
    }

    #[test]
    fn an_event_has_every_documented_field_and_only_known_details() {
        let event = ConnectionEvent {
            kind: ConnectionEventKind::RateLimit,
            socket_id: None,
            user_id: None,
            ip_address: "10.0.0.1".parse().ok(),
            user_agent: None,
            timestamp: Iso(1_752_921_000_000),
            details: Details { surface: "/chat", code: Some(Code::RateLimited), ..Details::default() },
        };
        assert_eq!(
            serde_json::to_value(event).unwrap(),
            json!({
                "type": "rate_limit",
                "socketId": null,
                "userId": null,
                "ipAddress": "10.0.0.1",
                "userAgent": null,
                "timestamp": "2025-07-19T10:30:00.000Z",
                "details": {"surface": "/chat", "code": "RATE_LIMITED"},
            })
        );
    }
}
