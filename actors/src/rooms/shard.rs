//! The actor that owns the truth of its share of the rooms: who is in, in which order messages go. What it does with
//! messages that are kept is in [`past`].
//!
//! A publish takes its place in the room's order here and is handed once to each worker that has members. When a
//! worker's fan-out is full the shard waits for it; its own mailbox then fills and publishers are refused. Nothing that
//! was accepted is dropped.

mod crowd;
pub(crate) mod past;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, AsyncContext, Context, SpawnHandle};
use ahash::AHashMap;
use tokio::sync::oneshot;

use self::crowd::{Spread, Users};
use super::agenda::{Agenda, Matter};
use super::archive::Archive;
use super::fanout::{Barrier, CloseRoom, Deliver, Enrol, Fanout, Withdraw};
use super::rules::Rules;
use super::{Lanes, Membership, Published, Return, RoomMember, RoomSummary, Stored};
use crate::chats::roster::{Pace, Roster};
use crate::clock::Clock;
use crate::close::Close;
use crate::delivery::{Delivery, Event};
use crate::events::chat::messages::Message;
use crate::events::{ServerEvent, json};
use crate::fault::Fault;
use crate::hub::Hub;
use crate::identity::Identity;
use crate::ids::{EventName, NotificationId, RoomName, UserId};
use crate::mailbox::{Full, Posted, Receive, receives_posts};
use crate::notifications::{Keeping, Notification, Notifications};
use crate::outbox::Bound;
use crate::registry::Registry;
use crate::seat::Place;
use crate::stats::Stats;
use crate::store::Store;

/// Chats that are come back to at once, at most.
const AT_ONCE_MAX: usize = 64;

/// A session becomes a member.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) room: RoomName,
    pub(crate) identity: Arc<Identity>,
    /// When it connected, ms since the epoch.
    pub(crate) connected_at: i64,
    pub(crate) place: Place,
    /// A parked seat that gets nothing of the room from then on: what comes next is the session's.
    pub(crate) instead_of: Option<Place>,
    /// How it comes, where it may have missed something.
    pub(crate) returns: Option<Return>,
    /// Answered when the member gets all that is published from now on.
    pub(crate) done: oneshot::Sender<Result<Membership, Fault>>,
}

/// A member session leaves.
#[derive(Debug)]
pub(crate) struct Leave {
    pub(crate) room: RoomName,
    pub(crate) user: UserId,
    pub(crate) place: Place,
    /// Answered with the users who stay, when the member gets nothing any more.
    pub(crate) done: Option<oneshot::Sender<usize>>,
}

/// A member session was cut off: its user may be gone, and its seat stays.
#[derive(Debug)]
pub(crate) struct Park {
    pub(crate) room: RoomName,
    pub(crate) user: UserId,
    pub(crate) place: Place,
}

/// A parked seat gets nothing any more.
#[derive(Debug)]
pub(crate) struct Abandon {
    pub(crate) room: RoomName,
    pub(crate) place: Place,
    /// Answered when it gets nothing any more.
    pub(crate) done: Option<oneshot::Sender<usize>>,
}

/// A message for the members of a room.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) room: RoomName,
    pub(crate) event: Event,
    /// A member session that does not get it: the sender's.
    pub(crate) except: Option<Place>,
    /// The notification of a user that it is about, where it goes to the user.
    pub(crate) about: Option<NotificationId>,
    pub(crate) done: oneshot::Sender<Published>,
}

/// A notification for a user's sessions, to be kept.
#[derive(Debug)]
pub(crate) struct Notify {
    pub(crate) user: UserId,
    pub(crate) notification: Notification,
    pub(crate) event: Event,
    /// Answered when it has its place; what is in it, when it is on the disk.
    pub(crate) done: oneshot::Sender<Result<(Published, Keeping), Fault>>,
}

/// A message in a chat, to be kept.
#[derive(Debug)]
pub(crate) struct Say {
    pub(crate) room: RoomName,
    pub(crate) message: Message,
    /// The message as its event.
    pub(crate) event: Event,
    /// Answered when it has its place; what is in it, when it is on the disk.
    pub(crate) done: oneshot::Sender<Result<Stored, Fault>>,
}

