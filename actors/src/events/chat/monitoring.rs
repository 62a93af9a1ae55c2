//! What is to be known of the hub's connections: figures, what happened to them lately, and whether all is well.

use std::net::IpAddr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::Success;
use crate::events::acknowledgements;
use crate::events::moment::Iso;
use crate::model::fault::Code;
use crate::model::ids::{SessionId, UserId};

/// Events in one answer, at most.
pub const EVENTS_ASKED_MAX: usize = 100;
/// Events in an answer where nobody says how many.
const EVENTS_ASKED: usize = 50;

/// Asks for figures of the connections, on every surface, since the start of the hub.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskMetrics {}

/// Asks what happened to connections lately, newest first. Who is no admin sees of others neither address nor user agent
/// nor socket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskEvents {
    /// How many at most, 1 to 100; 50 by default.
    #[serde(default = "asked", deserialize_with = "asked_within")]
    pub limit: usize,
    /// Only this kind.
    #[serde(default, rename = "type")]
    pub kind: Option<Kind>,
    /// Only this user's.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// Only those from this address; of them only one's own for who is no admin.
    #[serde(default)]
    pub ip: Option<IpAddr>,
}

fn asked() -> usize {
    EVENTS_ASKED
}

fn asked_within<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match Option::<usize>::deserialize(deserializer)? {
        None => Ok(EVENTS_ASKED),
        Some(limit @ 1..=EVENTS_ASKED_MAX) => Ok(limit),
        Some(_) => Err(serde::de::Error::custom("expected 1 to 100")),
    }
}

/// Asks for figures, the newest events, and for admins from where and with what most connections come.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskStats {}

/// Asks whether the hub is well, and what to do where it is not.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskHealth {}

/// What happened to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A session began.
    Connect,
    /// It ended.
    Disconnect,
    /// It was ended for a fault: its client's, or a defect of the hub.
    Error,
    /// A connection or a request was refused by a limit.
    RateLimit,
    /// A connection or a request was refused for its token, for its page, or because a room was not to be joined.
    AuthFailure,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Connect, Self::Disconnect, Self::Error, Self::RateLimit, Self::AuthFailure];

    /// The name that clients see.
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

/// Something that happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionEvent {
    /// What.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The session, where there was one.
    #[schemars(with = "Option<String>")]
    pub socket_id: Option<SessionId>,
    /// Its user, where that was known.
    #[schemars(with = "Option<String>")]
    pub user_id: Option<UserId>,
    /// Where the client is.
    pub ip_address: Option<IpAddr>,
    /// What the client calls itself.
    pub user_agent: Option<Arc<str>>,
    /// When.
    pub timestamp: Iso,
    /// What else there is to say.
    pub details: Details,
}

/// What there is to say of an event beside what every one has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Details {
    /// What the client speaks.
    pub surface: &'static str,
    /// Why the session ended, or what the code of a refusal does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// How long it lasted, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<i64>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub code: Option<Code>,
    /// The room, topic or chat (`chat:ID`) that was not joined; for its own user and for admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub room: Option<Arc<str>>,
}

/// The figures of the connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Sessions there ever were.
    pub total_connections: u64,
    /// Those there are.
    pub active_connections: u64,
    /// Connections that were refused.
    pub failed_connections: u64,
    /// How long those lasted that ended, on average, ms; 0 when none did.
    pub average_connection_duration: u64,
    /// The most there were at once.
    pub peak_connections: u64,
    /// Those that began within the last minute.
    pub connections_per_minute: u64,
    /// Since when all this is counted: the start of the hub.
    pub last_reset: Iso,
}

/// How many connections came from an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TopAddress {
    /// The address.
    pub ip: IpAddr,
    /// How many.
    pub count: usize,
}

/// How many connections came with a user agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopUserAgent {
    /// What the clients call themselves.
    #[schemars(with = "String")]
    pub user_agent: Arc<str>,
    /// How many.
    pub count: usize,
}

/// All figures.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Those of the connections.
    pub metrics: Metrics,
    /// What happened last, newest first.
    pub recent_events: Vec<ConnectionEvent>,
    /// From where most of the connections came that are remembered; for admins.
    #[serde(rename = "topIPs")]
    pub top_ips: Vec<TopAddress>,
    /// With what; for admins.
    pub top_user_agents: Vec<TopUserAgent>,
    /// Which part of the requests of the last 5 minutes was refused or failed: 0 to 1, with 4 decimals.
    pub error_rate: f64,
}

/// How the hub is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All is well.
    #[default]
    Healthy,
    /// Something is to be watched.
    Warning,
    /// Something is to be done now.
    Critical,
}

/// How the hub is, what is wrong, and what to do about each of that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Health {
    /// As bad as the worst of it.
    pub status: Status,
    /// What is wrong, a sentence each.
    pub issues: Vec<String>,
    /// What to do, a sentence for each of the issues.
    pub recommendations: Vec<&'static str>,
}

/// Answers `monitoring:metrics`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MetricsTold {
    #[serde(flatten)]
    success: Success,
    metrics: Metrics,
}

impl MetricsTold {
    /// These figures.
    pub fn new(metrics: Metrics) -> Self {
        Self { success: Success::DONE, metrics }
    }
}

/// Answers `monitoring:events`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventsTold {
    #[serde(flatten)]
    success: Success,
    events: Vec<ConnectionEvent>,
}

impl EventsTold {
    /// These events.
    pub fn new(events: Vec<ConnectionEvent>) -> Self {
        Self { success: Success::DONE, events }
    }
}

/// Answers `monitoring:stats`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatsTold {
    #[serde(flatten)]
    success: Success,
    stats: Figures,
}

impl StatsTold {
    /// These figures.
    pub fn new(stats: Figures) -> Self {
        Self { success: Success::DONE, stats }
    }
}

/// Answers `monitoring:health`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HealthTold {
    #[serde(flatten)]
    success: Success,
    health: Health,
}

impl HealthTold {
    /// This.
    pub fn new(health: Health) -> Self {
        Self { success: Success::DONE, health }
    }
}

acknowledgements!(MetricsTold, EventsTold, StatsTold, HealthTold);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::events::json;

    #[test]
    fn what_cannot_be_asked_is_blamed_on_its_field() {
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
    fn what_is_not_said_or_null_filters_nothing() {
        for data in ["{}", r#"{"limit":null,"type":null,"userId":null,"ip":null}"#] {
            let ask: AskEvents = json::parse(data.as_bytes()).unwrap();
            assert_eq!((ask.limit, ask.kind, ask.user_id, ask.ip), (50, None, None, None));
        }
        let ask: AskEvents = json::parse(br#"{"limit":100,"type":"auth_failure","userId":7,"ip":"::1"}"#).unwrap();
        assert_eq!((ask.limit, ask.kind), (100, Some(Kind::AuthFailure)));
        assert_eq!((ask.user_id.unwrap().as_str(), ask.ip), ("7", "::1".parse().ok()));
    }

    #[test]
    fn a_kind_is_written_as_it_is_read() {
        for kind in Kind::ALL {
            assert_eq!(json!(kind), kind.as_str());
        }
    }

    #[test]
    fn an_event_has_every_documented_field_and_of_the_details_what_there_is() {
        let event = ConnectionEvent {
            kind: Kind::RateLimit,
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
