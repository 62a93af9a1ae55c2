//! How a session gets a token for recovery, is parked when it is cut off, and goes on with one that was.

use actix::fut::{ActorFutureExt, WrapFuture, ready, wrap_future};
use tokio::sync::oneshot;

use super::pending_joins::{JoinOutcome, PendingJoin};
use super::{Handle, Outcome, ReplyFuture, Session};
use crate::connection::handed::Handed;
use crate::connection::kept::Kept;
use crate::connection::retained::Brought;
use crate::connection::{Remains, ReplySlot, SessionAddr};
use crate::events::ServerEvent;
use crate::events::chat::connection::{
    AskRecovery, AskSession, CreateSession, CreatedSession, Figures, Recover, RecoveredSession, SessionInfo,
    SessionState, Stats,
};
use crate::events::chat::messages::MessageNew;
use crate::events::json::Json;
use crate::events::moment::Iso;
use crate::model::close::Close;
use crate::model::fault::{Code, Fault};
use crate::model::ids::{RecoveryToken, RoomName};
use crate::recovery::tokens::{By, Claim, Holder, SuspendedSession};
use crate::recovery::{CountTokens, Discard, Issue, Redeem, Suspend};
use crate::runtime::mailbox::Full;

/// What became of the rooms of a session that was cut off, and what came for it.
struct Takeover {
    /// Those that were asked to take it instead of the parked seat.
    joined: Vec<(RoomName, JoinOutcome)>,
    /// Those that the session had joined by itself, or asked to.
    own: Vec<RoomName>,
    /// What came, and how much more there was.
    came: (Vec<Brought>, u64),
}

impl Session {
    pub(super) fn holder(&self, by: By) -> Result<Holder, Fault> {
        let identity = self.identity()?.clone();
        let (session, place) = (self.handle.session(), self.handle.addr());
        Ok(Holder { session, identity, by, place, expiry: self.handle.expiry(), connected_at: self.began_at })
    }

    fn state(&self) -> Result<SessionState, Fault> {
        let mut rooms: Vec<_> = self.rooms.iter().filter_map(RoomName::chat).collect();
        rooms.sort_unstable();
        Ok(SessionState {
            user_id: self.identity()?.user.clone(),
            socket_id: self.handle.session(),
            connected_at: Iso(self.began_at),
            last_activity: Iso(self.last_request_at),
            rooms,
            message_queue: [],
            recovery_token: self.recovery_token.clone(),
        })
    }

    /// It may have a token from here on.
    fn prepare_buffers(&mut self) {
        let bound = self.hub.settings().kept_max();
        self.handle.provide(MessageNew::NAME, Kept::new(bound), Handed::new(bound.frames));
        self.has_token = true;
    }

    /// Where the session has a token, and may come back, leaves its seat in its chats; or in all its rooms, where its client
    /// says what it got. While the hub is draining, nobody is told that it left.
    pub(super) fn suspend(&mut self, is_draining: bool) {
        if !std::mem::take(&mut self.has_token) {
            return;
        }
        let session = self.handle.session();
        let (by_pid, closed) = (self.handle.encoder().is_numbered(), self.handle.closed());
        let may_come_back = match by_pid {
            true => self.handle.has_tail() && closed.is_none_or(Close::may_be_caught_up),
            false => closed.is_none_or(Close::may_be_recovered),
        };
        let Some(identity) = self.identity.clone().filter(|_| may_come_back) else {
            self.handle.forgo();
            self.hub.recovery().post_departure(Discard(session));
            return;
        };
        let rooms: Vec<_> = self.rooms.extract_if(|room| by_pid || room.chat().is_some()).collect();
        self.handle.suspend();
        self.is_suspended = true;
        self.worker.session_table().note_suspended(self.handle.addr().slot);
        for room in rooms.iter().filter(|_| !is_draining) {
            self.hub.rooms().park(room.clone(), identity.user.clone(), self.handle.addr());
        }
        if by_pid {
            // Who goes on with it has its id, and may be there before this is gone.
            self.entry.unlist();
            (self.address_slot, self.user_slot) = (None, None);
        }
        let (place, last_activity) = (self.handle.addr(), self.last_request_at);
        self.hub.recovery().post_departure(Suspend { session, place, rooms, last_activity });
    }

