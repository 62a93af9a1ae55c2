//! Read access to the chats of the hub.

use ahash::AHashMap;

use super::room::RoomState;
use crate::model::ids::RoomName;
use crate::rooms::chat_members::ChatMembers;

/// The chats of the hub that have members.
pub(crate) struct ChatView<'a>(&'a AHashMap<RoomName, RoomState>);

impl<'a> ChatView<'a> {
    pub(super) fn new(rooms: &'a AHashMap<RoomName, RoomState>) -> Self {
        Self(rooms)
    }

    /// The members of the chat with that room.
    pub(crate) fn chat_members(&self, room: &RoomName) -> Option<&ChatMembers> {
        self.0.get(room).and_then(|room| room.chat_members.as_deref())
    }
}
