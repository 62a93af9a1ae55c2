//! State that survives a planned restart. The hub writes all of it at a planned stop and removes all of it at the next
//! start. A crashed hub writes nothing, so that the next start cannot take partial state for complete state.
//!
//! A hub that starts while the store cannot write reads the state but cannot remove it. It marks the state as stale by
//! the modification time of the lock file, which needs no disk space. A start that finds the mark ignores the state.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use rusqlite::Connection;

use super::health::StoreError;
use super::schema;
use super::{LOCK_FILE, Store, StoredAnswer, StoredHistory, StoredNonces, StoredSessions};
use crate::model::fault::Fault;

/// State handed over to the next start.
pub(super) trait Handover: Sized + Send + 'static {
    /// The SQL that empties the state's tables.
    const CLEAR: &'static str;

    /// Writes the state into its empty tables.
    fn write(&self, conn: &Connection) -> Result<(), StoreError>;

    /// Reads the state from its tables.
    fn read(conn: &Connection) -> Result<Self, StoreError>;
}

impl Store {
    /// Stores this state and replaces the stored one.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub(super) async fn hand_over<T: Handover>(&self, state: T) -> Result<(), Fault> {
        self.write(move |conn| {
            conn.execute_batch(T::CLEAR)?;
            state.write(conn)
        })
        .await
    }

    /// Removes the stored state and returns it.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub(super) async fn take_over<T: Handover>(&self) -> Result<T, Fault> {
        if self.is_waiting() {
            // When the store opens, it removes the state.
            let (is_valid, lock) = (self.0.condition.is_handover_readable(), self.0.path.with_file_name(LOCK_FILE));
            let take = move |conn: &Connection| match is_valid && mark_stale(&lock).is_ok() {
                true => T::read(conn),
                false => T::read(&schema::empty()?),
            };
            return self.read(take).await;
        }
        let taken = self.write(|conn| {
            let taken = T::read(conn)?;
            conn.execute_batch(T::CLEAR)?;
            Ok(taken)
        });
        let taken = taken.await;
        if taken.is_err() {
            // The hub may continue without this state, so a later start must not take it for complete state.
            if let Err(error) = mark_stale(&self.0.path.with_file_name(LOCK_FILE)) {
                log::warn!("the handed-over state cannot be marked as stale in the lock file: {error}");
            }
        }
        taken
    }

    /// Deletes the state that could not be removed at the start. The hub has continued without it.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub(crate) async fn drop_handover(&self) -> Result<(), Fault> {
        self.write(|conn| Ok(conn.execute_batch(&clearing())?)).await?;
        let lock = OpenOptions::new().write(true).open(self.0.path.with_file_name(LOCK_FILE));
        match lock {
            Ok(lock) => unmark(&lock),
            Err(error) => log::warn!("the lock file cannot be opened: {error}"),
        }
        Ok(())
    }
}

/// The SQL that empties all tables of handed-over state.
fn clearing() -> String {
    let tables = [
        <Vec<StoredAnswer> as Handover>::CLEAR,
        <Option<StoredNonces> as Handover>::CLEAR,
        <Vec<StoredHistory> as Handover>::CLEAR,
        <StoredSessions as Handover>::CLEAR,
    ];
    tables.join("; ")
}

/// Marks the handed-over state as read, at the lock file, so that no later start reads it.
fn mark_stale(lock: &Path) -> io::Result<()> {
    let lock = OpenOptions::new().write(true).open(lock)?;
    lock.set_modified(SystemTime::UNIX_EPOCH)?;
    match is_stale(&lock) {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::Unsupported, "the time of a file cannot be set")),
    }
}

/// Whether [`mark_stale`] was called since the store was last open.
pub(super) fn is_stale(lock: &File) -> bool {
    lock.metadata().and_then(|found| found.modified()).is_ok_and(|at| at == SystemTime::UNIX_EPOCH)
}

/// Deletes the handed-over state if it is stale.
pub(super) fn drop_stale(conn: &Connection, lock: &File) -> Result<(), rusqlite::Error> {
    if is_stale(lock) {
        conn.execute_batch(&format!("BEGIN IMMEDIATE; {}; COMMIT", clearing()))?;
        unmark(lock);
    }
    Ok(())
}

fn unmark(lock: &File) {
    if let Err(error) = lock.set_modified(SystemTime::now()) {
        log::warn!("the time of the lock file cannot be set; the next planned stop hands over no state: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::{Role, StoredEvent};

    #[tokio::test]
    async fn stale_state_is_not_taken_over_again() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let event = StoredEvent { name: "e".into(), tells_topic: true, data: "1".into(), timestamp: 1 };
        let history = StoredHistory { room: "lobby".into(), epoch: "e".into(), last: 1, messages: vec![event] };
        let nonces = StoredNonces { not_before: 5, used: Vec::new() };
        for is_marked in [true, false] {
            let store = open();
            store.keep_histories(vec![history.clone()]).await.unwrap();
            store.keep_nonces(nonces.clone()).await.unwrap();
            store.close().await;
            if is_marked {
                mark_stale(&directory.path().join(LOCK_FILE)).unwrap();
            }
            let store = open();
            let (histories, taken) = (store.take_histories().await.unwrap(), store.take_nonces().await.unwrap());
            assert_eq!((histories.is_empty(), taken.is_none()), (is_marked, is_marked));
            store.close().await;
        }
    }
}
