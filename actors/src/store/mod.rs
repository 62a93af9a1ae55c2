//! What must not be forgotten: an embedded SQLite file, `hubbub.db` in the data directory.
//!
//! # What an answer guarantees
//!
//! [`Store`]'s writes are answered after their transaction was committed and is on the disk (WAL, `synchronous = FULL`):
//! neither a crash of the hub nor a power cut takes back what was answered. A crash loses what was not answered, each
//! write whole or not at all; the next start needs no repair. What is read is committed, and all that one call reads is
//! of one moment.
//!
//! # How
//!
//! | thread | owns | queue |
//! |---|---|---|
//! | `store-writer` | the one connection that writes | [`WRITES_MAX`]; full: `OVERLOADED` |
//! | `store-reader-N` | a connection each that cannot write | [`READS_MAX`] for all; full: `OVERLOADED` |
//!
//! Deleting a chat takes one small write; [`purge`] then removes what was said there, in slices between other writes.
//!
//! [`writer`] lets jobs that wait together share one transaction, each in a savepoint of its own, so that one that fails
//! undoes nothing of the others. A store that cannot write (full disk, lock, damage) refuses writes at once with
//! `STORE_UNAVAILABLE`, says why in [`Store::failing`], and tries by itself until it can again; reads go on as far as
//! they can. What needs no store does not notice. A hub whose disk is full when it starts runs likewise, and the store
//! opens by itself later: [`waiting`]. Files that were removed or replaced while they are open take no writes:
//! [`identity`].
//!
//! One hub a data directory: the hub holds a lock on `hubbub.lock` while it lives. SQLite's own locks are left to it, so
//! that the command line can write beside a running hub; [`Store::changed`] tells the hub that somebody did.
//!
//! # Layout
//!
//! [`opening`] opens the file, [`schema`] has the tables; then one file a family of data, each a few methods of [`Store`] around SQL. No type of
//! SQLite leaves this module.

mod accounts;
mod answers;
mod chats;
mod grants;
mod handover;
mod health;
mod histories;
mod identity;
mod messages;
mod notifications;
mod opening;
mod purge;
mod reader;
mod revocations;
mod schema;
mod suspended;
mod waiting;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;

pub use self::accounts::{Account, Credentials, Refreshed, SIGN_INS_MAX, SignIn};
pub use self::answers::{StoredAnswer, StoredNonce, StoredNonces};
pub use self::chats::{Access, Chat, ListedChat, PARTICIPANTS_MAX};
pub use self::grants::Grants;
use self::health::{Condition, StoreError, StoreHealth};
pub use self::histories::{StoredEvent, StoredHistory};
pub use self::messages::{Confirmation, MESSAGES_KEPT_MAX, RECEIPTS_NAMED_MAX};
pub use self::notifications::{KEPT_DAYS, KEPT_MAX, Kept, Notice, Read};
pub use self::opening::{OpenError, may_pass};
use self::opening::{Opened, READERS};
use self::reader::Query;
pub(crate) use self::revocations::is_older;
pub use self::revocations::{Forgotten, MARK_MAX, Mark, Revocation};
pub use self::suspended::{StoredDelivery, StoredSession, StoredSessions};
use self::writer::{Job, Write, Writer};
use crate::model::fault::{Code, Fault};
use crate::model::ids::UserId;
use crate::runtime::clock::Clock;
use crate::runtime::work_queue::{Queue, Refused};

/// The file.
pub const FILE: &str = "hubbub.db";
/// The file that the one hub of a data directory holds locked.
pub const LOCK_FILE: &str = "hubbub.lock";

/// Writes that may wait.
pub const WRITES_MAX: usize = 1_024;
/// Reads that may wait.
pub const READS_MAX: usize = 1_024;
/// How long an answer is waited for. A disk that hangs is noticed sooner; see [`Store::failing`].
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// Who opens a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one hub of the data directory.
    Hub,
    /// A command beside it.
    Command,
}

