//! Opens the file: creates it if it is missing, checks that it is a hub's, migrates it. Decides which failures are
//! worth a retry.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::identity::FileIdentities;
use super::schema::UnusableFile;
use super::{FILE, LOCK_FILE, Role, Store, handover, health, notifications, schema, writer};

/// How long a write waits for another program's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The largest file that is checked as a whole at the start, bytes. Damage in a larger file is detected on access.
const CHECKED_MAX: u64 = 64 << 20;

/// The write-ahead log is truncated to this size after it was larger, bytes.
const LOG_KEPT: i64 = 16 << 20;

/// Read-only connections. A read takes microseconds, and the threads share the cores with the workers.
pub(super) const READERS: usize = 2;

/// Bytes of a test write that checks for free disk space.
const TRIAL_BYTES: usize = 64 << 10;

/// The reason why a store cannot be opened: one line for an operator, with the path.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    why: String,
    /// Whether the disk is full or fails.
    is_retryable: bool,
}

impl OpenError {
    pub(super) fn io(path: &Path, doing: &str, error: &io::Error) -> Self {
        Self { path: path.to_owned(), why: format!("cannot be {doing}: {error}"), is_retryable: is_retryable(error) }
    }

    pub(super) fn unusable(path: &Path, reason: UnusableFile) -> Self {
        let (mut is_retryable, mut why) = (false, explain(&reason));
        if let UnusableFile::Sqlite(error) = &reason
            && let Some(code @ (ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen)) =
                error.sqlite_error_code()
        {
            // SQLite reports another code when a file that it needs beside this one found no space.
            let is_full = code != ErrorCode::DiskFull && path.parent().is_some_and(is_full);
            if is_full {
                why = format!("the disk is full ({error})");
            }
            is_retryable = is_full || code != ErrorCode::CannotOpen;
        }
        Self { path: path.to_owned(), why, is_retryable }
    }

    /// Whether a retry can succeed although the operator changes nothing: the disk is full or fails.
    pub fn is_retryable(&self) -> bool {
        self.is_retryable
    }

    /// The problem, without the path.
    pub(super) fn reason(&self) -> String {
        format!("{}: {}", self.path.file_name().unwrap_or_default().display(), self.why)
    }
}

/// Whether a system error means that the disk is full or fails.
pub fn is_retryable(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
        || error.raw_os_error() == Some(EIO)
}

/// Whether `directory` has no space for a small file. The test file is removed again.
fn is_full(directory: &Path) -> bool {
    let trial = directory.join("hubbub.trial");
    let written = File::create(&trial).and_then(|mut file| file.write_all(&[0; TRIAL_BYTES]));
    let _ = fs::remove_file(&trial);
    written.is_err_and(|error| is_retryable(&error))
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for OpenError {}

/// The open files and connections of a store.
#[derive(Debug)]
pub(super) struct OpenedFiles {
    /// The lock of the data directory, for the hub.
    pub(super) lock: Option<File>,
    pub(super) writer: Connection,
    pub(super) readers: Vec<Connection>,
    /// SQLite's counter of other connections' writes.
    pub(super) seen: i64,
    /// The largest number of a notification; 0 when there is none.
    pub(super) last_notification: i64,
    /// The identities of the open files.
    pub(super) identity: FileIdentities,
}

impl OpenedFiles {
    /// Opens the store in `directory`; the hub creates both if they are missing. `lock` is a lock that the caller
    /// already holds. A failure puts it back.
    pub(super) fn at(directory: &Path, role: Role, lock: &mut Option<File>) -> Result<Self, OpenError> {
        let path = directory.join(FILE);
        let unusable = |reason| OpenError::unusable(&path, reason);
        if role == Role::Hub {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|error| OpenError::io(&path, "opened", &error))?;
            if lock.is_none() {
                *lock = Some(take_lock(directory)?);
            }
            prepare_file(&path).map_err(|error| OpenError::io(&path, "opened", &error))?;
        } else if !path.try_exists().map_err(|error| OpenError::io(&path, "opened", &error))? {
            let why =
                "does not exist; start the hub once to create it, or set the data directory by --config or --data-dir";
            return Err(OpenError { path, why: why.into(), is_retryable: false });
        }
        let writer = open_writing(&path, role).map_err(unusable)?;
        if let Some(lock) = lock {
            handover::drop_stale(&writer, lock).map_err(|error| unusable(error.into()))?;
        }
        let seen = writer::data_version(&writer).map_err(|error| unusable(error.into()))?;
        let last_notification = notifications::last(&writer).map_err(|error| unusable(error.into()))?;
        let readers: Result<Vec<_>, _> = (0..READERS).map(|_| open_reading(&path)).collect();
        let readers = readers.map_err(|error| unusable(error.into()))?;
        let identity = FileIdentities::of(&path);
        Ok(Self { lock: lock.take(), writer, readers, seen, last_notification, identity })
    }
}