    /// Goes on with `parked`, under the answer `owed`: its chats' messages come after that.
    fn resume(&mut self, suspended: SuspendedSession, reply_slot: ReplySlot) -> ReplyFuture<RecoveredSession> {
        let (place, parked_session) = (suspended.holder.place, suspended.holder.session);
        self.began_at = suspended.holder.connected_at;
        let (mut joining, mut own, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for room in suspended.rooms {
            if self.rooms.contains(&room) {
                own.push(room);
                continue;
            }
            match self.take_over_room(room.clone(), place) {
                Some(joined) => joining.push(joined),
                None => gone.push(room),
            }
        }
        self.handle.defer(joining.iter().map(|joining| joining.room().clone()), reply_slot);
        let (hub, worker) = (self.hub.clone(), self.handle.addr().worker);
        // A task of its own: the seat is given up also when the session ends meanwhile.
        let resumed = actix::spawn(async move {
            let mut joined = Vec::with_capacity(joining.len());
            for joining in joining {
                let room = joining.room().clone();
                let decision = joining.outcome().await.map_or_else(JoinOutcome::Refused, |(decision, _)| decision);
                if !matches!(decision, JoinOutcome::Joined(_)) {
                    gone.push(room.clone());
                }
                joined.push((room, decision));
            }
            for room in gone.iter().chain(&own) {
                let _ = hub.rooms().abandon(room.clone(), place).await;
            }
            // A join that was asked for right before has come through the same shard, and is known here after this.
            hub.rooms().caught_up(worker).await;
            let came = match hub.rooms().vacate(place, parked_session).await {
                Some(Remains::Messages(deliveries, dropped)) => (deliveries, dropped),
                Some(Remains::Tail { .. }) | None => Default::default(),
            };
            Takeover { joined, own, came }
        });
        let last_activity = Iso(suspended.last_activity);
        Box::pin(resumed.into_actor(self).map(move |resumed, session, _| {
            let Takeover { joined, own, came: (deliveries, dropped) } =
                resumed.map_err(|_| Fault::outcome_unknown())?;
            // Until which message of a room what is kept is still to be brought; what came later came here.
            let own =
                own.into_iter().filter_map(|room| session.handle.last_before_join(&room).map(|number| (room, number)));
            let mut until: Vec<(RoomName, u64)> = own.collect();
            for (room, decision) in joined {
                if session.confirm_join(room.as_str(), decision).is_ok() {
                    until.push((room, u64::MAX));
                }
            }
            let is_brought = |Brought { room, number, .. }: &&Brought| {
                until.iter().any(|(other, until)| other == room && number <= until)
            };
            let brought = deliveries.iter().filter(is_brought);
            let messages = brought.map(|delivery| Json::text(&delivery.bytes)).collect();
            let state = SessionState { last_activity, ..session.state()? };
            Ok(RecoveredSession::new(state, messages, dropped))
        }))
    }

    /// Joins the room of a parked seat instead of that; `None` where the session may not.
    pub(super) fn take_over_room(&mut self, room: RoomName, suspended: SessionAddr) -> Option<PendingJoin> {
        if self.rooms.contains(&room) || self.may_subscribe(&room).is_err() || self.is_at_room_limit() {
            return None;
        }
        self.request_room(room, None, Some(suspended)).ok()
    }
}

impl Handle<CreateSession> for Session {
    fn handle(&mut self, _: CreateSession) -> Result<Outcome<CreatedSession>, Fault> {
        let window_ms = self.hub.settings().recovery.window_ms;
        if window_ms == 0 {
            return Err(Fault::new(Code::Forbidden, "Connection recovery is turned off").by("recovery.window_secs"));
        }
        let (holder, token) = (self.holder(By::Token)?, RecoveryToken::random()?);
        let issue = Issue { holder, token: token.clone() };
        self.hub.recovery().post(issue).map_err(|Full(_)| Fault::overloaded())?;
        self.prepare_buffers();
        self.recovery_token = Some(token.clone());
        Ok(Outcome::Reply(CreatedSession::new(token, self.now() + window_ms)))
    }
}

impl Handle<Recover> for Session {
    fn handle(&mut self, request: Recover) -> Result<Outcome<RecoveredSession>, Fault> {
        let (reply, redeemed) = oneshot::channel();
        let (token, next) = (RecoveryToken::read(&request.recovery_token), RecoveryToken::random()?);
        let (claim, by) = (Claim::Token(self.identity()?.user.clone()), Some(self.handle.session()));
        self.hub.recovery().post(Redeem { token, claim, by, reply }).map_err(|Full(_)| Fault::overloaded())?;
        self.prepare_buffers();
        let redeemed = async move { redeemed.await.map_err(|_| Fault::outcome_unknown())? };
        Ok(Outcome::Exclusive(Box::new(move |reply_slot| {
            Box::pin(wrap_future::<_, Self>(redeemed).then(
                move |suspended: Result<SuspendedSession, Fault>, session, _| {
                    let taken = suspended.and_then(|suspended| {
                        let holder = session.holder(By::Token)?;
                        let holder = Holder { connected_at: suspended.holder.connected_at, ..holder };
                        Ok((suspended, holder))
                    });
                    match taken {
                        Ok((suspended, holder)) => {
                            session.hub.stats().recovered.add(1);
                            session.hub.recovery().post_departure(Issue { holder, token: next.clone() });
                            session.recovery_token = Some(next);
                            session.resume(suspended, reply_slot)
                        }
                        Err(fault) => Box::pin(ready(Err(fault))),
                    }
                },
            ))
        })))
    }
}

impl Handle<AskSession> for Session {
    fn handle(&mut self, _: AskSession) -> Result<Outcome<SessionInfo>, Fault> {
        Ok(Outcome::Reply(SessionInfo::new(self.state()?)))
    }
}

impl Handle<AskRecovery> for Session {
    fn handle(&mut self, _: AskRecovery) -> Result<Outcome<Stats>, Fault> {
        let (reply, counted) = oneshot::channel();
        self.hub.recovery().post(CountTokens(reply)).map_err(|Full(_)| Fault::overloaded())?;
        let hub = self.hub.clone();
        let answer = async move {
            let recovery_tokens = counted.await.map_err(|_| Fault::internal())?;
            let now = hub.clock().now_ms();
            Ok(Stats::new(Figures {
                active_sessions: hub.stats().sessions.get(),
                recovery_tokens,
                queued_messages: hub.stats().parked_messages.get(),
                // To a hundredth of a minute.
                average_session_age: (hub.registry().average_age_ms(now) / 600) as f64 / 100.0,
            }))
        };
        Ok(Outcome::Async(Box::pin(answer.into_actor(self))))
    }
}
