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
//! they can. What needs no store does not notice.
//!
//! One hub a data directory: the hub holds a lock on `hubbub.lock` while it lives. SQLite's own locks are left to it, so
//! that the command line can write beside a running hub; [`Store::changed`] tells the hub that somebody did.
//!
//! # Layout
//!
//! [`schema`] has the tables; then one file a family of data, each a few methods of [`Store`] around SQL. No type of
//! SQLite leaves this module.

mod accounts;
mod answers;
mod chats;
mod condition;
mod handover;
mod histories;
mod messages;
mod notifications;
mod parked;
mod purge;
mod reader;
mod revocations;
mod schema;
mod writer;

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

pub use self::accounts::{Account, Credentials, Refreshed, SIGN_INS_MAX, SignIn};
pub use self::answers::{StoredAnswer, StoredNonce, StoredNonces};
pub use self::chats::{Access, Chat, ListedChat, PARTICIPANTS_MAX};
use self::condition::{Ailment, Condition, Setback};
pub use self::histories::{StoredEvent, StoredHistory};
pub use self::messages::{Confirmation, MESSAGES_KEPT_MAX, RECEIPTS_NAMED_MAX};
pub use self::notifications::{KEPT_DAYS, KEPT_MAX, Kept, Notice, Read};
pub use self::parked::{StoredDelivery, StoredSession, StoredSessions};
use self::reader::Query;
pub(crate) use self::revocations::is_older;
pub use self::revocations::{Forgotten, MARK_MAX, Mark, Revocation};
use self::schema::Unfit;
use self::writer::{Job, Write, Writer};
use crate::clock::Clock;
use crate::fault::{Code, Fault};
use crate::ids::UserId;
use crate::queue::{Queue, Refused};

/// The file.
pub const FILE: &str = "hubbub.db";
/// The file that the one hub of a data directory holds locked.
pub const LOCK_FILE: &str = "hubbub.lock";

/// Writes that may wait.
pub const WRITES_MAX: usize = 1_024;
/// Reads that may wait.
pub const READS_MAX: usize = 1_024;
/// Threads that read. They share two cores with everything else, and a read takes microseconds.
const READERS: usize = 2;

/// How long an answer is waited for. A disk that hangs is noticed sooner; see [`Store::failing`].
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// How long a write waits for another program's.
const PATIENCE: Duration = Duration::from_secs(2);

/// The largest file that is read whole at the start, in bytes. Damage in a larger one shows when it is met.
const CHECKED_MAX: u64 = 64 << 20;

/// The write-ahead log is cut back to this after it was larger, in bytes.
const LOG_KEPT: i64 = 16 << 20;

/// Who opens a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one hub of the data directory.
    Hub,
    /// A command beside it.
    Command,
}

/// Why a store cannot be opened: one line for an operator, with the file.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    why: String,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for OpenError {}

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
struct Threads {
    path: PathBuf,
    clock: Clock,
    writes: Arc<Queue<Box<dyn Job>>>,
    reads: Arc<Queue<Query>>,
    condition: Arc<Condition>,
    changed: Arc<Notify>,
    last_notification: i64,
    ends: Mutex<Ends>,
}

/// What resolves when a thread has ended.
#[derive(Debug, Default)]
struct Ends {
    readers: Vec<oneshot::Receiver<()>>,
    writer: Option<oneshot::Receiver<()>>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.writes.close();
        self.reads.close();
    }
}

impl Store {
    /// Opens the store in `directory`, and makes both where they are not there. Blocks.
    ///
    /// # Errors
    /// Another hub works there; the file is locked, damaged, another program's or a later hub's; the system refuses.
    pub fn open(directory: &Path, role: Role, clock: Clock) -> Result<Self, OpenError> {
        let path = directory.join(FILE);
        let unusable = |why: String| OpenError { path: path.clone(), why };
        let failed = |error: &dyn fmt::Display| unusable(format!("cannot be opened: {error}"));
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| failed(&error))?;
        let lock = match role {
            Role::Hub => Some(lock(directory)?),
            Role::Command => None,
        };
        prepare_file(&path).map_err(|error| failed(&error))?;
        let conn = open_writing(&path, role).map_err(|unfit| unusable(explain(unfit)))?;
        let seen = writer::data_version(&conn).map_err(|error| unusable(explain(error.into())))?;
        let last_notification = notifications::last(&conn).map_err(|error| unusable(explain(error.into())))?;
        let readers: Result<Vec<_>, _> = (0..READERS).map(|_| open_reading(&path)).collect();
        let readers = readers.map_err(|error| unusable(explain(error.into())))?;

