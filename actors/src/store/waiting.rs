//! A store that cannot be opened yet because the disk is full or fails. It refuses writes with the reason. It answers
//! reads as far as the file can be read without a write. It opens when the disk has space again.
//!
//! The thread that later becomes the writer does all of this. It owns the lock of the data directory, and no other
//! thread opens the file.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::health::{StoreError, StoreHealth};
use super::opening::{self, OpenError, OpenedFiles};
use super::reader::{self, Query};
use super::schema::{self, UnusableFile};
use super::threads::{StoreState, Threads};
use super::{ANSWER_TIME, FILE, Role, Store, handover, notifications};
use crate::model::fault::Fault;
use crate::runtime::backoff::Backoff;
use crate::runtime::clock::Clock;
use crate::runtime::work_queue::{PushError, Taken};

/// The shortest and the longest delay between two attempts. Each delay is twice the previous one.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Most reads that share one opening of the file.
const BATCH_MAX: usize = 64;

impl Store {
    /// Like [`Store::open`] for the hub, but also starts on a disk that is full or fails. The store then reports the
    /// reason in [`Store::failing`], refuses writes, reads what it can, and retries until it opens: see
    /// [`Store::opened`]. Blocks.
    ///
    /// # Errors
    /// As [`Store::open`], for every other reason.
    pub fn open_or_wait(directory: &std::path::Path, clock: Clock) -> Result<Self, OpenError> {
        let mut lock = None;
        let error = match OpenedFiles::at(directory, Role::Hub, &mut lock) {
            Ok(opened) => return Self::of(opened, directory, Role::Hub, clock),
            Err(error) if !error.is_retryable() => return Err(error),
            Err(error) => error,
        };
        let shared = Arc::new(StoreState::new(directory.join(FILE), clock));
        let waiting = Waiting::new(directory.to_owned(), shared.clone(), lock, &error)?;
        let failed = |error| OpenError::io(&shared.path, "opened", &error);
        shared.spawn_writer(move || waiting.run()).map_err(failed)?;
        Ok(Self(Arc::new(Threads(shared))))
    }

    /// Changes the in-memory data that is read before the store is open. Does not change a file.
    pub(super) async fn change_in_memory(
        &self,
        work: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), Fault> {
        let (reply, answer) = oneshot::channel();
        let change = reader::change(
            move |conn| {
                let is_file = conn.pragma_query_value(None, "query_only", |row| row.get::<_, bool>(0))?;
                if is_file { Ok(()) } else { work(conn) }
            },
            reply,
        );
        self.0.reads.push(change).map_err(|PushError(_)| self.overloaded())?;
        let answered = timeout(ANSWER_TIME, answer).await.map_err(|_| Fault::store_unavailable())?;
        answered.map_err(|_| Fault::store_unavailable())?
    }
}

/// The thread's state until the store is open.
struct Waiting {
    directory: PathBuf,
    shared: Arc<StoreState>,
    lock: Option<File>,
    /// Empty tables in memory, read while the file is missing or empty.
    empty: Connection,
}

impl Waiting {
    /// # Errors
    /// The file can be read and belongs to another program or a later hub.
    fn new(
        directory: PathBuf,
        shared: Arc<StoreState>,
        lock: Option<File>,
        error: &OpenError,
    ) -> Result<Self, OpenError> {
        let unusable = |reason| OpenError::unusable(&shared.path, reason);
        let empty = schema::empty().map_err(|error| unusable(error.into()))?;
        shared.condition.record_failure(StoreHealth { reason: error.reason(), is_damage: false });
        match opening::open_without_writing(&shared.path) {
            Ok(Some(conn)) => {
                if let Ok(last) = notifications::last(&conn) {
                    shared.last_notification.fetch_max(last, std::sync::atomic::Ordering::Relaxed);
                }
            }
            Ok(None) => {}
            Err(reason @ (UnusableFile::Foreign | UnusableFile::Newer { .. })) => return Err(unusable(reason)),
            Err(reason) => log::warn!("the store cannot be read either: {}", opening::explain(&reason)),
        }
        shared.condition.set_handover_readable(lock.as_ref().is_some_and(|lock| !handover::is_stale(lock)));
        Ok(Self { directory, shared, lock, empty })
    }

    /// Waits until the store is open, then writes. Ends when the queues are closed.
    fn run(mut self) {
        let Some(opened) = self.opened() else { return };
        match self.shared.begin(opened, Role::Hub) {
            Ok(writer) => {
                self.shared.open.send_replace(true);
                self.shared.condition.recovered();
                drop(self);
                writer.run();
            }
            Err(error) => log::error!("the store cannot be used: a thread cannot be started: {error}"),
        }
    }

    fn opened(&mut self) -> Option<OpenedFiles> {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut next = Instant::now() + backoff.next_delay();
        loop {
            match self.shared.reads.take_all(BATCH_MAX, next.saturating_duration_since(Instant::now())) {
                Taken::Some(queries) => self.answer(queries),
                Taken::Idle => {}
                Taken::Closed => return None,
            }
            if Instant::now() < next {
                continue;
            }
            match OpenedFiles::at(&self.directory, Role::Hub, &mut self.lock) {
                Ok(opened) => return Some(opened),
                Err(error) => {
                    self.shared.condition.record_failure(StoreHealth { reason: error.reason(), is_damage: false })
                }
            }
            next = Instant::now() + backoff.next_delay();
        }
    }

    /// Runs queries on the file. If it cannot be read, it drops them, and the callers get `STORE_UNAVAILABLE`.
    fn answer(&self, queries: Vec<Query>) {
        match opening::open_without_writing(&self.shared.path) {
            Ok(file) => {
                let conn = file.as_ref().unwrap_or(&self.empty);
                queries.into_iter().for_each(|query| query(conn, &self.shared.condition));
            }
            Err(_) => drop(queries),
        }
    }
}
