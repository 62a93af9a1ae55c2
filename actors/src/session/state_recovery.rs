//! How a session on `/` goes on after its connection was cut: Socket.IO's connection state recovery. Its client names it by
//! its private id and says what it got last; it gets its id, its rooms and what it missed, or is told that it does not.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::oneshot;

use super::pending_joins::JoinOutcome;
use super::{AuthState, Session, authentication};
use crate::connection::retained::Brought;
use crate::connection::tail::{self, Tail};
use crate::connection::{Remains, SessionAddr};
use crate::events::community::Connected;
use crate::events::moment::Iso;
use crate::events::push::{LeftRoom, Welcome};
use crate::events::recovery::{ReconnectStatus, StateRecovered, StateRecoveryFailed};
use crate::events::{ServerEvent, json};
use crate::hub::Hub;
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::{RecoveryToken, RoomName, SessionId};
use crate::recovery::tokens::{By, Claim, SuspendedSession, TokenHash};
use crate::recovery::{GiveUp, Issue, Redeem, Restore};
use crate::runtime::mailbox::Full;

/// What a client says that wants to go on with its session.
#[derive(Debug, Clone)]
pub struct RecoveryRequest {
    /// The session's private id.
    pub pid: RecoveryToken,
    /// The number of the last delivery that it got; `None` when it got none.
    pub last: Option<u64>,
}

/// What came of that, as far as the session's place is known.
#[derive(Debug)]
pub(super) struct RecoveryAttempt {
    pub(super) request: RecoveryRequest,
    /// The session, and whose it is; where it goes on.
    pub(super) suspended: Option<(SuspendedSession, Arc<Identity>)>,
    attempt: u32,
}

impl RecoveryAttempt {
    /// Asks for the session that a client wants to go on with which is who `standing` says.
    pub(super) async fn redeem(hub: &Arc<Hub>, returning: RecoveryRequest, auth_state: &AuthState) -> Self {
        let (reply, redeemed) = oneshot::channel();
        let user = match auth_state {
            AuthState::Known(identity) => Some(identity.user.clone()),
            AuthState::Guest => None,
        };
        let redeem = Redeem { token: returning.pid.clone(), claim: Claim::Pid(user), by: None, reply };
        let posted = hub.recovery().post(redeem).map_err(|Full(_)| Fault::overloaded());
        let redeemed = match posted {
            Ok(()) => redeemed.await.unwrap_or_else(|_| Err(Fault::internal())),
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
                hub.recovery().post_departure(GiveUp(returning.pid.clone()));
                discard_suspended(hub, redeemed.holder.place, redeemed.holder.session, redeemed.rooms).await;
            }
        }
        Self { request: returning, suspended, attempt }
    }

    /// A client that names a session of a kind which cannot be recovered here.
    pub(super) fn unrecoverable(request: RecoveryRequest) -> Self {
        Self { request, suspended: None, attempt: 1 }
    }
}

/// Gives up a parked seat; what it kept.
async fn discard_suspended(hub: &Hub, place: SessionAddr, session: SessionId, rooms: Vec<RoomName>) -> Option<Remains> {
    for room in rooms {
        let _ = hub.rooms().abandon(room, place).await;
    }
    hub.rooms().vacate(place, session).await
}

impl Session {
    /// The private id that it can be recovered by.
    pub fn pid(&self) -> Option<&RecoveryToken> {
        self.recovery_token.as_ref().filter(|_| self.handle.encoder().is_numbered())
    }

    /// Whether its client came back for it: it knows its private id already.
    pub fn is_recovered(&self) -> bool {
        self.began_at != self.connected_at
    }

    /// It can be recovered by `pid` as soon as it has a user: keeps what is sent to it from here on. Its client will name
    /// `last` as the last delivery that it got, until it gets another.
    pub(super) fn enable_recovery(&mut self, pid: RecoveryToken, last: Option<u64>) {
        self.handle.remember(Tail::behind(last, self.hub.settings().kept_max()));
        self.recovery_token = Some(pid);
    }

    /// Tells by which private id the session is recovered, once its user is known.
    pub(super) fn issue_pid(&mut self) {
        let Some(token) = self.pid().cloned() else { return };
        let by = By::Pid { came_as_guest: self.started_as_guest };
        let issued = self.holder(by).and_then(|holder| {
            self.hub.recovery().post(Issue { holder, token }).map_err(|Full(_)| Fault::overloaded())
        });
        self.has_token = issued.is_ok();
    }

