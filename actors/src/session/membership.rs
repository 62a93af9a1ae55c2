//! The rooms a session is in: how it joins and leaves them, whatever the surface it is asked on.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{AsyncContext, Context};
use ahash::AHashSet;
use tokio::sync::OwnedSemaphorePermit;

use super::pending_joins::{JoinOutcome, PendingJoin};
use super::{ReplyFuture, Session};
use crate::connection::SessionAddr;
use crate::events::Surface;
use crate::events::raw::Position;
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::RoomName;
use crate::presence::{Audience, Departed, Entered, LeftRoom};
use crate::rooms::{Joined, Left, Past, Return};
use crate::runtime::mailbox::Full;

/// Rooms that every session of a user is in from the start: everybody's and its user's own.
const OWN_ROOMS: usize = 2;

/// Rooms that a session looks at in one go: its worker has other work before the next.
const REVIEW_SLICE: usize = 500;

/// What became of joins that were asked for: each room as it was named, once, in that order. A room that keeps history says
/// where that stood, to those who may return.
pub(super) type Joins = Vec<(String, Result<Option<Box<Past>>, Fault>)>;

/// Joins that were asked for; nothing for a room that the session is in and that has nothing to say.
type RequestedJoins = Vec<(String, Result<Option<PendingJoin>, Fault>)>;

impl Session {
    /// Joins the rooms named, as far as the session may and is not in them; their names came in as `field`. Answers the
    /// rooms it was not in, and what comes of it. Each chat after the first is counted as a message: those in it are told.
    pub(super) fn request_joins(&mut self, names: Vec<String>, field: &str) -> (Vec<RoomName>, ReplyFuture<Joins>) {
        let asked = self.request_each(names, |session, name| session.request_join(name, field));
        let joining = asked.iter().filter_map(|(_, joining)| joining.as_ref().ok()?.as_ref());
        let rooms = joining.map(|joining| joining.room().clone()).collect();
        (rooms, self.join_results(asked))
    }

    /// As [`Session::ask_to_join`], for a client that may have missed something `since`; what it missed and what comes then
    /// waits for the next answer that is promised. Rooms that the session is in say where they stand, too.
    pub(super) fn request_joins_since(
        &mut self,
        names: Vec<String>,
        field: &str,
        mut since: BTreeMap<String, Position>,
    ) -> ReplyFuture<Joins> {
        let behind = self.handle.next_reply_slot();
        let asked = self.request_each(names, |session, name| {
            let returns = Return { since: since.remove(name), behind };
            session.request_join_since(name, field, returns)
        });
        self.join_results(asked)
    }

    fn request_each(
        &mut self,
        names: Vec<String>,
        mut ask: impl FnMut(&mut Self, &str) -> Result<Option<PendingJoin>, Fault>,
    ) -> RequestedJoins {
        let mut seen = AHashSet::new();
        let (mut asked, mut chats) = (Vec::new(), 0);
        for name in names {
            if seen.insert(name.clone()) {
                chats += usize::from(name.starts_with(RoomName::CHAT));
                let drawn = if chats > 1 { self.count_batch_part() } else { Ok(()) };
                let joining = drawn.and_then(|()| ask(self, &name));
                asked.push((name, joining));
            }
        }
        asked
    }

    fn join_results(&self, asked: RequestedJoins) -> ReplyFuture<Joins> {
        let settled = async move {
            let mut joins = Vec::with_capacity(asked.len());
            for (name, joining) in asked {
                let (decision, past) = match joining {
                    Ok(Some(joining)) => {
                        let (decision, membership) = joining.outcome().await?;
                        (decision, membership.and_then(|membership| membership.past))
                    }
                    Ok(None) => (JoinOutcome::Joined(None), None),
                    Err(fault) => (JoinOutcome::Refused(fault), None),
                };
                joins.push((name, decision, past));
            }
            Ok(joins)
        };
        let answer = settled.into_actor(self).map(|joins: Result<Vec<_>, Fault>, session, _| {
            let review = |(name, decision, past): (String, JoinOutcome, Option<Box<Past>>)| {
                let joined = session.confirm_join(&name, decision).map(|()| past);
                (name, joined)
            };
            Ok(joins?.into_iter().map(review).collect())
        });
        Box::pin(answer)
    }

    fn request_join_since(&mut self, name: &str, field: &str, returns: Return) -> Result<Option<PendingJoin>, Fault> {
        let room = RoomName::parse(name, field)?;
        self.may_subscribe(&room)?;
        if self.rooms.contains(&room) {
            let has_history = self.hub.settings().rules.history(&room).is_some();
            // A shard that has no time to say where it stands does not undo that the session is in.
            let located = has_history.then(|| self.hub.rooms().locate(room.clone(), self.handle.addr(), returns).ok());
            return Ok(located.flatten().map(|located| PendingJoin::of_member(room, located)));
        }
        self.check_room_count()?;
        self.request_room(room, Some(returns), None).map(Some)
    }

