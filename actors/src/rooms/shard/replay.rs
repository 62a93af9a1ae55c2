//! What a shard does for those who missed something: numbers and keeps what is published to a room with a history, and
//! takes from it what somebody asks for.

use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context};
use tokio::sync::oneshot;

use super::RoomShard;
use crate::connection::SessionAddr;
use crate::hub::Settings;
use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::publication::Publication;
use crate::rooms::fanout::Situate;
use crate::rooms::histories::Archive;
use crate::rooms::history::{HistoryPage, Part, Saved};
use crate::rooms::persisted::Restored;
use crate::rooms::rules::Rules;
use crate::rooms::{Membership, Past, Return};
use crate::runtime::mailbox::Receive;

/// The shortest time between two looks through what may be too old, ms: what is too old is not shown meanwhile.
const SWEEP_MS: i64 = 1_000;

/// Asks where a room's history stands for a session that is a member already.
#[derive(Debug)]
pub(crate) struct Locate {
    pub(crate) room: RoomName,
    pub(crate) place: SessionAddr,
    pub(crate) returns: Return,
    /// Answered as a join is.
    pub(crate) done: oneshot::Sender<Result<Membership, Fault>>,
}

/// Asks for some of a room's kept messages.
#[derive(Debug)]
pub(crate) struct ReadHistory {
    pub(crate) room: RoomName,
    pub(crate) part: Part,
    pub(crate) limit: usize,
    /// Answered with nothing where there is no history.
    pub(crate) reply: oneshot::Sender<Option<HistoryPage>>,
}

/// The settings are these from now on.
#[derive(Debug)]
pub(crate) struct FollowSettings(pub(crate) Arc<Settings>);

/// Asks for all that is to be stored.
#[derive(Debug)]
pub(crate) struct Save(pub(crate) oneshot::Sender<Vec<(RoomName, Saved)>>);

/// Makes the history of a room that gets its first member, where its rule keeps one; whether it does.
pub(super) fn open(rules: &Rules, archive: &mut Archive, room: &RoomName) -> bool {
    let rule = rules.history(room);
    if let Some(rule) = rule {
        archive.open(room, rule);
        archive.inhabit(room);
    }
    rule.is_some()
}

impl RoomShard {
    /// Puts back what rooms kept before the start.
    pub(super) fn restore(&mut self, kept: Vec<Restored>, ctx: &mut Context<Self>) {
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        for Restored { room, rule, saved } in kept {
            self.archive.restore(room, rule, saved, now, elapsed);
        }
        self.note_archive(ctx);
    }

    /// Brings the history of `room` in line with the rules, where those changed since it was last asked for. Not all rooms
    /// at once when they change: there may be a million.
    pub(super) fn follow_rules(&mut self, room: &RoomName) {
        if self.revision == 0 {
            return;
        }
        let inhabited = self.rooms.get_mut(room);
        if inhabited.as_ref().is_some_and(|room| room.revision == self.revision) {
            return;
        }
        let rule = self.rules.history(room);
        match rule {
            Some(rule) => self.archive.set_rule(room, rule, self.clock.elapsed_ms()),
            None => self.archive.remove(room),
        }
        if let Some(inhabited) = inhabited {
            (inhabited.has_history, inhabited.revision) = (rule.is_some(), self.revision);
            open(&self.rules, &mut self.archive, room);
        }
    }

    /// Numbers and keeps a message that is published to `room`, where that has a history; what is to be delivered.
    pub(super) fn keep(&mut self, room: &RoomName, delivery: Publication, ctx: &mut Context<Self>) -> Publication {
        self.follow_rules(room);
        let has_history = match self.rooms.get(room) {
            Some(room) => room.has_history,
            None => self.archive.holds(room) || self.open_for_nobody(room),
        };
        if !has_history {
            return delivery;
        }
        let delivery = self.archive.keep(room, delivery, self.clock.elapsed_ms());
        self.note_archive(ctx);
        delivery
    }

