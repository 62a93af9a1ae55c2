//! The events of Socket.IO clients that show their token after they connected: authenticate, and what answers it.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::ServerEvent;
use super::json::Json;
use super::moment::Iso;
use crate::model::close::Close;
use crate::model::identity::Identity;
use crate::model::ids::{IdText, NotificationId, SessionId, UserId};
use crate::model::surface::Surface;

/// The largest whole number that every number of a JavaScript client holds exactly.
const EXACT_MAX: u64 = (1 << 53) - 1;

/// Shows a token: the session's first, or a fresh one of the same user before the old one expires.
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
    /// When it connected.
    pub timestamp: Iso,
}

/// Answers `authenticate`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Authenticated {
    /// Whose session it is.
    pub user: User,
    /// The permissions held.
    pub permissions: Vec<String>,
    /// The session's id.
    #[schemars(with = "String")]
    pub socket_id: SessionId,
}

impl Authenticated {
    /// The session `socket_id` goes by `identity`.
    pub fn new(identity: &Identity, socket_id: SessionId) -> Self {
        let user = User {
            id: Id(identity.user.clone()),
            name: identity.display_name().to_owned(),
            email: identity.email.clone(),
            role: identity.roles.first().cloned(),
        };
        Self { user, permissions: identity.permissions.clone(), socket_id }
    }
}

/// A user, as these clients see their own.
#[derive(Debug, Serialize, JsonSchema)]
pub struct User {
    /// The user's id.
    pub id: Id,
    /// The name to show.
    pub name: String,
    /// The address, where the token says it.
    pub email: Option<String>,
    /// The first of the roles held.
    pub role: Option<String>,
}

/// A user's id as these clients hold it: a number where it is one, and a number of theirs can hold it.
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

/// Says that `authenticate` was refused, or that the time for it is over.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AuthenticationError {
    /// A sentence.
    pub error: Cow<'static, str>,
    /// `AUTH_FAILED`, or `INVALID_TOKEN` for a token that was good once.
    pub code: &'static str,
    /// The offending `field`, the `limit` that is reached, or `retryAfter` in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

/// Says that a notification is read. Reading it twice does not change when it was read.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct NotificationRead {
    /// The notification's id, by a number or a string.
    pub notification_id: NotificationId,
}

/// A notification of the user, as a backend sent it to the user: an object with an `id`. Comes again behind each connect
/// on `/ws` and `/` until it is read.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Notification(pub Json);

/// Says to all sessions of a user that a notification is read, also to the one that read it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NotificationUpdated {
    /// The notification's id, as its data has it.
    notification_id: Json,
    read: bool,
    /// When it was read first.
    read_at: Iso,
}

impl NotificationUpdated {
    /// The notification whose id is written so was read first at `at`.
    pub fn read(notification_id: Box<RawValue>, at: i64) -> Self {
        Self { notification_id: notification_id.into(), read: true, read_at: Iso(at) }
    }
}

/// Answers `notification_read` with what all sessions of the user are told.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Marked(pub NotificationUpdated);

impl ServerEvent for Marked {
    const NAME: &'static str = NotificationUpdated::NAME;
    // The session that asked is told like all others; this is its acknowledgement.
    const ON: &'static [Surface] = &[];
}

/// Says to others that a user came online: the first session, on whatever surface, began. On `/ws` to those who
/// subscribed to `$presence`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UserOnline {
    user_id: Id,
    name: String,
    /// The claim `avatar`, where the token has it.
    avatar: Option<String>,
    /// When the user came.
    last_seen: Iso,
}

impl UserOnline {
    /// The user came, by this identity.
    pub fn new(identity: &Identity, at: i64) -> Self {
        Self {
            user_id: Id(identity.user.clone()),
            name: identity.display_name().to_owned(),
            avatar: identity.avatar.clone(),
            last_seen: Iso(at),
        }
    }
}

/// Says to others that a user went offline: the last session ended, and none began within `presence.linger_ms`. On `/ws`
/// to those who subscribed to `$presence`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UserOffline {
    user_id: Id,
    /// When the last session ended.
    last_seen: Iso,
}

impl UserOffline {
    /// The user went.
    pub fn new(user: UserId, at: i64) -> Self {
        Self { user_id: Id(user), last_seen: Iso(at) }
    }
}

/// Says that the user types in a thread. Joins the thread, so that the user hears what others type there. Who says nothing
/// more of it stops after 5 seconds.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct TypingStart {
    /// The thread, by a number or a string.
    pub thread_id: ThreadId,
}

/// Says that the user does not type in a thread any more.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct TypingStop {
    /// The thread, by a number or a string.
    pub thread_id: ThreadId,
}

/// A thread's id as a client wrote it, and as it is compared.
#[derive(Debug, Clone)]
pub struct ThreadId {
    written: Json,
    text: Box<str>,
}

impl ThreadId {
    /// The text by which ids compare.
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

/// Says to the other participants of a thread that a user types there, or does not any more. Comes again while the user
/// goes on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UserTyping {
    user_id: Id,
    name: String,
    /// As the typist wrote it: a number stays a number.
    thread_id: Json,
    typing: bool,
}

impl UserTyping {
    /// The user of `identity` types in a thread, or does not any more.
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
    /// Why.
    pub reason: &'static str,
    /// When.
    pub timestamp: Iso,
}

impl Disconnected {
    /// The session ends for this reason.
    pub fn new(close: Close, now: i64) -> Self {
        let reason = match close {
            Close::GoingAway => "server_shutdown",
            Close::SlowConsumer => "slow_consumer",
            Close::TokenExpired => "token_expired",
            Close::TokenRevoked => "token_revoked",
            Close::Kicked => "server_disconnect",
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
    fn an_id_is_a_number_where_a_client_can_hold_it_as_one() {
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
