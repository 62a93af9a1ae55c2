//! Chats as rooms: coming, going, and who is there.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Success;
use super::presence::OnlineUser;
use crate::events::moment::Iso;
use crate::events::{PrecedingEvent, ServerEvent, acknowledgements};
use crate::model::ids::{ChatId, UserId};
use crate::model::surface::Surface;

/// Joins a chat. The answer comes before the first message of the chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinChat {
    /// The chat, of those that were made and that the user may join.
    pub chat_id: ChatId,
}

/// Leaves a chat. Nothing of the chat comes after the answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaveChat {
    /// A chat that the session is in.
    pub chat_id: ChatId,
}

/// Asks what there is to know of a chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskInfo {
    /// A chat that the user may join.
    pub chat_id: ChatId,
}

/// Asks which chats the user may join; the first 1,000 by their ids.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRooms {}

/// Asks who is in a chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskOnline {
    /// A chat that the user may join.
    pub chat_id: ChatId,
}

/// A chat as those see it who are in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomInfo {
    /// The chat.
    #[schemars(with = "String")]
    pub chat_id: ChatId,
    /// Users with a session in it.
    pub participant_count: usize,
    /// Whether there are any.
    pub is_active: bool,
    /// When somebody last came, went or said something.
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
    /// The session is in the chat.
    pub fn new(room_info: RoomInfo) -> Self {
        Self { success: Success::saying("Joined chat successfully"), room_info }
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
    /// The session is out of the chat, and so many users are in it.
    pub fn new(chat_id: ChatId, online_count: usize) -> Self {
        const MESSAGE: &str = "Left chat successfully";
        Self { success: Success::saying(MESSAGE), left: RoomLeft { chat_id, message: MESSAGE, online_count } }
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
pub struct Info {
    #[serde(flatten)]
    success: Success,
    room_info: FullRoomInfo,
}

impl Info {
    /// What there is to know.
    pub fn new(room_info: FullRoomInfo) -> Self {
        Self { success: Success::DONE, room_info }
    }
}

/// A chat in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The chat.
    #[schemars(with = "String")]
    pub chat_id: ChatId,
    /// Its name.
    pub name: String,
    /// Users with a session in it.
    pub participant_count: usize,
    /// When somebody last came, went or said something.
    pub last_activity: Iso,
}

/// Answers `room:list`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Rooms {
    #[serde(flatten)]
    success: Success,
    rooms: Vec<Listed>,
}

impl Rooms {
    /// These chats.
    pub fn new(rooms: Vec<Listed>) -> Self {
        Self { success: Success::DONE, rooms }
    }
}

/// Answers `room:online`; `count` says how many there are where `onlineUsers` does not name all.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Online {
    #[serde(flatten)]
    success: Success,
    online_users: Vec<OnlineUser>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
}

impl Online {
    /// These of `count` users.
    pub fn new(online_users: Vec<OnlineUser>, count: usize) -> Self {
        let count = (count > online_users.len()).then_some(count);
        Self { success: Success::DONE, online_users, count }
    }
}

acknowledgements!(Info, Rooms, Online);

/// Says to a session that it is in a chat.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomJoined {
    #[schemars(with = "String")]
    chat_id: ChatId,
    room_info: RoomInfo,
    message: &'static str,
    online_count: usize,
}

/// Says to a session that it is out of a chat, also when the chat was deleted or closed to its user.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomLeft {
    #[schemars(with = "String")]
    chat_id: ChatId,
    message: &'static str,
    online_count: usize,
}

impl RoomLeft {
    /// The chat is not there any more, or not for this user; so many users are in it.
    pub fn shut_out(chat_id: ChatId, online_count: usize) -> Self {
        Self { chat_id, message: "Chat not found or access denied", online_count }
    }
}

/// Says to the others in a chat that a user's first session joined it.
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
    /// When.
    pub timestamp: Iso,
    /// The chat with the user in it.
    pub room_info: RoomInfo,
    /// Users in it.
    pub online_count: usize,
}

/// Says to those in a chat that a user's last session left it.
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
    /// When.
    pub timestamp: Iso,
    /// Users in it.
    pub online_count: usize,
}

/// Says to all in a chat who is there, when that changed: the 100 who came first, and how many there are. What changes
/// again soon, in a large chat, is told at once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnlineUpdate {
    /// The chat.
    #[schemars(with = "String")]
    pub chat_id: ChatId,
    /// Users in it, the first of them.
    pub online_users: Vec<OnlineUser>,
    /// Users in it.
    pub count: usize,
    /// When.
    pub timestamp: Iso,
}

/// Says to all in a chat that it was changed over HTTP.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InfoChanged {
    #[schemars(with = "String")]
    chat_id: ChatId,
    room_info: FullRoomInfo,
}

impl InfoChanged {
    /// What it is now.
    pub fn new(room_info: FullRoomInfo) -> Self {
        Self { chat_id: room_info.chat_id.clone(), room_info }
    }
}
