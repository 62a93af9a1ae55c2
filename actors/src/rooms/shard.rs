//! The actor that owns the truth of its share of the rooms: who is in, in which order messages go.
//!
//! A publish takes its place in the room's order here and is handed once to each worker that has members. When a
//! worker's fan-out is full the shard waits for it; its own mailbox then fills and publishers are refused. Nothing that
//! was accepted is dropped.

use std::sync::Arc;

use actix::fut::WrapFuture;
use actix::{Actor, AsyncContext, Context};
use ahash::AHashMap;
use tokio::sync::oneshot;

use super::fanout::{Barrier, CloseRoom, Deliver, Enrol, Fanout, Withdraw};
use super::{Lanes, Published, RoomMember, RoomSummary};
use crate::close::Close;
use crate::delivery::{Delivery, Event};
use crate::fault::Fault;
use crate::ids::{NotificationId, RoomName, UserId};
use crate::mailbox::{Full, Posted, Receive, receives_posts};
use crate::notifications::{Keeping, Moment, Notification, Notifications};
use crate::seat::Place;
use crate::stats::Stats;

/// A session of `user` becomes a member.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) room: RoomName,
    pub(crate) user: UserId,
    pub(crate) place: Place,
    /// Answered when the member gets all that is published from now on.
    pub(crate) done: oneshot::Sender<Result<Moment, Fault>>,
}

/// A member session leaves.
#[derive(Debug)]
pub(crate) struct Leave {
    pub(crate) room: RoomName,
    pub(crate) user: UserId,
    pub(crate) place: Place,
    /// Answered when the member gets nothing any more.
    pub(crate) done: Option<oneshot::Sender<()>>,
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
    users: AHashMap<UserId, u32>,
    /// Member sessions on each worker.
    workers: Box<[u32]>,
}

impl Room {
    /// Takes one session of `user` on `worker` out.
    fn forget(&mut self, user: &UserId, worker: usize) {
        let Some(sessions) = self.users.get_mut(user) else { return };
        *sessions -= 1;
        if *sessions == 0 {
            self.users.remove(user);
        }
        if let Some(count) = self.workers.get_mut(worker) {
            *count = count.saturating_sub(1);
        }
    }

    /// The workers that have members.
    fn inhabited(&self) -> impl Iterator<Item = usize> {
        self.workers.iter().enumerate().filter(|&(_, &members)| members > 0).map(|(worker, _)| worker)
    }

    fn sessions(&self) -> usize {
        self.workers.iter().map(|&count| count as usize).sum()
    }
}

/// The actor.
#[derive(Debug)]
pub struct RoomShard {
    lanes: Arc<Lanes>,
    rooms: AHashMap<RoomName, Room>,
    /// Rooms it takes; those that the hub keeps for itself are bounded by the sessions there may be.
    rooms_max: usize,
    notifications: Notifications,
    stats: Arc<Stats>,
}

impl RoomShard {
    /// A shard without rooms, that takes at most `rooms_max`.
    pub(crate) fn new(lanes: Arc<Lanes>, rooms_max: usize, notifications: Notifications, stats: Arc<Stats>) -> Self {
        Self { lanes, rooms: AHashMap::new(), rooms_max, notifications, stats }
    }

    /// Gives a message its place in the room's order, on its way to the members; what became of it.
    fn publish(
        &self,
        name: &RoomName,
        delivery: Delivery,
        except: Option<Place>,
        ctx: &mut Context<Self>,
    ) -> Published {
        self.stats.published.add(1);
        let Some(room) = self.rooms.get(name) else { return Published { recipients: 0 } };
        let recipients = room.sessions().saturating_sub(usize::from(except.is_some()));
        let delivery = Arc::new(delivery);
        for worker in room.inhabited() {
            let except = except.filter(|place| place.worker == worker).map(|place| place.seat);
            self.hand(worker, Deliver { room: name.clone(), delivery: delivery.clone(), except }, ctx);
        }
        Published { recipients }
    }

    /// Hands a message to a worker's fan-out; waits, and lets nothing overtake, when that is full.
    fn hand<M>(&self, worker: usize, message: M, ctx: &mut Context<Self>)
    where
        Fanout: Receive<M> + actix::Handler<Posted<M>>,
        M: Send + 'static,
    {
        let Some(fanout) = self.lanes.fanout(worker) else { return };
        if let Err(Full(message)) = fanout.post(message) {
            let fanout = fanout.clone();
            ctx.wait(async move { fanout.post_when_free(message).await }.into_actor(self));
        }
    }
}

impl Actor for RoomShard {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Its `Mailbox` keeps the bound.
        ctx.set_mailbox_capacity(0);
    }
}

receives_posts!(RoomShard);

impl Receive<Join> for RoomShard {
    fn receive(&mut self, join: Join, ctx: &mut Self::Context) {
        let workers = self.lanes.len();
        if self.rooms.len() >= self.rooms_max && !join.room.is_internal() && !self.rooms.contains_key(&join.room) {
            let _ = join.done.send(Err(Fault::overloaded()));
            return;
        }
        let room = self.rooms.entry(join.room.clone()).or_insert_with(|| {
            if !join.room.is_internal() {
                self.stats.rooms.add(1);
            }
            Room { users: AHashMap::new(), workers: vec![0; workers].into_boxed_slice() }
        });
        *room.users.entry(join.user).or_insert(0) += 1;
        if let Some(count) = room.workers.get_mut(join.place.worker) {
            *count += 1;
        }
        let moment = self.notifications.moment();
        self.hand(join.place.worker, Enrol { room: join.room, seat: join.place.seat, moment, done: join.done }, ctx);
    }
}

impl Receive<Leave> for RoomShard {
    fn receive(&mut self, leave: Leave, ctx: &mut Self::Context) {
        if let Some(room) = self.rooms.get_mut(&leave.room) {
            room.forget(&leave.user, leave.place.worker);
            if room.users.is_empty() {
                self.rooms.remove(&leave.room);
                super::shrink(&mut self.rooms);
                if !leave.room.is_internal() {
                    self.stats.rooms.sub(1);
                }
            }
        }
        self.hand(leave.place.worker, Withdraw { room: leave.room, seat: leave.place.seat, done: leave.done }, ctx);
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
        let recipients = room.map_or(0, Room::sessions);
        for worker in room.into_iter().flat_map(Room::inhabited) {
            self.hand(worker, CloseRoom { room: message.room.clone(), close: message.close }, ctx);
        }
        let _ = message.done.send(Published { recipients });
    }
}

impl Receive<List> for RoomShard {
    fn receive(&mut self, List(reply): List, _: &mut Self::Context) {
        let rooms = self.rooms.iter().filter(|(name, _)| !name.is_internal()).map(|(name, room)| RoomSummary {
            room: name.clone(),
            sessions: room.sessions(),
            users: room.users.len(),
        });
        let _ = reply.send(rooms.collect());
    }
}

impl Receive<Members> for RoomShard {
    fn receive(&mut self, query: Members, _: &mut Self::Context) {
        let users = self.rooms.get(&query.room).into_iter().flat_map(|room| &room.users);
        let members = users.map(|(user, &sessions)| RoomMember { user: user.clone(), sessions: sessions as usize });
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
