//! How the store is: whether it can write, and why not. Turns SQLite's errors into faults; the only place that reads
//! their codes.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::ErrorCode;

use crate::model::fault::{Code, Fault};
use crate::runtime::count::Count;

/// How long a transaction may take before the store counts as hanging, ms. Longer than waiting for another program's.
const HANGING_MS: i64 = 5_000;

/// Why the store cannot write, in words for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoreHealth {
    pub(super) reason: String,
    /// The file itself is damaged: that a write works proves nothing.
    pub(super) is_damage: bool,
}

/// What the threads of the store and those who ask it share.
#[derive(Debug, Default)]
pub(super) struct Condition {
    ailment: Mutex<Option<StoreHealth>>,
    /// Since when the writer is at one transaction, one ms more than its time; 0 while it is at none.
    writing_since: AtomicI64,
    /// Jobs of the writer that were kept.
    pub(super) writes: Count,
    /// Transactions that kept them.
    pub(super) commits: Count,
    /// Jobs that found the queue full.
    pub(super) overloads: Count,
    /// Jobs that failed for the store's sake.
    pub(super) failures: Count,
    /// Rows of deleted chats that were removed.
    pub(super) purged: Count,
    /// There may be rows of deleted chats.
    purging: AtomicBool,
    /// What is handed over may be read while the store is not open.
    hands_over: AtomicBool,
}

/// How a job of the store ends badly.
#[derive(Debug)]
pub(super) enum StoreError {
    /// What was asked for cannot be.
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
    /// Why the store cannot write; `None` while it can.
    pub(super) fn ailment(&self) -> Option<StoreHealth> {
        self.guard().clone()
    }

    /// Notes when the writer began a transaction, ms by [`crate::runtime::clock::Clock::elapsed_ms`], or that it ended it.
    pub(super) fn writing(&self, since: Option<i64>) {
        self.writing_since.store(since.map_or(0, |elapsed| elapsed + 1), Ordering::Relaxed);
    }

    /// Notes whether what is handed over may be read while the store is not open.
    pub(super) fn hand_over(&self, may_be_read: bool) {
        self.hands_over.store(may_be_read, Ordering::Relaxed);
    }

    /// Whether what is handed over may be read while the store is not open.
    pub(super) fn hands_over(&self) -> bool {
        self.hands_over.load(Ordering::Relaxed)
    }

    /// There may be rows of deleted chats.
    pub(super) fn await_purge(&self) {
        self.purging.store(true, Ordering::Relaxed);
    }

    /// There are no rows of deleted chats any more, or they cannot be removed.
    pub(super) fn end_purge(&self) {
        self.purging.store(false, Ordering::Relaxed);
    }

    /// Whether there may be rows of deleted chats, and the store can remove them.
    pub(super) fn can_purge(&self) -> bool {
        self.purging.load(Ordering::Relaxed) && self.ailment().is_none()
    }

    /// Whether the writer has been at one transaction for too long: a disk can hang instead of failing.
    pub(super) fn hangs(&self, elapsed: i64) -> bool {
        let since = self.writing_since.load(Ordering::Relaxed);
        since > 0 && elapsed - since > HANGING_MS
    }

    pub(super) fn recovered(&self) {
        if let Some(ailment) = self.guard().take() {
            log::info!("the store can write again; it could not: {}", ailment.reason);
        }
    }

    /// What the caller is told of a setback; one of the store itself is logged and remembered.
    pub(super) fn judge(&self, setback: StoreError) -> Fault {
        match setback {
            StoreError::Refused(fault) => fault,
            StoreError::Sqlite(error) => match ailment_of(&error) {
                Some(ailment) => {
                    self.failures.add(1);
                    self.fall_ill(ailment);
                    Fault::store_unavailable()
                }
                None => {
                    log::error!("a statement of the store failed: {error}");
                    Fault::internal()
                }
            },
        }
    }

    pub(super) fn fall_ill(&self, ailment: StoreHealth) {
        let mut now = self.guard();
        if now.as_ref() != Some(&ailment) {
            log::error!("the store cannot write: {}", ailment.reason);
            *now = Some(ailment);
        }
    }

    fn guard(&self) -> MutexGuard<'_, Option<StoreHealth>> {
        self.ailment.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong with the store, where an error is the store's and not the statement's.
pub(super) fn ailment_of(error: &rusqlite::Error) -> Option<StoreHealth> {
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

/// What was read of `what`; `None`, and told, where the file holds something else there than the hub wrote. Only for what the
/// hub can do without.
pub(super) fn unless_damaged<T>(read: rusqlite::Result<T>, what: &str) -> rusqlite::Result<Option<T>> {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    match read {
        Ok(read) => Ok(Some(read)),
        Err(
            error
            @ (FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..)),
        ) => {
            log::error!("what the store holds of {what} cannot be read: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Fault {
    /// The store cannot do what is asked now; nothing was done.
    pub fn store_unavailable() -> Self {
        Self { retry_after: Some(1), ..Self::new(Code::StoreUnavailable, "The store is unavailable; try again") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_does_not_end_is_a_store_that_hangs() {
        let condition = Condition::default();
        assert!(!condition.hangs(HANGING_MS * 10), "it writes nothing");
        condition.writing(Some(0));
        assert!(!condition.hangs(HANGING_MS));
        assert!(condition.hangs(HANGING_MS + 2));
        condition.writing(None);
        assert!(!condition.hangs(HANGING_MS * 10));
    }
}
