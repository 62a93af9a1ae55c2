//! `GET /api/events`: the latest connection events, newest first, with all fields.

use std::net::IpAddr;

use actix_web::web;
use hubbub_actors::events::chat::monitoring::{AskEvents, ConnectionEvent, ConnectionEventKind};
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::ids::{OWNED_NAME_MAX, UserId};
use hubbub_actors::monitor::event_log::EVENTS_MAX;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::request::{NumberText, QueryParameters};
use crate::error::HttpError;
use crate::openapi::{Example, JsonReply, Operation, Tag, True};
use crate::state::SharedState;

/// Default number of events in a response.
const LIMIT: usize = 100;

/// The query. Unknown parameters are refused: a misspelt filter would have no effect.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    /// Only events of this type.
    #[serde(rename = "type")]
    #[schemars(with = "Option<ConnectionEventKind>")]
    kind: Option<String>,
    /// Only events of this user.
    #[schemars(length(min = 1, max = OWNED_NAME_MAX))]
    user: Option<String>,
    /// Only events from this IPv4 or IPv6 address.
    #[schemars(with = "Option<IpAddr>")]
    ip: Option<String>,
    /// The most events. Default: 100.
    #[schemars(range(min = 1, max = EVENTS_MAX))]
    limit: Option<NumberText>,
}

impl EventsQuery {
    fn read(&self) -> Result<AskEvents, Fault> {
        let limit = self.limit.as_ref().map_or(Ok(LIMIT), |text| {
            let number = text.0.parse().ok().filter(|limit| (1..=EVENTS_MAX).contains(limit));
            number.ok_or_else(|| Fault::field("limit", format!("`limit` is not 1 to {EVENTS_MAX}")))
        });
        let kind = |text: &str| {
            ConnectionEventKind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(unknown_kind)
        };
        let ip =
            |text: &str| text.parse::<IpAddr>().map_err(|_| Fault::field("ip", "`ip` is not an IPv4 or IPv6 address"));
        Ok(AskEvents {
            limit: limit?,
            kind: self.kind.as_deref().map(kind).transpose()?,
            user_id: self.user.as_deref().map(|user| UserId::parse(user, "user")).transpose()?,
            ip: self.ip.as_deref().map(ip).transpose()?,
        })
    }
}

fn unknown_kind() -> Fault {
    let kinds = ConnectionEventKind::ALL.map(ConnectionEventKind::as_str).join(", ");
    Fault::field("type", format!("`type` is none of {kinds}"))
}

/// The latest connection events.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EventListReply {
    /// `true`.
    success: True,
    /// The events, newest first.
    events: Vec<ConnectionEvent>,
    /// The time of the response.
    timestamp: Iso,
}

pub(super) const LIST: Operation = Operation {
    id: "listEvents",
    tag: Tag::Reads,
    summary: "Lists the latest connection events: connects, disconnects, errors, rate limits and refused authentications.",
    description: "The hub keeps the latest 1,000 events in memory. An unknown parameter is refused.",
    errors: &[],
    example: Example {
        target: "/api/events?type=connect&limit=1",
        body: "",
        status: 200,
        answer: r#"{"success": true, "events": [{"type": "connect", "socketId": "4f1c2e9ab0d14c7a8f0e6b5d3c2a1908",
            "userId": "u1", "ipAddress": "203.0.113.7", "userAgent": null, "timestamp": "2026-01-02T03:04:05.000Z",
            "details": {"surface": "raw"}}], "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `GET /api/events`.
pub(super) async fn list(
    state: web::Data<SharedState>,
    QueryParameters(query): QueryParameters<EventsQuery>,
) -> Result<JsonReply<EventListReply>, HttpError> {
    let events = state.hub.connection_events(query.read()?).await?;
    Ok(JsonReply(EventListReply { success: True, events, timestamp: Iso(state.now_ms()) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<AskEvents, Fault> {
        QueryParameters::<EventsQuery>::read(query)?.read()
    }

    #[test]
    fn each_parameter_is_read_and_a_bad_one_is_named() {
        let ask = read("type=auth_failure&user=7&ip=%3A%3A1&limit=1000").unwrap();
        assert_eq!((ask.kind, ask.limit, ask.ip), (Some(ConnectionEventKind::AuthFailure), 1_000, "::1".parse().ok()));
        assert_eq!(ask.user_id.unwrap().as_str(), "7");
        let ask = read("").unwrap();
        assert_eq!((ask.kind, ask.user_id, ask.ip, ask.limit), (None, None, None, LIMIT));
        for (query, field, message) in [
            ("limit=0", "limit", "`limit` is not 1 to 1000"),
            ("limit=1001", "limit", "`limit` is not 1 to 1000"),
            ("limit=many", "limit", "`limit` is not 1 to 1000"),
            ("type=login", "type", "`type` is none of connect, disconnect, error, rate_limit, auth_failure"),
            ("type=", "type", "`type` is none of connect, disconnect, error, rate_limit, auth_failure"),
            ("ip=localhost", "ip", "`ip` is not an IPv4 or IPv6 address"),
            ("user=", "user", "`user` is empty"),
            ("userId=7", "userId", "`userId` is none of type, user, ip and limit"),
            ("limit=1&limit=2", "query", "The query cannot be read: each parameter may appear once, percent-encoded"),
        ] {
            let fault = read(query).unwrap_err();
            assert_eq!((fault.field.as_deref(), &*fault.message), (Some(field), message), "{query}");
        }
    }
}