impl Store {
    /// Whether a hub uses `directory`. Creates and changes nothing.
    pub fn is_in_use(directory: &Path) -> bool {
        match OpenOptions::new().write(true).open(directory.join(LOCK_FILE)) {
            Ok(lock) => matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
            Err(_) => false,
        }
    }

    /// Whether `directory` has a store that can be opened; `false` when it has none yet. Creates and changes nothing.
    /// Blocks.
    ///
    /// # Errors
    /// As [`Store::open`], except that a running hub is no error.
    pub fn look(directory: &Path) -> Result<bool, OpenError> {
        let path = directory.join(FILE);
        match OpenOptions::new().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(OpenError::io(&path, "opened", &error)),
            Ok(_) => {}
        }
        let unusable = |reason| OpenError::unusable(&path, reason);
        // The running hub has created every file it needs, and needs the database for itself.
        if Self::is_in_use(directory) {
            let conn = open_reading(&path).map_err(|error| unusable(error.into()))?;
            schema::version(&conn).map_err(unusable)?;
            return Ok(true);
        }
        let log = directory.join(format!("{FILE}-wal"));
        let had_log = log.exists();
        let is_small = fs::metadata(&path).is_ok_and(|file| file.len() <= CHECKED_MAX);
        let found = match open_without_writing(&path) {
            Ok(Some(conn)) if is_small => {
                writer::check_integrity(&conn).map(|()| true).map_err(|error| unusable(error.into()))
            }
            // The next start migrates a store of an earlier version.
            Ok(Some(_)) | Err(UnusableFile::Older { .. }) => Ok(true),
            Ok(None) => Ok(false),
            Err(reason) => Err(unusable(reason)),
        };
        if !had_log && fs::metadata(&log).is_ok_and(|log| log.len() == 0) {
            let _ = fs::remove_file(&log);
        }
        found
    }
}

/// Opens an existing store read-only, without a write to it or beside it: the only way to read on a full disk. No other
/// program can use the file meanwhile. `None` when the file is empty.
pub(super) fn open_without_writing(path: &Path) -> Result<Option<Connection>, UnusableFile> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        _ => {}
    }
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    // Before the first read: SQLite then keeps the log's index in memory instead of in a file.
    conn.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(()))?;
    conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.pragma_update(None, "query_only", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    match schema::version(&conn)? {
        0 => Ok(None),
        schema::VERSION => Ok(Some(conn)),
        version => Err(UnusableFile::Older { version }),
    }
}

/// Locks the data directory for one hub. The system releases the lock when the process ends for any reason.
fn take_lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK_FILE);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|error| OpenError::io(&path, "opened", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let why = "another hub uses this data directory; stop it, or set another server.data_dir";
            Err(OpenError { path, why: why.into(), is_retryable: false })
        }
        Err(TryLockError::Error(error)) => Err(OpenError::io(&path, "locked", &error)),
    }
}

/// Creates the file, empty and accessible by its owner only. SQLite gives the files beside it the same mode. An
/// existing file must be a writable file.
fn prepare_file(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all()?;
            path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            // A restored backup may have another mode.
            if std::fs::metadata(path)?.mode() & 0o077 != 0 {
                log::warn!("other users may read {}; chmod 600 it", path.display());
            }
            // SQLite would open a read-only file without an error, and fail at the first write.
            OpenOptions::new().write(true).open(path).map(drop)
        }
        Err(error) => Err(error),
    }
}

fn open_writing(path: &Path, role: Role) -> Result<Connection, UnusableFile> {
    let mut conn =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    // Before any change: the file may be another program's.
    schema::version(&conn)?;
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(UnusableFile::NoLog);
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update_and_check(None, "journal_size_limit", LOG_KEPT, |_| Ok(()))?;
    if role == Role::Hub && std::fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_MAX) {
        writer::check_integrity(&conn)?;
    }
    schema::migrate(&mut conn)?;
    Ok(conn)
}

fn open_reading(path: &Path) -> Result<Connection, rusqlite::Error> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    // This also opens the log. Otherwise the first query would open it later, when the files may already be removed.
    conn.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get::<_, i64>(0))?;
    Ok(conn)
}

pub(super) fn explain(reason: &UnusableFile) -> String {
    match reason {
        UnusableFile::Foreign => "is another program's database".into(),
        UnusableFile::Newer { version } => format!(
            "was written by a later version of hubbub: its schema is {version}, this one knows up to {}",
            schema::VERSION
        ),
        UnusableFile::Older { version } => {
            format!("has the schema {version} of an earlier version and is not migrated yet")
        }
        UnusableFile::NoLog => "cannot have a write-ahead log; is it on a network file system?".into(),
        UnusableFile::Sqlite(error) => match health::failure_of(error) {
            Some(failure) => failure.reason,
            None => format!("cannot be opened: {error}"),
        },
    }
}

#[cfg(test)]
mod tests;
