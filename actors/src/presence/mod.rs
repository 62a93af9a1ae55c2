//! Who is online and how, and who learns of it. A user is online from the first session to the end of the last, all
//! surfaces counted together.
//!
//! [`counts`] is the pure counting, [`pending`] what is still to be told, [`token_bucket`] how much may be told in a while;
//! [`Presence`] is the actor that keeps them and hands what is told to every worker's fan-out, in the words of every
//! surface. It has one batch of [`token_bucket::BATCH_MAX`] notices under way at most, so a slow worker keeps notices waiting
//! and nobody else.
//!
//! How a user is there, the [registry](crate::registry) holds; this actor reads it there when it is told of a change, so
//! that of two changes on two workers the same one is the last for both.

pub mod counts;
pub mod pending;
pub mod token_bucket;

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{Actor, AsyncContext, Context, SpawnHandle};
use tokio::sync::oneshot;

use self::counts::{Edge, Gone, OnlineCounts};
use self::pending::{Change, Notice, PendingChanges};
use self::token_bucket::TokenBucket;
use crate::events::chat::presence::{self as chat, Availability, Seen, UserStatusChanged, UsersOnline};
use crate::events::community::{UserOffline, UserOnline};
use crate::events::{ServerEvent, json};
use crate::model::identity::Identity;
use crate::model::ids::{EventName, RoomName, UserId};
use crate::publication::{Event, Publication};
use crate::registry::Registry;
use crate::rooms::Rooms;
use crate::rooms::fanout::{Announcement, Reach};
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;
use crate::runtime::mailbox::{Receive, receives_posts};

/// Looks at members of rooms that cost as much as one delivery: who shares a thousand rooms with the same people is one to
/// look at a thousand times and to tell once.
const LOOKS: u64 = 16;

/// Of the bytes that a session's outbox holds, the part that a list of users may take.
pub(crate) const LIST_SHARE: usize = 4;

/// How long after a change all are told who is online, ms: with whatever else changes until then.
const LIST_MS: i64 = 1_000;

/// Users online with whom all are still told who is.
const LISTED_MAX: usize = chat::ELDEST_MAX;

/// Who learns that a user came or went, or is there in another way.
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

/// A session of the user ended, which went by this identity.
#[derive(Debug)]
pub struct Departed(pub Arc<Identity>);

/// The user said, by this identity, to be there in another way; the registry knows how.
#[derive(Debug)]
pub(crate) struct StatusChanged(pub(crate) Arc<Identity>);

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

/// Asks for a user who went; `None` when not remembered, or online.
#[derive(Debug)]
pub(crate) struct Recall {
    pub(crate) user: UserId,
    pub(crate) reply: oneshot::Sender<Option<Gone>>,
}

/// Presence is told by these settings from now on, but for the audience; `outbox` is what one session's outbox holds, in bytes.
#[derive(Debug)]
pub(crate) struct FollowSettings {
    pub(crate) settings: Settings,
    pub(crate) outbox: usize,
}

/// Asks how many users went and are remembered.
#[derive(Debug)]
pub(crate) struct CountGone(pub(crate) oneshot::Sender<usize>);

/// The actor that keeps the roll and tells of it.
#[derive(Debug)]
pub struct Presence {
    roll: OnlineCounts,
    bulletin: PendingChanges,
    allowance: TokenBucket,
    /// When all are to be told who is online, ms; `None` when nothing changed.
    list_due: Option<i64>,
    /// Bytes that a list may have.
    list_bytes: usize,
    registry: Arc<Registry>,
    rooms: Rooms,
    clock: Clock,
    stats: Arc<Stats>,
    /// A batch is under way.
    telling: bool,
    /// Waits until there is something to tell, and that may be told.
    waking: Option<SpawnHandle>,
}

