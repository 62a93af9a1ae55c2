//! The presence of users, and its announcement to sessions. A user is online from the start of the first session to the
//! end of the last one, on any surface.
//!
//! [`counts`] counts sessions, [`pending`] holds changes until they are announced, and a token bucket limits the rate
//! of announcements; all three are pure. [`Presence`] is the actor: it sends announcements to every worker's fan-out,
//! in the form of each surface. At most one batch of [`BATCH_MAX`](crate::limits::token_bucket::BATCH_MAX) notices is in
//! progress, so a slow worker delays notices and nothing else.
//!
//! The [registry](crate::registry) holds the status of a user. This actor reads it when it learns of a change. So two
//! changes on two workers end with the same status everywhere.

pub mod counts;
pub mod pending;

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{Actor, AsyncContext, Context, SpawnHandle};

use self::counts::{OfflineUser, OnlineCounts, OnlineTransition};
use self::pending::{PendingChanges, PresenceChange, PresenceNotice};
use crate::events::chat::presence::{self as chat, PresenceState, UserStatusChanged, UsersOnline};
use crate::events::community::{UserOffline, UserOnline};
use crate::events::{ServerEvent, json};
use crate::facts::{Fact, Observers};
use crate::limits::token_bucket::TokenBucket;
use crate::model::availability::Availability;
use crate::model::identity::Identity;
use crate::model::ids::{EventName, RoomName, UserId};
use crate::publication::{Event, Publication};
use crate::registry::Registry;
use crate::rooms::Rooms;
use crate::rooms::fanout::messages::{Announcement, AnnouncementReach};
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;
use crate::runtime::mailbox::{Receive, ReplySender, receives_posts};

/// Examined sessions that cost as much as one delivery. A session that shares a thousand rooms with a user is examined
/// a thousand times and notified once.
const EXAMINED_PER_DELIVERY: u64 = 16;

/// A list of users may use at most 1/`LIST_SHARE` of the bytes of an outbox.
pub(crate) const LIST_SHARE: usize = 4;

/// The time from a change to the next list of online users, ms. The list includes later changes.
const LIST_MS: i64 = 1_000;

/// The most online users with which the list is still sent.
const LISTED_MAX: usize = chat::LONGEST_ONLINE_MAX;

/// The receivers of presence announcements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceAudience {
    /// Every session that listens to presence.
    All,
    /// Listening sessions that share a room with the user.
    SharedRooms,
    /// No session.
    Off,
}

/// The settings of presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceSettings {
    /// The receivers.
    pub audience: PresenceAudience,
    /// The delay of `offline`, ms: a user that returns within it is not announced.
    pub linger_ms: i64,
    /// Deliveries a second; 0: no limit.
    pub deliveries_per_second: u32,
}

impl Default for PresenceSettings {
    fn default() -> Self {
        Self { audience: PresenceAudience::All, linger_ms: 1_000, deliveries_per_second: 50_000 }
    }
}

/// A session of the user started, with this identity.
#[derive(Debug)]
pub struct Arrived(pub Arc<Identity>);

/// A session of the user ended, with this identity.
#[derive(Debug)]
pub struct Departed(pub Arc<Identity>);

/// The user changed the status, with this identity; the registry has the new status.
#[derive(Debug)]
pub(crate) struct StatusChanged(pub(crate) Arc<Identity>);

/// A session of the user joined a room. Sent only with [`PresenceAudience::SharedRooms`].
#[derive(Debug)]
pub(crate) struct EnteredRoom(pub(crate) Arc<Identity>, pub(crate) RoomName);

/// A session of the user left a room and stays connected. Sent only with [`PresenceAudience::SharedRooms`].
#[derive(Debug)]
pub(crate) struct ExitedRoom(pub(crate) UserId, pub(crate) RoomName);

/// Reads when a user was last online, ms since the epoch: now while online, `None` when unknown.
#[derive(Debug)]
pub struct LastSeen {
    /// The user.
    pub user: UserId,
    /// The reply.
    pub reply: ReplySender<Option<i64>>,
}

/// Reads the record of an offline user; `None` when unknown or online.
#[derive(Debug)]
pub(crate) struct FindOffline {
    pub(crate) user: UserId,
    pub(crate) reply: ReplySender<Option<OfflineUser>>,
}

