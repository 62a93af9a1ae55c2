//! The room actor's part for sessions that may recover: it keeps what they can miss, ends the memberships of suspended
//! sessions, and moves a recovered one into its rooms.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use actix::Context;

use super::messages::{
    Access, CountQueued, DropCursors, Entering, MakeRecoverable, RecoverRooms, Replay, SaveLog, SuspendSession,
    SuspendedRoom,
};
use super::{Entered, RoomActor};
use crate::connection::Served;
use crate::events::ServerEvent as _;
use crate::events::chat::messages::{ChatUserTyping, MessageNew};
use crate::events::community::UserTyping;
use crate::facts::Fact;
use crate::model::ids::{RoomName, SessionId};
use crate::publication::{Offset, Publication};
use crate::rooms::fanout::messages::{AddRecovered, Barrier};
use crate::rooms::persisted::RestoredLog;
use crate::rooms::persisted::segments::{SavedEntry, SavedLog, SavedRoom};
use crate::rooms::publication_log::{Appended, EntryKind, Kept, RoomCursor, Watcher};
use crate::rooms::replies::Recovered;
use crate::runtime::mailbox::{self, Receive};

/// Rooms of one session that one turn handles when the session is suspended, or its record ends.
const ROOMS_AT_ONCE: usize = 64;

/// Expired publications that one turn drops, at most.
const SWEPT_AT_ONCE: usize = 512;

/// The shortest time between two sweeps of the log, ms.
const SWEEP_MS: i64 = 1_000;

/// The time between two slices of a sweep, ms.
const SLICE_MS: i64 = 1;

/// What a publication is in a replay. The application may publish events with these names, too.
fn kind_of(room: &RoomName, publication: &Publication, except: Option<SessionId>) -> EntryKind {
    match publication.name().as_str() {
        MessageNew::NAME if room.chat().is_some() => EntryKind::Message,
        ChatUserTyping::NAME | UserTyping::NAME if except.is_some() => EntryKind::State,
        _ => EntryKind::Event,
    }
}

impl RoomActor {
    /// Keeps a copy of a publication if a session may recover it. Returns the publication to deliver.
    pub(super) fn append(
        &mut self,
        room: &RoomName,
        publication: Publication,
        except: Option<SessionId>,
        ctx: &mut Context<Self>,
    ) -> Arc<Publication> {
        if !self.log.is_watched(room) {
            return Arc::new(publication);
        }
        let kind = kind_of(room, &publication, except);
        let publication = match kind {
            EntryKind::Message => publication.with_message(self.log.next_message(room)),
            EntryKind::Event | EntryKind::State => publication,
        };
        // What a lagging worker has not delivered stays, but not without a bound.
        let is_far_beyond = self.log.bytes() > self.settings.log.bytes.saturating_mul(2);
        let handled = if is_far_beyond { self.published } else { self.fanouts.handled(self.published - 1) };
        // The copy is not encoded for the members, and holds no larger buffer.
        let copy = Arc::new(publication.detached());
        let appended = Appended { room: room.clone(), publication: copy, except, kind };
        self.log.append(appended, self.clock.elapsed_ms(), handled);
        self.count_log();
        self.await_log_expiry(SWEEP_MS, ctx);
        Arc::new(publication)
    }

    /// Counts a change of the log.
    pub(super) fn count_log(&mut self) {
        let now = (self.log.len() as u64, self.log.bytes() as u64);
        let before = std::mem::replace(&mut self.counted_log, now);
        for (gauge, before, now) in
            [(&self.stats.buffered_messages, before.0, now.0), (&self.stats.recovery_bytes, before.1, now.1)]
        {
            match now.cmp(&before) {
                Ordering::Greater => gauge.add(now - before),
                Ordering::Less => gauge.sub(before - now),
                Ordering::Equal => {}
            }
        }
        match self.log.take_evicted() {
            0 => {}
            evicted => self.stats.log_evicted.add(evicted),
        }
    }

    /// Starts the timer of the next expiry, which waits for `least_ms` at least.
    fn await_log_expiry(&mut self, least_ms: i64, ctx: &mut Context<Self>) {
        if self.log_sweep.is_some() {
            return;
        }
        let Some(due) = self.log.next_due() else { return };
        let wait = (due - self.clock.elapsed_ms()).max(least_ms);
        let wait = Duration::from_millis(u64::try_from(wait).unwrap_or(0));
        let sweep = self.clock.run_later(ctx, wait, |actor: &mut Self, ctx| {
            actor.log_sweep = None;
            // The actor does other work between two slices.
            let has_more = actor.log.sweep(actor.clock.elapsed_ms(), SWEPT_AT_ONCE);
            actor.count_log();
            actor.await_log_expiry(if has_more { SLICE_MS } else { SWEEP_MS }, ctx);
        });
        self.log_sweep = Some(sweep);
    }