    /// Goes on with the session that was `parked`, as `identity`; its client is greeted and gets what it missed, and what
    /// comes meanwhile behind that.
    pub(super) async fn recover(
        &mut self,
        RecoveryAttempt { request: returning, attempt, .. }: RecoveryAttempt,
        suspended: SuspendedSession,
        identity: Arc<Identity>,
    ) -> Result<(), Fault> {
        let (hub, place, reply_slot) = (self.hub.clone(), suspended.holder.place, self.handle.reserve(0));
        let own = [RoomName::everybody(), RoomName::of_user(&identity.user)];
        self.handle.defer(suspended.rooms.iter().chain(&own).cloned(), reply_slot);
        let own = own.map(|room| (room.clone(), suspended.rooms.contains(&room).then_some(place)));
        let belongs = self.take_user_slot(&identity).and_then(|()| self.attach_user_in(identity.clone(), own.clone()));
        let joins = match belongs {
            Ok(joins) => joins,
            Err(fault) => {
                // It waits for its client's next attempt.
                let token = TokenHash::of(&returning.pid);
                hub.recovery().post_departure(Restore(vec![(token, suspended, hub.settings().recovery.window_ms)]));
                return Err(fault);
            }
        };
        if self.started_as_guest {
            // It shows no token again: the end of the one that it had stays where it was.
            self.handle.expire_at(suspended.holder.expiry);
        }
        self.began_at = suspended.holder.connected_at;
        let (session, mut rooms) = (suspended.holder.session, suspended.rooms);
        rooms.retain(|room| !own.iter().any(|(own, _)| own == room));
        let (mut joining, mut closed) = (Vec::new(), Vec::new());
        for room in rooms.drain(..) {
            match self.take_over_room(room.clone(), place) {
                Some(joined) => joining.push(joined),
                None => closed.push(room),
            }
        }
        self.issue_pid();
        let mut all_joined = true;
        for joining in joining {
            let room = joining.room().clone();
            let decision = joining.outcome().await.map_or_else(JoinOutcome::Refused, |(decision, _)| decision);
            let is_in = self.apply_join_outcome(decision).is_ok();
            all_joined &= is_in;
            if !is_in {
                rooms.push(room);
            }
        }
        let belongs = authentication::wait_for_joins(joins).await;
        // Whatever could not be joined instead of the parked seat gives that up.
        let left = rooms.into_iter().chain(closed.iter().cloned()).collect();
        let remains = discard_suspended(&hub, place, session, left).await;
        let moment = belongs?;
        let mut is_confirmed = false;
        let lacking = match remains {
            Some(Remains::Tail { deliveries, left, is_confirmed: confirmed }) if all_joined => {
                is_confirmed = confirmed;
                tail::lacking(returning.last, left, deliveries.into(), |delivery: &Brought| delivery.number)
            }
            Some(_) | None => None,
        };
        let now = self.now();
        let mut frames = BytesMut::new();
        match lacking {
            Some(lacking) => {
                self.greet_recovered(&mut frames, attempt, Some(&identity), now);
                let brought: Vec<_> =
                    lacking.into_iter().filter(|Brought { room, .. }| !closed.contains(room)).collect();
                brought.iter().for_each(|delivery| frames.extend_from_slice(&delivery.bytes));
                hub.stats().sent.add(brought.len() as u64);
                // Where its client may have got nothing yet, what is unread is brought besides what follows.
                self.unread_since = moment.filter(|_| !is_confirmed);
                self.handle.catch_up(brought, self.worker.session_table().ledger());
                if is_confirmed {
                    self.handle.noted().end();
                }
                for room in closed {
                    let left = match room.chat() {
                        Some(_) => LeftRoom::new(room.to_string()),
                        None => LeftRoom::forbidden(room.to_string()),
                    };
                    self.write(&mut frames, &left, now);
                }
                hub.stats().recovered.add(1);
            }
            None => {
                (self.unread_since, self.began_at) = (moment, self.connected_at);
                // By another id the client sees that it is another session.
                self.recovery_token = Some(RecoveryToken::random()?);
                self.issue_pid();
                self.greet_recovered(&mut frames, attempt, None, now);
                let optional: Vec<_> = self.rooms.iter().filter(|room| room.is_optional()).cloned().collect();
                for room in optional {
                    drop(self.leave_room(room.as_str()));
                }
            }
        }
        self.handle.fulfil(reply_slot, Some(frames.freeze()));
        Ok(())
    }

    /// Tells a client that comes back for a session that it does not go on, as `returned` says.
    pub(super) fn send_not_recovered(&self, returned: &RecoveryAttempt, now: i64) {
        let mut frames = BytesMut::new();
        self.greet_recovered(&mut frames, returned.attempt, None, now);
        self.handle.send(frames.freeze());
    }

    /// What a client hears first that comes back; `identity` where its session goes on.
    fn greet_recovered(&self, frames: &mut BytesMut, attempt: u32, identity: Option<&Identity>, now: i64) {
        let socket_id = self.handle.session();
        self.write(frames, &ReconnectStatus::new(attempt, now), now);
        match identity {
            Some(Identity { user, .. }) => {
                let (user_id, timestamp) = (user.clone(), Iso(now));
                self.write(frames, &StateRecovered { user_id, timestamp }, now);
            }
            None => {
                self.hub.stats().not_recovered.add(1);
                self.write(frames, &StateRecoveryFailed::new(now), now);
            }
        }
        self.write(frames, &Connected { socket_id, timestamp: Iso(now) }, now);
        self.write(frames, &Welcome::new(socket_id, &self.hub.settings().environment, now), now);
    }

    fn write<E: ServerEvent>(&self, frames: &mut BytesMut, event: &E, now: i64) {
        frames.extend_from_slice(&self.handle.encoder().answer(E::NAME, &json::encode(event), &None, now));
    }
}
