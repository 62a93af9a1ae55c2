//! The hub as those outside see it: publish, ask, disconnect, drain. Holds the addresses of the central actors and none
//! of their state.

mod drain;
mod health;
mod once;
mod opening;
mod refusals;
mod reload;
mod settings;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use actix::{Actor, Addr};
use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::application::Application;
use crate::chats::Chats;
use crate::chats::writer::{ChatWriter, DeleteChat, MakeChat, PutChat};
use crate::connection::sweeper::HeartbeatSweeper;
use crate::events::{ServerEvent as _, community};
use crate::idempotency::Idempotency;
use crate::limits::concurrency::{ConcurrencyKey, ConcurrencyLimits, ConcurrencySlot};
use crate::limits::fixed_window::{Decision, Rule};
use crate::limits::{Admit, RateLimit};
use crate::model::client::{Peer, UserAgents};
use crate::model::close::Close;
use crate::model::fault::{Code, Fault};
use crate::model::identity::Identity;
use crate::model::ids::{ChatId, EventName, RecoveryToken, RoomName, UserId};
use crate::monitor::Monitor;
use crate::notifications::{Notification, Notifications};
use crate::presence::{LastSeen, Presence};
use crate::publication::Event;
use crate::recovery::{DropRecords, NoteAttempt, Recovery};
use crate::refusal_log::RefusalLog;
use crate::registry::Registry;
use crate::revocations::Revoked;
use crate::rooms::counts::RoomCounts;
use crate::rooms::{Rooms, Workers};
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;
use crate::runtime::mailbox::{Full, Mailbox, Receive, Watched};
use crate::store::{Chat, Revocation, Store};

pub use self::health::Readiness;
pub use self::once::CLIENT_IDS;
pub use self::settings::{ChatPerMinute, CurrentSettings, DebugMode, MessagesPerMinute, RecoverySettings, Settings};
pub use crate::limits::LimitKey;
pub use crate::model::surface::Surface;
pub use crate::registry::LiveSession;
pub use crate::rooms::history::{HistoryPage, Part};
pub use crate::rooms::{MembersPage, Page, Published, RoomMember, RoomSummary};

/// Verifies the tokens that sessions show while they are connected.
pub trait Authenticator: Send + Sync {
    /// What the token says of its holder.
    fn authenticate(&self, token: String) -> Pin<Box<dyn Future<Output = Result<Identity, Fault>>>>;
}

/// To whom a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Every authenticated session of every surface, each once.
    Everybody,
    /// Every session of one user.
    User(UserId),
    /// Every member session of a room.
    Room(RoomName),
}

/// A user's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceOf {
    /// `online` or `offline`.
    pub status: &'static str,
    /// When the user was last seen, ms since the epoch: now while online, `None` when never.
    pub last_seen: Option<i64>,
    /// The user's live sessions, oldest first.
    pub sessions: Vec<LiveSession>,
}

/// Resolves when something is on the disk; or with why it is not known to be, though it was delivered.
pub type Safe = Pin<Box<dyn Future<Output = Result<(), Fault>>>>;

