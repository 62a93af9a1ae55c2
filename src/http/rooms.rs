//! `GET /api/rooms` and `GET /api/rooms/{room}`: which rooms have members, and who they are.

use actix_web::{HttpResponse, web};
use hubbub_actors::fault::{Code, Fault};
use hubbub_actors::ids::RoomName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, iso};
use crate::state::State;

/// Rooms in a listing when the caller does not say.
const LIMIT: usize = 100;
/// Most rooms in a listing.
const LIMIT_MAX: usize = 1_000;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    limit: Option<String>,
    offset: Option<String>,
}

impl Asked {
    /// From which room on, and how many.
    fn page(&self) -> Result<(usize, usize), Fault> {
        let limit = number(self.limit.as_deref(), "limit", LIMIT)?;
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Fault::field("limit", format!("`limit` is not 1 to {LIMIT_MAX}")));
        }
        Ok((number(self.offset.as_deref(), "offset", 0)?, limit))
    }
}

fn number(text: Option<&str>, field: &str, default: usize) -> Result<usize, Fault> {
    text.map_or(Ok(default), str::parse).map_err(|_| Fault::field(field, format!("`{field}` is not a number")))
}

/// `GET /api/rooms`: by name, a page at a time.
pub(super) async fn list(state: web::Data<State>, asked: web::Query<Asked>) -> Answer {
    let (offset, limit) = asked.page()?;
    let rooms = state.hub.list_rooms().await?;
    let page: Vec<Value> = rooms
        .iter()
        .skip(offset)
        .take(limit)
        .map(|room| json!({"room": room.room, "sessions": room.sessions, "users": room.users}))
        .collect();
    Ok(HttpResponse::Ok().json(json!({
        "success": true,
        "rooms": page,
        "total": rooms.len(),
        "timestamp": iso(state.now_ms()),
    })))
}

/// `GET /api/rooms/{room}`.
pub(super) async fn one(state: web::Data<State>, name: web::Path<String>) -> Answer {
    let room = RoomName::parse(&name, "room")?;
    let members = match room.is_internal() {
        true => Vec::new(),
        false => state.hub.members(&room).await?,
    };
    if members.is_empty() {
        return Err(Fault::new(Code::NotFound, "No such room").into());
    }
    let sessions: usize = members.iter().map(|member| member.sessions).sum();
    let listed: Vec<Value> =
        members.iter().map(|member| json!({"userId": member.user, "sessions": member.sessions})).collect();
    Ok(HttpResponse::Ok().json(json!({
        "success": true,
        "room": room,
        "sessions": sessions,
        "users": members.len(),
        "members": listed,
        "timestamp": iso(state.now_ms()),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: Option<&str>, offset: Option<&str>) -> Result<(usize, usize), Option<String>> {
        Asked { limit: limit.map(Into::into), offset: offset.map(Into::into) }.page().map_err(|fault| fault.field)
    }

    #[test]
    fn a_page_has_100_rooms_unless_asked_otherwise() {
        assert_eq!(page(None, None), Ok((0, 100)));
        assert_eq!(page(Some("1000"), Some("5")), Ok((5, 1_000)));
    }

    #[test]
    fn a_page_that_cannot_be_is_refused_by_its_field() {
        for limit in ["0", "1001", "-1", "ten", ""] {
            assert_eq!(page(Some(limit), None), Err(Some("limit".into())));
        }
        for offset in ["-1", "ten", "1.5"] {
            assert_eq!(page(None, Some(offset)), Err(Some("offset".into())));
        }
    }
}
