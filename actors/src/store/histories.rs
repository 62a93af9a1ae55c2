//! Keeps the histories of rooms between a planned stop and the next start: see [`super::handover`].

use bytes::Bytes;
use rusqlite::{Connection, Row, Statement, params};

use super::Store;
use super::handover::Handover;
use super::health::{StoreError, unless_damaged};
use crate::events::text;
use crate::model::fault::Fault;

/// The history of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHistory {
    /// The room's name.
    pub room: String,
    /// The epoch of the offsets.
    pub epoch: String,
    /// The offset of the last message.
    pub last: u64,
    /// The last messages, oldest first, numbered up to `last`.
    pub messages: Vec<StoredEvent>,
}

/// A message of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The event's name.
    pub name: String,
    /// Whether recipients receive the room's name with the data.
    pub tells_topic: bool,
    /// The data, JSON text.
    pub data: Bytes,
    /// Acceptance time, ms since the epoch.
    pub timestamp: i64,
}

impl Store {
    /// Stores these histories and replaces all stored histories.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::StoreUnavailable`], [`crate::model::fault::Code::Overloaded`].
    pub async fn keep_histories(&self, histories: Vec<StoredHistory>) -> Result<(), Fault> {
        self.hand_over(histories).await
    }

    /// Removes the stored histories and returns them in their order.
    ///
    /// # Errors
    /// As [`Store::keep_histories`].
    pub async fn take_histories(&self) -> Result<Vec<StoredHistory>, Fault> {
        self.take_over().await
    }
}

impl Handover for Vec<StoredHistory> {
    const CLEAR: &'static str = "DELETE FROM history_messages; DELETE FROM histories";

    fn write(&self, conn: &Connection) -> Result<(), StoreError> {
        self.iter().try_for_each(|history| keep(conn, history))
    }

    fn read(conn: &Connection) -> Result<Self, StoreError> {
        read(conn)
    }
}

fn keep(conn: &Connection, history: &StoredHistory) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT INTO histories (room, epoch, last) VALUES (?1, ?2, ?3)")?.execute(params![
        history.room,
        history.epoch,
        history.last.cast_signed()
    ])?;
    let number = conn.last_insert_rowid();
    let mut add = conn.prepare_cached(
        "INSERT INTO history_messages (history, name, tells_topic, data, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for event in &history.messages {
        add.execute(params![number, event.name, event.tells_topic, &event.data[..], event.timestamp])?;
    }
    Ok(())
}

/// Reads the valid histories. A damaged one is skipped, so that the hub still starts.
fn read(conn: &Connection) -> Result<Vec<StoredHistory>, StoreError> {
    let mut histories = conn.prepare("SELECT seq, room, epoch, last FROM histories ORDER BY seq")?;
    let mut rows = histories.query(())?;
    let mut messages = conn
        .prepare("SELECT name, tells_topic, data, created_at FROM history_messages WHERE history = ?1 ORDER BY seq")?;
    let mut taken = Vec::new();
    while let Some(row) = rows.next()? {
        taken.extend(unless_damaged(history_of(row, &mut messages), "a topic's history")?);
    }
    Ok(taken)
}

fn history_of(row: &Row<'_>, messages: &mut Statement<'_>) -> rusqlite::Result<StoredHistory> {
    let messages = messages.query_map([row.get::<_, i64>(0)?], |row| {
        // An earlier version stored escapes without resolving them.
        let data = text::resolve(row.get::<_, Vec<u8>>(2)?.into());
        Ok(StoredEvent { name: row.get(0)?, tells_topic: row.get(1)?, data, timestamp: row.get(3)? })
    })?;
    let messages = messages.collect::<Result<_, _>>()?;
    Ok(StoredHistory { room: row.get(1)?, epoch: row.get(2)?, last: row.get::<_, i64>(3)?.cast_unsigned(), messages })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::Role;

    fn history(room: &str, last: u64, messages: usize) -> StoredHistory {
        let event = |number| StoredEvent {
            name: "x".into(),
            tells_topic: number % 2 == 0,
            data: format!("[{number}]").into(),
            timestamp: number as i64,
        };
        let messages = (0..messages).map(event).collect();
        StoredHistory { room: room.into(), epoch: format!("epoch of {room}"), last, messages }
    }

    #[tokio::test]
    async fn stored_histories_are_taken_once_and_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let kept = vec![history("b", u64::MAX, 3), history("a", 7, 0), history("c", 2, 2)];
        let store = open();
        store.keep_histories(vec![history("old", 1, 1)]).await.unwrap();
        store.keep_histories(kept.clone()).await.unwrap();
        store.close().await;
        drop(store);
        let store = open();
        assert_eq!(store.take_histories().await.unwrap(), kept);
        assert_eq!(store.take_histories().await.unwrap(), []);
    }

    #[tokio::test]
    async fn half_a_surrogate_pair_stored_by_an_earlier_version_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let mut old = history("a", 1, 1);
        old.messages[0].data = r#"["caf\u00e9 \ud83d"]"#.into();
        store.keep_histories(vec![old]).await.unwrap();
        let taken = store.take_histories().await.unwrap();
        assert_eq!(taken[0].messages[0].data, "[\"café \u{fffd}\"]");
    }

    #[tokio::test]
    async fn an_unreadable_history_is_skipped_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        store.keep_histories(vec![history("a", 2, 2), history("b", 1, 1), history("c", 2, 2)]).await.unwrap();
        let file = Connection::open(store.path()).unwrap();
        file.execute("UPDATE histories SET epoch = CAST(x'ff' AS TEXT) WHERE room = 'a'", ()).unwrap();
        let last = "(SELECT max(seq) FROM history_messages)";
        file.execute(&format!("UPDATE history_messages SET name = CAST(x'ff' AS TEXT) WHERE seq = {last}"), ())
            .unwrap();
        assert_eq!(store.take_histories().await.unwrap(), [history("b", 1, 1)]);
        assert_eq!(store.take_histories().await.unwrap(), []);
    }
}
