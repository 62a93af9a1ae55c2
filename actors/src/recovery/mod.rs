//! Sessions that were cut off and may come back. The seat of one stays on its worker, where it gathers the messages of its
//! chats; this actor knows by which token it is found, and for how long.
//!
//! [`tokens`] is the pure table, [`Recovery`] the actor that keeps it and sees that what nobody comes for goes.
//!
//! # What is guaranteed
//!
//! A session that is recovered by a token gets every message that its chats' shards accepted since it was cut off, up to
//! `recovery.queue`, and each once: a shard hands a chat from the parked seat to the new one between two messages. What
//! was still to be written to its connection, or to be fetched by a poll, is among them: it is taken back. What was written
//! to a connection that was already dead is not known to be lost: `message:history` has it.
//!
//! One that is recovered by its private id gets every delivery of all its rooms behind the last that its client says it
//! got, each once and in order, or is told that it is not recovered.

pub(crate) mod persisted;
pub mod tokens;

use std::sync::Arc;
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, AsyncContext, Context, SpawnHandle};
use ahash::AHashMap;
use tokio::sync::oneshot;

use self::tokens::{Claim, Holder, Parking, Redeemed, SuspendedSession, TokenHash, TokenTable};
use crate::connection::SessionAddr;
use crate::model::close::Close;
use crate::model::fault::{Code, Fault};
use crate::model::ids::{RecoveryToken, RoomName, SessionId, UserId};
use crate::rooms::Rooms;
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;
use crate::runtime::mailbox::{Receive, receives_posts};
use crate::store::Revocation;

/// Sessions that may be parked at once.
pub const PARKED_MAX: usize = 10_000;

/// How long who recovers a session that still lives waits for its end.
const END_TIME: Duration = Duration::from_secs(10);

/// How long a session stays parked at least that was so before the start, ms: longer than until it is seated.
const RESTORED_MIN_MS: i64 = 5_000;

/// A parked session was handed to an attempt of its client. Its private id holds again when the new session issues it.
#[derive(Debug)]
struct GoingOn {
    number: u64,
    holder: Holder,
    /// Its client's next attempt.
    next: Option<Redeem>,
}

/// Makes a token for a live session.
#[derive(Debug)]
pub(crate) struct Issue {
    pub(crate) holder: Holder,
    pub(crate) token: RecoveryToken,
}

/// A session with a token was cut off, and its seat parked.
#[derive(Debug)]
pub(crate) struct Suspend {
    pub(crate) session: SessionId,
    pub(crate) place: SessionAddr,
    pub(crate) rooms: Vec<RoomName>,
    pub(crate) last_activity: i64,
}

/// A session with a token ended for good.
#[derive(Debug)]
pub(crate) struct Discard(pub(crate) SessionId);

/// Sessions were ended for good: none of them goes on, nor one that was cut off before.
#[derive(Debug)]
pub(crate) enum DropRecords {
    /// Those of a user.
    User(UserId),
    /// Those that go by a token which was revoked.
    Revoked(Revocation),
}

/// Asks for the session of a token. The token is used then; who gets the session may [issue](Issue) another.
#[derive(Debug)]
pub(crate) struct Redeem {
    pub(crate) token: RecoveryToken,
    pub(crate) claim: Claim,
    /// The session that asks, where there is one: it cannot go on with itself.
    pub(crate) by: Option<SessionId>,
    pub(crate) reply: oneshot::Sender<Result<SuspendedSession, Fault>>,
}

/// Somebody who was not let in wanted to come back to the session of a token.
#[derive(Debug)]
pub(crate) struct NoteAttempt(pub(crate) RecoveryToken);

/// The session of a token, which was [asked for](Redeem), does not go on.
#[derive(Debug)]
pub(crate) struct GiveUp(pub(crate) RecoveryToken);

/// Sessions that were cut off before the start, each with its seat.
#[derive(Debug)]
pub(crate) struct Restore(pub(crate) Vec<(TokenHash, SuspendedSession, i64)>);

/// Asks for all parked sessions, for they are to be stored: they are not known here any more. Until when each may be
/// recovered is told in ms from now.
#[derive(Debug)]
pub(crate) struct TakeSuspended(pub(crate) oneshot::Sender<Vec<(TokenHash, SuspendedSession, i64)>>);

/// Asks how many tokens hold.
#[derive(Debug)]
pub(crate) struct CountTokens(pub(crate) oneshot::Sender<usize>);

fn no_such_token() -> Fault {
    Fault::new(Code::NotFound, "Invalid recovery token")
}

/// The actor.
#[derive(Debug)]
pub struct Recovery {
    tickets: TokenTable,
    /// Who waits for the end of which session, numbered.
    waiting: AHashMap<SessionId, (u64, Redeem)>,
    /// Sessions that were handed over by their private id, which does not hold again yet.
    going_on: AHashMap<TokenHash, GoingOn>,
    waited: u64,
    rooms: Rooms,
    clock: Clock,
    stats: Arc<Stats>,
    waking: Option<SpawnHandle>,
}

