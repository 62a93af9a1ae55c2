//! A room as its shard knows it.

use super::member_counts::{UserCounts, WorkerCounts};
use crate::chats::members::ChatMembers;
use crate::model::ids::UserId;
use crate::rooms::counts::CountedRoom;

/// Who is in a room, and where.
#[derive(Debug)]
pub(super) struct Room {
    /// Those with a session here.
    pub(super) users: UserCounts,
    /// Sessions of them all.
    pub(super) sessions: usize,
    /// The seats that get what is published: those of the sessions, and parked ones.
    pub(super) session_table: WorkerCounts,
    /// What there is more to a chat.
    pub(super) chat_members: Option<Box<ChatMembers>>,
    /// What is published is kept.
    pub(super) has_history: bool,
    /// The revision of the rules by which that is so.
    pub(super) revision: u32,
    /// Its place among the rooms that clients made; `None` for those that the hub keeps for itself.
    pub(super) counted: Option<Box<CountedRoom>>,
}

impl Room {
    /// A session of `user` comes; whether it is the user's first.
    pub(super) fn enter(&mut self, user: &UserId) -> bool {
        self.sessions += 1;
        self.users.enter(user)
    }

    /// A session of `user` goes; whether it was the user's last.
    pub(super) fn exit(&mut self, user: &UserId) -> bool {
        let was_last = self.users.exit(user);
        self.sessions -= usize::from(was_last.is_some());
        was_last == Some(true)
    }
}
