//! Stores chat messages and their delivery and read receipts.
//!
//! A chat keeps its newest [`MESSAGES_KEPT_MAX`] messages. A new message evicts the oldest one with its receipts. SQL
//! triggers maintain the total counts.

use std::future::Future;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::chats::stored_chat;
use super::health::StoreError;
use super::{Store, invalid, stored_id};
use crate::model::fault::{Code, Fault};
use crate::model::ids::{ChatId, ChatMessageId, UserId};
use crate::model::message::{ChatMessage, Content, ContentType, DeliveryStatus, Receipt};

/// Most stored messages of a chat; the newest are kept.
pub const MESSAGES_KEPT_MAX: u32 = 10_000;
/// Most users listed by [`Store::delivery_status`] as recipients, and most listed as readers.
pub const RECEIPTS_NAMED_MAX: usize = 1_000;

/// Most old messages deleted by one new message. One is enough unless a chat is over its bound.
const PRUNED_MAX: i64 = 64;

/// The effect of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// Whether the receipt changed anything. A repeated receipt does not, nor does a delivery receipt after a read
    /// receipt.
    pub changed: bool,
    /// The author of the message.
    pub author: UserId,
}

impl Store {
    /// Stores a message as the last of its chat, and returns the given `passenger` once it is on the disk. Queues the
    /// write before it returns, which fixes the order of writes.
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`], [`Code::Overloaded`]; then [`Code::NotFound`] when the chat no longer exists.
    pub fn keep_message<T: Send + 'static>(
        &self,
        message: ChatMessage,
        passenger: T,
    ) -> Result<impl Future<Output = Result<T, Fault>> + Send + use<T>, Fault> {
        self.begin_write(move |conn| {
            keep(conn, &message)?;
            prune(conn, &message.chat)?;
            Ok(passenger)
        })
    }

    /// Records at `now` that `user` received or read a message of a chat. Reading includes receiving. Finds every
    /// message that was [queued](Store::keep_message) before the first poll of this future.
    ///
    /// # Errors
    /// [`Code::NotFound`] when the chat has no such message, [`Code::StoreUnavailable`], [`Code::Overloaded`].
    pub async fn confirm(
        &self,
        chat: ChatId,
        message: ChatMessageId,
        user: UserId,
        receipt: Receipt,
        now: i64,
    ) -> Result<Confirmation, Fault> {
        self.write(move |conn| {
            let (seq, author): (i64, String) = conn
                .prepare_cached(
                    "SELECT seq, user_id FROM messages WHERE id = ?1 AND chat_id = ?2
                     AND seq > (SELECT cleared_until FROM chats WHERE id = ?2)",
                )?
                .query_row([message.as_str(), chat.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?
                .ok_or_else(no_message)?;
            let sql = match receipt {
                Receipt::Delivered => {
                    "INSERT INTO receipts (message, user_id, delivered_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING"
                }
                Receipt::Read => {
                    "INSERT INTO receipts (message, user_id, delivered_at, read_at) VALUES (?1, ?2, ?3, ?3)
                     ON CONFLICT DO UPDATE SET read_at = ?3 WHERE read_at IS NULL"
                }
            };
            let changed = conn.prepare_cached(sql)?.execute(params![seq, user.as_str(), now])?;
            Ok(Confirmation { changed: changed > 0, author: stored_id(&author)? })
        })
        .await
    }

    /// The chat of a message, and its recipients and readers: the first [`RECEIPTS_NAMED_MAX`] of each. `None` when no
    /// such message exists. Finds every message that was [queued](Store::keep_message) before the first poll of this
    /// future.
    ///
    /// # Errors
    /// As [`Store::ping`].
    pub async fn delivery_status(&self, message: ChatMessageId) -> Result<Option<(ChatId, DeliveryStatus)>, Fault> {
        let look = || {
            let message = message.clone();
            self.read(move |conn| status(conn, message))
        };
        if let Some(found) = look().await? {
            return Ok(Some(found));
        }
        self.wait_for_writes().await?;
        look().await
    }

    /// The last messages of a chat, or the last messages before `before`, oldest first, and whether earlier ones exist.
    /// Returns at most `limit` messages with at most `bytes` of content in total, but at least one. Finds every message
    /// that was [queued](Store::keep_message) before the first poll of this future.
    ///
    /// # Errors
    /// [`Code::NotFound`] when the chat has no message `before`; as [`Store::ping`].
    pub async fn history(
        &self,
        chat: ChatId,
        before: Option<ChatMessageId>,
        limit: u32,
        bytes: usize,
    ) -> Result<(Vec<ChatMessage>, bool), Fault> {
        let look = || {
            let (chat, before) = (chat.clone(), before.clone());
            self.read(move |conn| page(conn, &chat, before.as_ref(), limit, bytes))
        };
        // A stored message proves that all earlier messages of its chat are stored.
        if before.is_some() {
            match look().await {
                Err(fault) if fault.code == Code::NotFound => {}
                found => return found,
            }
        }
        self.wait_for_writes().await?;
        look().await
    }

    /// Number of messages in all chats, number of their receipts, and number of read receipts. The cost does not depend
    /// on these numbers.
    ///
    /// # Errors
    /// As [`Store::ping`].
    pub async fn message_counts(&self) -> Result<(u64, u64, u64), Fault> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached("SELECT messages, delivered, read FROM message_tally")?;
            let count = |row: &Row<'_>, at| row.get(at).map(|count: i64| u64::try_from(count).unwrap_or(0));
            Ok(statement.query_row((), |row| Ok((count(row, 0)?, count(row, 1)?, count(row, 2)?)))?)
        })
        .await
    }

    /// Time of the last message of a chat, ms since the epoch; `None` when the chat has no messages.
    ///
    /// # Errors
    /// As [`Store::ping`].
    pub async fn last_message_at(&self, chat: ChatId) -> Result<Option<i64>, Fault> {
        self.read(move |conn| {
            let sql = "SELECT created_at FROM messages WHERE chat_id = ?1
                       AND seq > (SELECT cleared_until FROM chats WHERE id = ?1) ORDER BY seq DESC LIMIT 1";
            Ok(conn.prepare_cached(sql)?.query_row([chat.as_str()], |row| row.get(0)).optional()?)
        })
        .await
    }
}

/// The chat has no such message.
fn no_message() -> Fault {
    Fault::new(Code::NotFound, "Message not found")
}

fn keep(conn: &Connection, message: &ChatMessage) -> Result<(), StoreError> {
    let kept = conn
        .prepare_cached(
            "INSERT INTO messages (id, chat_id, user_id, username, kind, content, created_at)
             SELECT ?1, id, ?3, ?4, ?5, ?6, ?7 FROM chats WHERE id = ?2 AND NOT is_deleted",
        )?
        .execute(params![
            message.id.as_str(),
            message.chat.as_str(),
            message.author.as_str(),
            message.username,
            message.content_type.0,
            message.content.0,
            message.created_at,
        ])?;
    match kept {
        0 => Err(Fault::new(Code::NotFound, "Chat not found or access denied").into()),
        _ => Ok(()),
    }
}

/// Deletes the oldest messages of a chat beyond [`MESSAGES_KEPT_MAX`].
fn prune(conn: &Connection, chat: &ChatId) -> Result<(), StoreError> {
    conn.prepare_cached(
        "DELETE FROM messages WHERE seq IN (SELECT seq FROM messages WHERE chat_id = ?1
         AND seq > (SELECT cleared_until FROM chats WHERE id = ?1) ORDER BY seq
         LIMIT (SELECT min(max(messages - ?2, 0), ?3) FROM chats WHERE id = ?1))",
    )?
    .execute(params![chat.as_str(), MESSAGES_KEPT_MAX, PRUNED_MAX])?;
    Ok(())
}

fn status(conn: &Connection, message: ChatMessageId) -> Result<Option<(ChatId, DeliveryStatus)>, StoreError> {
    let found: Option<(i64, String, i64)> = conn
        .prepare_cached(
            "SELECT seq, chat_id, messages.created_at FROM messages JOIN chats ON chats.id = chat_id
             WHERE messages.id = ?1 AND seq > cleared_until",
        )?
        .query_row([message.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((seq, chat, sent_at)) = found else { return Ok(None) };
    let users = |sql| {
        let mut statement = conn.prepare_cached(sql)?;
        let users = statement.query_map(params![seq, RECEIPTS_NAMED_MAX as i64], |row| row.get(0))?;
        let users = users.collect::<Result<Vec<String>, _>>()?;
        users.iter().map(|user| stored_id(user)).collect::<Result<Vec<_>, StoreError>>()
    };
    let delivered_to =
        users("SELECT user_id FROM receipts WHERE message = ?1 ORDER BY delivered_at, user_id LIMIT ?2")?;
    let read_by = users(
        "SELECT user_id FROM receipts WHERE message = ?1 AND read_at IS NOT NULL ORDER BY read_at, user_id LIMIT ?2",
    )?;
    let (delivered, read, last): (i64, i64, Option<i64>) = conn
        .prepare_cached(
            "SELECT count(*), count(read_at), max(coalesce(read_at, delivered_at)) FROM receipts WHERE message = ?1",
        )?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let unless_named = |count: i64, named: &[UserId]| {
        let count = u64::try_from(count).unwrap_or(0);
        (count > named.len() as u64).then_some(count)
    };
    let status = DeliveryStatus {
        message,
        delivered_count: unless_named(delivered, &delivered_to),
        read_count: unless_named(read, &read_by),
        delivered_to,
        read_by,
        sent_at,
        last_update: last.unwrap_or(sent_at),
    };
    Ok(Some((stored_chat(&chat)?, status)))
}

fn page(
    conn: &Connection,
    chat: &ChatId,
    before: Option<&ChatMessageId>,
    limit: u32,
    bytes: usize,
) -> Result<(Vec<ChatMessage>, bool), StoreError> {
    let end = match before {
        None => i64::MAX,
        Some(before) => conn
            .prepare_cached(
                "SELECT seq FROM messages WHERE id = ?1 AND chat_id = ?2
                 AND seq > (SELECT cleared_until FROM chats WHERE id = ?2)",
            )?
            .query_row([before.as_str(), chat.as_str()], |row| row.get(0))
            .optional()?
            .ok_or_else(no_message)?,
    };
    let mut statement = conn.prepare_cached(
        "SELECT id, user_id, username, kind, content, created_at FROM messages
         WHERE chat_id = ?1 AND seq < ?2 AND seq > (SELECT cleared_until FROM chats WHERE id = ?1) ORDER BY seq DESC",
    )?;
    let mut rows = statement.query(params![chat.as_str(), end])?;
    let (mut messages, mut total) = (Vec::new(), 0_usize);
    let has_more = loop {
        let Some(row) = rows.next()? else { break false };
        let content: String = row.get(4)?;
        total = total.saturating_add(content.len());
        if messages.len() >= limit as usize || (total > bytes && !messages.is_empty()) {
            break true;
        }
        messages.push(message(row, chat, content)?);
    };
    messages.reverse();
    Ok((messages, has_more))
}

fn message(row: &Row<'_>, chat: &ChatId, content: String) -> Result<ChatMessage, StoreError> {
    let id: String = row.get(0)?;
    let id = ChatMessageId::parse(&id, "id")
        .map_err(|fault| invalid(format!("the store holds {id:?} as a message's id: {fault}")))?;
    let user = stored_id(&row.get::<_, String>(1)?)?;
    Ok(ChatMessage {
        id,
        content: Content(content),
        content_type: ContentType(row.get(3)?),
        chat: chat.clone(),
        author: user,
        username: row.get(2)?,
        created_at: row.get(5)?,
    })
}

#[cfg(test)]
mod tests;
