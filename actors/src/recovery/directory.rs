//! The actor that issues, redeems and expires recovery tokens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, SpawnHandle};
use ahash::AHashMap;

use super::messages::{
    ClaimedRecord, CloseRoom, CountTokens, Discard, DropRecords, GiveUp, Issue, NoteAttempt, Redeem, Restore, Suspend,
    TakeSuspended,
};
use super::tokens::{Holder, RecoveryClaim, Redeemed, SuspendResult, SuspendedSession, TokenHash, TokenTable};
use crate::model::close::Close;
use crate::model::fault::{Code, Fault};
use crate::model::ids::{RecoveryToken, SessionId};
use crate::rooms::Rooms;
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;
use crate::runtime::mailbox::{Receive, receives_posts};

/// The most suspended sessions at once.
pub const SUSPENDED_MAX: usize = 10_000;

/// How long a request waits for the end of the live session that it recovers.
const END_TIME: Duration = Duration::from_secs(10);

/// The shortest time for which a restored session stays suspended, ms: long enough until its worker has started.
const RESTORED_MIN_MS: i64 = 5_000;

/// The attempts of one client that wait at once. One more refuses the oldest.
const ATTEMPTS_MAX: usize = 8;

/// Attempts of one client that wait for its session, in the order of their arrival. A network may deliver an earlier
/// attempt later. So each gets the session in its turn, and a client that loses it to an earlier attempt tries again.
#[derive(Debug, Default)]
struct Attempts(VecDeque<Redeem>);

impl Attempts {
    fn add(&mut self, redeem: Redeem) {
        if self.0.len() >= ATTEMPTS_MAX
            && let Some(oldest) = self.0.pop_front()
        {
            let _ = oldest.reply.send(Err(Fault::too_many_in_progress()));
        }
        self.0.push_back(redeem);
    }
}

/// A suspended session that an attempt of its client resumes. Its private id is valid again when the new session issues
/// it.
#[derive(Debug)]
struct Resuming {
    number: u64,
    holder: Holder,
    /// The client's next attempts.
    next: Attempts,
}

fn no_such_token() -> Fault {
    Fault::new(Code::NotFound, "Invalid recovery token")
}

/// The actor.
#[derive(Debug)]
pub struct Recovery {
    tokens: TokenTable,
    /// Requests that wait for the end of a live session, numbered.
    waiting: AHashMap<SessionId, (u64, Attempts)>,
    /// Sessions redeemed by their private id, until it is issued again or given up.
    resuming: AHashMap<TokenHash, Resuming>,
    waits: u64,
    rooms: Rooms,
    clock: Clock,
    stats: Arc<Stats>,
    waking: Option<SpawnHandle>,
}

impl Recovery {
    /// An actor without tokens; a session stays suspended for `window_ms`.
    pub(crate) fn new(window_ms: i64, rooms: Rooms, clock: Clock, stats: Arc<Stats>) -> Self {
        let tokens = TokenTable::new(window_ms, SUSPENDED_MAX);
        let (waiting, resuming) = (AHashMap::new(), AHashMap::new());
        Self { tokens, waiting, resuming, waits: 0, rooms, clock, stats, waking: None }
    }

    /// Ends the record of a suspended session.
    fn release(&self, suspended: SuspendedSession) {
        self.rooms.drop_cursors(suspended.rooms.into_iter().map(|cursor| cursor.room).collect());
    }

    /// Releases expired sessions, and starts the timer of the next expiry.
    fn sweep(&mut self, ctx: &mut Context<Self>) {
        let elapsed = self.clock.elapsed_ms();
        while let Some(suspended) = self.tokens.expire(elapsed) {
            self.stats.suspended.sub(1);
            self.release(suspended);
        }
        if let Some(waking) = self.waking.take() {
            ctx.cancel_future(waking);
        }
        let wait = self.tokens.next_due().map(|due| u64::try_from(due - elapsed).unwrap_or(0).max(1));
        self.waking = wait.map(|wait| self.clock.run_later(ctx, Duration::from_millis(wait), Self::sweep));
    }

