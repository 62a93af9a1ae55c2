//! `POST /api/push`, `/api/broadcast`, `/api/room`, `/api/disconnect`: what a backend tells the hub to do.
//!
//! Each body becomes an [`Order`], which [`super::batch`] carries out as well. `data` is never parsed into values: but for
//! [escapes that JSON does not need](text::resolve), the bytes that came are the bytes that clients get. What is named `notification` and goes to one
//! user is stored until the user has read it: see [`hubbub_actors::notifications`].

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use hubbub_actors::events::{ServerEvent as _, community, text};
use hubbub_actors::hub::{Safe, Target};
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::ids::{EventName, IdText, RoomName, UserId};
use hubbub_actors::notifications::Notification;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::audit::AuditEntry;
use super::call::Call;
use super::guard::RequestBody;
use super::{HandlerResult, iso, json};
use crate::state::State;

/// What one request or one command of a batch asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PushCommand {
    /// Send an event.
    Publish(Target, EventName, Bytes),
    /// Send a user a notification, and keep it.
    Notify(UserId, Notification),
    /// Close a user's sessions.
    Disconnect(UserId),
}

impl PushCommand {
    /// Carries the order out, as far as others that come later have to wait for it, and logs that `call` asked for it, as
    /// its `item`-th command where it is a batch.
    ///
    /// # Errors
    /// As [`hubbub_actors::hub::Hub::notify`].
    pub(super) async fn execute(
        self,
        state: &State,
        call: &Call,
        item: Option<usize>,
    ) -> Result<ExecutedCommand, Fault> {
        let entry = AuditEntry::of(&self);
        let (recipients, stored) = match self {
            Self::Publish(target, event, data) => (state.hub.publish(target, event, data).await?.recipients, None),
            Self::Notify(user, notification) => {
                let id = notification.written_id();
                let (published, safe) = state.hub.notify(user, notification).await?;
                (published.recipients, Some((id, safe)))
            }
            Self::Disconnect(user) => (state.hub.disconnect(&user).await?, None),
        };
        if let Some(entry) = entry {
            entry.log(call, item, recipients);
        }
        Ok(ExecutedCommand { recipients, stored })
    }
}

/// An order that was carried out; what is to be stored may not be safe yet.
pub(super) struct ExecutedCommand {
    recipients: usize,
    stored: Option<(Box<RawValue>, Safe)>,
}

impl ExecutedCommand {
    /// What came of it, once all of it is safe.
    ///
    /// # Errors
    /// [`hubbub_actors::model::fault::Code::StoreUnavailable`].
    pub(super) async fn answer(self, state: &State) -> Result<Value, Fault> {
        let Self { recipients, stored } = self;
        let notification_id = match stored {
            Some((id, safe)) => safe.await.map(|()| Some(id))?,
            None => None,
        };
        let mut answer = json!({
            "success": true,
            "recipients": recipients,
            "delivered": recipients > 0,
            "timestamp": iso(state.now_ms()),
        });
        if let Some(id) = notification_id {
            answer["notificationId"] = serde_json::from_str(id.get()).unwrap_or_default();
        }
        Ok(answer)
    }
}

/// `{userId, event, data}`: to every session of a user.
#[derive(Debug, Deserialize)]
struct PushBody<'a> {
    #[serde(rename = "userId")]
    user_id: IdText,
    event: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// `{event, data}` to everybody; with `to`, to a user, a thread, a room or all.
#[derive(Debug, Deserialize)]
struct BroadcastBody<'a> {
    event: String,
    to: Option<String>,
    // Those who write `userId` mean a user and must not reach everybody.
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

/// Reads the body of `POST /api/push`, which is the whole of `body` or a part of it. A notification's data may have `most`
/// bytes.
pub(super) fn read_push(part: &[u8], body: &Bytes, most: usize) -> Result<PushCommand, Fault> {
    let push: PushBody<'_> = json::parse(part)?;
    let user = UserId::parse(&push.user_id.0, "userId")?;
    publish(Target::User(user), &push.event, push.data, body, most)
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
    fn target(&self) -> Result<Target, Fault> {
        match self.to.as_deref() {
            Some("all") => Ok(Target::Everybody),
            Some("user") => {
                let id = required(self.user_id.as_ref(), "user_id")?;
                UserId::parse(&id.0, "user_id").map(Target::User)
            }
            Some("thread") => {
                let id = required(self.thread_id.as_ref(), "thread_id")?;
                // `thread:` alone would be a room name, and nobody's thread.
                let id = match id.0.as_str() {
                    "" => return Err(Fault::field("thread_id", "`thread_id` is empty")),
                    id => id,
                };
                RoomName::of_thread(id, "thread_id").map(Target::Room)
            }
            Some("room") => room_target(required(self.room.as_ref(), "room")?),
            Some(_) => Err(Fault::field("to", "`to` is none of user, thread, room and all")),
            None if self.user_id.is_none() && self.thread_id.is_none() && self.room.is_none() => Ok(Target::Everybody),
            // To take this for a message to everybody would show one user's event to all.
            None => Err(Fault::field("to", "`to` is missing: user, thread, room or all")),
        }
    }
}

fn required<'a, T>(value: Option<&'a T>, field: &str) -> Result<&'a T, Fault> {
    value.ok_or_else(|| Fault::field(field, format!("`{field}` is missing")))
}

