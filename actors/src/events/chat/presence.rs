//! The presence events of the chat document: lists, status and announcements. Sessions on `/ws` and `/` have some too.

use std::net::IpAddr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod availability;

use super::Success;
use crate::events::acknowledgements;
use crate::events::json::Json;
use crate::events::timestamp::Iso;
use crate::model::availability::Availability;
use crate::model::identity::Identity;
use crate::model::ids::{SessionId, UserId};

/// Most users in [`UsersOnline`].
pub const LONGEST_ONLINE_MAX: usize = 100;

/// A user with at least one session.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnlineUser {
    /// The user.
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// The user's name.
    #[schemars(with = "String")]
    pub username: Arc<str>,
    /// The status that the user set.
    pub status: Availability,
    /// When the user was last seen: now.
    pub last_seen: Iso,
    /// When the user came online.
    pub connected_at: Iso,
}

/// An online user as JSON, for lists of users.
#[derive(Debug)]
pub struct SerializedUser {
    /// The user.
    pub user: UserId,
    /// The JSON of an [`OnlineUser`].
    pub text: Json,
}

impl SerializedUser {
    /// Serializes `users` in their order, as long as they fit into `bytes`.
    pub fn all(users: Vec<OnlineUser>, bytes: usize) -> Vec<Self> {
        let mut left = bytes;
        let write = |user: OnlineUser| {
            let text = Json::of(&user);
            left = left.checked_sub(text.as_str().len() + 1)?;
            Some(Self { user: user.user_id, text })
        };
        users.into_iter().map_while(write).collect()
    }
}

/// Sets the status of the user for all sessions, until the last of them ends. Other users are notified.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct UpdateStatus {
    /// `online`, `away` or `busy`.
    pub status: Availability,
}

/// Requests the online users: the 1,000 that have been online longest.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskOnlineUsers {}

/// Requests the presence of a user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskUserStatus {
    /// A user that is online, was online since the hub started, or has an account.
    pub user_id: UserId,
}

/// Requests the number of users with each status.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskPresenceStats {}

/// Answers `presence:update-status`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct StatusUpdated(Success);

impl StatusUpdated {
    /// The status is set.
    pub const DONE: Self = Self(Success::with_message("Status updated successfully"));
}

/// Answers `presence:online-users`; `count` is the number of online users, if `users` does not list all.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OnlineUsers {
    #[serde(flatten)]
    success: Success,
    #[schemars(with = "Vec<OnlineUser>")]
    users: Vec<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
}

impl OnlineUsers {
    /// The reply with these of `count` users.
    pub fn new(users: Vec<SerializedUser>, count: usize) -> Self {
        let count = (count > users.len()).then_some(count);
        Self { success: Success::DONE, users: users.into_iter().map(|serialized| serialized.text).collect(), count }
    }
}

/// A user's presence, from the newest session or from the record of an offline user. A value is `null` if it is
/// unknown, or if the requesting user may not read it.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserPresence {
    /// The user.
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// The user's name.
    pub username: String,
    /// The user's e-mail address, for the user and for admins.
    pub email: Option<String>,
    /// The status that the user set.
    pub status: Availability,
    /// When the user was last seen: now while online.
    pub last_seen: Option<Iso>,
    /// When the session connected.
    pub connected_at: Option<Iso>,
    /// The session, for the user and for admins.
    #[schemars(with = "Option<String>")]
    pub socket_id: Option<SessionId>,
    /// The `User-Agent` of the session's client, for the user and for admins.
    #[schemars(with = "Option<String>")]
    pub user_agent: Option<Arc<str>>,
    /// The address of the session's client, for the user and for admins.
    #[schemars(with = "Option<String>")]
    pub ip_address: Option<IpAddr>,
}

impl UserPresence {
    /// The presence without the values that only the user and admins receive.
    pub fn masked(self) -> Self {
        Self { email: None, socket_id: None, user_agent: None, ip_address: None, ..self }
    }
}

/// Answers `presence:user-status`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UserStatus {
    #[serde(flatten)]
    success: Success,
    presence: UserPresence,
}

impl UserStatus {
    /// The reply with this presence.
    pub fn new(presence: UserPresence) -> Self {
        Self { success: Success::DONE, presence }
    }
}

/// The number of users with each status.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresenceCounts {
    /// All users.
    pub total_users: usize,
    /// Users with the status `online`.
    pub online_users: usize,
    /// Users with the status `away`.
    pub away_users: usize,
    /// Users with the status `busy`.
    pub busy_users: usize,
    /// Offline users with a record.
    pub offline_users: usize,
}