impl Recovery {
    /// An actor that knows no token; a session stays parked for `window_ms`.
    pub(crate) fn new(window_ms: i64, rooms: Rooms, clock: Clock, stats: Arc<Stats>) -> Self {
        let tickets = TokenTable::new(window_ms, PARKED_MAX);
        let (waiting, going_on) = (AHashMap::new(), AHashMap::new());
        Self { tickets, waiting, going_on, waited: 0, rooms, clock, stats, waking: None }
    }

    /// Gives up a parked seat.
    fn abandon(&self, place: SessionAddr, session: SessionId, rooms: Vec<RoomName>, ctx: &mut Context<Self>) {
        let way = self.rooms.clone();
        let abandoned = async move {
            for room in rooms {
                let _ = way.abandon(room, place).await;
            }
            way.vacate(place, session).await;
        };
        ctx.spawn(abandoned.into_actor(self));
    }

    /// Gives up what nobody came for, and sees that the rest is, later.
    fn sweep(&mut self, ctx: &mut Context<Self>) {
        let elapsed = self.clock.elapsed_ms();
        while let Some(suspended) = self.tickets.expire(elapsed) {
            self.stats.suspended.sub(1);
            self.abandon(suspended.holder.place, suspended.holder.session, suspended.rooms, ctx);
        }
        if let Some(waking) = self.waking.take() {
            ctx.cancel_future(waking);
        }
        let wait = self.tickets.next_due().map(|due| u64::try_from(due - elapsed).unwrap_or(0).max(1));
        self.waking = wait.map(|wait| self.clock.run_later(ctx, Duration::from_millis(wait), Self::sweep));
    }

    fn redeem(&mut self, redeem: Redeem, ctx: &mut Context<Self>) {
        let Some(redeem) = self.await_known(redeem) else { return };
        match self.tickets.redeem(&redeem.token, &redeem.claim) {
            Redeemed::Parked(suspended) => {
                self.stats.suspended.sub(1);
                let holder = suspended.holder.clone();
                match redeem.reply.send(Ok(suspended)) {
                    Ok(()) if matches!(redeem.claim, Claim::Pid(_)) => self.note_going_on(&redeem.token, holder, ctx),
                    Err(Ok(suspended)) => {
                        self.abandon(suspended.holder.place, suspended.holder.session, suspended.rooms, ctx)
                    }
                    Ok(()) | Err(Err(_)) => {}
                }
            }
            Redeemed::Live(place, session) if Some(session) != redeem.by => {
                let has_waiting = self.waiting.contains_key(&session);
                match redeem.claim {
                    // It is ended first; how that goes shows in what it says then.
                    _ if !has_waiting => self.rooms.close(place, Close::Recovered),
                    // The token holds, and somebody waits for its session.
                    Claim::Token(_) => return drop(redeem.reply.send(Err(Fault::too_many_under_way()))),
                    // One client alone knows a private id: it was cut off in its last attempt, and makes another.
                    Claim::Pid(_) => self.refuse_waiting(session, Fault::too_many_under_way()),
                }
                self.await_end(session, redeem, ctx);
            }
            Redeemed::Live(..) | Redeemed::Nothing => drop(redeem.reply.send(Err(no_such_token()))),
        }
    }

    /// While an earlier attempt takes the session over, `redeem` waits until the private id holds again. Otherwise it is
    /// returned.
    fn await_known(&mut self, redeem: Redeem) -> Option<Redeem> {
        if self.going_on.is_empty() {
            return Some(redeem);
        }
        match self.going_on.get_mut(&TokenHash::of(&redeem.token)) {
            Some(going_on) if redeem.claim.suits(&going_on.holder) => {
                if let Some(before) = going_on.next.replace(redeem) {
                    let _ = before.reply.send(Err(Fault::too_many_under_way()));
                }
                None
            }
            _ => Some(redeem),
        }
    }

    /// The session of `token` was handed to an attempt of its client.
    fn note_going_on(&mut self, token: &RecoveryToken, holder: Holder, ctx: &mut Context<Self>) {
        let token = TokenHash::of(token);
        self.waited += 1;
        let number = self.waited;
        self.going_on.insert(token, GoingOn { number, holder, next: None });
        ctx.run_later(END_TIME, move |actor, ctx| {
            if actor.going_on.get(&token).is_some_and(|going_on| going_on.number == number) {
                actor.note_known(&token, ctx);
            }
        });
    }

    /// What becomes of the session of `token` is known: its client's next attempt asks again.
    fn note_known(&mut self, token: &TokenHash, ctx: &mut Context<Self>) {
        if let Some(GoingOn { next: Some(redeem), .. }) = self.going_on.remove(token) {
            self.redeem(redeem, ctx);
        }
    }

