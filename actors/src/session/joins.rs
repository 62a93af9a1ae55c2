//! Joins that a session asked for and that are not answered yet: a room may be left, and joined again, before the first
//! join is answered.

use std::collections::HashMap;

use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::rooms::{JoinReply, Membership};
use crate::runtime::hash::Seed;

/// The joins that are not answered, by their rooms. A room that is left meanwhile is not among them.
#[derive(Debug, Default)]
pub(super) struct PendingJoins {
    by_room: HashMap<RoomName, u64, Seed>,
    serial: u64,
}

impl PendingJoins {
    pub(super) fn add(&mut self, room: RoomName) -> Ticket {
        self.serial += 1;
        self.by_room.insert(room.clone(), self.serial);
        Ticket { room, serial: self.serial }
    }

    pub(super) fn remove(&mut self, room: &RoomName) {
        self.by_room.remove(room);
        if self.by_room.is_empty() {
            self.by_room = HashMap::default();
        }
    }

    /// The join is answered; whether its room was not left meanwhile.
    pub(super) fn take(&mut self, ticket: &Ticket) -> bool {
        let is_current = self.by_room.get(&ticket.room) == Some(&ticket.serial);
        if is_current {
            self.remove(&ticket.room);
        }
        is_current
    }
}

/// Which of the session's joins it is: a room may be left and joined again before the first join is answered.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) room: RoomName,
    serial: u64,
}

/// A join that its room was asked for.
#[derive(Debug)]
pub(super) struct Joining {
    ticket: Ticket,
    /// The session was in the room before, and asks where that stands.
    was_in: bool,
    joined: JoinReply,
}

impl Joining {
    pub(super) fn new(ticket: Ticket, joined: JoinReply) -> Self {
        Self { ticket, was_in: false, joined }
    }

    /// The session is in `room` and asked where that stands.
    pub(super) fn of_member(room: RoomName, located: JoinReply) -> Self {
        Self { ticket: Ticket { room, serial: 0 }, was_in: true, joined: located }
    }

    /// The room.
    pub(super) fn room(&self) -> &RoomName {
        &self.ticket.room
    }

    /// Resolves when its room has answered.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::OutcomeUnknown`] where it does not answer any more.
    pub(super) async fn answer(self) -> Result<(Verdict, Option<Membership>), Fault> {
        let answer = self.joined.await?;
        Ok(match answer {
            Ok(membership) => (Verdict::In((!self.was_in).then_some(self.ticket)), Some(membership)),
            Err(fault) if self.was_in => (Verdict::Refused(fault), None),
            Err(fault) => (Verdict::TurnedAway(self.ticket, fault), None),
        })
    }
}

/// What became of one join, as far as its room can tell.
pub(super) enum Verdict {
    /// The session is in; without a ticket it was before.
    In(Option<Ticket>),
    /// The room was asked, and did not take it.
    TurnedAway(Ticket, Fault),
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
