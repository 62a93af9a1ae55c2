//! The actor that has all rooms: their members, and the one order of the hub's publications. [`publishing`] gives
//! publications their order, [`replay`] handles histories, [`recovery`] the log for sessions that may recover, and
//! [`chat`] handles chats.
//!
//! A publication takes its place in the order here and is sent once to each worker with members. While such a worker lags
//! by more than `limits.lag` or `limits.lag_bytes`, publishers of the room and joins of the worker are refused. Nothing
//! accepted is dropped.

mod chat;
pub(crate) mod chat_view;
mod lists;
mod member_counts;
pub(crate) mod messages;
mod publishing;
mod recovery;
mod replay;
mod room;

use std::collections::hash_map::Entry;
use std::sync::Arc;

use actix::{Actor, Context, SpawnHandle};
use ahash::{AHashMap, AHashSet};

use self::lists::ListedRooms;
use self::member_counts::{UserCounts, WorkerCounts};
use self::messages::Entering;
use self::messages::{CloseMembers, Flush, Join, Leave, Panic, RoomSettings};
use self::room::RoomState;
use super::counts::{CountedRoom, RoomCounts};
use super::fanout::Fanout;
use super::fanout::mailboxes::FanoutMailboxes;
use super::fanout::messages::{AddMember, Barrier, CloseRoom, RemoveMember};
use super::histories::Histories;
use super::persisted::{RestoredHistory, RestoredLog};
use super::publication_log::{PublicationLog, Watcher};
use super::replies::{Membership, Published};
use super::timers::Timers;
use crate::connection::SessionAddr;
use crate::events::chat::rooms::{RoomInfo, UserJoined};
use crate::facts::{Fact, Observers};
use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::notifications::Notifications;
use crate::registry::Registry;
use crate::rooms::chat_members::ChatMembers;
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;
use crate::runtime::mailbox::{Posted, Receive, ReplySender, receives_posts};
use crate::runtime::shrink::shrink;
use crate::store::Store;

/// What the room actor uses.
pub(crate) struct RoomActorContext {
    pub(crate) fanouts: Arc<FanoutMailboxes>,
    pub(crate) counts: Arc<RoomCounts>,
    pub(crate) notifications: Notifications,
    pub(crate) store: Store,
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: Clock,
    pub(crate) stats: Arc<Stats>,
    pub(crate) observers: Observers,
    /// How long a topic without members and messages keeps its position at least, ms.
    pub(crate) window_ms: i64,
    pub(crate) settings: RoomSettings,
    /// Histories and the log from the previous run.
    pub(crate) restored: (Vec<RestoredHistory>, RestoredLog),
}

/// The actor.
#[derive(Debug)]
pub struct RoomActor {
    fanouts: Arc<FanoutMailboxes>,
    rooms: AHashMap<RoomName, RoomState>,
    /// Rooms with members, without internal rooms.
    listed: ListedRooms,
    /// Counts the rooms that clients created.
    counts: Arc<RoomCounts>,
    /// Refused joins of sessions that have not received the refusal yet: the leave after each of them removes nothing.
    refused: AHashSet<(RoomName, SessionAddr)>,
    /// The number of the last publication.
    published: u64,
    notifications: Notifications,
    store: Store,
    registry: Arc<Registry>,
    clock: Clock,
    stats: Arc<Stats>,
    observers: Observers,
    timers: Timers,
    /// The running timer, with its time in ms by [`Clock::elapsed_ms`].
    waking: Option<(i64, SpawnHandle)>,
    settings: RoomSettings,
    /// Changes of the rules since the start.
    revision: u32,
    histories: Histories,
    /// The bytes of `histories` that are counted in `stats`.
    counted_bytes: usize,
    /// The running timer for the next expiry of history, with its time in ms by [`Clock::elapsed_ms`].
    sweep: Option<(i64, SpawnHandle)>,
    /// Counts rooms without members that records of suspended sessions are in.
    reserved: AHashMap<RoomName, Box<CountedRoom>>,
    /// What sessions that may recover can have missed.
    log: PublicationLog,
    /// The publications and the bytes of `log` that are counted in `stats`.
    counted_log: (u64, u64),
    /// The running timer for the next expiry of the log.
    log_sweep: Option<SpawnHandle>,
    /// Histories and the log from the previous run, until the actor starts.
    restored: (Vec<RestoredHistory>, RestoredLog),
}

/// The number before the first publication, at the time `now` in ms since the epoch. A hub publishes less than 2^20
/// messages in a millisecond, so a new run does not repeat numbers of the previous one. `head` is the last number of the
/// previous run, or 0: the clock may have been set back since.
fn first_number(now: i64, head: u64) -> u64 {
    (now.unsigned_abs() << 20).max(head)
}