    /// Has `redeem` wait for the end of its session.
    fn await_end(&mut self, session: SessionId, redeem: Redeem, ctx: &mut Context<Self>) {
        self.waited += 1;
        let number = self.waited;
        self.waiting.insert(session, (number, redeem));
        ctx.run_later(END_TIME, move |actor, _| {
            // A session may be waited for again: it has its id for as long as it goes on.
            if actor.waiting.get(&session).is_some_and(|&(waits, _)| waits == number) {
                actor.refuse_waiting(session, Fault::overloaded());
            }
        });
    }

    /// Refuses who waits for the end of a session.
    fn refuse_waiting(&mut self, session: SessionId, fault: Fault) {
        if let Some((_, redeem)) = self.waiting.remove(&session) {
            let _ = redeem.reply.send(Err(fault));
        }
    }
}

impl Actor for Recovery {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Its `Mailbox` keeps the bound.
        ctx.set_mailbox_capacity(0);
    }
}

receives_posts!(Recovery);

impl Receive<Issue> for Recovery {
    fn receive(&mut self, Issue { holder, token }: Issue, ctx: &mut Self::Context) {
        self.tickets.issue(holder, &token);
        if !self.going_on.is_empty() {
            self.note_known(&TokenHash::of(&token), ctx);
        }
    }
}

impl Receive<GiveUp> for Recovery {
    fn receive(&mut self, GiveUp(token): GiveUp, ctx: &mut Self::Context) {
        self.note_known(&TokenHash::of(&token), ctx);
    }
}

impl Receive<Suspend> for Recovery {
    fn receive(&mut self, park: Suspend, ctx: &mut Self::Context) {
        let Suspend { session, place, rooms, last_activity } = park;
        match self.tickets.park(session, rooms.clone(), last_activity, self.clock.elapsed_ms()) {
            Parking::Unknown => self.abandon(place, session, rooms, ctx),
            Parking::Parked(None) => self.stats.suspended.add(1),
            Parking::Parked(Some(evicted)) => {
                self.stats.parked_evicted.add(1);
                self.abandon(evicted.holder.place, evicted.holder.session, evicted.rooms, ctx);
            }
        }
        if let Some((_, redeem)) = self.waiting.remove(&session) {
            self.redeem(redeem, ctx);
        }
        if self.waking.is_none() {
            self.sweep(ctx);
        }
    }
}

impl Receive<Discard> for Recovery {
    fn receive(&mut self, Discard(session): Discard, _: &mut Self::Context) {
        self.tickets.discard(session);
        self.refuse_waiting(session, no_such_token());
    }
}

impl Receive<DropRecords> for Recovery {
    fn receive(&mut self, forget: DropRecords, ctx: &mut Self::Context) {
        let forgotten = match forget {
            DropRecords::User(user) => self.tickets.forget(|identity| identity.user == user),
            DropRecords::Revoked(revocation) => self.tickets.forget(|identity| revocation.hits(identity)),
        };
        for suspended in forgotten {
            self.stats.suspended.sub(1);
            self.abandon(suspended.holder.place, suspended.holder.session, suspended.rooms, ctx);
        }
    }
}

impl Receive<Redeem> for Recovery {
    fn receive(&mut self, redeem: Redeem, ctx: &mut Self::Context) {
        self.redeem(redeem, ctx);
    }
}

impl Receive<NoteAttempt> for Recovery {
    fn receive(&mut self, NoteAttempt(token): NoteAttempt, _: &mut Self::Context) {
        self.tickets.note_attempt(&token);
    }
}

impl Receive<Restore> for Recovery {
    fn receive(&mut self, Restore(sessions): Restore, ctx: &mut Self::Context) {
        let elapsed = self.clock.elapsed_ms();
        for (token, suspended, left) in sessions {
            self.stats.suspended.add(1);
            self.tickets.keep(token, suspended, elapsed + left.max(RESTORED_MIN_MS));
            self.note_known(&token, ctx);
        }
        self.sweep(ctx);
    }
}

impl Receive<TakeSuspended> for Recovery {
    fn receive(&mut self, TakeSuspended(reply): TakeSuspended, _: &mut Self::Context) {
        let elapsed = self.clock.elapsed_ms();
        let all = self.tickets.take_all().into_iter();
        let all: Vec<_> = all.map(|(token, suspended, at)| (token, suspended, at - elapsed)).collect();
        self.stats.suspended.sub(all.len() as u64);
        let _ = reply.send(all);
    }
}

impl Receive<CountTokens> for Recovery {
    fn receive(&mut self, CountTokens(reply): CountTokens, _: &mut Self::Context) {
        let _ = reply.send(self.tickets.count());
    }
}
