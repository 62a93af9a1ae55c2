//! Durable storage: an embedded SQLite file, `hubbub.db` in the data directory.
//!
//! # Guarantees
//!
//! A write of [`Store`] returns after its transaction is committed and on the disk (WAL, `synchronous = FULL`). Neither
//! a crash of the hub nor a power cut loses a write that has returned. A write that has not returned may be lost,
//! always as a whole. The next start needs no repair. A read sees committed data only, and one call reads one snapshot.
//!
//! # Threads
//!
//! | thread | owns | queue |
//! |---|---|---|
//! | `store-writer` | the only connection that can write | [`WRITES_MAX`]; full: `OVERLOADED` |
//! | `store-reader-N` | one read-only connection each | [`READS_MAX`], shared; full: `OVERLOADED` |
//!
//! [`writer`] runs waiting jobs in one transaction, each job in its own savepoint. A failed job undoes only its own
//! changes. Deleting a chat is one small write; [`purge`] removes the rows later, in slices between other writes.
//!
//! # Failures
//!
//! A store that cannot write (full disk, lock, damage) refuses writes at once with `STORE_UNAVAILABLE`. It reports the
//! reason in [`Store::failing`] and retries until it can write again. Reads continue as far as possible, and features
//! without storage are not affected. A hub that starts on a full disk runs in the same state, and the store opens
//! later: [`waiting`]. The store refuses writes when its open files were removed or replaced: [`identity`].
//!
//! A data directory belongs to one hub: the hub locks `hubbub.lock` for its lifetime. It does not use SQLite's own
//! locks for this, so that the command line can write while the hub runs. [`Store::changed`] notifies the hub of such
//! writes.
//!
//! # Layout
//!
//! [`opening`] opens the file, [`threads`] starts the threads, and [`schema`] has the tables. Each family of data has
//! its own file: a few methods of [`Store`] around SQL. No SQLite type is visible outside this module.

mod accounts;
mod chats;
mod handover;
mod health;
mod histories;
mod idempotency;
mod identity;
mod messages;
mod notifications;
mod opening;
mod permissions;
mod purge;
mod reader;
mod revocations;
mod schema;
mod sign_ins;
mod suspended;
mod threads;
mod waiting;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub use self::accounts::{Account, Credentials};
pub use self::chats::{CHAT_DESCRIPTION_MAX, CHAT_NAME_MAX, Chat, ChatAccessRules, ListedChat, PARTICIPANTS_MAX};
use self::health::{DISK_CLOCK, StoreError};
pub use self::histories::{StoredEvent, StoredHistory};
pub use self::idempotency::{StoredAnswer, StoredNonce, StoredNonces};
pub use self::messages::{Confirmation, MESSAGES_KEPT_MAX, RECEIPTS_NAMED_MAX};
pub use self::notifications::{KEPT_DAYS, KEPT_MAX, NotificationOutcome, ReadNotification, StoredNotification};
pub use self::opening::{OpenError, is_retryable};
use self::opening::{OpenedFiles, READERS};
pub use self::permissions::Grants;
pub(crate) use self::revocations::is_older;
pub use self::revocations::{EvictedRevocation, Revocation, RevocationScope, SUBJECT_MAX};
pub use self::sign_ins::{RefreshedSignIn, SIGN_INS_MAX, SignIn};
pub use self::suspended::{StoredLog, StoredRoom, StoredSegment, StoredSession, StoredSessions};
use self::threads::{Ends, StoreState, Threads};
use self::writer::{Write, WriteJob};
use crate::model::fault::{Code, Fault};
use crate::model::ids::UserId;
use crate::runtime::clock::Clock;
use crate::runtime::work_queue::PushError;

/// The database file in the data directory.
pub const FILE: &str = "hubbub.db";
/// The lock file, held by the hub of a data directory.
pub const LOCK_FILE: &str = "hubbub.lock";

/// Most writes in the queue.
pub const WRITES_MAX: usize = 1_024;
/// Most reads in the queue.
pub const READS_MAX: usize = 1_024;
/// How long a caller waits for a result. [`Store::failing`] detects a hanging disk sooner.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// The kind of program that opens a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The hub that owns the data directory.
    Hub,
    /// A command that runs beside the hub.
    Command,
}

/// Counters of the store's work, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreCounts {
    /// Writes committed to the disk.
    pub writes: u64,
    /// Transactions that committed writes.
    pub commits: u64,
    /// Reads and writes refused because the queue was full.
    pub overloads: u64,
    /// Reads and writes that failed because of the store.
    pub failures: u64,
    /// Rows of deleted chats that were removed.
    pub purged: u64,
}

/// A handle of the store, cheap to clone. The threads end when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Store(Arc<Threads>);

impl Store {
    /// Opens the store in `directory`. [`Role::Hub`] creates the directory and the file if they are missing. Blocks.
    ///
    /// # Errors
    /// Another hub uses the directory; the file is locked, damaged, of another program or of a later hub; the system
    /// call fails; for [`Role::Command`], the file is missing.
    pub fn open(directory: &Path, role: Role, clock: Clock) -> Result<Self, OpenError> {
        Self::of(OpenedFiles::at(directory, role, &mut None)?, directory, role, clock)
    }

