//! The parts that both recoveries share, by token and by private id: the session's record in the recovery directory, its
//! suspension when the connection is cut, and the joins in its place.

use super::Session;
use super::pending_joins::PendingJoin;
use crate::connection::SessionAddr;
use crate::model::close::Close;
use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::recovery::tokens::{By, Holder};
use crate::recovery::{Discard, Suspend};

impl Session {
    /// The record of this session for [`Recovery`](crate::recovery::Recovery).
    pub(super) fn holder(&self, by: By) -> Result<Holder, Fault> {
        let identity = self.identity()?.clone();
        let (session, addr) = (self.handle.session(), self.handle.addr());
        Ok(Holder { session, identity, by, addr, expiry: self.handle.expiry(), connected_at: self.began_at })
    }

    /// Suspends the session if it has a token and its close allows recovery. Its handle stays in its chats, or in all
    /// its rooms when it has a private id. While the hub drains, the rooms get no notice.
    pub(super) fn suspend(&mut self, is_draining: bool) {
        if !std::mem::take(&mut self.has_token) {
            return;
        }
        let session = self.handle.session();
        let (by_pid, closed) = (self.handle.encoder().is_numbered(), self.handle.closed());
        let is_recoverable = match by_pid {
            true => self.handle.has_tail() && closed.is_none_or(Close::may_be_caught_up),
            false => closed.is_none_or(Close::may_be_recovered),
        };
        let Some(identity) = self.identity.clone().filter(|_| is_recoverable) else {
            self.handle.forgo();
            self.hub.recovery().post_departure(Discard(session));
            return;
        };
        let rooms: Vec<_> = self.rooms.extract_if(|room| by_pid || room.chat().is_some()).collect();
        self.handle.suspend();
        self.is_suspended = true;
        self.worker.session_table().note_suspended(self.handle.addr().slot);
        for room in rooms.iter().filter(|_| !is_draining) {
            self.hub.rooms().suspend(room.clone(), identity.user.clone(), self.handle.addr());
        }
        if by_pid {
            // The recovered session has the same id, and may be listed before this one is dropped.
            self.entry.unlist();
            (self.address_slot, self.user_slot) = (None, None);
        }
        let (addr, last_activity) = (self.handle.addr(), self.last_request_at);
        self.hub.recovery().post_departure(Suspend { session, addr, rooms, last_activity });
    }

    /// Joins a room in place of a suspended session; `None` when the session may not join.
    pub(super) fn take_over_room(&mut self, room: RoomName, suspended: SessionAddr) -> Option<PendingJoin> {
        if self.rooms.contains(&room) || self.may_subscribe(&room).is_err() || self.is_at_room_limit() {
            return None;
        }
        self.request_room(room, None, Some(suspended)).ok()
    }
}
