//! How a session on `/` goes on after its connection was cut: Socket.IO's connection state recovery. Its client names it by
//! its private id and says what it got last; it gets its id, its rooms and what it missed, or is told that it does not.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::oneshot;

use super::joins::Verdict;
use super::{Session, Standing, standing};
use crate::events::community::Connected;
use crate::events::moment::Iso;
use crate::events::push::{LeftRoom, Welcome};
use crate::events::recovery::{ReconnectStatus, StateRecovered, StateRecoveryFailed};
use crate::events::{ServerEvent, json};
use crate::fault::Fault;
use crate::hub::Hub;
use crate::identity::Identity;
use crate::ids::{RecoveryToken, RoomName, SessionId};
use crate::mailbox::Full;
use crate::recovery::tickets::{By, Claim, Parked, TokenHash};
use crate::recovery::{GiveUp, Issue, Redeem, Restore};
use crate::retained::Brought;
use crate::seat::{Place, Remains};
use crate::tail::{self, Tail};

/// What a client says that wants to go on with its session.
#[derive(Debug, Clone)]
pub struct Returning {
    /// The session's private id.
    pub pid: RecoveryToken,
    /// The number of the last delivery that it got; `None` when it got none.
    pub last: Option<u64>,
}

/// What came of that, as far as the session's place is known.
#[derive(Debug)]
pub(super) struct Returned {
    pub(super) returning: Returning,
    /// The session, and whose it is; where it goes on.
    pub(super) parked: Option<(Parked, Arc<Identity>)>,
    attempt: u32,
}

impl Returned {
    /// Asks for the session that a client wants to go on with which is who `standing` says.
    pub(super) async fn ask(hub: &Arc<Hub>, returning: Returning, standing: &Standing) -> Self {
        let (reply, redeemed) = oneshot::channel();
        let user = match standing {
            Standing::Known(identity) => Some(identity.user.clone()),
            Standing::Guest => None,
        };
        let redeem = Redeem { token: returning.pid.clone(), claim: Claim::Pid(user), by: None, reply };
        let posted = hub.recovery().post(redeem).map_err(|Full(_)| Fault::overloaded());
        let redeemed = match posted {
            Ok(()) => redeemed.await.unwrap_or_else(|_| Err(Fault::internal())),
            Err(fault) => Err(fault),
        };
        let attempt = redeemed.as_ref().map_or(1, |parked| parked.attempt);
        let mut parked = None;
        if let Ok(redeemed) = redeemed {
            let clock = hub.clock();
            let (identity, expiry) = match standing {
                Standing::Known(identity) => (identity.clone(), clock.expiry(identity.expires_at)),
                Standing::Guest => (redeemed.holder.identity.clone(), redeemed.holder.expiry),
            };
            let is_over = expiry.is_over(clock.now_ms(), clock.elapsed_ms());
            if !is_over && hub.revoked().check(&identity).is_ok() {
                parked = Some((redeemed, identity));
            } else {
                hub.recovery().post_departure(GiveUp(returning.pid.clone()));
                abandon(hub, redeemed.holder.place, redeemed.holder.session, redeemed.rooms).await;
            }
        }
        Self { returning, parked, attempt }
    }

    /// A client that names a session of a kind which cannot be recovered here.
    pub(super) fn in_vain(returning: Returning) -> Self {
        Self { returning, parked: None, attempt: 1 }
    }
}

/// Gives up a parked seat; what it kept.
async fn abandon(hub: &Hub, place: Place, session: SessionId, rooms: Vec<RoomName>) -> Option<Remains> {
    for room in rooms {
        let _ = hub.rooms().abandon(room, place).await;
    }
    hub.rooms().vacate(place, session).await
}

impl Session {
    /// The private id that it can be recovered by.
    pub fn pid(&self) -> Option<&RecoveryToken> {
        self.recovery_token.as_ref().filter(|_| self.seat.wire().is_numbered())
    }

    /// Whether its client came back for it: it knows its private id already.
    pub fn goes_on(&self) -> bool {
        self.began_at != self.connected_at
    }

    /// It can be recovered by `pid` as soon as it has a user: keeps what is sent to it from here on. Its client will name
    /// `last` as the last delivery that it got, until it gets another.
    pub(super) fn be_recoverable_by(&mut self, pid: RecoveryToken, last: Option<u64>) {
        self.seat.remember(Tail::behind(last, self.hub.settings().kept_max()));
        self.recovery_token = Some(pid);
    }