/// A session in a chat types, or does not any more.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) room: RoomName,
    pub(crate) user: UserId,
    pub(crate) place: Place,
    pub(crate) typing: bool,
    pub(crate) done: oneshot::Sender<()>,
}

/// A receipt that the members of a chat are told of, unless there are too many.
#[derive(Debug)]
pub(crate) struct TellReceipt {
    pub(crate) room: RoomName,
    pub(crate) event: Event,
    /// Answered with the event where there are.
    pub(crate) done: oneshot::Sender<Option<Event>>,
}

/// What looks at the chats of a shard.
pub(crate) type Look = Box<dyn FnOnce(&Chats<'_>) + Send>;

/// Looks at chats.
pub(crate) struct Inspect(pub(crate) Look);

impl fmt::Debug for Inspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspect").finish_non_exhaustive()
    }
}

/// The chats of a shard that somebody is in.
pub(crate) struct Chats<'a>(&'a AHashMap<RoomName, Room>);

impl Chats<'_> {
    /// Who is in the chat of that room.
    pub(crate) fn roster(&self, room: &RoomName) -> Option<&Roster> {
        self.0.get(room).and_then(|room| room.roster.as_deref())
    }
}

/// Ends the sessions of a room's members, after what was published before.
#[derive(Debug)]
pub(crate) struct CloseMembers {
    pub(crate) room: RoomName,
    pub(crate) close: Close,
    pub(crate) done: oneshot::Sender<Published>,
}

/// Asks for the rooms of this shard, but for the hub's own.
#[derive(Debug)]
pub(crate) struct List(pub(crate) oneshot::Sender<Vec<RoomSummary>>);

/// Asks for the members of a room.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) room: RoomName,
    pub(crate) reply: oneshot::Sender<Vec<RoomMember>>,
}

/// Answers when all that was posted before has reached the outboxes.
#[derive(Debug)]
pub(crate) struct Flush(pub(crate) Vec<oneshot::Sender<()>>);

/// Panics in the handler: how tests show what becomes of the hub when a central actor dies.
#[derive(Debug)]
#[doc(hidden)]
pub struct Panic;

#[derive(Debug)]
struct Room {
    /// Those with a session here.
    users: Users,
    /// Sessions of them all.
    sessions: usize,
    /// The seats that get what is published: those of the sessions, and parked ones.
    seats: Spread,
    /// What there is more to a chat.
    roster: Option<Box<Roster>>,
    /// What is published is kept.
    has_history: bool,
}

impl Room {
    /// A session of `user` comes; whether it is the user's first.
    fn enter(&mut self, user: &UserId) -> bool {
        self.sessions += 1;
        self.users.enter(user)
    }

    /// A session of `user` goes; whether it was the user's last.
    fn exit(&mut self, user: &UserId) -> bool {
        let was_last = self.users.exit(user);
        self.sessions -= usize::from(was_last.is_some());
        was_last == Some(true)
    }
}

/// The actor.
#[derive(Debug)]
pub struct RoomShard {
    worker: usize,
    lanes: Arc<Lanes>,
    rooms: AHashMap<RoomName, Room>,
    /// Rooms it takes; those that the hub keeps for itself are bounded by the sessions there may be.
    rooms_max: usize,
    /// The number of the last message that it published.
    published: u64,
    notifications: Notifications,
    store: Store,
    registry: Arc<Registry>,
    clock: Clock,
    stats: Arc<Stats>,
    /// What it comes back to, and the timer that is due first, with its time.
    agenda: Agenda,
    waking: Option<(i64, SpawnHandle)>,
    rules: Rules,
    archive: Archive,
    /// What `stats` was told of the archive's bytes.
    archive_told: usize,
    /// When the archive is looked through next, ms by [`Clock::elapsed_ms`].
    sweep: Option<(i64, SpawnHandle)>,
    /// The most of what was missed that is taken for one session.
    missed_max: Bound,
    /// What waits for a fan-out that is full; nothing overtakes it.
    backlog: Backlog,
}

