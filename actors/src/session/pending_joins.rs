//! Joins that a session asked for and that are not answered yet: a room may be left, and joined again, before the first
//! join is answered.

use std::collections::HashMap;

use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::rooms::{Joined, Membership};
use crate::runtime::hash::Seed;

/// The joins that are not answered, by their rooms. A room that is left meanwhile is not among them.
#[derive(Debug, Default)]
pub(super) struct PendingJoins {
    by_room: HashMap<RoomName, u64, Seed>,
    serial: u64,
}

impl PendingJoins {
    pub(super) fn add(&mut self, room: RoomName) -> JoinId {
        self.serial += 1;
        self.by_room.insert(room.clone(), self.serial);
        JoinId { room, serial: self.serial }
    }

    pub(super) fn remove(&mut self, room: &RoomName) {
        self.by_room.remove(room);
        if self.by_room.is_empty() {
            self.by_room = HashMap::default();
        }
    }

    /// The join is answered; whether its room was not left meanwhile.
    pub(super) fn take(&mut self, ticket: &JoinId) -> bool {
        let is_current = self.by_room.get(&ticket.room) == Some(&ticket.serial);
        if is_current {
            self.remove(&ticket.room);
        }
        is_current
    }
}

/// Which of the session's joins it is: a room may be left and joined again before the first join is answered.
#[derive(Debug)]
pub(super) struct JoinId {
    pub(super) room: RoomName,
    serial: u64,
}

/// A join that its room was asked for.
#[derive(Debug)]
pub(super) struct PendingJoin {
    ticket: JoinId,
    /// The session was in the room before, and asks where that stands.
    was_member: bool,
    joined: Joined,
}

impl PendingJoin {
    pub(super) fn new(ticket: JoinId, joined: Joined) -> Self {
        Self { ticket, was_member: false, joined }
    }

    /// The session is in `room` and asked where that stands.
    pub(super) fn of_member(room: RoomName, located: Joined) -> Self {
        Self { ticket: JoinId { room, serial: 0 }, was_member: true, joined: located }
    }

    /// The room.
    pub(super) fn room(&self) -> &RoomName {
        &self.ticket.room
    }

    /// Resolves when its room has answered.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::OutcomeUnknown`] where it does not answer any more.
    pub(super) async fn outcome(self) -> Result<(JoinOutcome, Option<Membership>), Fault> {
        let answer = self.joined.await.map_err(|_| Fault::outcome_unknown())?;
        Ok(match answer {
            Ok(membership) => (JoinOutcome::Joined((!self.was_member).then_some(self.ticket)), Some(membership)),
            Err(fault) if self.was_member => (JoinOutcome::Refused(fault), None),
            Err(fault) => (JoinOutcome::RefusedByRoom(self.ticket, fault), None),
        })
    }
}

/// What became of one join, as far as its room can tell.
pub(super) enum JoinOutcome {
    /// The session is in; without a ticket it was before.
    Joined(Option<JoinId>),
    /// The room was asked, and did not take it.
    RefusedByRoom(JoinId, Fault),
    /// The room was not asked.
    Refused(Fault),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_whose_room_was_left_meanwhile_is_current_no_more() {
        let room = |name| RoomName::parse(name, "room").unwrap();
        let mut pending = PendingJoins::default();
        let (first, other) = (pending.add(room("a")), pending.add(room("b")));
        pending.remove(&room("a"));
        let second = pending.add(room("a"));
        assert!(!pending.take(&first), "it is the second that counts");
        assert!(pending.take(&other) && pending.take(&second));
        assert!(!pending.take(&second) && pending.by_room.capacity() == 0);
    }
}
