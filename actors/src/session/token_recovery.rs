//! Recovery by token on `/chat`: issues the token, suspends the session when its connection is cut, and recovers it.

use std::sync::Arc;

use actix::fut::{ActorFutureExt, WrapFuture, ready, wrap_future};

use super::pending_joins::{JoinOutcome, PendingJoin};
use super::{Handle, Outcome, ReplyFuture, Session};
use crate::connection::handed::Handed;
use crate::connection::kept::Kept;
use crate::connection::retained::Brought;
use crate::connection::{Remains, ReplySlot, SessionAddr};
use crate::events::ServerEvent;
use crate::events::chat::connection::{
    AskRecoveryStats, AskSession, CreateSession, CreatedSession, Recover, RecoveredSession, RecoveryMetrics,
    RecoveryStats, SessionInfo, SessionState,
};
use crate::events::chat::messages::MessageNew;
use crate::events::json::Json;
use crate::events::timestamp::Iso;
use crate::hub::Hub;
use crate::model::close::Close;
use crate::model::fault::{Code, Fault};
use crate::model::ids::{RecoveryToken, RoomName, SessionId};
use crate::recovery::tokens::{By, Holder, RecoveryClaim, SuspendedSession};
use crate::recovery::{CountTokens, Discard, Issue, Redeem, Suspend};
use crate::runtime::mailbox::Full;

/// The rooms and the offline queue that a session takes over from a suspended one.
struct Takeover {
    /// Rooms that were asked to replace the suspended session.
    joined: Vec<(RoomName, JoinOutcome)>,
    /// Rooms that the session had joined before.
    own: Vec<RoomName>,
    /// The queued messages, and how many were dropped.
    queued: (Vec<Brought>, u64),
}

impl Takeover {
    /// Waits for the joins, removes the suspended session from its other rooms, and takes its queue.
    async fn run(
        hub: Arc<Hub>,
        (addr, session): (SessionAddr, SessionId),
        worker: usize,
        pending: Vec<PendingJoin>,
        own: Vec<RoomName>,
        mut refused: Vec<RoomName>,
    ) -> Self {
        let mut joined = Vec::with_capacity(pending.len());
        for join in pending {
            let room = join.room().clone();
            let outcome = join.outcome().await.map_or_else(JoinOutcome::Refused, |(outcome, _)| outcome);
            if !matches!(outcome, JoinOutcome::Joined(_)) {
                refused.push(room.clone());
            }
            joined.push((room, outcome));
        }
        for room in refused.iter().chain(&own) {
            hub.rooms().discard_suspended(room.clone(), addr).await;
        }
        // Earlier joins went through the same shards. After this, their positions are known here.
        hub.rooms().caught_up(worker).await;
        let queued = match hub.rooms().release_slot(addr, session).await {
            Some(Remains::Messages(messages, dropped)) => (messages, dropped),
            Some(Remains::Tail { .. }) | None => Default::default(),
        };
        Self { joined, own, queued }
    }
}

impl Session {
    pub(super) fn holder(&self, by: By) -> Result<Holder, Fault> {
        let identity = self.identity()?.clone();
        let (session, place) = (self.handle.session(), self.handle.addr());
        Ok(Holder { session, identity, by, addr: place, expiry: self.handle.expiry(), connected_at: self.began_at })
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

    /// Prepares the buffers of a session with a recovery token.
    fn prepare_buffers(&mut self) {
        let bound = self.hub.settings().buffer_bound();
        self.handle.provide(MessageNew::NAME, Kept::new(bound), Handed::new(bound.frames));
        self.has_token = true;
    }

    /// Suspends the session if it has a token and its close allows recovery. Its handle stays in its chats, or in all its
    /// rooms when it has a private id. While the hub drains, the rooms get no notice.
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
        let (place, last_activity) = (self.handle.addr(), self.last_request_at);
        self.hub.recovery().post_departure(Suspend { session, addr: place, rooms, last_activity });
    }

    /// Recovers `suspended` under the reply `reply_slot`. Messages of its chats follow the reply.
    fn resume(&mut self, suspended: SuspendedSession, reply_slot: ReplySlot) -> ReplyFuture<RecoveredSession> {
        let (addr, session) = (suspended.holder.addr, suspended.holder.session);
        self.began_at = suspended.holder.connected_at;
        let (mut pending, mut own, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for room in suspended.rooms {
            if self.rooms.contains(&room) {
                own.push(room);
                continue;
            }
            match self.take_over_room(room.clone(), addr) {
                Some(join) => pending.push(join),
                None => refused.push(room),
            }
        }
        self.handle.defer(pending.iter().map(|join| join.room().clone()), reply_slot);
        let takeover =
            Takeover::run(self.hub.clone(), (addr, session), self.handle.addr().worker, pending, own, refused);
        // A task of its own: the suspended session is released even if this one ends meanwhile.
        let taken_over = actix::spawn(takeover);
        let last_activity = Iso(suspended.last_activity);
        Box::pin(taken_over.into_actor(self).map(move |takeover, session, _| {
            let (messages, dropped) = session.queued_messages(takeover.map_err(|_| Fault::outcome_unknown())?);
            let state = SessionState { last_activity, ..session.state()? };
            Ok(RecoveredSession::new(state, messages, dropped))
        }))
    }

    /// The queued messages that this session has not received, and the number of messages that were dropped.
    fn queued_messages(&mut self, takeover: Takeover) -> (Vec<Json>, u64) {
        let Takeover { joined, own, queued: (queued, dropped) } = takeover;
        // For each room, the last publication to replay. Later ones came to this session.
        let own = own.into_iter().filter_map(|room| self.handle.last_before_join(&room).map(|number| (room, number)));
        let mut until: Vec<(RoomName, u64)> = own.collect();
        for (room, outcome) in joined {
            if self.confirm_join(room.as_str(), outcome).is_ok() {
                until.push((room, u64::MAX));
            }
        }
        let is_missed = |Brought { room, number, .. }: &&Brought| {
            until.iter().any(|(other, until)| other == room && number <= until)
        };
        (queued.iter().filter(is_missed).map(|queued| Json::text(&queued.bytes)).collect(), dropped)
    }

    /// Joins a room in place of a suspended session; `None` when the session may not join.
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
        let (token, next) = (RecoveryToken::read(&request.recovery_token), RecoveryToken::random()?);
        let (claim, by) = (RecoveryClaim::Token(self.identity()?.user.clone()), Some(self.handle.session()));
        let redeemed = self.hub.recovery().ask(|reply| Redeem { token, claim, by, reply })?.for_change();
        self.prepare_buffers();
        let redeemed = async move { redeemed.await? };
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

impl Handle<AskRecoveryStats> for Session {
    fn handle(&mut self, _: AskRecoveryStats) -> Result<Outcome<RecoveryStats>, Fault> {
        let counted = self.hub.recovery().ask(CountTokens)?;
        let hub = self.hub.clone();
        let answer = async move {
            let recovery_tokens = counted.await?;
            let now = hub.clock().now_ms();
            Ok(RecoveryStats::new(RecoveryMetrics {
                active_sessions: hub.stats().sessions.get(),
                recovery_tokens,
                queued_messages: hub.stats().buffered_messages.get(),
                // To a hundredth of a minute.
                average_session_age: (hub.registry().average_age_ms(now) / 600) as f64 / 100.0,
            }))
        };
        Ok(Outcome::Async(Box::pin(answer.into_actor(self))))
    }
}
