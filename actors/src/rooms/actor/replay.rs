//! The room actor's part for members that missed messages: it numbers and stores publications of rooms with a history, and
//! reads them back.

use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context};

use super::RoomActor;
use super::messages::{Locate, ReadHistory, RoomSettings, SaveHistories};
use super::room::RoomState;
use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::publication::Publication;
use crate::rooms::fanout::messages::LocateMember;
use crate::rooms::persisted::RestoredHistory;
use crate::rooms::replies::{HistoryPosition, JoinSince, Membership};
use crate::runtime::mailbox::Receive;

/// The shortest time between two sweeps of expired messages, ms. Readers do not see expired messages before the sweep.
const SWEEP_MS: i64 = 1_000;

/// The time between two slices of a sweep, ms.
const SLICE_MS: i64 = 1;

impl RoomActor {
    /// Restores histories from the previous run.
    pub(super) fn restore(&mut self, histories: Vec<RestoredHistory>, ctx: &mut Context<Self>) {
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        for RestoredHistory { room, rule, saved } in histories {
            self.histories.restore(room, rule, saved, now, elapsed);
        }
        self.count_history(ctx);
    }

    /// Applies changed rules to the history of `room` when the room is next used. A change of the rules does not visit
    /// all rooms at once: the hub may have a million.
    pub(super) fn apply_rules(&mut self, room: &RoomName) {
        if self.revision == 0 {
            return;
        }
        let state = self.rooms.get_mut(room);
        if state.as_ref().is_some_and(|room| room.revision == self.revision) {
            return;
        }
        let rule = self.settings.rules.history(room);
        match rule {
            Some(rule) => self.histories.set_rule(room, rule, self.clock.elapsed_ms()),
            None => self.histories.remove(room),
        }
        if let Some(state) = state {
            (state.has_history, state.revision) = (rule.is_some(), self.revision);
            self.histories.open_for_members(&self.settings.rules, room);
        }
    }

    /// Keeps the position of a room that was removed, if the room has a history.
    pub(super) fn keep_position(&mut self, name: &RoomName, room: RoomState, ctx: &mut Context<Self>) {
        if !room.has_history {
            return;
        }
        // The position counts as a room, so the room must not count any more.
        let creator = room.counted.as_ref().map(|counted| counted.user().clone());
        drop(room);
        self.histories.leave(name, creator, self.clock.elapsed_ms());
        self.count_history(ctx);
    }

    /// Numbers and stores a publication when `room` has a history; returns the publication to deliver.
    pub(super) fn store_in_history(
        &mut self,
        room: &RoomName,
        publication: Publication,
        ctx: &mut Context<Self>,
    ) -> Publication {
        self.apply_rules(room);
        let has_history = match self.rooms.get(room) {
            Some(room) => room.has_history,
            None => self.histories.contains(room) || self.open_without_members(room),
        };
        if !has_history {
            return publication;
        }
        let publication = self.histories.store(room, publication, self.clock.elapsed_ms());
        self.count_history(ctx);
        publication
    }

    /// Creates the history of a room without members when a rule requires one.
    fn open_without_members(&mut self, room: &RoomName) -> bool {
        let rule = self.settings.rules.history(room);
        if let Some(rule) = rule {
            self.histories.open(room, rule);
        }
        rule.is_some()
    }

    /// The position of the history of `room`, and the messages after the client's `since`.
    pub(super) fn look_back(
        &mut self,
        room: &RoomName,
        since: Option<JoinSince>,
        ctx: &mut Context<Self>,
    ) -> (Option<Box<HistoryPosition>>, Vec<Arc<Publication>>) {
        let Some(history) = self.histories.read(room, self.clock.elapsed_ms()) else { return Default::default() };
        let since = since.and_then(|join| join.since);
        let missed = since.as_ref().map(|since| history.after(since, self.settings.replay_max));
        let recovered = missed.as_ref().map(Option::is_some);
        let position = HistoryPosition { position: history.position(), recovered };
        self.count_history(ctx);
        (Some(Box::new(position)), missed.flatten().unwrap_or_default())
    }

    /// Counts a change of the histories, and starts the timer of the next expiry.
    pub(super) fn count_history(&mut self, ctx: &mut Context<Self>) {
        let bytes = self.histories.bytes();
        let counted = std::mem::replace(&mut self.counted_bytes, bytes);
        self.stats.history_bytes.add(bytes.saturating_sub(counted) as u64);
        self.stats.history_bytes.sub(counted.saturating_sub(bytes) as u64);
        self.stats.histories_evicted.add(self.histories.take_evicted());
        self.await_expiry(SWEEP_MS, ctx);
    }

    /// Starts the timer of the next expiry, which waits for `least_ms` at least.
    fn await_expiry(&mut self, least_ms: i64, ctx: &mut Context<Self>) {
        let Some(due) = self.histories.due() else { return };
        let elapsed = self.clock.elapsed_ms();
        let due = due.max(elapsed.saturating_add(least_ms));
        match self.sweep {
            Some((at, _)) if at <= due => return,
            Some((_, late)) => {
                ctx.cancel_future(late);
            }
            None => {}
        }
        let wait = Duration::from_millis(u64::try_from(due - elapsed).unwrap_or(0));
        let sweep = self.clock.run_later(ctx, wait, |actor: &mut Self, ctx| {
            actor.sweep = None;
            if actor.histories.sweep(actor.clock.elapsed_ms()) {
                // The actor does other work between two slices.
                actor.await_expiry(SLICE_MS, ctx);
            }
            actor.count_history(ctx);
        });
        self.sweep = Some((due, sweep));
    }
}

impl Receive<Locate> for RoomActor {
    fn receive(&mut self, locate: Locate, ctx: &mut Self::Context) {
        let Locate { room, addr, since: JoinSince { since, reply_slot }, reply } = locate;
        // The session is no member: its join was refused, and it does not know yet.
        if self.was_refused(&room, addr) {
            return drop(reply.send(Err(Fault::overloaded())));
        }
        self.apply_rules(&room);
        let (mut history, _) = self.look_back(&room, None, ctx);
        if let Some(history) = &mut history {
            history.recovered = since.map(|since| since == history.position);
        }
        let (last_notification, number) = (self.notifications.last(), self.published);
        let membership = Membership { last_notification, number, chat: None, history };
        self.send(addr.worker, LocateMember { room, slot: addr.slot, membership, reply_slot, reply });
    }
}

impl Receive<ReadHistory> for RoomActor {
    fn receive(&mut self, ReadHistory { room, part, limit, reply }: ReadHistory, ctx: &mut Self::Context) {
        self.apply_rules(&room);
        let history = self.histories.read(&room, self.clock.elapsed_ms());
        let _ = reply.send(history.map(|history| history.page(part, limit)));
        self.count_history(ctx);
    }
}

impl Receive<RoomSettings> for RoomActor {
    fn receive(&mut self, settings: RoomSettings, ctx: &mut Self::Context) {
        if self.settings.rules != settings.rules {
            self.revision = self.revision.wrapping_add(1).max(1);
        }
        self.fanouts.set_limit(settings.lag);
        self.histories.set_most(settings.history_bytes, self.clock.elapsed_ms());
        self.log.set_limits(settings.log);
        self.settings = settings;
        self.count_history(ctx);
    }
}

impl Receive<SaveHistories> for RoomActor {
    fn receive(&mut self, SaveHistories(reply): SaveHistories, _: &mut Self::Context) {
        let _ = reply.send(self.histories.saved(self.clock.elapsed_ms()));
    }
}