/// What a shard counts its messages from, in steps of as many as there are shards: no two count alike, nor one after a start
/// as one before it, for a hub publishes less than 2^20 messages in a millisecond.
fn first_number(now: i64, worker: usize) -> u64 {
    (now.unsigned_abs() << 20) + worker as u64
}

type Handing = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Clone, Default)]
struct Backlog(Rc<RefCell<VecDeque<Handing>>>);

impl Backlog {
    fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    fn push(&self, handing: Handing) {
        self.0.borrow_mut().push_back(handing);
    }

    async fn empty(self) {
        while let Some(handing) = { self.0.borrow_mut().pop_front() } {
            handing.await;
        }
    }
}

impl fmt::Debug for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backlog").field(&self.0.borrow().len()).finish()
    }
}

impl RoomShard {
    /// The shard of `hub` on that worker, without rooms.
    pub(crate) fn new(hub: &Hub, worker: usize) -> Self {
        Self {
            worker,
            lanes: hub.rooms().lanes().clone(),
            rooms: AHashMap::new(),
            rooms_max: hub.settings().rooms_max(),
            published: first_number(hub.clock().now_ms(), worker),
            notifications: hub.notifications().clone(),
            store: hub.store().clone(),
            registry: hub.registry().clone(),
            clock: hub.clock().clone(),
            stats: hub.stats_shared(),
            agenda: Agenda::default(),
            waking: None,
            rules: hub.settings().rules.clone(),
            archive: Archive::new(hub.settings().history_bytes_max()),
            archive_told: 0,
            sweep: None,
            missed_max: hub.settings().outbox.half(),
            backlog: Backlog::default(),
        }
    }

    /// Gives a message its place in the room's order, on its way to the members; what became of it.
    fn publish(
        &mut self,
        name: &RoomName,
        delivery: Delivery,
        except: Option<Place>,
        ctx: &mut Context<Self>,
    ) -> Published {
        self.stats.published.add(1);
        self.published += self.lanes.len() as u64;
        let delivery = self.keep(name, delivery, ctx);
        let Some(room) = self.rooms.get(name) else { return Published { recipients: 0 } };
        let recipients = room.sessions.saturating_sub(usize::from(except.is_some()));
        let delivery = Arc::new(delivery.numbered(self.published));
        for worker in room.seats.inhabited() {
            let except = except.filter(|place| place.worker == worker).map(|place| place.seat);
            self.hand(worker, Deliver { room: name.clone(), delivery: delivery.clone(), except }, ctx);
        }
        Published { recipients }
    }

    /// Publishes an event of the hub's own to a chat.
    fn tell<E: ServerEvent>(&mut self, room: &RoomName, event: &E, except: Option<Place>, ctx: &mut Context<Self>) {
        let (name, data) = (EventName::of_hub(E::NAME), json::encode(event));
        let event = Event { name, topic: Some(room.clone()), data, timestamp: self.clock.now_ms(), offset: None };
        self.publish(room, Delivery::new(event), except, ctx);
    }

    /// Tells the others in a chat that a user came or went, as far as that may be told one by one, and all who is there.
    fn tell_coming<E: ServerEvent>(&mut self, room: &RoomName, event: &E, place: Place, ctx: &mut Context<Self>) {
        let elapsed = self.clock.elapsed_ms();
        let deliveries = self.rooms.get(room).map_or(0, |room| room.sessions);
        if self.roster(room).is_some_and(|roster| roster.may_tell_of_coming(deliveries, elapsed)) {
            self.tell(room, event, Some(place), ctx);
        } else {
            self.stats.comings_untold.add(1);
        }
        self.tell_online(room, ctx);
    }

    fn roster(&mut self, room: &RoomName) -> Option<&mut Roster> {
        self.rooms.get_mut(room)?.roster.as_deref_mut()
    }