/// Answers `presence:stats`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PresenceStats {
    #[serde(flatten)]
    success: Success,
    stats: PresenceCounts,
}

impl PresenceStats {
    /// The reply with these counts.
    pub fn new(stats: PresenceCounts) -> Self {
        Self { success: Success::DONE, stats }
    }
}

acknowledgements!(StatusUpdated, OnlineUsers, UserStatus, PresenceStats);

/// A user's presence in an announcement.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresenceState {
    #[schemars(with = "String")]
    user_id: UserId,
    username: String,
    status: Availability,
    last_seen: Iso,
}

impl PresenceState {
    /// The user of `identity` has this status since `at`, ms since the epoch.
    pub fn new(identity: &Identity, status: Availability, at: i64) -> Self {
        let username = identity.username().to_owned();
        Self { user_id: identity.user.clone(), username, status, last_seen: Iso(at) }
    }
}

/// A user came online: the first session on any surface started. Other users receive it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct ChatUserOnline(pub PresenceState);

/// A user went offline: the last session ended, and none started within `presence.linger_ms`. Other users receive it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct ChatUserOffline(pub PresenceState);

/// The status of a user changed. The user's own sessions receive it, too; on `/ws`, subscribers of `$presence`. If several
/// changes follow each other quickly, only the last one is sent.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct UserStatusChanged(pub PresenceState);

/// The users that have been online longest, at most 100. A session receives it when it connects, with its own user
/// included. If at most 100 users are online, all sessions on `/chat` receive it after a change, at most once a second.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UsersOnline {
    #[schemars(with = "Vec<OnlineUser>")]
    users: Vec<Json>,
}

impl UsersOnline {
    /// The list of the users that have been online longest.
    pub fn all(longest_online: &[SerializedUser]) -> Self {
        Self { users: longest_online.iter().map(|serialized| serialized.text.clone()).collect() }
    }

    /// The list for the session of `own`: its user comes last if `longest_online` does not include it.
    pub fn with(longest_online: &[SerializedUser], own: &OnlineUser) -> Self {
        if longest_online.iter().any(|serialized| serialized.user == own.user_id) {
            return Self::all(longest_online);
        }
        let mut online = Self::all(longest_online.get(..LONGEST_ONLINE_MAX - 1).unwrap_or(longest_online));
        online.users.push(Json::of(own));
        online
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn online(name: &str) -> OnlineUser {
        let user_id = UserId::parse(name, "user").unwrap();
        let username = name.into();
        OnlineUser { user_id, username, status: Availability::Away, last_seen: Iso(0), connected_at: Iso(0) }
    }

    fn named(users: &[SerializedUser]) -> Vec<&str> {
        users.iter().map(|serialized| serialized.user.as_str()).collect()
    }

    #[test]
    fn users_beyond_the_bytes_are_left_out() {
        let users = || vec![online("a"), online("b"), online("c")];
        let size = SerializedUser::all(users(), 1_000)[0].text.as_str().len() + 1;
        assert_eq!(named(&SerializedUser::all(users(), 3 * size)), ["a", "b", "c"]);
        assert_eq!(named(&SerializedUser::all(users(), 3 * size - 1)), ["a", "b"]);
    }

    #[test]
    fn the_requesting_user_is_listed_once_within_the_bound() {
        let online_users =
            |users: usize| -> Vec<_> { (0..users).map(|number| online(&format!("u{number:03}"))).collect() };
        for (users, own, length, last) in [
            (3, "u001", 3, "u002"),
            (3, "x", 4, "x"),
            (99, "x", 100, "x"),
            (100, "u099", 100, "u099"),
            (100, "x", 100, "x"),
        ] {
            let list = UsersOnline::with(&SerializedUser::all(online_users(users), 1 << 20), &online(own));
            let list = serde_json::to_value(list).unwrap();
            let listed = list["users"].as_array().unwrap();
            assert_eq!((listed.len(), listed[length - 1]["userId"].as_str()), (length, Some(last)), "{own} of {users}");
            assert_eq!(listed.iter().filter(|user| user["userId"] == own).count(), 1, "{own} of {users}");
        }
    }

    #[test]
    fn a_user_cannot_set_the_status_offline() {
        let read = |text: &str| serde_json::from_str::<UpdateStatus>(text).map(|update| update.status).ok();
        assert_eq!(read(r#"{"status":"busy"}"#), Some(Availability::Busy));
        for text in [r#"{"status":"offline"}"#, r#"{"status":"Away"}"#, r#"{"status":null}"#, "{}"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
