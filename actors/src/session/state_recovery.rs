//! Recovers a session on `/` after its connection was cut: Socket.IO's connection state recovery. The client names the
//! session's private id (pid) and the number of the last publication that it received: Socket.IO's offset. It gets its id,
//! its rooms and the missed messages, or a message that the recovery failed.

use std::sync::Arc;

use super::suspension::joined;
use super::{AuthState, Session};
use crate::connection::{Recoverability, ReplySlot};
use crate::events::community::Connected;
use crate::events::push::{LeftRoom, Welcome};
use crate::events::recovery::{ReconnectStatus, StateRecovered, StateRecoveryFailed};
use crate::events::timestamp::Iso;
use crate::events::{ServerEvent, json};
use crate::hub::Hub;
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::{RecoveryToken, RoomName};
use crate::notifications::Backlog;
use crate::publication::{Offset, Payload, Publication};
use crate::recovery::tokens::{By, RecoveryClaim, TokenHash};
use crate::recovery::{ClaimedRecord, GiveUp, Issue, Redeem};
use crate::rooms::{Access, RecoverRooms, Recovered, Replay};
use crate::runtime::mailbox::{Full, ReplyReceiver};

/// A client's request to recover its session.
#[derive(Debug, Clone)]
pub struct RecoveryRequest {
    /// The session's private id (pid).
    pub pid: RecoveryToken,
    /// The last offset that the client received; `None` if it received none.
    pub last: Option<Offset>,
}

/// The result of redeeming a private id.
#[derive(Debug)]
pub(super) struct RecoveryAttempt {
    pub(super) request: RecoveryRequest,
    /// The suspended session and its user; `None` when it cannot be recovered.
    pub(super) suspended: Option<(ClaimedRecord, Arc<Identity>)>,
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
            }
        }
        Self { request, suspended, attempt }
    }

    /// A failed attempt, for a session that has no recovery.
    pub(super) fn unrecoverable(request: RecoveryRequest) -> Self {
        Self { request, suspended: None, attempt: 1 }
    }
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

    /// Lets `pid` recover the session once it has a user. `named` is the offset that the client names now.
    pub(super) fn enable_recovery(&mut self, pid: RecoveryToken, named: Option<Offset>) {
        self.handle.set_recoverable(Recoverability::ByOffset);
        self.recovery_token = Some(pid);
        self.named = named;
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
        suspended: ClaimedRecord,
        identity: Arc<Identity>,
    ) -> Result<(), Fault> {
        let hub = self.hub.clone();
        let attached = self.take_user_slot(&identity).and_then(|()| self.attach_identity(identity.clone()));
        if let Err(fault) = attached {
            // The session stays suspended for the client's next attempt.
            let token = TokenHash::of(&attempt.request.pid);
            hub.recovery().post_departure(suspended.restore(token, hub.clock().elapsed_ms()));
            return Err(fault);
        }
        if self.started_as_guest {
            // The client sends no token again, so the first token's expiry still applies.
            self.handle.expire_at(suspended.holder.expiry);
        }
        self.began_at = suspended.holder.connected_at;
        let (last, backlog) = (attempt.request.last, suspended.backlog);
        let is_named_before = last == suspended.named;
        let reply_slot = self.handle.reserve(0);
        let (closed, recovering) = self.recover_rooms(last, suspended, &identity, reply_slot)?;
        self.issue_pid();
        let Recovered { number, missed, last_notification, online, .. } = recovering.await?;
        let payloads = match missed {
            Some(missed) => {
                let received = last.filter(|_| !is_named_before);
                let after = |backlog: Backlog| backlog.after(received);
                self.backlog = Some(backlog.map_or_else(|| Backlog::new(last_notification), after));
                self.send_missed(attempt.attempt, &identity, &missed, closed)
            }
            None => {
                self.backlog = Some(Backlog::new(last_notification));
                self.rooms.values_mut().for_each(|joined| *joined = number);
                self.restart(attempt.attempt)?
            }
        };
        self.send_online_updates(&online);
        self.handle.fulfil(reply_slot, Payload::concat(payloads));
        Ok(())
    }

    /// Requests the rooms of `suspended`. Their publications follow the reply `reply_slot`. Returns the rooms that are
    /// closed to `identity`, too.
    fn recover_rooms(
        &mut self,
        last: Option<Offset>,
        mut suspended: ClaimedRecord,
        identity: &Identity,
        reply_slot: ReplySlot,
    ) -> Result<(Vec<RoomName>, ReplyReceiver<Recovered>), Fault> {
        let (session, entering) = (suspended.holder.session, self.entering()?);
        let (is_named_before, served) = (last == suspended.named, suspended.served);
        let rooms = self.accesses(identity, suspended.take_cursors());
        let own = [RoomName::everybody(), RoomName::of_user(&identity.user)];
        let is_new = |room: &RoomName| !rooms.iter().any(|(cursor, _)| cursor.room == *room);
        let new_rooms: Vec<_> = own.into_iter().filter(is_new).collect();
        let denied = rooms.iter().filter(|(_, access)| *access == Access::Denied);
        let closed = suspended.closed.iter().chain(denied.map(|(cursor, _)| &cursor.room)).cloned().collect();
        self.handle.defer(joined(&rooms).map(|(room, _)| room).chain(new_rooms.iter().cloned()), reply_slot);
        // What the client has is not missed later.
        let head = self.hub.rooms().head();
        let received = last.filter(|_| !is_named_before).map_or(0, |last| last.number).min(head);
        let joined = joined(&rooms).map(|(room, number)| (room, number.max(received)));
        for (room, number) in joined.chain(new_rooms.iter().map(|room| (room.clone(), head))) {
            self.rooms.insert(room.clone(), number);
            self.update_presence_on_join(room);
        }
        // Until the room actor replies, it is not known what is for the session.
        self.handle.note_offered(u64::MAX);
        let replay = Replay::Publications { last, is_named_before, served };
        let recover = |reply| RecoverRooms { session, entering, rooms, new_rooms, head, replay, reply };
        Ok((closed, self.hub.rooms().recover(recover)?))
    }

    /// The messages of a successful recovery: the greeting, the missed messages, and a notice for each closed room.
    fn send_missed(
        &self,
        attempt: u32,
        identity: &Identity,
        missed: &[Arc<Publication>],
        closed: Vec<RoomName>,
    ) -> Vec<Payload> {
        let (now, mut payloads) = (self.now(), Vec::new());
        self.write_greeting(&mut payloads, attempt, Some(identity), now);
        payloads.extend(missed.iter().map(|publication| publication.payload(self.handle.encoder())));
        self.hub.stats().sent.add(missed.len() as u64);
        // The unread notifications are read from the store, which may not have these changes yet.
        for id in missed.iter().filter_map(|publication| publication.notification()) {
            self.handle.noted().add(id);
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
        let optional: Vec<_> = self.rooms.keys().filter(|room| room.is_optional()).cloned().collect();
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
