//! The mailboxes of the fan-outs, by worker, and how far each worker lags behind the order of the hub.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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
    /// The number of the last handled entry.
    position: AtomicU64,
    limit: AtomicUsize,
}

/// Counts an entry that waits for a worker, until it is handled.
#[derive(Debug)]
pub(crate) struct Lagging {
    lag: Arc<Lag>,
    bytes: usize,
    number: u64,
}

impl Lagging {
    /// The last publication of the hub when the entry was sent, or the entry itself.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Lagging {
    fn drop(&mut self) {
        self.lag.position.store(self.number, Ordering::Relaxed);
        // The room actor reads the count first: with 0, the worker has handled every entry.
        self.lag.entries.fetch_sub(1, Ordering::Release);
        self.lag.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// An entry in the order of the hub, on its way to a worker.
#[derive(Debug)]
pub(crate) struct Ordered<M> {
    pub(crate) message: M,
    pub(crate) lagging: Lagging,
}

/// The fan-out of one worker.
#[derive(Debug)]
struct WorkerFanout {
    mailbox: OnceLock<Mailbox<Fanout>>,
    lag: Arc<Lag>,
}

/// One mailbox per worker, added when the worker starts, and the head of the order.
#[derive(Debug)]
pub(crate) struct FanoutMailboxes {
    workers: Box<[WorkerFanout]>,
    /// The number of the last publication.
    head: AtomicU64,
}

impl FanoutMailboxes {
    pub(crate) fn new(workers: usize) -> Self {
        let fanout = |worker| {
            let (entries, bytes, position, limit) = Default::default();
            let lag = Arc::new(Lag { name: format!("lag-{worker}").into(), entries, bytes, position, limit });
            WorkerFanout { mailbox: OnceLock::new(), lag }
        };
        Self { workers: (0..workers).map(fanout).collect(), head: AtomicU64::new(0) }
    }

    pub(crate) fn get(&self, worker: usize) -> Option<&Mailbox<Fanout>> {
        self.workers.get(worker)?.mailbox.get()
    }

    /// Adds the mailbox of a worker; `false` when it has one already.
    pub(crate) fn add(&self, worker: usize, fanout: Mailbox<Fanout>) -> bool {
        self.workers.get(worker).is_some_and(|slot| slot.mailbox.set(fanout).is_ok())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mailbox<Fanout>> {
        self.workers.iter().filter_map(|fanout| fanout.mailbox.get())
    }

    /// Sends an entry of `bytes` bytes to a worker; the worker handles entries in their order. `number` is the last
    /// publication of the hub. Only the room actor sends entries, after it has checked the [lag](Self::lags).
    pub(crate) fn send<M>(&self, worker: usize, message: M, number: u64, bytes: usize)
    where
        Fanout: Receive<Ordered<M>> + actix::Handler<Posted<Ordered<M>>>,
        M: Send + 'static,
    {
        let Some(WorkerFanout { mailbox, lag }) = self.workers.get(worker) else { return };
        let Some(mailbox) = mailbox.get() else { return };
        lag.entries.fetch_add(1, Ordering::Relaxed);
        lag.bytes.fetch_add(bytes, Ordering::Relaxed);
        mailbox.post_departure(Ordered { message, lagging: Lagging { lag: lag.clone(), bytes, number } });
    }

    /// Whether so much waits for this worker that it takes no new entries.
    pub(crate) fn lags(&self, worker: usize, limit: LagLimit) -> bool {
        self.workers.get(worker).is_some_and(|WorkerFanout { lag, .. }| {
            lag.entries.load(Ordering::Relaxed) >= limit.entries || lag.bytes.load(Ordering::Relaxed) >= limit.bytes
        })
    }

    /// Sets the number of the last publication. Only the room actor does, after it has sent the publication.
    pub(crate) fn set_head(&self, number: u64) {
        self.head.store(number, Ordering::Release);
    }

    /// The number of the last publication. A join that is requested now has this number or a later one.
    pub(crate) fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// The number up to which all workers have handled every publication. `last` is the last publication of the hub.
    pub(crate) fn handled(&self, last: u64) -> u64 {
        let handled = |WorkerFanout { lag, .. }: &WorkerFanout| match lag.entries.load(Ordering::Acquire) {
            0 => last,
            _ => lag.position.load(Ordering::Relaxed),
        };
        self.workers.iter().map(handled).min().unwrap_or(last)
    }

    /// Sets the bound that [`Watched`] shows.
    pub(crate) fn set_limit(&self, limit: LagLimit) {
        self.workers.iter().for_each(|fanout| fanout.lag.limit.store(limit.entries, Ordering::Relaxed));
    }

    /// Bytes that wait for all workers.
    pub(crate) fn lag_bytes(&self) -> usize {
        self.workers.iter().map(|fanout| fanout.lag.bytes.load(Ordering::Relaxed)).sum()
    }

    /// The lags of the workers.
    pub(crate) fn watched(&self) -> impl Iterator<Item = &dyn Watched> {
        self.workers.iter().map(|fanout| -> &dyn Watched { &*fanout.lag })
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
