//! Deletes chats. One small write marks a chat as deleted, and no reader finds it from then on. Its messages and
//! receipts are then deleted in slices. Each slice is one transaction, and other writes run between slices. A start
//! continues after a crash. A new chat with the same id reuses the row: messages up to `cleared_until` do not belong to
//! it.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Store;
use super::health::StoreError;
use crate::model::fault::Fault;
use crate::model::ids::ChatId;

/// Most rows of a slice, messages and receipts together. Bounds the delay of other writes.
pub(super) const SLICE_ROWS: usize = 1_000;
/// Most messages of a slice: a long message fills several pages of the file.
pub(super) const SLICE_MESSAGES: usize = 100;

impl Store {
    /// Deletes a chat with its messages; `false` when it does not exist. No reader finds the messages after this
    /// returns. Their disk space is freed later.
    ///
    /// # Errors
    /// As [`Store::put_chat`].
    pub async fn delete_chat(&self, id: ChatId) -> Result<bool, Fault> {
        let condition = self.0.condition.clone();
        self.write(move |conn| {
            let is_marked = mark(conn, &id)?;
            if is_marked {
                // Only the writer runs this, and it checks the flag after the commit.
                condition.await_purge();
            }
            Ok(is_marked)
        })
        .await
    }
}

#[cfg(test)]
impl Store {
    /// Resolves when no rows of deleted chats are left.
    pub(crate) async fn purged(&self) {
        let purged = async {
            while self.0.condition.can_purge() {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), purged).await.unwrap();
    }
}

/// Marks a chat as deleted; `false` when it does not exist.
fn mark(conn: &Connection, id: &ChatId) -> Result<bool, StoreError> {
    let marked = conn
        .prepare_cached(
            "UPDATE chats SET is_deleted = 1, is_purging = 1, is_public = 0, messages = 0, cleared_until =
                 max(cleared_until, coalesce((SELECT max(seq) FROM messages WHERE chat_id = ?1), 0))
             WHERE id = ?1 AND NOT is_deleted",
        )?
        .execute([id.as_str()])?;
    conn.prepare_cached("DELETE FROM chat_participants WHERE chat_id = ?1")?.execute([id.as_str()])?;
    Ok(marked > 0)
}

/// Deletes up to [`SLICE_ROWS`] rows of deleted chats. Returns their number; `None` when none are left.
pub(super) fn slice(conn: &Connection) -> Result<Option<usize>, rusqlite::Error> {
    let found: Option<(String, i64)> = conn
        .prepare_cached("SELECT id, cleared_until FROM chats WHERE is_purging ORDER BY id LIMIT 1")?
        .query_row((), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((chat, until)) = found else { return Ok(None) };
    let mut messages =
        conn.prepare_cached("SELECT seq FROM messages WHERE chat_id = ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3")?;
    let messages = messages.query_map(params![chat, until, SLICE_MESSAGES as i64], |row| row.get(0))?;
    let messages: Vec<i64> = messages.collect::<Result<_, _>>()?;
    if messages.is_empty() {
        conn.prepare_cached("DELETE FROM chats WHERE id = ?1 AND is_deleted")?.execute([&chat])?;
        conn.prepare_cached("UPDATE chats SET is_purging = 0 WHERE id = ?1")?.execute([&chat])?;
        return Ok(Some(1));
    }
    let mut receipts = conn.prepare_cached(
        "DELETE FROM receipts WHERE message = ?1
         AND user_id IN (SELECT user_id FROM receipts WHERE message = ?1 ORDER BY user_id LIMIT ?2)",
    )?;
    let mut message = conn.prepare_cached("DELETE FROM messages WHERE seq = ?1")?;
    let mut rows = 0;
    for seq in messages {
        rows += receipts.execute(params![seq, (SLICE_ROWS - rows) as i64])?;
        if rows >= SLICE_ROWS {
            break;
        }
        rows += message.execute([seq])?;
        if rows >= SLICE_ROWS {
            break;
        }
    }
    Ok(Some(rows))
}

#[cfg(test)]
mod tests;
