//! The events of the raw WebSocket: subscribe, broadcast, direct message, and what answers them.

mod replay;

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::json::{self, Json, Number};
use super::naming::ClientId;
use crate::model::fault::Code;
use crate::model::identity::Identity;
use crate::model::ids::{MessageId, RoomName, SessionId, UserId};
use crate::model::position::Position;

/// The version of the envelope, told at connect.
pub const PROTOCOL_VERSION: &str = "1.0";

/// Asks whether the hub is there, and how long it takes.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Ping {
    /// Any number; it comes back as it went.
    pub timestamp: Number,
}

/// Joins topics. Those that may not be joined are in the answer's `denied`; the others are joined. What was missed `since`
/// follows the answer, where all of it is kept.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Subscribe {
    /// Topic names, 1 to 200 printable characters each.
    pub topics: Vec<String>,
    /// Where the client's copy of a topic ends. Where `recovered` says so, all that was published there after that follows
    /// the answer, before anything new: what this client published itself too, for it is numbered with the rest. Of a
    /// topic that the session is in already nothing is sent again; `recovered` says whether nothing was missed.
    #[serde(default, deserialize_with = "json::map")]
    pub since: BTreeMap<String, Position>,
}

/// Leaves topics. When the answer has come, no message of theirs follows.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Unsubscribe {
    /// Topic names.
    pub topics: Vec<String>,
}

/// Publishes to a topic: every other member session gets it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Broadcast {
    /// The topic.
    pub topic: String,
    /// Any JSON value; members get it as it is written, with no escape that JSON does not need.
    pub payload: Json,
    /// What the client calls this publish, 1 to 64 characters: sent again under this name within 5 minutes, by whichever
    /// session of the user, it gets the first answer again and is not delivered again.
    #[serde(default, deserialize_with = "ClientId::given")]
    pub client_id: Option<ClientId>,
}

/// Sends to every session of one user, also of one's own.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DirectMessage {
    /// The user, by a number or a string.
    pub target_user: UserId,
    /// Any JSON value, as with `Broadcast`.
    pub payload: Json,
    /// What the client calls this message, as with `Broadcast`.
    #[serde(default, deserialize_with = "ClientId::given")]
    pub client_id: Option<ClientId>,
}

/// Shows a fresh token of the same user, before the old one expires. Topics that it does not open are left.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Authenticate {
    /// The token.
    pub token: String,
}

/// Answers `Ping`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pong {
    /// The number that `Ping` brought.
    pub timestamp: Number,
}

/// Says what became of the session: at connect, in answer to a request that changes it, when a chat was closed to it, and
/// when the hub goes away.
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
        /// Whose session it is.
        user: User,
    },
    /// Answers `Subscribe`.
    Subscribed {
        /// The topics the session is in now, of those asked for.
        topics: Vec<String>,
        /// The topics refused, and why.
        denied: Vec<Denied>,
        /// Where the topics that keep history stood: what comes live comes after that.
        positions: BTreeMap<String, Position>,
        /// Of the topics asked for with `since`: whether all that was missed follows. `false` brings nothing of it: the
        /// numbering began anew, something is gone, or it is more than half of what may wait for one client.
        recovered: BTreeMap<String, bool>,
    },
    /// Answers `Unsubscribe`; comes by itself when a chat was deleted or closed to the user, and with `code` when the rules of
    /// topics were changed and close them to the user.
    Unsubscribed {
        /// The topics the session is not in any more.
        topics: Vec<String>,
        /// Why, where the rules decided: `FORBIDDEN`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        code: Option<Code>,
    },
    /// Answers `Authenticate`.
    Authenticated {
        /// Whose session it is.
        user: User,
        /// When the session ends, ms since the epoch; `null` for a token that does not expire.
        expires_at: Option<i64>,
    },
    /// The hub goes away: it takes no requests any more, and closes the connection soon.
    Draining {
        /// How long the client should wait, once the connection has ended, before it comes back, ms. Each is told another
        /// time, so that they do not all come at once.
        reconnect_after_ms: u64,
    },
}

/// A user, as raw clients see their own.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct User {
    /// The user's id.
    #[schemars(with = "String")]
    pub id: UserId,
    /// The name to show.
    pub name: String,
    /// The roles held.
    pub roles: Vec<String>,
}

impl User {
    /// Who the holder of a token is.
    pub fn of(identity: &Identity) -> Self {
        Self { id: identity.user.clone(), name: identity.display_name().to_owned(), roles: identity.roles.clone() }
    }
}

/// A topic that was not joined.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Denied {
    /// The topic as it was asked for.
    pub topic: String,
    /// Why.
    #[schemars(with = "String")]
    pub code: Code,
    /// The `limit` that is reached, or `retryAfter` in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

/// Says that a message was accepted: it is numbered and on its way to `recipients` sessions.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ack {
    /// The message's id, as its receivers see it.
    #[schemars(with = "String")]
    pub message_id: MessageId,
    /// Sessions it goes to.
    pub recipients: usize,
}

/// Answers an event of the other surfaces, where its request had an `id`: what answers it there is its data.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Reply(pub Json);

/// Says that a request was refused.
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

/// A message of a topic, to every member session but the sender's.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Broadcasted {
    /// The topic.
    #[schemars(with = "String")]
    pub topic: RoomName,
    /// What was published.
    pub payload: Json,
    /// Who published it.
    #[schemars(with = "String")]
    pub from_user: UserId,
    /// Its id.
    #[schemars(with = "String")]
    pub message_id: MessageId,
}

/// A message of one user to another.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Directed {
    /// Who sent it.
    #[schemars(with = "String")]
    pub from_user: UserId,
    /// What was sent.
    pub payload: Json,
    /// Its id.
    #[schemars(with = "String")]
    pub message_id: MessageId,
}
