//! `GET /api/events`: the latest connection events, newest first, with all fields.

use std::net::IpAddr;

use actix_web::{HttpResponse, web};
use hubbub_actors::events::chat::monitoring::{AskEvents, ConnectionEventKind};
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::ids::UserId;
use hubbub_actors::monitor::event_log::EVENTS_MAX;
use serde::Deserialize;
use serde_json::json;

use super::{HandlerResult, iso};
use crate::state::SharedState;

/// Default number of events in a response.
const LIMIT: usize = 100;

/// The query. Unknown parameters are refused: a misspelt filter would have no effect.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    #[serde(rename = "type")]
    kind: Option<String>,
    user: Option<String>,
    ip: Option<String>,
    limit: Option<String>,
}

impl EventsQuery {
    fn read(&self) -> Result<AskEvents, Fault> {
        let limit = self.limit.as_deref().map_or(Ok(LIMIT), |text| {
            let number = text.parse().ok().filter(|limit| (1..=EVENTS_MAX).contains(limit));
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

/// Reads a query.
///
/// # Errors
/// [`hubbub_actors::model::fault::Code::InvalidRequest`] with the field.
fn read(query: &str) -> Result<AskEvents, Fault> {
    let query =
        web::Query::<EventsQuery>::from_query(query).map_err(|error| match unknown_field(&error.to_string()) {
            Some(name) => {
                let message = format!("`{name}` is none of type, user, ip and limit");
                Fault::field(name, message)
            }
            None => Fault::field("query", "The query cannot be read: each parameter may appear once, percent-encoded"),
        })?;
    query.read()
}

/// The unexpected parameter in an error of serde, at most 64 characters.
fn unknown_field(error: &str) -> Option<String> {
    let (_, rest) = error.split_once("unknown field `")?;
    Some(rest.split('`').next()?.chars().take(64).collect())
}

/// `GET /api/events`.
pub(super) async fn list(state: web::Data<SharedState>, request: actix_web::HttpRequest) -> HandlerResult {
    let events = state.hub.connection_events(read(request.query_string())?).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true, "events": events, "timestamp": iso(state.now_ms())})))
}

#[cfg(test)]
mod tests {
    use super::*;

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
