//! Who is online, as the chat system shows it.

use std::net::IpAddr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod availability;

use super::Success;
use crate::events::acknowledgements;
use crate::events::json::Json;
use crate::events::moment::Iso;
use crate::model::availability::Availability;
use crate::model::identity::Identity;
use crate::model::ids::{SessionId, UserId};

/// Users that [`UsersOnline`] names, at most.
pub const ELDEST_MAX: usize = 100;

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

/// A user who is online, as lists of users name one.
#[derive(Debug)]
pub struct Written {
    /// The user.
    pub user: UserId,
    /// An [`OnlineUser`].
    pub text: Json,
}

impl Written {
    /// Writes `users` down, in their order and as far as they fit into `bytes`.
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

/// Says how the user is there, on all sessions, until the last of them ends. Others are told.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct UpdateStatus {
    /// `online`, `away` or `busy`.
    pub status: Availability,
}

/// Asks who is online: the first 1,000 by the time they came.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskOnlineUsers {}

/// Asks whether and how a user is there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskUserStatus {
    /// A user who is online, was so since the hub started, or has an account.
    pub user_id: UserId,
}

/// Asks how many users are there, and how.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskPresenceStats {}

/// Answers `presence:update-status`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct StatusUpdated(Success);

impl StatusUpdated {
    /// It is noted.
    pub const DONE: Self = Self(Success::saying("Status updated successfully"));
}

/// Answers `presence:online-users`; `count` says how many there are where `users` does not name all.
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
    /// These of `count` users.
    pub fn new(users: Vec<Written>, count: usize) -> Self {
        let count = (count > users.len()).then_some(count);
        Self { success: Success::DONE, users: users.into_iter().map(|written| written.text).collect(), count }
    }
}

/// How a user is there: by the newest session, or as remembered. `null` is what is not known, or not for the one who asks.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserPresence {
    /// The user.
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// The user's name.
    pub username: String,
    /// The user's address, for the user and for admins.
    pub email: Option<String>,
    /// As the user says.
    pub status: Availability,
    /// When the user was last seen: now while online.
    pub last_seen: Option<Iso>,
    /// Since when the session is there.
    pub connected_at: Option<Iso>,
    /// The session, for the user and for admins.
    #[schemars(with = "Option<String>")]
    pub socket_id: Option<SessionId>,
    /// What the session's client calls itself, for the user and for admins.
    #[schemars(with = "Option<String>")]
    pub user_agent: Option<Arc<str>>,
    /// Where the session's client is, for the user and for admins.
    #[schemars(with = "Option<String>")]
    pub ip_address: Option<IpAddr>,
}

impl UserPresence {
    /// As somebody sees it who is neither the user nor an admin.
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
    /// The user is there like this.
    pub fn new(presence: UserPresence) -> Self {
        Self { success: Success::DONE, presence }
    }
}

/// How many users are there, and how.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All of them.
    pub total_users: usize,
    /// Those who say that they are there.
    pub online_users: usize,
    /// Those who say that they do not look.
    pub away_users: usize,
    /// Those who say that they are not to be disturbed.
    pub busy_users: usize,
    /// Those who went and are remembered.
    pub offline_users: usize,
}

/// Answers `presence:stats`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PresenceStats {
    #[serde(flatten)]
    success: Success,
    stats: Counts,
}

impl PresenceStats {
    /// These figures.
    pub fn new(stats: Counts) -> Self {
        Self { success: Success::DONE, stats }
    }
}

acknowledgements!(StatusUpdated, OnlineUsers, UserStatus, PresenceStats);

/// What is said of a user who came, went or is there in another way.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    #[schemars(with = "String")]
    user_id: UserId,
    username: String,
    status: Availability,
    last_seen: Iso,
}

impl Seen {
    /// The user of `identity` was seen like this at `at`, ms since the epoch.
    pub fn new(identity: &Identity, status: Availability, at: i64) -> Self {
        let username = identity.username().to_owned();
        Self { user_id: identity.user.clone(), username, status, last_seen: Iso(at) }
    }
}

/// Says to others that a user came online: the first session, on whatever surface, began.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct UserOnline(pub Seen);

/// Says to others that a user went offline: the last session ended, and none began within `presence.linger_ms`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct UserOffline(pub Seen);

/// Says that a user is there in another way, to the user's own sessions too. Of changes that follow each other the last is
/// told. On `/ws` to those who subscribed to `$presence`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct UserStatusChanged(pub Seen);

/// Says who is online: to a session as it connects, those online for longest, itself included, 100 at most; and where no
/// more are online, to all when that changed, at most once a second.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UsersOnline {
    #[schemars(with = "Vec<OnlineUser>")]
    users: Vec<Json>,
}

impl UsersOnline {
    /// Those online for longest.
    pub fn all(eldest: &[Written]) -> Self {
        Self { users: eldest.iter().map(|written| written.text.clone()).collect() }
    }

    /// Those online for longest, and `own`, who asks: last, where it is not one of them.
    pub fn with(eldest: &[Written], own: &OnlineUser) -> Self {
        if eldest.iter().any(|written| written.user == own.user_id) {
            return Self::all(eldest);
        }
        let mut online = Self::all(eldest.get(..ELDEST_MAX - 1).unwrap_or(eldest));
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

    fn named(users: &[Written]) -> Vec<&str> {
        users.iter().map(|written| written.user.as_str()).collect()
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let users = || vec![online("a"), online("b"), online("c")];
        let size = Written::all(users(), 1_000)[0].text.as_str().len() + 1;
        assert_eq!(named(&Written::all(users(), 3 * size)), ["a", "b", "c"]);
        assert_eq!(named(&Written::all(users(), 3 * size - 1)), ["a", "b"]);
    }

    #[test]
    fn who_asks_is_on_the_list_once_and_it_is_no_longer_for_that() {
        let crowd = |users: usize| -> Vec<_> { (0..users).map(|number| online(&format!("u{number:03}"))).collect() };
        for (users, own, length, last) in [
            (3, "u001", 3, "u002"),
            (3, "x", 4, "x"),
            (99, "x", 100, "x"),
            (100, "u099", 100, "u099"),
            (100, "x", 100, "x"),
        ] {
            let list = UsersOnline::with(&Written::all(crowd(users), 1 << 20), &online(own));
            let list = serde_json::to_value(list).unwrap();
            let listed = list["users"].as_array().unwrap();
            assert_eq!((listed.len(), listed[length - 1]["userId"].as_str()), (length, Some(last)), "{own} of {users}");
            assert_eq!(listed.iter().filter(|user| user["userId"] == own).count(), 1, "{own} of {users}");
        }
    }

    #[test]
    fn nobody_says_of_oneself_to_be_offline() {
        let read = |text: &str| serde_json::from_str::<UpdateStatus>(text).map(|update| update.status).ok();
        assert_eq!(read(r#"{"status":"busy"}"#), Some(Availability::Busy));
        for text in [r#"{"status":"offline"}"#, r#"{"status":"Away"}"#, r#"{"status":null}"#, "{}"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
