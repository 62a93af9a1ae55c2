//! Joins without a reply yet. A client may leave a room and join it again before the reply to the first join.

use std::collections::HashMap;

use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::rooms::{JoinReply, Membership};
use crate::runtime::hash::Seed;

/// The pending joins, by room. Leaving a room removes its join.
#[derive(Debug, Default)]
pub(super) struct PendingJoins {
    /// `None` when no join is pending.
    #[expect(clippy::box_collection, reason = "an idle session has no pending join: this takes 24 bytes less")]
    by_room: Option<Box<HashMap<RoomName, u64, Seed>>>,
    serial: u64,
}

impl PendingJoins {
    pub(super) fn add(&mut self, room: RoomName) -> JoinId {
        self.serial += 1;
        self.by_room.get_or_insert_default().insert(room.clone(), self.serial);
        JoinId { room, serial: self.serial }
    }

    pub(super) fn remove(&mut self, room: &RoomName) {
        if let Some(joins) = &mut self.by_room {
            joins.remove(room);
        }
        self.by_room.take_if(|joins| joins.is_empty());
    }

    /// Ends a join. `true` unless its room was left meanwhile.
    pub(super) fn take(&mut self, id: &JoinId) -> bool {
        let is_current = self.by_room.as_ref().and_then(|joins| joins.get(&id.room)) == Some(&id.serial);
        if is_current {
            self.remove(&id.room);
        }
        is_current
    }
}

/// Identifies a join: a room may have a second join before the reply to the first.
#[derive(Debug)]
pub(super) struct JoinId {
    pub(super) room: RoomName,
    serial: u64,
}

/// A requested join.
#[derive(Debug)]
pub(super) struct PendingJoin {
    id: JoinId,
    /// The session is in the room already, and requests its position.
    was_member: bool,
    joined: JoinReply,
}

impl PendingJoin {
    pub(super) fn new(id: JoinId, joined: JoinReply) -> Self {
        Self { id, was_member: false, joined }
    }

    /// The session is in `room` and requests its position.
    pub(super) fn of_member(room: RoomName, located: JoinReply) -> Self {
        Self { id: JoinId { room, serial: 0 }, was_member: true, joined: located }
    }

    /// The room.
    pub(super) fn room(&self) -> &RoomName {
        &self.id.room
    }

    /// Waits for the room.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::OutcomeUnknown`] if the room actor ends.
    pub(super) async fn outcome(self) -> Result<(JoinOutcome, Option<Membership>), Fault> {
        let answer = self.joined.for_change().await?;
        Ok(match answer {
            Ok(membership) => (JoinOutcome::Joined((!self.was_member).then_some(self.id)), Some(membership)),
            Err(fault) if self.was_member => (JoinOutcome::Refused(fault), None),
            Err(fault) => (JoinOutcome::RefusedByRoom(self.id, fault), None),
        })
    }
}

/// The result of one join.
pub(super) enum JoinOutcome {
    /// The session is in the room. Without an id, it was in the room before.
    Joined(Option<JoinId>),
    /// The room refused the session.
    RefusedByRoom(JoinId, Fault),
    /// The join was refused before it reached the room.
    Refused(Fault),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_is_outdated_once_its_room_was_left() {
        let room = |name| RoomName::parse(name, "room").unwrap();
        let mut pending = PendingJoins::default();
        let (first, other) = (pending.add(room("a")), pending.add(room("b")));
        pending.remove(&room("a"));
        let second = pending.add(room("a"));
        assert!(!pending.take(&first), "the second join is current");
        assert!(pending.take(&other) && pending.take(&second));
        assert!(!pending.take(&second) && pending.by_room.is_none());
    }
}
