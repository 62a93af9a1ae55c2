//! `POST /api/push`, `/api/broadcast`, `/api/room`, `/api/disconnect`: the commands of a backend.
//!
//! Each body becomes a [`PushCommand`]; [`super::batch`] reads its items in the same way. `data` is never parsed into
//! values: clients get the bytes that were sent, except for [escapes that JSON does not need](text::resolve). An event
//! `notification` for one user is stored until the user has read it; see [`hubbub_actors::notifications`].

use actix_web::web;
use bytes::Bytes;
use hubbub_actors::events::{ServerEvent as _, community, text};
use hubbub_actors::hub::PublishTarget;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::ids::{EVENT_NAME_MAX, EventName, IdText, NAME_MAX, OWNED_NAME_MAX, RoomName, UserId};
use hubbub_actors::notifications::Notification;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::call::Call;
use super::push_command::{CommandReply, DisconnectReply, PushCommand};
use super::request::{Body, body_types};
use crate::error::HttpError;
use crate::openapi::{Example, JsonReply, Operation, Tag};
use crate::state::SharedState;

/// An event for one user.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct PushBody<'a> {
    /// The user.
    #[serde(rename = "userId")]
    #[schemars(length(min = 1, max = OWNED_NAME_MAX))]
    user_id: IdText,
    /// The name of the event. The names of Socket.IO's own events, such as `connect`, are refused.
    #[schemars(length(min = 1, max = EVENT_NAME_MAX))]
    event: String,
    /// The data of the event: any JSON value. Clients receive its text unchanged, except for escapes that JSON
    /// does not need.
    #[serde(borrow)]
    #[schemars(with = "serde_json::Value")]
    data: &'a RawValue,
}

/// An event for all users, or for the target that `to` names.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct BroadcastBody<'a> {
    /// The name of the event.
    #[schemars(length(min = 1, max = EVENT_NAME_MAX))]
    event: String,
    /// The kind of target. Without `to` and without an id, the target is all users.
    #[schemars(with = "Option<BroadcastTarget>")]
    to: Option<String>,
    // `userId` is accepted, because a backend that sends it means one user and not all.
    /// The user; needed with `to: "user"`.
    #[serde(alias = "userId")]
    #[schemars(length(max = OWNED_NAME_MAX))]
    user_id: Option<IdText>,
    /// The thread; needed with `to: "thread"`.
    #[serde(alias = "threadId")]
    #[schemars(length(max = NAME_MAX))]
    thread_id: Option<IdText>,
    /// The room; needed with `to: "room"`.
    #[schemars(length(max = NAME_MAX))]
    room: Option<String>,
    /// The data of the event: any JSON value.
    #[serde(borrow)]
    #[schemars(with = "serde_json::Value")]
    data: &'a RawValue,
}

/// The kinds of targets of a broadcast, as the description lists them.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[expect(dead_code, reason = "a broadcast reads its target as text, so that a refusal names the field")]
enum BroadcastTarget {
    User,
    Thread,
    Room,
    All,
}

/// An event for the members of a room.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct RoomBody<'a> {
    /// The room. `user:ID` is the user with that id. A room that begins with `$` is refused.
    #[schemars(length(min = 1, max = NAME_MAX))]
    room: String,
    /// The name of the event.
    #[schemars(length(min = 1, max = EVENT_NAME_MAX))]
    event: String,
    /// The data of the event: any JSON value.
    #[serde(borrow)]
    #[schemars(with = "serde_json::Value")]
    data: &'a RawValue,
}

/// A user.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct DisconnectBody {
    /// The user.
    #[serde(rename = "userId")]
    #[schemars(length(min = 1, max = OWNED_NAME_MAX))]
    user_id: IdText,
}

