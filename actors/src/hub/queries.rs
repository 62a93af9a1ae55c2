//! Reads the rooms and the presence of users.

use super::{Hub, PresenceOf};
use crate::model::fault::Fault;
use crate::model::ids::{RoomName, UserId};
use crate::presence::LastSeen;
use crate::rooms::history::{HistoryPage, Part};
use crate::rooms::{MembersPage, PageRange, RoomSummary};

impl Hub {
    /// A page of the rooms with members, without internal rooms, sorted by name within the page; and their total
    /// number.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`] when a queue is full.
    pub async fn list_rooms(&self, page: PageRange) -> Result<(Vec<RoomSummary>, usize), Fault> {
        self.rooms.list(page).await.inspect_err(|fault| self.count(fault))
    }

    /// A page of the members of a room, sorted by user id within the page; `None` without members.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`] when a queue is full.
    pub async fn members(&self, room: &RoomName, page: PageRange) -> Result<Option<MembersPage>, Fault> {
        self.rooms.members(room.clone(), page).await.inspect_err(|fault| self.count(fault))
    }

    /// At most `limit` stored messages of a room; `None` without a history.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`] when a queue is full.
    pub async fn history(&self, room: &RoomName, part: Part, limit: usize) -> Result<Option<HistoryPage>, Fault> {
        self.rooms.history(room.clone(), part, limit).await.inspect_err(|fault| self.count(fault))
    }

    /// A user's presence.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`] when a queue is full.
    pub async fn presence(&self, user: &UserId) -> Result<PresenceOf, Fault> {
        let last_seen = self.presence.ask(|reply| LastSeen { user: user.clone(), reply });
        let last_seen = last_seen.inspect_err(|fault| self.count(fault))?.await?;
        let sessions = self.registry.sessions_of(user);
        let status = if sessions.is_empty() { "offline" } else { "online" };
        Ok(PresenceOf { status, last_seen, sessions })
    }
}
