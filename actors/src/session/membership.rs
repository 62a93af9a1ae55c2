//! The rooms of a session: joins and leaves on all surfaces.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{AsyncContext, Context};
use ahash::AHashSet;
use tokio::sync::OwnedSemaphorePermit;

use super::pending_joins::{JoinOutcome, PendingJoin};
use super::{ReplyFuture, Session};
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::RoomName;
use crate::model::position::Position;
use crate::model::surface::Surface;
use crate::presence::{Departed, EnteredRoom, ExitedRoom, PresenceAudience};
use crate::rooms::{HistoryPosition, JoinReply, JoinSince, LeaveReply};
use crate::runtime::mailbox::Full;

/// Rooms of every session with a user: the room of everybody and the room of the user.
const OWN_ROOMS: usize = 2;

/// Rooms that a session checks in one step. Other work of the worker runs between two steps.
const REVIEW_SLICE: usize = 500;

/// The results of joins: each requested name once, in order. A room with history returns its position.
pub(super) type Joins = Vec<(String, Result<Option<Box<HistoryPosition>>, Fault>)>;

/// Requested joins; `None` when the session is in the room already.
type RequestedJoins = Vec<(String, Result<Option<PendingJoin>, Fault>)>;

impl Session {
    /// Requests to join rooms, named in `field`. Returns the new rooms and the results. Each chat after the
    /// first counts as a message, because its members are notified.
    pub(super) fn request_joins(&mut self, names: Vec<String>, field: &str) -> (Vec<RoomName>, ReplyFuture<Joins>) {
        let requested = self.request_each(names, |session, name| session.request_join(name, field));
        let joining = requested.iter().filter_map(|(_, joining)| joining.as_ref().ok()?.as_ref());
        let rooms = joining.map(|joining| joining.room().clone()).collect();
        (rooms, self.join_results(requested))
    }

    /// As [`Session::request_joins`], with the positions of a returning client. Missed and new messages follow the next
    /// reply. A room that the session is in returns its position too.
    pub(super) fn request_joins_since(
        &mut self,
        names: Vec<String>,
        field: &str,
        mut since: BTreeMap<String, Position>,
    ) -> ReplyFuture<Joins> {
        let behind = self.handle.next_reply_slot();
        let requested = self.request_each(names, |session, name| {
            let returns = JoinSince { since: since.remove(name), reply_slot: behind };
            session.request_join_since(name, field, returns)
        });
        self.join_results(requested)
    }

    fn request_each(
        &mut self,
        names: Vec<String>,
        mut request: impl FnMut(&mut Self, &str) -> Result<Option<PendingJoin>, Fault>,
    ) -> RequestedJoins {
        let mut seen = AHashSet::new();
        let (mut requested, mut chats) = (Vec::new(), 0);
        for name in names {
            if seen.insert(name.clone()) {
                chats += usize::from(name.starts_with(RoomName::CHAT));
                let counted = if chats > 1 { self.count_batch_part() } else { Ok(()) };
                let joining = counted.and_then(|()| request(self, &name));
                requested.push((name, joining));
            }
        }
        requested
    }

    fn join_results(&self, requested: RequestedJoins) -> ReplyFuture<Joins> {
        let settled = async move {
            let mut joins = Vec::with_capacity(requested.len());
            for (name, joining) in requested {
                let (decision, past) = match joining {
                    Ok(Some(joining)) => {
                        let (decision, membership) = joining.outcome().await?;
                        (decision, membership.and_then(|membership| membership.history))
                    }
                    Ok(None) => (JoinOutcome::Joined(None), None),
                    Err(fault) => (JoinOutcome::Refused(fault), None),
                };
                joins.push((name, decision, past));
            }
            Ok(joins)
        };
        let answer = settled.into_actor(self).map(|joins: Result<Vec<_>, Fault>, session, _| {
            let review = |(name, decision, past): (String, JoinOutcome, Option<Box<HistoryPosition>>)| {
                let joined = session.confirm_join(&name, decision).map(|()| past);
                (name, joined)
            };
            Ok(joins?.into_iter().map(review).collect())
        });
        Box::pin(answer)
    }

