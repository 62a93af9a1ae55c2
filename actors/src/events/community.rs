//! The events of Socket.IO clients that send their token after they connect: authenticate, notifications, presence,
//! typing.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::ServerEvent;
use super::json::Json;
use super::timestamp::Iso;
use crate::model::close::Close;
use crate::model::identity::Identity;
use crate::model::ids::{IdText, NotificationId, SessionId, UserId};
use crate::model::surface::Surface;

/// The largest integer that a JavaScript number represents exactly, as do all smaller ones.
const EXACT_MAX: u64 = (1 << 53) - 1;

/// Sends a token: the first one of the session, or a new one of the same user before the old one expires.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Authenticate {
    /// The token.
    pub token: String,
}

/// The first message of a connection.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connected {
    /// The session's id.
    #[schemars(with = "String")]
    pub socket_id: SessionId,
    /// When the session connected.
    pub timestamp: Iso,
}

/// Answers `authenticate`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Authenticated {
    /// The user of the session.
    pub user: CommunityUser,
    /// The permissions of the user.
    pub permissions: Vec<String>,
    /// The session's id.
    #[schemars(with = "String")]
    pub socket_id: SessionId,
}

impl Authenticated {
    /// The reply for the session `socket_id` with this identity.
    pub fn new(identity: &Identity, socket_id: SessionId) -> Self {
        let user = CommunityUser {
            id: Id(identity.user.clone()),
            name: identity.display_name().to_owned(),
            email: identity.email.as_deref().map(str::to_owned),
            role: identity.roles.first().cloned(),
        };
        Self { user, permissions: identity.permissions.clone(), socket_id }
    }
}

/// The user of a session, as its client receives it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CommunityUser {
    /// The user's id.
    pub id: Id,
    /// The name to show.
    pub name: String,
    /// The e-mail address, if the token has one.
    pub email: Option<String>,
    /// The first role of the user.
    pub role: Option<String>,
}

/// A user's id as these clients represent it: a number if it is an integer of at most [`EXACT_MAX`], else a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id(pub UserId);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.as_str();
        let is_plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
        match text.parse() {
            Ok(number @ ..=EXACT_MAX) if is_plain => serializer.serialize_u64(number),
            _ => serializer.serialize_str(text),
        }
    }
}

impl JsonSchema for Id {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["integer", "string"] })
    }
}

/// `authenticate` was refused, or no token arrived within `auth.grace_secs`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AuthenticationError {
    /// A sentence.
    pub error: Cow<'static, str>,
    /// `AUTH_FAILED`, or `INVALID_TOKEN` for a token that was valid before.
    pub code: &'static str,
    /// The offending `field`, the `limit` that is reached, or `retryAfter` in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

/// Marks a notification as read. A repeated request does not change the time.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct NotificationRead {
    /// The notification's id, by a number or a string.
    pub notification_id: NotificationId,
}

/// A notification of the user, as a backend sent it: an object with an `id`. An unread notification is sent again after
/// each connect on `/ws` and `/`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct UserNotification(pub Json);

/// Sent to all sessions of a user, including the sender's, when a notification was read.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NotificationUpdated {
    /// The notification's id, unchanged from its data.
    notification_id: Json,
    read: bool,
    /// When it was first read.
    read_at: Iso,
}

impl NotificationUpdated {
    /// The notification with this id in JSON was first read at `at`, ms since the epoch.
    pub fn read(notification_id: Box<RawValue>, at: i64) -> Self {
        Self { notification_id: notification_id.into(), read: true, read_at: Iso(at) }
    }
}

/// Answers `notification_read` with the data of `notification_updated`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct MarkedRead(pub NotificationUpdated);

impl ServerEvent for MarkedRead {
    const NAME: &'static str = NotificationUpdated::NAME;
    // The session receives the event like all others; this is only its acknowledgement.
    const ON: &'static [Surface] = &[];
}

/// A user came online: the user's first session on any surface started. Sessions of other users receive it; on `/ws`,
/// only subscribers of `$presence` receive it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UserOnline {
    user_id: Id,
    name: String,
    /// The claim `avatar`, if the token has it.
    avatar: Option<String>,
    /// When the user came online.
    last_seen: Iso,
}

