//! The events of Socket.IO clients that connect with a token: register, rooms, ping, and what answers them.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Refused;
use super::json::Json;
use super::moment::Iso;
use super::wording::Audience;
use crate::model::fault::{Code, Fault};
use crate::model::ids::{SessionId, UserId};

/// Says which user's messages the client wants; they come without it too. Only the token's own user can be registered.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Register {
    /// The user, by a number or a string.
    #[serde(rename = "userId")]
    pub user_id: UserId,
}

/// Joins a room. When the answer has come, every message of the room follows.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct JoinRoom {
    /// The room's name, 1 to 200 printable characters.
    pub room: String,
}

/// Leaves a room. When the answer has come, no message of the room follows.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct LeaveRoom {
    /// The room's name.
    pub room: String,
}

/// Asks how long an answer takes. The answer is an acknowledgement without data.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Ping {
    /// Anything; the hub does not look at it.
    #[serde(default)]
    pub timestamp: Option<Json>,
}

/// Answers `register`: `{success: true, userId}`, or when it was refused `{success: false, error, code}`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Registered {
    success: bool,
    #[serde(rename = "userId")]
    #[schemars(with = "String")]
    user_id: UserId,
}

impl Registered {
    /// The user is registered.
    pub fn new(user_id: UserId) -> Self {
        Self { success: true, user_id }
    }
}

/// Answers `room:join`: `{success: true, room}`, or when it was refused `{success: false, room, error, code}`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JoinedRoom {
    success: bool,
    room: String,
}

impl JoinedRoom {
    /// The session is in the room.
    pub fn new(room: String) -> Self {
        Self { success: true, room }
    }
}

/// Answers `room:leave`: `{success: true, room}`, or when it was refused `{success: false, room, error, code}`. Comes by
/// itself when a chat was deleted or closed to the user, and with the code `FORBIDDEN` when the rules of topics were changed and
/// close the room to the user.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LeftRoom {
    success: bool,
    room: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    code: Option<Code>,
}

impl LeftRoom {
    /// The session is not in the room any more.
    pub fn new(room: String) -> Self {
        Self { success: true, room, code: None }
    }

    /// The rules close the room to the session, which is not in it any more.
    pub fn forbidden(room: String) -> Self {
        Self { code: Some(Code::Forbidden), ..Self::new(room) }
    }
}

/// Comes behind `connected`, with what the client may want to know of the hub.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    /// A greeting.
    pub message: &'static str,
    /// The session's id.
    #[schemars(with = "String")]
    pub socket_id: SessionId,
    /// When it connected.
    pub timestamp: Iso,
    /// The hub.
    pub server_info: ServerInfo,
}

/// A message of a backend, `{title, message, type, timestamp}` by the push document. A backend sends it with `POST
/// /api/push`, `/api/broadcast` or `/api/room`. The hub treats it as any other event: it does not look at the data, and does
/// not keep it as a notification.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct SystemNotification(pub Json);

/// Says that the hub goes away: it takes no requests any more, and ends the connection soon. Whoever comes back should
/// wait `reconnect_after_ms` before, once it has ended.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Draining {
    /// How long to wait, ms. Each is told another time, so that they do not all come back at once.
    pub reconnect_after_ms: u64,
    /// When it was said.
    pub timestamp: Iso,
}

/// What a client is told of the hub.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServerInfo {
    /// Its version.
    pub version: &'static str,
    /// Where it runs: `server.environment`.
    pub environment: String,
}

impl Welcome {
    /// The greeting of the session `socket_id` by a hub that runs in this `environment`.
    pub fn new(socket_id: SessionId, environment: &str, now: i64) -> Self {
        let server_info = ServerInfo { version: env!("CARGO_PKG_VERSION"), environment: environment.to_owned() };
        Self { message: "Welcome to the Socket.IO server", socket_id, timestamp: Iso(now), server_info }
    }
}

/// Says that a request was refused, or that the session is about to end.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Error {
    /// The event that was refused; `null` when the error is about no event, or its name could not be read.
    pub event: Option<String>,
    /// A sentence.
    pub message: Cow<'static, str>,
    /// The same sentence.
    pub error: Cow<'static, str>,
    /// The stable code.
    pub code: &'static str,
    /// The offending `field`, the `limit` that is reached, or `retryAfter` in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
    /// When it was refused.
    pub timestamp: Iso,
}

/// A refusal as an acknowledgement has it, and as the events have it that answer a request either way.
#[derive(Debug, Serialize)]
pub struct NotDone<'a> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    error: Cow<'static, str>,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<serde_json::Value>,
}

impl<'a> NotDone<'a> {
    /// What `fault` says of a request that is refused as `refused`, about `room`, to a client of this `audience`.
    pub fn new(fault: &Fault, refused: Refused, audience: Audience, room: Option<&'a str>) -> Self {
        let (error, code) = (refused.message(fault), refused.code(fault, audience));
        Self { success: false, room, error, code, details: fault.details() }
    }
}
