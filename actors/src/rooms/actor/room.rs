//! The state of a room.

use super::member_counts::{UserCounts, WorkerCounts};
use crate::model::ids::UserId;
use crate::rooms::chat_members::ChatMembers;
use crate::rooms::counts::CountedRoom;

/// The members of a room, by user and by worker.
#[derive(Debug)]
pub(super) struct RoomState {
    /// Users with a member session.
    pub(super) users: UserCounts,
    /// Member sessions.
    pub(super) sessions: usize,
    /// The slots that receive publications, by worker.
    pub(super) slots: WorkerCounts,
    /// Set for the room of a chat.
    pub(super) chat_members: Option<Box<ChatMembers>>,
    /// Whether publications are stored.
    pub(super) has_history: bool,
    /// The revision of the rules that decided `has_history`.
    pub(super) revision: u32,
    /// Counts the room for the limits of rooms; `None` for an internal room.
    pub(super) counted: Option<Box<CountedRoom>>,
}

impl RoomState {
    /// Adds a session of `user`; whether it is the user's first.
    pub(super) fn enter(&mut self, user: &UserId) -> bool {
        self.sessions += 1;
        self.users.enter(user)
    }

    /// Removes a session of `user`; whether it was the user's last. `None` when the user is no member.
    pub(super) fn exit(&mut self, user: &UserId) -> Option<bool> {
        let was_last = self.users.exit(user)?;
        self.sessions -= 1;
        Some(was_last)
    }
}