impl RoomActor {
    /// An actor without rooms. It restores the previous run when it starts.
    pub(crate) fn new(context: RoomActorContext) -> Self {
        let RoomActorContext { fanouts, counts, notifications, store, registry, clock, stats, .. } = context;
        let RoomActorContext { observers, window_ms, settings, restored, .. } = context;
        Self {
            fanouts,
            rooms: AHashMap::new(),
            listed: ListedRooms::default(),
            refused: AHashSet::new(),
            published: first_number(clock.now_ms(), restored.1.log.head),
            notifications,
            store,
            registry,
            clock,
            stats,
            observers,
            timers: Timers::default(),
            waking: None,
            histories: Histories::new(settings.history_bytes, window_ms, counts.clone()),
            counts,
            reserved: AHashMap::new(),
            log: PublicationLog::new(settings.log),
            counted_log: (0, 0),
            log_sweep: None,
            settings,
            revision: 0,
            counted_bytes: 0,
            sweep: None,
            restored,
        }
    }

    /// The room `name`; a new room is counted by `count`.
    fn open(
        &mut self,
        name: &RoomName,
        count: impl FnOnce(&Arc<RoomCounts>) -> Result<CountedRoom, Fault>,
    ) -> Result<&mut RoomState, Fault> {
        self.apply_rules(name);
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        match self.rooms.entry(name.clone()) {
            Entry::Occupied(room) => Ok(room.into_mut()),
            Entry::Vacant(vacant) => {
                let counted = match self.reserved.remove(name) {
                    Some(reserved) => Some(reserved),
                    None if name.is_internal() => None,
                    None => {
                        let counted = Box::new(count(&self.counts)?);
                        self.stats.rooms.add(1);
                        Some(counted)
                    }
                };
                let has_history = self.histories.open_for_members(&self.settings.rules, name);
                self.histories.fit_rooms(counted.as_ref().map(|counted| counted.user()));
                Ok(vacant.insert(RoomState {
                    users: UserCounts::default(),
                    sessions: 0,
                    slots: WorkerCounts::default(),
                    chat_members: name.chat().map(|chat| Box::new(ChatMembers::new(chat, now, elapsed))),
                    has_history,
                    revision: self.revision,
                    counted,
                }))
            }
        }
    }

    /// Whether this join was refused and the session has not received the refusal yet.
    fn was_refused(&self, name: &RoomName, addr: SessionAddr) -> bool {
        !self.refused.is_empty() && self.refused.contains(&(name.clone(), addr))
    }

    /// As [`Self::was_refused`], and forgets the refusal.
    fn take_refused(&mut self, name: &RoomName, addr: SessionAddr) -> bool {
        let refused = !self.refused.is_empty() && self.refused.remove(&(name.clone(), addr));
        if self.refused.is_empty() {
            self.refused = AHashSet::new();
        }
        refused
    }

    /// Removes a room without members. Its count stays while records of suspended sessions are in the room.
    fn close_if_empty(&mut self, name: &RoomName, ctx: &mut Context<Self>) {
        if self.rooms.get(name).is_some_and(|room| room.slots.workers().next().is_none()) {
            if let Some(mut room) = self.rooms.remove(name) {
                // A kept position counts as a room by itself.
                if !room.has_history && self.log.has_records(name) {
                    self.reserved.extend(room.counted.take().map(|counted| (name.clone(), counted)));
                }
                self.stats.rooms.sub(u64::from(room.counted.is_some()));
                self.keep_position(name, room, ctx);
            }
            shrink(&mut self.rooms);
        }
    }

    /// Sends a message to a worker's fan-out, in the order of the publications. The message ends
    /// something accepted before, or a caller waits for its reply. So the [lag](FanoutMailboxes::lags) does not count it.
    fn send<M>(&self, worker: usize, message: M)
    where
        Fanout: Receive<M> + actix::Handler<Posted<M>>,
        M: Send + 'static,
    {
        if let Some(fanout) = self.fanouts.get(worker) {
            fanout.post_departure(message);
        }
    }

    /// Refuses a publication while a worker with slots in the room lags too far behind.
    fn check_lag(&self, name: &RoomName) -> Result<(), Fault> {
        let mut workers = self.rooms.get(name).into_iter().flat_map(|room| room.slots.workers());
        let lags = workers.any(|worker| self.fanouts.lags(worker, self.settings.lag));
        if lags { Err(Fault::overloaded()) } else { Ok(()) }
    }

    /// Has the fan-out remove a member; it replies with `users`.
    fn remove_member(&self, room: &RoomName, addr: SessionAddr, users: usize, reply: Option<ReplySender<usize>>) {
        self.send(addr.worker, RemoveMember { room: room.clone(), slot: addr.slot, users, reply });
    }
}

impl Actor for RoomActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // The `Mailbox` enforces the bound.
        ctx.set_mailbox_capacity(0);
        self.fanouts.set_limit(self.settings.lag);
        self.fanouts.set_head(self.published);
        let (histories, log) = std::mem::take(&mut self.restored);
        self.restore(histories, ctx);
        self.restore_log(log, ctx);
    }
}

