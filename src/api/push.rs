//! `POST /api/push`, `/api/broadcast`, `/api/room`, `/api/disconnect`: the commands of a backend.
//!
//! Each body becomes a [`PushCommand`]; [`super::batch`] reads its items in the same way. `data` is never parsed into
//! values: clients get the bytes that were sent, except for [escapes that JSON does not need](text::resolve). An event
//! `notification` for one user is stored until the user has read it; see [`hubbub_actors::notifications`].

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use hubbub_actors::events::{ServerEvent as _, community, text};
use hubbub_actors::hub::PublishTarget;
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::ids::{EventName, IdText, RoomName, UserId};
use hubbub_actors::notifications::Notification;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::call::Call;
use super::guard::AdmittedBody;
use super::push_command::PushCommand;
use super::{HandlerResult, json};
use crate::state::SharedState;

/// `{userId, event, data}`: to every session of a user.
#[derive(Debug, Deserialize)]
struct PushBody<'a> {
    #[serde(rename = "userId")]
    user_id: IdText,
    event: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// `{event, data}`: to all users; with `to`, to a user, a thread, a room or all.
#[derive(Debug, Deserialize)]
struct BroadcastBody<'a> {
    event: String,
    to: Option<String>,
    // `userId` is accepted, because a backend that sends it means one user and not all.
    #[serde(alias = "userId")]
    user_id: Option<IdText>,
    #[serde(alias = "threadId")]
    thread_id: Option<IdText>,
    room: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// `{room, event, data}`: to every member of a room.
#[derive(Debug, Deserialize)]
struct RoomBody<'a> {
    room: String,
    event: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// `{userId}`: closes every session of a user.
#[derive(Debug, Deserialize)]
struct DisconnectBody {
    #[serde(rename = "userId")]
    user_id: IdText,
}

/// Reads the body of `POST /api/push`: `part` is the whole of `body` or a part of it. The data of a notification has at most
/// `most` bytes.
pub(super) fn read_push(part: &[u8], body: &Bytes, most: usize) -> Result<PushCommand, Fault> {
    let push: PushBody<'_> = json::parse(part)?;
    let user = UserId::parse(&push.user_id.0, "userId")?;
    publish(PublishTarget::User(user), &push.event, push.data, body, most)
}

/// Reads the body of `POST /api/broadcast`.
pub(super) fn read_broadcast(part: &[u8], body: &Bytes, most: usize) -> Result<PushCommand, Fault> {
    let broadcast: BroadcastBody<'_> = json::parse(part)?;
    let target = broadcast.target()?;
    publish(target, &broadcast.event, broadcast.data, body, most)
}

/// Reads the body of `POST /api/room`.
pub(super) fn read_room(part: &[u8], body: &Bytes, most: usize) -> Result<PushCommand, Fault> {
    let room: RoomBody<'_> = json::parse(part)?;
    publish(room_target(&room.room)?, &room.event, room.data, body, most)
}

/// Reads the body of `POST /api/disconnect`.
pub(super) fn read_disconnect(part: &[u8]) -> Result<PushCommand, Fault> {
    let disconnect: DisconnectBody = json::parse(part)?;
    UserId::parse(&disconnect.user_id.0, "userId").map(PushCommand::Disconnect)
}

impl BroadcastBody<'_> {
    fn target(&self) -> Result<PublishTarget, Fault> {
        match self.to.as_deref() {
            Some("all") => Ok(PublishTarget::Everybody),
            Some("user") => {
                let id = required(self.user_id.as_ref(), "user_id")?;
                UserId::parse(&id.0, "user_id").map(PublishTarget::User)
            }
            Some("thread") => {
                let id = required(self.thread_id.as_ref(), "thread_id")?;
                // `thread:` alone is a valid room name, but no thread.
                let id = match id.0.as_str() {
                    "" => return Err(Fault::field("thread_id", "`thread_id` is empty")),
                    id => id,
                };
                RoomName::of_thread(id, "thread_id").map(PublishTarget::Room)
            }
            Some("room") => room_target(required(self.room.as_ref(), "room")?),
            Some(_) => Err(Fault::field("to", "`to` is none of user, thread, room and all")),
            None if self.user_id.is_none() && self.thread_id.is_none() && self.room.is_none() => {
                Ok(PublishTarget::Everybody)
            }
            // Without this check, an event for one user would reach all.
            None => Err(Fault::field("to", "`to` is missing: user, thread, room or all")),
        }
    }
}

fn required<'a, T>(value: Option<&'a T>, field: &str) -> Result<&'a T, Fault> {
    value.ok_or_else(|| Fault::field(field, format!("`{field}` is missing")))
}