    fn redeem(&mut self, redeem: Redeem, ctx: &mut Context<Self>) {
        let Some(redeem) = self.wait_for_resuming(redeem) else { return };
        match self.tokens.redeem(&redeem.token, &redeem.claim) {
            Redeemed::Suspended(suspended, until) => {
                self.stats.suspended.sub(1);
                let holder = suspended.holder.clone();
                let claimed = ClaimedRecord::new(suspended, until, self.rooms.clone());
                if redeem.reply.send(Ok(claimed)).is_ok() && matches!(redeem.claim, RecoveryClaim::Pid(_)) {
                    self.note_resuming(&redeem.token, holder, ctx);
                }
            }
            Redeemed::Live(addr, session) if Some(session) != redeem.by => {
                match (self.waiting.get_mut(&session), &redeem.claim) {
                    // The live session ends first; the request is handled after that.
                    (None, _) => {
                        self.rooms.close(addr, Close::Recovered);
                        self.wait_for_end(session, redeem, ctx);
                    }
                    // Another request waits for the same session.
                    (Some(_), RecoveryClaim::Token(_)) => {
                        let _ = redeem.reply.send(Err(Fault::too_many_in_progress()));
                    }
                    // Only one client knows a private id.
                    (Some((_, attempts)), RecoveryClaim::Pid(_)) => attempts.add(redeem),
                }
            }
            Redeemed::Live(..) | Redeemed::Nothing => drop(redeem.reply.send(Err(no_such_token()))),
        }
    }

    /// While an earlier attempt resumes the session, `redeem` waits until the private id is valid again. Otherwise it
    /// is returned.
    fn wait_for_resuming(&mut self, redeem: Redeem) -> Option<Redeem> {
        if self.resuming.is_empty() {
            return Some(redeem);
        }
        match self.resuming.get_mut(&TokenHash::of(&redeem.token)) {
            Some(resuming) if redeem.claim.matches(&resuming.holder) => {
                resuming.next.add(redeem);
                None
            }
            _ => Some(redeem),
        }
    }

    /// Notes that an attempt of the client resumes the session of `token`.
    fn note_resuming(&mut self, token: &RecoveryToken, holder: Holder, ctx: &mut Context<Self>) {
        let token = TokenHash::of(token);
        self.waits += 1;
        let number = self.waits;
        self.resuming.insert(token, Resuming { number, holder, next: Attempts::default() });
        self.clock.run_later(ctx, END_TIME, move |actor: &mut Self, ctx| {
            if actor.resuming.get(&token).is_some_and(|resuming| resuming.number == number) {
                actor.end_resuming(&token, ctx);
            }
        });
    }

    /// Notes that the attempt has ended; the client's next attempts are handled now.
    fn end_resuming(&mut self, token: &TokenHash, ctx: &mut Context<Self>) {
        if let Some(Resuming { next, .. }) = self.resuming.remove(token) {
            self.redeem_all(next, ctx);
        }
    }

    /// Makes `redeem` wait for the end of its session.
    fn wait_for_end(&mut self, session: SessionId, redeem: Redeem, ctx: &mut Context<Self>) {
        self.waits += 1;
        let number = self.waits;
        self.waiting.insert(session, (number, Attempts(VecDeque::from([redeem]))));
        self.clock.run_later(ctx, END_TIME, move |actor: &mut Self, _| {
            // A resumed session keeps its id, so another request may wait for it by now.
            if actor.waiting.get(&session).is_some_and(|&(waiting, _)| waiting == number) {
                actor.refuse_waiting(session, &Fault::overloaded());
            }
        });
    }

    /// Handles attempts in their order: the first gets the session, and the others wait for their turn.
    fn redeem_all(&mut self, Attempts(attempts): Attempts, ctx: &mut Context<Self>) {
        for redeem in attempts {
            self.redeem(redeem, ctx);
        }
    }

    /// Refuses the requests that wait for the end of a session.
    fn refuse_waiting(&mut self, session: SessionId, fault: &Fault) {
        for redeem in self.waiting.remove(&session).into_iter().flat_map(|(_, Attempts(attempts))| attempts) {
            let _ = redeem.reply.send(Err(fault.clone()));
        }
    }
}

