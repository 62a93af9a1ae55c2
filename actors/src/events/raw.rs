//! The events of the raw WebSocket: subscribe, broadcast, direct message, and their replies.

mod stored_ack;

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client_id::ClientId;
use super::json::{self, Json, RawNumber};
use crate::model::fault::Code;
use crate::model::identity::Identity;
use crate::model::ids::{MessageId, RoomName, SessionId, UserId};
use crate::model::position::Position;

/// The version of the envelope, which `Status` carries at connect.
pub const PROTOCOL_VERSION: &str = "1.0";

/// Measures the round trip to the hub.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Ping {
    /// Any number; the reply repeats it.
    pub timestamp: RawNumber,
}

/// Joins topics. The reply lists refused topics in `denied`; the session joins the others. Messages missed `since` a
/// position follow the reply, if the hub has all of them.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Subscribe {
    /// Topic names, 1 to 200 printable characters each.
    pub topics: Vec<String>,
    /// The client's last position of a topic. If `recovered` is `true`, all later messages follow the reply, before new
    /// ones, and include the client's own. For a topic that the session has already joined, no message is sent again;
    /// `recovered` tells whether the client missed none.
    #[serde(default, deserialize_with = "json::map")]
    pub since: BTreeMap<String, Position>,
}

/// Leaves topics. No message of these topics follows the reply.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Unsubscribe {
    /// Topic names.
    pub topics: Vec<String>,
}

/// Publishes to a topic. Every other member session receives it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Broadcast {
    /// The topic.
    pub topic: String,
    /// Any JSON value. Members receive it unchanged, without escapes that JSON does not need.
    pub payload: Json,
    /// The client's id of this publish, 1 to 64 characters. If any session of the user repeats it within 5 minutes, the
    /// hub sends the first reply again and does not deliver it again.
    #[serde(default, deserialize_with = "ClientId::given")]
    pub client_id: Option<ClientId>,
}

/// Sends to every session of one user. The user can be the sender.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DirectMessage {
    /// The user, by a number or a string.
    pub target_user: UserId,
    /// Any JSON value, as with `Broadcast`.
    pub payload: Json,
    /// The client's id of this message, as with `Broadcast`.
    #[serde(default, deserialize_with = "ClientId::given")]
    pub client_id: Option<ClientId>,
}

/// Replaces the token before it expires, by a token of the same user. The session leaves topics that the new token does
/// not allow.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct RenewToken {
    /// The token.
    pub token: String,
}

/// Answers `Ping`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pong {
    /// The number of the `Ping`.
    pub timestamp: RawNumber,
}

/// The state of the session: at connect, in reply to a request that changes it, when a chat is closed to it, and when the
/// hub shuts down.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "status", content = "details", rename_all = "snake_case")]
pub enum Status {
    /// The first message of a connection.
    Connected {
        /// The session's id.
        #[schemars(with = "String")]
        connection_id: SessionId,
        /// The hub's time, ms since the epoch.
        server_time: i64,
        /// The version of the envelope.
        protocol_version: &'static str,
        /// The session's user.
        user: User,
    },
    /// Answers `Subscribe`.
    Subscribed {
        /// The requested topics that the session is in.
        topics: Vec<String>,
        /// The refused topics, with reasons.
        denied: Vec<Denied>,
        /// The positions of topics with history. Live messages come after them.
        positions: BTreeMap<String, Position>,
        /// For the topics of `since`: whether all missed messages follow. `false`: nothing is replayed, because the epoch
        /// changed, messages are no longer stored, or they exceed half of the client's outbox.
        recovered: BTreeMap<String, bool>,
    },
    /// Answers `Unsubscribe`. The hub also sends it when a chat is deleted or closed to the user, and with `code` when
    /// changed topic rules no longer allow the user.
    Unsubscribed {
        /// The topics that the session has left.
        topics: Vec<String>,
        /// `FORBIDDEN` where the topic rules decided.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        code: Option<Code>,
    },
    /// Answers `Authenticate`.
    Authenticated {
        /// The session's user.
        user: User,
        /// When the session ends, ms since the epoch; `null` for a token that does not expire.
        expires_at: Option<i64>,
    },
    /// The hub shuts down: it refuses requests and closes the connection soon.
    Draining {
        /// How long the client should wait after the connection has ended before it reconnects, ms. The value differs
        /// between clients, so that they do not all reconnect at once.
        reconnect_after_ms: u64,
    },
}

/// The user of a raw session, as its client receives it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct User {
    /// The user's id.
    #[schemars(with = "String")]
    pub id: UserId,
    /// The name to show.
    pub name: String,
    /// The roles of the user.
    pub roles: Vec<String>,
}

impl User {
    /// The user of a token.
    pub fn of(identity: &Identity) -> Self {
        Self { id: identity.user.clone(), name: identity.display_name().to_owned(), roles: identity.roles.clone() }
    }
}

/// A topic that was not joined.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Denied {
    /// The topic as requested.
    pub topic: String,
    /// The reason.
    #[schemars(with = "String")]
    pub code: Code,
    /// The `limit` that is reached, or `retryAfter` in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

/// Confirms that a message was accepted for `recipients` sessions.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ack {
    /// The message's id, as recipients receive it.
    #[schemars(with = "String")]
    pub message_id: MessageId,
    /// The number of recipient sessions.
    pub recipients: usize,
}

/// Answers an event of the other surfaces if the request had an `id`. The data are the acknowledgement.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct EventReply(pub Json);

/// Reports that a request was refused.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Error {
    /// The stable code.
    #[schemars(with = "String")]
    pub code: Code,
    /// A sentence.
    pub message: Cow<'static, str>,
    /// The offending `field`, the `limit` that is reached, or `retryAfter` in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

/// A message of a topic, to every member session except the sender's.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Broadcasted {
    /// The topic.
    #[schemars(with = "String")]
    pub topic: RoomName,
    /// The published value.
    pub payload: Json,
    /// The sender.
    #[schemars(with = "String")]
    pub from_user: UserId,
    /// Its id.
    #[schemars(with = "String")]
    pub message_id: MessageId,
}

/// A message of one user to another.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Directed {
    /// The sender.
    #[schemars(with = "String")]
    pub from_user: UserId,
    /// The sent value.
    pub payload: Json,
    /// Its id.
    #[schemars(with = "String")]
    pub message_id: MessageId,
}
