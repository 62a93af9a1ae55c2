//! Who is online, as the chat system shows it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::events::moment::Iso;
use crate::ids::UserId;

/// What a user says of being there. It is the user's, on all sessions, and ends with the last of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// There.
    #[default]
    Online,
    /// Connected, and not looking.
    Away,
    /// Connected, and not to be disturbed.
    Busy,
    /// Without a session. Nobody can say that of oneself.
    #[serde(skip_deserializing)]
    Offline,
}

/// A user who has a session.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnlineUser {
    /// The user.
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// The user's name.
    #[schemars(with = "String")]
    pub username: Arc<str>,
    /// As the user says.
    pub status: Availability,
    /// When the user was last seen: now.
    pub last_seen: Iso,
    /// Since when the user has a session.
    pub connected_at: Iso,
}