impl Actor for Recovery {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // The `Mailbox` enforces the bound.
        ctx.set_mailbox_capacity(0);
    }
}

receives_posts!(Recovery);

impl Receive<Issue> for Recovery {
    fn receive(&mut self, Issue { holder, token }: Issue, ctx: &mut Self::Context) {
        self.tokens.issue(holder, &token);
        if !self.resuming.is_empty() {
            self.end_resuming(&TokenHash::of(&token), ctx);
        }
    }
}

impl Receive<GiveUp> for Recovery {
    fn receive(&mut self, GiveUp(token): GiveUp, ctx: &mut Self::Context) {
        self.end_resuming(&TokenHash::of(&token), ctx);
    }
}

impl Receive<Suspend> for Recovery {
    fn receive(&mut self, suspend: Suspend, ctx: &mut Self::Context) {
        let Suspend { session, suspension } = suspend;
        match self.tokens.suspend(session, suspension, self.clock.elapsed_ms()) {
            SuspendResult::Unknown(rooms) => {
                self.stats.suspended.sub(1);
                self.rooms.drop_cursors(rooms);
            }
            SuspendResult::Suspended(evicted) => {
                self.stats.suspended.sub(evicted.len() as u64);
                self.stats.suspended_evicted.add(evicted.len() as u64);
                evicted.into_iter().for_each(|evicted| self.release(evicted));
            }
        }
        if let Some((_, attempts)) = self.waiting.remove(&session) {
            self.redeem_all(attempts, ctx);
        }
        if self.waking.is_none() {
            self.sweep(ctx);
        }
    }
}

impl Receive<Discard> for Recovery {
    fn receive(&mut self, Discard(session): Discard, _: &mut Self::Context) {
        self.tokens.discard(session);
        self.refuse_waiting(session, &no_such_token());
    }
}

impl Receive<DropRecords> for Recovery {
    fn receive(&mut self, drop: DropRecords, _: &mut Self::Context) {
        let dropped = match drop {
            DropRecords::User(user) => self.tokens.drop_records(|identity| identity.user == user),
            DropRecords::Revoked(revocation) => self.tokens.drop_records(|identity| revocation.hits(identity)),
        };
        for suspended in dropped {
            self.stats.suspended.sub(1);
            self.release(suspended);
        }
    }
}

impl Receive<CloseRoom> for Recovery {
    fn receive(&mut self, CloseRoom { room, may_join }: CloseRoom, _: &mut Self::Context) {
        let left = self.tokens.close_room(&room, may_join);
        self.rooms.drop_cursors(vec![room; left]);
    }
}

impl Receive<Redeem> for Recovery {
    fn receive(&mut self, redeem: Redeem, ctx: &mut Self::Context) {
        self.redeem(redeem, ctx);
    }
}

impl Receive<NoteAttempt> for Recovery {
    fn receive(&mut self, NoteAttempt(token): NoteAttempt, _: &mut Self::Context) {
        self.tokens.note_attempt(&token);
    }
}

impl Receive<Restore> for Recovery {
    fn receive(&mut self, Restore(sessions): Restore, ctx: &mut Self::Context) {
        let elapsed = self.clock.elapsed_ms();
        for (token, suspended, left) in sessions {
            self.stats.suspended.add(1);
            self.tokens.insert(token, suspended, elapsed + left.max(RESTORED_MIN_MS));
            self.end_resuming(&token, ctx);
        }
        self.sweep(ctx);
    }
}

impl Receive<TakeSuspended> for Recovery {
    fn receive(&mut self, TakeSuspended(reply): TakeSuspended, _: &mut Self::Context) {
        let elapsed = self.clock.elapsed_ms();
        let all = self.tokens.take_all().into_iter();
        let all: Vec<_> = all.map(|(token, suspended, at)| (token, suspended, at - elapsed)).collect();
        self.stats.suspended.sub(all.len() as u64);
        let _ = reply.send(all);
    }
}

impl Receive<CountTokens> for Recovery {
    fn receive(&mut self, CountTokens(reply): CountTokens, _: &mut Self::Context) {
        let _ = reply.send(self.tokens.count());
    }
}