/// The addresses of the central actors. Shared by all workers.
pub struct Hub {
    settings: ArcSwap<Settings>,
    clock: Clock,
    rooms: Rooms,
    notifications: Notifications,
    presence: Mailbox<Presence>,
    recovery: Mailbox<Recovery>,
    limits: Mailbox<RateLimit>,
    monitor: Mailbox<Monitor>,
    registry: Arc<Registry>,
    concurrency: Arc<ConcurrencyLimits>,
    user_agents: UserAgents,
    client_ids: Idempotency,
    refusal_log: Arc<RefusalLog>,
    authenticator: Arc<dyn Authenticator>,
    application: ArcSwap<Option<Arc<dyn Application>>>,
    store: Store,
    revoked: Revoked,
    chats: Arc<Chats>,
    chat_writer: Mailbox<ChatWriter>,
    stats: Arc<Stats>,
    workers_started: AtomicUsize,
    sweepers: Box<[OnceLock<Addr<HeartbeatSweeper>>]>,
    edges: Box<[OnceLock<Box<dyn Watched>>]>,
    draining: AtomicBool,
    /// The hub has what its store holds.
    is_loaded: AtomicBool,
    broken: OnceLock<String>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("settings", &self.settings).field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl Hub {
    /// Starts the actors that live on the calling thread; the workers start theirs by [`crate::worker::Worker::start`].
    /// What the store knows of revoked tokens is in `revoked` after [`Hub::open`]. Without an application
    /// the hub answers by itself what is meant for one.
    pub fn start(
        settings: Settings,
        authenticator: Arc<dyn Authenticator>,
        application: Option<Arc<dyn Application>>,
        store: Store,
        revoked: Revoked,
    ) -> Arc<Self> {
        let stats = Arc::new(Stats::default());
        let clock = settings.clock.clone();
        let counts = RoomCounts::new(settings.rooms, settings.rooms_per_user);
        let rooms = Rooms::new(Arc::new(Workers::new(settings.workers)), counts);
        let window_ms = settings.recovery.window_ms;
        let recovery = Recovery::new(window_ms, rooms.clone(), clock.clone(), stats.clone()).start();
        let limits = RateLimit::new(clock.clone()).start();
        let refusal_log = Arc::new(RefusalLog::new(clock.clone(), stats.clone()));
        let monitor = Monitor::new(clock.clone(), stats.clone(), refusal_log.clone()).start();
        let registry = Arc::new(Registry::new(settings.max_connections, stats.clone()));
        let (telling, outbox) = (&settings.presence, settings.outbox.bytes);
        let presence =
            Presence::new(telling, outbox, registry.clone(), rooms.clone(), clock.clone(), stats.clone()).start();
        let chats = Arc::new(Chats::default());
        chats.set_made_max(settings.chats_per_user);
        let chat_keeper =
            ChatWriter::new(store.clone(), chats.clone(), rooms.clone(), registry.clone(), clock.clone()).start();
        Arc::new(Self {
            rooms,
            notifications: Notifications::new(store.clone()),
            presence: Mailbox::new("presence", presence, settings.mailbox),
            recovery: Mailbox::new("recovery", recovery, settings.mailbox),
            limits: Mailbox::new("rate-limit", limits, settings.mailbox),
            monitor: Mailbox::new("monitor", monitor, settings.mailbox),
            registry,
            concurrency: Arc::new(ConcurrencyLimits::default()),
            user_agents: UserAgents::default(),
            client_ids: once::client_ids(settings.clock.clone()),
            refusal_log,
            chats,
            chat_writer: Mailbox::new("chat-keeper", chat_keeper, settings.mailbox),
            authenticator,
            application: ArcSwap::from_pointee(application),
            store,
            revoked,
            stats,
            workers_started: AtomicUsize::new(0),
            sweepers: (0..settings.workers).map(|_| OnceLock::new()).collect(),
            edges: (0..settings.workers).map(|_| OnceLock::new()).collect(),
            draining: AtomicBool::new(false),
            is_loaded: AtomicBool::new(true),
            broken: OnceLock::new(),
            settings: ArcSwap::from_pointee(settings),
            clock,
        })
    }

    /// Notes that a client which was not let in wanted to go on with the session of this private id.
    pub fn note_attempt(&self, pid: RecoveryToken) {
        // It is only counted: where there is no room for it, it is not.
        let _ = self.recovery.post(NoteAttempt(pid));
    }

    /// Sends a notification to a user's sessions and has it kept: see [`crate::notifications`]. Answers when it has its
    /// place among what the user gets, and says how it will be known that it is on the disk.
    ///
    /// # Errors
    /// As [`Hub::publish`]; [`Code::StoreUnavailable`] when the store cannot write. Nothing was delivered.
    pub async fn notify(&self, user: UserId, notification: Notification) -> Result<(Published, Safe), Fault> {
        self.accepting()?;
        let (name, data) = (EventName::of_hub(community::Notification::NAME), notification.data.clone());
        let event = Event { name, topic: None, data, timestamp: self.clock().now_ms(), offset: None };
        let notified = self.rooms.notify(user, notification, event).inspect_err(|fault| self.count(fault))?;
        let (published, keeping) = notified.await.map_err(|_| Fault::outcome_unknown())??;
        let stats = self.stats.clone();
        stats.commanded.add(1);
        // A task of its own: it is counted also when the caller hangs up.
        let kept = actix_rt::spawn(async move {
            let kept = keeping.await?;
            stats.notifications_kept.add(u64::from(!kept.was_read));
            stats.notifications_pruned.add(kept.pruned as u64);
            Ok(())
        });
        Ok((published, Box::pin(async move { kept.await.map_err(|_| Fault::outcome_unknown())? })))
    }

    /// Publishes an event of a backend. `data` is JSON text. `recipients` counts sessions. Nothing of it is kept: a
    /// notification for a user goes by [`Hub::notify`].
    ///
    /// # Errors
    /// [`Code::Overloaded`] when a queue is full, [`Code::ShuttingDown`] while draining: nothing was accepted.
    pub async fn publish(&self, target: Target, event: EventName, data: Bytes) -> Result<Published, Fault> {
        self.accepting()?;
        let (room, topic) = match target {
            Target::Everybody => (RoomName::everybody(), None),
            Target::User(user) => (RoomName::of_user(&user), None),
            Target::Room(room) => (room.clone(), Some(room)),
        };
        let event = Event { name: event, topic, data, timestamp: self.clock().now_ms(), offset: None };
        let published = self.rooms.publish(room, event, None).inspect_err(|fault| self.count(fault))?;
        self.stats.commanded.add(1);
        published.await.map_err(|_| Fault::outcome_unknown())
    }

    /// Ends every session of the user with 4403, after what was sent to the user, and says how many there were. None of
    /// them can be recovered, nor one that was cut off before.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when a queue is full: nothing was done.
    pub async fn disconnect(&self, user: &UserId) -> Result<usize, Fault> {
        let closed = self.rooms.close_members(RoomName::of_user(user), Close::Kicked);
        let closed = closed.inspect_err(|fault| self.count(fault))?;
        self.recovery.post_when_free(DropRecords::User(user.clone())).await;
        Ok(closed.await.map_err(|_| Fault::outcome_unknown())?.recipients)
    }

    /// Ends the sessions that `picks` picks, of one user or of all, after what was delivered to them, and says how many
    /// there were.
    pub async fn close_where(
        &self,
        whose: Option<&UserId>,
        close: Close,
        picks: impl Fn(&Identity) -> bool + Send + 'static,
    ) -> usize {
        let registry = self.registry.clone();
        let found = match whose {
            Some(user) => registry.find_of(user, picks),
            None => tokio::task::spawn_blocking(move || registry.find(picks)).await.unwrap_or_default(),
        };
        for &place in &found {
            self.rooms.close(place, close);
        }
        found.len()
    }

    /// Refuses the tokens that `revocation` names from now on, and ends with 4401 every session that goes by one. That the
    /// store keeps it is the caller's to see to, before. Answers how many there were.
    pub async fn revoke(&self, revocation: &Revocation) -> usize {
        // Noted first: a session that opens meanwhile finds it, or is found.
        self.revoked.add(revocation);
        let hit = revocation.clone();
        let user = revocation.user.as_ref();
        let closed = self.close_where(user, Close::TokenRevoked, move |identity| hit.hits(identity)).await;
        self.recovery.post_when_free(DropRecords::Revoked(revocation.clone())).await;
        closed
    }

    /// Keeps a revocation in the store, then does as [`Hub::revoke`].
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`]; [`Code::Overloaded`] when the store's queue is full or
    /// [`crate::revocations::REVOCATIONS_MAX`] are kept. Nothing was done.
    pub async fn keep_and_revoke(self: &Arc<Self>, revocation: Revocation) -> Result<usize, Fault> {
        let hub = self.clone();
        // A task of its own: a caller who hangs up midway would else leave connections that nobody closes.
        let revoked = actix_rt::spawn(async move {
            let forgotten = hub.revoked.make_room(&revocation)?;
            hub.store.revoke(revocation.clone(), forgotten).await?;
            Ok(hub.revoke(&revocation).await)
        });
        revoked.await.map_err(|_| Fault::outcome_unknown())?.inspect_err(|fault| self.count(fault))
    }

    /// Makes a chat or replaces it; what is kept now, and whether it was made. Sessions that may not be in it any more
    /// have left it, or do so as soon as their tokens are judged.
    ///
    /// # Errors
    /// As [`Store::put_chat`]; [`Code::LimitReached`] when there are as many chats or participants as there may be.
    pub async fn put_chat(&self, chat: Chat) -> Result<(Chat, bool), Fault> {
        self.ask_chat_writer(|reply| PutChat { chat, reply }).await
    }

    /// Makes a chat where there is none of its id.
    ///
    /// # Errors
    /// As [`Hub::put_chat`].
    pub async fn make_chat(&self, chat: Chat) -> Result<(), Fault> {
        self.ask_chat_writer(|reply| MakeChat { chat, reply }).await
    }

    /// Deletes a chat with its messages; `false` when there is none. Its sessions have left it.
    ///
    /// # Errors
    /// As [`Store::put_chat`].
    pub async fn delete_chat(&self, id: ChatId) -> Result<bool, Fault> {
        self.ask_chat_writer(|reply| DeleteChat { id, reply }).await
    }

    async fn ask_chat_writer<T, M>(&self, ask: impl FnOnce(oneshot::Sender<Result<T, Fault>>) -> M) -> Result<T, Fault>
    where
        ChatWriter: Receive<M>,
        M: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let posted = self.chat_writer.post(ask(reply)).map_err(|Full(_)| Fault::overloaded());
        posted.inspect_err(|fault| self.count(fault))?;
        answer.await.map_err(|_| Fault::outcome_unknown())?
    }

    /// A page of the rooms with members, without the hub's own, by name within the page; and how many there are.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when a queue is full.
    pub async fn list_rooms(&self, page: Page) -> Result<(Vec<RoomSummary>, usize), Fault> {
        self.rooms.list(page).await.inspect_err(|fault| self.count(fault))
    }

    /// A page of the members of a room, by user id within it; `None` where there are none.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when a queue is full.
    pub async fn members(&self, room: &RoomName, page: Page) -> Result<Option<MembersPage>, Fault> {
        self.rooms.members(room.clone(), page).await.inspect_err(|fault| self.count(fault))
    }

    /// At most `limit` of the messages that are kept of a room; `None` where none are.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when a queue is full.
    pub async fn history(&self, room: &RoomName, part: Part, limit: usize) -> Result<Option<HistoryPage>, Fault> {
        self.rooms.history(room.clone(), part, limit).await.inspect_err(|fault| self.count(fault))
    }

    /// A user's presence.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when a queue is full.
    pub async fn presence(&self, user: &UserId) -> Result<PresenceOf, Fault> {
        let (reply, answer) = oneshot::channel();
        self.presence
            .post(LastSeen { user: user.clone(), reply })
            .map_err(|Full(_)| Fault::overloaded())
            .inspect_err(|fault| self.count(fault))?;
        let last_seen = answer.await.map_err(|_| Fault::internal())?;
        let sessions = self.registry.sessions_of(user);
        let status = if sessions.is_empty() { "offline" } else { "online" };
        Ok(PresenceOf { status, last_seen, sessions })
    }

    /// Counts one event under `key` against `per_minute` (0: no limit).
    ///
    /// # Errors
    /// As [`Hub::admit_by`].
    pub async fn admit(&self, key: LimitKey, per_minute: u32) -> Result<(), Fault> {
        self.admit_by(key, Rule::a_minute(per_minute)).await
    }

    /// Counts one event under `key` against `rule`.
    ///
    /// # Errors
    /// [`Code::RateLimited`] with the seconds to wait, [`Code::Overloaded`] when the queue is full.
    pub async fn admit_by(&self, key: LimitKey, rule: Rule) -> Result<(), Fault> {
        if rule.most == 0 {
            return Ok(());
        }
        let counted = key.clone();
        let decision = self.check_limit(key, rule).inspect_err(|fault| self.count(fault))?;
        match decision.await.map_err(|_| Fault::internal())? {
            Decision::Within => Ok(()),
            Decision::Over(seconds) | Decision::Flood(seconds) => {
                self.stats.rate_limited.add(1);
                Err(Fault::rate_limited(seconds).by(counted.rule()))
            }
        }
    }

    /// As [`Hub::admit_by`], for a caller who draws the consequences, and counts them.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when the queue is full.
    pub(crate) fn check_limit(&self, key: LimitKey, rule: Rule) -> Result<oneshot::Receiver<Decision>, Fault> {
        let (reply, decision) = oneshot::channel();
        self.limits.post(Admit { key, rule, reply }).map_err(|Full(_)| Fault::overloaded())?;
        Ok(decision)
    }

    /// Takes one of `most` places of `key` (0: any number), to hold for as long as it is used.
    ///
    /// # Errors
    /// [`Code::LimitReached`] when all are taken.
    pub fn take_slot(&self, key: ConcurrencyKey, most: u32) -> Result<ConcurrencySlot, Fault> {
        self.concurrency.take(key, most)
    }

    /// A client by its address and its `User-Agent` header.
    pub fn peer(&self, address: Option<IpAddr>, user_agent: Option<&[u8]>) -> Peer {
        Peer { address, user_agent: user_agent.and_then(|header| self.user_agents.share(header)) }
    }

    /// Tells the monitor what it may remember; where its mailbox is full, it does not, and that is counted.
    pub(crate) fn observe<M>(&self, observed: M)
    where
        Monitor: Receive<M>,
        M: Send + 'static,
    {
        if let Err(Full(_)) = self.monitor.post(observed) {
            self.stats.observations_dropped.add(1);
        }
    }

    fn count(&self, fault: &Fault) {
        if fault.code == Code::Overloaded {
            self.stats.overloads.add(1);
        }
    }

    /// The hub's counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(crate) fn stats_shared(&self) -> Arc<Stats> {
        self.stats.clone()
    }

    /// What the hub is told now. What needs them twice takes them once: they may be others the next time.
    pub fn settings(&self) -> CurrentSettings {
        self.settings.load()
    }

    /// Connections there may be at once.
    pub fn max_connections(&self) -> usize {
        self.registry.capacity()
    }

    /// The hub's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The way to the rooms.
    pub fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// The way to the notifications.
    pub(crate) fn notifications(&self) -> &Notifications {
        &self.notifications
    }

    /// The table of live sessions.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// What must not be forgotten.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Who may join which chat.
    pub fn chats(&self) -> &Chats {
        &self.chats
    }

    /// Which tokens no longer hold.
    pub fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    pub(crate) fn monitor(&self) -> &Mailbox<Monitor> {
        &self.monitor
    }

    pub(crate) fn presence_mailbox(&self) -> &Mailbox<Presence> {
        &self.presence
    }

    pub(crate) fn recovery(&self) -> &Mailbox<Recovery> {
        &self.recovery
    }

    pub(crate) fn authenticator(&self) -> &Arc<dyn Authenticator> {
        &self.authenticator
    }

    pub(crate) fn application(&self) -> Option<Arc<dyn Application>> {
        self.application.load().as_ref().clone()
    }

    /// The number of the next worker to start.
    pub(crate) fn next_worker(&self) -> Option<usize> {
        let number = self.workers_started.fetch_add(1, Ordering::Relaxed);
        (number < self.sweepers.len()).then_some(number)
    }
}
