//! Tracks whether the store can write, and the reason when it cannot. Converts SQLite's errors to faults. No other
//! module reads SQLite's error codes.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::ErrorCode;

use crate::model::fault::{Code, Fault};
use crate::runtime::clock::Clock;
use crate::runtime::count::Count;

/// The clock that measures how long the disk takes. A test that moves the hub's clock by hours does not make the disk slower.
pub(super) const DISK_CLOCK: Clock = Clock::System;

/// A transaction that takes longer counts as hanging, ms. Longer than the wait for another program's lock.
const HANGING_MS: i64 = 5_000;

/// The reason why the store cannot write, as text for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoreHealth {
    pub(super) reason: String,
    /// Whether the file is damaged: then a successful write does not prove that the store works.
    pub(super) is_damage: bool,
}

/// State shared by the store's threads and its handles.
#[derive(Debug, Default)]
pub(super) struct Condition {
    failure: Mutex<Option<StoreHealth>>,
    /// Start time of the writer's transaction plus 1 ms; 0 without a transaction.
    writing_since: AtomicI64,
    /// Committed jobs of the writer.
    pub(super) writes: Count,
    /// Transactions that committed jobs.
    pub(super) commits: Count,
    /// Jobs refused because the queue was full.
    pub(super) overloads: Count,
    /// Jobs that failed because of the store.
    pub(super) failures: Count,
    /// Rows of deleted chats that were removed.
    pub(super) purged: Count,
    /// Whether rows of deleted chats may be left.
    purging: AtomicBool,
    /// Whether the handed-over state may be read before the store is open.
    is_handover_readable: AtomicBool,
}

/// How a job of the store fails.
#[derive(Debug)]
pub(super) enum StoreError {
    /// The request is refused.
    Refused(Fault),
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::Refused(fault)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Condition {
    /// The reason why the store cannot write; `None` while it can.
    pub(super) fn failure(&self) -> Option<StoreHealth> {
        self.guard().clone()
    }

    /// Records when the writer began a transaction, ms by [`crate::runtime::clock::Clock::elapsed_ms`]; `None` at its
    /// end.
    pub(super) fn writing(&self, since: Option<i64>) {
        self.writing_since.store(since.map_or(0, |elapsed| elapsed + 1), Ordering::Relaxed);
    }

    /// Records whether the handed-over state may be read before the store is open.
    pub(super) fn set_handover_readable(&self, may_be_read: bool) {
        self.is_handover_readable.store(may_be_read, Ordering::Relaxed);
    }

    /// Whether the handed-over state may be read before the store is open.
    pub(super) fn is_handover_readable(&self) -> bool {
        self.is_handover_readable.load(Ordering::Relaxed)
    }

    /// Records that rows of deleted chats may be left.
    pub(super) fn await_purge(&self) {
        self.purging.store(true, Ordering::Relaxed);
    }

    /// Records that no rows of deleted chats are left, or that they cannot be removed.
    pub(super) fn end_purge(&self) {
        self.purging.store(false, Ordering::Relaxed);
    }

    /// Whether rows of deleted chats may be left and the store can remove them.
    pub(super) fn can_purge(&self) -> bool {
        self.purging.load(Ordering::Relaxed) && self.failure().is_none()
    }

    /// Whether the writer's transaction takes too long: a disk can hang instead of failing.
    pub(super) fn hangs(&self, elapsed: i64) -> bool {
        let since = self.writing_since.load(Ordering::Relaxed);
        since > 0 && elapsed - since > HANGING_MS
    }

    pub(super) fn recovered(&self) {
        if let Some(failure) = self.guard().take() {
            log::info!("the store can write again; the failure was: {}", failure.reason);
        }
    }

    /// The caller's fault for an error. A failure of the store itself is recorded and logged; the fault for any other
    /// error has its cause.
    pub(super) fn handle_error(&self, error: StoreError) -> Fault {
        match error {
            StoreError::Refused(fault) => fault,
            StoreError::Sqlite(error) => match failure_of(&error) {
                Some(failure) => {
                    self.failures.add(1);
                    self.record_failure(failure);
                    Fault::store_unavailable()
                }
                None => Fault::internal().caused_by(format!("a statement of the store failed: {error}")),
            },
        }
    }

    pub(super) fn record_failure(&self, failure: StoreHealth) {
        let mut now = self.guard();
        if now.as_ref() != Some(&failure) {
            log::error!("the store cannot write: {}", failure.reason);
            *now = Some(failure);
        }
    }

    fn guard(&self) -> MutexGuard<'_, Option<StoreHealth>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store's problem, if the error is about the store and not about the statement.
pub(super) fn failure_of(error: &rusqlite::Error) -> Option<StoreHealth> {
    let code = error.sqlite_error_code()?;
    let reason = match code {
        ErrorCode::DiskFull => "the disk is full",
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => "the file is locked by another program",
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => "the file is damaged",
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => "the file cannot be written",
        ErrorCode::CannotOpen => "the file cannot be opened",
        ErrorCode::SystemIoFailure => "the disk fails",
        ErrorCode::OutOfMemory => "there is no memory left",
        _ => return None,
    };
    let is_damage = matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase);
    Some(StoreHealth { reason: format!("{reason} ({error})"), is_damage })
}

/// The value of a stored row; `None`, with a log line that names `data`, when the row has an invalid form. Only for
/// data that the hub can start without.
pub(super) fn unless_damaged<T>(read: rusqlite::Result<T>, data: &str) -> rusqlite::Result<Option<T>> {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    match read {
        Ok(read) => Ok(Some(read)),
        Err(
            error
            @ (FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..)),
        ) => {
            log::error!("the store holds {data} that cannot be read: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Fault {
    /// The store is not available. The request had no effect.
    pub fn store_unavailable() -> Self {
        Self { retry_after: Some(1), ..Self::new(Code::StoreUnavailable, "The store is unavailable; try again") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_over_the_time_limit_counts_as_hanging() {
        let condition = Condition::default();
        assert!(!condition.hangs(HANGING_MS * 10), "it writes nothing");
        condition.writing(Some(0));
        assert!(!condition.hangs(HANGING_MS));
        assert!(condition.hangs(HANGING_MS + 2));
        condition.writing(None);
        assert!(!condition.hangs(HANGING_MS * 10));
    }
}
