//! Who is online, and who learns of it. A user is online from the first session to the end of the last, all surfaces
//! counted together.
//!
//! [`roll`] is the pure counting, [`bulletin`] what is still to be told, [`allowance`] how much may be told in a while;
//! [`Presence`] is the actor that keeps them and hands what is told to every worker's fan-out. It has one batch of
//! [`allowance::BATCH_MAX`] notices under way at most, so a slow worker keeps notices waiting and nobody else.

pub mod allowance;
pub mod bulletin;
pub mod roll;

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{Actor, AsyncContext, Context, SpawnHandle};
use tokio::sync::oneshot;

use self::allowance::Allowance;
use self::bulletin::{Bulletin, Change, Notice};
use self::roll::{Edge, Roll};
use crate::clock::Clock;
use crate::delivery::{Delivery, Event};
use crate::events::community::{UserOffline, UserOnline};
use crate::events::{ServerEvent, json};
use crate::identity::Identity;
use crate::ids::{EventName, RoomName, UserId};
use crate::mailbox::{Receive, receives_posts};
use crate::rooms::Rooms;
use crate::rooms::fanout::Announcement;
use crate::stats::Stats;

/// Who learns that a user came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Every session that listens.
    All,
    /// Those of them that share a room with the user.
    SharedRooms,
    /// Nobody.
    Off,
}

/// How presence is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// To whom.
    pub audience: Audience,
    /// How long a user who went may come back unnoticed, ms.
    pub linger_ms: i64,
    /// Deliveries a second; 0 is no bound.
    pub deliveries_per_second: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { audience: Audience::All, linger_ms: 1_000, deliveries_per_second: 50_000 }
    }
}

/// A session of the user began, by this identity.
#[derive(Debug)]
pub struct Arrived(pub Arc<Identity>);

/// A session of the user ended.
#[derive(Debug)]
pub struct Departed(pub UserId);

/// A session of the user entered a room. Said only where those who share a room are told.
#[derive(Debug)]
pub(crate) struct Entered(pub(crate) Arc<Identity>, pub(crate) RoomName);

/// A session of the user left a room, and goes on; likewise.
#[derive(Debug)]
pub(crate) struct LeftRoom(pub(crate) UserId, pub(crate) RoomName);

/// Asks when a user was last seen, ms since the epoch: now while online, `None` when not remembered.
#[derive(Debug)]
pub struct LastSeen {
    /// The user.
    pub user: UserId,
    /// The answer.
    pub reply: oneshot::Sender<Option<i64>>,
}

/// The actor that keeps the roll and tells of it.
#[derive(Debug)]
pub struct Presence {
    roll: Roll,
    bulletin: Bulletin,
    allowance: Allowance,
    rooms: Rooms,
    clock: Clock,
    stats: Arc<Stats>,
    /// A batch is under way.
    telling: bool,
    /// Waits until there is something to tell, and that may be told.
    waking: Option<SpawnHandle>,
}

impl Presence {
    /// An actor that knows nobody yet.
    pub(crate) fn new(settings: &Settings, rooms: Rooms, clock: Clock, stats: Arc<Stats>) -> Self {
        Self {
            roll: Roll::default(),
            bulletin: Bulletin::new(settings),
            allowance: Allowance::new(settings.deliveries_per_second, clock.elapsed_ms()),
            rooms,
            clock,
            stats,
            telling: false,
            waking: None,
        }
    }

    /// Tells what is due and may be told; otherwise sees that it is, later.
    fn tell(&mut self, ctx: &mut Context<Self>) {
        if self.telling {
            return;
        }
        if let Some(waking) = self.waking.take() {
            ctx.cancel_future(waking);
        }
        let elapsed = self.clock.elapsed_ms();
        if self.bulletin.audience() == Audience::All {
            self.allowance.expect(self.stats.sessions.get());
        }
        let most = self.allowance.notices(elapsed);
        let notices = self.bulletin.take(elapsed, most);
        self.stats.presence_coalesced.add(std::mem::take(&mut self.bulletin.coalesced));
        self.stats.presence_suppressed.add(std::mem::take(&mut self.bulletin.suppressed));
        if notices.is_empty() {
            let wait = self.bulletin.next_due().map(|due| (due - elapsed).max(self.allowance.wait()).max(1));
            let wait = wait.and_then(|wait| u64::try_from(wait).ok()).map(Duration::from_millis);
            self.waking = wait.map(|wait| ctx.run_later(wait, Self::tell));
            return;
        }
        let told = notices.len();
        self.telling = true;
        let announcements: Arc<[_]> = notices.into_iter().map(announcement).collect();
        let rooms = self.rooms.clone();
        let delivered = async move { rooms.announce(announcements).await };
        ctx.spawn(delivered.into_actor(self).map(move |delivered, actor, ctx| {
            actor.telling = false;
            actor.allowance.pay(told, delivered);
            actor.stats.presence_told.add(told as u64);
            actor.stats.presence_deliveries.add(delivered);
            actor.tell(ctx);
        }));
    }
}

/// A notice as the sessions read it that hear of it.
fn announcement(notice: Notice) -> Announcement {
    let Notice { user, change, at, rooms, known_in } = notice;
    let (name, data) = match change {
        Change::Online(identity) => (UserOnline::NAME, json::encode(&UserOnline::new(&identity, at))),
        Change::Offline => (UserOffline::NAME, json::encode(&UserOffline::new(user.clone(), at))),
    };
    let event = Event { name: EventName::of_hub(name), topic: None, data, timestamp: at, offset: None };
    Announcement { about: user, delivery: Delivery::new(event), rooms, known_in }
}

impl Actor for Presence {
    type Context = Context<Self>;
}

receives_posts!(Presence);

impl Receive<Arrived> for Presence {
    fn receive(&mut self, Arrived(identity): Arrived, ctx: &mut Self::Context) {
        if self.roll.arrive(identity.user.clone()) == Some(Edge::Online) {
            self.stats.users.add(1);
            self.bulletin.came(&identity, self.clock.now_ms(), self.clock.elapsed_ms());
            self.tell(ctx);
        }
    }
}

impl Receive<Departed> for Presence {
    fn receive(&mut self, Departed(user): Departed, ctx: &mut Self::Context) {
        let now = self.clock.now_ms();
        if self.roll.depart(user.clone(), now) == Some(Edge::Offline) {
            self.stats.users.sub(1);
            self.bulletin.went(&user, now, self.clock.elapsed_ms());
            self.tell(ctx);
        }
    }
}

impl Receive<Entered> for Presence {
    fn receive(&mut self, Entered(identity, room): Entered, ctx: &mut Self::Context) {
        self.bulletin.entered(&identity, room, self.clock.now_ms(), self.clock.elapsed_ms());
        self.tell(ctx);
    }
}

impl Receive<LeftRoom> for Presence {
    fn receive(&mut self, LeftRoom(user, room): LeftRoom, _: &mut Self::Context) {
        self.bulletin.left(&user, &room);
    }
}

impl Receive<LastSeen> for Presence {
    fn receive(&mut self, query: LastSeen, _: &mut Self::Context) {
        let _ = query.reply.send(self.roll.last_seen(&query.user, self.clock.now_ms()));
    }
}
