//! The one thread that writes. What waits when it is free shares a transaction, and with it the disk's slowest act;
//! nobody is answered before the commit.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Notify, oneshot};

use super::health::{Condition, StoreError, StoreHealth};
use super::identity::Identity;
use super::purge;
use crate::model::fault::Fault;
use crate::runtime::clock::Clock;
use crate::runtime::work_queue::{Queue, Taken};

/// Jobs in one transaction, at most: bounds how long the first of them waits.
const TOGETHER_MAX: usize = 256;

/// How often the writer looks whether another program has written.
const WATCH: Duration = Duration::from_millis(250);

/// How often a store in which nobody writes is tried.
const PROBE_IDLE: Duration = Duration::from_secs(10);

/// How often it is looked whether the files are still in their places while nobody writes.
const LOOK: Duration = Duration::from_secs(1);

/// Something to write, and somebody who waits for it.
pub(super) trait Job: Send {
    /// Writes; whether that is to be kept.
    fn run(&mut self, conn: &Connection, condition: &Condition) -> bool;

    /// Answers, now that it is known whether what was kept is safe.
    fn answer(self: Box<Self>, committed: Result<(), Fault>);
}

/// A job out of a closure.
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

impl<T, F> Job for Write<T, F>
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
        // Who asked may be gone; what was written stays.
        let _ = self.reply.send(result);
    }
}

/// Runs a closure of the store: its setbacks judged, its panics a fault.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>, condition: &Condition) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|setback| condition.judge(setback)),
        Err(_) => Err(Fault::internal().caused_by("a panic in the store")),
    }
}

/// The thread's own.
pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) queue: Arc<Queue<Box<dyn Job>>>,
    pub(super) condition: Arc<Condition>,
    pub(super) changed: Arc<Notify>,
    pub(super) clock: Clock,
    /// SQLite's number for what other connections have written.
    pub(super) seen: i64,
    pub(super) proven_at: Instant,
    /// Which files are open.
    pub(super) identity: Identity,
    /// When it was last looked whether they are still there.
    pub(super) looked_at: Instant,
    /// Goes when everything is written: another hub may come then.
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
            let patience = if self.condition.can_purge() { pause } else { WATCH };
            match self.queue.take_all(TOGETHER_MAX, patience) {
                Taken::Some(jobs) => {
                    self.condition.writing(Some(self.clock.elapsed_ms()));
                    self.write_together(jobs);
                    self.condition.writing(None);
                }
                Taken::Idle => {}
                Taken::Closed => return,
            }
            if self.condition.can_purge() {
                // As long as the slice took: half of the thread's time is left to others.
                let begun = Instant::now();
                self.purge();
                pause = begun.elapsed().min(WATCH);
            }
            self.watch_others();
            let is_due = self.looked_at.elapsed() >= LOOK;
            if (is_due || self.condition.ailment().is_some()) && self.is_misplaced() {
                // A write would succeed, and be lost with the file.
                continue;
            }
            // A damaged file is read whole to see whether it is sound; that is not done all the time.
            let is_curable = self.condition.ailment().is_some_and(|ailment| !ailment.is_damage);
            if is_curable || self.proven_at.elapsed() >= PROBE_IDLE {
                self.condition.writing(Some(self.clock.elapsed_ms()));
                self.probe();
                self.condition.writing(None);
            }
        }
    }

    fn write_together(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        if self.is_misplaced() {
            for job in jobs {
                job.answer(Err(Fault::store_unavailable()));
            }
            return;
        }
        let written = self.transact(&mut jobs);
        let committed = match written {
            // Removed meanwhile: it may be there or not when the hub is started again.
            Ok(_) if self.is_misplaced() => Err(Fault::outcome_unknown()),
            Ok(kept) => {
                self.condition.writes.add(kept);
                self.condition.commits.add(1);
                self.proven_at = Instant::now();
                Ok(())
            }
            Err(error) => {
                self.condition.judge(StoreError::Sqlite(error));
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

    /// Whether the files that are open are not those in the data directory any more; that is noted.
    fn is_misplaced(&mut self) -> bool {
        self.looked_at = Instant::now();
        match self.identity.misplaced() {
            Some(reason) => {
                self.condition.fall_ill(StoreHealth { reason, is_damage: false });
                true
            }
            None => false,
        }
    }

    /// Runs the jobs in one transaction; how many were kept.
    fn transact(&self, jobs: &mut [Box<dyn Job>]) -> Result<u64, rusqlite::Error> {
        let mut kept = 0;
        self.execute("BEGIN IMMEDIATE")?;
        for job in jobs {
            self.execute("SAVEPOINT job")?;
            if job.run(&self.conn, &self.condition) {
                kept += 1;
            } else {
                // Some errors undo the whole transaction; then this one fails, and with it all.
                self.execute("ROLLBACK TO job")?;
            }
            self.execute("RELEASE job")?;
        }
        self.execute("COMMIT")?;
        Ok(kept)
    }

    /// Removes a slice of what deleted chats left, in a transaction of its own.
    fn purge(&mut self) {
        self.condition.writing(Some(self.clock.elapsed_ms()));
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
                self.condition.judge(StoreError::Sqlite(error));
                if self.condition.ailment().is_none() {
                    // It would fail again; the next start tries once more.
                    self.condition.end_purge();
                }
            }
        }
        self.condition.writing(None);
    }

    fn execute(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.conn.prepare_cached(sql)?.execute(()).map(drop)
    }

    fn watch_others(&mut self) {
        // An error shows at the next write.
        if let Ok(seen) = data_version(&self.conn)
            && seen != self.seen
        {
            self.seen = seen;
            self.changed.notify_one();
        }
    }

    /// Writes something nobody needs, to see whether it can be.
    fn probe(&mut self) {
        self.proven_at = Instant::now();
        let ailment = self.condition.ailment();
        let now = self.clock.now_ms();
        let written = self
            .conn
            .execute("INSERT INTO probe VALUES (1, ?1) ON CONFLICT DO UPDATE SET at = ?1", [now])
            .and_then(|_| match ailment {
                Some(ailment) if ailment.is_damage => sound(&self.conn),
                _ => Ok(()),
            });
        match written {
            Ok(()) => self.condition.recovered(),
            Err(error) => drop(self.condition.judge(StoreError::Sqlite(error))),
        }
    }
}

/// A number that changes when another connection has written.
pub(super) fn data_version(conn: &Connection) -> Result<i64, rusqlite::Error> {
    conn.pragma_query_value(None, "data_version", |row| row.get(0))
}

/// Reads the whole file.
///
/// # Errors
/// What is wrong with it.
pub(super) fn sound(conn: &Connection) -> Result<(), rusqlite::Error> {
    let decision: String = conn.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    match decision.as_str() {
        "ok" => Ok(()),
        _ => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(decision.lines().take(2).collect::<Vec<_>>().join("; ")),
        )),
    }
}
