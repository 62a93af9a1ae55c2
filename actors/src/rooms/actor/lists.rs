//! Lists the rooms and their members by pages. The cost is proportional to the page.

use ahash::RandomState;
use indexmap::IndexSet;

use super::RoomActor;
use super::messages::{ReadMembers, ReadRooms, ReadUsers};
use crate::model::ids::RoomName;
use crate::rooms::replies::{MembersPage, PageRange, RoomMember, RoomSummary};
use crate::runtime::mailbox::Receive;

/// The rooms with members, without internal rooms. A room keeps its position until a room before it is removed.
#[derive(Debug, Default)]
pub(super) struct ListedRooms(IndexSet<RoomName, RandomState>);

impl ListedRooms {
    pub(super) fn add(&mut self, room: &RoomName) {
        if !room.is_internal() {
            self.0.insert(room.clone());
        }
    }

    /// Removes a room; the last room takes its position.
    pub(super) fn remove(&mut self, room: &RoomName) {
        self.0.swap_remove(room);
        if self.0.capacity() > 1_024 && self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(self.0.len() * 2);
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn page(&self, PageRange { offset, limit }: PageRange) -> impl Iterator<Item = &RoomName> {
        let from = offset.min(self.0.len());
        let to = from.saturating_add(limit).min(self.0.len());
        self.0.get_range(from..to).into_iter().flat_map(|page| page.iter())
    }
}

impl Receive<ReadRooms> for RoomActor {
    fn receive(&mut self, ReadRooms { page, reply }: ReadRooms, _: &mut Self::Context) {
        let summary = |name: &RoomName| {
            let room = self.rooms.get(name)?;
            Some(RoomSummary { room: name.clone(), sessions: room.sessions, users: room.users.len() })
        };
        let rooms = self.listed.page(page).filter_map(summary).collect();
        let _ = reply.send((rooms, self.listed.len()));
    }
}

impl Receive<ReadMembers> for RoomActor {
    fn receive(&mut self, ReadMembers { room, page, reply }: ReadMembers, _: &mut Self::Context) {
        let room = self.rooms.get(&room).filter(|room| room.sessions > 0);
        let _ = reply.send(room.map(|room| {
            MembersPage {
                sessions: room.sessions,
                users: room.users.len(),
                members: room
                    .users
                    .page(page)
                    .map(|(user, sessions)| RoomMember { user: user.clone(), sessions: sessions as usize })
                    .collect(),
            }
        }));
    }
}

impl Receive<ReadUsers> for RoomActor {
    fn receive(&mut self, ReadUsers { room, reply }: ReadUsers, _: &mut Self::Context) {
        let all = PageRange { offset: 0, limit: usize::MAX };
        let users = self.rooms.get(&room).into_iter().flat_map(|room| room.users.page(all));
        let _ = reply.send(users.map(|(user, _)| user.clone()).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_on_one_page_and_keeps_its_position_until_a_room_before_it_is_removed() {
        let room = |name: &str| RoomName::parse(name, "room").unwrap();
        let mut listed = ListedRooms::default();
        for name in ["$all", "a", "b", "c", "d", "user:x"] {
            listed.add(&RoomName::of_store(name));
        }
        let page = |listed: &ListedRooms, offset, limit| -> Vec<String> {
            listed.page(PageRange { offset, limit }).map(RoomName::to_string).collect()
        };
        assert_eq!((listed.len(), page(&listed, 0, 9)), (4, vec!["a".into(), "b".into(), "c".into(), "d".into()]));
        assert_eq!((page(&listed, 1, 2), page(&listed, 3, 2)), (vec!["b".into(), "c".into()], vec!["d".to_owned()]));
        assert_eq!((page(&listed, 9, 2), page(&listed, 1, usize::MAX).len()), (vec![], 3));
        listed.remove(&room("b"));
        listed.remove(&room("never"));
        assert_eq!((listed.len(), page(&listed, 0, 9)), (3, vec!["a".into(), "d".into(), "c".to_owned()]));
    }
}