    /// Restores the log of the previous run.
    pub(super) fn restore_log(&mut self, restored: RestoredLog, ctx: &mut Context<Self>) {
        let RestoredLog { log, cursors } = restored;
        let (elapsed, window_ms) = (self.clock.elapsed_ms(), self.settings.log.window_ms);
        for SavedRoom { room, evicted, messages } in log.rooms {
            self.log.restore_room(room, evicted, messages);
        }
        // A room that is not stored has no entries, so its log begins now.
        for (room, user) in cursors {
            self.log.watch(&room, Watcher::Record, self.published);
            if !room.is_internal() && !self.histories.contains(&room) && !self.reserved.contains_key(&room) {
                self.reserved.insert(room, Box::new(self.counts.take_restored(user)));
                self.stats.rooms.add(1);
            }
        }
        self.log.drop_unwatched();
        for SavedEntry { appended, message, age_ms } in log.entries.into_iter().rev() {
            self.log.restore(appended, message, elapsed - age_ms.min(window_ms));
        }
        self.count_log();
        self.await_log_expiry(SWEEP_MS, ctx);
    }

    /// Takes the session at `addr` out of a room. Its record watches the room from now on. `None`: it is not in the room.
    fn suspend_in(
        &mut self,
        suspend: &SuspendSession,
        room: &SuspendedRoom,
        ctx: &mut Context<Self>,
    ) -> Option<RoomCursor> {
        let (name, addr) = (&room.room, suspend.addr);
        if self.take_refused(name, addr) {
            return None;
        }
        let messages = room.messages.unwrap_or_else(|| self.log.message_count(name, room.number));
        self.log.suspend(name, messages);
        if !suspend.is_draining {
            if let Some(room) = self.rooms.get_mut(name) {
                room.slots.remove(addr.worker);
            }
            self.remove_member(name, addr, 0, None);
            self.exit(name, &suspend.user, addr, ctx);
            self.close_if_empty(name, ctx);
        }
        Some(RoomCursor { room: name.clone(), sequence: room.number, messages })
    }

    /// Whether the session may have sent its client the offset `last`.
    fn was_given(&self, last: Offset, recover: &RecoverRooms, served: Served) -> bool {
        let joined = recover.rooms.iter().map(|(cursor, _)| cursor.sequence).min().unwrap_or(0);
        // Unread notifications have the number of the publication before them, which may be for others.
        match last.notice {
            Some(_) => joined <= last.number && last.number <= served.position,
            None => joined < last.number && last.number <= served.offered.min(self.published),
        }
    }

    /// What the client missed, and how many messages of it are dropped; `None` when publications are lost.
    fn missed(&self, recover: &RecoverRooms) -> (Option<Vec<Arc<Publication>>>, u64) {
        let most = self.settings.recovery_max;
        match recover.replay {
            Replay::Publications { last, is_named_before, served } => {
                // With the offset that it named before, the client has received nothing since.
                let last = last.filter(|_| !is_named_before);
                if last.is_some_and(|last| !self.was_given(last, recover, served)) {
                    return (None, 0);
                }
                let received = match last.map_or(0, |last| last.number) {
                    received if received >= served.offered => received.max(served.position),
                    received => received,
                };
                let joined = recover.rooms.iter().filter(|(_, access)| *access != Access::Denied);
                let cursors =
                    joined.map(|(cursor, _)| RoomCursor { sequence: cursor.sequence.max(received), ..cursor.clone() });
                let cursors: Vec<_> = cursors.collect();
                (self.log.missed(&cursors, recover.session, most).ok(), 0)
            }
            Replay::Messages => {
                let ranges = recover.rooms.iter().filter_map(|(cursor, access)| match access {
                    Access::Join => Some((cursor.clone(), u64::MAX)),
                    Access::Member(until) => Some((cursor.clone(), *until)),
                    Access::Denied => None,
                });
                let (missed, dropped) = self.log.missed_messages(&ranges.collect::<Vec<_>>(), most);
                (Some(missed), dropped)
            }
        }
    }

    /// Makes a session a member of a room of the session that it recovers.
    fn enter_recovered(&mut self, name: &RoomName, entering: &Entering) -> Entered {
        let user = entering.identity.user.clone();
        // The session was in the room before, so it is not refused.
        let entered = self.enter(name, entering, |counts| Ok(counts.take_restored(user)));
        entered.inspect_err(|fault| log::error!("a recovered session cannot join a room: {fault}")).unwrap_or_default()
    }

