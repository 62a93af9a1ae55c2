//! `GET /api/rooms/{room}/history`: the stored messages of a room, one page at a time.

use actix_web::{HttpResponse, web};
use hubbub_actors::events::json::Json;
use hubbub_actors::hub::Part;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::ids::{Epoch, EventName, RoomName};
use hubbub_actors::publication::Publication;
use serde::{Deserialize, Serialize};

use super::{HandlerResult, iso};
use crate::state::SharedState;

/// Default number of messages in a page.
const LIMIT: usize = 50;
/// Most messages in a page.
const LIMIT_MAX: usize = 100;

#[derive(Debug, Default, Deserialize)]
pub(super) struct HistoryQuery {
    limit: Option<String>,
    before: Option<String>,
    after: Option<String>,
}

impl HistoryQuery {
    /// The part of the history, and the size of the page.
    fn page(&self) -> Result<(Part, usize), Fault> {
        let limit = self.limit.as_deref().map_or(Ok(LIMIT), |text| number(text, "limit"))?;
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Fault::field("limit", format!("`limit` is not 1 to {LIMIT_MAX}")));
        }
        let part = match (self.before.as_deref(), self.after.as_deref()) {
            (None, None) => Part::Newest,
            (Some(before), None) => Part::Before(number(before, "before")?),
            (None, Some(after)) => Part::After(number(after, "after")?),
            (Some(_), Some(_)) => return Err(Fault::field("after", "`after` and `before` exclude each other")),
        };
        Ok((part, limit))
    }
}

fn number<T: std::str::FromStr>(text: &str, field: &str) -> Result<T, Fault> {
    text.parse().map_err(|_| Fault::field(field, format!("`{field}` is not a number{}", unit(field))))
}

/// The expected unit of `field`, if it could be taken for a time.
fn unit(field: &str) -> &'static str {
    if field == "limit" { "" } else { ": expected the `offset` of a message, not a time" }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HistoryBody<'a> {
    success: bool,
    room: &'a RoomName,
    epoch: &'a Epoch,
    messages: Vec<HistoryMessage<'a>>,
    has_more: bool,
    timestamp: String,
}

#[derive(Serialize)]
struct HistoryMessage<'a> {
    offset: Option<u64>,
    event: &'a EventName,
    data: Json,
    timestamp: String,
}

impl<'a> HistoryMessage<'a> {
    fn of(publication: &'a Publication) -> Self {
        let data = Json::text(publication.data());
        Self { offset: publication.offset(), event: publication.name(), data, timestamp: iso(publication.timestamp()) }
    }
}

/// `GET /api/rooms/{room}/history`: the newest page, or the one before or after an offset; oldest first within a page.
pub(super) async fn history(
    state: web::Data<SharedState>,
    name: web::Path<String>,
    query: web::Query<HistoryQuery>,
) -> HandlerResult {
    let room = RoomName::parse(&name, "room")?;
    let (part, limit) = query.page()?;
    let page = state.hub.history(&room, part, limit).await?;
    let page = page.ok_or_else(|| Fault::new(Code::NotFound, "This room has no history"))?;
    Ok(HttpResponse::Ok().json(HistoryBody {
        success: true,
        room: &room,
        epoch: &page.epoch,
        messages: page.messages.iter().map(|publication| HistoryMessage::of(publication)).collect(),
        has_more: page.has_more,
        timestamp: iso(state.now_ms()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: Option<&str>, before: Option<&str>, after: Option<&str>) -> Result<(Part, usize), Option<String>> {
        let text = |text: Option<&str>| text.map(Into::into);
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