    /// Tells all in a chat who is there, now or as soon as the chat's pace allows.
    fn tell_online(&mut self, room: &RoomName, ctx: &mut Context<Self>) {
        let elapsed = self.clock.elapsed_ms();
        match self.roster(room).map(|roster| roster.pace(elapsed)) {
            Some(Pace::Now) => self.tell_online_now(room, ctx),
            Some(Pace::In(wait)) => self.come_back(elapsed + wait, room.clone(), Matter::Online, ctx),
            Some(Pace::Waits) | None => {}
        }
    }

    fn tell_online_now(&mut self, room: &RoomName, ctx: &mut Context<Self>) {
        let (now, elapsed, registry) = (self.clock.now_ms(), self.clock.elapsed_ms(), self.registry.clone());
        let update = self.roster(room).map(|roster| roster.update(now, elapsed, |user| registry.availability_of(user)));
        if let Some(update) = update {
            self.tell(room, &update, None, ctx);
        }
    }

    /// The room `name`, made where there is none.
    fn open(&mut self, name: &RoomName) -> &mut Room {
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        self.rooms.entry(name.clone()).or_insert_with(|| {
            if !name.is_internal() {
                self.stats.rooms.add(1);
            }
            Room {
                users: Users::default(),
                sessions: 0,
                seats: Spread::default(),
                roster: name.chat().map(|chat| Box::new(Roster::new(chat, now, elapsed))),
                has_history: past::open(&self.rules, &mut self.archive, name),
            }
        })
    }

    /// A session went out of a room: of a chat, the others are told.
    fn exit(&mut self, name: &RoomName, user: &UserId, place: Place, ctx: &mut Context<Self>) {
        let now = self.clock.now_ms();
        let Some(room) = self.rooms.get_mut(name) else { return };
        let was_last = room.exit(user);
        let Some(roster) = room.roster.as_deref_mut() else { return };
        let stopped = roster.stops(place, user, now);
        let left = was_last.then(|| roster.went(user, now)).flatten();
        if let Some(stopped) = stopped {
            self.stats.typing.sub(1);
            self.tell(name, &stopped, Some(place), ctx);
        }
        if let Some(left) = left {
            self.tell_coming(name, &left, place, ctx);
        }
    }

    /// Forgets a room without seats.
    fn close_if_empty(&mut self, name: &RoomName) {
        if self.rooms.get(name).is_some_and(|room| room.seats.inhabited().next().is_none()) {
            if self.rooms.remove(name).is_some_and(|room| room.has_history) {
                self.archive.desert(name);
            }
            super::shrink(&mut self.rooms);
            if !name.is_internal() {
                self.stats.rooms.sub(1);
            }
        }
    }

    /// Comes back to a chat when those who type there may have fallen silent.
    fn await_silence(&mut self, room: RoomName, ctx: &mut Context<Self>) {
        let elapsed = self.clock.elapsed_ms();
        if let Some(wait) = self.roster(&room).and_then(|roster| roster.watch(elapsed)) {
            self.come_back(elapsed + wait, room, Matter::Silence, ctx);
        }
    }

    fn fall_silent(&mut self, room: RoomName, ctx: &mut Context<Self>) {
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        let silent = self.roster(&room).map(|roster| roster.fall_silent(now, elapsed));
        for (stopped, place) in silent.into_iter().flatten() {
            self.stats.typing.sub(1);
            self.tell(&room, &stopped, Some(place), ctx);
        }
        self.await_silence(room, ctx);
    }

    /// Comes back to a chat at `at`, ms by [`Clock::elapsed_ms`].
    fn come_back(&mut self, at: i64, room: RoomName, matter: Matter, ctx: &mut Context<Self>) {
        self.agenda.note(at, room, matter);
        self.await_agenda(ctx);
    }