impl UserOnline {
    /// The user of `identity` came online at `at`, ms since the epoch.
    pub fn new(identity: &Identity, at: i64) -> Self {
        Self {
            user_id: Id(identity.user.clone()),
            name: identity.display_name().to_owned(),
            avatar: identity.avatar.as_deref().map(str::to_owned),
            last_seen: Iso(at),
        }
    }
}

/// A user went offline: the user's last session ended, and no new session started within `presence.linger_ms`.
/// Sessions of other users receive it; on `/ws`, only subscribers of `$presence` receive it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UserOffline {
    user_id: Id,
    /// When the last session ended.
    last_seen: Iso,
}

impl UserOffline {
    /// The user went offline at `at`, ms since the epoch.
    pub fn new(user: UserId, at: i64) -> Self {
        Self { user_id: Id(user), last_seen: Iso(at) }
    }
}

/// Starts typing in a thread. Joins the thread, so that the session receives `user_typing` of others. Typing ends 5
/// seconds after the last `typing_start`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct TypingStart {
    /// The thread, by a number or a string.
    pub thread_id: ThreadId,
}

/// Stops typing in a thread.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct TypingStop {
    /// The thread, by a number or a string.
    pub thread_id: ThreadId,
}

/// A thread's id, in the client's JSON and as text for comparison.
#[derive(Debug, Clone)]
pub struct ThreadId {
    written: Json,
    text: Box<str>,
}

impl ThreadId {
    /// The text for comparison.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<'de> Deserialize<'de> for ThreadId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Json::deserialize(deserializer)?;
        let IdText(text) = serde_json::from_str(written.as_str())
            .ok()
            .filter(|IdText(text)| !text.is_empty())
            .ok_or_else(|| serde::de::Error::custom("expected a thread's id: a string or a whole number"))?;
        Ok(Self { written, text: text.into() })
    }
}

impl JsonSchema for ThreadId {
    fn schema_name() -> Cow<'static, str> {
        "ThreadId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["integer", "string"] })
    }
}

/// Sent to the other participants of a thread when a user starts or stops typing. Repeated while the user types.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UserTyping {
    user_id: Id,
    name: String,
    /// The id in the sender's JSON: a number stays a number.
    thread_id: Json,
    typing: bool,
}

impl UserTyping {
    /// The user of `identity` starts or stops typing in `thread`.
    pub fn new(identity: &Identity, thread: &ThreadId, typing: bool) -> Self {
        Self {
            user_id: Id(identity.user.clone()),
            name: identity.display_name().to_owned(),
            thread_id: thread.written.clone(),
            typing,
        }
    }
}

/// The last message before the hub closes the connection.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Disconnected {
    /// The reason.
    pub reason: &'static str,
    /// When the session ended.
    pub timestamp: Iso,
}

impl Disconnected {
    /// The session ended with `close` at `now`, ms since the epoch.
    pub fn new(close: Close, now: i64) -> Self {
        let reason = match close {
            Close::GoingAway => "server_shutdown",
            Close::SlowConsumer => "slow_consumer",
            Close::TokenExpired => "token_expired",
            Close::TokenRevoked => "token_revoked",
            Close::DisconnectedByBackend => "server_disconnect",
            Close::NoHeartbeat => "ping_timeout",
            Close::NotAuthenticated => "authentication_timeout",
            Close::Limit => "rate_limit",
            Close::Left => "client_disconnect",
            Close::Malformed | Close::NotUtf8 | Close::TooLarge => "parse_error",
            Close::Failed => "server_error",
            Close::Unused => "connect_timeout",
            Close::Recovered => "session_recovered",
        };
        Self { reason, timestamp: Iso(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_number_if_a_client_represents_it_exactly() {
        for (id, json) in [
            ("42", "42"),
            ("0", "0"),
            ("042", "\"042\""),
            ("+1", "\"+1\""),
            ("user-1", "\"user-1\""),
            ("9007199254740991", "9007199254740991"),
            ("9007199254740992", "\"9007199254740992\""),
            ("99999999999999999999", "\"99999999999999999999\""),
        ] {
            let id = Id(UserId::parse(id, "id").unwrap());
            assert_eq!(serde_json::to_string(&id).unwrap(), json);
        }
    }
}
