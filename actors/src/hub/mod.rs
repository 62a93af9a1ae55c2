//! The facade of the hub: it holds the addresses of the central actors and none of their state. [`commands`] publish
//! and revoke, [`queries`] read, [`compose`] starts the actors.

mod chats;
mod commands;
mod compose;
mod health;
mod idempotency;
mod limits;
mod opening;
mod queries;
mod refusals;
mod reload;
mod settings;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use actix::Addr;
use arc_swap::ArcSwap;

use crate::application::Application;
use crate::chats::Chats;
use crate::chats::writer::ChatWriter;
use crate::connection::sweeper::HeartbeatSweeper;
use crate::facts::{Fact, Observers};
use crate::idempotency::Idempotency;
use crate::limits::RateLimit;
use crate::limits::concurrency::ConcurrencyLimits;
use crate::model::client::{Peer, UserAgents};
use crate::model::fault::{Code, Fault};
use crate::model::identity::Identity;
use crate::model::ids::{RoomName, UserId};
use crate::monitor::Monitor;
use crate::notifications::Notifications;
use crate::presence::Presence;
use crate::recovery::directory::Recovery;
use crate::refusal_log::RefusalLog;
use crate::registry::Registry;
use crate::revocations::Revoked;
use crate::rooms::Rooms;
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;
use crate::runtime::mailbox::{Mailbox, Watched};
use crate::store::Store;

pub use self::health::Readiness;
pub use self::idempotency::CLIENT_IDS;
pub use self::settings::{
    ChatPerMinute, CurrentSettings, DebugSettings, MessagesPerMinute, RecoverySettings, Settings,
};
pub use crate::limits::LimitKey;
pub use crate::model::surface::Surface;
pub use crate::registry::LiveSession;
pub use crate::rooms::history::{HistoryPage, Part};
pub use crate::rooms::{MembersPage, PageRange, Published, RoomMember, RoomSummary};

/// Verifies the tokens of connected sessions.
pub trait Authenticator: Send + Sync {
    /// The identity of the token.
    fn authenticate(&self, token: String) -> Pin<Box<dyn Future<Output = Result<Identity, Fault>>>>;
}

/// The receivers of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishTarget {
    /// Every authenticated session on every surface, each once.
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

/// Resolves when a delivered event is on the disk, or with a fault if the write failed or may have failed.
pub type PendingStore = Pin<Box<dyn Future<Output = Result<(), Fault>>>>;

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
    observers: Observers,
    workers_started: AtomicUsize,
    sweepers: Box<[OnceLock<Addr<HeartbeatSweeper>>]>,
    edges: Box<[OnceLock<Box<dyn Watched>>]>,
    is_draining: AtomicBool,
    /// Whether the contents of the store are loaded.
    is_loaded: AtomicBool,
    broken: OnceLock<String>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("settings", &self.settings).field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl Hub {
    /// A client by its address and its `User-Agent` header.
    pub fn peer(&self, address: Option<IpAddr>, user_agent: Option<&[u8]>) -> Peer {
        Peer { address, user_agent: user_agent.and_then(|header| self.user_agents.share(header)) }
    }

    /// Reports a fact to the hub's observers.
    pub(crate) fn observe(&self, fact: Fact<'_>) {
        self.observers.observe(fact);
    }

    /// Counts an overload.
    pub(crate) fn count(&self, fault: &Fault) {
        if fault.code == Code::Overloaded {
            self.stats.overloads.add(1);
        }
    }

    /// The hub's counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// As [`Hub::stats`], shared.
    pub(crate) fn stats_shared(&self) -> Arc<Stats> {
        self.stats.clone()
    }

    /// The current settings. A reload may change them between two calls.
    pub fn settings(&self) -> CurrentSettings {
        self.settings.load()
    }

    /// The most connections at once.
    pub fn max_connections(&self) -> usize {
        self.registry.capacity()
    }

    /// The hub's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The rooms.
    pub fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// The notifications.
    pub(crate) fn notifications(&self) -> &Notifications {
        &self.notifications
    }

    /// The table of live sessions.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The table of chats.
    pub fn chats(&self) -> &Chats {
        &self.chats
    }

    /// The table of revoked tokens.
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

    /// The number of the next worker to start; `None` when all have started.
    pub(crate) fn next_worker(&self) -> Option<usize> {
        let number = self.workers_started.fetch_add(1, Ordering::Relaxed);
        (number < self.sweepers.len()).then_some(number)
    }

    /// Refuses new work from now on.
    pub(crate) fn start_draining(&self) {
        self.is_draining.store(true, Ordering::Release);
    }
}