    fn request_join_since(
        &mut self,
        name: &str,
        field: &str,
        returns: JoinSince,
    ) -> Result<Option<PendingJoin>, Fault> {
        let room = RoomName::parse(name, field)?;
        self.may_subscribe(&room)?;
        if self.rooms.contains_key(&room) {
            let has_history = self.hub.settings().rules.history(&room).is_some();
            // The session stays in the room even if the room actor is overloaded.
            let located = has_history.then(|| self.hub.rooms().locate(room.clone(), self.handle.addr(), returns).ok());
            return Ok(located.flatten().map(|located| PendingJoin::of_member(room, located)));
        }
        self.check_room_count()?;
        self.request_room(room, Some(returns)).map(Some)
    }

    /// `None` when the session is in the room already.
    pub(super) fn request_join(&mut self, name: &str, field: &str) -> Result<Option<PendingJoin>, Fault> {
        let room = RoomName::parse(name, field)?;
        self.may_subscribe(&room)?;
        if self.rooms.contains_key(&room) {
            return Ok(None);
        }
        self.check_room_count()?;
        self.request_room(room, None).map(Some)
    }

    /// Requests to join a room.
    fn request_room(&mut self, room: RoomName, returns: Option<JoinSince>) -> Result<PendingJoin, Fault> {
        let joined = self.join_room(room.clone(), returns)?;
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

    /// Whether the session is in as many rooms as allowed.
    fn is_at_room_limit(&self) -> bool {
        self.optional_rooms() >= self.hub.settings().rooms_per_session
    }

    /// The number of rooms that the session requested.
    pub(super) fn optional_rooms(&self) -> usize {
        self.rooms.len().saturating_sub(OWN_ROOMS)
    }

    /// Applies a join, and leaves the room if access to it was revoked meanwhile.
    pub(super) fn confirm_join(&mut self, name: &str, decision: JoinOutcome) -> Result<(), Fault> {
        self.apply_join_outcome(decision)?;
        let room = RoomName::parse(name, "room")?;
        self.may_subscribe(&room).inspect_err(|_| drop(self.leave_room(name)))
    }

    /// Applies a join: a room that refused the session is left.
    fn apply_join_outcome(&mut self, decision: JoinOutcome) -> Result<(), Fault> {
        match decision {
            JoinOutcome::Joined(joined) => {
                if let Some((id, number)) = joined
                    && self.pending_joins.take(&id)
                {
                    self.rooms.insert(id.room, number);
                }
                Ok(())
            }
            JoinOutcome::RefusedByRoom(id, fault) => {
                // If the client left meanwhile, there is nothing to leave, and a later join may be valid.
                if self.pending_joins.take(&id) {
                    drop(self.leave_room(id.room.as_str()));
                }
                Err(fault)
            }
            JoinOutcome::Refused(fault) => Err(fault),
        }
    }

    /// Leaves the named rooms. Resolves when the session receives no more of their messages.
    pub(super) fn leave_rooms(&mut self, names: &[String]) -> impl Future<Output = Result<(), Fault>> + use<> {
        let mut leaving = Vec::new();
        for name in names {
            if self.rooms.get_key_value(name.as_str()).is_some_and(|(room, _)| room.is_optional()) {
                leaving.extend(self.leave_room(name));
            }
        }
        async move {
            for left in leaving {
                left.await?;
            }
            Ok(())
        }
    }

    /// Leaves the rooms that `identity` may not join. Returns them.
    pub(super) fn leave_forbidden_rooms(&mut self, identity: &Identity) -> Vec<RoomName> {
        let closed = |room: &&RoomName| room.is_optional() && self.may_subscribe_as(identity, room).is_err();
        let closed: Vec<RoomName> = self.rooms.keys().filter(closed).cloned().collect();
        for room in &closed {
            drop(self.leave_room(room.as_str()));
        }
        closed
    }

    /// Leaves forbidden rooms in steps, and notifies the client. `turn` is released at the end.
    pub(super) fn review_rooms(&mut self, turn: OwnedSemaphorePermit, ctx: &mut Context<Self>) {
        let rooms: Vec<_> = self.rooms.keys().filter(|room| room.is_optional()).cloned().collect();
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

    pub(super) fn may_subscribe_as(&self, identity: &Identity, room: &RoomName) -> Result<(), Fault> {
        let may_join = |chat: &str| self.hub.chats().may_join(chat, &identity.user);
        self.hub.settings().rules.subscribe(identity, room, may_join)
    }

    /// Notifies the client of rooms that it lost access to, each with its remaining users.
    pub(super) fn send_rooms_closed(&self, left: Vec<(RoomName, usize)>) {
        let (chats, topics): (Vec<_>, Vec<_>) = left.into_iter().partition(|(room, _)| room.chat().is_some());
        for (room, users) in chats {
            self.send_room_left(&room, users);
        }
        let topics: Vec<_> = topics.into_iter().map(|(room, _)| room).collect();
        match self.surface {
            Surface::Raw => self.send_closed_raw(&topics),
            Surface::Root => topics.iter().for_each(|room| self.send_closed_root(room)),
            // All rooms on `/chat` are chats.
            Surface::Chat => {}
        }
    }

    /// Notifies the client that it was removed from a room.
    pub(super) fn send_room_left(&self, room: &RoomName, users: usize) {
        match (self.surface, room.chat()) {
            (Surface::Raw, _) => self.send_left_raw(room),
            (Surface::Root, _) => self.send_left_root(room),
            (Surface::Chat, Some(chat)) => self.send_chat_left(chat, users),
            // Only chats remove sessions.
            (Surface::Chat, None) => {}
        }
    }

    /// Joins a room, from a position if given.
    pub(super) fn join_room(&mut self, room: RoomName, returns: Option<JoinSince>) -> Result<JoinReply, Fault> {
        let entering = self.entering()?;
        // Until the reply has the number of the join, the number before the request stands for it.
        let head = self.hub.rooms().head();
        let recoverable_after = self.is_recoverable_in(&room).then_some(head);
        let joined = self.hub.rooms().join(room.clone(), entering, recoverable_after, returns)?;
        self.rooms.insert(room.clone(), head);
        self.update_presence_on_join(room);
        Ok(joined)
    }

    /// Leaves a room; `None` when the session is not in it. Resolves when no more of its messages arrive.
    pub(super) fn leave_room(&mut self, room: &str) -> Option<LeaveReply> {
        let user = self.identity.as_ref()?.user.clone();
        let (room, _) = self.rooms.remove_entry(room)?;
        self.pending_joins.remove(&room);
        self.stop_typing_in(&room);
        self.update_presence_on_leave(room.clone());
        let was_recoverable = self.is_recoverable_in(&room);
        self.hub.rooms().leave(room, user, self.handle.addr(), was_recoverable).ok()
    }

    /// Updates presence after a join.
    pub(super) fn update_presence_on_join(&self, room: RoomName) {
        let Some(identity) = &self.identity else { return };
        if room.as_str() == RoomName::PRESENCE {
            self.handle.set_presence_listener(Some((identity.user.clone(), self.surface)));
        } else if self.shares_presence(&room)
            && let Err(Full(_)) = self.hub.presence_mailbox().post(EnteredRoom(identity.clone(), room))
        {
            self.hub.stats().presence_suppressed.add(1);
        }
    }

    /// Updates presence after a leave.
    fn update_presence_on_leave(&self, room: RoomName) {
        if room.as_str() == RoomName::PRESENCE {
            if self.surface == Surface::Raw {
                self.handle.set_presence_listener(None);
            }
        } else if self.shares_presence(&room)
            && let Ok(identity) = self.identity()
        {
            self.hub.presence_mailbox().post_departure(ExitedRoom(identity.user.clone(), room));
        }
    }

    fn shares_presence(&self, room: &RoomName) -> bool {
        self.hub.settings().presence.audience == PresenceAudience::SharedRooms && !room.is_internal()
    }

    /// Leaves all rooms and presence; only the first call has an effect. A recoverable session is suspended instead.
    /// While the hub drains, rooms and presence get no notice.
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
        let addr = self.handle.addr();
        self.pending_joins = super::pending_joins::PendingJoins::default();
        for (room, _) in std::mem::take(&mut self.rooms) {
            let was_recoverable = self.is_recoverable_in(&room);
            drop(self.hub.rooms().leave(room, identity.user.clone(), addr, was_recoverable));
        }
        if std::mem::take(&mut self.is_present) {
            // Before the departure: no client may receive `offline` and then find the user in the registry.
            self.entry.unlist();
            self.hub.presence_mailbox().post_departure(Departed(identity.clone()));
        }
    }
}