/// The target of a room name. `user:ID` means the user; a backend cannot address other internal rooms.
fn room_target(name: &str) -> Result<PublishTarget, Fault> {
    let room = RoomName::parse(name, "room")?;
    match name.strip_prefix("user:") {
        Some(user) => UserId::parse(user, "room").map(PublishTarget::User),
        None if room.is_internal() => Err(Fault::field("room", "`room` begins with `$`: such rooms are the hub's own")),
        None => Ok(PublishTarget::Room(room)),
    }
}

fn publish(
    target: PublishTarget,
    event: &str,
    data: &RawValue,
    body: &Bytes,
    most: usize,
) -> Result<PushCommand, Fault> {
    let event = EventName::parse(event, "event")?;
    text::check_value(data.get().as_bytes(), "data")?;
    // A slice of the body: no copy.
    let data = body.slice_ref(data.get().as_bytes());
    match target {
        // Only a notification for one user can be marked as read.
        PublishTarget::User(user) if event.as_str() == community::UserNotification::NAME => {
            Notification::parse(&data, most).map(|notification| PushCommand::Notify(user, notification))
        }
        target => Ok(PushCommand::Publish(target, event, data)),
    }
}

/// Most bytes of the data of a notification.
pub(super) fn notification_bytes(state: &SharedState) -> usize {
    state.policies().config.limits.notification_bytes
}

async fn answer(state: &SharedState, call: &Call, command: Result<PushCommand, Fault>) -> HandlerResult {
    Ok(HttpResponse::Ok().json(command?.execute(state, call, None).await?.answer(state).await?))
}

/// `POST /api/push`.
pub(super) async fn push(state: web::Data<SharedState>, call: Call, AdmittedBody(body): AdmittedBody) -> HandlerResult {
    answer(&state, &call, read_push(&body, &body, notification_bytes(&state))).await
}

/// `POST /api/broadcast`.
pub(super) async fn broadcast(
    state: web::Data<SharedState>,
    call: Call,
    AdmittedBody(body): AdmittedBody,
) -> HandlerResult {
    answer(&state, &call, read_broadcast(&body, &body, notification_bytes(&state))).await
}

/// `POST /api/room`.
pub(super) async fn room(state: web::Data<SharedState>, call: Call, AdmittedBody(body): AdmittedBody) -> HandlerResult {
    answer(&state, &call, read_room(&body, &body, notification_bytes(&state))).await
}

/// `POST /api/disconnect`.
pub(super) async fn disconnect(
    state: web::Data<SharedState>,
    call: Call,
    AdmittedBody(body): AdmittedBody,
) -> HandlerResult {
    answer(&state, &call, read_disconnect(&body)).await
}

#[cfg(test)]
mod tests {
    use hubbub_actors::model::fault::Code;

    use super::*;

    type Read = fn(&[u8], &Bytes, usize) -> Result<PushCommand, Fault>;

    /// Most bytes of a notification's data in these tests.
    const MOST: usize = 100;

    fn user(id: &str) -> PublishTarget {
        PublishTarget::User(UserId::parse(id, "id").unwrap())
    }

    fn room(name: &str) -> PublishTarget {
        PublishTarget::Room(RoomName::parse(name, "room").unwrap())
    }

    fn parsed(read: Read, body: &str) -> PushCommand {
        let body = Bytes::copy_from_slice(body.as_bytes());
        read(&body, &body, MOST).unwrap()
    }

    fn refused_field(read: Read, body: &str) -> String {
        let body = Bytes::copy_from_slice(body.as_bytes());
        read(&body, &body, MOST).unwrap_err().field.unwrap()
    }

    fn published(target: PublishTarget, event: &str, data: &'static str) -> PushCommand {
        let event = EventName::parse(event, "event").unwrap();
        PushCommand::Publish(target, event, Bytes::from_static(data.as_bytes()))
    }