    /// `None` when the session is in the room already.
    pub(super) fn request_join(&mut self, name: &str, field: &str) -> Result<Option<PendingJoin>, Fault> {
        let room = RoomName::parse(name, field)?;
        self.may_subscribe(&room)?;
        if self.rooms.contains(&room) {
            return Ok(None);
        }
        self.check_room_count()?;
        self.request_room(room, None, None).map(Some)
    }

    /// Asks a room that the session is not in to take it; `instead_of` a parked seat, where there is one.
    pub(super) fn request_room(
        &mut self,
        room: RoomName,
        returns: Option<Return>,
        instead_of: Option<SessionAddr>,
    ) -> Result<PendingJoin, Fault> {
        let joined = self.join_room(room.clone(), returns, instead_of)?;
        Ok(PendingJoin::new(self.pending_joins.add(room), joined))
    }

    fn check_room_count(&self) -> Result<(), Fault> {
        if self.is_at_room_limit() {
            let most = self.hub.settings().rooms_per_session;
            let message = format!("A session may be in {most} rooms; leave one first").into();
            return Err(Fault { message, ..Fault::limit_reached("limits.rooms_per_session") });
        }
        Ok(())
    }

    /// Whether the session is in as many rooms as one may be.
    pub(super) fn is_at_room_limit(&self) -> bool {
        self.rooms.len().saturating_sub(OWN_ROOMS) >= self.hub.settings().rooms_per_session
    }

    /// Makes what became of a join true: the session is in no room that turned it away, nor in one that it may not be in
    /// any more. Who changed that meanwhile may not have found the session there, or had it leave already.
    pub(super) fn confirm_join(&mut self, name: &str, decision: JoinOutcome) -> Result<(), Fault> {
        self.apply_join_outcome(decision)?;
        let room = RoomName::parse(name, "room")?;
        self.may_subscribe(&room).inspect_err(|_| drop(self.leave_room(name)))
    }

    /// The session is in no room that turned it away.
    pub(super) fn apply_join_outcome(&mut self, decision: JoinOutcome) -> Result<(), Fault> {
        match decision {
            JoinOutcome::Joined(ticket) => {
                if let Some(ticket) = ticket {
                    self.pending_joins.take(&ticket);
                }
                Ok(())
            }
            JoinOutcome::RefusedByRoom(ticket, fault) => {
                // Who left meanwhile has told the room so, and may be in it by a later join.
                if self.pending_joins.take(&ticket) {
                    drop(self.leave_room(ticket.room.as_str()));
                }
                Err(fault)
            }
            JoinOutcome::Refused(fault) => Err(fault),
        }
    }

    /// Leaves the rooms named, as far as the session is in them. Resolves when it gets nothing of them any more.
    pub(super) fn leave_rooms(&mut self, names: &[String]) -> impl Future<Output = Result<(), Fault>> + use<> {
        let mut leaving = Vec::new();
        for name in names {
            if self.rooms.get(name.as_str()).is_some_and(RoomName::is_optional) {
                leaving.extend(self.leave_room(name));
            }
        }
        async move {
            for left in leaving {
                left.await.map_err(|_| Fault::outcome_unknown())?;
            }
            Ok(())
        }
    }

    /// Leaves the rooms that are closed to `identity`; which they are.
    pub(super) fn leave_forbidden_rooms(&mut self, identity: &Identity) -> Vec<RoomName> {
        let closed = |room: &&RoomName| room.is_optional() && self.may_subscribe_as(identity, room).is_err();
        let closed: Vec<RoomName> = self.rooms.iter().filter(closed).cloned().collect();
        for room in &closed {
            drop(self.leave_room(room.as_str()));
        }
        closed
    }

    /// Leaves the rooms that are closed to it by now, some at a time, and tells its client when it gets nothing of them any
    /// more. `turn` is given back at the end.
    pub(super) fn review_rooms(&mut self, turn: OwnedSemaphorePermit, ctx: &mut Context<Self>) {
        let rooms: Vec<_> = self.rooms.iter().filter(|room| room.is_optional()).cloned().collect();
        self.review_slice(rooms, turn, ctx);
    }

    fn review_slice(&mut self, mut rooms: Vec<RoomName>, turn: OwnedSemaphorePermit, ctx: &mut Context<Self>) {
        let next = rooms.split_off(rooms.len().saturating_sub(REVIEW_SLICE));
        let mut leaving = Vec::new();
        for room in next {
            if self.may_subscribe(&room).is_err()
                && let Some(left) = self.leave_room(room.as_str())
            {
                leaving.push((room, left));
            }
        }
        if !leaving.is_empty() {
            let all_left = async move {
                let mut all = Vec::with_capacity(leaving.len());
                for (room, left) in leaving {
                    all.push((room, left.await.unwrap_or(0)));
                }
                all
            };
            ctx.spawn(all_left.into_actor(self).map(|left, session, _| session.send_rooms_closed(left)));
        }
        if rooms.is_empty() {
            drop(turn);
        } else {
            ctx.run_later(Duration::ZERO, |session, ctx| session.review_slice(rooms, turn, ctx));
        }
    }