impl Presence {
    /// An actor that knows nobody yet. `outbox` is what one session's outbox holds, in bytes.
    pub(crate) fn new(
        settings: &Settings,
        outbox: usize,
        registry: Arc<Registry>,
        rooms: Rooms,
        clock: Clock,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            roll: OnlineCounts::default(),
            bulletin: PendingChanges::new(settings),
            allowance: TokenBucket::new(settings.deliveries_per_second, clock.elapsed_ms()),
            list_due: None,
            list_bytes: outbox / LIST_SHARE,
            registry,
            rooms,
            clock,
            stats,
            telling: false,
            waking: None,
        }
    }

    /// How a user is there who has a session.
    fn status_of(&self, user: &UserId) -> Option<Availability> {
        Some(self.registry.availability_of(user)).filter(|&status| status != Availability::Offline)
    }

    /// Who is online, as all are told.
    fn list(&mut self) -> Announcement {
        self.list_due = None;
        let now = self.clock.now_ms();
        let chat = delivery(&UsersOnline::all(&self.registry.eldest(now, self.list_bytes)), now);
        Announcement { except: None, plain: None, chat, rooms: Vec::new(), known_in: Vec::new() }
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
        if !notices.is_empty() && self.bulletin.audience() == Audience::All {
            self.list_due.get_or_insert(elapsed + LIST_MS);
        }
        self.stats.presence_coalesced.add(std::mem::take(&mut self.bulletin.coalesced));
        self.stats.presence_suppressed.add(std::mem::take(&mut self.bulletin.suppressed));
        let told = notices.len();
        let list_due = self.list_due.filter(|_| self.registry.tally().users() <= LISTED_MAX);
        let list = list_due.filter(|&due| most > 0 && due <= elapsed).map(|_| self.list());
        let announcements: Arc<[_]> = notices.into_iter().map(announcement).chain(list).collect();
        if announcements.is_empty() {
            let due = [self.bulletin.next_due(), list_due].into_iter().flatten().min();
            let wait = due.map(|due| (due - elapsed).max(self.allowance.wait()).max(1));
            let wait = wait.and_then(|wait| u64::try_from(wait).ok()).map(Duration::from_millis);
            self.waking = wait.map(|wait| self.clock.run_later(ctx, wait, Self::tell));
            return;
        }
        self.telling = true;
        let paid = announcements.len();
        let rooms = self.rooms.clone();
        let delivered = async move { rooms.announce(announcements).await };
        ctx.spawn(delivered.into_actor(self).map(move |Reach { heard, looked_at }, actor, ctx| {
            actor.telling = false;
            actor.allowance.pay(paid, heard.max(looked_at / LOOKS));
            actor.stats.presence_told.add(told as u64);
            actor.stats.presence_deliveries.add(heard);
            actor.tell(ctx);
        }));
    }
}

/// A notice as the sessions read it that hear of it.
fn announcement(notice: Notice) -> Announcement {
    let Notice { identity, change, at, rooms, known_in } = notice;
    let user = || identity.user.clone();
    let seen = |status| Seen::new(&identity, status, at);
    let (except, plain, chat) = match change {
        Change::Online(status) => {
            let plain = delivery(&UserOnline::new(&identity, at), at);
            (Some(user()), plain, delivery(&chat::UserOnline(seen(status)), at))
        }
        Change::Offline => {
            let plain = delivery(&UserOffline::new(user(), at), at);
            (Some(user()), plain, delivery(&chat::UserOffline(seen(Availability::Offline)), at))
        }
        Change::Status(status) => {
            let changed = UserStatusChanged(seen(status));
            (None, delivery(&changed, at), delivery(&changed, at))
        }
    };
    Announcement { except, plain: Some(plain), chat, rooms, known_in }
}

fn delivery<E: ServerEvent>(event: &E, at: i64) -> Publication {
    let (name, data) = (EventName::of_hub(E::NAME), json::encode(event));
    Publication::new(Event { name, topic: None, data, timestamp: at, offset: None })
}

impl Actor for Presence {
    type Context = Context<Self>;
}

receives_posts!(Presence);

impl Receive<FollowSettings> for Presence {
    fn receive(&mut self, FollowSettings { settings, outbox }: FollowSettings, ctx: &mut Self::Context) {
        self.bulletin.set_linger(settings.linger_ms);
        self.allowance.set_rate(settings.deliveries_per_second);
        self.list_bytes = outbox / LIST_SHARE;
        self.tell(ctx);
    }
}

impl Receive<Arrived> for Presence {
    fn receive(&mut self, Arrived(identity): Arrived, ctx: &mut Self::Context) {
        if self.roll.arrive(identity.user.clone()) == Some(Edge::Online) {
            self.stats.users.add(1);
            let status = self.status_of(&identity.user).unwrap_or_default();
            self.bulletin.came(&identity, status, self.clock.now_ms(), self.clock.elapsed_ms());
            self.tell(ctx);
        }
    }
}

impl Receive<Departed> for Presence {
    fn receive(&mut self, Departed(identity): Departed, ctx: &mut Self::Context) {
        let now = self.clock.now_ms();
        if self.roll.depart(&identity, now) == Some(Edge::Offline) {
            self.stats.users.sub(1);
            self.bulletin.went(&identity, now, self.clock.elapsed_ms());
            self.tell(ctx);
        }
    }
}

impl Receive<StatusChanged> for Presence {
    fn receive(&mut self, StatusChanged(identity): StatusChanged, ctx: &mut Self::Context) {
        // Who is gone by now is heard of by that.
        if let Some(status) = self.status_of(&identity.user) {
            self.bulletin.is_there(&identity, status, self.clock.now_ms(), self.clock.elapsed_ms());
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

impl Receive<Recall> for Presence {
    fn receive(&mut self, Recall { user, reply }: Recall, _: &mut Self::Context) {
        let _ = reply.send(self.roll.recall(&user).cloned());
    }
}

impl Receive<CountGone> for Presence {
    fn receive(&mut self, CountGone(reply): CountGone, _: &mut Self::Context) {
        let _ = reply.send(self.roll.gone());
    }
}
