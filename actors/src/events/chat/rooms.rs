//! Chats as rooms: joins, leaves, and the users in a chat.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Success;
use super::presence::OnlineUser;
use crate::events::timestamp::Iso;
use crate::events::{PrecedingEvent, ServerEvent, acknowledgements};
use crate::model::ids::{ChatId, UserId};
use crate::model::surface::Surface;

/// Joins a chat. The reply comes before the first message of the chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinChat {
    /// An existing chat that the user may join.
    pub chat_id: ChatId,
}

/// Leaves a chat. No event of the chat follows the reply.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaveChat {
    /// A chat that the session is in.
    pub chat_id: ChatId,
}

/// Requests the description of a chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskInfo {
    /// A chat that the user may join.
    pub chat_id: ChatId,
}

/// Requests the chats that the user may join: the first 1,000 by id.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRooms {}

/// Requests the users in a chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskOnline {
    /// A chat that the user may join.
    pub chat_id: ChatId,
}

/// The state of a chat, as its members receive it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomInfo {
    /// The chat.
    #[schemars(with = "String")]
    pub chat_id: ChatId,
    /// Users with a session in the chat.
    pub participant_count: usize,
    /// Whether the chat has such users.
    pub is_active: bool,
    /// When a user last joined, left or sent a message.
    pub last_activity: Iso,
}

/// A chat with its name.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FullRoomInfo {
    #[schemars(with = "String")]
    chat_id: ChatId,
    name: String,
    description: String,
    participant_count: usize,
    online_count: usize,
    is_active: bool,
    last_activity: Iso,
}

impl FullRoomInfo {
    /// `room` with its name and description.
    pub fn new(room: RoomInfo, name: String, description: String) -> Self {
        Self {
            chat_id: room.chat_id,
            name,
            description,
            participant_count: room.participant_count,
            online_count: room.participant_count,
            is_active: room.is_active,
            last_activity: room.last_activity,
        }
    }
}

/// Answers `join:chat`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinedChat {
    #[serde(flatten)]
    success: Success,
    room_info: RoomInfo,
}

impl JoinedChat {
    /// The session is a member of the chat.
    pub fn new(room_info: RoomInfo) -> Self {
        Self { success: Success::with_message("Joined chat successfully"), room_info }
    }
}

impl ServerEvent for JoinedChat {
    const NAME: &'static str = "";
    const ON: &'static [Surface] = &[];

    fn preceding_events(&self) -> Vec<PrecedingEvent> {
        let RoomInfo { chat_id, participant_count, .. } = &self.room_info;
        vec![PrecedingEvent::of(&RoomJoined {
            chat_id: chat_id.clone(),
            room_info: self.room_info.clone(),
            message: "Joined chat successfully",
            online_count: *participant_count,
        })]
    }
}

/// Answers `leave:chat`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LeftChat {
    #[serde(flatten)]
    success: Success,
    #[serde(skip)]
    left: RoomLeft,
}

impl LeftChat {
    /// The session has left the chat; `online_count` users stay.
    pub fn new(chat_id: ChatId, online_count: usize) -> Self {
        const MESSAGE: &str = "Left chat successfully";
        Self { success: Success::with_message(MESSAGE), left: RoomLeft { chat_id, message: MESSAGE, online_count } }
    }
}

impl ServerEvent for LeftChat {
    const NAME: &'static str = "";
    const ON: &'static [Surface] = &[];

    fn preceding_events(&self) -> Vec<PrecedingEvent> {
        vec![PrecedingEvent::of(&self.left)]
    }
}

/// Answers `room:info`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomInfoReply {
    #[serde(flatten)]
    success: Success,
    room_info: FullRoomInfo,
}

impl RoomInfoReply {
    /// The reply with this description.
    pub fn new(room_info: FullRoomInfo) -> Self {
        Self { success: Success::DONE, room_info }
    }
}

/// A chat in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedRoom {
    /// The chat.
    #[schemars(with = "String")]
    pub chat_id: ChatId,
    /// The name.
    pub name: String,
    /// Users with a session in the chat.
    pub participant_count: usize,
    /// When a user last joined, left or sent a message.
    pub last_activity: Iso,
}

/// Answers `room:list`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RoomList {
    #[serde(flatten)]
    success: Success,
    rooms: Vec<ListedRoom>,
}

impl RoomList {
    /// The reply with these chats.
    pub fn new(rooms: Vec<ListedRoom>) -> Self {
        Self { success: Success::DONE, rooms }
    }
}

/// Answers `room:online`; `count` is the number of users in the chat, if `onlineUsers` does not list all.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomOnlineUsers {
    #[serde(flatten)]
    success: Success,
    online_users: Vec<OnlineUser>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
}

impl RoomOnlineUsers {
    /// The reply with these of `count` users.
    pub fn new(online_users: Vec<OnlineUser>, count: usize) -> Self {
        let count = (count > online_users.len()).then_some(count);
        Self { success: Success::DONE, online_users, count }
    }
}

acknowledgements!(RoomInfoReply, RoomList, RoomOnlineUsers);

/// The session joined a chat.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomJoined {
    #[schemars(with = "String")]
    chat_id: ChatId,
    room_info: RoomInfo,
    message: &'static str,
    online_count: usize,
}

/// The session left a chat, or the chat was deleted or closed to its user.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomLeft {
    #[schemars(with = "String")]
    chat_id: ChatId,
    message: &'static str,
    online_count: usize,
}

impl RoomLeft {
    /// The chat was deleted or closed to the user; `online_count` users stay.
    pub fn access_lost(chat_id: ChatId, online_count: usize) -> Self {
        Self { chat_id, message: "Chat not found or access denied", online_count }
    }
}

/// Sent to the other members when a user's first session joined a chat.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserJoined {
    /// The user.
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// The user's name.
    #[schemars(with = "String")]
    pub username: Arc<str>,
    /// The chat.
    #[schemars(with = "String")]
    pub chat_id: ChatId,
    /// When the event occurred.
    pub timestamp: Iso,
    /// The chat with the user in it.
    pub room_info: RoomInfo,
    /// Users in the chat.
    pub online_count: usize,
}

/// Sent to the other members when a user's last session left a chat.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserLeft {
    /// The user.
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// The user's name.
    #[schemars(with = "String")]
    pub username: Arc<str>,
    /// The chat.
    #[schemars(with = "String")]
    pub chat_id: ChatId,
    /// When the event occurred.
    pub timestamp: Iso,
    /// Users in the chat.
    pub online_count: usize,
}

/// Sent to all members after the users in a chat change: the 100 users that joined first, and the number of all users.
/// In a large chat, changes in quick succession are sent together.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnlineUpdate {
    /// The chat.
    #[schemars(with = "String")]
    pub chat_id: ChatId,
    /// The users that joined first.
    pub online_users: Vec<OnlineUser>,
    /// Users in the chat.
    pub count: usize,
    /// When the event occurred.
    pub timestamp: Iso,
}

/// Sent to all members when a chat was changed over HTTP.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InfoChanged {
    #[schemars(with = "String")]
    chat_id: ChatId,
    room_info: FullRoomInfo,
}

impl InfoChanged {
    /// The event with the new description.
    pub fn new(room_info: FullRoomInfo) -> Self {
        Self { chat_id: room_info.chat_id.clone(), room_info }
    }
}