/// What a store has done, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes that are on the disk.
    pub writes: u64,
    /// Transactions that took them there.
    pub commits: u64,
    /// Reads and writes that found the queue full.
    pub overloads: u64,
    /// Reads and writes that failed for the store's sake.
    pub failures: u64,
    /// Rows of deleted chats that were removed.
    pub purged: u64,
}

/// The handle: cheap to clone, one store behind all clones. The threads end with the last of them.
#[derive(Debug, Clone)]
pub struct Store(Arc<Threads>);

#[derive(Debug)]
struct Threads(Arc<Shared>);

/// What the handles and the threads share.
#[derive(Debug)]
struct Shared {
    path: PathBuf,
    clock: Clock,
    writes: Arc<Queue<Box<dyn Job>>>,
    reads: Arc<Queue<Query>>,
    condition: Arc<Condition>,
    changed: Arc<Notify>,
    last_notification: Arc<AtomicI64>,
    ends: Mutex<Ends>,
    /// Whether the file is open for writing, which it is not yet where the disk was full at the start.
    open: watch::Sender<bool>,
}

/// What resolves when a thread has ended.
#[derive(Debug, Default)]
struct Ends {
    readers: Vec<oneshot::Receiver<()>>,
    writer: Option<oneshot::Receiver<()>>,
}

impl std::ops::Deref for Threads {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.writes.close();
        self.reads.close();
    }
}

