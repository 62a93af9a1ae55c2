//! The writer thread. Jobs that are waiting share one transaction and its slow disk sync. The writer replies only after
//! the commit.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Notify, oneshot};

use super::health::{Condition, DISK_CLOCK, StoreError, StoreHealth};
use super::identity::FileIdentities;
use super::purge;
use crate::model::fault::Fault;
use crate::runtime::clock::Clock;
use crate::runtime::work_queue::{Queue, Taken};

/// Most jobs in one transaction. Bounds the wait of the first job.
const BATCH_MAX: usize = 256;

/// How often the writer checks for another program's writes.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// How often an idle store is tested with a write.
const PROBE_IDLE: Duration = Duration::from_secs(10);

/// How often an idle writer checks that the files are still at their paths.
const FILE_CHECK: Duration = Duration::from_secs(1);

/// A write, with the channel for its result.
pub(super) trait WriteJob: Send {
    /// Writes. Returns whether to keep the changes.
    fn run(&mut self, conn: &Connection, condition: &Condition) -> bool;

    /// Replies with the result, after the outcome of the commit is known.
    fn answer(self: Box<Self>, committed: Result<(), Fault>);
}

/// A job from a closure.
pub(super) struct Write<T, F> {
    work: Option<F>,
    result: Option<Result<T, Fault>>,
    reply: oneshot::Sender<Result<T, Fault>>,
}

impl<T, F> Write<T, F> {
    pub(super) fn new(work: F, reply: oneshot::Sender<Result<T, Fault>>) -> Self {
        Self { work: Some(work), result: None, reply }
    }
}

impl<T, F> WriteJob for Write<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, conn: &Connection, condition: &Condition) -> bool {
        self.result = self.work.take().map(|work| guarded(|| work(conn), condition));
        matches!(self.result, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: Result<(), Fault>) {
        let result = match (self.result, committed) {
            (Some(Err(fault)), _) | (_, Err(fault)) => Err(fault),
            (Some(result), Ok(())) => result,
            (None, Ok(())) => Err(Fault::internal().caused_by("a write of the store has no result")),
        };
        // The caller may have stopped waiting; a write that succeeded stays.
        if let Err(Err(fault)) = self.reply.send(result)
            && let Some(cause) = fault.cause()
        {
            log::error!("a write without a waiting caller failed: {cause}");
        }
    }
}

/// Runs a closure of the store. Converts an error or a panic to a fault.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>, condition: &Condition) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| condition.handle_error(error)),
        Err(_) => Err(Fault::internal().caused_by("a panic in the store")),
    }
}

/// The writer thread's state.
pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) queue: Arc<Queue<Box<dyn WriteJob>>>,
    pub(super) condition: Arc<Condition>,
    pub(super) changed: Arc<Notify>,
    pub(super) clock: Clock,
    /// SQLite's counter of other connections' writes.
    pub(super) seen: i64,
    /// Time of the last successful write, or of the last probe.
    pub(super) probed_at: Instant,
    /// The identities of the open files.
    pub(super) identity: FileIdentities,
    /// Time of the last check of these identities.
    pub(super) files_checked_at: Instant,
    /// Released after the last write: then another hub may start.
    pub(super) _lock: Option<File>,
}

