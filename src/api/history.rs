//! `GET /api/rooms/{room}/history`: the stored messages of a room, one page at a time.

use actix_web::web;
use hubbub_actors::events::json::Json;
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::hub::Part;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::ids::{Epoch, EventName, RoomName};
use hubbub_actors::publication::Publication;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::request::{NumberText, QueryParameters};
use super::rooms::RoomPath;
use crate::error::HttpError;
use crate::openapi::{Example, JsonReply, Operation, Tag, True};
use crate::state::SharedState;

/// Default number of messages in a page.
const LIMIT: usize = 50;
/// Most messages in a page.
const LIMIT_MAX: usize = 100;

/// A page of a history.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(super) struct HistoryQuery {
    /// The size of the page. Default: 50.
    #[schemars(range(min = 1, max = LIMIT_MAX))]
    limit: Option<NumberText>,
    /// An offset: the page is the newest messages before it. Not with `after`.
    before: Option<NumberText>,
    /// An offset: the page is the oldest messages after it. Not with `before`.
    after: Option<NumberText>,
}

impl HistoryQuery {
    /// The part of the history, and the size of the page.
    fn page(&self) -> Result<(Part, usize), Fault> {
        let limit = self.limit.as_ref().map_or(Ok(LIMIT), |text| number(text, "limit"))?;
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Fault::field("limit", format!("`limit` is not 1 to {LIMIT_MAX}")));
        }
        let part = match (&self.before, &self.after) {
            (None, None) => Part::Newest,
            (Some(before), None) => Part::Before(number(before, "before")?),
            (None, Some(after)) => Part::After(number(after, "after")?),
            (Some(_), Some(_)) => return Err(Fault::field("after", "`after` and `before` exclude each other")),
        };
        Ok((part, limit))
    }
}

fn number<T: std::str::FromStr>(text: &NumberText, field: &str) -> Result<T, Fault> {
    text.0.parse().map_err(|_| Fault::field(field, format!("`{field}` is not a number{}", unit(field))))
}

/// The expected unit of `field`, if it could be taken for a time.
fn unit(field: &str) -> &'static str {
    if field == "limit" { "" } else { ": expected the `offset` of a message, not a time" }
}

/// A page of the stored messages of a room.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct HistoryReply {
    /// `true`.
    success: True,
    /// The name of the room.
    #[schemars(with = "String")]
    room: RoomName,
    /// The epoch of the offsets. With another epoch, offsets count another history.
    #[schemars(with = "String")]
    epoch: Epoch,
    /// The messages of the page, oldest first.
    messages: Vec<HistoryMessage>,
    /// Whether there are more messages in the direction of the page.
    has_more: bool,
    /// The time of the response.
    timestamp: Iso,
}

/// A stored message.
#[derive(Serialize, JsonSchema)]
struct HistoryMessage {
    /// Its offset.
    #[schemars(with = "u64")]
    offset: Option<u64>,
    /// The name of the event.
    #[schemars(with = "String")]
    event: EventName,
    /// The data of the event.
    #[schemars(with = "serde_json::Value")]
    data: Json,
    /// When it was published.
    timestamp: Iso,
}

impl HistoryMessage {
    fn of(publication: &Publication) -> Self {
        let (data, timestamp) = (Json::text(publication.data()), Iso(publication.timestamp()));
        Self { offset: publication.offset(), event: publication.name().clone(), data, timestamp }
    }
}

pub(super) const HISTORY: Operation = Operation {
    id: "getHistory",
    tag: Tag::Reads,
    summary: "Reads the stored messages of a room.",
    description: "Without `before` and `after`, the page is the newest messages. A room without a history, \
        or with a forgotten one, is `NOT_FOUND`.",
    errors: &[Code::NotFound],
    example: Example {
        target: "/api/rooms/news/history?limit=1",
        body: "",
        status: 200,
        answer: r#"{"success": true, "room": "news", "epoch": "4f1c2e9ab0d14c7a8f0e6b5d3c2a1908", "messages": [
            {"offset": 7, "event": "headline", "data": "Rain tomorrow", "timestamp": "2026-01-02T03:04:05.000Z"}],
            "hasMore": true, "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `GET /api/rooms/{room}/history`: the newest page, or the one before or after an offset; oldest first within a page.
pub(super) async fn history(
    state: web::Data<SharedState>,
    path: web::Path<RoomPath>,
    QueryParameters(query): QueryParameters<HistoryQuery>,
) -> Result<JsonReply<HistoryReply>, HttpError> {
    let room = RoomName::parse(&path.room, "room")?;
    let (part, limit) = query.page()?;
    let page = state.hub.history(&room, part, limit).await?;
    let page = page.ok_or_else(|| Fault::new(Code::NotFound, "This room has no history"))?;
    let messages = page.messages.iter().map(|publication| HistoryMessage::of(publication)).collect();
    let timestamp = Iso(state.now_ms());
    Ok(JsonReply(HistoryReply { success: True, room, epoch: page.epoch, messages, has_more: page.has_more, timestamp }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: Option<&str>, before: Option<&str>, after: Option<&str>) -> Result<(Part, usize), Option<String>> {
        let text = |text: Option<&str>| text.map(|text| NumberText(text.into()));
        HistoryQuery { limit: text(limit), before: text(before), after: text(after) }
            .page()
            .map_err(|fault| fault.field)
    }

    #[test]
    fn a_page_is_the_newest_50_by_default() {
        assert_eq!(page(None, None, None), Ok((Part::Newest, 50)));
        assert_eq!(page(Some("100"), Some("7"), None), Ok((Part::Before(7), 100)));
        assert_eq!(page(Some("1"), None, Some("0")), Ok((Part::After(0), 1)));
    }

    #[test]
    fn an_invalid_page_is_refused_and_its_parameter_is_named() {
        for text in ["0", "101", "-1", "ten", "", "1.5"] {
            assert_eq!(page(Some(text), None, None), Err(Some("limit".into())), "{text}");
        }
        for text in ["-1", "ten", "", "1.5", "18446744073709551616"] {
            assert_eq!(page(None, Some(text), None), Err(Some("before".into())), "{text}");
            assert_eq!(page(None, None, Some(text)), Err(Some("after".into())), "{text}");
        }
        assert_eq!(page(None, Some("1"), Some("1")), Err(Some("after".into())));
    }
}
