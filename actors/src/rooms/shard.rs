//! The actor that owns the truth of its share of the rooms: who is in, in which order messages go. What it does with
//! messages that are kept is in [`replay`], what there is more to a chat in [`chat`].
//!
//! A publish takes its place in the room's order here and is handed once to each worker that has members. When a
//! worker's fan-out is full the shard waits for it; its own mailbox then fills and publishers are refused. Nothing that
//! was accepted is dropped.

mod backlog;
pub(crate) mod chat;
mod lists;
mod member_counts;
pub(crate) mod messages;
pub(crate) mod replay;
mod room;

use std::collections::hash_map::Entry;
use std::sync::Arc;

use actix::fut::WrapFuture;
use actix::{Actor, AsyncContext, Context, SpawnHandle};
use ahash::{AHashMap, AHashSet};

use self::backlog::Backlog;
use self::lists::Listed;
use self::member_counts::{UserCounts, WorkerCounts};
use self::messages::{CloseMembers, DiscardSuspended, Flush, Join, Leave, Notify, Panic, Publish, SuspendSession};
use self::room::Room;
use super::counts::{CountedRoom, RoomCounts};
use super::fanout::{AddMember, Barrier, CloseRoom, Deliver, Fanout, RemoveMember};
use super::histories::Archive;
use super::rules::Rules;
use super::timers::Timers;
use super::workers::InhabitedRoom;
use super::{Membership, Published, Workers};
use crate::chats::members::ChatMembers;
use crate::connection::SessionAddr;
use crate::connection::outbox::OutboxCapacity;
use crate::hub::Hub;
use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::notifications::Notifications;
use crate::publication::Publication;
use crate::registry::Registry;
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;
use crate::runtime::mailbox::{Full, Posted, Receive, receives_posts};
use crate::store::Store;

/// The actor.
#[derive(Debug)]
pub struct RoomShard {
    worker: usize,
    workers: Arc<Workers>,
    rooms: AHashMap<RoomName, Room>,
    /// Those with members, without the hub's own.
    listed: Listed,
    /// How many rooms clients made, on all shards.
    counts: Arc<RoomCounts>,
    /// Joins that were refused and whose sessions may not know yet: the leave that follows each of them ends nothing.
    refused: AHashSet<(RoomName, SessionAddr)>,
    /// The number of the last message that it published.
    published: u64,
    notifications: Notifications,
    store: Store,
    registry: Arc<Registry>,
    clock: Clock,
    stats: Arc<Stats>,
    /// What it comes back to, and the timer that is due first, with its time.
    timers: Timers,
    waking: Option<(i64, SpawnHandle)>,
    rules: Rules,
    /// How often the rules changed since the start.
    revision: u32,
    archive: Archive,
    /// What `stats` was told of the archive's bytes.
    archive_told: usize,
    /// When the archive is looked through next, ms by [`Clock::elapsed_ms`].
    sweep: Option<(i64, SpawnHandle)>,
    /// The most of what was missed that is taken for one session.
    missed_max: OutboxCapacity,
    /// What waits for a fan-out that is full; nothing overtakes it.
    backlog: Backlog,
}

/// What a shard counts its messages from, in steps of as many as there are shards: no two count alike, nor one after a start
/// as one before it, for a hub publishes less than 2^20 messages in a millisecond.
fn first_number(now: i64, worker: usize) -> u64 {
    (now.unsigned_abs() << 20) + worker as u64
}

impl RoomShard {
    /// The shard of `hub` on that worker, without rooms.
    pub(crate) fn new(hub: &Hub, worker: usize) -> Self {
        let settings = hub.settings();
        Self {
            worker,
            workers: hub.rooms().workers().clone(),
            rooms: AHashMap::new(),
            listed: Listed::default(),
            counts: hub.rooms().counts().clone(),
            refused: AHashSet::new(),
            published: first_number(hub.clock().now_ms(), worker),
            notifications: hub.notifications().clone(),
            store: hub.store().clone(),
            registry: hub.registry().clone(),
            clock: hub.clock().clone(),
            stats: hub.stats_shared(),
            timers: Timers::default(),
            waking: None,
            rules: settings.rules.clone(),
            revision: 0,
            archive: Archive::new(settings.history_bytes_max()),
            archive_told: 0,
            sweep: None,
            missed_max: settings.outbox.half(),
            backlog: Backlog::default(),
        }
    }

