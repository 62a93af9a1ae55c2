//! The events of Socket.IO clients that connect with a token: register, rooms, ping, and their replies.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RefusalForm;
use super::json::Json;
use super::timestamp::Iso;
use super::wording::ErrorStyle;
use crate::model::fault::{Code, Fault};
use crate::model::ids::{SessionId, UserId};

/// Confirms the user of the session. Messages of the user arrive without it, too. Only the user of the token can be
/// registered.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Register {
    /// The user, by a number or a string.
    #[serde(rename = "userId")]
    pub user_id: UserId,
}

/// Joins a room. The session receives every message of the room after the reply.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct JoinRoom {
    /// The room's name, 1 to 200 printable characters.
    pub room: String,
}

/// Leaves a room. The session receives no message of the room after the reply.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct LeaveRoom {
    /// The room's name.
    pub room: String,
}

/// Measures the round trip to the hub. The reply is an acknowledgement without data.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AckedPing {
    /// Any value; the hub ignores it.
    #[serde(default)]
    pub timestamp: Option<Json>,
}

/// Answers `register`: `{success: true, userId}`, or `{success: false, error, code}` for a refusal.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Registered {
    success: bool,
    #[serde(rename = "userId")]
    #[schemars(with = "String")]
    user_id: UserId,
}

impl Registered {
    /// The reply for this user.
    pub fn new(user_id: UserId) -> Self {
        Self { success: true, user_id }
    }
}

/// Answers `room:join`: `{success: true, room}`, or `{success: false, room, error, code}` for a refusal.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JoinedRoom {
    success: bool,
    room: String,
}

impl JoinedRoom {
    /// The session is a member of `room`.
    pub fn new(room: String) -> Self {
        Self { success: true, room }
    }
}

/// Answers `room:leave`: `{success: true, room}`, or `{success: false, room, error, code}` for a refusal. The hub also
/// sends it when a chat is deleted or closed to the user, and with the code `FORBIDDEN` when changed topic rules no
/// longer allow the user.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LeftRoom {
    success: bool,
    room: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    code: Option<Code>,
}

impl LeftRoom {
    /// The session has left `room`.
    pub fn new(room: String) -> Self {
        Self { success: true, room, code: None }
    }

    /// The topic rules removed the session from `room`.
    pub fn forbidden(room: String) -> Self {
        Self { code: Some(Code::Forbidden), ..Self::new(room) }
    }
}

/// Follows `connected` and describes the hub.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    /// A fixed text.
    pub message: &'static str,
    /// The session's id.
    #[schemars(with = "String")]
    pub socket_id: SessionId,
    /// When the session connected.
    pub timestamp: Iso,
    /// The hub.
    pub server_info: ServerInfo,
}

/// A message of a backend: `{title, message, type, timestamp}` in the push document. A backend sends it with `POST
/// /api/push`, `/api/broadcast` or `/api/room`. The hub does not check the data and does not store it as a
/// notification.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct SystemNotification(pub Json);

/// The hub shuts down: it refuses requests and closes the connection soon. The client should wait `reconnect_after_ms`
/// after the connection has ended before it reconnects.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Draining {
    /// The wait before the client reconnects, ms. It differs between clients, so that they do not all reconnect at
    /// once.
    pub reconnect_after_ms: u64,
    /// When the hub sent it.
    pub timestamp: Iso,
}

/// A description of the hub.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServerInfo {
    /// The version.
    pub version: &'static str,
    /// The value of `server.environment`.
    pub environment: String,
}

impl Welcome {
    /// The event for the session `socket_id`, at `now`, ms since the epoch.
    pub fn new(socket_id: SessionId, environment: &str, now: i64) -> Self {
        let server_info = ServerInfo { version: env!("CARGO_PKG_VERSION"), environment: environment.to_owned() };
        Self { message: "Welcome to the Socket.IO server", socket_id, timestamp: Iso(now), server_info }
    }
}

/// A request was refused, or the session ends soon.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ErrorEvent {
    /// The refused event; `null` if the error concerns no event, or the name of the event could not be parsed.
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
    /// When the hub refused the request.
    pub timestamp: Iso,
}

/// A refusal as an acknowledgement, and as a reply event that exists in both forms.
#[derive(Debug, Serialize)]
pub struct RefusedAck<'a> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    error: Cow<'static, str>,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<serde_json::Value>,
}

impl<'a> RefusedAck<'a> {
    /// The refusal for `fault` in the form `refused` and in the style of the client's document, about `room`.
    pub fn new(fault: &Fault, refused: RefusalForm, style: ErrorStyle, room: Option<&'a str>) -> Self {
        let (error, code) = (refused.message(fault), refused.code(fault, style));
        Self { success: false, room, error, code, details: fault.details() }
    }
}