/// The room of that name. A user's own room is the user; the hub's other rooms are not a backend's to address.
fn room_target(name: &str) -> Result<Target, Fault> {
    let room = RoomName::parse(name, "room")?;
    match name.strip_prefix("user:") {
        Some(user) => UserId::parse(user, "room").map(Target::User),
        None if room.is_internal() => Err(Fault::field("room", "`room` begins with `$`: such rooms are the hub's own")),
        None => Ok(Target::Room(room)),
    }
}

fn publish(target: Target, event: &str, data: &RawValue, body: &Bytes, most: usize) -> Result<PushCommand, Fault> {
    let event = EventName::parse(event, "event")?;
    text::check_value(data.get().as_bytes(), "data")?;
    // `data` is a part of the body, and stays one: no copy.
    let data = body.slice_ref(data.get().as_bytes());
    match target {
        // Only what is for one user can be read by that user.
        Target::User(user) if event.as_str() == community::Notification::NAME => {
            Notification::parse(&data, most).map(|notification| PushCommand::Notify(user, notification))
        }
        target => Ok(PushCommand::Publish(target, event, data)),
    }
}

/// Bytes that the data of a notification may have now.
pub(super) fn notification_bytes(state: &State) -> usize {
    state.policies().config.limits.notification_bytes
}

async fn answer(state: &State, call: &Call, command: Result<PushCommand, Fault>) -> HandlerResult {
    Ok(HttpResponse::Ok().json(command?.execute(state, call, None).await?.answer(state).await?))
}

/// `POST /api/push`.
pub(super) async fn push(state: web::Data<State>, call: Call, RequestBody(body): RequestBody) -> HandlerResult {
    answer(&state, &call, read_push(&body, &body, notification_bytes(&state))).await
}

/// `POST /api/broadcast`.
pub(super) async fn broadcast(state: web::Data<State>, call: Call, RequestBody(body): RequestBody) -> HandlerResult {
    answer(&state, &call, read_broadcast(&body, &body, notification_bytes(&state))).await
}

/// `POST /api/room`.
pub(super) async fn room(state: web::Data<State>, call: Call, RequestBody(body): RequestBody) -> HandlerResult {
    answer(&state, &call, read_room(&body, &body, notification_bytes(&state))).await
}

/// `POST /api/disconnect`.
pub(super) async fn disconnect(state: web::Data<State>, call: Call, RequestBody(body): RequestBody) -> HandlerResult {
    answer(&state, &call, read_disconnect(&body)).await
}

#[cfg(test)]
mod tests {
    use hubbub_actors::model::fault::Code;

    use super::*;

    type Read = fn(&[u8], &Bytes, usize) -> Result<PushCommand, Fault>;

    /// Bytes of a notification's data here.
    const MOST: usize = 100;

    fn user(id: &str) -> Target {
        Target::User(UserId::parse(id, "id").unwrap())
    }

    fn room(name: &str) -> Target {
        Target::Room(RoomName::parse(name, "room").unwrap())
    }

    fn parsed(read: Read, body: &str) -> PushCommand {
        let body = Bytes::copy_from_slice(body.as_bytes());
        read(&body, &body, MOST).unwrap()
    }

    fn refused_field(read: Read, body: &str) -> String {
        let body = Bytes::copy_from_slice(body.as_bytes());
        read(&body, &body, MOST).unwrap_err().field.unwrap()
    }

    fn published(target: Target, event: &str, data: &'static str) -> PushCommand {
        let event = EventName::parse(event, "event").unwrap();
        PushCommand::Publish(target, event, Bytes::from_static(data.as_bytes()))
    }

    #[test]
    fn data_goes_on_as_the_bytes_that_came() {
        assert_eq!(
            parsed(read_push, r#"{"userId":"u1","event":"greet","data":{"b": 1.0,"a":"\u0041"}}"#),
            published(user("u1"), "greet", r#"{"b": 1.0,"a":"\u0041"}"#)
        );
    }

    #[test]
    fn a_notification_for_a_user_is_one_however_the_user_is_named() {
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
        assert_eq!(parsed(read_broadcast, body), published(Target::Everybody, "notification", "5"));
        let body = r#"{"room":"lobby","event":"notification","data":5}"#;
        assert_eq!(parsed(read_room, body), published(room("lobby"), "notification", "5"));
    }

    #[test]
    fn data_may_be_any_json_value_but_must_be_there() {
        assert_eq!(parsed(read_push, r#"{"userId":1,"event":"e","data":null}"#), published(user("1"), "e", "null"));
        assert_eq!(refused_field(read_push, r#"{"userId":1,"event":"e"}"#), "data");
    }

    #[test]
    fn data_that_receivers_cannot_hold_is_refused_by_its_path() {
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
    fn a_broadcast_without_to_reaches_everybody() {
        for body in [
            r#"{"event":"e","data":1}"#,
            r#"{"event":"e","to":"all","data":1}"#,
            r#"{"event":"e","to":null,"user_id":null,"data":1}"#,
        ] {
            assert_eq!(parsed(read_broadcast, body), published(Target::Everybody, "e", "1"), "{body}");
        }
    }

    #[test]
    fn a_broadcast_reaches_whom_it_names_by_number_or_string() {
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
    fn a_broadcast_that_names_somebody_but_not_to_whom_reaches_nobody() {
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
