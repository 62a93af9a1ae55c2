//! The mailboxes of the fan-outs, by worker, and how far each worker lags behind the order of the hub.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::Fanout;
use crate::runtime::mailbox::{Mailbox, Posted, Receive, Watched};

/// The bounds of what waits for one worker. Beyond one of them, publishers are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LagLimit {
    /// Publications and joins.
    pub entries: usize,
    /// Bytes of publications.
    pub bytes: usize,
}

/// What waits for one worker.
#[derive(Debug)]
struct Lag {
    name: Box<str>,
    entries: AtomicUsize,
    bytes: AtomicUsize,
    limit: AtomicUsize,
}

/// Counts an entry that waits for a worker, until it is handled.
#[derive(Debug)]
pub(crate) struct Lagging {
    lag: Arc<Lag>,
    bytes: usize,
}

impl Drop for Lagging {
    fn drop(&mut self) {
        self.lag.entries.fetch_sub(1, Ordering::Relaxed);
        self.lag.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// An entry in the order of the hub, on its way to a worker.
#[derive(Debug)]
pub(crate) struct Ordered<M> {
    pub(crate) message: M,
    _lagging: Lagging,
}

/// The fan-out of one worker.
#[derive(Debug)]
struct WorkerFanout {
    mailbox: OnceLock<Mailbox<Fanout>>,
    lag: Arc<Lag>,
}

/// One mailbox per worker, added when the worker starts.
#[derive(Debug)]
pub(crate) struct FanoutMailboxes(Box<[WorkerFanout]>);

impl FanoutMailboxes {
    pub(crate) fn new(workers: usize) -> Self {
        let fanout = |worker| {
            let (entries, bytes, limit) = Default::default();
            let lag = Arc::new(Lag { name: format!("lag-{worker}").into(), entries, bytes, limit });
            WorkerFanout { mailbox: OnceLock::new(), lag }
        };
        Self((0..workers).map(fanout).collect())
    }

    pub(crate) fn get(&self, worker: usize) -> Option<&Mailbox<Fanout>> {
        self.0.get(worker)?.mailbox.get()
    }

    /// Adds the mailbox of a worker; `false` when it has one already.
    pub(crate) fn add(&self, worker: usize, fanout: Mailbox<Fanout>) -> bool {
        self.0.get(worker).is_some_and(|slot| slot.mailbox.set(fanout).is_ok())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mailbox<Fanout>> {
        self.0.iter().filter_map(|fanout| fanout.mailbox.get())
    }

    /// Sends an entry of `bytes` bytes to a worker; the worker handles entries in their order. Only the room actor sends
    /// entries, after it has checked the [lag](Self::lags).
    pub(crate) fn send<M>(&self, worker: usize, message: M, bytes: usize)
    where
        Fanout: Receive<Ordered<M>> + actix::Handler<Posted<Ordered<M>>>,
        M: Send + 'static,
    {
        let Some(WorkerFanout { mailbox, lag }) = self.0.get(worker) else { return };
        let Some(mailbox) = mailbox.get() else { return };
        lag.entries.fetch_add(1, Ordering::Relaxed);
        lag.bytes.fetch_add(bytes, Ordering::Relaxed);
        mailbox.post_departure(Ordered { message, _lagging: Lagging { lag: lag.clone(), bytes } });
    }

    /// Whether so much waits for this worker that it takes no new entries.
    pub(crate) fn lags(&self, worker: usize, limit: LagLimit) -> bool {
        self.0.get(worker).is_some_and(|WorkerFanout { lag, .. }| {
            lag.entries.load(Ordering::Relaxed) >= limit.entries || lag.bytes.load(Ordering::Relaxed) >= limit.bytes
        })
    }

    /// Sets the bound that [`Watched`] shows.
    pub(crate) fn set_limit(&self, limit: LagLimit) {
        self.0.iter().for_each(|fanout| fanout.lag.limit.store(limit.entries, Ordering::Relaxed));
    }

    /// Bytes that wait for all workers.
    pub(crate) fn lag_bytes(&self) -> usize {
        self.0.iter().map(|fanout| fanout.lag.bytes.load(Ordering::Relaxed)).sum()
    }

    /// The lags of the workers.
    pub(crate) fn watched(&self) -> impl Iterator<Item = &dyn Watched> {
        self.0.iter().map(|fanout| -> &dyn Watched { &*fanout.lag })
    }
}

/// The entries that wait for a worker, as a queue.
impl Watched for Lag {
    fn name(&self) -> &str {
        &self.name
    }

    fn depth(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    fn bound(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// The mailbox of the fan-out tells whether the worker is alive.
    fn is_alive(&self) -> bool {
        true
    }
}