    /// Gives a message its place in the room's order, on its way to the members; what became of it.
    fn publish(
        &mut self,
        name: &RoomName,
        delivery: Publication,
        except: Option<SessionAddr>,
        ctx: &mut Context<Self>,
    ) -> Published {
        self.stats.published.add(1);
        self.published += self.workers.len() as u64;
        let delivery = self.keep(name, delivery, ctx);
        let Some(room) = self.rooms.get(name) else { return Published { recipients: 0 } };
        let recipients = room.sessions.saturating_sub(usize::from(except.is_some()));
        let delivery = Arc::new(delivery.with_number(self.published).with_accepted_us(self.clock.elapsed_us()));
        for worker in room.session_table.inhabited() {
            let except = except.filter(|place| place.worker == worker).map(|place| place.slot);
            self.hand(worker, Deliver { room: name.clone(), delivery: delivery.clone(), except }, ctx);
        }
        Published { recipients }
    }

    /// The room `name`, made and counted by `count` where there is none.
    fn open(
        &mut self,
        name: &RoomName,
        count: impl FnOnce(&Arc<RoomCounts>) -> Result<CountedRoom, Fault>,
    ) -> Result<&mut Room, Fault> {
        self.follow_rules(name);
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        match self.rooms.entry(name.clone()) {
            Entry::Occupied(room) => Ok(room.into_mut()),
            Entry::Vacant(vacant) => {
                let counted = if name.is_internal() { None } else { Some(Box::new(count(&self.counts)?)) };
                self.stats.rooms.add(u64::from(counted.is_some()));
                Ok(vacant.insert(Room {
                    users: UserCounts::default(),
                    sessions: 0,
                    session_table: WorkerCounts::default(),
                    chat_members: name.chat().map(|chat| Box::new(ChatMembers::new(chat, now, elapsed))),
                    has_history: replay::open(&self.rules, &mut self.archive, name),
                    revision: self.revision,
                    counted,
                }))
            }
        }
    }

    /// Whether the session at `place` was refused in this room and not heard of since.
    fn was_refused(&self, name: &RoomName, place: SessionAddr) -> bool {
        !self.refused.is_empty() && self.refused.contains(&(name.clone(), place))
    }

    /// As [`Self::was_refused`], and forgets it.
    fn take_refused(&mut self, name: &RoomName, place: SessionAddr) -> bool {
        let refused = !self.refused.is_empty() && self.refused.remove(&(name.clone(), place));
        if self.refused.is_empty() {
            self.refused = AHashSet::new();
        }
        refused
    }

    /// Forgets a room without seats.
    fn close_if_empty(&mut self, name: &RoomName) {
        if self.rooms.get(name).is_some_and(|room| room.session_table.inhabited().next().is_none()) {
            if let Some(room) = self.rooms.remove(name) {
                if room.has_history {
                    self.archive.desert(name);
                }
                self.stats.rooms.sub(u64::from(room.counted.is_some()));
            }
            super::shrink(&mut self.rooms);
        }
    }

    /// Hands a message to a worker's fan-out; waits, and lets nothing overtake, when that is full.
    fn hand<M>(&self, worker: usize, message: M, ctx: &mut Context<Self>)
    where
        Fanout: Receive<M> + actix::Handler<Posted<M>>,
        M: Send + 'static,
    {
        let Some(fanout) = self.workers.fanout(worker) else { return };
        let waits = !self.backlog.is_empty();
        let message = if waits {
            message
        } else {
            match fanout.post(message) {
                Ok(()) => return,
                Err(Full(message)) => message,
            }
        };
        let fanout = fanout.clone();
        self.backlog.push(Box::pin(async move { fanout.post_when_free(message).await }));
        if !waits {
            ctx.wait(self.backlog.clone().empty().into_actor(self));
        }
    }
}

impl Actor for RoomShard {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Its `Mailbox` keeps the bound.
        ctx.set_mailbox_capacity(0);
        let restored = self.workers.take_restored(self.worker);
        self.restore(restored, ctx);
        for InhabitedRoom { room, worker, user } in self.workers.take_inhabited(self.worker) {
            if let Ok(room) = self.open(&room, |counts| Ok(counts.take_restored(user))) {
                room.session_table.add(worker);
            }
        }
    }
}

receives_posts!(RoomShard);

