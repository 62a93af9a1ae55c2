//! Starts the hub: its tables, its central actors, and the room actor.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock};

use actix::Actor;
use arc_swap::ArcSwap;

use super::{Authenticator, Hub, Settings, idempotency};
use crate::application::Application;
use crate::chats::Chats;
use crate::chats::writer::ChatWriter;
use crate::facts::{Observer, Observers};
use crate::limits::RateLimit;
use crate::limits::concurrency::ConcurrencyLimits;
use crate::model::client::UserAgents;
use crate::monitor::Monitor;
use crate::monitor::observer::MonitorObserver;
use crate::notifications::Notifications;
use crate::presence::Presence;
use crate::recovery::directory::Recovery;
use crate::refusal_log::RefusalLog;
use crate::registry::Registry;
use crate::revocations::Revoked;
use crate::rooms::actor::{RoomActor, RoomActorContext};
use crate::rooms::counts::RoomCounts;
use crate::rooms::{Rooms, Workers};
use crate::runtime::counters::Stats;
use crate::runtime::mailbox::Mailbox;
use crate::store::Store;

impl Hub {
    /// Starts the actors of the calling thread; each worker starts its own by [`crate::worker::Worker::start`].
    /// [`Hub::open`] fills `revoked` from the store. Without an application, the hub itself answers requests for one.
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
        let registry = Arc::new(Registry::new(settings.max_connections, stats.clone()));
        let refusal_log = Arc::new(RefusalLog::new(clock.clone(), stats.clone()));
        let chats = Arc::new(Chats::new(settings.chats_per_user));
        let monitor = Monitor::new(clock.clone(), stats.clone(), refusal_log.clone()).start();
        let monitor = Mailbox::new("monitor", monitor, settings.mailbox);
        let reports = Arc::new(MonitorObserver::new(monitor.clone(), stats.clone()));
        let observers = Observers::new([stats.clone() as Arc<dyn Observer>, reports]);
        let tables = Tables { store: &store, rooms: &rooms, registry: &registry, chats: &chats };
        let actors = CentralActors::start(&settings, &tables, &stats, &observers);
        Arc::new(Self {
            rooms,
            notifications: Notifications::new(store.clone()),
            presence: actors.presence,
            recovery: actors.recovery,
            limits: actors.limits,
            monitor,
            chat_writer: actors.chat_writer,
            registry,
            concurrency: Arc::new(ConcurrencyLimits::default()),
            user_agents: UserAgents::default(),
            client_ids: idempotency::client_ids(clock.clone()),
            refusal_log,
            chats,
            authenticator,
            application: ArcSwap::from_pointee(application),
            store,
            revoked,
            stats,
            observers,
            workers_started: AtomicUsize::new(0),
            sweepers: (0..settings.workers).map(|_| OnceLock::new()).collect(),
            edges: (0..settings.workers).map(|_| OnceLock::new()).collect(),
            is_draining: AtomicBool::new(false),
            is_loaded: AtomicBool::new(true),
            broken: OnceLock::new(),
            settings: ArcSwap::from_pointee(settings),
            clock,
        })
    }

    /// The room actor, not started yet. It takes over what was restored for it.
    pub(crate) fn room_actor(&self) -> RoomActor {
        let workers = self.rooms.workers();
        RoomActor::new(RoomActorContext {
            fanouts: workers.fanouts().clone(),
            counts: self.rooms.counts().clone(),
            notifications: self.notifications.clone(),
            store: self.store.clone(),
            registry: self.registry.clone(),
            clock: self.clock.clone(),
            stats: self.stats.clone(),
            observers: self.observers.clone(),
            window_ms: self.settings().recovery.window_ms,
            settings: self.settings().for_rooms(),
            restored: workers.take_rooms(),
        })
    }
}

/// The tables and handles that central actors share.
struct Tables<'a> {
    store: &'a Store,
    rooms: &'a Rooms,
    registry: &'a Arc<Registry>,
    chats: &'a Arc<Chats>,
}

/// The actors of which the hub has one, without the monitor.
struct CentralActors {
    presence: Mailbox<Presence>,
    recovery: Mailbox<Recovery>,
    limits: Mailbox<RateLimit>,
    chat_writer: Mailbox<ChatWriter>,
}

impl CentralActors {
    fn start(settings: &Settings, tables: &Tables<'_>, stats: &Arc<Stats>, observers: &Observers) -> Self {
        let Tables { store, rooms, registry, chats } = *tables;
        let (clock, bound) = (&settings.clock, settings.mailbox);
        let recovery = Recovery::new(settings.recovery.window_ms, rooms.clone(), clock.clone(), stats.clone());
        let outbox = settings.outbox.bytes;
        let presence = &settings.presence;
        let presence = Presence::new(
            presence,
            outbox,
            registry.clone(),
            rooms.clone(),
            clock.clone(),
            stats.clone(),
            observers.clone(),
        );
        let recovery = Mailbox::new("recovery", recovery.start(), bound);
        let chat_writer = ChatWriter::new(
            store.clone(),
            chats.clone(),
            rooms.clone(),
            recovery.clone(),
            registry.clone(),
            clock.clone(),
            observers.clone(),
        );
        Self {
            presence: Mailbox::new("presence", presence.start(), bound),
            recovery,
            limits: Mailbox::new("rate-limit", RateLimit::new(clock.clone()).start(), bound),
            chat_writer: Mailbox::new("chat-writer", chat_writer.start(), bound),
        }
    }
}
