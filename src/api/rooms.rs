//! `GET /api/rooms` and `GET /api/rooms/{room}`: the rooms with members, and the members of a room.

use actix_web::{HttpResponse, web};
use hubbub_actors::hub::PageRange;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::ids::RoomName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{HandlerResult, iso};
use crate::state::SharedState;

/// Default number of rooms in a page.
const LIMIT: usize = 100;
/// Most rooms or members in a page, and the default number of members.
const LIMIT_MAX: usize = 1_000;

#[derive(Debug, Default, Deserialize)]
pub(super) struct RoomsQuery {
    limit: Option<String>,
    offset: Option<String>,
}

impl RoomsQuery {
    /// The offset and the size of the page; `default` is the default size.
    fn page(&self, default: usize) -> Result<PageRange, Fault> {
        let limit = number(self.limit.as_deref(), "limit", default)?;
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Fault::field("limit", format!("`limit` is not 1 to {LIMIT_MAX}")));
        }
        Ok(PageRange { offset: number(self.offset.as_deref(), "offset", 0)?, limit })
    }
}

fn number(text: Option<&str>, field: &str, default: usize) -> Result<usize, Fault> {
    text.map_or(Ok(default), str::parse).map_err(|_| Fault::field(field, format!("`{field}` is not a number")))
}

/// `GET /api/rooms`: one page, at a cost that does not grow with the number of rooms.
pub(super) async fn list(state: web::Data<SharedState>, query: web::Query<RoomsQuery>) -> HandlerResult {
    let (rooms, total) = state.hub.list_rooms(query.page(LIMIT)?).await?;
    let page: Vec<Value> =
        rooms.iter().map(|room| json!({"room": room.room, "sessions": room.sessions, "users": room.users})).collect();
    Ok(HttpResponse::Ok().json(json!({
        "success": true,
        "rooms": page,
        "total": total,
        "timestamp": iso(state.now_ms()),
    })))
}

/// `GET /api/rooms/{room}`: the numbers of sessions and users, and one page of members.
pub(super) async fn one(
    state: web::Data<SharedState>,
    name: web::Path<String>,
    query: web::Query<RoomsQuery>,
) -> HandlerResult {
    let room = RoomName::parse(&name, "room")?;
    let page = query.page(LIMIT_MAX)?;
    let found = if room.is_internal() { None } else { state.hub.members(&room, page).await? };
    let found = found.ok_or_else(|| Fault::new(Code::NotFound, "No such room"))?;
    let listed: Vec<Value> =
        found.members.iter().map(|member| json!({"userId": member.user, "sessions": member.sessions})).collect();
    Ok(HttpResponse::Ok().json(json!({
        "success": true,
        "room": room,
        "sessions": found.sessions,
        "users": found.users,
        "members": listed,
        "timestamp": iso(state.now_ms()),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: Option<&str>, offset: Option<&str>) -> Result<(usize, usize), Option<String>> {
        let query = RoomsQuery { limit: limit.map(Into::into), offset: offset.map(Into::into) };
        query.page(LIMIT).map(|page| (page.offset, page.limit)).map_err(|fault| fault.field)
    }

    #[test]
    fn a_page_has_100_rooms_by_default() {
        assert_eq!(page(None, None), Ok((0, 100)));
        assert_eq!(page(Some("1000"), Some("5")), Ok((5, 1_000)));
    }

    #[test]
    fn an_invalid_page_is_refused_and_its_field_is_named() {
        for limit in ["0", "1001", "-1", "ten", ""] {
            assert_eq!(page(Some(limit), None), Err(Some("limit".into())));
        }
        for offset in ["-1", "ten", "1.5"] {
            assert_eq!(page(None, Some(offset)), Err(Some("offset".into())));
        }
    }
}