    fn of(opened: OpenedFiles, directory: &Path, role: Role, clock: Clock) -> Result<Self, OpenError> {
        let shared = Arc::new(StoreState::new(directory.join(FILE), clock));
        let failed = |error| OpenError::io(&shared.path, "opened", &error);
        let writer = shared.begin(opened, role).map_err(failed)?;
        shared.open.send_replace(true);
        shared.spawn_writer(move || writer.run()).map_err(failed)?;
        Ok(Self(Arc::new(Threads(shared))))
    }

    /// Writes, and returns when the write is on the disk. An error undoes the changes of `work`.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        self.begin_write(work)?.await
    }

    /// Like [`Store::write`], but queues the write before it returns, which fixes the order of writes. The write runs
    /// even if the caller drops the future.
    fn begin_write<T: Send + 'static, W>(
        &self,
        work: W,
    ) -> Result<impl Future<Output = Result<T, Fault>> + Send + use<T, W>, Fault>
    where
        W: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        if self.failing().is_some() {
            return Err(Fault::store_unavailable());
        }
        let (reply, answer) = oneshot::channel();
        let job: Box<dyn WriteJob> = Box::new(Write::new(work, reply));
        self.0.writes.push(job).map_err(|PushError(_)| self.overloaded())?;
        Ok(await_commit(answer))
    }

    /// Reads from one snapshot.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        self.0.reads.push(reader::query(work, reply)).map_err(|PushError(_)| self.overloaded())?;
        match timeout(ANSWER_TIME, answer).await {
            Ok(answer) => answer.map_err(|_| Fault::store_unavailable())?,
            Err(_) => Err(Fault::store_unavailable()),
        }
    }

    /// Waits until all earlier writes are done, so that the next read sees them. Does not wait for a store that cannot
    /// write, because reads continue.
    ///
    /// # Errors
    /// [`Code::Overloaded`].
    async fn wait_for_writes(&self) -> Result<(), Fault> {
        match self.write(|_| Ok(())).await {
            Err(fault) if !matches!(fault.code, Code::StoreUnavailable | Code::OutcomeUnknown) => Err(fault),
            _ => Ok(()),
        }
    }

    fn overloaded(&self) -> Fault {
        self.0.condition.overloads.add(1);
        Fault::overloaded()
    }

    /// Runs the smallest possible read and returns its duration.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OVERLOADED` when the queue is full.
    pub async fn ping(&self) -> Result<Duration, Fault> {
        let started = Instant::now();
        self.read(|conn| Ok(conn.query_row("SELECT count(*) FROM probe", (), |row| row.get::<_, i64>(0))?)).await?;
        Ok(started.elapsed())
    }

    /// The reason why the store cannot write; `None` while it can.
    pub fn failing(&self) -> Option<String> {
        let failure = self.0.condition.failure().map(|failure| failure.reason);
        failure.or_else(|| self.0.condition.hangs(DISK_CLOCK.elapsed_ms()).then(|| "the disk does not answer".into()))
    }

    /// Resolves when another program has written since the previous call.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// The queues' names and lengths.
    pub fn depths(&self) -> [(&'static str, usize); 2] {
        [("store-writer", self.0.writes.depth()), ("store-reader", self.0.reads.depth())]
    }

    /// The current counters.
    pub fn counts(&self) -> StoreCounts {
        let condition = &self.0.condition;
        StoreCounts {
            writes: condition.writes.get(),
            commits: condition.commits.get(),
            overloads: condition.overloads.get(),
            failures: condition.failures.get(),
            purged: condition.purged.get(),
        }
    }

    /// Whether the file is not yet open for writing: see [`Store::open_or_wait`].
    pub fn is_waiting(&self) -> bool {
        !*self.0.open.borrow()
    }

    /// Resolves when the file is open for writing.
    pub async fn opened(&self) {
        // The sender lives as long as this handle.
        let _ = self.0.open.subscribe().wait_for(|open| *open).await;
    }

    /// Number of connections to the file.
    pub fn connections(&self) -> usize {
        READERS + 1
    }

    /// The path of the database file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Refuses new work. Resolves when all queued work is done and the file is closed.
    pub async fn close(&self) {
        // The writer closes last: only a connection that can write can move the log back into the file.
        self.0.reads.close();
        let ends = std::mem::take(&mut *self.0.ends());
        let Ends { readers, writer } = ends;
        for end in readers {
            // The thread drops its sender without sending, so the result is always an error.
            let _ = end.await;
        }
        self.0.writes.close();
        if let Some(end) = writer {
            let _ = end.await;
        }
    }
}

/// Waits for the end of a write, for a limited time: the caller holds a connection meanwhile. After a timeout, the
/// writer may still do the write.
async fn await_commit<T>(answer: oneshot::Receiver<Result<T, Fault>>) -> Result<T, Fault> {
    match timeout(ANSWER_TIME, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Err(Fault::outcome_unknown()),
    }
}

/// Parses a user id from the store. It was validated before it was written.
fn stored_id(text: &str) -> Result<UserId, StoreError> {
    UserId::of_store(text).map_err(|fault| invalid(format!("the store holds {text:?} as a user id: {fault}")))
}

/// The error for stored data that the hub cannot have written.
fn invalid(cause: String) -> StoreError {
    Fault::internal().caused_by(cause).into()
}

#[cfg(test)]
pub(crate) mod tests;
