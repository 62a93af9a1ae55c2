//! `GET /api/rooms` and `GET /api/rooms/{room}`: the rooms with members, and the members of a room.

use actix_web::web;
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::hub::PageRange;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::ids::{NAME_MAX, RoomName, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::request::{NumberText, QueryParameters};
use crate::error::HttpError;
use crate::openapi::{Example, JsonReply, Operation, Tag, True};
use crate::state::SharedState;

/// Default number of rooms in a page.
const LIMIT: usize = 100;
/// Most rooms or members in a page, and the default number of members.
const LIMIT_MAX: usize = 1_000;

/// A page of rooms or members.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(super) struct RoomsQuery {
    /// The size of the page. Default: 100 rooms, 1,000 members.
    #[schemars(range(min = 1, max = LIMIT_MAX))]
    limit: Option<NumberText>,
    /// The rooms or members before the page. Default: 0.
    offset: Option<NumberText>,
}

/// The path.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct RoomPath {
    /// The name of the room.
    #[schemars(length(min = 1, max = NAME_MAX))]
    pub(super) room: String,
}

impl RoomsQuery {
    /// The offset and the size of the page; `default` is the default size.
    fn page(&self, default: usize) -> Result<PageRange, Fault> {
        let limit = number(self.limit.as_ref(), "limit", default)?;
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Fault::field("limit", format!("`limit` is not 1 to {LIMIT_MAX}")));
        }
        Ok(PageRange { offset: number(self.offset.as_ref(), "offset", 0)?, limit })
    }
}

fn number(text: Option<&NumberText>, field: &str, default: usize) -> Result<usize, Fault> {
    text.map_or(Ok(default), |text| text.0.parse())
        .map_err(|_| Fault::field(field, format!("`{field}` is not a number")))
}

/// A page of rooms.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RoomsReply {
    /// `true`.
    success: True,
    /// The rooms of the page, sorted by name.
    rooms: Vec<RoomEntry>,
    /// The number of all rooms.
    total: usize,
    /// The time of the response.
    timestamp: Iso,
}

/// A room in a list.
#[derive(Debug, Serialize, JsonSchema)]
struct RoomEntry {
    /// The name of the room.
    #[schemars(with = "String")]
    room: RoomName,
    /// The sessions in it.
    sessions: usize,
    /// The distinct users among them.
    users: usize,
}

pub(super) const LIST: Operation = Operation {
    id: "listRooms",
    tag: Tag::Reads,
    summary: "Lists the rooms that have members.",
    description: "A page is sorted by name; the list as a whole is not. A room keeps its position until another room is \
        removed. Internal rooms are omitted: those of single users, and those that begin with `$`.",
    errors: &[],
    example: Example {
        target: "/api/rooms?limit=2",
        body: "",
        status: 200,
        answer: r#"{"success": true, "rooms": [{"room": "news", "sessions": 3, "users": 2}], "total": 1,
            "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `GET /api/rooms`: one page, at a cost that does not grow with the number of rooms.
pub(super) async fn list(
    state: web::Data<SharedState>,
    QueryParameters(query): QueryParameters<RoomsQuery>,
) -> Result<JsonReply<RoomsReply>, HttpError> {
    let (rooms, total) = state.hub.list_rooms(query.page(LIMIT)?).await?;
    let rooms = rooms.into_iter().map(|it| RoomEntry { room: it.room, sessions: it.sessions, users: it.users });
    Ok(JsonReply(RoomsReply { success: True, rooms: rooms.collect(), total, timestamp: Iso(state.now_ms()) }))
}

/// A room and a page of its members.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RoomReply {
    /// `true`.
    success: True,
    /// The name of the room.
    #[schemars(with = "String")]
    room: RoomName,
    /// All sessions in it.
    sessions: usize,
    /// The distinct users among them.
    users: usize,
    /// The members of the page, sorted by id.
    members: Vec<MemberEntry>,
    /// The time of the response.
    timestamp: Iso,
}

/// A user in a room.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MemberEntry {
    /// The user.
    #[schemars(with = "String")]
    user_id: UserId,
    /// The user's sessions in the room.
    sessions: usize,
}

pub(super) const ONE: Operation = Operation {
    id: "getRoom",
    tag: Tag::Reads,
    summary: "Reads a room and its members.",
    description: "A room without members is `NOT_FOUND`, and so is an internal room.",
    errors: &[Code::NotFound],
    example: Example {
        target: "/api/rooms/news",
        body: "",
        status: 200,
        answer: r#"{"success": true, "room": "news", "sessions": 3, "users": 2, "members": [
            {"userId": "u1", "sessions": 2}, {"userId": "u2", "sessions": 1}],
            "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `GET /api/rooms/{room}`: the numbers of sessions and users, and one page of members.
pub(super) async fn one(
    state: web::Data<SharedState>,
    path: web::Path<RoomPath>,
    QueryParameters(query): QueryParameters<RoomsQuery>,
) -> Result<JsonReply<RoomReply>, HttpError> {
    let room = RoomName::parse(&path.room, "room")?;
    let page = query.page(LIMIT_MAX)?;
    let found = if room.is_internal() { None } else { state.hub.members(&room, page).await? };
    let found = found.ok_or_else(|| Fault::new(Code::NotFound, "No such room"))?;
    let members = found.members.into_iter().map(|it| MemberEntry { user_id: it.user, sessions: it.sessions });
    Ok(JsonReply(RoomReply {
        success: True,
        room,
        sessions: found.sessions,
        users: found.users,
        members: members.collect(),
        timestamp: Iso(state.now_ms()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: Option<&str>, offset: Option<&str>) -> Result<(usize, usize), Option<String>> {
        let query = RoomsQuery {
            limit: limit.map(|text| NumberText(text.into())),
            offset: offset.map(|text| NumberText(text.into())),
        };
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