body_types!(PushBody<'a>, BroadcastBody<'a>, RoomBody<'a>, DisconnectBody);

/// The command of a push: `push` is the whole of `body` or a part of it. The data of a notification has at most `most` bytes.
pub(super) fn read_push(push: &PushBody<'_>, body: &Bytes, most: usize) -> Result<PushCommand, Fault> {
    let user = UserId::parse(&push.user_id.0, "userId")?;
    publish(PublishTarget::User(user), &push.event, push.data, body, most)
}

/// The command of a broadcast.
pub(super) fn read_broadcast(broadcast: &BroadcastBody<'_>, body: &Bytes, most: usize) -> Result<PushCommand, Fault> {
    publish(broadcast.target()?, &broadcast.event, broadcast.data, body, most)
}

/// The command of an event for a room.
pub(super) fn read_room(room: &RoomBody<'_>, body: &Bytes, most: usize) -> Result<PushCommand, Fault> {
    publish(room_target(&room.room)?, &room.event, room.data, body, most)
}

/// The command of a disconnect.
pub(super) fn read_disconnect(disconnect: &DisconnectBody) -> Result<PushCommand, Fault> {
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

async fn answer<T: From<CommandReply>>(
    state: &SharedState,
    call: &Call,
    command: Result<PushCommand, Fault>,
) -> Result<JsonReply<T>, HttpError> {
    Ok(JsonReply(command?.execute(state, call, None).await?.answer(state).await?.into()))
}

pub(super) const PUSH: Operation = Operation {
    id: "push",
    tag: Tag::Commands,
    summary: "Sends an event to every session of a user.",
    description: "A user without a session is no error: `recipients` is 0. An event `notification` is stored until the user \
        has read it; its data is an object of at most `limits.notification_bytes`.",
    errors: &[Code::StoreUnavailable, Code::OutcomeUnknown],
    example: Example {
        target: "/api/push",
        body: r#"{"userId": "u1", "event": "order.paid", "data": {"order": 7}}"#,
        status: 200,
        answer: r#"{"success": true, "recipients": 2, "delivered": true, "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `POST /api/push`.
pub(super) async fn push(
    state: web::Data<SharedState>,
    call: Call,
    body: Body<PushBody<'static>>,
) -> Result<JsonReply<CommandReply>, HttpError> {
    answer(&state, &call, read_push(&body.parse()?, body.bytes(), notification_bytes(&state))).await
}

pub(super) const BROADCAST: Operation = Operation {
    id: "broadcast",
    tag: Tag::Commands,
    summary: "Sends an event to all users, or to a user, a thread or a room.",
    description: "With an id and without `to`, the request is refused: an event for one user must not reach all.",
    errors: &[Code::StoreUnavailable, Code::OutcomeUnknown],
    example: Example {
        target: "/api/broadcast",
        body: r#"{"event": "price.changed", "to": "thread", "thread_id": 456, "data": {"price": 10}}"#,
        status: 200,
        answer: r#"{"success": true, "recipients": 0, "delivered": false, "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `POST /api/broadcast`.
pub(super) async fn broadcast(
    state: web::Data<SharedState>,
    call: Call,
    body: Body<BroadcastBody<'static>>,
) -> Result<JsonReply<CommandReply>, HttpError> {
    answer(&state, &call, read_broadcast(&body.parse()?, body.bytes(), notification_bytes(&state))).await
}

pub(super) const ROOM: Operation = Operation {
    id: "pushToRoom",
    tag: Tag::Commands,
    summary: "Sends an event to every session in a room.",
    description: "A room without members is no error: `recipients` is 0.",
    errors: &[Code::StoreUnavailable, Code::OutcomeUnknown],
    example: Example {
        target: "/api/room",
        body: r#"{"room": "news", "event": "headline", "data": "Rain tomorrow"}"#,
        status: 200,
        answer: r#"{"success": true, "recipients": 12, "delivered": true, "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `POST /api/room`.
pub(super) async fn room(
    state: web::Data<SharedState>,
    call: Call,
    body: Body<RoomBody<'static>>,
) -> Result<JsonReply<CommandReply>, HttpError> {
    answer(&state, &call, read_room(&body.parse()?, body.bytes(), notification_bytes(&state))).await
}

pub(super) const DISCONNECT: Operation = Operation {
    id: "disconnect",
    tag: Tag::Commands,
    summary: "Closes every session of a user.",
    description: "WebSockets close with 4403. The user can connect again; to prevent that, revoke the tokens.",
    errors: &[],
    example: Example {
        target: "/api/disconnect",
        body: r#"{"userId": 42}"#,
        status: 200,
        answer: r#"{"success": true, "recipients": 1, "delivered": true, "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `POST /api/disconnect`.
pub(super) async fn disconnect(
    state: web::Data<SharedState>,
    call: Call,
    body: Body<DisconnectBody>,
) -> Result<JsonReply<DisconnectReply>, HttpError> {
    answer(&state, &call, read_disconnect(&body.parse()?)).await
}

#[cfg(test)]
mod tests;
