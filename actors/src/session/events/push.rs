//! Handlers for the events of the push document: greeting on `/`; register, rooms and ping, also on other surfaces.

use actix::fut::{ActorFutureExt, WrapFuture};

use crate::events::Done;
use crate::events::community::Connected;
use crate::events::push::{AckedPing, JoinRoom, JoinedRoom, LeaveRoom, LeftRoom, Register, Registered, Welcome};
use crate::events::timestamp::Iso;
use crate::model::fault::{Code, Fault};
use crate::model::ids::RoomName;
use crate::session::{Handle, Outcome, Session};

impl Session {
    pub(in crate::session) fn greet_root(&self, now: i64) {
        let socket_id = self.handle.session();
        self.send_event(&Connected { socket_id, timestamp: Iso(now) }, now);
        self.send_event(&Welcome::new(socket_id, &self.hub.settings().environment, now), now);
    }

    pub(in crate::session) fn send_left_root(&self, room: &RoomName) {
        self.send_event(&LeftRoom::new(room.to_string()), self.now());
    }

    /// Notifies the client of a room that it lost access to.
    pub(in crate::session) fn send_closed_root(&self, room: &RoomName) {
        self.send_event(&LeftRoom::forbidden(room.to_string()), self.now());
    }
}

impl Handle<Register> for Session {
    fn handle(&mut self, request: Register) -> Result<Outcome<Registered>, Fault> {
        if self.identity()?.user != request.user_id {
            return Err(Fault::new(Code::Forbidden, "The token is another user's").by("token sub"));
        }
        Ok(Outcome::Reply(Registered::new(request.user_id)))
    }
}

impl Handle<JoinRoom> for Session {
    fn handle(&mut self, request: JoinRoom) -> Result<Outcome<JoinedRoom>, Fault> {
        let (rooms, joins) = self.request_joins(vec![request.room], "room");
        let answer = joins.map(|joins, _, _| {
            let (room, joined) = joins?.pop().ok_or_else(|| Fault::internal().caused_by("a join without a result"))?;
            joined.map(|_| JoinedRoom::new(room))
        });
        Ok(Outcome::Join(rooms, Box::pin(answer)))
    }
}

impl Handle<LeaveRoom> for Session {
    fn handle(&mut self, request: LeaveRoom) -> Result<Outcome<LeftRoom>, Fault> {
        RoomName::parse(&request.room, "room")?;
        let left = self.leave_rooms(std::slice::from_ref(&request.room));
        let answer = async move { left.await.map(|()| LeftRoom::new(request.room)) };
        Ok(Outcome::Async(Box::pin(answer.into_actor(self))))
    }
}

impl Handle<AckedPing> for Session {
    fn handle(&mut self, _: AckedPing) -> Result<Outcome<Done>, Fault> {
        Ok(Outcome::Reply(Done {}))
    }
}
