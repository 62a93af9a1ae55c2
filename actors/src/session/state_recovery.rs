//! Recovers a session on `/` after its connection was cut: Socket.IO's connection state recovery. The client names the
//! session's private id (pid) and the number of the last publication that it received: Socket.IO's offset. It gets its id,
//! its rooms and the missed messages, or a message that the recovery failed.

use std::collections::VecDeque;
use std::sync::Arc;

use super::pending_joins::{JoinOutcome, PendingJoin};
use super::{AuthState, Session, authentication};
use crate::connection::retained::Brought;
use crate::connection::tail::{self, Tail};
use crate::connection::{Remains, SessionAddr};
use crate::events::community::Connected;
use crate::events::push::{LeftRoom, Welcome};
use crate::events::recovery::{ReconnectStatus, StateRecovered, StateRecoveryFailed};
use crate::events::timestamp::Iso;
use crate::events::{ServerEvent, json};
use crate::hub::Hub;
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::{RecoveryToken, RoomName, SessionId};
use crate::publication::Payload;
use crate::recovery::messages::Restore;
use crate::recovery::tokens::{By, RecoveryClaim, SuspendedSession, TokenHash};
use crate::recovery::{GiveUp, Issue, Redeem};
use crate::runtime::mailbox::Full;

/// A client's request to recover its session.
#[derive(Debug, Clone)]
pub struct RecoveryRequest {
    /// The session's private id (pid).
    pub pid: RecoveryToken,
    /// The number of the last publication that the client received; `None` if it received none.
    pub last: Option<u64>,
}

/// The result of redeeming a private id.
#[derive(Debug)]
pub(super) struct RecoveryAttempt {
    pub(super) request: RecoveryRequest,
    /// The suspended session and its user; `None` when it cannot be recovered.
    pub(super) suspended: Option<(SuspendedSession, Arc<Identity>)>,
    attempt: u32,
}

impl RecoveryAttempt {
    /// Redeems the private id at [`Recovery`](crate::recovery::Recovery).
    pub(super) async fn redeem(hub: &Arc<Hub>, request: RecoveryRequest, auth_state: &AuthState) -> Self {
        let user = match auth_state {
            AuthState::Known(identity) => Some(identity.user.clone()),
            AuthState::Guest => None,
        };
        let redeem = |reply| Redeem { token: request.pid.clone(), claim: RecoveryClaim::Pid(user), by: None, reply };
        let redeemed = match hub.recovery().ask(redeem) {
            Ok(reply) => reply.await.and_then(|redeemed| redeemed),
            Err(fault) => Err(fault),
        };
        let attempt = redeemed.as_ref().map_or(1, |suspended| suspended.attempt);
        let mut suspended = None;
        if let Ok(redeemed) = redeemed {
            let clock = hub.clock();
            let (identity, expiry) = match auth_state {
                AuthState::Known(identity) => (identity.clone(), clock.expiry(identity.expires_at)),
                AuthState::Guest => (redeemed.holder.identity.clone(), redeemed.holder.expiry),
            };
            let is_over = expiry.is_over(clock.now_ms(), clock.elapsed_ms());
            if !is_over && hub.revoked().check(&identity).is_ok() {
                suspended = Some((redeemed, identity));
            } else {
                hub.recovery().post_departure(GiveUp(request.pid.clone()));
                discard_suspended(hub, redeemed.holder.addr, redeemed.holder.session, redeemed.rooms).await;
            }
        }
        Self { request, suspended, attempt }
    }

    /// A failed attempt, for a session that has no recovery.
    pub(super) fn unrecoverable(request: RecoveryRequest) -> Self {
        Self { request, suspended: None, attempt: 1 }
    }
}

/// Removes a suspended session from `rooms` and frees its slot. Returns the contents of its buffers.
async fn discard_suspended(hub: &Hub, addr: SessionAddr, session: SessionId, rooms: Vec<RoomName>) -> Option<Remains> {
    for room in rooms {
        hub.rooms().discard_suspended(room, addr).await;
    }
    hub.rooms().release_slot(addr, session).await
}

/// The rooms of a suspended session, except the room of everybody and the room of the user.
struct ReplacedRooms {
    /// Joins that replace the suspended session by this one.
    pending: Vec<PendingJoin>,
    /// Rooms that the user may no longer join.
    closed: Vec<RoomName>,
}