    #[test]
    fn data_keeps_its_bytes() {
        assert_eq!(
            parsed(read_push, r#"{"userId":"u1","event":"greet","data":{"b": 1.0,"a":"\u0041"}}"#),
            published(user("u1"), "greet", r#"{"b": 1.0,"a":"\u0041"}"#)
        );
    }

    #[test]
    fn a_notification_for_one_user_is_stored_on_every_endpoint() {
        let notification = Notification::parse(br#"{"id": 7}"#, MOST).unwrap();
        let command = PushCommand::Notify(UserId::parse("42", "id").unwrap(), notification);
        assert_eq!(parsed(read_push, r#"{"userId":42,"event":"notification","data":{"id": 7}}"#), command);
        let body = r#"{"event":"notification","to":"user","user_id":42,"data":{"id": 7}}"#;
        assert_eq!(parsed(read_broadcast, body), command);
        let body = r#"{"room":"user:42","event":"notification","data":{"id": 7}}"#;
        assert_eq!(parsed(read_room, body), command);
        assert_eq!(refused_field(read_push, r#"{"userId":1,"event":"notification","data":5}"#), "data");
        let long = "x".repeat(MOST);
        for (read, body) in [
            (read_push as Read, format!(r#"{{"userId":1,"event":"notification","data":{{"a":"{long}"}}}}"#)),
            (read_broadcast, format!(r#"{{"event":"notification","to":"user","user_id":1,"data":{{"a":"{long}"}}}}"#)),
            (read_room, format!(r#"{{"room":"user:1","event":"notification","data":{{"a":"{long}"}}}}"#)),
        ] {
            let body = Bytes::from(body);
            let fault = read(&body, &body, MOST).unwrap_err();
            assert_eq!((fault.code, fault.limit), (Code::PayloadTooLarge, Some("limits.notification_bytes")));
        }
        let body = r#"{"event":"notification","data":5}"#;
        assert_eq!(parsed(read_broadcast, body), published(PublishTarget::Everybody, "notification", "5"));
        let body = r#"{"room":"lobby","event":"notification","data":5}"#;
        assert_eq!(parsed(read_room, body), published(room("lobby"), "notification", "5"));
    }

    #[test]
    fn data_is_any_json_value_and_is_required() {
        assert_eq!(parsed(read_push, r#"{"userId":1,"event":"e","data":null}"#), published(user("1"), "e", "null"));
        assert_eq!(refused_field(read_push, r#"{"userId":1,"event":"e"}"#), "data");
    }

    #[test]
    fn data_beyond_the_range_of_a_double_or_too_deep_is_refused_with_its_path() {
        let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
        for (data, field) in [("1e400", "data"), (r#"{"n":[1,1e400]}"#, "data.n[1]"), (&deep, "data")] {
            assert_eq!(
                refused_field(read_room, &format!(r#"{{"room":"r","event":"e","data":{data}}}"#)),
                field,
                "{data}"
            );
        }
    }

    #[test]
    fn a_broadcast_without_to_reaches_all_users() {
        for body in [
            r#"{"event":"e","data":1}"#,
            r#"{"event":"e","to":"all","data":1}"#,
            r#"{"event":"e","to":null,"user_id":null,"data":1}"#,
        ] {
            assert_eq!(parsed(read_broadcast, body), published(PublishTarget::Everybody, "e", "1"), "{body}");
        }
    }

    #[test]
    fn a_broadcast_reaches_the_target_that_it_names_by_number_or_string() {
        for (body, target) in [
            (r#"{"event":"e","to":"user","user_id":42,"data":1}"#, user("42")),
            (r#"{"event":"e","to":"user","user_id":"42","data":1}"#, user("42")),
            (r#"{"event":"e","to":"thread","thread_id":456,"data":1}"#, room("thread:456")),
            (r#"{"event":"e","to":"thread","thread_id":"456","data":1}"#, room("thread:456")),
            (r#"{"event":"e","to":"room","room":"lobby","data":1}"#, room("lobby")),
            (r#"{"event":"e","to":"room","room":"user:7","data":1}"#, user("7")),
        ] {
            assert_eq!(parsed(read_broadcast, body), published(target, "e", "1"), "{body}");
        }
    }

    #[test]
    fn a_broadcast_with_a_target_but_without_to_is_refused() {
        for body in [
            r#"{"event":"e","user_id":42,"data":1}"#,
            r#"{"event":"e","userId":42,"data":1}"#,
            r#"{"event":"e","thread_id":42,"data":1}"#,
            r#"{"event":"e","room":"lobby","data":1}"#,
            r#"{"event":"e","to":"everyone","data":1}"#,
        ] {
            assert_eq!(refused_field(read_broadcast, body), "to", "{body}");
        }
    }

    #[test]
    fn a_refusal_names_the_field() {
        for (body, field) in [
            (r#"{"event":"e","to":"user","data":1}"#, "user_id"),
            (r#"{"event":"e","to":"user","user_id":4.5,"data":1}"#, "user_id"),
            (r#"{"event":"e","to":"user","user_id":"","data":1}"#, "user_id"),
            (r#"{"event":"e","to":"thread","thread_id":"","data":1}"#, "thread_id"),
            (r#"{"event":"e","to":"room","room":"$all","data":1}"#, "room"),
            (r#"{"event":"e","to":"room","room":"a\nb","data":1}"#, "room"),
            (r#"{"event":"","to":"all","data":1}"#, "event"),
            (r#"{"event":5,"to":"all","data":1}"#, "event"),
            (r#"{"to":"all","data":1}"#, "event"),
        ] {
            assert_eq!(refused_field(read_broadcast, body), field, "{body}");
        }
    }
}
