//! Reads rooms: lists, members, chats and histories.

use std::sync::Arc;

use super::Rooms;
use super::actor::chat_view::ChatView;
use super::actor::messages::{CountQueued, Inspect, ReadHistory, ReadMembers, ReadRooms, ReadUsers};
use super::history::{HistoryPage, Part};
use super::replies::{MembersPage, PageRange, RoomSummary};
use crate::events::chat::rooms::RoomInfo;
use crate::model::fault::Fault;
use crate::model::ids::{RoomName, UserId};
use crate::rooms::chat_members::ChatMembers;

impl Rooms {
    /// Some of the stored messages of a room; `None` without a history.
    ///
    /// # Errors
    /// As [`Rooms::publish`].
    pub(crate) async fn history(&self, room: RoomName, part: Part, limit: usize) -> Result<Option<HistoryPage>, Fault> {
        self.actor()?.ask(|reply| ReadHistory { room, part, limit, reply })?.await
    }

    /// Calls `look` with the members of a chat; with `None` when the chat has none.
    ///
    /// # Errors
    /// As [`Rooms::publish`].
    pub(crate) async fn inspect<T: Send + 'static>(
        &self,
        room: RoomName,
        look: impl FnOnce(Option<&ChatMembers>) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let actor = self.actor()?;
        let inspect = |reply: crate::runtime::mailbox::ReplySender<T>| {
            Inspect(Box::new(move |chats| drop(reply.send(look(chats.chat_members(&room))))))
        };
        actor.ask(inspect)?.await
    }

    /// The infos of these chats, in the order of `rooms`; `None` for a chat without members.
    ///
    /// # Errors
    /// As [`Rooms::publish`].
    pub(crate) async fn infos(&self, rooms: Arc<[RoomName]>) -> Result<Vec<Option<RoomInfo>>, Fault> {
        let inspect = |reply: crate::runtime::mailbox::ReplySender<Vec<Option<RoomInfo>>>| {
            Inspect(Box::new(move |chats: &ChatView<'_>| {
                let infos = rooms.iter().map(|room| Some(chats.chat_members(room)?.info()));
                let _ = reply.send(infos.collect());
            }))
        };
        self.actor()?.ask(inspect)?.await
    }

    /// The chat messages that suspended sessions missed and that are kept for them.
    ///
    /// # Errors
    /// As [`Rooms::publish`].
    pub(crate) async fn queued(&self) -> Result<u64, Fault> {
        self.actor()?.ask(CountQueued)?.await
    }

    /// A page of the rooms with members, without internal rooms, and their total number. The order stays the same until
    /// a room is removed; the rooms of one page are sorted by name.
    pub(crate) async fn list(&self, page: PageRange) -> Result<(Vec<RoomSummary>, usize), Fault> {
        let (mut rooms, total) = self.actor()?.ask(|reply| ReadRooms { page, reply })?.await?;
        rooms.sort_unstable_by(|a, b| a.room.cmp(&b.room));
        Ok((rooms, total))
    }

    /// A page of the members of a room, sorted by user id within the page; `None` without members.
    pub(crate) async fn members(&self, room: RoomName, page: PageRange) -> Result<Option<MembersPage>, Fault> {
        let mut found = self.actor()?.ask(|reply| ReadMembers { room, page, reply })?.await?;
        if let Some(found) = &mut found {
            found.members.sort_unstable_by(|a, b| a.user.cmp(&b.user));
        }
        Ok(found)
    }

    /// The users in a room, as soon as the room actor has a free place.
    pub(crate) async fn users_when_free(&self, room: RoomName) -> Vec<UserId> {
        let Ok(actor) = self.actor() else { return Vec::new() };
        let reply = actor.ask_when_free(|reply| ReadUsers { room: room.clone(), reply }).await;
        // A dead room actor has lost its rooms, and the hub ends because of it.
        reply.await.unwrap_or_default()
    }
}