impl Session {
    /// The private id (pid) for recovery; `None` on `/chat` and `/ws`, for a client on `/` without offsets, and when
    /// recovery is turned off.
    pub fn pid(&self) -> Option<&RecoveryToken> {
        self.recovery_token.as_ref().filter(|_| self.handle.encoder().is_numbered())
    }

    /// Whether the session was recovered. Then the client knows the private id already.
    pub fn is_recovered(&self) -> bool {
        self.began_at != self.connected_at
    }

    /// Starts to buffer sent publications, so that `pid` can recover the session once it has a user. `last` is the last
    /// publication that the client received before.
    pub(super) fn enable_recovery(&mut self, pid: RecoveryToken, last: Option<u64>) {
        self.handle.remember(Tail::behind(last, self.hub.settings().buffer_bound()));
        self.recovery_token = Some(pid);
    }

    /// Registers the private id at [`Recovery`](crate::recovery::Recovery). Needs a user.
    pub(super) fn issue_pid(&mut self) {
        let Some(token) = self.pid().cloned() else { return };
        let by = By::Pid { came_as_guest: self.started_as_guest };
        let issued = self.holder(by).and_then(|holder| {
            self.hub.recovery().post(Issue { holder, token }).map_err(|Full(_)| Fault::overloaded())
        });
        self.has_token = issued.is_ok();
    }

    /// Recovers `suspended` for `identity`: takes over its rooms, and sends the greeting and the missed messages.
    /// Messages that arrive meanwhile follow.
    pub(super) async fn recover(
        &mut self,
        attempt: RecoveryAttempt,
        suspended: SuspendedSession,
        identity: Arc<Identity>,
    ) -> Result<(), Fault> {
        let (hub, addr, reply_slot) = (self.hub.clone(), suspended.holder.addr, self.handle.reserve(0));
        let own = [RoomName::everybody(), RoomName::of_user(&identity.user)];
        self.handle.defer(suspended.rooms.iter().chain(&own).cloned(), reply_slot);
        let own = own.map(|room| (room.clone(), suspended.rooms.contains(&room).then_some(addr)));
        let attached = self.take_user_slot(&identity).and_then(|()| self.attach_user_in(identity.clone(), own.clone()));
        let joins = match attached {
            Ok(joins) => joins,
            Err(fault) => {
                // The session stays suspended for the client's next attempt.
                let token = TokenHash::of(&attempt.request.pid);
                hub.recovery().post_departure(Restore(vec![(token, suspended, hub.settings().recovery.window_ms)]));
                return Err(fault);
            }
        };
        if self.started_as_guest {
            // The client sends no token again, so the first token's expiry still applies.
            self.handle.expire_at(suspended.holder.expiry);
        }
        self.began_at = suspended.holder.connected_at;
        let session = suspended.holder.session;
        let mut rooms = suspended.rooms;
        rooms.retain(|room| !own.iter().any(|(own, _)| own == room));
        let ReplacedRooms { pending, closed } = self.take_over_rooms(rooms, addr);
        self.issue_pid();
        let failed = self.await_replaced_rooms(pending).await;
        let all_joined = failed.is_empty();
        let joined = authentication::wait_for_joins(joins).await;
        let left = failed.into_iter().chain(closed.iter().cloned()).collect();
        let remains = discard_suspended(&hub, addr, session, left).await.filter(|_| all_joined);
        let joined_at = joined?;
        let payloads = match missed(attempt.request.last, remains) {
            Some((missed, is_confirmed)) => {
                // Unread notifications follow unless the client is known to have received them.
                self.unread_since = joined_at.filter(|_| !is_confirmed);
                self.send_missed(attempt.attempt, &identity, missed, is_confirmed, closed)
            }
            None => {
                self.unread_since = joined_at;
                self.restart(attempt.attempt)?
            }
        };
        self.handle.fulfil(reply_slot, Payload::concat(payloads));
        Ok(())
    }

    fn take_over_rooms(&mut self, rooms: Vec<RoomName>, addr: SessionAddr) -> ReplacedRooms {
        let (mut pending, mut closed) = (Vec::new(), Vec::new());
        for room in rooms {
            match self.take_over_room(room.clone(), addr) {
                Some(join) => pending.push(join),
                None => closed.push(room),
            }
        }
        ReplacedRooms { pending, closed }
    }