/// Changes the settings, except the audience. `outbox` is the size of one outbox in bytes.
#[derive(Debug)]
pub(crate) struct ApplyPresenceSettings {
    pub(crate) settings: PresenceSettings,
    pub(crate) outbox: usize,
}

/// Counts the records of offline users.
#[derive(Debug)]
pub(crate) struct CountOffline(pub(crate) ReplySender<usize>);

/// The actor.
#[derive(Debug)]
pub struct Presence {
    online: OnlineCounts,
    pending: PendingChanges,
    bucket: TokenBucket,
    /// When the list of online users is due, ms; `None` when nothing changed.
    list_due: Option<i64>,
    /// The most bytes of a list.
    list_bytes: usize,
    registry: Arc<Registry>,
    rooms: Rooms,
    clock: Clock,
    stats: Arc<Stats>,
    observers: Observers,
    /// Whether a batch is in progress.
    is_announcing: bool,
    /// The timer of the next batch.
    waking: Option<SpawnHandle>,
}

impl Presence {
    /// An actor without users. `outbox` is the size of one outbox in bytes.
    pub(crate) fn new(
        settings: &PresenceSettings,
        outbox: usize,
        registry: Arc<Registry>,
        rooms: Rooms,
        clock: Clock,
        stats: Arc<Stats>,
        observers: Observers,
    ) -> Self {
        Self {
            online: OnlineCounts::default(),
            pending: PendingChanges::new(settings),
            bucket: TokenBucket::new(settings.deliveries_per_second, clock.elapsed_ms()),
            list_due: None,
            list_bytes: outbox / LIST_SHARE,
            registry,
            rooms,
            clock,
            stats,
            observers,
            is_announcing: false,
            waking: None,
        }
    }

    /// The status of a user with a session.
    fn status_of(&self, user: &UserId) -> Option<Availability> {
        Some(self.registry.availability_of(user)).filter(|&status| status != Availability::Offline)
    }

    /// The list of online users as an announcement.
    fn list(&mut self) -> Announcement {
        self.list_due = None;
        let now = self.clock.now_ms();
        let chat = publication(&UsersOnline::all(&self.registry.longest_online(now, self.list_bytes)), now);
        Announcement { except: None, plain: None, chat, rooms: Vec::new(), known_in: Vec::new() }
    }

    /// Announces what is due and within the rate; otherwise starts a timer.
    fn announce_due(&mut self, ctx: &mut Context<Self>) {
        if self.is_announcing {
            return;
        }
        if let Some(waking) = self.waking.take() {
            ctx.cancel_future(waking);
        }
        let elapsed = self.clock.elapsed_ms();
        if self.pending.audience() == PresenceAudience::All {
            self.bucket.expect_cost(self.stats.sessions.get());
        }
        let most = self.bucket.available(elapsed);
        let notices = self.pending.take(elapsed, most);
        if !notices.is_empty() && self.pending.audience() == PresenceAudience::All {
            self.list_due.get_or_insert(elapsed + LIST_MS);
        }
        self.stats.presence_coalesced.add(std::mem::take(&mut self.pending.coalesced));
        self.stats.presence_suppressed.add(std::mem::take(&mut self.pending.suppressed));
        let announced = notices.len();
        let list_due = self.list_due.filter(|_| self.registry.status_counts().users() <= LISTED_MAX);
        let list = list_due.filter(|&due| most > 0 && due <= elapsed).map(|_| self.list());
        let announcements: Arc<[_]> = notices.into_iter().map(announcement).chain(list).collect();
        if announcements.is_empty() {
            let due = [self.pending.next_due(), list_due].into_iter().flatten().min();
            let wait = due.map(|due| (due - elapsed).max(self.bucket.wait_ms()).max(1));
            let wait = wait.and_then(|wait| u64::try_from(wait).ok()).map(Duration::from_millis);
            self.waking = wait.map(|wait| self.clock.run_later(ctx, wait, Self::announce_due));
            return;
        }
        self.is_announcing = true;
        let paid = announcements.len();
        let rooms = self.rooms.clone();
        let delivered = async move { rooms.announce(announcements).await };
        ctx.spawn(delivered.into_actor(self).map(move |AnnouncementReach { deliveries, examined }, actor, ctx| {
            actor.is_announcing = false;
            actor.bucket.spend(paid, deliveries.max(examined / EXAMINED_PER_DELIVERY));
            actor.stats.presence_announced.add(announced as u64);
            actor.stats.presence_deliveries.add(deliveries);
            actor.announce_due(ctx);
        }));
    }
}