impl Shared {
    fn new(path: PathBuf, clock: Clock) -> Self {
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

    /// Starts the readers of an opened store, and makes its writer.
    fn begin(&self, opened: Opened, role: Role) -> std::io::Result<Writer> {
        let Opened { lock, writer, readers, seen, last_notification, identity } = opened;
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
            proven_at: Instant::now(),
            identity,
            looked_at: Instant::now(),
            _lock: lock,
        })
    }

    /// Starts the thread that writes.
    fn spawn_writer(&self, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let end = spawn("store-writer".into(), self.writes.clone(), self.condition.clone(), work)?;
        self.ends().writer = Some(end);
        Ok(())
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Opens the store in `directory`; [`Role::Hub`] makes both where they are not there. Blocks.
    ///
    /// # Errors
    /// Another hub works there; the file is locked, damaged, another program's or a later hub's; the system refuses; for
    /// [`Role::Command`], there is none.
    pub fn open(directory: &Path, role: Role, clock: Clock) -> Result<Self, OpenError> {
        Self::of(Opened::at(directory, role, &mut None)?, directory, role, clock)
    }

    fn of(opened: Opened, directory: &Path, role: Role, clock: Clock) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::new(directory.join(FILE), clock));
        let failed = |error| OpenError::io(&shared.path, "opened", &error);
        let writer = shared.begin(opened, role).map_err(failed)?;
        shared.open.send_replace(true);
        shared.spawn_writer(move || writer.run()).map_err(failed)?;
        Ok(Self(Arc::new(Threads(shared))))
    }

    /// Writes, and answers when it is on the disk. What `work` did is undone when it fails.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        self.begin_write(work)?.await
    }

    /// As [`Store::write`]; when this returns, the write has its place among all others. It is done even when nobody waits
    /// for its end.
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
        let job: Box<dyn Job> = Box::new(Write::new(work, reply));
        self.0.writes.push(job).map_err(|Refused(_)| self.overloaded())?;
        Ok(written(answer))
    }

    /// Reads, all of it as of one moment.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        self.0.reads.push(reader::query(work, reply)).map_err(|Refused(_)| self.overloaded())?;
        match timeout(ANSWER_TIME, answer).await {
            Ok(answer) => answer.map_err(|_| Fault::store_unavailable())?,
            Err(_) => Err(Fault::store_unavailable()),
        }
    }

    /// Waits until all is written that was to be written before this, so that what is read next has it in. A store that
    /// cannot write is not waited for: reads go on.
    ///
    /// # Errors
    /// [`Code::Overloaded`].
    async fn settled(&self) -> Result<(), Fault> {
        match self.write(|_| Ok(())).await {
            Err(fault) if !matches!(fault.code, Code::StoreUnavailable | Code::OutcomeUnknown) => Err(fault),
            _ => Ok(()),
        }
    }

    fn overloaded(&self) -> Fault {
        self.0.condition.overloads.add(1);
        Fault::overloaded()
    }

    /// Reads as little as can be, and says how long that took.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OVERLOADED` when the queue is full.
    pub async fn ping(&self) -> Result<Duration, Fault> {
        let asked = Instant::now();
        self.read(|conn| Ok(conn.query_row("SELECT count(*) FROM probe", (), |row| row.get::<_, i64>(0))?)).await?;
        Ok(asked.elapsed())
    }

    /// Why the store cannot write; `None` while it can.
    pub fn failing(&self) -> Option<String> {
        let ailment = self.0.condition.ailment().map(|ailment| ailment.reason);
        ailment.or_else(|| self.0.condition.hangs(self.0.clock.elapsed_ms()).then(|| "the disk does not answer".into()))
    }

    /// Resolves when another program has written since the last time.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Names of the queues and how many jobs wait in each.
    pub fn depths(&self) -> [(&'static str, usize); 2] {
        [("store-writer", self.0.writes.depth()), ("store-reader", self.0.reads.depth())]
    }

    /// What the store has done.
    pub fn counts(&self) -> Counts {
        let condition = &self.0.condition;
        Counts {
            writes: condition.writes.get(),
            commits: condition.commits.get(),
            overloads: condition.overloads.get(),
            failures: condition.failures.get(),
            purged: condition.purged.get(),
        }
    }

    /// Whether the file could not be opened for writing yet: see [`Store::open_or_wait`].
    pub fn is_waiting(&self) -> bool {
        !*self.0.open.borrow()
    }

    /// Resolves when the file is open for writing.
    pub async fn opened(&self) {
        // The sender lives as long as this handle.
        let _ = self.0.open.subscribe().wait_for(|open| *open).await;
    }

    /// Connections to the file.
    pub fn connections(&self) -> usize {
        READERS + 1
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Takes nothing more, and resolves when everything that waited is written and the file is closed.
    pub async fn close(&self) {
        // The writer's connection goes last: only one that writes can put the log back into the file.
        self.0.reads.close();
        let ends = std::mem::take(&mut *self.0.ends());
        let Ends { readers, writer } = ends;
        for end in readers {
            // Dropped, not sent, when the thread ends.
            let _ = end.await;
        }
        self.0.writes.close();
        if let Some(end) = writer {
            let _ = end.await;
        }
    }
}

/// Waits for the end of a write, but not for ever: the caller holds a connection meanwhile. What the writer was given and
/// did not answer may still be done.
async fn written<T>(answer: oneshot::Receiver<Result<T, Fault>>) -> Result<T, Fault> {
    match timeout(ANSWER_TIME, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Err(Fault::outcome_unknown()),
    }
}

/// A user id as the store holds it; it was checked when it came in.
fn stored_id(text: &str) -> Result<UserId, StoreError> {
    let parsed = UserId::of_store(text);
    parsed.map_err(|fault| {
        log::error!("the store holds {text:?} as a user id: {fault}");
        Fault::internal().into()
    })
}

/// Starts a thread that serves `queue`; the receiver resolves when it ends. However it ends, nobody waits for it in vain.
fn spawn<T: Send + 'static>(
    name: String,
    queue: Arc<Queue<T>>,
    condition: Arc<Condition>,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<oneshot::Receiver<()>> {
    struct Abandon<T> {
        queue: Arc<Queue<T>>,
        condition: Arc<Condition>,
        _ended: oneshot::Sender<()>,
    }
    impl<T> Drop for Abandon<T> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.condition.fall_ill(StoreHealth { reason: "a thread of it died".into(), is_damage: false });
            }
            self.queue.abandon();
        }
    }
    let (_ended, end) = oneshot::channel();
    let abandon = Abandon { queue, condition, _ended };
    std::thread::Builder::new().name(name).spawn(move || {
        let _abandon = abandon;
        work();
    })?;
    Ok(end)
}

#[cfg(test)]
mod tests;