receives_posts!(RoomActor);

/// What follows the entry of a session into a room.
#[derive(Debug, Default)]
struct Entered {
    /// The chat, with the session in it.
    chat: Option<Box<RoomInfo>>,
    /// The announcement of a user that was not in the chat before.
    joined: Option<UserJoined>,
    has_history: bool,
}

impl RoomActor {
    /// Makes a session a member; a new room is counted by `count`.
    fn enter(
        &mut self,
        name: &RoomName,
        entering: &Entering,
        count: impl FnOnce(&Arc<RoomCounts>) -> Result<CountedRoom, Fault>,
    ) -> Result<Entered, Fault> {
        let Entering { identity, connected_at, addr } = entering;
        let now = self.clock.now_ms();
        let room = self.open(name, count)?;
        let is_first = room.enter(&identity.user);
        room.slots.add(addr.worker);
        let (chat, joined) = match room.chat_members.as_deref_mut() {
            Some(chat_members) => {
                let joined = is_first.then(|| chat_members.join(identity, *connected_at, now));
                (Some(Box::new(chat_members.info())), joined)
            }
            None => (None, None),
        };
        let has_history = room.has_history;
        if room.sessions == 1 {
            self.listed.add(name);
        }
        Ok(Entered { chat, joined, has_history })
    }
}

impl Receive<Join> for RoomActor {
    fn receive(&mut self, join: Join, ctx: &mut Self::Context) {
        let Join { room: name, entering, recoverable_after, since, reply } = join;
        let addr = entering.addr;
        // A session joins few rooms of its own, and cannot start without.
        let entered = match name.is_optional() && self.fanouts.lags(addr.worker, self.settings.lag) {
            true => Err(Fault::overloaded()),
            false => self.enter(&name, &entering, |counts| counts.take(&entering.identity.user)),
        };
        let Entered { chat, joined, has_history } = match entered {
            Ok(entered) => entered,
            Err(fault) => {
                self.refused.insert((name, addr));
                let _ = reply.send(Err(fault));
                return;
            }
        };
        if let Some(head) = recoverable_after {
            // Until its reply, the session knows no later number. The log lacks nothing that this member receives.
            self.log.watch(&name, Watcher::Session, head);
        }
        let reply_slot = since.as_ref().map(|since| since.reply_slot);
        let (history, missed) = if has_history { self.look_back(&name, since, ctx) } else { Default::default() };
        let membership =
            Membership { last_notification: self.notifications.last(), number: self.published, chat, history };
        let bytes = missed.iter().map(|publication| publication.lag_weight()).sum();
        let add = AddMember { room: name.clone(), slot: addr.slot, membership, missed, reply_slot, reply };
        self.fanouts.send(addr.worker, add, self.published, bytes);
        self.observers.observe(Fact::Joined { room: &name, user: &entering.identity.user });
        if let Some(joined) = joined {
            self.announce_member(&name, &joined, addr, ctx);
        }
    }
}

impl Receive<Leave> for RoomActor {
    fn receive(&mut self, leave: Leave, ctx: &mut Self::Context) {
        let Leave { room: name, user, addr, was_recoverable, reply } = leave;
        let mut users = 0;
        if self.take_refused(&name, addr) {
            if let Some(reply) = reply {
                let _ = reply.send(users);
            }
            return;
        }
        if let Some(room) = self.rooms.get_mut(&name) {
            room.slots.remove(addr.worker);
            users = room.users.len() - usize::from(room.users.sessions(&user) == 1);
        }
        self.remove_member(&name, addr, users, reply);
        self.exit(&name, &user, addr, ctx);
        self.close_if_empty(&name, ctx);
        if was_recoverable {
            self.log.unwatch(&name, Watcher::Session);
            self.count_log();
        }
    }
}

impl Receive<CloseMembers> for RoomActor {
    fn receive(&mut self, message: CloseMembers, _: &mut Self::Context) {
        let room = self.rooms.get(&message.room);
        let recipients = room.map_or(0, |room| room.sessions);
        for worker in room.into_iter().flat_map(|room| room.slots.workers()) {
            self.send(worker, CloseRoom { room: message.room.clone(), close: message.close });
        }
        let _ = message.reply.send(Published { recipients, only_suspended: false });
    }
}

impl Receive<Flush> for RoomActor {
    fn receive(&mut self, Flush(replies): Flush, _: &mut Self::Context) {
        for (worker, reply) in replies.into_iter().enumerate() {
            self.send(worker, Barrier(reply));
        }
    }
}

impl Receive<Panic> for RoomActor {
    #[expect(clippy::panic, reason = "tests need a dead central actor")]
    fn receive(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a test makes the room actor panic");
    }
}