    /// Sees that the timer runs which is due first.
    fn await_agenda(&mut self, ctx: &mut Context<Self>) {
        let Some(next) = self.agenda.next() else { return };
        if self.waking.is_some_and(|(at, _)| at <= next) {
            return;
        }
        if let Some((_, later)) = self.waking.take() {
            ctx.cancel_future(later);
        }
        let wait = u64::try_from(next - self.clock.elapsed_ms()).unwrap_or(0);
        let waking = ctx.run_later(Duration::from_millis(wait), |shard, ctx| {
            shard.waking = None;
            // What comes in between is not kept waiting for long, and a fan-out that is full is waited for.
            for _ in 0..AT_ONCE_MAX {
                if !shard.backlog.is_empty() {
                    break;
                }
                match shard.agenda.take(shard.clock.elapsed_ms()) {
                    Some((room, Matter::Online)) => shard.tell_online_now(&room, ctx),
                    Some((room, Matter::Silence)) => shard.fall_silent(room, ctx),
                    None => break,
                }
            }
            shard.await_agenda(ctx);
        });
        self.waking = Some((next, waking));
    }

    /// Hands a message to a worker's fan-out; waits, and lets nothing overtake, when that is full.
    fn hand<M>(&self, worker: usize, message: M, ctx: &mut Context<Self>)
    where
        Fanout: Receive<M> + actix::Handler<Posted<M>>,
        M: Send + 'static,
    {
        let Some(fanout) = self.lanes.fanout(worker) else { return };
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
        let restored = self.lanes.take_restored(self.worker);
        self.restore(restored, ctx);
        for (room, worker) in self.lanes.take_inhabited(self.worker) {
            self.open(&room).seats.add(worker);
        }
    }
}

receives_posts!(RoomShard);