/// A notice in the form of each surface.
fn announcement(notice: PresenceNotice) -> Announcement {
    let PresenceNotice { identity, change, at, rooms, known_in } = notice;
    let user = || identity.user.clone();
    let seen = |status| PresenceState::new(&identity, status, at);
    let (except, plain, chat) = match change {
        PresenceChange::Online(status) => {
            let plain = publication(&UserOnline::new(&identity, at), at);
            (Some(user()), plain, publication(&chat::ChatUserOnline(seen(status)), at))
        }
        PresenceChange::Offline => {
            let plain = publication(&UserOffline::new(user(), at), at);
            (Some(user()), plain, publication(&chat::ChatUserOffline(seen(Availability::Offline)), at))
        }
        PresenceChange::Status(status) => {
            let changed = UserStatusChanged(seen(status));
            (None, publication(&changed, at), publication(&changed, at))
        }
    };
    Announcement { except, plain: Some(plain), chat, rooms, known_in }
}

fn publication<E: ServerEvent>(event: &E, at: i64) -> Publication {
    let (name, data) = (EventName::of_hub(E::NAME), json::encode(event));
    Publication::new(Event { name, topic: None, data, timestamp: at, offset: None })
}

impl Actor for Presence {
    type Context = Context<Self>;
}

receives_posts!(Presence);

impl Receive<ApplyPresenceSettings> for Presence {
    fn receive(&mut self, ApplyPresenceSettings { settings, outbox }: ApplyPresenceSettings, ctx: &mut Self::Context) {
        self.pending.set_linger(settings.linger_ms);
        self.bucket.set_rate(settings.deliveries_per_second);
        self.list_bytes = outbox / LIST_SHARE;
        self.announce_due(ctx);
    }
}

impl Receive<Arrived> for Presence {
    fn receive(&mut self, Arrived(identity): Arrived, ctx: &mut Self::Context) {
        if self.online.session_started(identity.user.clone()) == Some(OnlineTransition::Online) {
            self.observers.observe(Fact::Online(&identity.user));
            let status = self.status_of(&identity.user).unwrap_or_default();
            self.pending.user_online(&identity, status, self.clock.now_ms(), self.clock.elapsed_ms());
            self.announce_due(ctx);
        }
    }
}

impl Receive<Departed> for Presence {
    fn receive(&mut self, Departed(identity): Departed, ctx: &mut Self::Context) {
        let now = self.clock.now_ms();
        if self.online.session_ended(&identity, now) == Some(OnlineTransition::Offline) {
            self.observers.observe(Fact::Offline(&identity.user));
            self.pending.user_offline(&identity, now, self.clock.elapsed_ms());
            self.announce_due(ctx);
        }
    }
}

impl Receive<StatusChanged> for Presence {
    fn receive(&mut self, StatusChanged(identity): StatusChanged, ctx: &mut Self::Context) {
        // A user without a session by now is announced as offline.
        if let Some(status) = self.status_of(&identity.user) {
            self.pending.set_status(&identity, status, self.clock.now_ms(), self.clock.elapsed_ms());
            self.announce_due(ctx);
        }
    }
}

impl Receive<EnteredRoom> for Presence {
    fn receive(&mut self, EnteredRoom(identity, room): EnteredRoom, ctx: &mut Self::Context) {
        self.pending.enter_room(&identity, room, self.clock.now_ms(), self.clock.elapsed_ms());
        self.announce_due(ctx);
    }
}

impl Receive<ExitedRoom> for Presence {
    fn receive(&mut self, ExitedRoom(user, room): ExitedRoom, _: &mut Self::Context) {
        self.pending.leave_room(&user, &room);
    }
}

impl Receive<LastSeen> for Presence {
    fn receive(&mut self, query: LastSeen, _: &mut Self::Context) {
        let _ = query.reply.send(self.online.last_seen(&query.user, self.clock.now_ms()));
    }
}

impl Receive<FindOffline> for Presence {
    fn receive(&mut self, FindOffline { user, reply }: FindOffline, _: &mut Self::Context) {
        let _ = reply.send(self.online.offline_user(&user).cloned());
    }
}

impl Receive<CountOffline> for Presence {
    fn receive(&mut self, CountOffline(reply): CountOffline, _: &mut Self::Context) {
        let _ = reply.send(self.online.gone());
    }
}