    /// A record needs no publications of a room any more.
    fn drop_cursor(&mut self, room: &RoomName) {
        self.log.unwatch(room, Watcher::Record);
        if !self.log.has_records(room) && self.reserved.remove(room).is_some() {
            self.stats.rooms.sub(1);
        }
    }
}

impl Receive<MakeRecoverable> for RoomActor {
    fn receive(&mut self, MakeRecoverable { rooms, addr, reply }: MakeRecoverable, _: &mut Self::Context) {
        for room in rooms {
            // The end of a refused join ends nothing, so it must not be watched.
            if !self.was_refused(&room, addr) {
                self.log.watch(&room, Watcher::Session, self.published);
            }
        }
        self.send(addr.worker, Barrier(reply));
    }
}

impl Receive<SuspendSession> for RoomActor {
    fn receive(&mut self, mut suspend: SuspendSession, ctx: &mut Self::Context) {
        let next = suspend.rooms.split_off(suspend.rooms.len().saturating_sub(ROOMS_AT_ONCE));
        for room in next {
            let cursor = self.suspend_in(&suspend, &room, ctx);
            suspend.cursors.extend(cursor);
        }
        if suspend.rooms.is_empty() {
            (suspend.then)(suspend.cursors);
        } else {
            mailbox::continue_with(suspend, ctx);
        }
    }
}

impl Receive<DropCursors> for RoomActor {
    fn receive(&mut self, DropCursors(mut rooms): DropCursors, ctx: &mut Self::Context) {
        let next = rooms.split_off(rooms.len().saturating_sub(ROOMS_AT_ONCE));
        next.iter().for_each(|room| self.drop_cursor(room));
        self.count_log();
        if !rooms.is_empty() {
            mailbox::continue_with(DropCursors(rooms), ctx);
        }
    }
}

impl Receive<RecoverRooms> for RoomActor {
    fn receive(&mut self, recover: RecoverRooms, ctx: &mut Self::Context) {
        let (missed, dropped) = self.missed(&recover);
        let number = self.published;
        let last_notification = self.notifications.last();
        let RecoverRooms { entering, rooms, new_rooms, head, reply, .. } = recover;
        let mut joined = Vec::with_capacity(rooms.len() + new_rooms.len());
        for (RoomCursor { room, .. }, access) in rooms {
            match access {
                Access::Join if missed.is_some() || !room.is_optional() => {
                    self.log.recover(&room);
                    joined.push(room);
                }
                // The session begins anew, and leaves the rooms that it requested.
                Access::Join => {
                    self.drop_cursor(&room);
                    self.refused.insert((room, entering.addr));
                }
                Access::Member(_) | Access::Denied => self.drop_cursor(&room),
            }
        }
        for room in new_rooms {
            self.log.watch(&room, Watcher::Session, head);
            joined.push(room);
        }
        let entered: Vec<_> = joined.iter().map(|room| self.enter_recovered(room, &entering)).collect();
        let Entering { identity, addr, .. } = entering;
        let online = joined.iter().zip(&entered).filter(|(_, entered)| entered.joined.is_none());
        let online: Vec<_> = online.filter_map(|(room, _)| self.online_users(room)).collect();
        let bytes = missed.iter().flatten().map(|publication| publication.lag_weight()).sum();
        let recovered = Recovered { number, last_notification, missed, dropped, online };
        let add = AddRecovered { slot: addr.slot, rooms: joined.clone(), recovered, reply };
        self.fanouts.send(addr.worker, add, number, bytes);
        for (room, entered) in joined.iter().zip(entered) {
            self.observers.observe(Fact::Joined { room, user: &identity.user });
            if let Some(joined) = entered.joined {
                self.announce_member(room, &joined, addr, ctx);
            }
        }
        self.count_log();
    }
}

impl Receive<CountQueued> for RoomActor {
    fn receive(&mut self, CountQueued(reply): CountQueued, _: &mut Self::Context) {
        let _ = reply.send(self.log.queued());
    }
}

impl Receive<SaveLog> for RoomActor {
    fn receive(&mut self, SaveLog(reply): SaveLog, _: &mut Self::Context) {
        let now = self.clock.elapsed_ms();
        let room = |(room, evicted, messages): (&RoomName, _, _)| SavedRoom { room: room.clone(), evicted, messages };
        let rooms = self.log.rooms_with_records().map(room).collect();
        let entry = |(message, Kept { room, publication, except, kind, elapsed }): (u64, Kept<'_>)| {
            let appended = Appended { room: room.clone(), publication: publication.clone(), except, kind };
            SavedEntry { appended, message, age_ms: now - elapsed }
        };
        let entries = self.log.kept_for_records().map(entry).collect();
        let _ = reply.send(SavedLog { head: self.published, rooms, entries });
    }
}