impl Receive<Join> for RoomShard {
    fn receive(&mut self, join: Join, ctx: &mut Self::Context) {
        let Join { room: name, identity, connected_at, place, instead_of, returns, done } = join;
        let now = self.clock.now_ms();
        let parked_is_in = instead_of.is_some_and(|suspended| !self.was_refused(&name, suspended));
        let room = match self.open(&name, |counts| counts.take(&identity.user)) {
            Ok(room) => room,
            Err(fault) => {
                self.refused.insert((name, place));
                let _ = done.send(Err(fault));
                return;
            }
        };
        let is_first = room.enter(&identity.user);
        room.session_table.add(place.worker);
        if let Some(suspended) = instead_of.filter(|_| parked_is_in) {
            room.session_table.remove(suspended.worker);
        }
        let chat_members = room.chat_members.as_deref_mut();
        let (chat, joined) = match chat_members {
            Some(chat_members) => {
                let joined = is_first.then(|| chat_members.came(&identity, connected_at, now));
                (Some(Box::new(chat_members.info())), joined)
            }
            None => (None, None),
        };
        let (users, has_history) = (room.users.len(), room.has_history);
        if room.sessions == 1 {
            self.listed.add(&name);
        }
        let behind = returns.as_ref().map(|returns| returns.behind);
        let (past, missed) = if has_history { self.look_back(&name, returns, ctx) } else { Default::default() };
        let membership = Membership { moment: self.notifications.moment(), number: self.published, chat, past };
        let enrol = AddMember { room: name.clone(), handle: place.slot, membership, missed, behind, done };
        self.hand(place.worker, enrol, ctx);
        if let Some(suspended) = instead_of {
            self.hand(
                suspended.worker,
                RemoveMember { room: name.clone(), handle: suspended.slot, users, done: None },
                ctx,
            );
            self.take_refused(&name, suspended);
        }
        if let Some(joined) = joined {
            self.tell_coming(&name, &joined, place, ctx);
        }
    }
}

impl Receive<Leave> for RoomShard {
    fn receive(&mut self, leave: Leave, ctx: &mut Self::Context) {
        let Leave { room: name, user, place, done } = leave;
        let mut users = 0;
        if self.take_refused(&name, place) {
            return self.hand(place.worker, RemoveMember { room: name, handle: place.slot, users, done }, ctx);
        }
        if let Some(room) = self.rooms.get_mut(&name) {
            room.session_table.remove(place.worker);
            users = room.users.len() - usize::from(room.users.sessions(&user) == 1);
        }
        self.hand(place.worker, RemoveMember { room: name.clone(), handle: place.slot, users, done }, ctx);
        self.exit(&name, &user, place, ctx);
        self.close_if_empty(&name);
    }
}

impl Receive<SuspendSession> for RoomShard {
    fn receive(&mut self, SuspendSession { room, user, place }: SuspendSession, ctx: &mut Self::Context) {
        if !self.was_refused(&room, place) {
            self.exit(&room, &user, place, ctx);
        }
    }
}

impl Receive<DiscardSuspended> for RoomShard {
    fn receive(&mut self, DiscardSuspended { room: name, place, done }: DiscardSuspended, ctx: &mut Self::Context) {
        let mut users = 0;
        if self.take_refused(&name, place) {
            return self.hand(place.worker, RemoveMember { room: name, handle: place.slot, users, done }, ctx);
        }
        if let Some(room) = self.rooms.get_mut(&name) {
            room.session_table.remove(place.worker);
            users = room.users.len();
        }
        self.hand(place.worker, RemoveMember { room: name.clone(), handle: place.slot, users, done }, ctx);
        self.close_if_empty(&name);
    }
}

impl Receive<Publish> for RoomShard {
    fn receive(&mut self, publish: Publish, ctx: &mut Self::Context) {
        let delivery = Publication::for_notification(publish.event, publish.about);
        let published = self.publish(&publish.room, delivery, publish.except, ctx);
        let _ = publish.done.send(published);
    }
}

impl Receive<Notify> for RoomShard {
    fn receive(&mut self, notify: Notify, ctx: &mut Self::Context) {
        let Notify { user, notification, event, done } = notify;
        let room = RoomName::of_user(&user);
        let delivery = Publication::for_notification(event, Some(notification.id.clone()));
        // Kept first: what cannot be is not delivered either.
        let kept = self.notifications.keep(user, notification, delivery.timestamp());
        let _ = done.send(kept.map(|keeping| (self.publish(&room, delivery, None, ctx), keeping)));
    }
}

impl Receive<CloseMembers> for RoomShard {
    fn receive(&mut self, message: CloseMembers, ctx: &mut Self::Context) {
        let room = self.rooms.get(&message.room);
        let recipients = room.map_or(0, |room| room.sessions);
        for worker in room.into_iter().flat_map(|room| room.session_table.inhabited()) {
            self.hand(worker, CloseRoom { room: message.room.clone(), close: message.close }, ctx);
        }
        let _ = message.done.send(Published { recipients });
    }
}

impl Receive<Flush> for RoomShard {
    fn receive(&mut self, Flush(done): Flush, ctx: &mut Self::Context) {
        for (worker, done) in done.into_iter().enumerate() {
            self.hand(worker, Barrier(done), ctx);
        }
    }
}

impl Receive<Panic> for RoomShard {
    #[expect(clippy::panic, reason = "that is what it is for")]
    fn receive(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a room shard was told to panic");
    }
}
