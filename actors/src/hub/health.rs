//! The readiness of the hub, the liveness of its central actors, and the depth of their mailboxes.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use actix::Addr;

use super::Hub;
use crate::connection::sweeper::HeartbeatSweeper;
use crate::model::fault::Fault;
use crate::monitor::health::HealthInputs;
use crate::monitor::samples::Counted;
use crate::runtime::mailbox::Watched;
use crate::store::{READS_MAX, WRITES_MAX};

/// The reason while the contents of a store that opened late are read.
const LOADING: &str = "its contents are being read";

/// Whether the hub accepts work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It accepts work.
    Ready,
    /// It shuts down.
    Draining,
    /// Its store cannot write, for this reason. Requests without the store still work.
    WithoutStore(String),
    /// This central actor died with its state. The hub drains and ends with a failure.
    Broken(String),
}

impl Hub {
    /// The values that decide the health status.
    pub(crate) fn health_inputs(&self, requests: Counted) -> HealthInputs {
        let queues = self.mailboxes().map(|mailbox| (mailbox.name(), mailbox.depth(), mailbox.bound()));
        let store = self.store.depths().into_iter().zip([WRITES_MAX, READS_MAX]);
        let queues = queues.chain(store.map(|((name, depth), bound)| (name, depth, bound)));
        let fullest = queues.max_by(|&(_, depth, bound), &(_, other_depth, other_bound)| {
            depth.saturating_mul(other_bound).cmp(&other_depth.saturating_mul(bound))
        });
        let settings = self.settings();
        HealthInputs {
            connections: (self.registry.connections(), self.registry.capacity()),
            requests,
            fullest: fullest.map(|(name, depth, bound)| (name.to_owned(), depth, bound)),
            memory: ((settings.debug.memory)(), (settings.memory_max)()),
            is_store_failing: self.store.failing().is_some(),
        }
    }

    /// Checks whether new work is accepted.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::ShuttingDown`] while draining.
    pub fn accepting(&self) -> Result<(), Fault> {
        if self.is_draining.load(Ordering::Acquire) {
            return Err(Fault::shutting_down());
        }
        Ok(())
    }

    /// The name of the first dead central actor. The hub stays broken after that.
    pub fn find_dead(&self) -> Option<&str> {
        if let Some(dead) = self.broken.get() {
            return Some(dead);
        }
        let dead = self.mailboxes().find(|mailbox| !mailbox.is_alive()).map(|mailbox| mailbox.name().to_owned());
        let sweeper =
            self.sweepers.iter().position(|sweeper| sweeper.get().is_some_and(|sweeper| !sweeper.connected()));
        let dead = dead.or_else(|| sweeper.map(|number| format!("heartbeat-sweeper-{number}")))?;
        Some(self.broken.get_or_init(|| dead))
    }

    /// Reports that a required task ended by a defect; it counts as a dead central actor.
    pub fn report_dead(&self, name: &str) {
        let _ = self.broken.set(name.to_owned());
    }

    /// Whether the hub accepts work.
    pub fn readiness(&self) -> Readiness {
        match self.find_dead() {
            Some(dead) => Readiness::Broken(dead.to_owned()),
            None if self.is_draining.load(Ordering::Acquire) => Readiness::Draining,
            None => match self.store.failing() {
                Some(why) => Readiness::WithoutStore(why),
                None if !self.is_loaded.load(Ordering::Acquire) => Readiness::WithoutStore(LOADING.into()),
                None => Readiness::Ready,
            },
        }
    }

    /// The mailboxes of the central actors and the queues of the store, with their depths.
    pub fn mailbox_depths(&self) -> Vec<(String, usize)> {
        let mailboxes = self.mailboxes().map(|mailbox| (mailbox.name(), mailbox.depth()));
        mailboxes.chain(self.store.depths()).map(|(name, depth)| (name.to_owned(), depth)).collect()
    }

    /// Bytes of publications that wait for the workers.
    pub fn lag_bytes(&self) -> usize {
        self.rooms.workers().fanouts().lag_bytes()
    }

    fn mailboxes<'a>(&'a self) -> impl Iterator<Item = &'a dyn Watched> {
        let own: [&'a dyn Watched; 5] =
            [&self.presence, &self.recovery, &self.limits, &self.chat_writer, &self.monitor];
        let edges = self.edges.iter().filter_map(OnceLock::get).map(|edge| -> &'a dyn Watched { &**edge });
        own.into_iter().chain(self.rooms.mailboxes()).chain(edges)
    }

    /// Adds the Socket.IO actor of worker `number` to the central actors: without it, its connections are lost.
    pub fn watch_edge(&self, number: usize, mailbox: Box<dyn Watched>) {
        if let Some(slot) = self.edges.get(number) {
            let _ = slot.set(mailbox);
        }
    }

    pub(crate) fn watch_sweeper(&self, number: usize, sweeper: Addr<HeartbeatSweeper>) {
        if let Some(slot) = self.sweepers.get(number) {
            let _ = slot.set(sweeper);
        }
    }
}