    /// Tells by which private id the session is recovered, once its user is known.
    pub(super) fn tell_pid(&mut self) {
        let Some(token) = self.pid().cloned() else { return };
        let by = By::Pid { came_as_guest: self.came_as_guest };
        let issued = self.holder(by).and_then(|holder| {
            self.hub.recovery().post(Issue { holder, token }).map_err(|Full(_)| Fault::overloaded())
        });
        self.has_token = issued.is_ok();
    }

    /// Goes on with the session that was `parked`, as `identity`; its client is greeted and gets what it missed, and what
    /// comes meanwhile behind that.
    pub(super) async fn go_on(
        &mut self,
        Returned { returning, attempt, .. }: Returned,
        parked: Parked,
        identity: Arc<Identity>,
    ) -> Result<(), Fault> {
        let (hub, place, owed) = (self.hub.clone(), parked.holder.place, self.seat.owe(0));
        let own = [RoomName::everybody(), RoomName::of_user(&identity.user)];
        self.seat.hold(parked.rooms.iter().chain(&own).cloned(), owed);
        let own = own.map(|room| (room.clone(), parked.rooms.contains(&room).then_some(place)));
        let belongs = self.hold_as(&identity).and_then(|()| self.belong_to(identity.clone(), own.clone()));
        let joins = match belongs {
            Ok(joins) => joins,
            Err(fault) => {
                // It waits for its client's next attempt.
                let token = TokenHash::of(&returning.pid);
                hub.recovery().post_departure(Restore(vec![(token, parked, hub.settings().recovery.window_ms)]));
                return Err(fault);
            }
        };
        if self.came_as_guest {
            // It shows no token again: the end of the one that it had stays where it was.
            self.seat.expire_at(parked.holder.expiry);
        }
        self.began_at = parked.holder.connected_at;
        let (session, mut rooms) = (parked.holder.session, parked.rooms);
        rooms.retain(|room| !own.iter().any(|(own, _)| own == room));
        let (mut joining, mut closed) = (Vec::new(), Vec::new());
        for room in rooms.drain(..) {
            match self.join_instead(room.clone(), place) {
                Some(joined) => joining.push(joined),
                None => closed.push(room),
            }
        }
        self.tell_pid();
        let mut all_joined = true;
        for joining in joining {
            let room = joining.room().clone();
            let verdict = joining.answer().await.map_or_else(Verdict::Refused, |(verdict, _)| verdict);
            let is_in = self.settle_join(verdict).is_ok();
            all_joined &= is_in;
            if !is_in {
                rooms.push(room);
            }
        }
        let belongs = standing::all_of(joins).await;
        // Whatever could not be joined instead of the parked seat gives that up.
        let left = rooms.into_iter().chain(closed.iter().cloned()).collect();
        let remains = abandon(&hub, place, session, left).await;
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
                self.welcome_back(&mut frames, attempt, Some(&identity), now);
                let brought: Vec<_> =
                    lacking.into_iter().filter(|Brought { room, .. }| !closed.contains(room)).collect();
                brought.iter().for_each(|delivery| frames.extend_from_slice(&delivery.bytes));
                hub.stats().sent.add(brought.len() as u64);
                // Where its client may have got nothing yet, what is unread is brought besides what follows.
                self.joined = moment.filter(|_| !is_confirmed);
                self.seat.catch_up(brought, self.worker.seats().ledger());
                if is_confirmed {
                    self.seat.noted().end();
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
                (self.joined, self.began_at) = (moment, self.connected_at);
                // By another id the client sees that it is another session.
                self.recovery_token = Some(RecoveryToken::random()?);
                self.tell_pid();
                self.welcome_back(&mut frames, attempt, None, now);
                let optional: Vec<_> = self.rooms.iter().filter(|room| room.is_optional()).cloned().collect();
                for room in optional {
                    drop(self.leave(room.as_str()));
                }
            }
        }
        self.seat.settle(owed, Some(frames.freeze()));
        Ok(())
    }

    /// Tells a client that comes back for a session that it does not go on, as `returned` says.
    pub(super) fn tell_not_recovered(&self, returned: &Returned, now: i64) {
        let mut frames = BytesMut::new();
        self.welcome_back(&mut frames, returned.attempt, None, now);
        self.seat.answer(frames.freeze());
    }

    /// What a client hears first that comes back; `identity` where its session goes on.
    fn welcome_back(&self, frames: &mut BytesMut, attempt: u32, identity: Option<&Identity>, now: i64) {
        let socket_id = self.seat.session();
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
        frames.extend_from_slice(&self.seat.wire().answer(E::NAME, &json::encode(event), &None, now));
    }
}