    pub(super) fn may_subscribe(&self, room: &RoomName) -> Result<(), Fault> {
        self.may_subscribe_as(self.identity()?, room)
    }

    fn may_subscribe_as(&self, identity: &Identity, room: &RoomName) -> Result<(), Fault> {
        let may_join = |chat: &str| self.hub.chats().may_join(chat, &identity.user);
        self.hub.settings().rules.subscribe(identity, room, may_join)
    }

    /// Says that the session left rooms because they are closed to it; each comes with its number of remaining users.
    pub(super) fn send_rooms_closed(&self, left: Vec<(RoomName, usize)>) {
        let (chats, topics): (Vec<_>, Vec<_>) = left.into_iter().partition(|(room, _)| room.chat().is_some());
        for (room, users) in chats {
            self.send_room_left(&room, users);
        }
        let topics: Vec<_> = topics.into_iter().map(|(room, _)| room).collect();
        match self.surface {
            Surface::Raw => self.send_closed_raw(&topics),
            Surface::Root => topics.iter().for_each(|room| self.send_closed_root(room)),
            // Its rooms are chats.
            Surface::Chat => {}
        }
    }

    /// Says that the session had to leave a room, for its client did not ask.
    pub(super) fn send_room_left(&self, room: &RoomName, users: usize) {
        match (self.surface, room.chat()) {
            (Surface::Raw, _) => self.send_left_raw(room),
            (Surface::Root, _) => self.send_left_root(room),
            (Surface::Chat, Some(chat)) => self.send_chat_left(chat, users),
            // Nobody but a chat's keeper shuts sessions out.
            (Surface::Chat, None) => {}
        }
    }

    /// Enters a room as its client `returns`, or `instead_of` a parked seat.
    pub(super) fn join_room(
        &mut self,
        room: RoomName,
        returns: Option<Return>,
        instead_of: Option<SessionAddr>,
    ) -> Result<Joined, Fault> {
        let (identity, at, place) = (self.identity()?.clone(), self.connected_at, self.handle.addr());
        let joined = match returns {
            Some(returns) => self.hub.rooms().return_to(room.clone(), identity, at, place, returns)?,
            None => self.hub.rooms().join(room.clone(), identity, at, place, instead_of)?,
        };
        self.rooms.insert(room.clone());
        self.update_presence_on_join(room);
        Ok(joined)
    }

    /// Leaves a room; `None` when it is not in it. The receiver resolves when it gets nothing of it any more.
    pub(super) fn leave_room(&mut self, room: &str) -> Option<Left> {
        let user = self.identity.as_ref()?.user.clone();
        let room = self.rooms.take(room)?;
        self.pending_joins.remove(&room);
        self.stop_typing_in(&room);
        self.update_presence_on_leave(room.clone());
        Some(self.hub.rooms().leave(room, user, self.handle.addr()))
    }

    /// Tells presence of a room that the session entered, where that matters.
    pub(super) fn update_presence_on_join(&self, room: RoomName) {
        let Some(identity) = &self.identity else { return };
        if room.as_str() == RoomName::PRESENCE {
            self.handle.set_presence_listener(Some((identity.user.clone(), self.surface)));
        } else if self.shares_presence(&room)
            && let Err(Full(_)) = self.hub.presence_mailbox().post(Entered(identity.clone(), room))
        {
            self.hub.stats().presence_suppressed.add(1);
        }
    }

    /// Tells presence of a room that the session left, where that matters.
    fn update_presence_on_leave(&self, room: RoomName) {
        if room.as_str() == RoomName::PRESENCE {
            if self.surface == Surface::Raw {
                self.handle.set_presence_listener(None);
            }
        } else if self.shares_presence(&room)
            && let Ok(identity) = self.identity()
        {
            self.hub.presence_mailbox().post_departure(LeftRoom(identity.user.clone(), room));
        }
    }

    fn shares_presence(&self, room: &RoomName) -> bool {
        self.hub.settings().presence.audience == Audience::SharedRooms && !room.is_internal()
    }

    /// Leaves every room and tells presence; the first call does it. In its chats it may leave its seat. When the hub goes
    /// away, all that goes with it: those who are still there do not hear of each one who is not.
    pub(super) fn depart(&mut self) {
        let is_draining = self.hub.accepting().is_err();
        if !is_draining {
            self.stop_typing();
        }
        self.suspend(is_draining);
        if is_draining {
            return;
        }
        let Some(identity) = &self.identity else { return };
        let place = self.handle.addr();
        self.pending_joins = super::pending_joins::PendingJoins::default();
        for room in std::mem::take(&mut self.rooms) {
            drop(self.hub.rooms().leave(room, identity.user.clone(), place));
        }
        if std::mem::take(&mut self.is_present) {
            self.hub.presence_mailbox().post_departure(Departed(identity.clone()));
        }
    }
}
