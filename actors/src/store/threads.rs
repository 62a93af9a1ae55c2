//! The state that the handles of a store share with its threads, and the start of these threads.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, oneshot, watch};

use super::health::{Condition, StoreHealth};
use super::opening::OpenedFiles;
use super::reader::{self, Query};
use super::writer::{WriteJob, Writer};
use super::{READS_MAX, Role, WRITES_MAX};
use crate::runtime::clock::Clock;
use crate::runtime::work_queue::Queue;

/// Closes the queues when the last handle is dropped. The threads then end.
#[derive(Debug)]
pub(super) struct Threads(pub(super) Arc<StoreState>);

/// State shared by the handles and the threads.
#[derive(Debug)]
pub(super) struct StoreState {
    pub(super) path: PathBuf,
    pub(super) clock: Clock,
    pub(super) writes: Arc<Queue<Box<dyn WriteJob>>>,
    pub(super) reads: Arc<Queue<Query>>,
    pub(super) condition: Arc<Condition>,
    pub(super) changed: Arc<Notify>,
    pub(super) last_notification: Arc<AtomicI64>,
    ends: Mutex<Ends>,
    /// Whether the file is open for writing. It is not while the disk is full at the start.
    pub(super) open: watch::Sender<bool>,
}

/// Receivers that resolve when a thread has ended.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) readers: Vec<oneshot::Receiver<()>>,
    pub(super) writer: Option<oneshot::Receiver<()>>,
}

impl std::ops::Deref for Threads {
    type Target = StoreState;

    fn deref(&self) -> &StoreState {
        &self.0
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.writes.close();
        self.reads.close();
    }
}

impl StoreState {
    pub(super) fn new(path: PathBuf, clock: Clock) -> Self {
        Self {
            path,
            clock,
            writes: Arc::new(Queue::new(WRITES_MAX)),
            reads: Arc::new(Queue::new(READS_MAX)),
            condition: Arc::default(),
            changed: Arc::default(),
            last_notification: Arc::default(),
            ends: Mutex::default(),
            open: watch::Sender::new(false),
        }
    }

    /// Starts the readers of an opened store and builds its writer.
    pub(super) fn begin(&self, opened: OpenedFiles, role: Role) -> std::io::Result<Writer> {
        let OpenedFiles { lock, writer, readers, seen, last_notification, identity } = opened;
        for (number, conn) in readers.into_iter().enumerate() {
            let (queue, shared) = (self.reads.clone(), self.condition.clone());
            let end = spawn(format!("store-reader-{number}"), self.reads.clone(), self.condition.clone(), move || {
                reader::run(&conn, &queue, &shared);
            });
            self.ends().readers.push(end?);
        }
        self.last_notification.fetch_max(last_notification, Ordering::Relaxed);
        if role == Role::Hub {
            self.condition.await_purge();
        }
        Ok(Writer {
            conn: writer,
            queue: self.writes.clone(),
            condition: self.condition.clone(),
            changed: self.changed.clone(),
            clock: self.clock.clone(),
            seen,
            probed_at: Instant::now(),
            identity,
            files_checked_at: Instant::now(),
            _lock: lock,
        })
    }

    /// Starts the writer thread.
    pub(super) fn spawn_writer(&self, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let end = spawn("store-writer".into(), self.writes.clone(), self.condition.clone(), work)?;
        self.ends().writer = Some(end);
        Ok(())
    }

    pub(super) fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a thread that serves `queue`. The receiver resolves when the thread ends, also after a panic, and the jobs
/// left in the queue are then dropped.
fn spawn<T: Send + 'static>(
    name: String,
    queue: Arc<Queue<T>>,
    condition: Arc<Condition>,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<oneshot::Receiver<()>> {
    struct ThreadGuard<T> {
        queue: Arc<Queue<T>>,
        condition: Arc<Condition>,
        _ended: oneshot::Sender<()>,
    }
    impl<T> Drop for ThreadGuard<T> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.condition.record_failure(StoreHealth { reason: "a thread of it died".into(), is_damage: false });
            }
            self.queue.close_and_clear();
        }
    }
    let (_ended, end) = oneshot::channel();
    let guard = ThreadGuard { queue, condition, _ended };
    std::thread::Builder::new().name(name).spawn(move || {
        let _guard = guard;
        work();
    })?;
    Ok(end)
}