impl Receive<Join> for RoomShard {
    fn receive(&mut self, join: Join, ctx: &mut Self::Context) {
        let Join { room: name, identity, connected_at, place, instead_of, returns, done } = join;
        let now = self.clock.now_ms();
        if self.rooms.len() >= self.rooms_max && !name.is_internal() && !self.rooms.contains_key(&name) {
            let _ = done.send(Err(Fault::overloaded()));
            return;
        }
        let room = self.open(&name);
        let is_first = room.enter(&identity.user);
        room.seats.add(place.worker);
        if let Some(parked) = instead_of {
            room.seats.remove(parked.worker);
        }
        let roster = room.roster.as_deref_mut();
        let (chat, joined) = match roster {
            Some(roster) => {
                let joined = is_first.then(|| roster.came(&identity, connected_at, now));
                (Some(Box::new(roster.info())), joined)
            }
            None => (None, None),
        };
        let (users, has_history) = (room.users.len(), room.has_history);
        let behind = returns.as_ref().map(|returns| returns.behind);
        let (past, missed) = if has_history { self.look_back(&name, returns, ctx) } else { Default::default() };
        let membership = Membership { moment: self.notifications.moment(), number: self.published, chat, past };
        let enrol = Enrol { room: name.clone(), seat: place.seat, membership, missed, behind, done };
        self.hand(place.worker, enrol, ctx);
        if let Some(parked) = instead_of {
            self.hand(parked.worker, Withdraw { room: name.clone(), seat: parked.seat, users, done: None }, ctx);
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
        if let Some(room) = self.rooms.get_mut(&name) {
            room.seats.remove(place.worker);
            users = room.users.len() - usize::from(room.users.sessions(&user) == 1);
        }
        self.hand(place.worker, Withdraw { room: name.clone(), seat: place.seat, users, done }, ctx);
        self.exit(&name, &user, place, ctx);
        self.close_if_empty(&name);
    }
}

impl Receive<Park> for RoomShard {
    fn receive(&mut self, Park { room, user, place }: Park, ctx: &mut Self::Context) {
        self.exit(&room, &user, place, ctx);
    }
}

impl Receive<Abandon> for RoomShard {
    fn receive(&mut self, Abandon { room: name, place, done }: Abandon, ctx: &mut Self::Context) {
        let mut users = 0;
        if let Some(room) = self.rooms.get_mut(&name) {
            room.seats.remove(place.worker);
            users = room.users.len();
        }
        self.hand(place.worker, Withdraw { room: name.clone(), seat: place.seat, users, done }, ctx);
        self.close_if_empty(&name);
    }
}

impl Receive<Say> for RoomShard {
    fn receive(&mut self, say: Say, ctx: &mut Self::Context) {
        let Say { room, message, event, done } = say;
        let now = self.clock.now_ms();
        // Kept first: what cannot be is not delivered either.
        let kept = self.store.keep_message(message, ());
        let kept = kept.map(|kept| {
            if let Some(roster) = self.roster(&room) {
                roster.said(now);
            }
            self.publish(&room, Delivery::new(event), None, ctx);
            Stored(Box::pin(kept))
        });
        let _ = done.send(kept);
    }
}

impl Receive<Type> for RoomShard {
    fn receive(&mut self, Type { room, user, place, typing, done }: Type, ctx: &mut Self::Context) {
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        if let Some(roster) = self.roster(&room) {
            if let Some(told) = roster.types(place, &user, typing, now, elapsed) {
                if typing {
                    self.stats.typing.add(1)
                } else {
                    self.stats.typing.sub(1)
                }
                self.tell(&room, &told, Some(place), ctx);
            }
            self.await_silence(room, ctx);
        }
        let _ = done.send(());
    }
}

impl Receive<TellReceipt> for RoomShard {
    fn receive(&mut self, TellReceipt { room, event, done }: TellReceipt, ctx: &mut Self::Context) {
        let elapsed = self.clock.elapsed_ms();
        let deliveries = self.rooms.get(&room).map_or(0, |room| room.sessions);
        let may_tell = self.roster(&room).is_none_or(|roster| roster.may_tell_of_receipt(deliveries, elapsed));
        let untold = if may_tell {
            self.publish(&room, Delivery::new(event), None, ctx);
            None
        } else {
            self.stats.receipts_narrowed.add(1);
            Some(event)
        };
        let _ = done.send(untold);
    }
}

impl Receive<Inspect> for RoomShard {
    fn receive(&mut self, Inspect(look): Inspect, _: &mut Self::Context) {
        look(&Chats(&self.rooms));
    }
}

impl Receive<Publish> for RoomShard {
    fn receive(&mut self, publish: Publish, ctx: &mut Self::Context) {
        let delivery = Delivery::about(publish.event, publish.about);
        let published = self.publish(&publish.room, delivery, publish.except, ctx);
        let _ = publish.done.send(published);
    }
}

impl Receive<Notify> for RoomShard {
    fn receive(&mut self, notify: Notify, ctx: &mut Self::Context) {
        let Notify { user, notification, event, done } = notify;
        let room = RoomName::of_user(&user);
        let delivery = Delivery::about(event, Some(notification.id.clone()));
        // Kept first: what cannot be is not delivered either.
        let kept = self.notifications.keep(user, notification, delivery.timestamp());
        let _ = done.send(kept.map(|keeping| (self.publish(&room, delivery, None, ctx), keeping)));
    }
}

impl Receive<CloseMembers> for RoomShard {
    fn receive(&mut self, message: CloseMembers, ctx: &mut Self::Context) {
        let room = self.rooms.get(&message.room);
        let recipients = room.map_or(0, |room| room.sessions);
        for worker in room.into_iter().flat_map(|room| room.seats.inhabited()) {
            self.hand(worker, CloseRoom { room: message.room.clone(), close: message.close }, ctx);
        }
        let _ = message.done.send(Published { recipients });
    }
}

impl Receive<List> for RoomShard {
    fn receive(&mut self, List(reply): List, _: &mut Self::Context) {
        let listed = |(name, room): &(&RoomName, &Room)| !name.is_internal() && room.sessions > 0;
        let rooms = self.rooms.iter().filter(listed).map(|(name, room)| RoomSummary {
            room: name.clone(),
            sessions: room.sessions,
            users: room.users.len(),
        });
        let _ = reply.send(rooms.collect());
    }
}

impl Receive<Members> for RoomShard {
    fn receive(&mut self, query: Members, _: &mut Self::Context) {
        let users = self.rooms.get(&query.room).into_iter().flat_map(|room| room.users.all());
        let members = users.map(|(user, sessions)| RoomMember { user: user.clone(), sessions: sessions as usize });
        let _ = query.reply.send(members.collect());
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