impl Writer {
    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        self.write_all();
        let Self { conn, identity, _lock, .. } = self;
        drop(conn);
        identity.remove_orphans();
    }

    fn write_all(&mut self) {
        let mut pause = Duration::ZERO;
        loop {
            let timeout = if self.condition.can_purge() { pause } else { WATCH_INTERVAL };
            match self.queue.take_all(BATCH_MAX, timeout) {
                Taken::Some(jobs) => {
                    self.condition.writing(Some(DISK_CLOCK.elapsed_ms()));
                    self.write_batch(jobs);
                    self.condition.writing(None);
                }
                Taken::Idle => {}
                Taken::Closed => return,
            }
            if self.condition.can_purge() {
                // Pause as long as the slice took, so that other writes get half of the thread's time.
                let begun = Instant::now();
                self.purge();
                pause = begun.elapsed().min(WATCH_INTERVAL);
            }
            self.detect_other_writes();
            let is_due = self.files_checked_at.elapsed() >= FILE_CHECK;
            if (is_due || self.condition.failure().is_some()) && self.is_misplaced() {
                // A write would succeed but be lost with the file.
                continue;
            }
            // A damaged file needs a check of the whole file, so it is tested less often.
            let can_retry = self.condition.failure().is_some_and(|failure| !failure.is_damage);
            if can_retry || self.probed_at.elapsed() >= PROBE_IDLE {
                self.condition.writing(Some(DISK_CLOCK.elapsed_ms()));
                self.probe();
                self.condition.writing(None);
            }
        }
    }

    fn write_batch(&mut self, mut jobs: Vec<Box<dyn WriteJob>>) {
        if self.is_misplaced() {
            for job in jobs {
                job.answer(Err(Fault::store_unavailable()));
            }
            return;
        }
        let written = self.transact(&mut jobs);
        let committed = match written {
            // The file was removed during the commit, so a restarted hub may or may not have the write.
            Ok(_) if self.is_misplaced() => Err(Fault::outcome_unknown()),
            Ok(kept) => {
                self.condition.writes.add(kept);
                self.condition.commits.add(1);
                self.probed_at = Instant::now();
                Ok(())
            }
            Err(error) => {
                self.record_error(error);
                if !self.conn.is_autocommit() {
                    let _ = self.conn.execute_batch("ROLLBACK");
                }
                Err(Fault::store_unavailable())
            }
        };
        for job in jobs {
            job.answer(committed.clone());
        }
    }

    /// Whether the open files are no longer the files in the data directory. Records the problem.
    fn is_misplaced(&mut self) -> bool {
        self.files_checked_at = Instant::now();
        match self.identity.misplaced() {
            Some(reason) => {
                self.condition.record_failure(StoreHealth { reason, is_damage: false });
                true
            }
            None => false,
        }
    }

    /// Runs the jobs in one transaction. Returns the number of jobs that were kept.
    fn transact(&self, jobs: &mut [Box<dyn WriteJob>]) -> Result<u64, rusqlite::Error> {
        let mut kept = 0;
        self.execute("BEGIN IMMEDIATE")?;
        for job in jobs {
            self.execute("SAVEPOINT job")?;
            if job.run(&self.conn, &self.condition) {
                kept += 1;
            } else {
                // Some errors roll back the whole transaction; then this statement fails, and so does the transaction.
                self.execute("ROLLBACK TO job")?;
            }
            self.execute("RELEASE job")?;
        }
        self.execute("COMMIT")?;
        Ok(kept)
    }

    /// Deletes a slice of deleted chats' rows, in its own transaction.
    fn purge(&mut self) {
        self.condition.writing(Some(DISK_CLOCK.elapsed_ms()));
        let purged = self.execute("BEGIN IMMEDIATE").and_then(|()| {
            let rows = purge::slice(&self.conn)?;
            self.execute("COMMIT").map(|()| rows)
        });
        match purged {
            Ok(Some(rows)) => self.condition.purged.add(rows as u64),
            Ok(None) => self.condition.end_purge(),
            Err(error) => {
                if !self.conn.is_autocommit() {
                    let _ = self.conn.execute_batch("ROLLBACK");
                }
                self.record_error(error);
                if self.condition.failure().is_none() {
                    // A retry would fail again; the next start retries.
                    self.condition.end_purge();
                }
            }
        }
        self.condition.writing(None);
    }

    /// Records an error that no caller receives. The log gets its cause here, because no refusal has it.
    fn record_error(&self, error: rusqlite::Error) {
        if let Some(cause) = self.condition.handle_error(error.into()).cause() {
            log::error!("{cause}");
        }
    }

    fn execute(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.conn.prepare_cached(sql)?.execute(()).map(drop)
    }

    fn detect_other_writes(&mut self) {
        // The next write reports an error.
        if let Ok(seen) = data_version(&self.conn)
            && seen != self.seen
        {
            self.seen = seen;
            self.changed.notify_one();
        }
    }

    /// Tests whether a write succeeds.
    fn probe(&mut self) {
        self.probed_at = Instant::now();
        let failure = self.condition.failure();
        let now = self.clock.now_ms();
        let written = self
            .conn
            .execute("INSERT INTO probe VALUES (1, ?1) ON CONFLICT DO UPDATE SET at = ?1", [now])
            .and_then(|_| match failure {
                Some(failure) if failure.is_damage => check_integrity(&self.conn),
                _ => Ok(()),
            });
        match written {
            Ok(()) => self.condition.recovered(),
            Err(error) => self.record_error(error),
        }
    }
}

/// A number that changes with every write of another connection.
pub(super) fn data_version(conn: &Connection) -> Result<i64, rusqlite::Error> {
    conn.pragma_query_value(None, "data_version", |row| row.get(0))
}

/// Checks the whole file.
///
/// # Errors
/// The damage found.
pub(super) fn check_integrity(conn: &Connection) -> Result<(), rusqlite::Error> {
    let result: String = conn.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    match result.as_str() {
        "ok" => Ok(()),
        _ => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(result.lines().take(2).collect::<Vec<_>>().join("; ")),
        )),
    }
}
