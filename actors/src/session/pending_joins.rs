//! Joins without a reply yet. A client may leave a room and join it again before the reply to the first join.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::rooms::{JoinReply, Membership};
use crate::runtime::hash::Seed;

/// The pending joins, by room. Leaving a room removes its join.
#[derive(Debug, Default)]
pub(super) struct PendingJoins {
    /// `None` when no join is pending: a box, because most sessions have none.
    by_room: Option<Box<PendingByRoom>>,
    serial: u64,
}

/// The pending joins, each with its serial number.
#[derive(Debug, Default)]
struct PendingByRoom {
    serials: HashMap<RoomName, u64, Seed>,
    /// A request that waits for all of them, and is told by the drop. There is one at most, because it pauses the input.
    waiting: Option<oneshot::Sender<()>>,
}

impl PendingJoins {
    pub(super) fn add(&mut self, room: RoomName) -> JoinId {
        self.serial += 1;
        self.by_room.get_or_insert_default().serials.insert(room.clone(), self.serial);
        JoinId { room, serial: self.serial }
    }

    pub(super) fn remove(&mut self, room: &RoomName) {
        if let Some(joins) = &mut self.by_room {
            joins.serials.remove(room);
        }
        self.by_room.take_if(|joins| joins.serials.is_empty());
    }

    /// Resolves when no join is pending.
    pub(super) fn settled(&mut self) -> impl Future<Output = ()> + use<> {
        let waiting = self.by_room.as_mut().map(|joins| {
            let (settled, waiting) = oneshot::channel();
            joins.waiting = Some(settled);
            waiting
        });
        async move {
            if let Some(waiting) = waiting {
                // It is dropped, never sent.
                let _ = waiting.await;
            }
        }
    }

    /// Ends a join. `true` unless its room was left meanwhile.
    pub(super) fn take(&mut self, id: &JoinId) -> bool {
        let is_current = self.by_room.as_ref().and_then(|joins| joins.serials.get(&id.room)) == Some(&id.serial);
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
            Ok(membership) => {
                let joined = (!self.was_member).then_some((self.id, membership.number));
                (JoinOutcome::Joined(joined), Some(membership))
            }
            Err(fault) if self.was_member => (JoinOutcome::Refused(fault), None),
            Err(fault) => (JoinOutcome::RefusedByRoom(self.id, fault), None),
        })
    }
}

/// The result of one join.
pub(super) enum JoinOutcome {
    /// The session is in the room since this publication; `None`: it was in the room before.
    Joined(Option<(JoinId, u64)>),
    /// The room refused the session.
    RefusedByRoom(JoinId, Fault),
    /// The join was refused before it reached the room.
    Refused(Fault),
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn a_request_waits_until_no_join_is_pending() {
        let room = |name| RoomName::parse(name, "room").unwrap();
        let mut pending = PendingJoins::default();
        pending.settled().await;
        let first = pending.add(room("a"));
        pending.add(room("b"));
        let mut settled = Box::pin(pending.settled());
        assert!(pending.take(&first));
        assert!(settled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        pending.remove(&room("b"));
        settled.await;
    }

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
