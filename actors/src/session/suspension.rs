//! The parts that both recoveries share, by token and by private id: the session's record in the recovery directory, and
//! its suspension when the connection is cut.

use super::Session;
use crate::connection::{Cut, Recoverability};
use crate::model::close::Close;
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::RoomName;
use crate::recovery::tokens::{By, Holder, Suspension};
use crate::recovery::{Discard, Suspend};
use crate::rooms::publication_log::RoomCursor;
use crate::rooms::{Access, Entering, SuspendSession, SuspendedRoom};

impl Session {
    /// The record of the session for [`Recovery`](crate::recovery::Recovery).
    pub(super) fn holder(&self, by: By) -> Result<Holder, Fault> {
        let identity = self.identity()?.clone();
        let (session, addr) = (self.handle.session(), self.handle.addr());
        Ok(Holder { session, identity, by, addr, expiry: self.handle.expiry(), connected_at: self.began_at })
    }

    /// Whether the session may recover what it misses in `room`.
    pub(super) fn is_recoverable_in(&self, room: &RoomName) -> bool {
        match self.handle.encoder().is_numbered() {
            true => self.recovery_token.is_some(),
            false => self.has_recoverable_chats && room.chat().is_some(),
        }
    }

    /// Suspends the session if it has a token and its close allows recovery. Its record has its chats, or all its rooms
    /// when it has a private id. While the hub drains, the rooms get no notice.
    pub(super) fn suspend(&mut self, is_draining: bool) {
        if !std::mem::take(&mut self.has_token) {
            return;
        }
        let session = self.handle.session();
        let (by_pid, closed) = (self.handle.encoder().is_numbered(), self.handle.closed());
        let is_recoverable = self.handle.recoverable() != Recoverability::None
            && match by_pid {
                true => closed.is_none_or(Close::may_be_caught_up),
                false => closed.is_none_or(Close::may_be_recovered),
            };
        let Some(identity) = self.identity.clone().filter(|_| is_recoverable) else {
            self.hub.recovery().post_departure(Discard(session));
            return;
        };
        let cut = self.handle.suspend();
        let rooms = self.rooms.extract_if(|room, _| by_pid || room.chat().is_some());
        let rooms = rooms.map(|(room, joined)| if by_pid { at_join(room, joined) } else { at_cut(room, joined, &cut) });
        let rooms = rooms.collect();
        if by_pid {
            // The recovered session has the same id, and may be listed before this one is dropped.
            self.entry.unlist();
            (self.address_slot, self.user_slot) = (None, None);
        }
        let (named, served, backlog, last_activity) = (self.named, cut.served, self.backlog, self.last_request_at);
        let recovery = self.hub.recovery().clone();
        let then = move |rooms| {
            let suspension = Suspension { rooms, named, served, backlog, last_activity };
            recovery.post_departure(Suspend { session, suspension });
        };
        let (user, addr) = (identity.user.clone(), self.handle.addr());
        self.hub.rooms().suspend(SuspendSession {
            user,
            addr,
            rooms,
            cursors: Vec::new(),
            is_draining,
            then: Box::new(then),
        });
        // From now on: at no time is a session neither connected nor suspended.
        self.hub.stats().suspended.add(1);
    }

    /// What the session does with each room of the record that it recovers. It may not join the rooms that are closed
    /// to `identity`, and those beyond the limit.
    pub(super) fn accesses(&self, identity: &Identity, rooms: Vec<RoomCursor>) -> Vec<(RoomCursor, Access)> {
        let mut free = self.hub.settings().rooms_per_session.saturating_sub(self.optional_rooms());
        let access = |cursor: RoomCursor| {
            let room = &cursor.room;
            let access = match self.rooms.get(room) {
                Some(&joined) => Access::Member(joined),
                None if !room.is_optional() => Access::Join,
                None if free == 0 || self.may_subscribe_as(identity, room).is_err() => Access::Denied,
                None => {
                    free -= 1;
                    Access::Join
                }
            };
            (cursor, access)
        };
        rooms.into_iter().map(access).collect()
    }

    /// This session as a member of the rooms that it recovers.
    pub(super) fn entering(&self) -> Result<Entering, Fault> {
        let (identity, connected_at, addr) = (self.identity()?.clone(), self.connected_at, self.handle.addr());
        Ok(Entering { identity, connected_at, addr })
    }
}

/// A client on `/` names what it received, so a room begins with the join. No message of it is counted.
fn at_join(room: RoomName, joined: u64) -> SuspendedRoom {
    SuspendedRoom { room, number: joined, messages: Some(0) }
}

/// A chat begins after the last message that was written.
fn at_cut(room: RoomName, joined: u64, cut: &Cut) -> SuspendedRoom {
    match cut.unwritten.iter().find(|first| first.room == room) {
        Some(first) => {
            SuspendedRoom { room, number: first.number.saturating_sub(1), messages: first.message.checked_sub(1) }
        }
        None => SuspendedRoom { room, number: joined.max(cut.served.position), messages: None },
    }
}

/// The rooms of a record that the session joins, with the position from which the client may miss something.
pub(super) fn joined(rooms: &[(RoomCursor, Access)]) -> impl Iterator<Item = (RoomName, u64)> {
    rooms.iter().filter(|(_, access)| *access == Access::Join).map(|(cursor, _)| (cursor.room.clone(), cursor.sequence))
}