    /// Makes the history of a room without members, where its rule keeps one.
    fn open_for_nobody(&mut self, room: &RoomName) -> bool {
        let rule = self.rules.history(room);
        if let Some(rule) = rule {
            self.archive.open(room, rule);
        }
        rule.is_some()
    }

    /// Where the history of `room` stands, and what somebody who returns missed.
    pub(super) fn look_back(
        &mut self,
        room: &RoomName,
        returns: Option<Return>,
        ctx: &mut Context<Self>,
    ) -> (Option<Box<Past>>, Vec<Arc<Publication>>) {
        let Some(history) = self.archive.look(room, self.clock.elapsed_ms()) else { return Default::default() };
        let since = returns.and_then(|returns| returns.since);
        let missed = since.as_ref().map(|since| history.after(since, self.missed_max));
        let recovered = missed.as_ref().map(Option::is_some);
        let past = Past { position: history.position(), recovered };
        self.note_archive(ctx);
        (Some(Box::new(past)), missed.flatten().unwrap_or_default())
    }

    /// The archive is other than before: counts that, and comes back when something is too old.
    pub(super) fn note_archive(&mut self, ctx: &mut Context<Self>) {
        let (bytes, told) = (self.archive.bytes(), std::mem::replace(&mut self.archive_told, self.archive.bytes()));
        self.stats.history_bytes.add(bytes.saturating_sub(told) as u64);
        self.stats.history_bytes.sub(told.saturating_sub(bytes) as u64);
        self.stats.histories_evicted.add(self.archive.take_evicted());
        self.await_expiry(ctx);
    }

    fn await_expiry(&mut self, ctx: &mut Context<Self>) {
        let Some(due) = self.archive.due() else { return };
        let elapsed = self.clock.elapsed_ms();
        let due = due.max(elapsed.saturating_add(SWEEP_MS));
        match self.sweep {
            Some((at, _)) if at <= due => return,
            Some((_, late)) => {
                ctx.cancel_future(late);
            }
            None => {}
        }
        let wait = Duration::from_millis(u64::try_from(due - elapsed).unwrap_or(0));
        let sweep = self.clock.run_later(ctx, wait, |shard: &mut Self, ctx| {
            shard.sweep = None;
            shard.archive.sweep(shard.clock.elapsed_ms());
            shard.note_archive(ctx);
        });
        self.sweep = Some((due, sweep));
    }
}

impl Receive<Locate> for RoomShard {
    fn receive(&mut self, locate: Locate, ctx: &mut Self::Context) {
        let Locate { room, place, returns: Return { since, behind }, done } = locate;
        self.follow_rules(&room);
        let (mut past, _) = self.look_back(&room, None, ctx);
        if let Some(past) = &mut past {
            past.recovered = since.map(|since| since == past.position);
        }
        let membership = Membership { moment: self.notifications.moment(), number: self.published, chat: None, past };
        self.hand(place.worker, Situate { room, handle: place.slot, membership, behind, done }, ctx);
    }
}

impl Receive<ReadHistory> for RoomShard {
    fn receive(&mut self, ReadHistory { room, part, limit, reply }: ReadHistory, ctx: &mut Self::Context) {
        self.follow_rules(&room);
        let history = self.archive.look(&room, self.clock.elapsed_ms());
        let _ = reply.send(history.map(|history| history.page(part, limit)));
        self.note_archive(ctx);
    }
}

impl Receive<FollowSettings> for RoomShard {
    fn receive(&mut self, FollowSettings(settings): FollowSettings, ctx: &mut Self::Context) {
        if self.rules != settings.rules {
            self.rules = settings.rules.clone();
            self.revision = self.revision.wrapping_add(1).max(1);
        }
        self.missed_max = settings.outbox.half();
        self.archive.set_most(settings.history_bytes_max());
        self.note_archive(ctx);
    }
}

impl Receive<Save> for RoomShard {
    fn receive(&mut self, Save(reply): Save, _: &mut Self::Context) {
        let _ = reply.send(self.archive.saved(self.clock.elapsed_ms()));
    }
}