    /// Waits for the rooms. Returns the rooms that refused.
    async fn await_replaced_rooms(&mut self, pending: Vec<PendingJoin>) -> Vec<RoomName> {
        let mut failed = Vec::new();
        for join in pending {
            let room = join.room().clone();
            let outcome = join.outcome().await.map_or_else(JoinOutcome::Refused, |(outcome, _)| outcome);
            if self.apply_join_outcome(outcome).is_err() {
                failed.push(room);
            }
        }
        failed
    }

    /// The messages of a successful recovery: the greeting, the missed messages, and a notice for each closed room.
    fn send_missed(
        &self,
        attempt: u32,
        identity: &Identity,
        missed: VecDeque<Brought>,
        is_confirmed: bool,
        closed: Vec<RoomName>,
    ) -> Vec<Payload> {
        let (now, mut payloads) = (self.now(), Vec::new());
        self.write_greeting(&mut payloads, attempt, Some(identity), now);
        let missed: Vec<_> = missed.into_iter().filter(|Brought { room, .. }| !closed.contains(room)).collect();
        payloads.extend(missed.iter().map(|publication| publication.payload.clone()));
        self.hub.stats().sent.add(missed.len() as u64);
        self.handle.catch_up(missed, self.worker.session_table().ledger());
        if is_confirmed {
            self.handle.noted().end();
        }
        for room in closed {
            let left = match room.chat() {
                Some(_) => LeftRoom::new(room.to_string()),
                None => LeftRoom::forbidden(room.to_string()),
            };
            self.write(&mut payloads, &left, now);
        }
        self.hub.stats().recovered.add(1);
        payloads
    }

    /// Continues as a new session, because messages are lost. Returns the messages of the greeting.
    fn restart(&mut self, attempt: u32) -> Result<Vec<Payload>, Fault> {
        self.began_at = self.connected_at;
        // A new private id shows the client that this is another session.
        self.recovery_token = Some(RecoveryToken::random()?);
        self.issue_pid();
        let mut payloads = Vec::new();
        self.write_greeting(&mut payloads, attempt, None, self.now());
        let optional: Vec<_> = self.rooms.iter().filter(|room| room.is_optional()).cloned().collect();
        for room in optional {
            drop(self.leave_room(room.as_str()));
        }
        Ok(payloads)
    }

    /// Notifies the client that its session could not be recovered.
    pub(super) fn send_not_recovered(&self, attempt: &RecoveryAttempt, now: i64) {
        let mut payloads = Vec::new();
        self.write_greeting(&mut payloads, attempt.attempt, None, now);
        Payload::concat(payloads).into_iter().for_each(|payload| self.handle.send(payload));
    }

    /// Writes the first messages after a reconnect. `identity` is set when the session was recovered.
    fn write_greeting(&self, payloads: &mut Vec<Payload>, attempt: u32, identity: Option<&Identity>, now: i64) {
        let socket_id = self.handle.session();
        self.write(payloads, &ReconnectStatus::new(attempt, now), now);
        match identity {
            Some(Identity { user, .. }) => {
                let (user_id, timestamp) = (user.clone(), Iso(now));
                self.write(payloads, &StateRecovered { user_id, timestamp }, now);
            }
            None => {
                self.hub.stats().not_recovered.add(1);
                self.write(payloads, &StateRecoveryFailed::new(now), now);
            }
        }
        self.write(payloads, &Connected { socket_id, timestamp: Iso(now) }, now);
        self.write(payloads, &Welcome::new(socket_id, &self.hub.settings().environment, now), now);
    }

    fn write<E: ServerEvent>(&self, payloads: &mut Vec<Payload>, event: &E, now: i64) {
        payloads.push(self.handle.encoder().answer(E::NAME, &json::encode(event), &None, now));
    }
}

/// The publications after `last`, and whether the client is known to have received its first messages. `None` when some
/// of them are no longer retained.
fn missed(last: Option<u64>, remains: Option<Remains>) -> Option<(VecDeque<Brought>, bool)> {
    let Remains::Tail { deliveries, left, is_confirmed } = remains? else { return None };
    let missed = tail::lacking(last, left, deliveries.into(), |delivery: &Brought| delivery.number)?;
    Some((missed, is_confirmed))
}
