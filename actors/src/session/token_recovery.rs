//! Recovery by token on `/chat` and `/ws`: a new session of the user takes over the chats of a suspended session, and the
//! messages that it missed. `suspension` suspends the session.

use std::sync::Arc;

use actix::fut::{ActorFutureExt, WrapFuture};

use super::pending_joins::{JoinOutcome, PendingJoin};
use super::{ReplyFuture, Session};
use crate::connection::kept::Kept;
use crate::connection::retained::Brought;
use crate::connection::{Remains, ReplySlot, SessionAddr};
use crate::events::ServerEvent;
use crate::events::chat::connection::{RecoveredSession, SessionState};
use crate::events::chat::messages::MessageNew;
use crate::events::json::Json;
use crate::events::timestamp::Iso;
use crate::hub::Hub;
use crate::model::fault::Fault;
use crate::model::ids::{RoomName, SessionId};
use crate::recovery::tokens::SuspendedSession;

/// The rooms and the offline queue that a session takes over from a suspended one.
struct Takeover {
    /// Joins that replace the suspended session, with their results.
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
        // Earlier joins went through the room actor, too. After this, their positions are known here.
        hub.rooms().caught_up(worker).await;
        let queued = match hub.rooms().release_slot(addr, session).await {
            Some(Remains::Messages(messages, dropped)) => (messages, dropped),
            Some(Remains::Tail { .. }) | None => Default::default(),
        };
        Self { joined, own, queued }
    }
}

impl Session {
    pub(super) fn state(&self) -> Result<SessionState, Fault> {
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
    pub(super) fn prepare_buffers(&mut self) {
        let bound = self.hub.settings().buffer_bound();
        self.handle.provide(MessageNew::NAME, Kept::new(bound));
        self.has_token = true;
    }

    /// Recovers `suspended` under the reply `reply_slot`. Messages of its chats follow the reply.
    pub(super) fn resume(
        &mut self,
        suspended: SuspendedSession,
        reply_slot: ReplySlot,
    ) -> ReplyFuture<RecoveredSession> {
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
        let running = actix::spawn(takeover);
        let last_activity = Iso(suspended.last_activity);
        Box::pin(running.into_actor(self).map(move |takeover, session, _| {
            let (messages, dropped) = session.queued_messages(takeover.map_err(|_| Fault::outcome_unknown())?);
            let state = SessionState { last_activity, ..session.state()? };
            Ok(RecoveredSession::new(state, messages, dropped))
        }))
    }

    /// The queued messages that this session has not received, and the number of messages that were dropped.
    fn queued_messages(&mut self, takeover: Takeover) -> (Vec<Json>, u64) {
        let Takeover { joined, own, queued: (queued, dropped) } = takeover;
        // For each room, the last publication to replay. This session received the later ones.
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
        (queued.iter().filter(is_missed).map(|queued| Json::text(queued.payload.bytes())).collect(), dropped)
    }
}