        let (writes, reads) = (Arc::new(Queue::new(WRITES_MAX)), Arc::new(Queue::new(READS_MAX)));
        let (condition, changed) = (Arc::new(Condition::default()), Arc::new(Notify::new()));
        let mut ends = Ends::default();
        for (number, conn) in readers.into_iter().enumerate() {
            let (queue, shared) = (reads.clone(), condition.clone());
            let end = spawn(format!("store-reader-{number}"), reads.clone(), condition.clone(), move || {
                reader::run(&conn, &queue, &shared);
            });
            ends.readers.push(end.map_err(|error| failed(&error))?);
        }
        let (queue, proven_at) = (writes.clone(), Instant::now());
        let writer = Writer {
            conn,
            queue,
            condition: condition.clone(),
            changed: changed.clone(),
            clock: clock.clone(),
            seen,
            proven_at,
        };
        if role == Role::Hub {
            condition.await_purge();
        }
        let end = spawn("store-writer".into(), writes.clone(), condition.clone(), move || {
            writer.run();
            // Another hub may come once everything is written.
            drop(lock);
        });
        ends.writer = Some(end.map_err(|error| failed(&error))?);
        let ends = Mutex::new(ends);
        Ok(Self(Arc::new(Threads { path, clock, writes, reads, condition, changed, last_notification, ends })))
    }

    /// Writes, and answers when it is on the disk. What `work` did is undone when it fails.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Setback> + Send + 'static,
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
        W: FnOnce(&Connection) -> Result<T, Setback> + Send + 'static,
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
        work: impl FnOnce(&Connection) -> Result<T, Setback> + Send + 'static,
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
        let ends = std::mem::take(&mut *self.0.ends.lock().unwrap_or_else(PoisonError::into_inner));
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
fn stored_id(text: &str) -> Result<UserId, Setback> {
    let parsed = UserId::parse(text, "id");
    parsed.map_err(|fault| {
        log::error!("the store holds {text:?} as a user id: {fault}");
        Fault::internal().into()
    })
}

/// Holds the data directory for one hub; the lock goes with the process, however it ends.
fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK_FILE);
    let unusable = |why: String| OpenError { path: path.clone(), why };
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|error| unusable(format!("cannot be opened: {error}")))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(unusable("another hub works in this data directory; give each its own server.data_dir".into()))
        }
        Err(TryLockError::Error(error)) => Err(unusable(format!("cannot be locked: {error}"))),
    }
}

/// Makes the file, empty and for its owner alone; SQLite gives what it puts beside it the same mode.
fn prepare_file(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all()?;
            path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            // A copy that was put back has the mode that its maker gave it.
            if std::fs::metadata(path)?.mode() & 0o077 != 0 {
                log::warn!("other users may read {}; chmod 600 it", path.display());
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn open_writing(path: &Path, role: Role) -> Result<Connection, Unfit> {
    let mut conn =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(PATIENCE)?;
    // Before anything is changed: it may be another program's.
    schema::version(&conn)?;
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Unfit::NoLog);
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update_and_check(None, "journal_size_limit", LOG_KEPT, |_| Ok(()))?;
    if role == Role::Hub && std::fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_MAX) {
        writer::sound(&conn)?;
    }
    schema::migrate(&mut conn)?;
    Ok(conn)
}

fn open_reading(path: &Path) -> Result<Connection, rusqlite::Error> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(PATIENCE)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    Ok(conn)
}

fn explain(unfit: Unfit) -> String {
    match unfit {
        Unfit::Foreign => "is another program's database".into(),
        Unfit::Newer { version } => format!(
            "was written by a later version of hubbub: its schema is {version}, this one knows up to {}",
            schema::VERSION
        ),
        Unfit::NoLog => "cannot have a write-ahead log; is it on a network file system?".into(),
        Unfit::Sqlite(error) => match condition::ailment_of(&error) {
            Some(ailment) => ailment.reason,
            None => format!("cannot be opened: {error}"),
        },
    }
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
                self.condition.fall_ill(Ailment { reason: "a thread of it died".into(), is_damage: false });
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
